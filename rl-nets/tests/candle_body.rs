//! Candle models as bodies: results equal to those of this library's modules, and which models are rejected or
//! accepted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{DType, Device, Module as _, ModuleT, Tensor};
use candle_nn::{
    BatchNormConfig, Conv2dConfig, Init, VarBuilder, batch_norm, conv2d, group_norm, layer_norm,
    layer_norm_no_bias, linear, linear_no_bias, ops,
};
use rl_core::{BoxSpace, Seeds, StochasticPolicy};
use rl_nets::{
    Activation, ActorCriticConfig, ActorCriticPolicy, Backend, Bodies, Body, CandleBody,
    Categorical, Chain, Coefficients, Learned, Linear, Module, Network, OptimizerConfig,
    PolicyRows, Result, TdLoss, policy_net, ppo_clip, with_head,
};
use std::sync::atomic::{AtomicUsize, Ordering};

fn assert_close(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * scale, "{what}[{i}]: {a}, expected {b}");
    }
}

fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream("draw", 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// Two layers of 64 tanh units, as a candle model.
fn model() -> CandleBody {
    CandleBody::new(|vb, x| {
        let x = linear(4, 64, vb.pp("first"))?.forward(x)?.tanh()?;
        linear(64, 64, vb.pp("second"))?.forward(&x)?.tanh()
    })
}

/// The same model from this library's modules, as one link of a chain like a candle model.
fn modules(_: &[usize]) -> Result<Chain> {
    let layer = |inputs| Ok::<_, rl_nets::Error>(Linear::new(inputs, 64)?.with_activation(TANH));
    let layers = Chain::new(4).then_named("first", layer(4)?)?.then_named("second", layer(64)?)?;
    Chain::new(4).then(layers)
}

const TANH: Activation = Activation::Tanh;

/// Networks with both bodies and the same parameters.
fn twins(build: impl Fn(&dyn Body) -> Chain) -> [Network; 2] {
    let chains = [build(&model()), build(&modules)];
    assert_eq!(chains[0].layout(), chains[1].layout());
    assert!(!chains[0].is_fused() && chains[1].is_fused());
    let mut rng = Seeds::new(3).stream("init", 0);
    let mut twins = chains.map(|chain| Network::new(chain, &Backend::cpu(), &mut rng).unwrap());
    let params = twins[1].params().unwrap();
    assert_ne!(twins[0].params().unwrap(), params);
    twins[0].set_params(&params).unwrap();
    twins
}

fn q_net(body: &dyn Body) -> Chain {
    with_head(body, &[4], |features| Linear::new(features, 2)).unwrap().named("q")
}

#[test]
fn a_model_is_the_same_function_as_modules() {
    let (x, actions, targets) = (draw(32 * 4, 1), [0, 1].repeat(16), draw(32, 2));
    let mut told = twins(q_net).map(|net| {
        let mut learned = Learned::new(net, &OptimizerConfig::adam()).unwrap();
        let (mut grad, mut grad_x) = (vec![0.0; 64], vec![0.0; x.len()]);
        let pass = learned.forward(&x).unwrap();
        let output = pass.output().to_vec();
        TdLoss::Mse.of_taken(&output, &actions, &targets, &mut grad).unwrap();
        pass.into_pass().backward_to_input(&mut grad.clone(), &mut grad_x).unwrap();
        let grads = learned.network().grads().unwrap();
        learned.network_mut().zero_grads().unwrap();
        learned.forward(&x).unwrap().step(&mut grad, 1e-3, Some(10.0)).unwrap();
        let one = learned.predict(&x[..4]).unwrap().to_vec();
        [output, grad_x, grads, learned.network().params().unwrap(), one]
    });
    let [candle, own] = &mut told;
    for (i, what) in ["output", "input gradient", "gradient", "parameters", "one row after"]
        .into_iter()
        .enumerate()
    {
        assert_close(what, &candle[i], &own[i]);
    }
}

#[test]
fn a_model_has_the_same_forward_derivative() {
    let x = draw(5 * 4, 1);
    let [candle, own] = twins(q_net).map(|mut net| {
        let (direction, mut out) = (draw(net.num_params(), 2), vec![0.0; 5 * 2]);
        net.forward(&x).unwrap().tangent(&direction, &mut out).unwrap();
        out
    });
    assert_close("tangent", &candle, &own);
}

#[test]
fn a_policy_on_a_model_takes_the_same_step() {
    let (space, rows) = (BoxSpace::unbounded(4).unwrap(), 16);
    let (x, draws) = (draw(rows * 4, 1), draw(rows * 4, 2));
    let policy = |body: &dyn Body| {
        let (config, adam) = (ActorCriticConfig::default(), OptimizerConfig::adam_with_eps(1e-5));
        let mut rng = Seeds::new(0).stream("init", 0);
        let network = (&config, Bodies::shared(body));
        let choice = Categorical::new(2);
        ActorCriticPolicy::new(&space, choice, network, &adam, &Backend::cpu(), &mut rng).unwrap()
    };
    let mut policies = [policy(&model()), policy(&modules)];
    let params = policies[1].network().params().unwrap();
    policies[0].network_mut().set_params(&params).unwrap();
    let [candle, own] = policies.map(|mut policy| {
        let pass = policy.forward(&x).unwrap();
        let mut grad = vec![0.0; rows * 3];
        let rows = PolicyRows {
            actions: &[0, 1, 1, 0].repeat(4),
            log_probs: &[-0.7; 16],
            advantages: &draws[..16],
            returns: &draws[16..32],
            values: &draws[32..48],
        };
        let coefficients = Coefficients { value: 0.5, entropy: 0.01 };
        let (choice, output) = (Categorical::new(2), pass.output());
        let stats = ppo_clip(&choice, output, rows, 0.2, None, coefficients, &mut grad).unwrap();
        let norm = pass.step(&mut grad, 1e-3, Some(0.5)).unwrap();
        let told = [stats.policy_loss, stats.value_loss, norm].map(|x| x as f32);
        (told, policy.network().params().unwrap())
    });
    assert_close("losses and norm", &candle.0, &own.0);
    assert_close("parameters", &candle.1, &own.1);
}

/// The error of a body that is rejected.
fn refusal(
    shape: &[usize],
    model: impl Fn(VarBuilder<'static>, &Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
) -> String {
    CandleBody::new(model).build(shape).unwrap_err().to_string()
}

#[track_caller]
fn assert_names(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn what_candle_would_not_train_is_refused() {
    let error = refusal(&[4], |vb, x| {
        let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
        layer_norm(8, 1e-5, vb.pp("norm"))?.forward(&x)
    });
    let parts = ["the input", "'l.weight'", "'l.bias'", "'norm.weight'", "'norm.bias'"];
    assert_names(&error, &parts);
    assert_names(&error, &["gets no gradient", "layer norm"]);

    for train in [false, true] {
        let error = refusal(&[4], move |vb, x| {
            let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
            batch_norm(8, BatchNormConfig::default(), vb.pp("norm"))?.forward_t(&x, train)
        });
        assert_names(&error, &["'norm.running_mean'", "'norm.running_var'", "statistics"]);
        assert!(!error.contains("'l.weight'"), "{error}");
    }

    let error = refusal(&[4], |vb, x| {
        let kept = linear(4, 8, vb.pp("kept"))?.forward(x)?;
        let lost = linear(4, 8, vb.pp("lost"))?.forward(x)?.detach();
        kept + lost
    });
    assert_names(&error, &["'lost.weight'", "'lost.bias'", "detached"]);
    assert!(!error.contains("'kept.weight'") && !error.contains("the input"), "{error}");

    let error = refusal(&[4], |vb, x| linear(4, 8, vb.pp("l"))?.forward(&x.ones_like()?));
    assert_names(&error, &["the input gets no gradient"]);
}

#[test]
fn half_a_gradient_is_refused() {
    let error = refusal(&[4], |vb, x| {
        let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
        Tensor::cat(&[ops::softmax_last_dim(&x)?, x.tanh()?], 1)
    });
    assert_names(&error, &["gets the gradient", "slope"]);
    // Deep models with many kinks, of various sizes and hence with various random numbers.
    for i in 1..=20 {
        let error = refusal(&[i], move |vb, x| {
            let x = deep(vb, x, i)?;
            &x + x.detach()
        });
        assert_names(&error, &["gets the gradient", "slope"]);
    }
}

/// Four layers of 256 relu units.
fn deep(vb: VarBuilder<'_>, x: &Tensor, inputs: usize) -> candle_core::Result<Tensor> {
    (0..4).try_fold(x.clone(), |x, i| {
        let inputs = if i == 0 { inputs } else { 256 };
        linear(inputs, 256, vb.pp(i))?.forward(&x)?.relu()
    })
}

/// In candle 0.11 the gradient of maximum pooling is divided by the number of pixels per window.
#[test]
fn a_wrong_gradient_is_refused() {
    let error = refusal(&[1, 6, 6], |vb, x| {
        conv2d(1, 3, 3, Default::default(), vb.pp("conv"))?.forward(x)?.max_pool2d(2)
    });
    assert_names(&error, &["the input gets the gradient", "slope", "wrong"]);
}

#[test]
fn what_is_not_a_function_of_its_variables_and_rows_is_refused() {
    let error = refusal(&[4], |vb, x| ops::dropout(&linear(4, 8, vb.pp("l"))?.forward(x)?, 0.5));
    assert_names(&error, &["another output each time", "random"]);

    let error = refusal(&[4], |vb, x| linear(4, 8, vb.pp("l"))?.forward(x)?.mean(0));
    assert_names(&error, &["for two rows", "[8]", "expected [2, features]"]);
    let error = refusal(&[4], |vb, x| linear(4, 8, vb.pp("l"))?.forward(x)?.t());
    assert_names(&error, &["for two rows", "[8, 2]"]);

    let error = refusal(&[4], |vb, x| {
        let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
        linear(8, 8, vb.pp("l"))?.forward(&x)
    });
    assert_names(&error, &["'l.weight'", "two shapes"]);

    let calls = AtomicUsize::new(0);
    let error = refusal(&[4], move |vb, x| {
        let name = format!("l{}", calls.fetch_add(1, Ordering::Relaxed));
        linear(4, 8, vb.pp(name))?.forward(x)
    });
    assert_names(&error, &["'l1.weight'", "not asked for when the model was first built"]);
}

#[test]
fn a_variable_that_is_asked_for_too_late_is_named() {
    static LATE: AtomicUsize = AtomicUsize::new(0);
    let body = CandleBody::new(|vb, x| {
        let name = if LATE.load(Ordering::Relaxed) == 0 { "early" } else { "late" };
        linear(4, 8, vb.pp(name))?.forward(x)
    });
    let mut rng = Seeds::new(0).stream("init", 0);
    let mut net = Network::new(body.build(&[4]).unwrap(), &Backend::cpu(), &mut rng).unwrap();
    assert!(net.predict(&[0.0; 4]).is_ok());
    LATE.store(1, Ordering::Relaxed);
    let error = net.predict(&[0.0; 4]).unwrap_err().to_string();
    assert_names(&error, &["'late.weight'", "not asked for"]);
}

/// Builds a body and checks that each output row depends only on its own input row.
#[track_caller]
fn accepted(
    what: &str,
    shape: &[usize],
    model: impl Fn(VarBuilder<'static>, &Tensor) -> candle_core::Result<Tensor> + Send + Sync + 'static,
) -> Chain {
    let chain = match CandleBody::new(model).build(shape) {
        Ok(chain) => chain,
        Err(error) => panic!("{what}: {error}"),
    };
    let mut rng = Seeds::new(0).stream("init", 0);
    let mut net = Network::new(chain.clone(), &Backend::cpu(), &mut rng).unwrap();
    let (x, width) = (draw(3 * net.input_len(), 5), net.output_len());
    let together = net.predict(&x).unwrap().to_vec();
    let row = net.predict(&x[..x.len() / 3]).unwrap();
    assert_close(what, row, &together[..width]);
    let pass = net.forward(&x).unwrap();
    pass.backward(&mut vec![1.0; 3 * width]).unwrap();
    assert!(net.grads().unwrap().iter().all(|g| g.is_finite()), "{what}");
    chain
}

#[test]
fn ordinary_models_are_accepted() {
    for (stride, padding) in [(1, 0), (1, 1), (2, 0), (2, 1)] {
        let config = Conv2dConfig { stride, padding, ..Conv2dConfig::default() };
        accepted(&format!("a convolution, {stride} {padding}"), &[2, 8, 8], move |vb, x| {
            let x = conv2d(2, 5, 3, config, vb.pp("conv"))?.forward(x)?.relu()?.flatten_from(1)?;
            linear(x.dim(1)?, 16, vb.pp("dense"))?.forward(&x)?.relu()
        });
    }
    accepted("a convolution that is not flattened", &[1, 6, 6], |vb, x| {
        let x = conv2d(1, 3, 3, Default::default(), vb.pp("conv"))?.forward(x)?;
        x.avg_pool2d(2)
    });
    let tied = accepted("a layer used twice", &[4], |vb, x| {
        let layer = || linear(4, 4, vb.pp("l"));
        layer()?.forward(&layer()?.forward(x)?.tanh()?)
    });
    assert_eq!(tied.layout().len(), 4 * 4 + 4);
    accepted("zeros", &[4], |vb, x| {
        let zeros = vb.get_with_hints((8, 4), "weight", Init::Const(0.0))?;
        let ones = vb.get_with_hints(8, "bias", Init::Const(1.0))?;
        x.matmul(&zeros.t()?)?.broadcast_add(&ones)
    });
    use candle_nn::Activation::{Elu, Gelu, LeakyRelu, Relu, Relu2, Sigmoid, Silu, Swish};
    use candle_nn::Activation::{GeluPytorchTanh, HardSwish, NewGelu};
    for activation in [
        Sigmoid,
        Silu,
        Gelu,
        NewGelu,
        GeluPytorchTanh,
        Relu,
        Relu2,
        Elu(1.0),
        LeakyRelu(0.01),
        Swish,
        HardSwish,
    ] {
        accepted(&format!("{activation:?}"), &[4], move |vb, x| {
            let x = linear(4, 32, vb.pp("a"))?.forward(x)?.apply(&activation)?;
            linear(32, 32, vb.pp("b"))?.forward(&x)?.apply(&activation)
        });
    }
    accepted("a residual block without biases", &[4], |vb, x| {
        let x = linear(4, 8, vb.pp("in"))?.forward(x)?;
        let y = linear_no_bias(8, 32, vb.pp("up"))?.forward(&x)?.relu()?;
        x + linear_no_bias(32, 8, vb.pp("down"))?.forward(&y)?
    });
    accepted("softmax of candle's operations", &[4], |vb, x| {
        ops::softmax(&linear(4, 8, vb.pp("l"))?.forward(x)?, 1)
    });
}

#[test]
fn norms_that_candle_can_train_are_accepted() {
    accepted("group norm", &[2, 5, 5], |vb, x| {
        let x = conv2d(2, 6, 3, Default::default(), vb.pp("conv"))?.forward(x)?;
        group_norm(3, 6, 1e-5, vb.pp("norm"))?.forward(&x)?.relu()
    });
    accepted("layer norm without a bias", &[4], |vb, x| {
        let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
        layer_norm_no_bias(8, 1e-5, vb.pp("norm"))?.forward(&x)
    });
    accepted("layer norm, slowly", &[4], |vb, x| {
        let x = linear(4, 8, vb.pp("l"))?.forward(x)?;
        let vb = vb.pp("norm");
        let scale = vb.get_with_hints(8, "weight", Init::Const(1.0))?;
        let shift = vb.get_with_hints(8, "bias", Init::Const(0.0))?;
        ops::layer_norm_slow(&x, &scale, &shift, 1e-5)
    });
}

#[test]
fn deep_relu_nets_raise_no_false_alarm() {
    // Other input sizes, and hence other random numbers for every layer.
    for inputs in 1..=50 {
        accepted(&format!("{inputs} inputs"), &[inputs], move |vb, x| deep(vb, x, inputs));
    }
}

/// The backward pass of a strided convolution in candle 0.11 assumes equal remainders in height and width.
#[test]
fn a_model_that_candle_fails_to_differentiate_is_refused() {
    let error = refusal(&[2, 8, 7], |vb, x| {
        let config = Conv2dConfig { stride: 2, ..Conv2dConfig::default() };
        conv2d(2, 5, 3, config, vb.pp("conv"))?.forward(x)
    });
    assert_names(&error, &["candle cannot compute its gradient", "shape mismatch"]);
}

#[test]
fn a_model_that_insists_on_single_precision_is_taken() {
    let scaled = |x: &Tensor| x.broadcast_mul(&Tensor::full(0.5f32, (1, 4), &Device::Cpu)?);
    let error = refusal(&[4], move |vb, x| {
        ops::dropout(&linear(4, 8, vb.pp("l"))?.forward(&scaled(x)?)?, 0.5)
    });
    assert_names(&error, &["another output each time"]);
    accepted("a constant in single precision", &[4], move |vb, x| {
        linear(4, 8, vb.pp("l"))?.forward(&scaled(x)?)
    });
}

/// Models that use only negative inputs, use other rows, or compute partly in single precision: none is silently
/// trained with a wrong gradient.
#[test]
fn wrong_gradients_are_found_wherever_they_hide() {
    let hidden = |vb: VarBuilder<'_>, x: &Tensor| linear(4, 8, vb.pp("l"))?.forward(x);
    let constant = |x: &Tensor| -> candle_core::Result<Tensor> {
        x.broadcast_sub(&Tensor::full(0.5f32, (1, 1), &Device::Cpu)?)
    };
    let slope = ["gets the gradient", "slope"];
    let error = refusal(&[4], move |vb, x| {
        let h = hidden(vb, x)?;
        let negative = x.neg()?.relu()?.sum_keepdim(1)?;
        &h + h.detach().broadcast_mul(&negative)?
    });
    assert_names(&error, &slope);
    let error = refusal(&[4], move |vb, x| {
        let h = hidden(vb, &constant(x)?)?;
        &h * ops::softmax_last_dim(&h)?
    });
    assert_names(&error, &slope);
    let error = refusal(&[4], move |vb, x| {
        let h = hidden(vb, x)?;
        let soft = ops::softmax_last_dim(&h.to_dtype(DType::F32)?)?.to_dtype(h.dtype())?;
        &h * soft
    });
    assert_names(&error, &slope);
    let error = refusal(&[4], move |vb, x| {
        let h = hidden(vb, &constant(x)?)?;
        let ones = Tensor::ones(8, DType::F32, &Device::Cpu)?;
        &h + ops::rms_norm(&h, &ones, 1e-5)?
    });
    assert_names(&error, &slope);
    let error = refusal(&[1, 6, 6], move |vb, x| {
        let x = constant(&x.flatten_from(1)?)?.reshape(x.shape())?;
        let x = conv2d(1, 3, 3, Default::default(), vb.pp("conv"))?.forward(&x)?;
        x.relu()?.max_pool2d(2)
    });
    assert_names(&error, &slope);
    for other_rows in [false, true] {
        let error = refusal(&[4], move |vb, x| {
            let h = hidden(vb, x)?;
            if other_rows { h.roll(1, 0) } else { h.broadcast_sub(&h.mean_keepdim(0)?) }
        });
        assert_names(&error, &["depends on the other rows"]);
    }
    let error = refusal(&[4], move |vb, x| (hidden(vb, x)? * 50.0)?.round()? / 50.0);
    assert_names(&error, &["no gradient"]);
}

/// For example a logarithm of a value that is positive at the model's initial parameters.
#[test]
fn a_model_that_is_not_a_number_where_it_is_tried_is_taken() {
    let body = CandleBody::new(|vb, x| {
        let scale = vb.get_with_hints(4, "scale", Init::Const(1.0))?;
        (x.broadcast_mul(&scale)? - 10.0)?.log()
    });
    assert!(body.build(&[4]).is_ok());
}

#[test]
fn parameters_start_as_the_model_asks() {
    let body = CandleBody::new(|vb, x| {
        let bound = Init::Uniform { lo: -0.5, up: -0.25 };
        let weight = vb.get_with_hints((400, 4), "weight", bound)?;
        let bias = vb.get_with_hints(400, "bias", Init::Randn { mean: 3.0, stdev: 0.1 })?;
        x.matmul(&weight.t()?)?.broadcast_add(&bias)
    });
    let module = body.build(&[4]).unwrap();
    let mut params = vec![0.0; module.layout().len()];
    module.init(&mut params, &mut Seeds::new(0).stream("init", 0));
    let (weight, bias) = params.split_at(1600);
    assert!(weight.iter().all(|w| (-0.5..-0.25).contains(w)));
    let mean = bias.iter().sum::<f32>() / 400.0;
    let std = (bias.iter().map(|b| (b - mean).powi(2)).sum::<f32>() / 400.0).sqrt();
    assert!((mean - 3.0).abs() < 0.03 && (std - 0.1).abs() < 0.02, "{mean} {std}");
}

#[test]
fn a_head_goes_beside_layers_that_are_named_by_number() {
    let body = CandleBody::new(|vb, x| {
        let x = linear(4, 8, vb.pp(0))?.forward(x)?.relu()?;
        linear(8, 8, vb.pp(1))?.forward(&x)?.relu()
    });
    let mut rng = Seeds::new(0).stream("init", 0);
    let net = with_head(&body, &[4], |features| Linear::new(features, 2)).unwrap();
    assert_eq!(net.layout().entries()[4].name, "1.weight");
    Network::new(net, &Backend::cpu(), &mut rng).unwrap();
    let net = policy_net(
        &body,
        &[4],
        &Categorical::new(2),
        rl_nets::LogStd::Free(0.0),
        rl_nets::Init::Pytorch,
    );
    Network::new(net.unwrap(), &Backend::cpu(), &mut rng).unwrap();
}

#[test]
fn double_precision_is_kept() {
    let chain = model().build(&[4]).unwrap();
    let params =
        Tensor::from_vec(draw(chain.layout().len(), 0), chain.layout().len(), &Device::Cpu);
    let params = params.unwrap().to_dtype(DType::F64).unwrap();
    let x = Tensor::ones((3, 4), DType::F64, &Device::Cpu).unwrap();
    let y = chain.reference(&params, &x).unwrap();
    assert_eq!((y.dtype(), y.dims()), (DType::F64, &[3, 64][..]));
}

/// Observations of another width are named, not the actions that there would be for them.
#[test]
fn observations_of_another_width() {
    let space = BoxSpace::unbounded(4).unwrap();
    let (config, mut rng) = (ActorCriticConfig::default(), Seeds::new(0).stream("init", 0));
    let (adam, cpu) = (OptimizerConfig::adam(), Backend::cpu());
    let networks = (&config, Bodies::shared(&modules));
    let mut policy =
        ActorCriticPolicy::new(&space, Categorical::new(3), networks, &adam, &cpu, &mut rng)
            .unwrap();
    let (mut log_probs, mut values) = ([0.0; 2], [0.0; 2]);
    let observations = [0.0; 16];
    let sampled = policy
        .sample(&observations, &mut rng, &mut [0; 2], &mut log_probs, &mut values)
        .unwrap_err();
    let likely = policy.mode(&observations, &mut [0; 2]).unwrap_err();
    for error in [sampled.to_string(), likely.to_string()] {
        assert_eq!(error, "observations for 2 actions: expected 8 elements, got 16");
    }
    policy.mode(&observations, &mut [0; 4]).unwrap();
}

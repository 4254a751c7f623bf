//! The fused path equals the reference path and finite differences in double precision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{DType, Device, Tensor};
use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rl_core::Seeds;
use rl_nets::{
    Activation, Backend, Chain, Conv2d, ConvConfig, Error, Init, Linear, Module, Network,
    NetworkConfig, OptimizerConfig, with_head,
};

fn activation() -> impl Strategy<Value = Activation> {
    use Activation::*;
    prop::sample::select(vec![Identity, Relu, Tanh, Sigmoid, Elu, Silu, Gelu])
}

fn config() -> impl Strategy<Value = NetworkConfig> {
    let hidden = prop::collection::vec(1usize..40, 0..3);
    (hidden, activation(), any::<bool>()).prop_map(|(hidden, activation, layer_norm)| {
        NetworkConfig { hidden, activation, layer_norm, ..NetworkConfig::default() }
    })
}

fn perceptron(
    config: &NetworkConfig,
    inputs: usize,
    outputs: usize,
    activation: Activation,
) -> Chain {
    let head = |features| Ok(Linear::new(features, outputs)?.with_activation(activation));
    with_head(config, &[inputs], head).unwrap().named("f")
}

/// Within `tolerance` of the largest magnitude.
fn close(a: &[f32], b: &[f32], tolerance: f32) -> bool {
    let scale = b.iter().fold(1e-2f32, |m, x| m.max(x.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance * scale)
}

/// The same network on both paths, and its input rows.
fn pair(config: &NetworkConfig, inputs: usize, outputs: usize, seed: u64) -> [Network; 2] {
    both(&perceptron(config, inputs, outputs, Activation::Identity), seed)
}

fn both(module: &Chain, seed: u64) -> [Network; 2] {
    on(&Device::Cpu, module, seed)
}

/// The devices of the reference path: the CPU, and with the feature `cuda` also the graphics card, which has to be there.
fn devices() -> Vec<Device> {
    // One handle for each thread, since candle queues work on the calling thread's stream.
    thread_local! {
        static DEVICES: Vec<Device> = std::iter::once("reference")
            .chain(cfg!(feature = "cuda").then_some("cuda"))
            .map(|name| Backend::by_name(name).unwrap().device().unwrap().clone())
            .collect();
    }
    DEVICES.with(Vec::clone)
}

/// The same network on the fused path and on a device.
fn on(device: &Device, module: &Chain, seed: u64) -> [Network; 2] {
    [Backend::cpu(), Backend::candle(device.clone())].map(|backend| {
        let mut rng = Seeds::new(seed).stream("init", 0);
        Network::new(module.clone(), &backend, &mut rng).unwrap()
    })
}

/// The output of a pass, and the gradient of its input for a given gradient of the output.
fn through(net: &mut Network, x: &[f32], upstream: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let pass = net.forward(x).unwrap();
    let (y, mut grad_x) = (pass.output().to_vec(), vec![f32::NAN; x.len()]);
    pass.backward_to_input(&mut upstream.to_vec(), &mut grad_x).unwrap();
    (y, grad_x)
}

fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream("data", 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

proptest! {
    #[test]
    fn both_paths_agree(
        config in config(), output_activation in activation(),
        inputs in 1usize..20, outputs in 1usize..10, batch in 1usize..33, seed: u64,
    ) {
        for device in devices() {
            let x = draw(batch * inputs, seed);
            let upstream = draw(batch * outputs, seed ^ 1);
            let [mut fused, mut candle] =
                on(&device, &perceptron(&config, inputs, outputs, output_activation), seed);
            prop_assert_eq!(fused.params().unwrap(), candle.params().unwrap());
            prop_assert!(close(fused.predict(&x).unwrap(), candle.predict(&x).unwrap(), 2e-5));
            let (a, grad_a) = through(&mut fused, &x, &upstream);
            let (b, grad_b) = through(&mut candle, &x, &upstream);
            prop_assert!(close(&a, &b, 2e-5), "{a:?} {b:?}");
            // A normalised row of one unit is zero on both paths, except for a division by a tiny deviation.
            let tolerance = if config.layer_norm { 2e-3 } else { 5e-5 };
            prop_assert!(close(&grad_a, &grad_b, tolerance), "{grad_a:?} {grad_b:?}");
            let (a, b) = (fused.grads().unwrap(), candle.grads().unwrap());
            prop_assert!(close(&a, &b, tolerance), "{a:?} {b:?}");
            // A second pass adds to the first.
            fused.forward(&x).unwrap().backward(&mut upstream.clone()).unwrap();
            let twice: Vec<f32> = a.iter().map(|g| 2.0 * g).collect();
            prop_assert!(close(&fused.grads().unwrap(), &twice, 1e-5));
            // Operations that do not consume a pass are repeatable and do not change the accumulated gradient.
            for net in [&mut fused, &mut candle] {
                let gathered = net.grads().unwrap();
                let direction = draw(net.num_params(), seed ^ 2);
                let mut pass = net.forward(&x).unwrap();
                let n = direction.len();
                let [mut once, mut again] = [(); 2].map(|()| vec![f32::NAN; n]);
                let [mut tangent, mut tangent_again] = [(); 2].map(|()| vec![f32::NAN; upstream.len()]);
                pass.vjp(&mut upstream.clone(), &mut once).unwrap();
                pass.tangent(&direction, &mut tangent).unwrap();
                pass.vjp(&mut upstream.clone(), &mut again).unwrap();
                pass.tangent(&direction, &mut tangent_again).unwrap();
                prop_assert_eq!(&once, &again);
                prop_assert_eq!(&tangent, &tangent_again);
                prop_assert!(close(&once, &a, tolerance));
                // Both ways give the same number: u·(J v) = (Jᵀ u)·v.
                let sum = |a: &[f32], b: &[f32]| -> f64 {
                    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
                };
                let (forwards, backwards) = (sum(&tangent, &upstream), sum(&once, &direction));
                let scale = sum(&once, &once).sqrt() * sum(&direction, &direction).sqrt() + 1.0;
                prop_assert!((forwards - backwards).abs() <= f64::from(tolerance) * scale, "{forwards} {backwards}");
                prop_assert_eq!(net.grads().unwrap(), gathered);
            }
        }
    }

    #[test]
    fn gradients_equal_finite_differences_in_double_precision(
        activation in activation(), layer_norm: bool, seed: u64,
    ) {
        let config = NetworkConfig { activation, layer_norm, ..NetworkConfig::mlp(&[7, 5]) };
        let (x, upstream) = (draw(4 * 3, seed), draw(4 * 2, seed ^ 1));
        let [mut fused, _] = pair(&config, 3, 2, seed);
        fused.forward(&x).unwrap().backward(&mut upstream.clone()).unwrap();
        let grads = fused.grads().unwrap();
        let params: Vec<f64> = fused.params().unwrap().iter().map(|&p| p.into()).collect();
        let mlp = perceptron(&config, 3, 2, Activation::Identity);
        let tensor = |v: &[f32], shape: (usize, usize)| {
            Tensor::from_slice(v, shape, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
        };
        let (x, upstream) = (tensor(&x, (4, 3)), tensor(&upstream, (4, 2)));
        let loss = |params: &[f64]| {
            let params = Tensor::new(params, &Device::Cpu).unwrap();
            let y = mlp.reference(&params, &x).unwrap();
            (y * &upstream).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
        };
        let difference = |i: usize, h: f64| {
            let (mut up, mut down) = (params.clone(), params.clone());
            up[i] += h;
            down[i] -= h;
            (loss(&up) - loss(&down)) / (2.0 * h)
        };
        let scale = grads.iter().fold(0.1f32, |m, g| m.max(g.abs()));
        for (i, &grad) in grads.iter().enumerate() {
            let exact = difference(i, 1e-6);
            // A nearby kink makes the finite difference wrong: then two step sizes disagree.
            if (exact - difference(i, 1e-7)).abs() > 1e-4 {
                continue;
            }
            let error = (f64::from(grad) - exact).abs();
            prop_assert!(error <= 2e-4 * f64::from(scale), "parameter {i}: {grad} {exact}");
        }
    }

    #[test]
    fn clipping_never_raises_the_norm(grads in prop::collection::vec(-1e3f32..1e3, 1..50), max in 0.1f64..100.0) {
        let config = OptimizerConfig::Sgd { momentum: 0.0, nesterov: false };
        let mut sgd = rl_nets::Optimizer::new(config, grads.len()).unwrap();
        let mut params = vec![0.0; grads.len()];
        let norm = sgd.step(&mut params, &mut grads.clone(), 1.0, Some(max)).unwrap();
        let moved = params.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>().sqrt();
        prop_assert!(moved <= norm.min(max) * (1.0 + 1e-4), "{moved} {norm}");
    }

    #[test]
    fn orthogonal_means_orthogonal(rows in 1usize..20, columns in 1usize..20, seed: u64) {
        let mut weight = vec![0.0; rows * columns];
        let mut rng = Seeds::new(seed).stream("init", 0);
        Init::Orthogonal { gain: 2.0 }.fill(&mut weight, &mut vec![1.0; rows], 1, &mut rng);
        let at = |i: usize, j: usize| f64::from(weight[i * columns + j]);
        let n = rows.min(columns);
        for i in 0..n {
            for j in 0..n {
                let dot: f64 = if rows <= columns {
                    (0..columns).map(|k| at(i, k) * at(j, k)).sum()
                } else {
                    (0..rows).map(|k| at(k, i) * at(k, j)).sum()
                };
                let expected = if i == j { 4.0 } else { 0.0 };
                prop_assert!((dot - expected).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn initialisers_have_their_variance() {
    let mut rng = Seeds::new(0).stream("init", 0);
    let (mut weight, mut bias) = (vec![0.0; 200 * 300], vec![1.0; 200]);
    for (init, variance) in [
        (Init::KaimingUniform, 2.0 / 300.0),
        (Init::XavierUniform, 2.0 / 500.0),
        (Init::Pytorch, 1.0 / 300.0 / 3.0),
        (Init::Uniform { bound: 0.003 }, 0.003 * 0.003 / 3.0),
    ] {
        init.fill(&mut weight, &mut bias, 1, &mut rng);
        let got = weight.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / weight.len() as f64;
        assert!((got / variance - 1.0).abs() < 0.03, "{init:?}: {got} {variance}");
    }
    // PyTorch's bound of `xavier_uniform_` for a convolution from 4 to 32 channels with a kernel of 8x8.
    let (mut weight, mut bias) = (vec![0.0f32; 32 * 4 * 64], vec![1.0; 32]);
    Init::XavierUniform.fill(&mut weight, &mut bias, 64, &mut rng);
    let largest = weight.iter().fold(0.0f32, |m, w| m.max(w.abs()));
    let bound = (6.0f32 / (4.0 * 64.0 + 32.0 * 64.0)).sqrt();
    assert!(largest <= bound && largest > 0.99 * bound, "{largest} {bound}");
}

/// Steps of every optimiser, with clipped gradients, keep the parameters together.
#[test]
fn both_paths_learn_the_same() {
    let optimizers = [
        r#"{"kind": "adam", "weight_decay": 0.1, "amsgrad": true}"#,
        r#"{"kind": "rmsprop", "eps": 1e-2, "centered": true, "momentum": 0.9}"#,
        r#"{"kind": "sgd", "momentum": 0.9, "nesterov": true}"#,
    ];
    for (device, optimizer) in devices().iter().flat_map(|d| optimizers.map(|o| (d, o))) {
        let config = NetworkConfig { layer_norm: true, ..NetworkConfig::default() };
        let [fused, candle] = on(device, &perceptron(&config, 4, 3, Activation::Tanh), 0);
        let config: OptimizerConfig = serde_json::from_str(optimizer).unwrap();
        let learned = [fused, candle].map(|mut net| {
            let mut optimizer = net.optimizer(config.clone()).unwrap();
            let norms: Vec<f32> = (0..20)
                .map(|step| {
                    let mut upstream = draw(8 * 3, 100 + step);
                    net.forward(&draw(8 * 4, step)).unwrap().backward(&mut upstream).unwrap();
                    net.step(&mut optimizer, 1e-3, Some(1.0)).unwrap() as f32
                })
                .collect();
            (net.params().unwrap(), norms)
        });
        let [(a, norms_a), (b, norms_b)] = &learned;
        assert!(close(a, b, 1e-4), "{device:?} {optimizer}");
        assert!(close(norms_a, norms_b, 1e-4), "{device:?} {optimizer}: {norms_a:?} {norms_b:?}");
    }
}

#[test]
fn targets_copy_and_average() {
    for mut nets in
        [pair(&NetworkConfig::default(), 3, 2, 0), pair(&NetworkConfig::default(), 3, 2, 1)]
    {
        for net in &mut nets {
            let mut target = net.twin().unwrap();
            let before = target.params().unwrap();
            let moved: Vec<f32> = before.iter().map(|p| p + 1.0).collect();
            net.set_params(&moved).unwrap();
            target.move_towards(net, 0.25).unwrap();
            let quarter: Vec<f32> = before.iter().map(|p| p + 0.25).collect();
            assert!(close(&target.params().unwrap(), &quarter, 1e-6));
            target.move_towards(net, 1.0).unwrap();
            assert_eq!(target.params().unwrap(), moved);
        }
    }
}

#[test]
fn weights_travel_as_safetensors_and_foreign_files_are_refused() {
    let [fused, mut candle] = pair(&NetworkConfig::default(), 3, 2, 0);
    let bytes = fused.save().unwrap();
    candle.set_params(&vec![0.0; candle.num_params()]).unwrap();
    candle.load(&bytes).unwrap();
    assert_eq!(candle.params().unwrap(), fused.params().unwrap());
    let [mut other, _] = pair(&NetworkConfig::default(), 4, 2, 0);
    let kept = other.params().unwrap();
    let error = other.load(&bytes).unwrap_err().to_string();
    assert_eq!(error, "weights: 'f.0.weight': expected F32 [64, 4], got F32 [64, 3]");
    assert!(other.load(&bytes[..100]).is_err());
    assert!(other.load(b"").is_err());
    let deeper = NetworkConfig::mlp(&[64, 64, 64]);
    let [deep, _] = pair(&deeper, 4, 2, 0);
    assert!(other.load(&deep.save().unwrap()).is_err());
    assert_eq!(other.params().unwrap(), kept);
}

#[test]
fn a_gradient_that_is_not_finite_is_an_error_and_moves_nothing() {
    for mut net in pair(&NetworkConfig::default(), 1, 1, 0) {
        let mut adam = net.optimizer(OptimizerConfig::adam()).unwrap();
        let before = net.params().unwrap();
        net.forward(&[1.0]).unwrap().backward(&mut [f32::NAN]).unwrap();
        assert!(matches!(net.step(&mut adam, 0.1, None), Err(Error::NotFinite { .. })));
        assert_eq!(net.params().unwrap(), before);
        // It does not affect the next gradient either.
        net.forward(&[1.0]).unwrap().backward(&mut [1.0]).unwrap();
        net.step(&mut adam, 0.1, None).unwrap();
    }
}

#[test]
fn misuse_is_an_error() {
    for mut net in pair(&NetworkConfig::default(), 3, 2, 0) {
        assert!(net.predict(&[0.0; 4]).is_err());
        assert!(net.predict(&[0.0; 0]).is_err());
        let (mut short, mut grad) = ([0.0; 3], [0.0; 2]);
        assert!(net.forward(&[0.0; 3]).unwrap().backward(&mut short).is_err());
        assert!(net.forward(&[0.0; 3]).unwrap().input_gradient(&mut grad, &mut [0.0; 2]).is_err());
        assert!(net.forward(&[0.0; 3]).unwrap().vjp(&mut grad, &mut short).is_err());
        assert!(net.forward(&[0.0; 3]).unwrap().tangent(&short, &mut grad).is_err());
        assert!(net.set_params(&[0.0]).is_err());
        assert_eq!(net.grads().unwrap(), vec![0.0; net.num_params()]);
    }
    let error = Linear::new(1, 0).unwrap_err().to_string();
    assert_eq!(error, "outputs: expected an integer >= 1, got 0");
    let error = with_head(&NetworkConfig::mlp(&[0]), &[1], |n| Linear::new(n, 1));
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "hidden: expected an integer >= 1, got 0");
}

/// The gradient of bytes is not part of a pass on a device, and computed where it is asked for.
#[test]
fn gradients_through_bytes_agree() {
    let config = ConvConfig { channels: 5, kernel: 3, stride: 2, padding: 1 };
    let conv = Conv2d::new([2, 6, 7], &config).unwrap().with_activation(Activation::Tanh);
    let bytes: Vec<u8> = (0..3 * 84).map(|i| (i * 37 % 256) as u8).collect();
    for device in devices() {
        let module = Chain::new(84).then(conv.clone()).unwrap();
        let found = on(&device, &module, 5).map(|mut net| {
            let pass = net.forward(&bytes[..]).unwrap();
            let upstream = draw(pass.output().len(), 8);
            let (mut both, mut alone) = (vec![f32::NAN; bytes.len()], vec![f32::NAN; bytes.len()]);
            pass.backward_to_input(&mut upstream.clone(), &mut both).unwrap();
            let gathered = net.grads().unwrap();
            let pass = net.forward(&bytes[..]).unwrap();
            pass.input_gradient(&mut upstream.clone(), &mut alone).unwrap();
            assert!(both == alone && net.grads().unwrap() == gathered);
            (both, gathered)
        });
        let [(fused, fused_grads), (candle, candle_grads)] = found;
        assert!(fused.iter().any(|x| x.abs() > 0.01), "there is a gradient");
        assert!(close(&fused, &candle, 2e-5) && close(&fused_grads, &candle_grads, 2e-5));
    }
}

//! Composed modules: equal results on both paths, and derivatives equal to finite differences in double precision.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use candle_core::{DType, Device, Tensor};
use rl_core::{BoxSpace, Rng, Seeds};
use rl_nets::{
    Activation, ActorCriticConfig, Backend, Bodies, Body, Categorical, Chain, ClampLogStd,
    ConvConfig, DiagGaussian, Distribution, Dueling, Error, Fork, FreeLogStd, Init, Layout, Linear,
    LogStd, Masked, Module, Network, NetworkConfig, OptimizerConfig, Result, actor_critic,
    check_module, critics, policy_net, quantile_critics, with_head,
};

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

fn actor_critics() -> Vec<(&'static str, Box<dyn Module>)> {
    let config = |change: &dyn Fn(&mut ActorCriticConfig)| {
        let mut config = ActorCriticConfig::default();
        (config.actor.hidden, config.critic.hidden) = (vec![8, 6], vec![7]);
        // Heads of ordinary size, so that every gradient has an ordinary size.
        config.actor.output_init = Some(Init::Pytorch);
        change(&mut config);
        config
    };
    let trunk = config(&|c| {
        let hidden = vec![9, 5];
        let trunk =
            NetworkConfig { hidden, layer_norm: true, output_init: None, ..c.actor.clone() };
        c.trunk = Some(trunk);
    });
    let masked = config(&|c| c.action_mask = true);
    let of_state = config(&|c| c.log_std = LogStd::OfState);
    let free = config(&|c| c.log_std = LogStd::Free(-0.5));
    fn of(
        config: &ActorCriticConfig,
        width: usize,
        distribution: &impl Distribution,
    ) -> Box<dyn Module> {
        Box::new(
            actor_critic(
                config,
                config.bodies(),
                &BoxSpace::unbounded(width).unwrap(),
                distribution,
            )
            .unwrap(),
        )
    }
    let (choice, numbers) = (Categorical::new(3), DiagGaussian::new(2));
    vec![
        ("discrete", of(&config(&|_| {}), 3, &choice)),
        ("shared trunk", of(&trunk, 3, &choice)),
        ("masked", of(&masked, 6, &choice)),
        ("log std of its own", of(&free, 3, &numbers)),
        ("log std of the state", of(&of_state, 3, &numbers)),
        ("continuous on a trunk", of(&trunk, 3, &numbers)),
    ]
}

/// Forks in chains in forks, with convolutions.
fn others() -> Vec<(&'static str, Box<dyn Module>)> {
    let normed = NetworkConfig { layer_norm: true, ..NetworkConfig::mlp(&[8, 5]) };
    let twins = critics(&NetworkConfig::mlp(&[8, 5]), 2, &[3]).unwrap();
    let quantiles = quantile_critics(&NetworkConfig::mlp(&[8, 5]), 3, 4, &[3]).unwrap();
    let normed_twins = critics(&normed, 2, &[3]).unwrap();
    let inner = Fork::new(6)
        .head("a", Linear::new(6, 2).unwrap().with_activation(Activation::Silu))
        .unwrap()
        .head("b", Chain::new(6))
        .unwrap()
        .head("c", Linear::new(6, 1).unwrap())
        .unwrap();
    let nested = Chain::new(3)
        .then(Linear::new(3, 6).unwrap().with_activation(Activation::Tanh))
        .unwrap()
        .then(inner)
        .unwrap()
        .then(Linear::new(9, 4).unwrap())
        .unwrap();
    let conv = NetworkConfig {
        activation: Activation::Gelu,
        conv: vec![
            ConvConfig { channels: 5, kernel: 3, stride: 2, padding: 1 },
            ConvConfig { channels: 4, kernel: 2, stride: 1, padding: 0 },
        ],
        ..NetworkConfig::mlp(&[6])
    };
    let image = with_head(&conv, &[2, 5, 7], |n| Linear::new(n, 3)).unwrap();
    vec![
        ("twin critics", Box::new(twins)),
        ("twin critics with layer norm", Box::new(normed_twins)),
        ("quantile critics", Box::new(quantiles)),
        ("nested", Box::new(nested)),
        ("image", Box::new(image)),
    ]
}

/// Five rows; for a masked network the last three elements of each are a mask.
fn rows(name: &str, width: usize) -> Vec<f32> {
    let number = |i: usize| match name {
        "masked" if i % width >= 3 => f32::from(!i.is_multiple_of(5)),
        _ => (i as f32).sin(),
    };
    (0..5 * width).map(number).collect()
}

/// The derivative of the output along directions of the parameters and of the input, by finite differences of the
/// candle definition.
fn slope(module: &dyn Module, params: &[f32], x: &[f32], along: &[f32], moved: &[f32]) -> Vec<f32> {
    let double = |x: &[f32]| {
        Tensor::from_slice(x, x.len(), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap()
    };
    let at = |h: f64| {
        let params = (double(params) + (double(along) * h).unwrap()).unwrap();
        let x = (double(x) + (double(moved) * h).unwrap()).unwrap();
        module.reference(&params, &x.reshape(((), module.input_len())).unwrap()).unwrap()
    };
    let slope = ((at(1e-6) - at(-1e-6)).unwrap() / 2e-6).unwrap();
    slope.flatten_all().unwrap().to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

#[test]
fn every_composition_is_the_same_on_both_paths() {
    for (name, mut module) in actor_critics().into_iter().chain(others()) {
        let [mut fused, mut candle] = ["cpu", "reference"].map(|backend| {
            let mut rng = Seeds::new(0).stream("init", 0);
            let backend = Backend::by_name(backend).unwrap();
            Network::new(module.boxed_clone(), &backend, &mut rng).unwrap()
        });
        let x = rows(name, fused.input_len());
        let upstream: Vec<f32> = (0..5 * fused.output_len()).map(|i| (i as f32).cos()).collect();
        let pass = |net: &mut Network| {
            let mut grad_x = vec![f32::NAN; x.len()];
            let pass = net.forward(&x).unwrap();
            let y = pass.output().to_vec();
            pass.backward_to_input(&mut upstream.clone(), &mut grad_x).unwrap();
            let grads = net.grads().unwrap();
            let mut alone = vec![f32::NAN; x.len()];
            let pass = net.forward(&x).unwrap();
            pass.input_gradient(&mut upstream.clone(), &mut alone).unwrap();
            assert_eq!(alone, grad_x, "{name}");
            assert_eq!(net.grads().unwrap(), grads, "{name}: what was gathered stays");
            (y, grad_x, grads)
        };
        let (a, b) = (pass(&mut fused), pass(&mut candle));
        assert_close(name, &a.0, &b.0);
        assert_close(&format!("{name}: input gradient"), &a.1, &b.1);
        assert_close(&format!("{name}: gradient"), &a.2, &b.2);
        candle.load(&fused.save().unwrap()).unwrap();

        let params = fused.params().unwrap();
        let (along, zeros) = (draw(params.len(), 7), vec![0.0; x.len()]);
        let expected = slope(&*module, &params, &x, &along, &zeros);
        for net in [&mut fused, &mut candle] {
            let mut tangent = vec![f32::NAN; expected.len()];
            net.forward(&x).unwrap().tangent(&along, &mut tangent).unwrap();
            assert_close(&format!("{name}: tangent"), &tangent, &expected);
        }
        // With a changing input too, as for a link of a chain. A mask does not change.
        let moved: Vec<f32> = match name {
            "masked" => zeros,
            _ => draw(x.len(), 8),
        };
        let expected = slope(&*module, &params, &x, &along, &moved);
        let mut tangent = vec![f32::NAN; expected.len()];
        module.forward(&params, &x).unwrap();
        module.tangent(&params, &x, &along, Some(&moved), &mut tangent).unwrap();
        assert_close(&format!("{name}: tangent with a moving input"), &tangent, &expected);
    }
}

#[test]
fn a_head_without_a_part_in_the_loss_gets_no_gradient() {
    let module = critics(&NetworkConfig::mlp(&[8]), 2, &[4]).unwrap();
    let params = module.layout().len() / 2;
    for backend in ["cpu", "reference"] {
        let backend = Backend::by_name(backend).unwrap();
        let mut rng = Seeds::new(0).stream("init", 0);
        let mut net = Network::new(module.clone(), &backend, &mut rng).unwrap();
        let x = draw(20, 1);
        // The loss depends only on the first critic's value.
        let mut first: Vec<f32> = (0..10).map(|i| f32::from(u8::from(i % 2 == 0))).collect();
        let mut grad_x = vec![f32::NAN; 20];
        net.forward(&x).unwrap().backward_to_input(&mut first, &mut grad_x).unwrap();
        let grads = net.grads().unwrap();
        assert!(grads[..params].iter().any(|&g| g != 0.0));
        assert!(grads[params..].iter().all(|&g| g == 0.0));
        assert!(grad_x.iter().any(|&g| g != 0.0) && grad_x.iter().all(|g| g.is_finite()));
        // The loss depends on nothing: the gradient is zero, without values of the previous pass.
        net.forward(&x).unwrap().input_gradient(&mut [0.0; 10], &mut grad_x).unwrap();
        assert_eq!(grad_x, [0.0; 20]);
    }
}

/// A state-dependent log standard deviation is clipped to its bounds, with zero gradient outside.
#[test]
fn extreme_log_standard_deviations_are_held() {
    let body = NetworkConfig::mlp(&[]);
    for backend in ["cpu", "reference"] {
        let distribution = DiagGaussian::new(1);
        let net = policy_net(&body, &[1], &distribution, LogStd::OfState, Init::Pytorch).unwrap();
        let mut rng = Seeds::new(0).stream("init", 0);
        let mut net = Network::new(net, &Backend::by_name(backend).unwrap(), &mut rng).unwrap();
        net.set_params(&[1.0, 1.0, 0.0, 0.0]).unwrap();
        let pass = net.forward(&[-50.0, 0.5, 50.0]).unwrap();
        assert_eq!(pass.output(), [-50.0, -20.0, 0.5, 0.5, 50.0, 2.0]);
        pass.backward(&mut [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]).unwrap();
        assert_eq!(net.grads().unwrap(), [0.0, 0.5, 0.0, 1.0], "{backend}");
    }
}

#[test]
fn bytes_are_numbers_divided_by_their_range() {
    let module = with_head(&NetworkConfig::mlp(&[8]), &[6], |n| Linear::new(n, 2)).unwrap();
    for (range, backend) in [(255, "cpu"), (255, "reference"), (1, "cpu"), (1, "reference")] {
        let mut rng = Seeds::new(0).stream("init", 0);
        let backend = Backend::by_name(backend).unwrap();
        let net = Network::new(module.clone(), &backend, &mut rng).unwrap();
        let mut net = net.with_byte_range(range);
        let bytes: Vec<u8> = (0..12).map(|i| if i % 3 == 0 { 0 } else { range - i % 2 }).collect();
        let numbers: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / f32::from(range)).collect();
        let mut pass_of = |bytes_in: bool| {
            let mut grad_x = vec![f32::NAN; 12];
            let pass = match bytes_in {
                true => net.forward(&bytes).unwrap(),
                false => net.forward(&numbers).unwrap(),
            };
            let y = pass.output().to_vec();
            pass.backward_to_input(&mut [1.0, -1.0, 0.5, 2.0], &mut grad_x).unwrap();
            let grads = net.grads().unwrap();
            net.zero_grads().unwrap();
            (y, grad_x, grads)
        };
        let (a, b) = (pass_of(true), pass_of(false));
        assert_close("output", &a.0, &b.0);
        assert_close("input gradient", &a.1, &b.1);
        assert_close("gradient", &a.2, &b.2);
        let mut twin = net.twin().unwrap();
        assert_eq!(twin.predict(&bytes).unwrap(), net.predict(&bytes).unwrap());
    }
}

/// A module with only a candle definition, in single precision; each path lacks part of what it needs.
#[derive(Clone)]
struct OnlyReference {
    layout: Layout,
    single: bool,
}

impl Module for OnlyReference {
    fn input_len(&self) -> usize {
        2
    }
    fn output_len(&self) -> usize {
        2
    }
    fn layout(&self) -> &Layout {
        &self.layout
    }
    fn init(&self, params: &mut [f32], _: &mut Rng) {
        params.fill(0.5);
    }
    fn forward(&mut self, _: &[f32], _: &[f32]) -> Result<()> {
        Err(Error::Unsupported("a fused pass"))
    }
    fn output(&self) -> &[f32] {
        &[]
    }
    fn backward(
        &mut self,
        _: &[f32],
        _: &[f32],
        _: &mut [f32],
        _: Option<&mut [f32]>,
        _: Option<&mut [f32]>,
    ) -> Result<()> {
        Err(Error::Unsupported("a fused pass"))
    }
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        assert!(!self.single || input.dtype() == DType::F32, "a device without double precision");
        Ok(input.broadcast_mul(params)?.sin()?)
    }
    fn is_fused(&self) -> bool {
        false
    }
}

fn only_reference() -> OnlyReference {
    let mut layout = Layout::default();
    layout.push("scale", &[2]);
    OnlyReference { layout, single: false }
}

#[test]
fn a_part_without_a_fused_pass_brings_the_whole_network_to_candle() {
    let chain = Chain::new(3).then(Linear::new(3, 2).unwrap()).unwrap();
    let chain = chain.then(only_reference()).unwrap().then(Linear::new(2, 1).unwrap()).unwrap();
    let [mut asked_fused, mut candle] = ["cpu", "reference"].map(|backend| {
        let mut rng = Seeds::new(0).stream("init", 0);
        Network::new(chain.clone(), &Backend::by_name(backend).unwrap(), &mut rng).unwrap()
    });
    let x = draw(12, 1);
    let along = draw(chain.layout().len(), 2);
    let run = |net: &mut Network| {
        let mut pass = net.forward(&x).unwrap();
        let (y, mut tangent) = (pass.output().to_vec(), vec![0.0; 4]);
        pass.tangent(&along, &mut tangent).unwrap();
        pass.backward(&mut [1.0; 4]).unwrap();
        (y, tangent, net.grads().unwrap())
    };
    let (a, b) = (run(&mut asked_fused), run(&mut candle));
    assert_eq!(a, b);
    let expected = slope(&chain, &asked_fused.params().unwrap(), &x, &along, &[0.0; 12]);
    assert_close("tangent", &a.1, &expected);
}

/// The forward derivative of a network on a device is computed on the host, so the device need not support doubles.
#[derive(Clone)]
struct SingleOnly(Linear);

impl Module for SingleOnly {
    fn input_len(&self) -> usize {
        self.0.input_len()
    }
    fn output_len(&self) -> usize {
        self.0.output_len()
    }
    fn layout(&self) -> &Layout {
        self.0.layout()
    }
    fn init(&self, params: &mut [f32], rng: &mut Rng) {
        self.0.init(params, rng);
    }
    fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
        self.0.forward(params, input)
    }
    fn output(&self) -> &[f32] {
        self.0.output()
    }
    fn backward(
        &mut self,
        params: &[f32],
        input: &[f32],
        grad_output: &mut [f32],
        grads: Option<&mut [f32]>,
        grad_input: Option<&mut [f32]>,
    ) -> Result<()> {
        self.0.backward(params, input, grad_output, grads, grad_input)
    }
    fn tangent(
        &mut self,
        params: &[f32],
        input: &[f32],
        direction: &[f32],
        input_tangent: Option<&[f32]>,
        out: &mut [f32],
    ) -> Result<()> {
        self.0.tangent(params, input, direction, input_tangent, out)
    }
    fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
        match params.dtype() {
            DType::F32 => self.0.reference(params, input),
            _ => Err(Error::Unsupported("double precision")),
        }
    }
}

#[test]
fn tangents_on_a_device_need_no_double_precision() {
    let module = SingleOnly(Linear::new(2, 2).unwrap().with_activation(Activation::Tanh));
    let backend = Backend::candle(Device::Cpu);
    let mut net = Network::new(module, &backend, &mut Seeds::new(0).stream("init", 0)).unwrap();
    let (along, x) = (draw(6, 1), draw(4, 2));
    let mut tangent = [f32::NAN; 4];
    net.forward(&x).unwrap().tangent(&along, &mut tangent).unwrap();
    let linear = Linear::new(2, 2).unwrap().with_activation(Activation::Tanh);
    let expected = slope(&linear, &net.params().unwrap(), &x, &along, &[0.0; 4]);
    assert_close("tangent", &tangent, &expected);
}

#[test]
fn compositions_that_do_not_fit_are_errors() {
    let linear = |inputs, outputs| Linear::new(inputs, outputs).unwrap();
    let error = Chain::new(3).then(linear(4, 1)).unwrap_err().to_string();
    assert_eq!(error, "inputs of module 0: expected 3 elements, got 4");
    let error = Fork::new(3).head("a", linear(4, 1)).unwrap_err().to_string();
    assert_eq!(error, "inputs of head 'a': expected 3 elements, got 4");
    let twice = Fork::new(3).head("a", linear(3, 1)).unwrap().head("a", linear(3, 1)).unwrap();
    let mut rng = Seeds::new(0).stream("init", 0);
    let error = Network::new(twice, &Backend::cpu(), &mut rng).unwrap_err().to_string();
    assert_eq!(error, "weights: two parameters are named 'a.weight'");
    assert!(Network::new(Fork::new(3), &Backend::cpu(), &mut rng).is_err());
    let narrow = |_: &[usize]| Chain::new(2).then(Linear::new(2, 4)?);
    let error = with_head(&narrow, &[3], |n| Linear::new(n, 1)).unwrap_err().to_string();
    assert_eq!(error, "inputs of the body: expected 3 elements, got 2");
    // An error in a head is returned by the fork, on one thread and on several.
    for threads in [1, 2] {
        let mut fork = Fork::new(2).head("a", linear(2, 2)).unwrap();
        fork = fork.head("b", only_reference()).unwrap();
        fork.share_among(Backend::cpu().with_threads(threads).unwrap().threads());
        let params = vec![0.0; fork.layout().len()];
        let error = fork.forward(&params, &[1.0, 2.0]).unwrap_err().to_string();
        assert_eq!(error, "a fused pass is not supported by this network");
    }
    let masked = Masked::new(linear(2, 3), 3).unwrap();
    assert!(Masked::new(linear(2, 3), 4).is_err());
    assert!(ClampLogStd::new(2, 3).is_err());
    assert!(Fork::new(3).head("a", Fork::new(3)).is_err());
    assert_eq!((masked.input_len(), masked.output_len()), (5, 3));
    let error = NetworkConfig::nature().build(&[4, 20, 20]).unwrap_err().to_string();
    assert!(
        error.starts_with("conv.2.kernel: expected at most the padded image's size"),
        "{error}"
    );
}

#[test]
fn heads_on_a_shared_body_start_as_it_says() {
    let params = |init: Option<Init>| {
        let body = NetworkConfig { output_init: init, ..NetworkConfig::mlp(&[4]) };
        let config = ActorCriticConfig::default();
        let net = actor_critic(
            &config,
            Bodies::shared(&body),
            &BoxSpace::unbounded(3).unwrap(),
            &Categorical::new(2),
        )
        .unwrap();
        let mut rng = Seeds::new(0).stream("init", 0);
        Network::new(net, &Backend::cpu(), &mut rng).unwrap().params().unwrap()
    };
    let heads = |params: &[f32]| params[4 * 3 + 4..].iter().fold(0.0f32, |m, p| m.max(p.abs()));
    assert!(
        heads(&params(None)) <= 1.0 && heads(&params(Some(Init::Uniform { bound: 9.0 }))) > 4.0
    );
    let mut config = ActorCriticConfig::default();
    let trunk = NetworkConfig { output_init: Some(Init::Pytorch), ..NetworkConfig::default() };
    config.trunk = Some(trunk);
    let error = config.validate().unwrap_err().to_string();
    assert!(error.starts_with("trunk.output_init: expected none"), "{error}");
}

#[test]
fn hostile_numbers_are_errors() {
    let config = |init| NetworkConfig { init, ..NetworkConfig::default() };
    let error = config(Init::Uniform { bound: f64::INFINITY }).validate().unwrap_err().to_string();
    assert_eq!(error, "init.uniform.bound: expected a finite number >= 0, got inf");
    let error = config(Init::Orthogonal { gain: f64::NAN }).validate().unwrap_err().to_string();
    assert_eq!(error, "init.orthogonal.gain: expected a finite number >= 0, got NaN");
    assert!(Linear::new(1 << 62, 4).is_err() && Linear::new(4, 1 << 62).is_err());
    let mut layout = Layout::default();
    layout.push("__metadata__", &[2]);
    let named = OnlyReference { layout, single: false };
    let mut rng = Seeds::new(0).stream("init", 0);
    let error = Network::new(named, &Backend::cpu(), &mut rng).unwrap_err().to_string();
    assert_eq!(error, "weights: no parameter may be named '__metadata__'");

    for backend in [Backend::cpu(), Backend::candle(Device::Cpu)] {
        let mut net = Network::new(Linear::new(1, 1).unwrap(), &backend, &mut rng).unwrap();
        let mut adam = net.optimizer(OptimizerConfig::adam()).unwrap();
        let before = net.params().unwrap();
        for (rate, norm) in [(f64::NAN, None), (f64::INFINITY, None), (0.1, Some(f64::NAN))] {
            net.forward(&[1.0]).unwrap().backward(&mut [1.0]).unwrap();
            assert!(net.step(&mut adam, rate, norm).is_err());
            assert_eq!(net.params().unwrap(), before);
        }
        // Both have two vectors of moments; the methods must still be distinguished.
        let centred = OptimizerConfig::RmsProp {
            alpha: 0.9,
            eps: 1e-5,
            eps_inside_root: false,
            centered: true,
            momentum: 0.0,
            initial_accumulator: 0.0,
        };
        let mut other = net.optimizer(centred).unwrap();
        let error = other.load(&adam.save().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "optimizer: expected rmsprop, got adam");
    }
}

#[test]
fn the_published_networks_have_their_sizes() {
    for (network, shape, features, params) in [
        (NetworkConfig::nature(), [4, 84, 84], 512, 8_224 + 32_832 + 36_928 + 1_606_144),
        (NetworkConfig::impala_small(), [4, 84, 84], 256, 4_112 + 8_224 + 663_808),
        (NetworkConfig::minatar(), [4, 10, 10], 128, 592 + 131_200),
    ] {
        let body = rl_nets::Body::build(&network, &shape).unwrap();
        assert_eq!((body.output_len(), body.layout().len()), (features, params));
    }
}

#[test]
fn settings_of_networks_are_fields_or_a_name() {
    let read = |text: &str| serde_json::from_str::<NetworkConfig>(text);
    assert_eq!(read("\"nature\"").unwrap(), NetworkConfig::nature());
    assert_eq!(read("\"minatar\"").unwrap(), NetworkConfig::minatar());
    assert_eq!(read("\"impala-small\"").unwrap(), NetworkConfig::impala_small());
    assert_eq!(read("{\"hidden\": [3]}").unwrap(), NetworkConfig::mlp(&[3]));
    let error = read("\"natur\"").unwrap_err().to_string();
    assert!(error.contains("\"nature\", \"minatar\" or \"impala-small\""), "{error}");
    let error = read("{\"hiden\": [3]}").unwrap_err().to_string();
    assert!(error.contains("unknown field `hiden`"), "{error}");
    let nature = NetworkConfig::nature();
    let text = serde_json::to_string(&nature).unwrap();
    assert_eq!(read(&text).unwrap(), nature);
}

#[test]
fn a_module_of_ones_own_is_checked_in_words() {
    /// Adds a parameter to each element, with one fault at a time.
    #[derive(Clone)]
    struct Shift {
        layout: Layout,
        fault: &'static str,
        output: Vec<f32>,
    }
    impl Module for Shift {
        fn input_len(&self) -> usize {
            2
        }
        fn output_len(&self) -> usize {
            2
        }
        fn layout(&self) -> &Layout {
            &self.layout
        }
        fn forward(&mut self, params: &[f32], input: &[f32]) -> Result<()> {
            let by = if self.fault == "output" { 0.0 } else { 1.0 };
            self.output.clear();
            self.output.extend(input.iter().map(|x| x + by * params[0]));
            Ok(())
        }
        fn output(&self) -> &[f32] {
            &self.output
        }
        fn backward(
            &mut self,
            _: &[f32],
            _: &[f32],
            grad_output: &mut [f32],
            grads: Option<&mut [f32]>,
            grad_input: Option<&mut [f32]>,
        ) -> Result<()> {
            let sum: f32 = grad_output.iter().sum();
            if let Some(grads) = grads {
                match self.fault {
                    "overwritten" => grads[0] = sum,
                    _ => grads[0] += sum,
                }
            }
            match (grad_input, self.fault) {
                (Some(out), "input") => out.iter_mut().for_each(|o| *o += 1.0),
                (Some(out), _) => out.copy_from_slice(grad_output),
                _ => {}
            }
            if self.fault == "spoilt" {
                self.output.fill(0.0);
            }
            Ok(())
        }
        fn tangent(
            &mut self,
            _: &[f32],
            _: &[f32],
            direction: &[f32],
            input_tangent: Option<&[f32]>,
            out: &mut [f32],
        ) -> Result<()> {
            out.fill(direction[0]);
            if let (Some(moved), true) = (input_tangent, self.fault != "tangent") {
                out.iter_mut().zip(moved).for_each(|(o, m)| *o += m);
            }
            Ok(())
        }
        fn reference(&self, params: &Tensor, input: &Tensor) -> Result<Tensor> {
            Ok(input.broadcast_add(params)?)
        }
    }
    for (fault, words) in [
        ("output", "output[0] is"),
        ("overwritten", "gradient of the parameters[0] is"),
        ("input", "gradient of the input[0] is NaN"),
        ("spoilt", "output after a backward pass[0] is 0"),
        ("tangent", "tangent with a moving input[0] is"),
    ] {
        let mut layout = Layout::default();
        layout.push("shift", &[1]);
        let problems = check_module(&Shift { layout, fault, output: Vec::new() }).unwrap();
        assert!(problems.iter().any(|p| p.contains(words)), "{fault}: {problems:?}");
    }
    assert_eq!(check_module(&Dueling::new(3).unwrap()).unwrap(), [""; 0]);
    assert_eq!(check_module(&FreeLogStd::new(3, 2, -0.5)).unwrap(), [""; 0]);
    for (name, module) in actor_critics().into_iter().chain(others()) {
        // Random numbers are not a valid mask.
        if name != "masked" {
            assert_eq!(check_module(&module).unwrap(), [""; 0], "{name}");
        }
    }
}

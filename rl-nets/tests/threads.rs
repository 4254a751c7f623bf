//! Results are bit-identical for any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::*;
use rl_core::Seeds;
use rl_nets::{
    Activation, ActorCriticConfig, Backend, ConvConfig, DiagGaussian, Linear, LogStd, Module,
    Network, NetworkConfig, OptimizerConfig, Threads, actor_critic, critics, with_head,
};

fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut rng = Seeds::new(seed).stream("data", 0);
    (0..n).map(|_| rng.normal() as f32).collect()
}

/// The output, its forward derivative, the gradient of the input, and the parameters after two steps.
fn train(
    module: &dyn Module,
    optimizer: &OptimizerConfig,
    backend: &Backend,
    (batch, seed): (usize, u64),
) -> [Vec<f32>; 4] {
    let mut rng = Seeds::new(seed).stream("init", 0);
    let mut net = Network::new(module.boxed_clone(), backend, &mut rng).unwrap();
    let mut optimizer = net.optimizer(optimizer.clone()).unwrap();
    let x = draw(batch * net.input_len(), seed);
    let (mut y, mut tangent, mut gradient) = (Vec::new(), Vec::new(), vec![0.0; x.len()]);
    let direction = draw(net.num_params(), seed + 1);
    for _ in 0..2 {
        let mut pass = net.forward(&x).unwrap();
        y = pass.output().to_vec();
        let mut grad: Vec<f32> = y.iter().map(|y| y / batch as f32).collect();
        tangent.resize(y.len(), 0.0);
        pass.tangent(&direction, &mut tangent).unwrap();
        pass.backward_to_input(&mut grad, &mut gradient).unwrap();
        net.step(&mut optimizer, 1e-2, Some(0.5)).unwrap();
    }
    [y, tangent, gradient, net.params().unwrap()]
}

fn modules(inputs: usize, width: usize, layer_norm: bool) -> Vec<Box<dyn Module>> {
    let mlp = |activation| NetworkConfig {
        hidden: vec![width, width + 5],
        activation,
        layer_norm,
        ..NetworkConfig::default()
    };
    let distribution = DiagGaussian::new(2);
    let separate = ActorCriticConfig {
        actor: mlp(Activation::Tanh),
        critic: mlp(Activation::Relu),
        log_std: LogStd::OfState,
        ..ActorCriticConfig::default()
    };
    let shared = ActorCriticConfig { trunk: Some(mlp(Activation::Silu)), ..separate.clone() };
    let agent = |config: &ActorCriticConfig| {
        Box::new(
            actor_critic(
                config,
                config.bodies(),
                &rl_core::BoxSpace::unbounded(inputs).unwrap(),
                &distribution,
            )
            .unwrap(),
        )
    };
    let images = NetworkConfig {
        conv: vec![ConvConfig { channels: 16, kernel: 3, stride: 1, padding: 1 }],
        ..mlp(Activation::Relu)
    };
    let head = |body: &NetworkConfig, shape: &[usize]| {
        Box::new(with_head(body, shape, |features| Linear::new(features, 3)).unwrap())
    };
    vec![
        head(&mlp(Activation::Gelu), &[inputs]),
        agent(&separate),
        agent(&shared),
        Box::new(critics(&mlp(Activation::Relu), 2, &[inputs]).unwrap()),
        Box::new(critics(&mlp(Activation::Elu), 3, &[inputs]).unwrap()),
        head(&images, &[inputs % 4 + 1, 10, 10]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn threads_change_no_bit(
        inputs in 1usize..40, width in 90usize..400, batch in 1usize..200, seed: u32,
        layer_norm: bool, which in 0usize..6, method in 0usize..3,
    ) {
        let optimizer = [
            OptimizerConfig::adam(),
            OptimizerConfig::RmsProp {
                alpha: 0.9, eps: 1e-5, eps_inside_root: true, centered: true, momentum: 0.5,
                initial_accumulator: 0.25,
            },
            OptimizerConfig::Sgd { momentum: 0.9, nesterov: true },
        ];
        let module = &*modules(inputs, width, layer_norm)[which];
        let run = |backend: &Backend| train(module, &optimizer[method], backend, (batch, seed.into()));
        let one = run(&Backend::cpu());
        for count in [2, 3, 5] {
            let threads = Backend::cpu().with_threads(count).unwrap();
            prop_assert!(run(&threads) == one, "{count} threads");
        }
    }
}

#[test]
fn two_agents_may_share_threads() {
    let backend = Backend::cpu().with_threads(2).unwrap();
    let run = |backend: &Backend| {
        let module = &*modules(8, 128, false)[0];
        train(module, &OptimizerConfig::adam(), backend, (128, 1))
    };
    let one = run(&Backend::cpu());
    std::thread::scope(|scope| {
        let learners = [(); 3].map(|()| {
            let clone = backend.clone();
            let (run, one) = (&run, &one);
            scope.spawn(move || (0..20).all(|_| run(&clone) == *one))
        });
        for learner in learners {
            assert!(learner.join().unwrap());
        }
    });
}

#[test]
fn no_threads_are_an_error() {
    let error = Threads::new(0).unwrap_err().to_string();
    assert!(error.starts_with("threads"), "{error}");
    assert_eq!((Threads::one().count(), Threads::new(3).unwrap().count()), (1, 3));
}

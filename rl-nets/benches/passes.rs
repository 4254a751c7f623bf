//! Benchmarks of the parts of a gradient step: `cargo bench --workspace --bench passes`.

#![allow(clippy::unwrap_used)] // A bench that cannot run should panic.

use divan::{Bencher, black_box};
use rl_core::Seeds;
use rl_nets::{
    Activation, ActorCriticConfig, Backend, Categorical, Coefficients, Distribution, Linear,
    Network, NetworkConfig, OptimizerConfig, PolicyRows, Result, actor_critic, ppo_clip, with_head,
};

fn main() {
    divan::main();
}

/// Inputs, width of the two hidden layers, outputs, batch size.
const SHAPES: [(usize, usize, usize, usize); 4] =
    [(4, 64, 2, 1), (4, 64, 2, 64), (4, 256, 2, 64), (17, 256, 6, 256)];

struct Setup {
    net: Network,
    x: Vec<f32>,
    grad: Vec<f32>,
}

fn setup((inputs, width, outputs, batch): (usize, usize, usize, usize)) -> Result<Setup> {
    let config = NetworkConfig {
        hidden: vec![width; 2],
        activation: Activation::Tanh,
        ..NetworkConfig::default()
    };
    let mut rng = Seeds::new(0).stream("init", 0);
    let mlp = with_head(&config, &[inputs], |features| Linear::new(features, outputs))?;
    let net = Network::new(mlp, &Backend::cpu(), &mut rng)?;
    let x = (0..batch * inputs).map(|_| rng.normal() as f32).collect();
    Ok(Setup { net, x, grad: vec![0.01; batch * outputs] })
}

#[divan::bench(args = SHAPES)]
fn forward(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize)) {
    let Setup { mut net, x, .. } = setup(shape).unwrap();
    bencher.bench_local(|| net.predict(black_box(&x)).map(|y| y[0]));
}

/// Including the required forward pass.
#[divan::bench(args = SHAPES)]
fn backward(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize)) {
    let Setup { mut net, x, mut grad } = setup(shape).unwrap();
    bencher.bench_local(|| net.forward(black_box(&x)).and_then(|pass| pass.backward(&mut grad)));
}

#[divan::bench(args = SHAPES)]
fn adam(bencher: Bencher<'_, '_>, shape: (usize, usize, usize, usize)) {
    let Setup { mut net, x, mut grad } = setup(shape).unwrap();
    let mut adam = net.optimizer(OptimizerConfig::adam()).unwrap();
    net.forward(&x).unwrap().backward(&mut grad).unwrap();
    bencher.bench_local(|| net.step(&mut adam, 1e-4, Some(0.5)));
}

/// The loss and gradient of the clipped objective for this many rows of two choices.
#[divan::bench(args = [64, 256, 2048])]
fn ppo_clip_loss(bencher: Bencher<'_, '_>, rows: usize) {
    let choice = Categorical::new(2);
    let config = ActorCriticConfig::default();
    let net =
        actor_critic(&config, config.bodies(), &rl_core::BoxSpace::unbounded(4).unwrap(), &choice)
            .unwrap();
    let mut rng = Seeds::new(0).stream("rows", 0);
    let mut net = Network::new(net, &Backend::cpu(), &mut rng).unwrap();
    let mut draw = |n: usize| (0..n).map(|_| rng.normal() as f32).collect::<Vec<_>>();
    let (x, advantages, returns) = (draw(rows * 4), draw(rows), draw(rows));
    let output = net.predict(&x).unwrap().to_vec();
    let actions: Vec<u32> = (0..rows as u32).map(|i| i % 2).collect();
    let log_probs: Vec<f32> = output
        .chunks_exact(3)
        .zip(&actions)
        .map(|(row, action)| choice.log_prob(&row[..2], std::slice::from_ref(action)))
        .collect();
    let values: Vec<f32> = output.chunks_exact(3).map(|row| row[2]).collect();
    let mut grad = vec![0.0; output.len()];
    let coefficients = Coefficients { value: 0.5, entropy: 0.01 };
    bencher.bench_local(|| {
        let rows = PolicyRows {
            actions: &actions,
            log_probs: &log_probs,
            advantages: &advantages,
            returns: &returns,
            values: &values,
        };
        let output = black_box(&output);
        ppo_clip(&choice, output, rows, 0.2, None, coefficients, &mut grad)
    });
}

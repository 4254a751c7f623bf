//! A network by hand: layers in a chain, forward and backward passes, steps of an optimiser with a clipped gradient, and
//! weights in a file that PyTorch reads too. It learns a sine.
//!
//! `cargo run --release --package rl-nets --example regression`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{Schedule, Seeds};
use rl_nets::{Activation, Backend, Chain, Linear, Network, OptimizerConfig, Result};

const BATCH: usize = 64;
const STEPS: u32 = 2_000;

fn layers() -> Result<Chain> {
    Chain::new(1)
        .then(Linear::new(1, 64)?.with_activation(Activation::Tanh))?
        .then(Linear::new(64, 64)?.with_activation(Activation::Tanh))?
        .then(Linear::new(64, 1)?)
}

fn main() -> Result<()> {
    let seeds = Seeds::new(0);
    let mut net = Network::new(layers()?, &Backend::cpu(), &mut seeds.stream("init", 0))?;
    let mut adam = net.optimizer(OptimizerConfig::adam())?;
    let learning_rate = Schedule::linear(3e-3, 0.0);
    let mut rng = seeds.stream("data", 0);
    for step in 0..STEPS {
        // Rows one after another: `[BATCH, 1]` in, `[BATCH, 1]` out.
        let x = [0.0; BATCH].map(|_: f32| rng.uniform(-3.0, 3.0) as f32);
        let pass = net.forward(&x)?;
        // The gradient of the mean squared error with respect to the output.
        let share = 2.0 / BATCH as f32;
        let errors = pass.output().iter().zip(x).map(|(y, x)| share * (y - x.sin()));
        let mut grad: Vec<f32> = errors.collect();
        pass.backward(&mut grad)?;
        let rate = learning_rate.at(f64::from(step) / f64::from(STEPS));
        net.step(&mut adam, rate, Some(10.0))?;
    }

    let x: Vec<f32> = (-30..=30).map(|i| i as f32 / 10.0).collect();
    let predicted = net.predict(&x)?.to_vec();
    let errors = x.iter().zip(&predicted).map(|(x, y)| (y - x.sin()).abs());
    let worst = errors.fold(0.0, f32::max);
    assert!(worst < 0.05, "{worst}");

    // The bytes of a safetensors file, for another network of the same layers.
    let mut copy = Network::new(layers()?, &Backend::cpu(), &mut seeds.stream("init", 1))?;
    copy.load(&net.save()?)?;
    assert_eq!(copy.predict(&x)?, predicted);
    println!("a sine by {} parameters: the largest error is {worst:.4}", net.num_params());
    Ok(())
}

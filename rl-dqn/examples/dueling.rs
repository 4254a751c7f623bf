//! A dueling network for DQN (Wang et al., 2016): a value and an advantage of each action on one trunk,
//! `Q = V + A - mean A`. A chain, a fork, and a leaf that puts the two together.
//!
//! `cargo run --release --package rl-dqn --example dueling`
#![allow(clippy::print_stdout)]

use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::CartPole;
use rl_nets::{Body, Chain, Dueling, Fork, Linear, NetworkConfig, Result, TdLoss};

/// The network for observations of a shape.
fn dueling(shape: &[usize], actions: usize) -> Result<Chain> {
    let trunk = NetworkConfig::mlp(&[64]).build(shape)?;
    let stream = |outputs| {
        let hidden = NetworkConfig::mlp(&[64]).build(&[64])?;
        hidden.then(Linear::new(64, outputs)?)
    };
    let streams = Fork::new(64).head("value", stream(1)?)?.head("advantage", stream(actions)?)?;
    trunk.then_named("", streams)?.then(Dueling::new(actions)?)
}

fn main() -> rl_core::Result<()> {
    let config = DqnConfig {
        loss: TdLoss::Mse,
        max_grad_norm: None,
        learning_rate: Schedule::linear(2e-3, 1e-5),
        batch_size: 64,
        learning_starts: 1_000,
        train_freq: 1,
        target_update_interval: 1,
        tau: 0.005,
        double_q: true,
        epsilon: Schedule::linear(1.0, 0.1).over(0.3),
        ..DqnConfig::default()
    };
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?], Seeds::new(0));
    let (net, backend) = (dueling(&[4], 2)?, Backend::cpu());
    let agent = Dqn::with_network(&config, net, &envs()?, &backend, Seeds::new(0))?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(30_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > 100.0, "{mean}");
    println!("dueling DQN on CartPole: mean return {mean}");
    Ok(())
}

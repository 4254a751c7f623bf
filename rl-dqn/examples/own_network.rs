//! A network of one's own: a function builds layers for whatever observations there are, here with layer norm and SiLU.
//! DQN puts its layer of action values on them. `dueling.rs` is a whole network, `candle_model.rs` a model of candle.
//!
//! `cargo run --release --package rl-dqn --example own_network`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::CartPole;
use rl_nets::{Activation, Chain, Linear, Result};

/// Two layers. The shape is `[4]` for CartPole, and `[channels, height, width]` for images.
fn body(shape: &[usize]) -> Result<Chain> {
    let inputs = shape.iter().product();
    let layer = |inputs, outputs| -> Result<Linear> {
        Ok(Linear::new(inputs, outputs)?.with_layer_norm().with_activation(Activation::Silu))
    };
    Chain::new(inputs).then(layer(inputs, 64)?)?.then(layer(64, 64)?)
}

fn main() -> rl_core::Result<()> {
    let config = DqnConfig {
        learning_rate: Schedule::linear(2e-3, 1e-5),
        batch_size: 64,
        learning_starts: 1_000,
        train_freq: 1,
        target_update_interval: 1,
        tau: 0.005,
        epsilon: Schedule::linear(1.0, 0.1).over(0.3),
        ..DqnConfig::default()
    };
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?], Seeds::new(0));
    let agent = Dqn::with_body(&config, &body, &envs()?, &Backend::cpu(), Seeds::new(0))?;
    for parameter in agent.network().layout().entries() {
        println!("{} {:?}", parameter.name, parameter.shape);
    }
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(20_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > 100.0, "{mean}");
    println!("DQN on CartPole: mean return {mean}");
    Ok(())
}

//! One body, a closure that builds layers with layer norm and SiLU, in two agents: PPO, whose policy and value read
//! its features together, and SAC, whose actor and critics get a copy each.
//!
//! `cargo run --release --package xtask --example shared_body`
#![allow(clippy::print_stdout)]

use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_ddpg::{Sac, SacConfig};
use rl_envs::{CartPole, Pendulum};
use rl_nets::{Activation, Backend, Bodies, Chain, Linear, Module, Result};
use rl_ppo::{Ppo, PpoConfig};

/// Two layers of 64 units for rows of any width.
fn body(shape: &[usize]) -> Result<Chain> {
    [64, 64].into_iter().try_fold(Chain::new(shape.iter().product()), |chain, units| {
        let layer = Linear::new(chain.output_len(), units)?;
        chain.then(layer.with_layer_norm().with_activation(Activation::Silu))
    })
}

fn main() -> rl_core::Result<()> {
    let (seeds, backend) = (Seeds::new(0), Backend::cpu());

    let poles = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?; 4], seeds);
    let config =
        PpoConfig { learning_rate: Schedule::constant(1e-3), n_steps: 256, ..PpoConfig::default() };
    let ppo = Ppo::with_bodies(&config, Bodies::shared(&body), &poles()?, &backend, seeds)?;
    let mut trainer = Trainer::new(poles()?, ppo, TrainerConfig::new(40_000))?;
    trainer.run()?;
    let ppo = evaluate(trainer.agent_mut(), &mut poles()?, 10)?.mean();
    assert!(ppo > 300.0, "{ppo}");

    let pendulum = || SerialVecEnv::new(vec![TimeLimit::new(Pendulum::default(), 200)?], seeds);
    let rate = Schedule::constant(2e-3);
    let config = SacConfig {
        actor_learning_rate: rate.clone(),
        critic_learning_rate: rate.clone(),
        ent_coef_learning_rate: rate,
        batch_size: 64,
        learning_starts: 500,
        ..SacConfig::default()
    };
    let sac = Sac::with_bodies(&config, (&body, &body), &pendulum()?, &backend, seeds)?;
    let mut trainer = Trainer::new(pendulum()?, sac, TrainerConfig::new(8_000))?;
    trainer.run()?;
    let sac = evaluate(trainer.agent_mut(), &mut pendulum()?, 10)?.mean();
    assert!(sac > -400.0, "{sac}");
    println!("one body: PPO on CartPole {ppo}, SAC on Pendulum {sac:.0}");
    Ok(())
}

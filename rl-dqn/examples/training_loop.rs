//! The training loop by hand: act, step, observe, update. It is what [`Trainer`](rl_core::Trainer) does, for programs that
//! want their own. DQN on CartPole, with the returns of finished episodes and the agent's metrics.
//!
//! `cargo run --release --package rl-dqn --example training_loop`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{
    Agent, Metrics, Progress, Schedule, Seeds, SerialVecEnv, TimeLimit, VecEnv, evaluate,
};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::CartPole;
use rl_nets::TdLoss;

const TOTAL: u64 = 16_000;
const ENVS: usize = 4;

fn main() -> rl_core::Result<()> {
    let seeds = Seeds::new(0);
    let make = |n| SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?; n], seeds);
    let mut envs = make(ENVS)?;
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
    let mut agent = Dqn::new(&config, &envs, &Backend::cpu(), seeds)?;
    let (mut metrics, mut actions, mut returns) = (Metrics::default(), [0; ENVS], Vec::new());

    envs.reset()?;
    let mut step = 0;
    while step < TOTAL {
        // Schedules, of epsilon and of the step size, follow the progress.
        let progress = Progress { step, total: TOTAL };
        agent.act(envs.batch().observations(), progress, &mut actions)?;
        // Actions may be changed here; the agent learns from those that were taken.
        envs.step(&actions)?; // where an episode ends, the next one begins by itself
        step += ENVS as u64;
        agent.observe(&envs.batch().transitions(&actions))?;
        agent.update(Progress { step, total: TOTAL }, &mut metrics)?;

        returns.extend(envs.batch().episodes().iter().map(|episode| episode.episode_return));
        if step.is_multiple_of(4_000) {
            let recent = &returns[returns.len().saturating_sub(20)..];
            let mean = recent.iter().sum::<f64>() / recent.len() as f64;
            let loss = metrics.mean("loss").unwrap_or(f64::NAN);
            println!(
                "step {step:>6}: {} episodes, mean return {mean:.1}, loss {loss:.4}",
                returns.len()
            );
            metrics.clear();
        }
    }
    let mean = evaluate(&mut agent, &mut make(1)?, 10)?.mean();
    assert!(mean > 100.0, "{mean}");
    println!("without exploration: mean return {mean}");
    Ok(())
}

//! Trains PPO in CartPole: progress bar, run folder, and resuming where a run was stopped.
//!
//! ```text
//! cargo run --release --package rl-ppo --example train -- runs/cartpole
//! ```
#![allow(clippy::print_stdout)] // A program, unlike the libraries, prints.

use rl_core::run::{ProgressDisplay, Run};
use rl_envs::{Copies, DiscreteVecEnv, make_discrete};
use rl_ppo::{AgentConfig, Backend, PRESETS, PpoConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or("runs/cartpole".to_owned());

    // Tuned settings; any can be changed here. A folder with a run in it goes on with that.
    let mut run = Run::begin_or_resume(&folder, PRESETS.find("ppo", "CartPole-v1")?)?;
    run = run.with_reporter(ProgressDisplay::stderr());
    if let Some(step) = arguments.next() {
        run = run.stop_at(step.parse()?);
    }

    // Environments to train in, and alike for evaluations.
    let make = |copies: Copies| -> rl_core::Result<DiscreteVecEnv> {
        Ok(make_discrete("CartPole-v1", copies)?)
    };
    let envs = make(Copies::new(run.config().envs, run.seeds()))?;
    let settings: PpoConfig = run.settings()?;
    let agent = settings.build(&envs, &Backend::cpu(), run.seeds())?;

    match run.train(envs, agent, |n, seeds| make(Copies::for_evaluation(n, seeds)))? {
        Some(summary) => print!("{summary}"),
        None => println!("stopped; the same command goes on"),
    }
    Ok(())
}

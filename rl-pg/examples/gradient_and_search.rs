//! Two ways to a policy for CartPole: advantage actor-critic follows a gradient, evolution strategies try out parameters.
//! One function trains either, since settings build their agent whatever the algorithm is ([`AgentConfig`]).
//!
//! `cargo run --release --package rl-pg --example gradient_and_search`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{
    Agent, BoxSpace, Discrete, MemorySink, Result, Schedule, Seeds, SerialVecEnv, TimeLimit,
    Trainer, TrainerConfig, evaluate,
};
use rl_envs::CartPole;
use rl_pg::{A2cConfig, AgentConfig, Backend, EvolutionStrategiesConfig};

/// Trains for so many steps of eight environments, and returns the mean return of the policy learned.
fn train<C: AgentConfig<BoxSpace, Discrete>>(config: &C, steps: u64) -> Result<f64> {
    let seeds = Seeds::new(0);
    let envs = || SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 500)?; 8], seeds);
    let agent = config.build(&envs()?, &Backend::cpu(), seeds)?;
    let rows = MemorySink::default();
    let config = TrainerConfig { log_every: steps / 4, ..TrainerConfig::new(steps) };
    let mut trainer = Trainer::new(envs()?, agent, config)?.with_sink(rows.clone());
    trainer.run()?;
    let name = trainer.agent().name();
    for row in rows.rows() {
        let returns = row.values.iter().find(|(name, _)| name == "episode_return");
        println!("{name}, step {:>6}: mean return {:.1}", row.step, returns.map_or(0.0, |r| r.1));
    }
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 16)?.mean();
    println!("{name}, without exploration: {mean:.1}");
    Ok(mean)
}

fn main() -> Result<()> {
    let a2c = A2cConfig { learning_rate: Schedule::linear(2e-3, 0.0), ..A2cConfig::default() };
    let returns = train(&a2c, 100_000)?;
    assert!(returns > 150.0, "{returns}");

    // A linear policy of eight numbers and two biases; a generation is eight candidates, one an environment.
    let search = EvolutionStrategiesConfig::default();
    let returns = train(&search, 50_000)?;
    assert!(returns > 150.0, "{returns}");
    Ok(())
}

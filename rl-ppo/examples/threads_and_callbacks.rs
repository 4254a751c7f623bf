//! Environments on threads, and code that runs after each round: an evaluation at intervals, and a callback of one's own
//! that records a metric and stops the run. However many threads step the environments, the run ends in the same bits.
//!
//! `cargo run --release --package rl-ppo --example threads_and_callbacks`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{
    Callback, Context, EvaluateEvery, MemorySink, Outcome, Result, Schedule, Sections, Seeds,
    Signal, ThreadedVecEnv, TimeLimit, Trainer, TrainerConfig,
};
use rl_envs::CartPole;
use rl_ppo::{Backend, Ppo, PpoConfig};

/// Stops a run when the recent episodes are good enough.
struct GoodEnough {
    target: f64,
    best: f64,
}

impl<V, A> Callback<V, A> for GoodEnough {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        let mean = context.recent_return().unwrap_or(0.0);
        self.best = self.best.max(mean);
        // It is in the next row of metrics, beside those of the agent.
        context.metrics.record("best_return", self.best);
        let enough = context.recent.len() >= 20 && mean >= self.target;
        Ok(if enough { Signal::Stop } else { Signal::Continue })
    }

    // A resumed run goes on from here.
    fn save(&self) -> Result<Vec<u8>> {
        rl_core::codec::encode(&self.best)
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        self.best = rl_core::codec::decode("best return", bytes)?;
        Ok(())
    }
}

/// Trains with so many threads; returns the step at which the run was stopped and all its state.
fn train(threads: usize) -> Result<(u64, Sections)> {
    let (seeds, sink) = (Seeds::new(0), MemorySink::default());
    let env = || TimeLimit::new(CartPole::default(), 500);
    let envs = |seeds| ThreadedVecEnv::new(vec![env()?; 8], seeds, threads);
    let config = PpoConfig {
        learning_rate: Schedule::constant(1e-3),
        n_steps: 128,
        batch_size: 256,
        ..PpoConfig::default()
    };
    let agent = Ppo::new(&config, &envs(seeds)?, &Backend::cpu(), seeds)?;
    let mut trainer = Trainer::new(
        envs(seeds)?,
        agent,
        TrainerConfig { window: 20, ..TrainerConfig::new(200_000) },
    )?
    // Evaluations have environments of their own, and draw from no stream of the run.
    .with_callback(EvaluateEvery::new(envs(seeds)?, seeds, 10_000, 8)?)
    .with_callback(GoodEnough { target: 150.0, best: 0.0 })
    .with_sink(sink.clone());
    let outcome = trainer.run()?;
    assert_eq!(outcome, Outcome::Stopped);
    for row in sink.rows() {
        let value = |name| row.values.iter().find(|(n, _)| n == name).map(|(_, value)| *value);
        if let (Some(evaluated), Some(best)) = (value("evaluation_return"), value("best_return")) {
            println!("step {:>6}: evaluated {evaluated:.1}, best {best:.1}", row.step);
        }
    }
    Ok((trainer.step(), trainer.sections()?))
}

fn main() -> Result<()> {
    let (stopped, state) = train(1)?;
    assert!(stopped < 200_000);
    assert_eq!((stopped, state.differences(&train(3)?.1)), (stopped, vec![]));
    println!("stopped at step {stopped}, with one thread as with three");
    Ok(())
}

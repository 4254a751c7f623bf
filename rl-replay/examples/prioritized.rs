//! A replay memory by hand: transitions of a frozen lake, walked at random, from which a table of action values is
//! learned. It is drawn from uniformly and by priority. The goal is rarely reached, so what leads there should be drawn
//! more often than it was seen: by priority the table is learned in fewer minibatches.
//!
//! `cargo run --release --package rl-replay --example prioritized`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, VecEnv};
use rl_envs::Tabular;
use rl_replay::{
    Batch, Horizon, Prioritized, PrioritizedConfig, Replay, Result, Rows, Sampler, Uniform,
};

const CAPACITY: usize = 20_000;
const BATCH: usize = 32;
const MOST: u32 = 20_000;
const GAMMA: f64 = 0.9;

/// A memory of random steps. Which of them are drawn is up to `sampler`.
fn filled(sampler: Box<dyn Sampler>) -> Result<Replay<u32, u32>> {
    let seeds = Seeds::new(0);
    let lake = TimeLimit::new(Tabular::frozen_lake_8x8(false), 200)?;
    let mut envs = SerialVecEnv::new(vec![lake], seeds)?;
    // One environment, an observation and an action of one number each.
    let mut replay = Replay::new(Box::new(Rows::new(CAPACITY, 1, 1, 1)?), sampler)?;
    let mut rng = seeds.stream("actions", 0);
    envs.reset()?;
    for _ in 0..CAPACITY {
        let actions = [rng.below(4) as u32];
        envs.step(&actions)?;
        replay.push(&envs.batch().transitions(&actions))?;
    }
    Ok(replay)
}

/// Minibatches until the value of the start is known: the goal is fourteen steps away and its reward is 1.
fn minibatches(mut replay: Replay<u32, u32>) -> Result<u32> {
    let mut rng = Seeds::new(0).stream("replay", 0);
    let (mut batch, mut errors) = (Batch::new(BATCH, 1, 1)?, [0.0; BATCH]);
    let mut values = [[0.0f32; 4]; 64];
    let largest = |values: [f32; 4]| values.into_iter().fold(0.0, f32::max);
    let horizon = Horizon { n_step: 1, gamma: GAMMA };
    let mut count = 0;
    while (largest(values[0]) - GAMMA.powi(13) as f32).abs() > 0.01 {
        // The share of the run that is over, which importance weights may depend on.
        replay.sample(&mut rng, f64::from(count) / f64::from(MOST), horizon, &mut batch)?;
        for (i, error) in errors.iter_mut().enumerate() {
            let next = batch.next_observations()[i] as usize;
            // The discount is 0 after a termination.
            let target = batch.rewards()[i] + batch.discounts()[i] * largest(values[next]);
            let (cell, action) = (batch.observations()[i] as usize, batch.actions()[i] as usize);
            let value = &mut values[cell][action];
            *error = (target - *value).abs();
            *value += 0.5 * batch.weights()[i] * (target - *value);
        }
        replay.update(&batch, &errors)?;
        count += 1;
        assert!(count < MOST, "not learned: {:?}", values[0]);
    }
    Ok(count)
}

fn main() -> Result<()> {
    let uniform = minibatches(filled(Box::new(Uniform))?)?;
    // The lake is firm: what an action leads to is not a matter of chance, so drawing some transitions more often biases
    // nothing, and importance weights would only make steps smaller.
    let config = PrioritizedConfig { beta: Schedule::constant(0.0), ..Default::default() };
    let prioritized = Prioritized::new(&config, CAPACITY)?;
    let prioritized = minibatches(filled(Box::new(prioritized))?)?;
    assert!(4 * prioritized < uniform, "{prioritized} and {uniform}");
    println!(
        "minibatches until the start's value is known: {prioritized} by priority, {uniform} uniformly"
    );
    Ok(())
}

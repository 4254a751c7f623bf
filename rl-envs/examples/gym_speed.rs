//! Steps a second of Gymnasium's environments, over the bridge and in Python.
//!
//! ```text
//! RL_PYTHON=venv/bin/python cargo run --release --package rl-envs --features gymnasium --example gym_speed -- [ID ...]
//! ```
//!
//! Each id is stepped with one environment, and with eight on two workers beside Python's `AsyncVectorEnv` of eight. Rounds
//! alternate, and the fastest of three counts.
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{BoxSpace, Discrete, Result, Seeds, VecEnv};
use rl_envs::{GymAction, GymConfig, GymVecEnv};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const SECONDS: f64 = 3.0;
const ROUNDS: usize = 3;

/// Prints the steps a second of Python's own vectorised environments, stepped by actions that were sampled beforehand.
const ASYNC: &str = "
import sys, time
import gymnasium as gym
n, seconds = int(sys.argv[2]), float(sys.argv[3])
if __name__ == '__main__':
    make = [lambda: gym.make(sys.argv[1])] * n
    envs = gym.vector.AsyncVectorEnv(make) if n > 1 else gym.vector.SyncVectorEnv(make)
    envs.reset(seed=0)
    actions = [envs.action_space.sample() for _ in range(64)]
    for i in range(100):
        envs.step(actions[i % 64])
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for i in range(64):
            envs.step(actions[i])
        steps += 64 * n
    print(steps / (time.perf_counter() - start))
    envs.close()
";

/// The same over the bridge.
fn bridge<A: GymAction>(config: &GymConfig, envs: usize, workers: usize) -> Result<f64> {
    let mut envs = GymVecEnv::<BoxSpace, A>::new(config, envs, workers, Seeds::new(0))?;
    let (n, width) = (envs.num_envs(), envs.action_space().width());
    let mut rng = Seeds::new(0).stream("actions", 0);
    let mut actions = vec![vec![A::Elem::default(); n * width]; 64];
    for rows in &mut actions {
        rows.chunks_exact_mut(width).for_each(|row| envs.action_space().sample(&mut rng, row));
    }
    envs.reset()?;
    for i in 0..100 {
        envs.step(&actions[i % 64])?;
    }
    let (mut steps, start) = (0, Instant::now());
    while start.elapsed().as_secs_f64() < SECONDS {
        actions.iter().try_for_each(|actions| envs.step(actions))?;
        steps += 64 * n;
    }
    Ok(steps as f64 / start.elapsed().as_secs_f64())
}

fn python(config: &GymConfig, envs: usize) -> Option<f64> {
    let mut command = Command::new(&config.python);
    command.args(["-c", ASYNC, &config.id, &envs.to_string(), &SECONDS.to_string()]);
    String::from_utf8(command.output().ok()?.stdout).ok()?.trim().parse().ok()
}

fn measure<A: GymAction>(config: &GymConfig) -> Result<()> {
    let mut best = [0.0f64; 4];
    for _ in 0..ROUNDS {
        let python = |envs| python(config, envs).unwrap_or(f64::NAN);
        let round = [bridge::<A>(config, 1, 1)?, python(1), bridge::<A>(config, 8, 2)?, python(8)];
        best.iter_mut().zip(round).for_each(|(best, x)| *best = best.max(x));
    }
    let [one, sync, eight, parallel] = best;
    println!("{:<24} one environment    {one:>9.0} steps/s; SyncVectorEnv  {sync:>9.0}", config.id);
    let times = eight / parallel;
    println!(
        "{:<24} eight, two workers {eight:>9.0} steps/s; AsyncVectorEnv {parallel:>9.0} ({times:.1}x)",
        config.id
    );
    Ok(())
}

fn main() -> Result<()> {
    let python = std::env::var_os("RL_PYTHON").map_or("python3".into(), PathBuf::from);
    let mut ids: Vec<String> = std::env::args().skip(1).collect();
    if ids.is_empty() {
        ids = ["CartPole-v1", "HalfCheetah-v5"].map(str::to_owned).to_vec();
    }
    for id in ids {
        let config = GymConfig { python: python.clone(), ..GymConfig::parse(&id)? };
        // A wrong kind is an error before anything is measured.
        match GymVecEnv::<BoxSpace, Discrete>::new(&config, 1, 1, Seeds::new(0)) {
            Ok(_) => measure::<Discrete>(&config)?,
            Err(_) => measure::<BoxSpace>(&config)?,
        }
    }
    Ok(())
}

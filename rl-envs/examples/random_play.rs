//! Environments by name, of several kinds, stepped in copies with random actions. The mean return of their episodes is
//! what an agent has to exceed.
//!
//! `cargo run --release --package rl-envs --example random_play`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{Seeds, Space, VecEnv};
use rl_envs::{AnyVecEnv, Copies, find, registry};

const COPIES: usize = 8;
const EPISODES: usize = 100;

/// The mean return of environments of any kind.
fn play<V: VecEnv>(mut envs: V) -> rl_core::Result<f64> {
    let (space, mut rng) = (envs.action_space().clone(), Seeds::new(0).stream("actions", 0));
    let mut actions = vec![<V::Action as Space>::Elem::default(); COPIES * space.width()];
    let mut returns = Vec::new();
    envs.reset()?;
    while returns.len() < EPISODES {
        actions.chunks_exact_mut(space.width()).for_each(|row| space.sample(&mut rng, row));
        // Where an episode ends, the next one begins by itself.
        envs.step(&actions)?;
        returns.extend(envs.batch().episodes().iter().map(|episode| episode.episode_return));
    }
    Ok(returns.iter().sum::<f64>() / returns.len() as f64)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut means = Vec::new();
    for name in ["CartPole-v1", "Pendulum-v1", "FrozenLake-v1", "MinAtar/Breakout-v0"] {
        let spec = find(name)?;
        // The kind of an environment is known when it runs; agents are written for one kind.
        let mean = match spec.make(Copies::for_evaluation(COPIES, Seeds::new(0)))? {
            AnyVecEnv::Discrete(envs) => play(envs)?,
            AnyVecEnv::Continuous(envs) => play(envs)?,
            AnyVecEnv::Tabular(envs) => play(envs)?,
            AnyVecEnv::Pixels(envs) => play(envs)?,
            AnyVecEnv::PixelsContinuous(envs) => play(envs)?,
        };
        println!("{name} ({}): mean return {mean:.2} at random", spec.kind.describe());
        means.push(mean);
    }
    // A pole that is pushed at random falls after some twenty steps.
    assert!((15.0..30.0).contains(&means[0]), "{means:?}");

    // A name that is misspelt is an error with the one that is meant.
    let error = find("CartPol-v1").err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some("unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'?")
    );
    let names: Vec<&str> = registry().iter().map(|spec| &*spec.id).collect();
    println!("all: {}", names.join(" "));
    Ok(())
}

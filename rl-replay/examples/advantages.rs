//! Generalised advantage estimation by hand: a rollout is filled with steps of CartPole and value estimates, its
//! advantages are compared with the sum that defines them, and its rows are dealt out in minibatches.
//!
//! `cargo run --release --package rl-replay --example advantages`
#![allow(clippy::print_stdout)] // A program prints.

use rl_core::{End, Seeds, SerialVecEnv, TimeLimit, VecEnv};
use rl_envs::CartPole;
use rl_replay::{Estimates, Minibatch, Result, Rollout, normalise, shuffle};

const STEPS: usize = 64;
const ENVS: usize = 2;
const GAMMA: f32 = 0.99;
const LAMBDA: f32 = 0.95;

/// What a value network would say: the more upright the pole, the better.
fn value(observation: &[f32]) -> f32 {
    20.0 - 50.0 * observation[2].abs()
}

fn main() -> Result<()> {
    let seeds = Seeds::new(0);
    let mut rng = seeds.stream("agent", 0);
    // A short limit, so that some episodes are truncated.
    let mut envs = SerialVecEnv::new(vec![TimeLimit::new(CartPole::default(), 20)?; ENVS], seeds)?;
    let mut rollout: Rollout<f32, u32> = Rollout::new(STEPS, ENVS, 4, 1)?;
    // What the formula needs of each step: its temporal-difference error, and whether its episode ended there.
    let (mut errors, mut ended) = (Vec::new(), Vec::new());

    envs.reset()?;
    while !rollout.is_full() {
        // A uniform policy; an agent has a network for the actions too.
        let (actions, log_probs) = ([0; ENVS].map(|_| rng.below(2) as u32), [0.5f32.ln(); ENVS]);
        envs.step(&actions)?;
        let transitions = envs.batch().transitions(&actions);
        let observations = transitions.observations().chunks_exact(4);
        let values: Vec<f32> = observations.map(value).collect();
        // Of the observation that followed: at an episode's end its last one, not the first of the next episode.
        let next_values = [0, 1].map(|env| value(transitions.next_observation(env)));
        for env in 0..ENVS {
            // After a termination nothing follows; after a truncation the value still counts.
            let end = transitions.ends()[env];
            let future = if end == Some(End::Terminated) { 0.0 } else { next_values[env] };
            errors.push(transitions.rewards()[env] + GAMMA * future - values[env]);
            ended.push(end);
        }
        let final_values = &next_values; // read where an episode was truncated
        let estimates =
            Estimates { actions: &actions, values: &values, log_probs: &log_probs, final_values };
        rollout.push(&transitions, estimates)?;
    }
    // The values of what followed the last step of each environment.
    let last = [0, 1].map(|env| rollout.next_observation(env).map_or(0.0, value));
    rollout.finish(&last, GAMMA.into(), LAMBDA.into())?;

    // A_t is the sum of (gamma lambda)^k delta_{t+k} up to the end of the episode. Row t * ENVS + env is step t.
    for (row, advantage) in rollout.advantages().iter().enumerate() {
        let (mut sum, mut weight) = (0.0, 1.0);
        for later in (row..STEPS * ENVS).step_by(ENVS) {
            sum += weight * errors[later];
            weight *= GAMMA * LAMBDA;
            if ended[later].is_some() {
                break;
            }
        }
        assert!((sum - advantage).abs() < 1e-3, "row {row}: {sum} and {advantage}");
    }
    let count = |kind| ended.iter().filter(|end| **end == Some(kind)).count();
    let (terminated, truncated) = (count(End::Terminated), count(End::Truncated));
    assert!(terminated > 0 && truncated > 0);

    // One epoch of learning: each row once, in random order.
    let mut order: Vec<u32> = (0..rollout.len() as u32).collect();
    shuffle(&mut order, &mut rng);
    let mut minibatch = Minibatch::default();
    for rows in order.chunks(32) {
        rollout.gather(rows, &mut minibatch);
        normalise(&mut minibatch.advantages);
        assert!(minibatch.advantages.iter().sum::<f32>().abs() < 1e-3);
    }
    println!(
        "advantages of {} rows, {terminated} terminations, {truncated} truncations",
        STEPS * ENVS
    );
    Ok(())
}

//! `cargo xtask bench returns`: tests over many seeds that the presets learn.

use super::positive;
use super::statistics::{bootstrap_interval, interquartile_mean};
use crate::train::{Args as TrainArgs, train_quietly};
use crate::{Error, Result};
use rl_core::run::RunConfig;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only presets of this algorithm.
    #[arg(long)]
    algorithm: Option<String>,
    /// Only presets of this environment.
    #[arg(long)]
    env: Option<String>,
    /// Seeds 0 to N - 1.
    #[arg(long, default_value_t = 10, value_parser = positive::<u64>)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first_seed: u64,
    /// Number of concurrent runs, one thread each.
    #[arg(long, default_value_t = 1, value_parser = positive::<usize>)]
    jobs: usize,
    /// Override a setting of the algorithm; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Environment steps, instead of the preset's.
    #[arg(long, value_parser = positive::<u64>)]
    steps: Option<u64>,
    /// Number of environments, instead of the preset's.
    #[arg(long)]
    envs: Option<usize>,
}

/// The required interquartile mean over seeds of each preset, and how many of ten seeds must each reach a given
/// return.
struct Goal {
    preset: &'static str,
    interquartile_mean: f64,
    each: Option<(f64, u64)>,
}

/// A requirement on the interquartile mean only.
const fn mean(preset: &'static str, interquartile_mean: f64) -> Goal {
    Goal { preset, interquartile_mean, each: None }
}

const GOALS: &[Goal] = &[
    Goal { preset: "dqn/CartPole-v1", interquartile_mean: 490.0, each: Some((475.0, 9)) },
    mean("dqn/MountainCar-v0", -115.0),
    mean("dqn/Acrobot-v1", -78.0),
    mean("reinforce/CartPole-v1", 475.0),
    mean("q-actor-critic/CartPole-v1", 400.0),
    mean("a2c/CartPole-v1", 490.0),
    mean("a2c/Acrobot-v1", -85.0),
    mean("a2c/Pendulum-v1", -190.0),
    mean("ppo/CartPole-v1", 495.0),
    mean("ppo/Acrobot-v1", -78.0),
    mean("ppo/Pendulum-v1", -175.0),
    mean("ppo/MountainCar-v0", -115.0),
    mean("ppo-kl/CartPole-v1", 490.0),
    mean("ppo-kl/Acrobot-v1", -80.0),
    mean("ppo-kl/Pendulum-v1", -180.0),
    mean("trpo/CartPole-v1", 495.0),
    mean("trpo/Acrobot-v1", -82.0),
    mean("trpo/Pendulum-v1", -180.0),
    mean("ddpg/Pendulum-v1", -165.0),
    Goal { preset: "td3/Pendulum-v1", interquartile_mean: -165.0, each: Some((-250.0, 10)) },
    Goal { preset: "sac/Pendulum-v1", interquartile_mean: -165.0, each: Some((-250.0, 10)) },
    mean("ddpg/MountainCarContinuous-v0", 90.0),
    mean("td3/MountainCarContinuous-v0", 90.0),
    mean("sac/MountainCarContinuous-v0", 90.0),
    Goal { preset: "hill-climbing/CartPole-v1", interquartile_mean: 475.0, each: Some((475.0, 8)) },
    Goal {
        preset: "simulated-annealing/CartPole-v1",
        interquartile_mean: 475.0,
        each: Some((475.0, 8)),
    },
    Goal {
        preset: "evolution-strategies/CartPole-v1",
        interquartile_mean: 475.0,
        each: Some((475.0, 8)),
    },
    mean("q-learning/CliffWalking-v1", -13.0),
    // With the feature `mujoco`.
    mean("ppo/HalfCheetah-v5", 5500.0),
    mean("ppo/Hopper-v5", 2500.0),
    mean("ppo/Walker2d-v5", 3300.0),
    mean("ppo/Ant-v5", 2800.0),
    mean("ppo/AntWithoutForces-v5", 2800.0),
    mean("ppo/Swimmer-v5", 60.0),
];

pub(crate) fn main(args: &Args) -> Result<()> {
    let chosen = |goal: &&Goal| {
        let (algorithm, env) = goal.preset.split_once('/').unwrap_or_default();
        args.algorithm.as_ref().is_none_or(|a| a == algorithm)
            && args.env.as_ref().is_none_or(|e| e == env)
            && rl_envs::find(env).is_ok()
    };
    let goals: Vec<&Goal> = GOALS.iter().filter(chosen).collect();
    if goals.is_empty() {
        return Err(Error::usage("no preset with a goal fits; see `cargo xtask list`"));
    }
    let mut missed = 0;
    for goal in goals {
        missed += usize::from(!measure(goal, args)?);
    }
    match missed {
        0 => Ok(()),
        n => Err(Error::usage(format_args!("{n} goals were missed"))),
    }
}

fn measure(goal: &Goal, args: &Args) -> Result<bool> {
    let (algorithm, env) = goal.preset.split_once('/').unwrap_or_default();
    let train = TrainArgs {
        algorithm: algorithm.to_owned(),
        env: env.to_owned(),
        set: args.set.clone(),
        steps: args.steps,
        envs: args.envs,
        ..TrainArgs::default()
    };
    let config = train.config()?;
    println!("{} at {} steps", goal.preset, config.steps);
    let seeds: Vec<u64> = (args.first_seed..args.first_seed + args.seeds).collect();
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = train_quietly(&RunConfig { seed, ..config.clone() });
                    if let Ok(s) = &result {
                        println!(
                            "  seed {seed:>2}  {:>8.2} ± {:>6.2}   {:>7.1} s",
                            s.mean_return, s.std_return, s.train_seconds
                        );
                    }
                    if let Ok(mut results) = results.lock() {
                        results.push((seed, result));
                    }
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_default();
    // In order of seeds, not of completion, since the bootstrap resamples by position.
    results.sort_by_key(|(seed, _)| *seed);
    let returns: Vec<f64> =
        results.into_iter().map(|(_, r)| r.map(|s| s.mean_return)).collect::<Result<_>>()?;
    let mean = interquartile_mean(&returns);
    let (low, high) = bootstrap_interval(&returns);
    let mut reached = mean >= goal.interquartile_mean;
    let verdict = |ok: bool| if ok { "reached" } else { "MISSED" };
    println!(
        "  interquartile mean {mean:.2}, 95 % interval [{low:.2}, {high:.2}]; goal {}: {}",
        goal.interquartile_mean,
        verdict(reached)
    );
    if let Some((each, of_ten)) = goal.each {
        let n = returns.iter().filter(|r| **r >= each).count() as u64;
        let enough = n * 10 >= of_ten * args.seeds;
        println!(
            "  {n} of {} seeds reach {each}; goal {of_ten} of 10: {}",
            args.seeds,
            verdict(enough)
        );
        reached &= enough;
    }
    Ok(reached)
}

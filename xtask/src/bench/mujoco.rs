//! `cargo xtask-mujoco bench mujoco`: steps per second of MuJoCo's tasks beside EnvPool and Gymnasium, on one core.
//!
//! Every runner is a process of its own, pinned to the core, and steps the same number of copies under the tasks' time
//! limits with random actions drawn before the clock starts; resets are included. Runners take turns, so that what else
//! happens on the machine meets all of them.

use super::positive;
use super::speed::peers::{self, Runner};
use super::statistics::median;
use crate::{Error, Result};
use rl_core::{Seeds, Space};
use rl_envs::{Copies, make_continuous};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Copies stepped together.
    #[arg(long, default_value_t = 8)]
    envs: usize,
    /// Steps of each copy per round; a tenth as many come before the clock starts.
    #[arg(long, default_value_t = 1_000, value_parser = positive::<usize>)]
    steps: usize,
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 5, value_parser = positive::<usize>)]
    rounds: usize,
    /// Tasks to measure.
    #[arg(
        long,
        value_delimiter = ',',
        default_values = ["HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Humanoid-v5"]
    )]
    only: Vec<String>,
    /// A Python with the peers' packages; default: one created with pip under target/peers.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The core that all are pinned to.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Measures `runner/task/copies/steps` in this process.
    #[arg(long, hide = true)]
    worker: Option<String>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Told {
    steps_per_second: f64,
}

/// The number of rows of actions, which are used repeatedly.
const ROWS: usize = 256;

fn rate(task: &str, copies: usize, steps: usize) -> Result<f64> {
    let mut envs = make_continuous(task, Copies::new(copies, Seeds::new(0)))?;
    let (space, mut rng) = (envs.action_space().clone(), Seeds::new(0).stream("actions", 0));
    let row = copies * space.width();
    let mut actions = vec![0.0; ROWS * row];
    actions.chunks_exact_mut(space.width()).for_each(|action| space.sample(&mut rng, action));
    envs.reset()?;
    let mut started = Instant::now();
    let warm = steps / 10;
    for step in 0..warm + steps {
        if step == warm {
            started = Instant::now();
        }
        envs.step(&actions[step % ROWS * row..][..row])?;
    }
    Ok((copies * steps) as f64 / started.elapsed().as_secs_f64())
}

fn worker(workload: &str) -> Result<()> {
    let parts: Vec<&str> = workload.split('/').collect();
    let &[_, task, copies, steps] = parts.as_slice() else {
        return Err(Error::usage(format_args!("'{workload}' is not runner/task/copies/steps")));
    };
    let number = |text: &str| text.parse().map_err(Error::usage);
    let told = Told { steps_per_second: rate(task, number(copies)?, number(steps)?)? };
    println!("{}", serde_json::to_string(&told).map_err(Error::usage)?);
    Ok(())
}

pub(crate) fn main(args: &Args) -> Result<()> {
    if let Some(workload) = &args.worker {
        return worker(workload);
    }
    // Before the peers are installed: whether this program has the tasks at all.
    args.only.iter().try_for_each(|task| rl_envs::find(task).map(|_| ()))?;
    let runners = peers::mujoco(args.python.as_deref())?;
    println!(
        "{} copies stepped together on core {}, medians of {} rounds, steps per second\n",
        args.envs, args.core, args.rounds
    );
    println!("| task | {} | of EnvPool's |", runners.each_ref().map(Runner::name).join(" | "));
    println!("|---|---|---|---|---|");
    for task in &args.only {
        let mut rates = [const { Vec::new() }; 3];
        for _ in 0..args.rounds {
            for (runner, rates) in runners.iter().zip(&mut rates) {
                let workload = format!("{}/{task}/{}/{}", runner.name(), args.envs, args.steps);
                let told: Vec<Told> = runner.measure(&workload, args.core)?;
                rates.extend(told.iter().map(|told| told.steps_per_second));
            }
        }
        let medians = rates.each_ref().map(|rates| median(rates));
        let [ours, envpool, gymnasium] = medians;
        println!("| {task} | {ours:.0} | {envpool:.0} | {gymnasium:.0} | {:.2} |", ours / envpool);
    }
    Ok(())
}

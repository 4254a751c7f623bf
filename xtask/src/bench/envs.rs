//! `cargo xtask bench envs`: environment steps per second, on one thread.
//!
//! `SerialVecEnv` steps several copies under Gymnasium's time limits, with actions drawn before the clock starts;
//! resets are included.

use super::positive;
use super::statistics::median;
use crate::Result;
use rl_core::{Env, Seeds, SerialVecEnv, Space, TimeLimit, VecEnv};
use rl_envs::{Acrobot, CartPole, MountainCar, MountainCarContinuous, Pendulum};
use std::path::PathBuf;
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Copies stepped together.
    #[arg(long, default_value_t = 64)]
    envs: usize,
    /// Steps of each copy per round.
    #[arg(long, default_value_t = 20_000, value_parser = positive::<usize>)]
    steps: usize,
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 7, value_parser = positive::<usize>)]
    rounds: usize,
    /// Also measures gymnax (1,024 copies in one compiled loop), EnvPool (1,024, one thread) and Gymnasium, on
    /// CartPole and Pendulum.
    #[arg(long)]
    peers: bool,
    /// A Python with the peers' packages; default: one created with pip under target/peers.
    #[arg(long)]
    python: Option<PathBuf>,
    /// The core that the peers are pinned to.
    #[arg(long, default_value_t = 0)]
    core: usize,
}

/// The output of the peers' script.
#[derive(serde::Deserialize)]
struct Told {
    environment: String,
    runner: String,
    steps_per_second: f64,
}

/// The number of rows of actions, which are used repeatedly.
const ROWS: usize = 256;

fn rate<E: Env>(args: &Args, name: &str, limit: u32, make: fn() -> E) -> Result<()>
where
    <E::Action as Space>::Elem: Default + Clone,
{
    let copies = (0..args.envs).map(|_| TimeLimit::new(make(), limit));
    let mut envs = SerialVecEnv::new(copies.collect::<rl_core::Result<_>>()?, Seeds::new(0))?;
    let (space, mut rng) = (envs.action_space().clone(), Seeds::new(0).stream("actions", 0));
    let row = args.envs * space.width();
    let mut actions = vec![Default::default(); ROWS * row];
    actions.chunks_exact_mut(space.width()).for_each(|action| space.sample(&mut rng, action));
    let mut rates = Vec::new();
    envs.reset()?;
    // The first round is a warm-up.
    for round in 0..=args.rounds {
        let started = Instant::now();
        for step in 0..args.steps {
            envs.step(&actions[step % ROWS * row..][..row])?;
        }
        let seconds = started.elapsed().as_secs_f64();
        if round > 0 {
            rates.push((args.steps * args.envs) as f64 / seconds);
        }
    }
    println!("| {name} | this library | {:.2} million |", median(&rates) / 1e6);
    Ok(())
}

pub(crate) fn main(args: &Args) -> Result<()> {
    println!("{} copies stepped together, median of {} rounds\n", args.envs, args.rounds);
    println!("| environment | | steps per second |");
    println!("|---|---|---|");
    rate(args, "CartPole-v1", 500, CartPole::default)?;
    rate(args, "MountainCar-v0", 200, MountainCar::default)?;
    rate(args, "MountainCarContinuous-v0", 999, MountainCarContinuous::default)?;
    rate(args, "Acrobot-v1", 500, Acrobot::default)?;
    rate(args, "Pendulum-v1", 200, Pendulum::default)?;
    if args.peers {
        let peers = super::speed::peers::environments(args.python.as_deref())?;
        for Told { environment, runner, steps_per_second } in peers.measure("", args.core)? {
            println!("| {environment} | {runner} | {:.2} million |", steps_per_second / 1e6);
        }
    }
    Ok(())
}

//! `cargo xtask bench replay`: throughput of storing and sampling transitions, and memory per transition.

use super::statistics::median;
use crate::Result;
use rl_core::{Element, Seeds, StepBatch};
use rl_replay::{Batch, Horizon, Replay};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

/// The capacity of the buffer, the width of an observation, and the minibatch size.
struct Kind {
    name: &'static str,
    capacity: usize,
    width: usize,
    batch: usize,
}

fn rates<T: Element>(args: &Args, kind: &Kind, number: fn(usize) -> T) -> Result<()> {
    let Kind { name, capacity, width, batch } = *kind;
    let wrap = |e: rl_replay::Error| rl_core::Error::from(e);
    let mut replay: Replay<T, u32> = Replay::uniform(capacity, 1, width, 1).map_err(wrap)?;
    let mut shown: StepBatch<T> = StepBatch::new(1, width);
    let fill = |(i, x): (usize, &mut T)| *x = number(i);
    shown.rows_mut().observations.iter_mut().enumerate().for_each(fill);
    let mut rows = Batch::new(batch, width, 1);
    let (mut rng, horizon) =
        (Seeds::new(0).stream("replay", 0), Horizon { n_step: 1, gamma: 0.99 });
    let (mut insert, mut sample) = (Vec::new(), Vec::new());
    // The first round fills the buffer.
    for round in 0..=args.rounds {
        let started = Instant::now();
        for _ in 0..capacity {
            replay.push(&shown.transitions(&[0])).map_err(wrap)?;
        }
        let inserted = capacity as f64 / started.elapsed().as_secs_f64();
        let times = (capacity / batch).max(1);
        let started = Instant::now();
        for _ in 0..times {
            replay.sample(&mut rng, 0.0, horizon, &mut rows).map_err(wrap)?;
        }
        let sampled = (times * batch) as f64 / started.elapsed().as_secs_f64();
        if round > 0 {
            insert.push(inserted);
            sample.push(sampled);
        }
    }
    // Both observations, the action, the reward, and how the step ended.
    let bytes = 2 * width * size_of::<T>()
        + size_of::<u32>()
        + size_of::<f32>()
        + size_of::<Option<rl_core::End>>();
    println!(
        "| {name} | {batch} | {:.2} million | {:.2} million | {bytes} |",
        median(&insert) / 1e6,
        median(&sample) / 1e6
    );
    Ok(())
}

pub(crate) fn main(args: &Args) -> Result<()> {
    println!(
        "| observations | minibatch | inserted per second | sampled per second | bytes per transition |"
    );
    println!("|---|---|---|---|---|");
    let small = Kind { name: "4 numbers", capacity: 100_000, width: 4, batch: 64 };
    let medium = Kind { name: "17 numbers", capacity: 1_000_000, width: 17, batch: 256 };
    let image = Kind { name: "84 x 84 x 4 bytes", capacity: 10_000, width: 84 * 84 * 4, batch: 32 };
    rates(args, &small, |i| i as f32)?;
    rates(args, &medium, |i| i as f32)?;
    rates(args, &image, |i| i as u8)
}

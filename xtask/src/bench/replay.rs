//! `cargo xtask bench replay`: the time of storing and of sampling transitions, uniformly and by priority, as whole rows
//! and as frames stored once; and the memory that they take.

use super::positive;
use super::statistics::median;
use crate::{Error, Result};
use rl_core::{Element, End, Rng, Seeds, StepBatch};
use rl_replay::{
    Batch, Frames, Horizon, Prioritized, PrioritizedConfig, Replay, Rows, Sampler, Store, Uniform,
};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Rounds; medians are reported.
    #[arg(long, default_value_t = 7, value_parser = positive::<usize>)]
    rounds: usize,
    /// Images of 84x84 bytes that are stored once, 7 GB a million.
    #[arg(long, default_value_t = 200_000, value_parser = positive::<usize>)]
    frames: usize,
    /// Rows of 4 numbers that are drawn from.
    #[arg(long, default_value_t = 1_000_000, value_parser = positive::<usize>)]
    rows: usize,
}

/// Steps of an episode.
const EPISODE: usize = 200;

/// Transitions as one environment makes them.
struct Stream<T> {
    shown: StepBatch<T>,
    /// Elements of a frame; all of an observation where it is no stack.
    frame: usize,
    steps: usize,
}

impl<T: Element> Stream<T> {
    fn new(width: usize, frame: usize) -> Self {
        let mut shown = StepBatch::new(1, width);
        shown.begin_episodes();
        Stream { shown, frame, steps: 0 }
    }

    /// The next observation: the last one, moved on by a frame.
    fn step(&mut self, number: fn(usize) -> T) -> &StepBatch<T> {
        self.shown.begin_step();
        let previous = self.shown.transitions(&[0u32]).observations().to_vec();
        let observations = self.shown.rows_mut().observations;
        let older = observations.len() - self.frame;
        observations[..older].copy_from_slice(&previous[self.frame..]);
        observations[older..].fill(number(self.steps));
        let rows = self.shown.rows_mut();
        self.steps += 1;
        rows.ends[0] = None;
        if self.steps.is_multiple_of(EPISODE) {
            rows.ends[0] = Some(End::Truncated);
            rows.finals.copy_from_slice(rows.observations);
            // The next episode begins with its first frame, repeated.
            rows.observations.fill(number(self.steps));
        }
        &self.shown
    }
}

fn wrap(error: rl_replay::Error) -> Error {
    rl_core::Error::from(error).into()
}

/// Microseconds per stored transition, and per minibatch that is drawn and whose errors are taken in, one a round.
#[derive(Default)]
struct Measured {
    insert: Vec<f64>,
    sample: Vec<f64>,
    update: Vec<f64>,
}

/// Draws by priority or uniformly from one memory: two of the same size lie in other places, and one is faster than the other
/// by up to a fifth for that alone.
#[derive(Debug)]
struct Switched {
    by_priority: Arc<AtomicBool>,
    prioritized: Prioritized,
    uniform: Uniform,
}

impl Switched {
    fn chosen(&mut self) -> &mut dyn Sampler {
        if self.by_priority.load(Ordering::Relaxed) {
            &mut self.prioritized
        } else {
            &mut self.uniform
        }
    }
}

impl Sampler for Switched {
    fn added(&mut self, places: Range<usize>) {
        self.chosen().added(places);
    }

    fn sample(
        &mut self,
        stored: usize,
        fraction: f64,
        rng: &mut Rng,
        indices: &mut [usize],
        weights: &mut [f32],
    ) {
        self.chosen().sample(stored, fraction, rng, indices, weights);
    }

    fn update(&mut self, indices: &[usize], errors: &[f32]) -> rl_replay::Result<()> {
        self.chosen().update(indices, errors)
    }

    fn save(&self) -> rl_replay::Result<Vec<u8>> {
        self.prioritized.save()
    }

    fn loaded(&self, bytes: &[u8], stored: usize) -> rl_replay::Result<Box<dyn Sampler>> {
        self.prioritized.loaded(bytes, stored)
    }

    fn empty(&self) -> Box<dyn Sampler> {
        self.prioritized.empty()
    }
}

/// What is stored how, and how it is drawn.
struct Kind<'a> {
    name: &'a str,
    capacity: usize,
    width: usize,
    /// Frames of an observation, each stored once; none: whole observations.
    stack: Option<usize>,
    batch: usize,
}

impl Kind<'_> {
    fn store<T: Element>(&self) -> Result<Box<dyn Store<T, u32>>> {
        Ok(match self.stack {
            None => Box::new(Rows::new(self.capacity, 1, self.width, 1).map_err(wrap)?),
            Some(n) => Box::new(Frames::new(self.capacity, 1, self.width, n, 1).map_err(wrap)?),
        })
    }

    /// Uniform and prioritised draws in turns from a memory that is full, as rows of the table.
    fn measure<T: Element>(&self, args: &Args, number: fn(usize) -> T) -> Result<()> {
        let frame = self.stack.map_or(self.width, |n| self.width / n);
        let mut rows = Batch::new(self.batch, self.width, 1).map_err(rl_core::Error::from)?;
        let horizon = Horizon { n_step: 1, gamma: 0.99 };
        let mut rng = Seeds::new(0).stream("replay", 0);
        let before = resident();
        let by_priority = Arc::new(AtomicBool::new(true));
        let config = PrioritizedConfig::default();
        let prioritized = Prioritized::new(&config, self.capacity).map_err(wrap)?;
        let sampler =
            Switched { by_priority: Arc::clone(&by_priority), prioritized, uniform: Uniform };
        let mut replay = Replay::new(self.store()?, Box::new(sampler)).map_err(wrap)?;
        let mut stream = Stream::new(self.width, frame);
        let mut push = |replay: &mut Replay<T, u32>, times: usize| -> Result<f64> {
            let mut storing = 0.0;
            for _ in 0..times {
                let step = stream.step(number);
                let started = Instant::now();
                replay.push(&step.transitions(&[0])).map_err(wrap)?;
                storing += started.elapsed().as_secs_f64();
            }
            Ok(storing * 1e6 / times as f64)
        };
        push(&mut replay, self.capacity)?;
        let bytes = before.zip(resident()).map(|(before, after)| after - before);
        let bytes = bytes.map(|bytes| bytes / self.capacity as f64);
        // Priorities of all sizes.
        let mut errors = vec![0.0; self.batch];
        for _ in 0..self.capacity.min(200_000) / self.batch {
            replay.sample(&mut rng, 0.0, horizon, &mut rows).map_err(wrap)?;
            errors.fill_with(|| rng.uniform(0.0, 1.0) as f32);
            replay.update(&rows, &errors).map_err(wrap)?;
        }
        let [mut uniform, mut prioritized] = [(); 2].map(|()| Measured::default());
        for _ in 0..args.rounds {
            for (by, measured) in [(false, &mut uniform), (true, &mut prioritized)] {
                by_priority.store(by, Ordering::Relaxed);
                measured.insert.push(push(&mut replay, 10_000)?);
                let (times, mut drawing, mut updating) = (2_000, 0.0, 0.0);
                for _ in 0..times {
                    let started = Instant::now();
                    replay.sample(&mut rng, 0.0, horizon, &mut rows).map_err(wrap)?;
                    drawing += started.elapsed().as_secs_f64();
                    let started = Instant::now();
                    replay.update(&rows, &errors).map_err(wrap)?;
                    updating += started.elapsed().as_secs_f64();
                }
                measured.sample.push(drawing * 1e6 / f64::from(times));
                measured.update.push(updating * 1e6 / f64::from(times));
            }
        }
        // Each round beside the other of the same moment.
        let ratios = prioritized.sample.iter().zip(&uniform.sample).map(|(p, u)| p / u);
        let ratio = median(&ratios.collect::<Vec<_>>());
        self.row("uniform", &uniform, 1.0, None);
        self.row("prioritised", &prioritized, ratio, bytes);
        Ok(())
    }

    fn row(&self, how: &str, measured: &Measured, of_uniform: f64, bytes: Option<f64>) {
        println!(
            "| {}, {how} | {} | {} | {:.2} us | {:.2} us | {:.2} us | {of_uniform:.2} | {} |",
            self.name,
            self.capacity,
            self.batch,
            median(&measured.insert),
            median(&measured.sample),
            median(&measured.update),
            bytes.map_or("-".to_owned(), |bytes| format!("{bytes:.0}"))
        );
    }
}

/// Bytes of memory that this process has, where the system tells.
fn resident() -> Option<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096.0)
}

pub(crate) fn main(args: &Args) -> Result<()> {
    rl_core::check::at_least("--frames", 1_000, args.frames as u64)?;
    rl_core::check::at_least("--rows", 1_000, args.rows as u64)?;
    println!(
        "| stored | transitions | minibatch | stored in | drawn in | errors taken in | of uniform | resident bytes a transition |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let four = Kind { name: "4 numbers", capacity: args.rows, width: 4, stack: None, batch: 32 };
    let seventeen =
        Kind { name: "17 numbers", capacity: args.rows, width: 17, stack: None, batch: 256 };
    let image = 84 * 84 * 4;
    let whole =
        Kind { name: "84x84x4, whole", capacity: 10_000, width: image, stack: None, batch: 32 };
    let once = Kind {
        name: "84x84x4, frames once",
        capacity: args.frames,
        width: image,
        stack: Some(4),
        batch: 32,
    };
    for kind in [&four, &seventeen] {
        kind.measure(args, |i| i as f32)?;
    }
    for kind in [&whole, &once] {
        kind.measure(args, |i| i as u8)?;
    }
    Ok(())
}

//! Workers that have said which environment they run.

use super::config::{GymConfig, PROGRAM};
use super::protocol::{Kind, Layout};
use super::spaces::{Described, GymAction, GymObs, SpaceSpec};
use super::worker::Worker;
use rl_core::{Error, Result, check};
use serde::Deserialize;
use std::ops::Range;

/// The longest description of an environment: a box of some million numbers.
const MAX_HELLO: usize = 1 << 27;

/// A worker's first reply.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Hello {
    pub(crate) observation: SpaceSpec,
    pub(crate) action: SpaceSpec,
    /// The time limit of the environment's registration.
    pub(crate) max_episode_steps: Option<u32>,
    /// What the actions mean, where the environment says so, as the Arcade Learning Environment does.
    pub(crate) meanings: Option<Vec<String>>,
    /// The height and width of a picture, where pictures were asked for.
    pub(crate) frame: Option<[usize; 2]>,
}

impl Hello {
    pub(super) fn observations<O: GymObs>(&self) -> Result<O> {
        O::described(&Described(&self.observation))
    }

    pub(super) fn actions<A: GymAction>(&self) -> Result<A> {
        A::described(&Described(&self.action))
    }
}

/// Workers, the environments of each, and what these are.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) workers: Vec<(Range<usize>, Worker)>,
    pub(crate) hello: Hello,
}

impl Connection {
    /// Starts `envs` environments on at most `workers` workers, at the same time, in contiguous ranges. Workers with
    /// `auto_reset` reset an environment in the step that ends its episode.
    ///
    /// # Errors
    /// [`Error::Config`] without environments or workers; [`Error::Env`] if a worker or an environment cannot be
    /// started.
    pub(crate) fn open(
        config: &GymConfig,
        envs: usize,
        workers: usize,
        auto_reset: bool,
    ) -> Result<Self> {
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("workers", 1, workers as u64)?;
        let share = envs.div_ceil(workers);
        let mut started = Vec::new();
        for start in (0..envs).step_by(share) {
            let range = start..(start + share).min(envs);
            let mut worker = Worker::spawn(config.command(), &config.id, config.timeout)?;
            worker.hand_over(PROGRAM.as_bytes());
            let order = config.order(range.len(), start, auto_reset);
            // One that has died already says why where its reply is read.
            let _ = worker.send(Kind::Start, |payload| payload.extend(&order));
            started.push((range, worker));
        }
        let mut hello = None;
        for (_, worker) in &mut started {
            let json = worker.receive(Kind::Start, MAX_HELLO)?;
            let said: Hello = serde_json::from_slice(json)
                .map_err(|e| Error::Env(format!("{}: a worker's greeting: {e}", config.id)))?;
            hello.get_or_insert(said);
        }
        let Some(hello) = hello else {
            return Err(Error::config("envs", "at least one environment", 0));
        };
        Ok(Connection { workers: started, hello })
    }

    /// How replies about so many environments are laid out.
    pub(super) fn layout<O: GymObs>(space: &O, envs: usize) -> Layout {
        Layout::new(envs, space.width() * O::BYTES)
    }
}

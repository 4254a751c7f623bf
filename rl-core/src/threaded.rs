//! Environments distributed over worker threads, for environments with slow steps.

use crate::serial::{SavedEnvs, can_be_saved, common_spaces};
use crate::{
    BadNumbers, Env, Error, Result, Seeds, SerialVecEnv, Space, StepBatch, VecEnv, check, codec,
};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// `n` environments distributed over threads. Every environment has its own random stream, so the results equal those
/// of [`SerialVecEnv`] bit for bit, for any number of threads.
///
/// It is faster if a step takes longer than the two messages it costs, about ten microseconds.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Seeds, ThreadedVecEnv, VecEnv};
/// let envs = (0..4).map(|_| Sign::default()).collect();
/// let mut envs = ThreadedVecEnv::new(envs, Seeds::new(0), 2)?;
/// envs.reset()?;
/// envs.step(&[0, 1, 0, 1])?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub struct ThreadedVecEnv<O: Space, A: Space> {
    workers: Vec<Worker<O, A>>,
    observation_space: O,
    action_space: A,
    batch: StepBatch<O::Elem>,
    resumes_exactly: bool,
    bad_numbers: BadNumbers,
}

struct Worker<O: Space, A: Space> {
    envs: std::ops::Range<usize>,
    /// Dropped first, so that the thread sees the closed channel and exits.
    orders: Option<SyncSender<Order<O, A>>>,
    replies: Receiver<Reply<O, A>>,
    thread: Option<JoinHandle<()>>,
    /// The message sent back and forth, reused so that a step allocates nothing.
    parcel: Option<Parcel<O, A>>,
}

struct Parcel<O: Space, A: Space> {
    actions: Vec<A::Elem>,
    batch: StepBatch<O::Elem>,
}

#[allow(clippy::large_enum_variant)] // Every step sends a parcel; boxed it would be no faster.
enum Order<O: Space, A: Space> {
    Step(Parcel<O, A>),
    Reset(Parcel<O, A>),
    Reseed(Seeds),
    BadNumbers(BadNumbers),
    Save,
    Load(SavedEnvs<O::Elem>),
}

#[allow(clippy::large_enum_variant)] // As for orders.
enum Reply<O: Space, A: Space> {
    Parcel(Parcel<O, A>, Result<()>),
    Done(Result<()>),
    Saved(Result<Vec<Vec<u8>>>),
    /// The part that was to be loaded, with the first observations of episodes that had to begin.
    Loaded(Result<SavedEnvs<O::Elem>>),
}

impl<O: Space, A: Space> std::fmt::Debug for ThreadedVecEnv<O, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ThreadedVecEnv")
            .field("workers", &self.workers.len())
            .field("observation_space", &self.observation_space)
            .field("action_space", &self.action_space)
            .finish_non_exhaustive()
    }
}

impl<O: Space, A: Space> ThreadedVecEnv<O, A> {
    /// Distributes `envs` over at most `threads` threads, in contiguous ranges.
    ///
    /// # Errors
    /// [`Error::Config`] without environments or threads; [`Error::Mismatch`] if two environments have different
    /// spaces; [`Error::Env`] if a thread cannot be started.
    pub fn new<E>(envs: Vec<E>, seeds: Seeds, threads: usize) -> Result<Self>
    where
        E: Env<Obs = O, Action = A> + 'static,
    {
        check::at_least("threads", 1, threads as u64)?;
        check::at_most("threads", 1 << 10, "threads that can be", threads as u64)?;
        let spaces = common_spaces(&envs)?;
        let batch = StepBatch::new(envs.len(), spaces.0.width());
        let resumes_exactly = can_be_saved(envs.iter());
        let share = envs.len().div_ceil(threads);
        let mut workers = Vec::new();
        let mut envs = envs.into_iter().enumerate().peekable();
        while let Some(&(start, _)) = envs.peek() {
            let part: Vec<_> = envs.by_ref().take(share).collect();
            let range = start..start + part.len();
            let part = SerialVecEnv::numbered(part, spaces.clone(), seeds);
            workers.push(Worker::start(part, range)?);
        }
        let (observation_space, action_space) = spaces;
        Ok(ThreadedVecEnv {
            workers,
            observation_space,
            action_space,
            batch,
            resumes_exactly,
            bad_numbers: BadNumbers::default(),
        })
    }

    /// Copies the rows of every worker; waits for all of them even after an error, so that no reply stays unread.
    fn collect(&mut self) -> Result<()> {
        let width = self.batch.width();
        let mut outcome = Ok(());
        for worker in &mut self.workers {
            let Reply::Parcel(parcel, result) = worker.receive()? else {
                return Err(Error::Env("unexpected reply from a worker thread".into()));
            };
            let rows = self.batch.rows_mut();
            let (range, part) = (worker.envs.clone(), &parcel.batch);
            let wide = range.start * width..range.end * width;
            rows.observations[wide.clone()].copy_from_slice(part.observations());
            rows.finals[wide].copy_from_slice(part.finals());
            rows.rewards[range.clone()].copy_from_slice(part.rewards());
            rows.ends[range].copy_from_slice(part.ends());
            rows.episodes.extend_from_slice(part.episodes());
            *rows.bad_steps += part.bad_steps();
            worker.parcel = Some(parcel);
            outcome = outcome.and(result);
        }
        outcome
    }
}

impl<O: Space, A: Space> Worker<O, A> {
    fn start<E>(mut envs: SerialVecEnv<E>, range: std::ops::Range<usize>) -> Result<Self>
    where
        E: Env<Obs = O, Action = A> + 'static,
    {
        let (orders, incoming) = sync_channel::<Order<O, A>>(1);
        let (outgoing, replies) = sync_channel(1);
        let parcel = Parcel {
            actions: vec![A::Elem::default(); range.len() * envs.action_space().width()],
            batch: envs.batch().clone(),
        };
        let thread = std::thread::Builder::new()
            .name(format!("envs {}..{}", range.start, range.end))
            .spawn(move || {
                for order in incoming {
                    let reply = match order {
                        Order::Step(mut parcel) => {
                            let result = envs.step(&parcel.actions);
                            parcel.batch.copy_from(envs.batch());
                            Reply::Parcel(parcel, result)
                        }
                        Order::Reset(mut parcel) => {
                            let result = envs.reset();
                            parcel.batch.copy_from(envs.batch());
                            Reply::Parcel(parcel, result)
                        }
                        Order::Reseed(seeds) => Reply::Done(envs.reseed(seeds)),
                        Order::BadNumbers(how) => Reply::Done(envs.set_bad_numbers(how)),
                        Order::Save => Reply::Saved(envs.save_slots()),
                        Order::Load(mut saved) => {
                            Reply::Loaded(envs.load_saved(&mut saved).map(|()| saved))
                        }
                    };
                    if outgoing.send(reply).is_err() {
                        break;
                    }
                }
            })
            .map_err(|e| Error::Env(format!("cannot start a worker thread: {e}")))?;
        let (orders, thread, parcel) = (Some(orders), Some(thread), Some(parcel));
        Ok(Worker { envs: range, orders, replies, thread, parcel })
    }

    fn lost(&self) -> Error {
        let range = &self.envs;
        Error::Env(format!("the worker of environments {}..{} has died", range.start, range.end))
    }

    fn send(&self, order: Order<O, A>) -> Result<()> {
        let orders = self.orders.as_ref().ok_or_else(|| self.lost())?;
        orders.send(order).map_err(|_| self.lost())
    }

    fn send_parcel(&mut self, order: impl FnOnce(Parcel<O, A>) -> Order<O, A>) -> Result<()> {
        let parcel = self.parcel.take().ok_or_else(|| self.lost())?;
        self.send(order(parcel))
    }

    fn receive(&self) -> Result<Reply<O, A>> {
        self.replies.recv().map_err(|_| self.lost())
    }
}

impl<O: Space, A: Space> Drop for Worker<O, A> {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A worker that panicked has already been reported as an error, so its result is ignored.
            let _ = thread.join();
        }
    }
}

impl<O: Space, A: Space> VecEnv for ThreadedVecEnv<O, A> {
    type Obs = O;
    type Action = A;

    fn observation_space(&self) -> &O {
        &self.observation_space
    }

    fn action_space(&self) -> &A {
        &self.action_space
    }

    fn batch(&self) -> &StepBatch<O::Elem> {
        &self.batch
    }

    fn reset(&mut self) -> Result<()> {
        self.batch.begin_episodes();
        for worker in &mut self.workers {
            worker.send_parcel(Order::Reset)?;
        }
        self.collect()?;
        self.batch.mend_first(self.bad_numbers);
        Ok(())
    }

    fn step(&mut self, actions: &[A::Elem]) -> Result<()> {
        let width = self.action_space.width();
        check::len("actions", self.num_envs() * width, actions.len())?;
        self.batch.check_begun()?;
        for worker in &mut self.workers {
            let range = worker.envs.start * width..worker.envs.end * width;
            worker.send_parcel(|mut parcel| {
                parcel.actions.copy_from_slice(&actions[range]);
                Order::Step(parcel)
            })?;
        }
        self.batch.begin_step();
        self.collect()
    }

    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        for worker in &self.workers {
            worker.send(Order::Reseed(seeds))?;
            if let Reply::Done(result) = worker.receive()? {
                result?;
            }
        }
        Ok(())
    }

    // The same format as that of `SerialVecEnv`: the state does not depend on the number of threads.
    fn save(&self) -> Result<Vec<u8>> {
        let mut slots = Vec::with_capacity(self.num_envs());
        for worker in &self.workers {
            worker.send(Order::Save)?;
            if let Reply::Saved(saved) = worker.receive()? {
                slots.extend(saved?);
            }
        }
        let observations = self.batch.observations().to_vec();
        let reset_since = self.batch.reset_since().to_vec();
        let begun = self.batch.has_begun();
        codec::encode(&SavedEnvs { slots, observations, reset_since, begun })
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        let SavedEnvs { slots, mut observations, mut reset_since, begun } =
            codec::decode("environment state", bytes)?;
        check::len("saved environments", self.num_envs(), slots.len())?;
        check::len("saved observations", self.batch.observations().len(), observations.len())?;
        check::len("saved resets", self.num_envs(), reset_since.len())?;
        let width = self.batch.width();
        for worker in &self.workers {
            let range = worker.envs.clone();
            let wide = range.start * width..range.end * width;
            worker.send(Order::Load(SavedEnvs {
                slots: slots[range.clone()].to_vec(),
                observations: observations[wide.clone()].to_vec(),
                reset_since: reset_since[range.clone()].to_vec(),
                begun,
            }))?;
            if let Reply::Loaded(loaded) = worker.receive()? {
                let loaded = loaded?;
                observations[wide].copy_from_slice(&loaded.observations);
                reset_since[range].copy_from_slice(&loaded.reset_since);
            }
        }
        self.batch.restore(&observations, &reset_since)?;
        if begun {
            self.batch.mend_first(self.bad_numbers);
        }
        Ok(())
    }

    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        for worker in &self.workers {
            worker.send(Order::BadNumbers(bad_numbers))?;
            if let Reply::Done(result) = worker.receive()? {
                result?;
            }
        }
        self.bad_numbers = bad_numbers;
        Ok(())
    }

    fn resumes_exactly(&self) -> bool {
        self.resumes_exactly
    }
}

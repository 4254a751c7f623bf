//! Callbacks of the training loop.

use crate::trainer::{OnWriteError, decide, is_due, mean_return};
use crate::{
    Agent, BadNumbers, Episode, Evaluation, Metrics, Progress, Result, Seeds, VecEnv, check, codec,
    evaluate,
};
use std::collections::VecDeque;
use std::path::PathBuf;

/// A callback's request to the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// Continue training.
    Continue,
    /// Write a checkpoint once all callbacks have run, then continue.
    Checkpoint,
    /// Stop the run after this round.
    Stop,
}

/// The state of the run passed to a callback after a round.
pub struct Context<'a, V, A> {
    /// Environment steps before this round.
    pub before: u64,
    /// Progress after this round.
    pub progress: Progress,
    /// Episodes finished so far.
    pub episodes: u64,
    /// The most recent finished episodes, at most [`TrainerConfig::window`](crate::TrainerConfig::window).
    pub recent: &'a VecDeque<Episode>,
    /// The agent.
    pub agent: &'a mut A,
    /// The environments.
    pub envs: &'a mut V,
    /// Metrics recorded here appear in the next row.
    pub metrics: &'a mut Metrics,
    pub(crate) on_write_error: &'a mut Option<OnWriteError>,
}

impl<V, A> Context<'_, V, A> {
    /// The mean return of the recent episodes, if any has finished.
    pub fn recent_return(&self) -> Option<f64> {
        mean_return(self.recent)
    }

    /// Whether something was written: `Ok(false)` where it could not be and the run goes on all the same, see
    /// [`Trainer::with_write_errors`](crate::Trainer::with_write_errors).
    ///
    /// # Errors
    /// The error of writing, where it is to end the run.
    pub fn written<T>(&mut self, outcome: Result<T>) -> Result<bool> {
        let written = outcome.is_ok();
        decide(self.on_write_error, outcome.map(drop))?;
        Ok(written)
    }

    /// Whether this round reached a multiple of `every` steps.
    pub fn is_due(&self, every: u64) -> bool {
        is_due(self.before, self.progress.step, every)
    }
}

/// Code that runs after each round of a [`Trainer`](crate::Trainer).
pub trait Callback<V, A> {
    /// Called after each round.
    ///
    /// # Errors
    /// Any error stops the run.
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal>;

    /// The callback's state that a resumed run needs.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn save(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    /// Restores the state written by [`save`](Callback::save).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) for bytes that `save` did not write.
    fn load(&mut self, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// Requests a checkpoint at a fixed interval.
#[derive(Clone, Debug)]
pub struct CheckpointEvery {
    every: u64,
}

impl CheckpointEvery {
    /// Requests a checkpoint every `every` environment steps.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) for zero.
    pub fn new(every: u64) -> Result<Self> {
        check::at_least("checkpoint_every", 1, every)?;
        Ok(CheckpointEvery { every })
    }
}

impl<V, A> Callback<V, A> for CheckpointEvery {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        Ok(if context.is_due(self.every) { Signal::Checkpoint } else { Signal::Continue })
    }
}

/// Stops the run at a given step; it can be resumed later from a checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct StopAt(pub u64);

impl<V, A> Callback<V, A> for StopAt {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        Ok(if context.progress.step >= self.0 { Signal::Stop } else { Signal::Continue })
    }
}

/// Evaluates the greedy policy at a fixed interval, keeps the best one, and can stop the run.
///
/// Each evaluation begins from the state that its environments had when they were handed over, if they can save it, with
/// random streams of its own, derived from the step. It therefore affects no other stream, and a resumed run repeats it
/// exactly.
pub struct EvaluateEvery<V> {
    envs: V,
    /// Their state at first: what outlasts a reset, such as an action that is repeated, would tell of evaluations before.
    /// None where they cannot save it, or not before a reset.
    at_first: Option<Vec<u8>>,
    seeds: Seeds,
    every: u64,
    episodes: usize,
    target: Option<f64>,
    patience: Option<u32>,
    keep_best: Option<PathBuf>,
    best: Option<f64>,
    without_improvement: u32,
    bad_numbers: BadNumbers,
}

impl<V> std::fmt::Debug for EvaluateEvery<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EvaluateEvery")
            .field("every", &self.every)
            .field("episodes", &self.episodes)
            .field("best", &self.best)
            .finish_non_exhaustive()
    }
}

impl<V: VecEnv> EvaluateEvery<V> {
    /// Evaluates over `episodes` episodes every `every` steps, in `envs`, which are separate from the training
    /// environments. Normalisation statistics are frozen during an evaluation.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if an argument is zero.
    pub fn new(mut envs: V, seeds: Seeds, every: u64, episodes: usize) -> Result<Self> {
        check::at_least("evaluate_every", 1, every)?;
        check::at_least("episodes", 1, episodes as u64)?;
        let at_first = envs.save().ok();
        let at_first = at_first.filter(|state| envs.resumes_exactly() && envs.load(state).is_ok());
        Ok(EvaluateEvery {
            envs,
            at_first,
            seeds,
            every,
            episodes,
            target: None,
            patience: None,
            keep_best: None,
            best: None,
            without_improvement: 0,
            bad_numbers: BadNumbers::default(),
        })
    }

    /// Writes the agent with the best mean return so far to the folder `path`, as a separate checkpoint.
    pub fn keep_best(mut self, path: impl Into<PathBuf>) -> Self {
        self.keep_best = Some(path.into());
        self
    }

    /// Stops the run once the mean return of an evaluation reaches `target`.
    pub fn stop_at(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    /// Stops the run after `evaluations` consecutive evaluations without a new best.
    pub fn stop_without_improvement(mut self, evaluations: u32) -> Self {
        self.patience = Some(evaluations);
        self
    }

    /// Sets what happens where these environments give a number that is NaN or infinite, which is an error by default.
    /// The metric `evaluation_bad_steps` then says in how many steps one did. An evaluation with an episode that was
    /// [cut off](BadNumbers::Skip) is neither the best nor does it reach the target: where rewards are negative, its return
    /// is too good.
    ///
    /// # Errors
    /// Those of [`VecEnv::set_bad_numbers`].
    pub fn with_bad_numbers(mut self, bad_numbers: BadNumbers) -> Result<Self> {
        self.envs.set_bad_numbers(bad_numbers)?;
        self.bad_numbers = bad_numbers;
        Ok(self)
    }

    fn run<A>(&mut self, agent: &mut A, train_envs: &V, step: u64) -> Result<Evaluation>
    where
        A: Agent<Obs = V::Obs, Action = V::Action>,
    {
        if let Some(state) = &self.at_first {
            self.envs.load(state)?;
        }
        self.envs.reseed(self.seeds.child("evaluation", step))?;
        self.envs.set_moments(&train_envs.moments())?;
        evaluate(agent, &mut self.envs, self.episodes)
    }
}

impl<V, A> Callback<V, A> for EvaluateEvery<V>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        if !context.is_due(self.every) {
            return Ok(Signal::Continue);
        }
        let step = context.progress.step;
        let evaluation = self.run(context.agent, context.envs, step)?;
        let mean = evaluation.mean();
        context.metrics.record("evaluation_return", mean);
        context.metrics.record("evaluation_std", evaluation.std());
        if self.bad_numbers != BadNumbers::Stop {
            context.metrics.record("evaluation_bad_steps", evaluation.bad_steps as f64);
        }
        let whole = self.bad_numbers != BadNumbers::Skip || evaluation.bad_steps == 0;
        if whole && self.best.is_none_or(|best| mean > best) {
            let kept = match &self.keep_best {
                None => true,
                Some(path) => {
                    let mut sections = crate::Sections::default();
                    context.agent.save_policy(&mut sections)?;
                    sections.put_acting(context.agent, context.envs)?;
                    let dir = crate::CheckpointDir::new(path).keep(1);
                    context.written(dir.write(context.agent.name(), step, &sections))?
                }
            };
            // Where it cannot be kept, the next better one may.
            self.best = if kept { Some(mean) } else { self.best };
            self.without_improvement = 0;
        } else {
            self.without_improvement = self.without_improvement.saturating_add(1);
        }
        let reached = whole && self.target.is_some_and(|target| mean >= target);
        let stuck = self.patience.is_some_and(|patience| self.without_improvement >= patience);
        Ok(if reached || stuck { Signal::Stop } else { Signal::Continue })
    }

    fn save(&self) -> Result<Vec<u8>> {
        codec::encode(&(self.best, self.without_improvement))
    }

    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        (self.best, self.without_improvement) = codec::decode("evaluation callback", bytes)?;
        Ok(())
    }
}

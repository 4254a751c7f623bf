//! One step of several environments: the rows that it fills, and a learner's view of them.

#[cfg(doc)]
use crate::VecEnv;
use crate::{BadNumbers, Element, End, Result, Space, check};
use serde::{Deserialize, Serialize};

/// A finished episode: the undiscounted sum of the environment's own rewards, and its length. Where an episode goes on
/// with the game of the one before ([`Env::continued`](crate::Env::continued)), the two count as one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Episode {
    /// The index of the environment that it ran in.
    pub env: usize,
    /// The sum of rewards, before any wrapper that rescales them.
    pub episode_return: f64,
    /// The number of steps.
    pub length: u64,
}

/// The result of the last step of `n` environments: rows of `[n, width]`, contiguous.
#[derive(Clone, Debug, Default)]
pub struct StepBatch<T> {
    width: usize,
    observations: Vec<T>,
    previous: Vec<T>,
    finals: Vec<T>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
    episodes: Vec<Episode>,
    bad_steps: u64,
    /// The environments reset from outside after the last step, and those reset before it.
    reset_since: Vec<bool>,
    resets: Vec<bool>,
    /// Whether there is a last step: none before the first, and none after a reset.
    stepped: bool,
    /// Whether there are episodes to step: none before the first reset, and none while one goes on.
    begun: bool,
}

impl<T: Element> StepBatch<T> {
    /// A batch for `n` environments with observations of `width` elements.
    pub fn new(n: usize, width: usize) -> Self {
        StepBatch {
            width,
            observations: vec![T::default(); n * width],
            previous: vec![T::default(); n * width],
            finals: vec![T::default(); n * width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
            episodes: Vec::with_capacity(n),
            bad_steps: 0,
            reset_since: vec![false; n],
            resets: vec![false; n],
            stepped: false,
            begun: false,
        }
    }

    /// Checks that the rows of `n` environments fit in memory and have elements, before a batch of theirs is made.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) if they do not.
    pub fn check(n: usize, observations: &impl Space<Elem = T>) -> Result<()> {
        check::at_least("observation width", 1, observations.width() as u64)?;
        // Those of a batch, and of what is saved.
        let row = observations.width().checked_mul(4 * size_of::<T>());
        check::memory("envs", n, row.and_then(|row| row.checked_mul(n)))
    }

    /// A batch of given transitions (offline data or demonstrations), as if `n` environments had produced them: the
    /// observations acted on and the next observations, `[n, width]`, and the rewards and ends, `[n]`. `follows` says
    /// whether these transitions continue the previously observed ones or are independent of them.
    ///
    /// ```
    /// use rl_core::{End, StepBatch};
    /// let shown = StepBatch::of_transitions(&[0.1], &[1.0], &[Some(End::Terminated)], &[0.2], false)?;
    /// let transitions = shown.transitions(&[7u32]);
    /// assert_eq!((transitions.observations(), transitions.next_observation(0)), (&[0.1][..], &[0.2][..]));
    /// # Ok::<(), rl_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for slices whose lengths do not match.
    pub fn of_transitions(
        observations: &[T],
        rewards: &[f32],
        ends: &[Option<End>],
        next_observations: &[T],
        follows: bool,
    ) -> Result<Self> {
        let n = rewards.len();
        let width = observations.len() / n.max(1);
        check::len("observations", n * width, observations.len())?;
        check::len("next observations", n * width, next_observations.len())?;
        check::len("ends", n, ends.len())?;
        let mut batch = StepBatch::new(n, width);
        batch.previous.copy_from_slice(observations);
        batch.observations.copy_from_slice(next_observations);
        batch.finals.copy_from_slice(next_observations);
        batch.rewards.copy_from_slice(rewards);
        batch.ends.copy_from_slice(ends);
        batch.resets.fill(!follows);
        batch.stepped = true;
        Ok(batch)
    }

    /// The number of environments.
    pub fn num_envs(&self) -> usize {
        self.rewards.len()
    }

    /// The number of elements of one observation.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The current observations, `[n, width]`; after the end of an episode, the first observation of the next one.
    pub fn observations(&self) -> &[T] {
        &self.observations
    }

    /// Which environments were reset from outside since the last step, `[n]`: what [`restore`](StepBatch::restore)
    /// needs of it beside the observations.
    pub fn reset_since(&self) -> &[bool] {
        &self.reset_since
    }

    /// The rewards of the last step, `[n]`.
    pub fn rewards(&self) -> &[f32] {
        &self.rewards
    }

    /// Whether and how the episode ended at the last step in each environment, `[n]`.
    pub fn ends(&self) -> &[Option<End>] {
        &self.ends
    }

    /// The final observations, `[n, width]`; a row is meaningful only where `ends` marks the end of an episode.
    pub fn finals(&self) -> &[T] {
        &self.finals
    }

    /// The episodes that the last step finished.
    pub fn episodes(&self) -> &[Episode] {
        &self.episodes
    }

    /// How many environments gave numbers in the last step, or reset, that were NaN or infinite and are mended here; none
    /// unless [`VecEnv::set_bad_numbers`] asks for it.
    pub fn bad_steps(&self) -> u64 {
        self.bad_steps
    }

    /// Checks that rewards and observations are finite numbers: one that is not would be learned from, and what comes of it
    /// blamed on the learning rate. `step` are the environment steps before the last one.
    ///
    /// # Errors
    /// [`Error::NotFinite`](crate::Error::NotFinite) that names the environment.
    pub fn check_finite(&self, step: u64) -> Result<()> {
        check::finite_rows("reward", &self.rewards, 1, step)?;
        check::finite_rows("observation", &self.observations, self.width, step)?;
        // Rows of other environments are those of an earlier end.
        if self.ends.iter().any(Option::is_some) {
            check::finite_rows("final observation", &self.finals, self.width, step)?;
        }
        Ok(())
    }

    /// The last step as transitions, with the given executed actions, `[n, action width]`.
    pub fn transitions<'a, A>(&'a self, actions: &'a [A]) -> Transitions<'a, T, A> {
        Transitions { batch: self, actions }
    }

    /// Checks that episodes have begun, without which there is nothing to act on. For implementors of [`VecEnv`], in
    /// [`VecEnv::step`] before anything is stepped.
    ///
    /// # Errors
    /// [`Error::Env`](crate::Error::Env) before the first reset.
    pub fn check_begun(&self) -> Result<()> {
        if self.begun {
            return Ok(());
        }
        Err(crate::Error::Env("nothing to step: no reset yet".to_owned()))
    }

    /// Whether there are episodes to step.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Begins a step: the current observations become the previous ones. For implementors of [`VecEnv`].
    pub fn begin_step(&mut self) {
        std::mem::swap(&mut self.observations, &mut self.previous);
        self.episodes.clear();
        self.bad_steps = 0;
        std::mem::swap(&mut self.reset_since, &mut self.resets);
        self.reset_since.fill(false);
        self.stepped = true;
    }

    /// Begins an episode in every environment: discards the last step and marks the next one as following a reset.
    /// For implementors of [`VecEnv`], in [`VecEnv::reset`].
    pub fn begin_episodes(&mut self) {
        self.forget_step();
        self.reset_since.fill(true);
    }

    /// Restores saved observations, from which the episodes continue. For implementors of [`VecEnv`], in
    /// [`VecEnv::load`].
    ///
    /// # Errors
    /// [`Error::Mismatch`](crate::Error::Mismatch) for observations with another number of elements.
    pub fn restore(&mut self, observations: &[T], reset_since: &[bool]) -> Result<()> {
        check::len("saved observations", self.observations.len(), observations.len())?;
        check::len("saved resets", self.reset_since.len(), reset_since.len())?;
        self.forget_step();
        self.reset_since.copy_from_slice(reset_since);
        self.observations.copy_from_slice(observations);
        Ok(())
    }

    fn forget_step(&mut self) {
        self.rewards.fill(0.0);
        self.ends.fill(None);
        self.finals.fill(T::default());
        self.episodes.clear();
        self.bad_steps = 0;
        self.resets.fill(false);
        self.stepped = false;
        self.begun = false;
    }

    /// Copies the contents of `other`, a batch of the same size, without allocating.
    pub fn copy_from(&mut self, other: &StepBatch<T>) {
        self.observations.copy_from_slice(&other.observations);
        self.previous.copy_from_slice(&other.previous);
        self.finals.copy_from_slice(&other.finals);
        self.rewards.copy_from_slice(&other.rewards);
        self.ends.copy_from_slice(&other.ends);
        self.episodes.clear();
        self.episodes.extend_from_slice(&other.episodes);
        self.bad_steps = other.bad_steps;
        self.reset_since.copy_from_slice(&other.reset_since);
        self.resets.copy_from_slice(&other.resets);
        self.stepped = other.stepped;
        self.begun = other.begun;
    }

    /// Mends first observations ([`BadNumbers::mend_first`]), on which steps can follow now. For implementors of
    /// [`VecEnv`], at the end of [`VecEnv::reset`] and [`VecEnv::load`].
    pub fn mend_first(&mut self, bad_numbers: BadNumbers) {
        for row in self.observations.chunks_exact_mut(self.width.max(1)) {
            self.bad_steps += u64::from(bad_numbers.mend_first(row));
        }
        self.begun = true;
    }

    /// Mutable access to all rows. For implementors of [`VecEnv`].
    pub fn rows_mut(&mut self) -> StepRows<'_, T> {
        StepRows {
            previous: &self.previous,
            observations: &mut self.observations,
            finals: &mut self.finals,
            rewards: &mut self.rewards,
            ends: &mut self.ends,
            episodes: &mut self.episodes,
            bad_steps: &mut self.bad_steps,
        }
    }
}

/// The rows of a [`StepBatch`], to be filled in by an implementor of [`VecEnv`].
#[derive(Debug)]
pub struct StepRows<'a, T> {
    /// The observations that were acted on, `[n, width]`.
    pub previous: &'a [T],
    /// The observations to act on next, `[n, width]`.
    pub observations: &'a mut [T],
    /// The last observation of each episode that ended in this step, `[n, width]`.
    pub finals: &'a mut [T],
    /// The rewards, `[n]`.
    pub rewards: &'a mut [f32],
    /// Whether and how the episode ended, `[n]`.
    pub ends: &'a mut [Option<End>],
    /// Finished episodes; implementors append to it.
    pub episodes: &'a mut Vec<Episode>,
    /// How many environments gave numbers that had to be mended; implementors add to it.
    pub bad_steps: &'a mut u64,
}

/// One step of `n` environments as transitions for an agent.
#[derive(Clone, Copy, Debug)]
pub struct Transitions<'a, T, A> {
    batch: &'a StepBatch<T>,
    actions: &'a [A],
}

impl<'a, T: Element, A> Transitions<'a, T, A> {
    /// The number of transitions, one per environment.
    pub fn len(&self) -> usize {
        self.batch.num_envs()
    }

    /// Whether there are no transitions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The observations acted on, `[n, width]`.
    #[allow(clippy::misnamed_getters)] // These are the previous observations of the batch.
    pub fn observations(&self) -> &'a [T] {
        &self.batch.previous
    }

    /// The executed actions, `[n, action width]`.
    pub fn actions(&self) -> &'a [A] {
        self.actions
    }

    /// The same step with actions in another form, `[n, action width]`, for example an agent's unclipped actions in
    /// place of the clipped ones that were executed.
    pub fn with_actions<'b, B>(&self, actions: &'b [B]) -> Transitions<'b, T, B>
    where
        'a: 'b,
    {
        Transitions { batch: self.batch, actions }
    }

    /// Whether each environment was reset from outside before this step, `[n]`. Such a reset cuts the running
    /// episode, so this step does not continue the one observed before it. Open n-step returns, rollouts and episodes
    /// must be closed as truncated.
    pub fn resets(&self) -> &'a [bool] {
        &self.batch.resets
    }

    /// Checks that there is a step to learn from, of so many environments and with finite rewards. For implementors of
    /// [`Agent::observe`](crate::Agent::observe).
    ///
    /// # Errors
    /// [`Error::Env`](crate::Error::Env) where the environments have not been stepped since their last reset;
    /// [`Error::Mismatch`](crate::Error::Mismatch) for another number of environments or a reward that is not finite.
    pub fn check(&self, envs: usize) -> Result<()> {
        check::len("transitions", envs, self.len())?;
        if !self.batch.stepped {
            let problem = "nothing to observe: no step since the last reset";
            return Err(crate::Error::Env(problem.to_owned()));
        }
        match self.rewards().iter().position(|reward| !reward.is_finite()) {
            None => Ok(()),
            Some(i) => {
                let what = format!("reward of environment {i}");
                Err(crate::Error::mismatch(what, "a finite number", self.rewards()[i]))
            }
        }
    }

    /// The rewards, `[n]`.
    pub fn rewards(&self) -> &'a [f32] {
        &self.batch.rewards
    }

    /// Whether and how the episode ended at this step, `[n]`.
    pub fn ends(&self) -> &'a [Option<End>] {
        &self.batch.ends
    }

    /// The next observation of step `i`, `[width]`. At the end of an episode this is its final observation, never the
    /// first observation of the next episode.
    pub fn next_observation(&self, i: usize) -> &'a [T] {
        let ended = self.batch.ends[i].is_some();
        let rows = if ended { &self.batch.finals } else { &self.batch.observations };
        &rows[i * self.batch.width..][..self.batch.width]
    }
}

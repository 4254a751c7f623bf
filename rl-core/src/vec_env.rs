//! Several environments stepped together.

use crate::{
    BadNumbers, Metrics, Normalizer, Result, RunningMoments, Seeds, Space, StepBatch, check,
};

/// Vectorised environments. Each one is reset automatically as soon as its episode ends.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{Seeds, SerialVecEnv, VecEnv};
/// let mut envs = SerialVecEnv::new(vec![Sign::default(), Sign::default()], Seeds::new(0))?;
/// envs.reset()?;
/// envs.step(&[0, 1])?;
/// let batch = envs.batch();
/// assert_eq!((batch.num_envs(), batch.width()), (2, 1));
/// assert_eq!(batch.episodes().len(), 2); // each episode of this environment has one step
/// # Ok::<(), rl_core::Error>(())
/// ```
pub trait VecEnv {
    /// The observation space.
    type Obs: Space;
    /// The action space.
    type Action: Space;

    /// The observation space of each environment.
    fn observation_space(&self) -> &Self::Obs;

    /// The action space of each environment.
    fn action_space(&self) -> &Self::Action;

    /// The result of the last step.
    fn batch(&self) -> &StepBatch<<Self::Obs as Space>::Elem>;

    /// Starts an episode in each environment. A running episode is cut; the next step reports this through
    /// [`Transitions::resets`](crate::Transitions::resets).
    ///
    /// # Errors
    /// Those of [`Env::reset`](crate::Env::reset).
    fn reset(&mut self) -> Result<()>;

    /// Steps all environments with `actions`, `[n, action width]`. Where an episode ends, the next one starts and the
    /// final observation is kept.
    ///
    /// # Errors
    /// Those of [`Env::step`](crate::Env::step); a wrong number of actions; no [`reset`](VecEnv::reset) or
    /// [`load`](VecEnv::load) yet.
    fn step(&mut self, actions: &[<Self::Action as Space>::Elem]) -> Result<()>;

    /// Gives every environment the stream `("env", i)` of `seeds`; takes effect at the next reset.
    ///
    /// # Errors
    /// If the environments can no longer be reached.
    fn reseed(&mut self, seeds: Seeds) -> Result<()>;

    /// The state that a resumed run needs, as bytes. Of environments that cannot be saved ([`Env::state`]) these are
    /// the random generators.
    ///
    /// [`Env::state`]: crate::Env::state
    ///
    /// # Errors
    /// If the environments can no longer be reached.
    fn save(&self) -> Result<Vec<u8>>;

    /// Restores a saved state. An environment that could not be saved begins a new episode, drawn from its saved
    /// generator; the next step reports this through [`Transitions::resets`](crate::Transitions::resets).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) for bytes that are not a state of these environments; those of
    /// [`Env::reset`](crate::Env::reset) where an episode has to begin.
    fn load(&mut self, bytes: &[u8]) -> Result<()>;

    /// Sets what happens from the next step on where an environment gives a number that is NaN or infinite. It is done
    /// where the number comes from, before a wrapper takes it into its statistics. With [`BadNumbers::Stop`], the default,
    /// numbers are shown as they are, and the [`Trainer`](crate::Trainer) refuses them. A wrapper forwards it, and shows
    /// the [bad steps](StepBatch::bad_steps) of what it wraps.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) where an implementation cannot do it, as the default one can do nothing but
    /// stop; if the environments can no longer be reached.
    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        if bad_numbers == BadNumbers::Stop {
            return Ok(());
        }
        let expected = "stop, for environments that can neither skip nor count";
        Err(crate::Error::config("bad_numbers", expected, bad_numbers))
    }

    /// Checks that what the last step, or reset, gave are finite numbers, see [`StepBatch::check_finite`]. A wrapper that
    /// clips numbers, or gathers statistics of them, checks what it wraps too: it can hide what is infinite.
    ///
    /// # Errors
    /// Those of [`StepBatch::check_finite`].
    fn check_finite(&self, step: u64) -> Result<()> {
        self.batch().check_finite(step)
    }

    /// The wrapper's normaliser of observations, if there is one; none by default. A wrapper hands on that of what it wraps.
    fn normalizer(&self) -> Option<&Normalizer> {
        None
    }

    /// The statistics gathered by observation-normalising wrappers, innermost first. They are the part of a policy
    /// that is stored in its environment.
    fn moments(&self) -> Vec<RunningMoments> {
        Vec::new()
    }

    /// Sets these statistics, as an evaluation does before it starts.
    ///
    /// # Errors
    /// A wrong number of statistics, or statistics of the wrong width.
    fn set_moments(&mut self, moments: &[RunningMoments]) -> Result<()> {
        check::len("normalisation moments", 0, moments.len())
    }

    /// Starts or ends evaluation mode, in which wrappers do not update their statistics.
    fn set_evaluating(&mut self, evaluating: bool) {
        let _ = evaluating;
    }

    /// Whether [`load`](VecEnv::load) goes on in the midst of an episode, so that a resumed run equals one that was not
    /// stopped; `false` if an environment cannot save its state. A wrapper forwards it.
    fn resumes_exactly(&self) -> bool {
        true
    }

    /// Records what the environments measured of the episodes that the last step finished, beside their return and
    /// length: whether they succeeded, say. The [`Trainer`](crate::Trainer) calls it after each step. Nothing is
    /// recorded by default; a wrapper forwards it.
    fn record(&self, metrics: &mut Metrics) {
        let _ = metrics;
    }

    /// The number of environments.
    fn num_envs(&self) -> usize {
        self.batch().num_envs()
    }
}

impl<V: VecEnv + ?Sized> VecEnv for Box<V> {
    type Obs = V::Obs;
    type Action = V::Action;

    fn observation_space(&self) -> &V::Obs {
        (**self).observation_space()
    }
    fn action_space(&self) -> &V::Action {
        (**self).action_space()
    }
    fn batch(&self) -> &StepBatch<<V::Obs as Space>::Elem> {
        (**self).batch()
    }
    fn reset(&mut self) -> Result<()> {
        (**self).reset()
    }
    fn step(&mut self, actions: &[<V::Action as Space>::Elem]) -> Result<()> {
        (**self).step(actions)
    }
    fn reseed(&mut self, seeds: Seeds) -> Result<()> {
        (**self).reseed(seeds)
    }
    fn save(&self) -> Result<Vec<u8>> {
        (**self).save()
    }
    fn load(&mut self, bytes: &[u8]) -> Result<()> {
        (**self).load(bytes)
    }
    fn set_bad_numbers(&mut self, bad_numbers: BadNumbers) -> Result<()> {
        (**self).set_bad_numbers(bad_numbers)
    }
    fn check_finite(&self, step: u64) -> Result<()> {
        (**self).check_finite(step)
    }
    fn normalizer(&self) -> Option<&Normalizer> {
        (**self).normalizer()
    }
    fn moments(&self) -> Vec<RunningMoments> {
        (**self).moments()
    }
    fn set_moments(&mut self, moments: &[RunningMoments]) -> Result<()> {
        (**self).set_moments(moments)
    }
    fn set_evaluating(&mut self, evaluating: bool) {
        (**self).set_evaluating(evaluating);
    }
    fn resumes_exactly(&self) -> bool {
        (**self).resumes_exactly()
    }
    fn record(&self, metrics: &mut Metrics) {
        (**self).record(metrics);
    }
}

//! The interface between the training loop and an algorithm.

use crate::{Metrics, Result, Rng, Sections, Space, Transitions};

/// Progress of a run. Schedules depend only on it, so a resumed run continues them exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Environment steps taken so far, summed over all environments.
    pub step: u64,
    /// Environment steps in the whole run.
    pub total: u64,
}

impl Progress {
    /// The completed fraction of the run, in `[0, 1]`.
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 1.0 } else { (self.step as f64 / self.total as f64).min(1.0) }
    }
}

/// A policy that acts greedily, without exploration, as [`evaluate`](crate::evaluate()) needs.
pub trait Policy {
    /// The observation space.
    type Obs: Space;
    /// The action space.
    type Action: Space;

    /// Writes the greedy action for each observation: `observations` is `[n, width]`, `actions` is
    /// `[n, action width]`. Draws no random numbers.
    ///
    /// # Errors
    /// Slices of the wrong length; a NaN in a network's output.
    fn act_greedily(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        actions: &mut [<Self::Action as Space>::Elem],
    ) -> Result<()>;

    /// Everything but the parameters that acting takes, as text, written to [`POLICY_FILE`](crate::POLICY_FILE) in
    /// checkpoints so that a policy can be loaded without its agent; none by default, for policies that cannot be described.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn describe(&self) -> Result<Option<String>> {
        Ok(None)
    }
}

/// A stochastic policy with a value function: samples actions and returns their log-probabilities and value
/// estimates, as on-policy methods need to collect rollouts.
pub trait StochasticPolicy {
    /// The observation space.
    type Obs: Space;
    /// The action space.
    type Action: Space;

    /// Samples an action for each observation, `[n, width]`: writes the actions, `[n, action width]`, their
    /// log-probabilities, `[n]`, and the value estimates of the observations, `[n]`.
    ///
    /// # Errors
    /// Slices of the wrong length; a NaN in a network's output.
    fn sample(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        rng: &mut Rng,
        actions: &mut [<Self::Action as Space>::Elem],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> Result<()>;

    /// Writes the log-probabilities of given actions, `[n, action width]`, into `log_probs`, `[n]`.
    ///
    /// # Errors
    /// Slices of the wrong length; an action without a finite log-probability; a NaN in a network's output.
    fn log_probs(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        actions: &[<Self::Action as Space>::Elem],
        log_probs: &mut [f32],
    ) -> Result<()>;

    /// Writes the value estimate of each observation, `[n, width]`, into `values`, `[n]`.
    ///
    /// # Errors
    /// Slices of the wrong length.
    fn values(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        values: &mut [f32],
    ) -> Result<()>;
}

/// A learning algorithm. The training loop is `act -> step -> observe -> update`; [`Trainer`](crate::Trainer) runs
/// it, and a custom loop takes about ten lines.
pub trait Agent: Policy {
    /// The algorithm's name, stored in checkpoints to identify the algorithm.
    fn name(&self) -> &'static str;

    /// Writes an exploratory action for each observation: `observations` is `[n, width]`, `actions` is
    /// `[n, action width]`. The step that [`observe`](Agent::observe) gets next must begin at these observations: what
    /// is computed here (value estimates, log-probabilities) is used there.
    ///
    /// # Errors
    /// Slices of the wrong length; a NaN in a network's output.
    fn act(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        progress: Progress,
        actions: &mut [<Self::Action as Space>::Elem],
    ) -> Result<()>;

    /// Processes one step of the environments. Where an environment was reset from outside since the previous step
    /// ([`Transitions::resets`]), any open n-step return, rollout or episode of the agent is closed as a truncation.
    /// The agent learns from the executed actions in `transitions`, which may differ from those returned by
    /// [`act`](Agent::act) (for example through a safety filter or a demonstration). Where they are the same, it
    /// learns from the actions before clipping to the bounds.
    ///
    /// Implementations begin with [`Transitions::check`].
    ///
    /// # Errors
    /// Transitions that do not fit the agent; no step since the last reset; a reward that is not finite; an externally
    /// chosen action outside the action space, or one that an action mask forbids.
    fn observe(
        &mut self,
        transitions: &Transitions<'_, <Self::Obs as Space>::Elem, <Self::Action as Space>::Elem>,
    ) -> Result<()>;

    /// Performs the gradient steps that are due, if any, and records metrics.
    ///
    /// # Errors
    /// A non-finite loss or gradient.
    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()>;

    /// Writes everything that a resumed run needs; a replay buffer is written as the file `replay.bin`.
    ///
    /// # Errors
    /// If a part cannot be encoded.
    fn save(&self, out: &mut Sections) -> Result<()>;

    /// Writes only what acting needs; a network policy goes to the file `policy.safetensors`. This is part of
    /// [`save`](Agent::save).
    ///
    /// # Errors
    /// If a part cannot be encoded.
    fn save_policy(&self, out: &mut Sections) -> Result<()>;

    /// Loads a policy written by [`save_policy`](Agent::save_policy) or [`save`](Agent::save), also into the target
    /// networks. On error the agent is unchanged.
    ///
    /// # Errors
    /// Those of [`load`](Agent::load).
    fn load_policy(&mut self, from: &Sections) -> Result<()>;

    /// Restores the state written by [`save`](Agent::save). On error the agent is unchanged. Without the file
    /// `replay.bin` the replay buffer is empty, see [`Trainer::without_replay`](crate::Trainer::without_replay).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Mismatch`](crate::Error::Mismatch) for
    /// sections that are missing, damaged, or written by an agent of another shape.
    fn load(&mut self, from: &Sections) -> Result<()>;
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    type Obs = P::Obs;
    type Action = P::Action;

    fn act_greedily(
        &mut self,
        observations: &[<P::Obs as Space>::Elem],
        actions: &mut [<P::Action as Space>::Elem],
    ) -> Result<()> {
        (**self).act_greedily(observations, actions)
    }
    fn describe(&self) -> Result<Option<String>> {
        (**self).describe()
    }
}

impl<A: Agent + ?Sized> Agent for Box<A> {
    fn name(&self) -> &'static str {
        (**self).name()
    }
    fn act(
        &mut self,
        observations: &[<A::Obs as Space>::Elem],
        progress: Progress,
        actions: &mut [<A::Action as Space>::Elem],
    ) -> Result<()> {
        (**self).act(observations, progress, actions)
    }
    fn observe(
        &mut self,
        transitions: &Transitions<'_, <A::Obs as Space>::Elem, <A::Action as Space>::Elem>,
    ) -> Result<()> {
        (**self).observe(transitions)
    }
    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        (**self).update(progress, metrics)
    }
    fn save(&self, out: &mut Sections) -> Result<()> {
        (**self).save(out)
    }
    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        (**self).save_policy(out)
    }
    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        (**self).load_policy(from)
    }
    fn load(&mut self, from: &Sections) -> Result<()> {
        (**self).load(from)
    }
}

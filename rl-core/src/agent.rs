//! What the training loop asks of an algorithm.

use crate::{Metrics, Result, Rng, Sections, Space, Transitions};

/// How far a run has come. Schedules depend on it and on nothing else, so a resumed run
/// continues them exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Environment steps taken, over all environments.
    pub step: u64,
    /// Environment steps that the run will take.
    pub total: u64,
}

impl Progress {
    /// The share of the run that is over, in `[0, 1]`.
    pub fn fraction(&self) -> f64 {
        if self.total == 0 { 1.0 } else { (self.step as f64 / self.total as f64).min(1.0) }
    }
}

/// Something that acts without exploring: what [`evaluate`](crate::evaluate()) needs.
pub trait Policy {
    /// The kind of observation it reads.
    type Obs: Space;
    /// The kind of action it takes.
    type Action: Space;

    /// Writes the best known action for each observation: `observations` is `[n, width]`,
    /// `actions` `[n, action width]`. Draws no random numbers.
    ///
    /// # Errors
    /// Slices of a wrong length; a network whose output is not a number.
    fn act_greedily(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        actions: &mut [<Self::Action as Space>::Elem],
    ) -> Result<()>;
}

/// A policy that draws its actions and says how likely they were and what it expects of a state: what
/// on-policy methods gather experience with.
pub trait StochasticPolicy {
    /// The kind of observation it reads.
    type Obs: Space;
    /// The kind of action it takes.
    type Action: Space;

    /// Draws an action for each observation, `[n, width]`: writes the actions, `[n, action width]`,
    /// their log-probabilities, `[n]`, and the observations' values, `[n]`.
    ///
    /// # Errors
    /// Slices of a wrong length; a network whose output is not a number.
    fn sample(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        rng: &mut Rng,
        actions: &mut [<Self::Action as Space>::Elem],
        log_probs: &mut [f32],
        values: &mut [f32],
    ) -> Result<()>;

    /// Writes the log-probabilities of actions of another's choice, `[n, action width]`, into `log_probs`, `[n]`.
    ///
    /// # Errors
    /// Slices of a wrong length; an action without a finite log-probability; a network whose output is not a number.
    fn log_probs(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        actions: &[<Self::Action as Space>::Elem],
        log_probs: &mut [f32],
    ) -> Result<()>;

    /// Writes the value of each observation, `[n, width]`, into `values`, `[n]`.
    ///
    /// # Errors
    /// Slices of a wrong length.
    fn values(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        values: &mut [f32],
    ) -> Result<()>;
}

/// A learning algorithm. The loop is `act -> step -> observe -> update`; [`Trainer`](crate::Trainer)
/// runs it, and so can ten lines of your own.
pub trait Agent: Policy {
    /// The algorithm's name, by which a checkpoint knows its owner.
    fn name(&self) -> &'static str;

    /// Writes an action for each observation, exploring: `observations` is `[n, width]`,
    /// `actions` `[n, action width]`.
    ///
    /// # Errors
    /// Slices of a wrong length; a network whose output is not a number.
    fn act(
        &mut self,
        observations: &[<Self::Obs as Space>::Elem],
        progress: Progress,
        actions: &mut [<Self::Action as Space>::Elem],
    ) -> Result<()>;

    /// Takes in one step of the environments. Where they were reset from outside before it
    /// ([`Transitions::resets`]), what the agent keeps open across steps (an n-step return, a rollout, an episode) is
    /// closed as a truncation. An agent learns from the actions that they took, which `transitions`
    /// holds: those need not be the ones that [`act`](Agent::act) handed out (a safety filter, a demonstration). Where
    /// they are, it learns from its own form of them, before clipping to the bounds.
    ///
    /// # Errors
    /// Transitions that do not fit the agent; an action of another's choice outside the space.
    fn observe(
        &mut self,
        transitions: &Transitions<'_, <Self::Obs as Space>::Elem, <Self::Action as Space>::Elem>,
    ) -> Result<()>;

    /// Learns, where learning is due, and records what can be told about it.
    ///
    /// # Errors
    /// A loss or gradient that is not finite.
    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()>;

    /// Writes everything that a resumed run needs; a replay memory as the file `replay.bin`.
    ///
    /// # Errors
    /// Where a part cannot be encoded.
    fn save(&self, out: &mut Sections) -> Result<()>;

    /// Writes what acting needs and nothing else, into the file `policy.safetensors` where the
    /// policy is a network. Part of [`save`](Agent::save).
    ///
    /// # Errors
    /// Where a part cannot be encoded.
    fn save_policy(&self, out: &mut Sections) -> Result<()>;

    /// Takes over a policy that [`save_policy`](Agent::save_policy) or [`save`](Agent::save) wrote, for target networks
    /// too. On an error the agent is as it was.
    ///
    /// # Errors
    /// Those of [`load`](Agent::load).
    fn load_policy(&mut self, from: &Sections) -> Result<()>;

    /// Goes back to what [`save`](Agent::save) wrote. On an error the agent is as it was. Without the file
    /// `replay.bin` its replay memory is empty, see [`Trainer::without_replay`](crate::Trainer::without_replay).
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Mismatch`](crate::Error::Mismatch) for
    /// sections that are missing, damaged, or made by an agent of another shape.
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

//! The agent that the algorithms of this crate share; they differ in the rule it learns by.

use crate::Learner;
use rl_core::{
    Agent, BoxSpace, Metrics, Policy, Progress, Result, Sections, Space, Transitions, check,
};
use rl_nets::{ActorCriticPolicy, Distribution, InputSpace};
use rl_replay::explained_variance;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// How an on-policy agent learns from a full rollout.
pub trait Rule<D: Distribution, O: InputSpace = BoxSpace> {
    /// The algorithm's name, by which a checkpoint knows its owner.
    const NAME: &'static str;

    /// What changes while it learns, beside the learner.
    type State: Serialize + DeserializeOwned;

    /// The discount factor and the decay of the advantage estimator.
    fn discounts(&self) -> (f64, f64);

    /// Learns from the learner's rollout, whose advantages and returns are known.
    ///
    /// # Errors
    /// A loss or gradient that is not finite.
    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()>;

    /// Its present state.
    fn state(&self) -> Self::State;

    /// Goes back to `state`.
    ///
    /// # Errors
    /// A state that it cannot be in.
    fn set_state(&mut self, state: Self::State) -> Result<()>;
}

/// An agent that gathers rollouts with its policy, learns from each by a [`Rule`], and forgets it.
#[derive(Debug)]
pub struct OnPolicy<D: Distribution, R, O: Space = BoxSpace> {
    learner: Learner<D, O>,
    rule: R,
}

impl<D: Distribution, O: InputSpace, R: Rule<D, O>> OnPolicy<D, R, O> {
    /// An agent of a learner and a rule of your own.
    pub fn with_rule(learner: Learner<D, O>, rule: R) -> Self {
        OnPolicy { learner, rule }
    }

    /// The rule.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// The policy.
    pub fn policy(&self) -> &ActorCriticPolicy<D, O> {
        &self.learner.policy
    }

    /// The values of observations `[n, width]`, `[n]`.
    ///
    /// # Errors
    /// An input that is not whole rows.
    pub fn values(&mut self, observations: &[O::Elem]) -> Result<Vec<f32>> {
        self.learner.policy.values_of(observations)
    }
}

impl<D: Distribution, O: InputSpace, R> Policy for OnPolicy<D, R, O> {
    type Obs = O;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[O::Elem], actions: &mut [D::Elem]) -> Result<()> {
        self.learner.act_greedily(observations, actions)
    }
}

impl<D: Distribution, O: InputSpace, R: Rule<D, O>> Agent for OnPolicy<D, R, O> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn act(
        &mut self,
        observations: &[O::Elem],
        _: Progress,
        actions: &mut [D::Elem],
    ) -> Result<()> {
        self.learner.act(observations, actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, O::Elem, D::Elem>) -> Result<()> {
        self.learner.observe(transitions, self.rule.discounts())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.learner.collector.rollout.is_full() {
            return Ok(());
        }
        self.rule.learn(&mut self.learner, progress, metrics)?;
        let rollout = &mut self.learner.collector.rollout;
        metrics
            .record("explained_variance", explained_variance(rollout.values(), rollout.returns()));
        rollout.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learner.policy.save_weights(out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.learner.policy.load_weights(from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        out.put("rule", &self.rule.state())?;
        self.learner.save(out)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let state = from.get("rule")?;
        let before = self.rule.state();
        self.rule.set_state(state)?;
        self.learner.load(from).or_else(|error| {
            self.rule.set_state(before)?;
            Err(error)
        })
    }
}

/// Checks what every rollout of this crate is made of.
pub(crate) fn validate_rollout(
    (n_steps, batch_size, num_envs): (usize, usize, usize),
    (gamma, gae_lambda): (f64, f64),
) -> Result<()> {
    check::at_least("n_steps", 1, n_steps as u64)?;
    check::at_least("batch_size", 1, batch_size as u64)?;
    let rollout = (n_steps * num_envs) as u64;
    check::at_most("batch_size", rollout, "n_steps * envs", batch_size as u64)?;
    check::fraction("gamma", gamma)?;
    check::fraction("gae_lambda", gae_lambda)
}

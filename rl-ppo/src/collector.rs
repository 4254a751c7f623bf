//! Acting with a stochastic policy and gathering rollouts.

use rl_core::{BoxSpace, Result, Rng, Space, Transitions};
use rl_nets::{ActorCriticPolicy, Distribution};
use rl_replay::{Beliefs, Rollout};

/// Gathers rollouts: remembers what the policy chose and believed from acting to observing.
#[derive(Debug)]
pub(crate) struct Collector<D: Distribution> {
    pub(crate) rollout: Rollout<f32, D::Elem>,
    action_space: D::Action,
    /// The policy's own actions, `[envs, action width]`, before clipping to the bounds.
    actions: Vec<D::Elem>,
    log_probs: Vec<f32>,
    values: Vec<f32>,
    final_values: Vec<f32>,
}

impl<D: Distribution> Collector<D> {
    pub(crate) fn new(
        n_steps: usize,
        num_envs: usize,
        observation_space: &BoxSpace,
        action_space: D::Action,
    ) -> Result<Self> {
        let action_width = action_space.width();
        Ok(Collector {
            rollout: Rollout::new(n_steps, num_envs, observation_space.width(), action_width)?,
            action_space,
            actions: vec![D::Elem::default(); num_envs * action_width],
            log_probs: vec![0.0; num_envs],
            values: vec![0.0; num_envs],
            final_values: vec![0.0; num_envs],
        })
    }

    /// Draws actions and hands them out clipped to the bounds; the policy's own are kept.
    pub(crate) fn act(
        &mut self,
        policy: &mut ActorCriticPolicy<D>,
        observations: &[f32],
        rng: &mut Rng,
        actions: &mut [D::Elem],
    ) -> Result<()> {
        let Collector { actions: own, log_probs, values, .. } = self;
        policy.sample(observations, rng, own, log_probs, values)?;
        rl_core::check::len("actions", own.len(), actions.len())?;
        actions.copy_from_slice(own);
        self.clip(actions);
        Ok(())
    }

    /// Brings actions into their space.
    pub(crate) fn clip(&self, actions: &mut [D::Elem]) {
        let width = self.action_space.width();
        actions.chunks_exact_mut(width).for_each(|row| self.action_space.clip(row));
    }

    /// Stores a step; a truncated episode's final observation is valued.
    pub(crate) fn observe(
        &mut self,
        policy: &mut ActorCriticPolicy<D>,
        transitions: &Transitions<'_, f32, D::Elem>,
    ) -> Result<()> {
        for (i, end) in transitions.ends().iter().enumerate() {
            if *end == Some(rl_core::End::Truncated) {
                let value = &mut self.final_values[i..=i];
                policy.values(transitions.next_observation(i), value)?;
            }
        }
        let Collector { actions, log_probs, values, final_values, .. } = self;
        let beliefs = Beliefs { actions, log_probs, values, final_values };
        Ok(self.rollout.push(transitions, beliefs)?)
    }

    /// Values what follows the newest step and computes advantages and returns.
    pub(crate) fn finish(
        &mut self,
        policy: &mut ActorCriticPolicy<D>,
        transitions: &Transitions<'_, f32, D::Elem>,
        gamma: f64,
        gae_lambda: f64,
    ) -> Result<()> {
        // Where the newest step ended an episode this value is not used.
        for (i, value) in self.values.chunks_exact_mut(1).enumerate() {
            policy.values(transitions.next_observation(i), value)?;
        }
        Ok(self.rollout.finish(&self.values, gamma, gae_lambda)?)
    }
}

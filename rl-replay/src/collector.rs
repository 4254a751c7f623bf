//! Acting with a stochastic policy and collecting rollouts.

use crate::{Estimates, HandedOut, Result, Rollout};
use rl_core::{End, Rng, Space, StochasticPolicy, Transitions, check};

/// Collects rollouts: keeps the actions, value estimates and log-probabilities from `act` until `observe`.
///
/// ```
/// use rl_core::toy::Sign;
/// use rl_core::{BoxSpace, Discrete, Rng, Seeds, Space, SerialVecEnv, StochasticPolicy, VecEnv};
/// use rl_replay::Collector;
/// /// Tosses a coin.
/// struct Coin;
/// impl StochasticPolicy for Coin {
///     type Obs = BoxSpace;
///     type Action = Discrete;
///     fn sample(&mut self, _: &[f32], rng: &mut Rng, actions: &mut [u32], log_probs: &mut [f32], values: &mut [f32])
///         -> rl_core::Result<()>
///     {
///         actions.fill_with(|| rng.below(2) as u32);
///         log_probs.fill(0.5f32.ln());
///         values.fill(0.5);
///         Ok(())
///     }
///     fn log_probs(&mut self, _: &[f32], _: &[u32], log_probs: &mut [f32]) -> rl_core::Result<()> {
///         log_probs.fill(0.5f32.ln());
///         Ok(())
///     }
///     fn values(&mut self, _: &[f32], values: &mut [f32]) -> rl_core::Result<()> {
///         values.fill(0.5);
///         Ok(())
///     }
/// }
/// let mut envs = SerialVecEnv::new(vec![Sign::default(); 2], Seeds::new(0))?;
/// let mut collector = Collector::new(8, 2, envs.observation_space(), *envs.action_space())?;
/// let (mut rng, mut actions) = (Seeds::new(0).stream("agent", 0), [0, 0]);
/// envs.reset()?;
/// while !collector.rollout.is_full() {
///     collector.act(&mut Coin, envs.batch().observations(), &mut rng, &mut actions)?;
///     envs.step(&actions)?;
///     collector.observe(&mut Coin, &envs.batch().transitions(&actions))?;
/// }
/// collector.finish(&mut Coin, 0.99, 0.95)?;
/// assert_eq!(collector.rollout.advantages().len(), 16);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Collector<O: Space, A: Space> {
    /// The rollout being collected.
    pub rollout: Rollout<O::Elem, A::Elem>,
    /// The policy's actions before clipping to the bounds, `[envs, action width]`.
    actions: Vec<A::Elem>,
    handed_out: HandedOut<A>,
    log_probs: Vec<f32>,
    values: Vec<f32>,
    final_values: Vec<f32>,
}

impl<O: Space, A: Space> Collector<O, A> {
    /// Collects rollouts of `n_steps` steps of `num_envs` environments.
    ///
    /// # Errors
    /// Those of [`Rollout::new`].
    pub fn new(
        n_steps: usize,
        num_envs: usize,
        observation_space: &O,
        action_space: A,
    ) -> Result<Self> {
        let action_width = action_space.width();
        Ok(Collector {
            rollout: Rollout::new(n_steps, num_envs, observation_space.width(), action_width)?,
            actions: vec![<A::Elem as Default>::default(); num_envs * action_width],
            handed_out: HandedOut::new(action_space, num_envs),
            log_probs: vec![0.0; num_envs],
            values: vec![0.0; num_envs],
            final_values: vec![0.0; num_envs],
        })
    }

    /// Samples actions for `observations`, `[envs, width]`, and writes them clipped to the bounds,
    /// `[envs, action width]`. The unclipped actions are kept for learning, and are used unless the environment
    /// executes another action.
    ///
    /// # Errors
    /// Those of the policy; slices of the wrong length.
    pub fn act(
        &mut self,
        policy: &mut impl StochasticPolicy<Obs = O, Action = A>,
        observations: &[O::Elem],
        rng: &mut Rng,
        actions: &mut [A::Elem],
    ) -> rl_core::Result<()> {
        let Collector { actions: own, log_probs, values, .. } = self;
        policy.sample(observations, rng, own, log_probs, values)?;
        check::len("actions", own.len(), actions.len())?;
        actions.copy_from_slice(own);
        self.clip(actions);
        self.handed_out.note(actions)
    }

    /// The action space.
    pub fn action_space(&self) -> &A {
        self.handed_out.space()
    }

    /// Clips actions, `[n, action width]`, to their space.
    pub fn clip(&self, actions: &mut [A::Elem]) {
        self.handed_out.space().clip_rows(actions);
    }

    /// Stores a step; the final observation of a truncated episode is evaluated by the value function. An executed
    /// action that differs from the one `act` returned is stored with its own log-probability; without a preceding
    /// [`act`](Collector::act) this applies to all actions.
    ///
    /// # Errors
    /// Those of the policy and of [`Rollout::push`].
    pub fn observe(
        &mut self,
        policy: &mut impl StochasticPolicy<Obs = O, Action = A>,
        transitions: &Transitions<'_, O::Elem, A::Elem>,
    ) -> rl_core::Result<()> {
        let (num_envs, width) = (self.values.len(), self.rollout.width());
        transitions.check(num_envs)?;
        let observations = transitions.observations();
        check::len("observations", num_envs * width, observations.len())?;
        // Bootstrap episodes cut by a reset from outside with the value of their last observation.
        for (env, reset) in transitions.resets().iter().enumerate() {
            if let (true, true, Some(next)) =
                (*reset, self.rollout.is_open(env), self.rollout.next_observation(env))
            {
                let mut value = [0.0];
                policy.values(next, &mut value)?;
                self.rollout.truncate(env, value[0]);
            }
        }
        let Collector { actions, handed_out, log_probs, values, .. } = self;
        let replaced = |env: usize, action: &[A::Elem]| {
            let observation = &observations[env * width..][..width];
            policy.log_probs(observation, action, &mut log_probs[env..=env])
        };
        if !handed_out.compare(transitions.actions(), actions, |_, action| action, replaced)? {
            policy.values(observations, values)?;
        }
        // Zeros elsewhere: stale values must not reach a checkpoint, which would then differ after a resume.
        self.final_values.fill(0.0);
        for (i, end) in transitions.ends().iter().enumerate() {
            if *end == Some(End::Truncated) {
                let value = &mut self.final_values[i..=i];
                policy.values(transitions.next_observation(i), value)?;
            }
        }
        let Collector { actions, log_probs, values, final_values, .. } = self;
        let estimates = Estimates { actions, log_probs, values, final_values };
        Ok(self.rollout.push(transitions, estimates)?)
    }

    /// Evaluates the next observations of the last step and computes advantages and returns, see [`Rollout::finish`].
    ///
    /// # Errors
    /// Those of the policy.
    pub fn finish(
        &mut self,
        policy: &mut impl StochasticPolicy<Obs = O, Action = A>,
        gamma: f64,
        gae_lambda: f64,
    ) -> rl_core::Result<()> {
        // This value is not used where the last step ended an episode.
        for (env, value) in self.values.chunks_exact_mut(1).enumerate() {
            if let Some(next) = self.rollout.next_observation(env) {
                policy.values(next, value)?;
            }
        }
        Ok(self.rollout.finish(&self.values, gamma, gae_lambda)?)
    }
}

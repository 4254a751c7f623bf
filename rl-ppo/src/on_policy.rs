//! The agent shared by the algorithms of this crate; they differ in its update rule.

use crate::Learner;
use rl_core::{
    Agent, BoxSpace, Error, Metrics, Policy, Progress, Result, Sections, Seeds, Space, Transitions,
    VecEnv, check,
};
use rl_nets::{
    ActorCriticConfig, ActorCriticPolicy, Backend, Bodies, Distribution, InputSpace,
    OptimizerConfig, PolicySpace,
};
use rl_replay::explained_variance;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The common settings of the algorithms of this crate.
pub trait OnPolicyConfig: Clone {
    /// Checks all fields, for rollouts of `num_envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    fn validate(&self, num_envs: usize) -> Result<()>;

    /// The settings that the agent needs under any rule.
    fn settings(&self) -> OnPolicySettings<'_>;
}

/// The settings common to every agent of this crate.
#[derive(Clone, Copy, Debug)]
pub struct OnPolicySettings<'a> {
    /// The networks.
    pub network: &'a ActorCriticConfig,
    /// The optimiser.
    pub optimizer: &'a OptimizerConfig,
    /// Steps of each environment per rollout.
    pub n_steps: usize,
    /// The discount factor.
    pub gamma: f64,
    /// The GAE parameter lambda.
    pub gae_lambda: f64,
}

/// The update rule of an on-policy agent, applied to a full rollout.
pub trait Rule<D: Distribution, O: InputSpace = BoxSpace>: Sized {
    /// The algorithm's name, stored in checkpoints to identify the algorithm.
    const NAME: &'static str;

    /// Whether the policy and the value function may share a body.
    const SHARES_TRUNK: bool = true;

    /// The settings.
    type Config: OnPolicyConfig;

    /// State of the rule that changes during training, apart from the learner's.
    type State: Serialize + DeserializeOwned;

    /// A rule with these settings, which have been validated.
    fn new(config: &Self::Config) -> Self;

    /// The settings.
    fn config(&self) -> &Self::Config;

    /// Performs the update on the learner's rollout, whose advantages and returns have been computed.
    ///
    /// # Errors
    /// A non-finite loss or gradient.
    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()>;

    /// The current state.
    fn state(&self) -> Self::State;

    /// Restores `state`.
    ///
    /// # Errors
    /// An invalid state.
    fn set_state(&mut self, state: Self::State) -> Result<()>;
}

/// An on-policy agent: collects a rollout with its policy, updates by a [`Rule`], and discards the rollout.
#[derive(Debug)]
pub struct OnPolicy<D: Distribution, R, O: Space = BoxSpace> {
    learner: Learner<D, O>,
    rule: R,
}

impl<D: Distribution, O: InputSpace, R: Rule<D, O>> OnPolicy<D, R, O> {
    /// An agent for `envs`, with the configured networks.
    ///
    /// # Errors
    /// Those of the settings, observations that the networks cannot read, and errors of candle.
    pub fn new<V>(config: &R::Config, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = O>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        Self::with_bodies(config, config.settings().network.bodies(), envs, backend, seeds)
    }

    /// Like `new`, with custom network bodies; the configured heads are added to them.
    ///
    /// # Errors
    /// Those of [`new`](OnPolicy::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &R::Config,
        bodies: Bodies<'_>,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate(envs.num_envs())?;
        if bodies.is_shared() && !R::SHARES_TRUNK {
            return Err(shared_trunk());
        }
        let OnPolicySettings { network, optimizer, n_steps, .. } = config.settings();
        let (distribution, lives) = (envs.action_space().distribution(), (backend, seeds));
        let learner =
            Learner::new(envs, distribution, (network, bodies), optimizer, n_steps, lives)?;
        Ok(OnPolicy { learner, rule: R::new(config) })
    }

    /// An agent from a learner and a custom rule.
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

    /// The value estimates, `[n]`, of observations `[n, width]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
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

    fn describe(&self) -> Result<Option<String>> {
        self.learner.policy.describe(self.learner.collector.action_space())
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
        let OnPolicySettings { gamma, gae_lambda, .. } = self.rule.config().settings();
        self.learner.observe(transitions, (gamma, gae_lambda))
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.learner.collector.rollout.is_full() {
            return Ok(());
        }
        // Of the values when acting, which learning may replace.
        let rollout = &self.learner.collector.rollout;
        let explained = explained_variance(rollout.values(), rollout.returns());
        self.rule.learn(&mut self.learner, progress, metrics)?;
        metrics.record("explained_variance", explained);
        self.learner.collector.rollout.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.learner.policy.save_weights(out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.learner.policy.load_weights(from)?;
        // What another policy has gathered is not this one's to learn from.
        self.learner.collector.rollout.clear();
        Ok(())
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

/// Checks the settings common to all algorithms of this crate.
pub(crate) fn validate_settings(
    common: OnPolicySettings<'_>,
    batch_size: usize,
    num_envs: usize,
) -> Result<()> {
    let OnPolicySettings { network, optimizer, n_steps, gamma, gae_lambda } = common;
    network.validate().map_err(|error| error.within("network"))?;
    optimizer.validate()?;
    check::at_least("n_steps", 1, n_steps as u64)?;
    check::at_least("batch_size", 1, batch_size as u64)?;
    let rollout = (n_steps as u64).saturating_mul(num_envs as u64);
    check::at_most("batch_size", rollout, "n_steps * envs", batch_size as u64)?;
    check::fraction("gamma", gamma)?;
    check::fraction("gae_lambda", gae_lambda)
}

/// The error of a network with a trunk for a rule that needs two of them.
pub(crate) fn shared_trunk() -> Error {
    let expected = "none: the policy's step must leave the value function alone";
    Error::config("network.trunk", expected, "one")
}

/// Builds the agent of these settings for any observation and action space.
macro_rules! builds {
    ($config:ty, $agent:ident) => {
        impl<O: rl_nets::InputSpace, A: rl_nets::PolicySpace> rl_nets::AgentConfig<O, A>
            for $config
        {
            type Agent = $agent<A::Distribution, O>;

            fn build<V: rl_core::VecEnv<Obs = O, Action = A>>(
                &self,
                envs: &V,
                backend: &rl_nets::Backend,
                seeds: rl_core::Seeds,
            ) -> rl_core::Result<Self::Agent> {
                $agent::new(self, envs, backend, seeds)
            }
        }
    };
}
pub(crate) use builds;

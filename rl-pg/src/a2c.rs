use rl_core::{
    Agent, BoxSpace, Metrics, Policy, Progress, Result, Rng, Schedule, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_nets::{
    ActorCriticConfig, ActorCriticPolicy, AgentConfig, Backend, Bodies, Coefficients, Distribution,
    InputSpace, Loss, OptimizerConfig, PolicyRows, PolicySpace, PolicyStats, check_finite,
    policy_gradient,
};
use rl_replay::{Collector, Rollout, explained_variance, normalise};
use serde::{Deserialize, Serialize};

/// The settings of [`A2c`]. Defaults are those of Stable-Baselines3 (2.9), except that RMSprop's eps is inside the
/// square root, as in TensorFlow and the reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct A2cConfig {
    /// The networks.
    pub network: ActorCriticConfig,
    /// The learning rate; 7e-4.
    pub learning_rate: Schedule,
    /// The optimiser; RMSprop with decay 0.99 and eps 1e-5 inside the square root.
    pub optimizer: OptimizerConfig,
    /// The maximum global gradient norm; 0.5. None: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// Steps of each environment per rollout and gradient step; 5.
    pub n_steps: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The GAE parameter lambda; 1: n-step returns.
    pub gae_lambda: f64,
    /// Whether advantages are normalised; no, since it is harmful with few rows.
    pub normalize_advantage: bool,
    /// The coefficient of the entropy bonus; 0.
    pub ent_coef: f64,
    /// The coefficient of the value loss; 0.5.
    pub vf_coef: f64,
}

impl Default for A2cConfig {
    fn default() -> Self {
        A2cConfig {
            network: ActorCriticConfig::default(),
            learning_rate: Schedule::constant(7e-4),
            optimizer: OptimizerConfig::RmsProp {
                alpha: 0.99,
                eps: 1e-5,
                eps_inside_root: true,
                centered: false,
                momentum: 0.0,
                initial_accumulator: 0.0,
            },
            max_grad_norm: Some(0.5),
            n_steps: 5,
            gamma: 0.99,
            gae_lambda: 1.0,
            normalize_advantage: false,
            ent_coef: 0.0,
            vf_coef: 0.5,
        }
    }
}

impl A2cConfig {
    /// Checks all fields.
    ///
    /// ```
    /// let config = rl_pg::A2cConfig { n_steps: 0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "n_steps: expected an integer >= 1, got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::at_least("n_steps", 1, self.n_steps as u64)?;
        check::fraction("gamma", self.gamma)?;
        check::fraction("gae_lambda", self.gae_lambda)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)
    }
}

/// Advantage actor-critic (Mnih et al., 2016, in its synchronous form), for discrete and continuous actions.
///
/// ```text
/// for each n_steps steps in every environment:
///     A = r_t + gamma r_{t+1} + … + gamma^k V(s_{t+k}) - V(s_t)     (GAE with gae_lambda < 1)
///     R = A + V
///     one gradient step on  -A log pi(a | s) + vf_coef (V - R)² - ent_coef H
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_pg::{A2c, A2cConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let agent = A2c::new(&A2cConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(100))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// Observations are `f32` vectors or byte images (`O`).
#[derive(Debug)]
pub struct A2c<D: Distribution, O: Space = BoxSpace> {
    config: A2cConfig,
    pub(crate) policy: ActorCriticPolicy<D, O>,
    pub(crate) collector: Collector<O, D::Action>,
    rng: Rng,
    /// Scratch buffers: the advantages and the gradient of the network's output.
    advantages: Vec<f32>,
    grad: Vec<f32>,
}

impl<D: Distribution, O: InputSpace> A2c<D, O> {
    /// An agent for `envs`, with the configured networks. Continuous actions are clipped to the bounds before they
    /// are passed to the environment; the policy learns from the unclipped action unless the environment executed
    /// another one.
    ///
    /// # Errors
    /// Those of [`A2cConfig::validate`], observations that the networks cannot read, and errors of candle.
    pub fn new<V>(config: &A2cConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = O>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        Self::with_bodies(config, config.network.bodies(), envs, backend, seeds)
    }

    /// Like `new`, with custom network bodies; the configured heads are added to them.
    ///
    /// # Errors
    /// Those of [`new`](A2c::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &A2cConfig,
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
        config.validate()?;
        let (space, actions) = (envs.observation_space(), envs.action_space().clone());
        let mut init = seeds.stream("init", 0);
        let (distribution, network) = (actions.distribution(), (&config.network, bodies));
        let optimizer = &config.optimizer;
        let policy =
            ActorCriticPolicy::new(space, distribution, network, optimizer, backend, &mut init)?;
        Ok(A2c {
            collector: Collector::new(config.n_steps, envs.num_envs(), space, actions)?,
            rng: seeds.stream("agent", 0),
            advantages: Vec::new(),
            grad: Vec::new(),
            policy,
            config: config.clone(),
        })
    }

    /// The value estimates, `[n]`, of observations `[n, width]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
    pub fn values(&mut self, observations: &[O::Elem]) -> Result<Vec<f32>> {
        self.policy.values_of(observations)
    }

    /// The loss on the whole rollout.
    pub(crate) fn loss(&mut self) -> Result<Loss<'_, PolicyStats>> {
        let A2c { config, policy, collector, advantages, grad, .. } = self;
        let rollout = &collector.rollout;
        advantages.clear();
        advantages.extend_from_slice(rollout.advantages());
        if config.normalize_advantage {
            normalise(advantages);
        }
        let rows = PolicyRows {
            actions: rollout.actions(),
            log_probs: rollout.log_probs(),
            advantages,
            returns: rollout.returns(),
            values: rollout.values(),
        };
        let coefficients =
            Coefficients { value: config.vf_coef as f32, entropy: config.ent_coef as f32 };
        let distribution = policy.distribution().clone();
        let pass = policy.forward(rollout.observations())?;
        grad.resize(pass.output().len(), 0.0);
        let stats = policy_gradient(&distribution, pass.output(), rows, coefficients, grad)?;
        check_finite("the loss", stats.policy_loss + stats.value_loss)?;
        Ok(Loss::new(pass, grad, stats))
    }
}

impl<D: Distribution, O: InputSpace> Policy for A2c<D, O> {
    type Obs = O;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[O::Elem], actions: &mut [D::Elem]) -> Result<()> {
        self.policy.mode(observations, actions)?;
        self.collector.clip(actions);
        Ok(())
    }

    fn describe(&self) -> Result<Option<String>> {
        self.policy.describe(self.collector.action_space())
    }
}

impl<D: Distribution, O: InputSpace> Agent for A2c<D, O> {
    fn name(&self) -> &'static str {
        "a2c"
    }

    fn act(
        &mut self,
        observations: &[O::Elem],
        _: Progress,
        actions: &mut [D::Elem],
    ) -> Result<()> {
        self.collector.act(&mut self.policy, observations, &mut self.rng, actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, O::Elem, D::Elem>) -> Result<()> {
        self.collector.observe(&mut self.policy, transitions)?;
        if self.collector.rollout.is_full() {
            let A2cConfig { gamma, gae_lambda, .. } = self.config;
            self.collector.finish(&mut self.policy, gamma, gae_lambda)?;
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.collector.rollout.is_full() {
            return Ok(());
        }
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let max_norm = self.config.max_grad_norm;
        let loss = self.loss()?;
        let stats = loss.stats;
        let norm = loss.step(learning_rate, max_norm)?;
        metrics.record("policy_loss", stats.policy_loss);
        metrics.record("value_loss", stats.value_loss);
        metrics.record("entropy", stats.entropy);
        metrics.record("grad_norm", norm);
        let rollout = &mut self.collector.rollout;
        metrics
            .record("explained_variance", explained_variance(rollout.values(), rollout.returns()));
        metrics.record("learning_rate", learning_rate);
        rollout.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.policy.save_weights(out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.policy.load_weights(from)?;
        // What another policy has gathered is not this one's to learn from.
        self.collector.rollout.clear();
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.policy.save(out)?;
        out.put("a2c", &(&self.rng, &self.collector.rollout))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Decode everything before changing anything, so that an error leaves the agent unchanged.
        let learned = self.policy.loaded(from)?;
        let (rng, rollout): (Rng, Rollout<O::Elem, D::Elem>) = from.get("a2c")?;
        self.collector.rollout.check_same_shape(&rollout)?;
        self.policy.replace(learned)?;
        (self.rng, self.collector.rollout) = (rng, rollout);
        Ok(())
    }
}

impl<O: InputSpace, A: PolicySpace> AgentConfig<O, A> for A2cConfig {
    type Agent = A2c<A::Distribution, O>;

    fn build<V>(&self, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self::Agent>
    where
        V: VecEnv<Obs = O, Action = A>,
    {
        A2c::new(self, envs, backend, seeds)
    }
}

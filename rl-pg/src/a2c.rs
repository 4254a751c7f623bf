use rl_core::{
    Agent, BoxSpace, Metrics, Policy, Progress, Result, Rng, Schedule, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_nets::{
    ActorCriticConfig, ActorCriticPolicy, Backend, Coefficients, Distribution, Optimizer,
    OptimizerConfig, PolicyRows, PolicySpace, PolicyStats, check_finite, policy_gradient,
};
use rl_replay::{Collector, Rollout, explained_variance, normalise};
use serde::{Deserialize, Serialize};

/// The settings of [`A2c`]. Defaults are Stable-Baselines3's (2.9), but for the place of RMSprop's eps,
/// which is where TensorFlow has it, as in the reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct A2cConfig {
    /// The networks.
    pub network: ActorCriticConfig,
    /// The step size; 7e-4.
    pub learning_rate: Schedule,
    /// The optimiser; RMSprop with decay 0.99 and eps 1e-5 inside the root.
    pub optimizer: OptimizerConfig,
    /// The gradient's largest global norm; 0.5. None: no clipping.
    pub max_grad_norm: Option<f64>,
    /// Steps of each environment between two gradient steps; 5.
    pub n_steps: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The decay of the advantage estimator; 1: n-step returns.
    pub gae_lambda: f64,
    /// Whether advantages are normalised; no: over few rows it does harm.
    pub normalize_advantage: bool,
    /// The weight of the entropy bonus; 0.
    pub ent_coef: f64,
    /// The weight of the value loss; 0.5.
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
    /// Checks every field.
    ///
    /// ```
    /// let config = rl_pg::A2cConfig { n_steps: 0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "n_steps: expected an integer >= 1, got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        self.max_grad_norm.map_or(Ok(()), |norm| check::positive("max_grad_norm", norm))?;
        check::at_least("n_steps", 1, self.n_steps as u64)?;
        check::fraction("gamma", self.gamma)?;
        check::fraction("gae_lambda", self.gae_lambda)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)
    }
}

/// Advantage actor-critic (Mnih et al., 2016, without its asynchrony), for discrete and continuous actions.
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
/// let agent = A2c::new(&A2cConfig::default(), &envs, &rl_nets::Backend::Fused, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(100))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct A2c<D: Distribution> {
    config: A2cConfig,
    pub(crate) policy: ActorCriticPolicy<D>,
    optimizer: Optimizer,
    pub(crate) collector: Collector<D::Action>,
    rng: Rng,
    /// Scratch: the advantages and the gradient of the network's output.
    advantages: Vec<f32>,
    grad: Vec<f32>,
}

impl<D: Distribution> A2c<D> {
    /// An agent for `envs`. Continuous actions outside the bounds are clipped on their way to the
    /// environment; the policy learns from what it proposed.
    ///
    /// # Errors
    /// Those of [`A2cConfig::validate`], and of candle.
    pub fn new<V>(config: &A2cConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate()?;
        let (space, actions) = (envs.observation_space(), envs.action_space().clone());
        let mut init = seeds.stream("init", 0);
        let distribution = actions.distribution();
        let network = &config.network;
        let policy =
            ActorCriticPolicy::new(space.width(), distribution, network, backend, &mut init)?;
        Ok(A2c {
            optimizer: policy.network().optimizer(config.optimizer.clone())?,
            collector: Collector::new(config.n_steps, envs.num_envs(), space, actions)?,
            rng: seeds.stream("agent", 0),
            advantages: Vec::new(),
            grad: Vec::new(),
            policy,
            config: config.clone(),
        })
    }

    /// The values of observations `[n, width]`, `[n]`.
    ///
    /// # Errors
    /// An input that is not whole rows.
    pub fn values(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        self.policy.values_of(observations)
    }

    /// Adds the gradient of the loss over the whole rollout to that of the network.
    pub(crate) fn backward(&mut self) -> Result<PolicyStats> {
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
        let network = policy.network_mut();
        let output = network.forward(rollout.observations())?;
        grad.resize(output.len(), 0.0);
        let stats = policy_gradient(&distribution, output, rows, coefficients, grad)?;
        check_finite("the loss", stats.policy_loss + stats.value_loss)?;
        network.backward(rollout.observations(), grad, None)?;
        Ok(stats)
    }
}

impl<D: Distribution> Policy for A2c<D> {
    type Obs = BoxSpace;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        self.policy.mode(observations, actions)?;
        self.collector.clip(actions);
        Ok(())
    }
}

impl<D: Distribution> Agent for A2c<D> {
    fn name(&self) -> &'static str {
        "a2c"
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [D::Elem]) -> Result<()> {
        self.collector.act(&mut self.policy, observations, &mut self.rng, actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, D::Elem>) -> Result<()> {
        self.collector.observe(&mut self.policy, transitions)?;
        if self.collector.rollout.is_full() {
            let A2cConfig { gamma, gae_lambda, .. } = self.config;
            self.collector.finish(&mut self.policy, transitions, gamma, gae_lambda)?;
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.collector.rollout.is_full() {
            return Ok(());
        }
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let stats = self.backward()?;
        let (optimizer, max_norm) = (&mut self.optimizer, self.config.max_grad_norm);
        let norm = self.policy.network_mut().step(optimizer, learning_rate, max_norm)?;
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
        out.put_file("policy.safetensors", self.policy.network().save()?);
        Ok(())
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.policy.network_mut().load(from.file("policy.safetensors")?)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put_file("optimizer.bin", self.optimizer.save()?);
        out.put("a2c", &(&self.rng, &self.collector.rollout))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything into copies first: what fails here has changed nothing.
        let (mut policy, mut optimizer) = (self.policy.twin(), self.optimizer.clone());
        policy.network_mut().load(from.file("policy.safetensors")?)?;
        optimizer.load(from.file("optimizer.bin")?)?;
        let (rng, rollout): (Rng, Rollout<f32, D::Elem>) = from.get("a2c")?;
        self.collector.rollout.check_same_shape(&rollout)?;
        (self.policy, self.optimizer) = (policy, optimizer);
        (self.rng, self.collector.rollout) = (rng, rollout);
        Ok(())
    }
}

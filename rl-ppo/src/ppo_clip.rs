use crate::on_policy::validate_rollout;
use crate::{Learner, OnPolicy, Rule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Schedule, Seeds, VecEnv, check};
use rl_nets::{
    ActorCriticConfig, Backend, Bodies, Coefficients, Distribution, InputSpace, OptimizerConfig,
    PolicySpace, ppo_clip,
};
use serde::{Deserialize, Serialize};

/// Proximal policy optimisation with a clipped objective (Schulman et al., 2017), for discrete and
/// continuous actions.
///
/// ```text
/// for each rollout of n_steps steps in every environment:
///     advantages A and returns R by generalised advantage estimation
///     n_epochs times, over shuffled minibatches:
///         ratio = pi(a | s) / pi_old(a | s)
///         one gradient step on  -min(ratio A, clip(ratio, 1 ± c) A) + vf_coef (V - R)² - ent_coef H
///         (the epochs end early where the policy has moved by more than 1.5 target_kl)
/// ```
///
/// Continuous actions outside the bounds are clipped on their way to the environment; the policy learns
/// from what it proposed where that was taken.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ppo::{Ppo, PpoConfig};
/// let env = || TimeLimit::new(rl_envs::Pendulum::default(), 200);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
/// let agent = Ppo::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(256))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Ppo<D, O = BoxSpace> = OnPolicy<D, PpoConfig, O>;

/// The settings of [`Ppo`]. Defaults are Stable-Baselines3's (2.9), which are those of Schulman et al.
/// (2017) for MuJoCo with the details of its reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// The networks.
    pub network: ActorCriticConfig,
    /// The step size; 3e-4.
    pub learning_rate: Schedule,
    /// The optimiser; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// The gradient's largest global norm; 0.5. None: no clipping.
    pub max_grad_norm: Option<f64>,
    /// Steps of each environment in a rollout; 2048.
    pub n_steps: usize,
    /// Transitions in a gradient step; 64. What does not divide the rollout makes a smaller last one.
    pub batch_size: usize,
    /// Passes over a rollout; 10.
    pub n_epochs: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The decay of the advantage estimator; 0.95.
    pub gae_lambda: f64,
    /// How far the probability ratio may move from 1; 0.2.
    pub clip_range: Schedule,
    /// How far a value may move from what it was; none: as far as it will.
    pub clip_range_value: Option<f64>,
    /// Whether advantages are normalised in each minibatch; yes.
    pub normalize_advantage: bool,
    /// The weight of the entropy bonus; 0.
    pub ent_coef: f64,
    /// The weight of the value loss; 0.5.
    pub vf_coef: f64,
    /// Ends the passes over a rollout once the policy has moved by 1.5 times this KL divergence;
    /// none: never.
    pub target_kl: Option<f64>,
}

impl Default for PpoConfig {
    fn default() -> Self {
        PpoConfig {
            network: ActorCriticConfig::default(),
            learning_rate: Schedule::constant(3e-4),
            optimizer: OptimizerConfig::adam_with_eps(1e-5),
            max_grad_norm: Some(0.5),
            n_steps: 2048,
            batch_size: 64,
            n_epochs: 10,
            gamma: 0.99,
            gae_lambda: 0.95,
            clip_range: Schedule::constant(0.2),
            clip_range_value: None,
            normalize_advantage: true,
            ent_coef: 0.0,
            vf_coef: 0.5,
            target_kl: None,
        }
    }
}

impl PpoConfig {
    /// Checks every field, for rollouts of `num_envs` environments.
    ///
    /// ```
    /// let config = rl_ppo::PpoConfig { batch_size: 65, n_steps: 32, ..Default::default() };
    /// assert!(config.validate(4).is_ok());
    /// assert_eq!(
    ///     config.validate(2).unwrap_err().to_string(),
    ///     "batch_size: expected at most n_steps * envs (64), got 65"
    /// );
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        let rollout = (self.n_steps, self.batch_size, num_envs);
        validate_rollout(rollout, (self.gamma, self.gae_lambda))?;
        check::at_least("n_epochs", 1, self.n_epochs as u64)?;
        self.clip_range.validate("clip_range", check::non_negative)?;
        check::optional("clip_range_value", self.clip_range_value, check::positive)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)?;
        check::optional("target_kl", self.target_kl, check::positive)
    }
}

impl<D: Distribution, O: InputSpace> Ppo<D, O> {
    /// An agent for `envs`, with the networks that the settings describe.
    ///
    /// # Errors
    /// Those of [`PpoConfig::validate`], observations that the networks cannot read, and those of candle.
    pub fn new<V>(config: &PpoConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = O>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        Self::with_bodies(config, config.network.bodies(), envs, backend, seeds)
    }

    /// The same with bodies of your own, which get the heads that the settings describe.
    ///
    /// # Errors
    /// Those of `new` and of the bodies.
    pub fn with_bodies<V>(
        config: &PpoConfig,
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
        let distribution = envs.action_space().distribution();
        let PpoConfig { network, optimizer, n_steps, .. } = config;
        let lives = (backend, seeds);
        let network = (network, bodies);
        let learner = Learner::new(envs, distribution, network, optimizer, *n_steps, lives)?;
        Ok(OnPolicy::with_rule(learner, config.clone()))
    }
}

impl<D: Distribution, O: InputSpace> Rule<D, O> for PpoConfig {
    const NAME: &'static str = "ppo";
    type State = ();

    fn discounts(&self) -> (f64, f64) {
        (self.gamma, self.gae_lambda)
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let learning_rate = self.learning_rate.at(progress.fraction());
        let clip_range = self.clip_range.at(progress.fraction()) as f32;
        let clip_value = self.clip_range_value.map(|c| c as f32);
        let coefficients =
            Coefficients { value: self.vf_coef as f32, entropy: self.ent_coef as f32 };
        let mut taken = 0u32;
        'epochs: for _ in 0..self.n_epochs {
            for places in learner.shuffled(self.batch_size) {
                learner.gather(places, self.normalize_advantage);
                let loss = learner.loss(|distribution, output, rows, grad| {
                    ppo_clip(distribution, output, rows, clip_range, clip_value, coefficients, grad)
                })?;
                let stats = loss.stats;
                metrics.record("policy_loss", stats.policy_loss);
                metrics.record("value_loss", stats.value_loss);
                metrics.record("entropy", stats.entropy);
                metrics.record("approx_kl", stats.approx_kl);
                metrics.record("clip_fraction", stats.clip_fraction);
                if self.target_kl.is_some_and(|target| stats.approx_kl > 1.5 * target) {
                    break 'epochs;
                }
                metrics.record("grad_norm", loss.step(learning_rate, self.max_grad_norm)?);
                taken += 1;
            }
        }
        metrics.record("gradient_steps", f64::from(taken));
        metrics.record("learning_rate", learning_rate);
        Ok(())
    }

    fn state(&self) {}

    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

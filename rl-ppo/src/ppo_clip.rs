use crate::on_policy::{builds, validate_settings};
use crate::{Learner, OnPolicy, OnPolicyConfig, OnPolicySettings, Rule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Schedule, check};
use rl_nets::{
    ActorCriticConfig, Coefficients, Distribution, InputSpace, OptimizerConfig, ppo_clip,
};
use serde::{Deserialize, Serialize};

/// Proximal policy optimisation with a clipped objective (Schulman et al., 2017), for discrete and
/// continuous actions.
///
/// ```text
/// for each rollout of n_steps steps in every environment:
///     advantages A and returns R by generalised advantage estimation
///     n_epochs times, over shuffled minibatches (with A and R computed anew if recompute_advantages):
///         ratio = pi(a | s) / pi_old(a | s)
///         one gradient step on  -min(ratio A, clip(ratio, 1 ± c) A) + vf_coef (V - R)² - ent_coef H
///         (stop early if the KL divergence from pi_old exceeds 1.5 target_kl)
/// ```
///
/// Continuous actions are clipped to the bounds before they are passed to the environment; the policy learns from the
/// unclipped action unless the environment executed another one.
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
pub type Ppo<D, O = BoxSpace> = OnPolicy<D, ClippedObjective, O>;

builds!(PpoConfig, Ppo);

/// The settings of [`Ppo`]. Defaults are those of Stable-Baselines3 (2.9), which follow Schulman et al. (2017) for
/// MuJoCo and the reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// The networks.
    pub network: ActorCriticConfig,
    /// The learning rate; 3e-4.
    pub learning_rate: Schedule,
    /// The optimiser; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// The maximum global gradient norm; 0.5. None: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// Steps of each environment per rollout; 2048.
    pub n_steps: usize,
    /// Transitions per minibatch; 64. If it does not divide the rollout, the last minibatch is smaller.
    pub batch_size: usize,
    /// Epochs over each rollout; 10.
    pub n_epochs: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The GAE parameter lambda; 0.95.
    pub gae_lambda: f64,
    /// The clip range of the probability ratio around 1; 0.2.
    pub clip_range: Schedule,
    /// The clip range of value estimates around their old ones; none: no clipping.
    #[serde(with = "rl_core::optional")]
    pub clip_range_value: Option<f64>,
    /// Whether advantages are normalised per minibatch; yes.
    pub normalize_advantage: bool,
    /// Whether the value estimates of the rollout, and with them advantages, returns and what `clip_range_value` clips
    /// around, are computed anew before each epoch but the first (Andrychowicz et al., 2021); no. The values of final
    /// observations of truncated episodes stay those of the rollout.
    pub recompute_advantages: bool,
    /// The coefficient of the entropy bonus; 0.
    pub ent_coef: f64,
    /// The coefficient of the value loss; 0.5.
    pub vf_coef: f64,
    /// Stops the epochs over a rollout once the KL divergence from the old policy exceeds 1.5 times this value; none:
    /// never.
    #[serde(with = "rl_core::optional")]
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
            recompute_advantages: false,
            ent_coef: 0.0,
            vf_coef: 0.5,
            target_kl: None,
        }
    }
}

impl PpoConfig {
    /// Checks all fields, for rollouts of `num_envs` environments.
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
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        validate_settings(self.settings(), self.batch_size, num_envs)?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::repeats("n_epochs", "epochs of a rollout", self.n_epochs as u64)?;
        self.clip_range.validate("clip_range", check::non_negative)?;
        check::optional("clip_range_value", self.clip_range_value, check::positive)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)?;
        check::optional("target_kl", self.target_kl, check::positive)
    }
}

impl OnPolicyConfig for PpoConfig {
    fn validate(&self, num_envs: usize) -> Result<()> {
        PpoConfig::validate(self, num_envs)
    }

    fn settings(&self) -> OnPolicySettings<'_> {
        let PpoConfig { network, optimizer, n_steps, gamma, gae_lambda, .. } = self;
        OnPolicySettings {
            network,
            optimizer,
            n_steps: *n_steps,
            gamma: *gamma,
            gae_lambda: *gae_lambda,
        }
    }
}

/// The [`Rule`] of [`Ppo`].
#[derive(Clone, Debug)]
pub struct ClippedObjective {
    config: PpoConfig,
}

impl<D: Distribution, O: InputSpace> Rule<D, O> for ClippedObjective {
    const NAME: &'static str = "ppo";
    type Config = PpoConfig;
    type State = ();

    fn new(config: &PpoConfig) -> Self {
        ClippedObjective { config: config.clone() }
    }

    fn config(&self) -> &PpoConfig {
        &self.config
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let config = &self.config;
        let learning_rate = config.learning_rate.at(progress.fraction());
        let clip_range = config.clip_range.at(progress.fraction()) as f32;
        let clip_value = config.clip_range_value.map(|c| c as f32);
        let coefficients =
            Coefficients { value: config.vf_coef as f32, entropy: config.ent_coef as f32 };
        let mut taken = 0u32;
        'epochs: for epoch in 0..config.n_epochs {
            if config.recompute_advantages && epoch > 0 {
                learner.recompute_advantages(config.gamma, config.gae_lambda)?;
            }
            for places in learner.shuffled(config.batch_size) {
                learner.gather(places, config.normalize_advantage);
                let loss = learner.loss(|distribution, output, rows, grad| {
                    ppo_clip(distribution, output, rows, clip_range, clip_value, coefficients, grad)
                })?;
                let stats = loss.stats;
                metrics.record("policy_loss", stats.policy_loss);
                metrics.record("value_loss", stats.value_loss);
                metrics.record("entropy", stats.entropy);
                metrics.record("approx_kl", stats.approx_kl);
                metrics.record("clip_fraction", stats.clip_fraction);
                if config.target_kl.is_some_and(|target| stats.approx_kl > 1.5 * target) {
                    break 'epochs;
                }
                metrics.record("grad_norm", loss.step(learning_rate, config.max_grad_norm)?);
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

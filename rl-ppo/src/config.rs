use rl_core::{Result, Schedule, check};
use rl_nets::{Activation, Init, MlpConfig, OptimizerConfig};
use serde::{Deserialize, Serialize};

/// The settings of [`Ppo`](crate::Ppo). Defaults are Stable-Baselines3's (2.9), which are those of
/// Schulman et al. (2017) for MuJoCo with the details of its reference code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// The policy network; 64-64 tanh, orthogonal with gain sqrt 2, the head with 0.01.
    pub actor: MlpConfig,
    /// The value network; 64-64 tanh, orthogonal with gain sqrt 2, the head with 1.
    pub critic: MlpConfig,
    /// What the log standard deviations of continuous actions start at; 0.
    pub log_std_init: f64,
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
        let mlp = |gain| MlpConfig {
            activation: Activation::Tanh,
            init: Init::Orthogonal { gain: std::f64::consts::SQRT_2 },
            output_init: Init::Orthogonal { gain },
            ..MlpConfig::default()
        };
        PpoConfig {
            actor: mlp(0.01),
            critic: mlp(1.0),
            log_std_init: 0.0,
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
        self.actor.validate()?;
        self.critic.validate()?;
        if !(-20.0..=20.0).contains(&self.log_std_init) {
            let got = self.log_std_init;
            return Err(rl_core::Error::config("log_std_init", "a number in [-20, 20]", got));
        }
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        self.max_grad_norm.map_or(Ok(()), |norm| check::positive("max_grad_norm", norm))?;
        check::at_least("n_steps", 1, self.n_steps as u64)?;
        check::at_least("batch_size", 1, self.batch_size as u64)?;
        let rollout = (self.n_steps * num_envs) as u64;
        check::at_most("batch_size", rollout, "n_steps * envs", self.batch_size as u64)?;
        check::at_least("n_epochs", 1, self.n_epochs as u64)?;
        check::fraction("gamma", self.gamma)?;
        check::fraction("gae_lambda", self.gae_lambda)?;
        self.clip_range.validate("clip_range", check::non_negative)?;
        self.clip_range_value.map_or(Ok(()), |c| check::positive("clip_range_value", c))?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)?;
        self.target_kl.map_or(Ok(()), |kl| check::positive("target_kl", kl))
    }
}

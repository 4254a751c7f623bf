use crate::on_policy::{builds, validate_settings};
use crate::{Learner, OnPolicy, OnPolicyConfig, OnPolicySettings, Rule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Schedule, check};
use rl_nets::{
    ActorCriticConfig, Coefficients, Distribution, InputSpace, KlPenalty, OptimizerConfig, ppo_kl,
};
use serde::{Deserialize, Serialize};

/// Proximal policy optimisation with an adaptive KL penalty (Schulman et al., 2017, section 4), for
/// discrete and continuous actions.
///
/// ```text
/// for each rollout of n_steps steps in every environment:
///     advantages A and returns R by generalised advantage estimation
///     n_epochs times, over shuffled minibatches:
///         ratio = pi(a | s) / pi_old(a | s)
///         one gradient step on  -ratio A + beta KL(pi_old || pi) + vf_coef (V - R)² - ent_coef H
///         d = mean KL(pi_old || pi) over the rollout; d > kl_early_stop target_kl: no more passes
///     d < target_kl / 1.5: beta <- beta / 2;   d > 1.5 target_kl: beta <- 2 beta
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ppo::{PpoKl, PpoKlConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = PpoKlConfig { n_steps: 64, ..PpoKlConfig::default() };
/// let agent = PpoKl::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(256))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type PpoKl<D, O = BoxSpace> = OnPolicy<D, AdaptiveKl, O>;

builds!(PpoKlConfig, PpoKl);

/// The settings of [`PpoKl`]. Defaults are those of [`PpoConfig`](crate::PpoConfig), and those of Schulman et al.
/// (2017) for the penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoKlConfig {
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
    /// The target KL divergence of the update on a rollout; 0.01, the middle of the published values.
    pub target_kl: Schedule,
    /// Stops after an epoch that ends with a divergence above this multiple of `target_kl`; 4, as in Heess et al.
    /// (2017), algorithm 1. None: never.
    #[serde(with = "rl_core::optional")]
    pub kl_early_stop: Option<f64>,
    /// The initial coefficient of the penalty; 1, as published. It adapts quickly.
    pub initial_beta: f64,
    /// Whether advantages are normalised per minibatch; yes.
    pub normalize_advantage: bool,
    /// The coefficient of the entropy bonus; 0.
    pub ent_coef: f64,
    /// The coefficient of the value loss; 0.5.
    pub vf_coef: f64,
}

impl Default for PpoKlConfig {
    fn default() -> Self {
        PpoKlConfig {
            network: ActorCriticConfig::default(),
            learning_rate: Schedule::constant(3e-4),
            optimizer: OptimizerConfig::adam_with_eps(1e-5),
            max_grad_norm: Some(0.5),
            n_steps: 2048,
            batch_size: 64,
            n_epochs: 10,
            gamma: 0.99,
            gae_lambda: 0.95,
            target_kl: Schedule::constant(0.01),
            kl_early_stop: Some(4.0),
            initial_beta: 1.0,
            normalize_advantage: true,
            ent_coef: 0.0,
            vf_coef: 0.5,
        }
    }
}

impl PpoKlConfig {
    /// Checks all fields, for rollouts of `num_envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        validate_settings(self.settings(), self.batch_size, num_envs)?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::repeats("n_epochs", "epochs of a rollout", self.n_epochs as u64)?;
        self.target_kl.validate("target_kl", check::positive)?;
        check::optional("kl_early_stop", self.kl_early_stop, check::positive)?;
        check::positive("initial_beta", self.initial_beta)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)
    }
}

impl OnPolicyConfig for PpoKlConfig {
    fn validate(&self, num_envs: usize) -> Result<()> {
        PpoKlConfig::validate(self, num_envs)
    }

    fn settings(&self) -> OnPolicySettings<'_> {
        let PpoKlConfig { network, optimizer, n_steps, gamma, gae_lambda, .. } = self;
        OnPolicySettings {
            network,
            optimizer,
            n_steps: *n_steps,
            gamma: *gamma,
            gae_lambda: *gae_lambda,
        }
    }
}

/// The bounds of the penalty coefficient, within which it can always adapt back.
const BETA_RANGE: (f64, f64) = (1e-6, 1e6);

/// The [`Rule`] of [`PpoKl`].
#[derive(Clone, Debug)]
pub struct AdaptiveKl {
    config: PpoKlConfig,
    beta: f64,
    /// Scratch buffers: the policy's distribution parameters when acting, for the whole rollout and for a minibatch.
    old_params: Vec<f32>,
    old_rows: Vec<f32>,
}

impl AdaptiveKl {
    /// The coefficient of the penalty.
    pub fn beta(&self) -> f64 {
        self.beta
    }

    /// Adapts the coefficient so that the divergence approaches `target`.
    fn adapt(&mut self, kl: f64, target: f64) {
        if kl < target / 1.5 {
            self.beta /= 2.0;
        } else if kl > target * 1.5 {
            self.beta *= 2.0;
        }
        self.beta = self.beta.clamp(BETA_RANGE.0, BETA_RANGE.1);
    }
}

impl<D: Distribution, O: InputSpace> Rule<D, O> for AdaptiveKl {
    const NAME: &'static str = "ppo-kl";
    type Config = PpoKlConfig;
    type State = f64;

    fn new(config: &PpoKlConfig) -> Self {
        AdaptiveKl {
            config: config.clone(),
            beta: config.initial_beta,
            old_params: Vec::new(),
            old_rows: Vec::new(),
        }
    }

    fn config(&self) -> &PpoKlConfig {
        &self.config
    }

    fn learn(
        &mut self,
        learner: &mut Learner<D, O>,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let target_kl = self.config.target_kl.at(progress.fraction());
        let coefficients = Coefficients {
            value: self.config.vf_coef as f32,
            entropy: self.config.ent_coef as f32,
        };
        learner.policy_params(&mut self.old_params)?;
        let width = learner.policy.distribution().params_len();
        let (mut kl, mut taken) = (0.0, 0u32);
        let limit = self.config.kl_early_stop.map(|times| times * target_kl);
        for epoch in 1..=self.config.n_epochs {
            for places in learner.shuffled(self.config.batch_size) {
                self.old_rows.clear();
                for &row in learner.rows_at(places.clone()) {
                    let start = row as usize * width;
                    self.old_rows.extend_from_slice(&self.old_params[start..start + width]);
                }
                learner.gather(places, self.config.normalize_advantage);
                let penalty = KlPenalty { old_params: &self.old_rows, beta: self.beta as f32 };
                let loss = learner.loss(|distribution, output, rows, grad| {
                    ppo_kl(distribution, output, rows, penalty, coefficients, grad)
                })?;
                let stats = loss.stats;
                metrics.record("policy_loss", stats.policy_loss);
                metrics.record("value_loss", stats.value_loss);
                metrics.record("entropy", stats.entropy);
                metrics.record("approx_kl", stats.approx_kl);
                let norm = loss.step(learning_rate, self.config.max_grad_norm)?;
                metrics.record("grad_norm", norm);
                taken += 1;
            }
            if limit.is_some() || epoch == self.config.n_epochs {
                kl = learner.mean_kl(&self.old_params)?;
            }
            if limit.is_some_and(|limit| kl > limit) {
                break;
            }
        }
        metrics.record("gradient_steps", f64::from(taken));
        metrics.record("kl", kl);
        metrics.record("beta", self.beta);
        metrics.record("learning_rate", learning_rate);
        self.adapt(kl, target_kl);
        Ok(())
    }

    fn state(&self) -> f64 {
        self.beta
    }

    fn set_state(&mut self, beta: f64) -> Result<()> {
        check::positive("beta", beta)?;
        self.beta = beta;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coefficient_follows_the_divergence() {
        let config = PpoKlConfig::default();
        let mut rule =
            AdaptiveKl { config, beta: 1.0, old_params: Vec::new(), old_rows: Vec::new() };
        let mut after = |kl| {
            rule.adapt(kl, 0.01);
            rule.beta
        };
        assert_eq!([0.001, 0.007, 0.014, 0.016, 0.03].map(&mut after), [0.5, 0.5, 0.5, 1.0, 2.0]);
        for _ in 0..100 {
            after(1.0);
        }
        assert_eq!(after(1.0), 1e6);
    }
}

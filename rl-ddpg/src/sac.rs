use crate::actor::discount_onto;
use crate::settings::{builds, validate_settings};
use crate::soft_actor::SoftActor;
use crate::temperature::{EntCoef, Temperature};
use crate::{ActionGradient, Critic, NoiseConfig, OffPolicy, OffPolicyConfig, Parts, Rule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, Space, check};
use rl_nets::{Bounds, Loss, Network, NetworkConfig, OptimizerConfig, PolicyOutput};
use rl_replay::Batch;
use serde::{Deserialize, Serialize};

/// Soft actor-critic (Haarnoja et al., 2018), for continuous actions.
///
/// ```text
/// initialise policy pi, critics Q_1, Q_2, targets Q_i' = Q_i, temperature alpha, replay buffer D
/// for each step:
///     a ~ pi(. | s) (at random before learning_starts); store (s, a, r, s', how it ended) in D
///     sample a minibatch from D;  a' ~ pi(. | s'),  ã ~ pi(. | s)
///     y = r + gamma (min_i Q_i'(s', a') - alpha log pi(a' | s'))     without it where s' is terminal
///     one gradient step of each Q_i on (Q_i(s, a) - y)²
///     one gradient step of pi on  alpha log pi(ã | s) - min_i Q_i(s, ã),  ã being a function of pi's
///         parameters and of the noise that it was drawn with
///     one gradient step of log alpha on -log alpha (log pi(ã | s) + target_entropy)
///     Q_i' <- Q_i' + tau (Q_i - Q_i')
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Sac, SacConfig};
/// let env = TimeLimit::new(rl_envs::Pendulum::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Sac::new(&SacConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Sac = OffPolicy<SacRule>;

builds!(SacConfig, Sac, std::convert::identity);

/// The settings of [`Sac`]. Defaults are those of Stable-Baselines3 (2.9), which follow Haarnoja et al. (2018).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SacConfig {
    /// The policy, with state-dependent standard deviations; 256-256 relu.
    pub actor: NetworkConfig,
    /// Each critic; 256-256 relu.
    pub critic: NetworkConfig,
    /// The actor's learning rate; 3e-4.
    pub actor_learning_rate: Schedule,
    /// The critics' learning rate; 3e-4.
    pub critic_learning_rate: Schedule,
    /// The learning rate of a learned temperature; 3e-4.
    pub ent_coef_learning_rate: Schedule,
    /// The optimiser of each network; Adam.
    pub optimizer: OptimizerConfig,
    /// The maximum gradient norm, separately for the actor and for all critics together; none: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// The soft update coefficient of the target networks; 0.005.
    pub tau: f64,
    /// The temperature; learned, starting from 1.
    pub ent_coef: EntCoef,
    /// The target entropy of a learned temperature; none: minus the number of action dimensions.
    #[serde(with = "rl_core::optional")]
    pub target_entropy: Option<f64>,
    /// Exploration noise added to actions; none: the stochastic policy explores.
    #[serde(with = "rl_core::optional")]
    pub exploration: Option<NoiseConfig>,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The n of n-step returns; 1.
    pub n_step: usize,
    /// Whether networks see observations brought to mean 0 and standard deviation 1, clipped at ±10, by the moments of all that were
    /// acted on; no. Transitions are stored as they are and normalised when they are drawn.
    pub normalize_observations: bool,
    /// The capacity of the replay buffer in transitions; 1,000,000.
    pub buffer_size: usize,
    /// Transitions per minibatch; 256.
    pub batch_size: usize,
    /// Environment steps, over all environments, with random actions before learning begins; 100.
    pub learning_starts: u64,
    /// Environment steps, over all environments, between two rounds of gradient steps; 1.
    pub train_freq: u64,
    /// Gradient steps per round; 1.
    pub gradient_steps: u64,
}

impl Default for SacConfig {
    fn default() -> Self {
        let wide = NetworkConfig::mlp(&[256, 256]);
        SacConfig {
            actor: wide.clone(),
            critic: wide,
            actor_learning_rate: Schedule::constant(3e-4),
            critic_learning_rate: Schedule::constant(3e-4),
            ent_coef_learning_rate: Schedule::constant(3e-4),
            optimizer: OptimizerConfig::adam(),
            max_grad_norm: None,
            tau: 0.005,
            ent_coef: EntCoef::Auto(1.0),
            target_entropy: None,
            exploration: None,
            gamma: 0.99,
            n_step: 1,
            normalize_observations: false,
            buffer_size: 1_000_000,
            batch_size: 256,
            learning_starts: 100,
            train_freq: 1,
            gradient_steps: 1,
        }
    }
}

impl SacConfig {
    /// Checks all fields.
    ///
    /// ```
    /// use rl_ddpg::{EntCoef, SacConfig};
    /// let config = SacConfig { ent_coef: EntCoef::Auto(0.0), ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "ent_coef.auto: expected a finite number > 0, got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        validate_settings(self.settings())?;
        self.actor_learning_rate.validate("actor_learning_rate", check::non_negative)?;
        self.critic_learning_rate.validate("critic_learning_rate", check::non_negative)?;
        self.ent_coef_learning_rate.validate("ent_coef_learning_rate", check::non_negative)?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::positive_fraction("tau", self.tau)?;
        self.ent_coef.validate(self.target_entropy)
    }
}

/// The [`Rule`] of [`Sac`].
#[derive(Debug)]
pub struct SacRule {
    config: SacConfig,
    pub(crate) actor: SoftActor,
    pub(crate) critic: Critic,
    pub(crate) temperature: Temperature,
    /// Scratch buffer: the regression targets, `[n]`.
    targets: Vec<f32>,
}

impl SacRule {
    /// The number of parameters of the policy and both critics.
    pub fn num_params(&self) -> usize {
        self.actor.num_params() + self.critic.num_params()
    }

    /// The temperature.
    pub fn alpha(&self) -> f64 {
        self.temperature.alpha().into()
    }

    /// Computes the regression targets, with the standard normal samples `noise` for the next actions.
    pub(crate) fn targets(
        &mut self,
        batch: &Batch<f32, f32>,
        noise: impl FnMut() -> f64,
    ) -> Result<()> {
        let (alpha, states) = (self.temperature.alpha(), batch.next_observations());
        let next = self.actor.sample(states, noise)?;
        self.targets.resize(batch.len(), 0.0);
        self.critic.target_values(states, &next.actions, &mut self.targets)?;
        let soft = self.targets.iter_mut().zip(&next.log_probs);
        soft.for_each(|(value, log_prob)| *value -= alpha * log_prob);
        discount_onto(batch, &mut self.targets);
        Ok(())
    }

    /// The policy's loss, `mean(alpha log pi(ã | s) - min_i Q_i(s, ã))`, for actions sampled with the standard normal
    /// samples `noise`.
    pub(crate) fn actor_loss<'a>(
        &'a mut self,
        observations: &'a [f32],
        noise: impl FnMut() -> f64,
        alpha: f32,
    ) -> Result<Loss<'a, f64>> {
        let SacRule { actor, critic, .. } = self;
        actor.loss(observations, noise, alpha, |actions, grad| {
            critic.action_gradient(observations, actions, ActionGradient::Smallest, grad)
        })
    }
}

#[cfg(test)]
impl SacRule {
    pub(crate) fn targets_of_last_batch(&self) -> &[f32] {
        &self.targets
    }
}

impl Rule for SacRule {
    const NAME: &'static str = "sac";
    type Config = SacConfig;

    fn new(config: &SacConfig, mut parts: Parts<'_>) -> Result<Self> {
        let SacConfig { ent_coef, target_entropy, optimizer, .. } = config;
        let action_width = parts.actions.width();
        Ok(SacRule {
            actor: SoftActor::new(optimizer, &mut parts)?,
            critic: parts.critic(2, optimizer)?,
            temperature: Temperature::new(*ent_coef, *target_entropy, optimizer, action_width)?,
            targets: Vec::new(),
            config: config.clone(),
        })
    }

    fn act(&mut self, observations: &[f32], rng: &mut Rng, actions: &mut [f32]) -> Result<()> {
        self.actor.act(observations, || rng.normal(), actions)
    }

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        self.actor.act_greedily(observations, actions)
    }

    fn describe(&self, bounds: Bounds) -> Option<(&Network, PolicyOutput)> {
        Some((self.actor.network(), PolicyOutput::SquashedGaussian { bounds }))
    }

    fn learn(
        &mut self,
        batch: &Batch<f32, f32>,
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let max_norm = self.config.max_grad_norm;
        let fraction = progress.fraction();
        let actor_rate = self.config.actor_learning_rate.at(fraction);
        let critic_rate = self.config.critic_learning_rate.at(fraction);
        let ent_coef_rate = self.config.ent_coef_learning_rate.at(fraction);
        let (observations, actions) = (batch.observations(), batch.actions());
        let alpha = self.temperature.alpha();
        self.targets(batch, || rng.normal())?;
        let stats =
            self.critic.step(observations, actions, &self.targets, critic_rate, max_norm)?;
        let loss = self.actor_loss(observations, || rng.normal(), alpha)?;
        let actor_loss = loss.stats;
        let norm = loss.step(actor_rate, max_norm)?;
        self.temperature.step(self.actor.log_probs(), ent_coef_rate)?;
        self.critic.soft_update(self.config.tau)?;
        metrics.record("critic_loss", stats.loss);
        metrics.record("q_value", stats.value);
        metrics.record("actor_loss", actor_loss);
        metrics.record("actor_grad_norm", norm);
        metrics.record("entropy", self.actor.entropy());
        metrics.record("alpha", alpha.into());
        Ok(())
    }

    fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        self.critic.values(observations, actions)
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        self.actor.save_policy(out)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.actor.load_policy(from)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.actor.save(out)?;
        self.critic.save(out)?;
        self.temperature.save(out)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (actor, critic) = (self.actor.loaded(from)?, self.critic.loaded(from)?);
        self.temperature = self.temperature.loaded(from)?;
        self.actor.replace(actor);
        self.critic.replace(critic);
        Ok(())
    }
}

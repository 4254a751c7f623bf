use crate::actor::discount_onto;
use crate::settings::{builds, validate_settings};
use crate::{ActionGradient, Critic, NoiseConfig, OffPolicy, OffPolicyConfig, Parts, Rule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, Space, check};
use rl_nets::{
    DiagGaussian, Init, Learned, LogStd, Loss, Network, NetworkConfig, Optimizer, OptimizerConfig,
    SquashedGaussian, policy_net,
};
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

/// The temperature, the weight of the entropy relative to the reward.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntCoef {
    /// Learned so that the entropy approaches its target, starting from this value.
    Auto(f64),
    /// Fixed at this value.
    Fixed(f64),
}

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
        match self.ent_coef {
            EntCoef::Auto(initial) => check::positive("ent_coef.auto", initial)?,
            EntCoef::Fixed(alpha) => check::non_negative("ent_coef.fixed", alpha)?,
        }
        if let Some(entropy) = self.target_entropy.filter(|entropy| !entropy.is_finite()) {
            return Err(rl_core::Error::config("target_entropy", "a finite number", entropy));
        }
        Ok(())
    }
}

/// The temperature, fixed or learned.
#[derive(Clone, Debug)]
pub(crate) struct Temperature {
    log_alpha: [f32; 1],
    target_entropy: f64,
    /// The optimiser; none if the temperature is fixed.
    optimizer: Option<Optimizer>,
}

impl Temperature {
    fn new(config: &SacConfig, action_width: usize) -> Result<Self> {
        let (initial, learned) = match config.ent_coef {
            EntCoef::Auto(initial) => (initial, true),
            EntCoef::Fixed(alpha) => (alpha, false),
        };
        let optimizer = learned.then(|| Optimizer::new(config.optimizer.clone(), 1));
        Ok(Temperature {
            log_alpha: [initial.ln() as f32],
            target_entropy: config.target_entropy.unwrap_or(-(action_width as f64)),
            optimizer: optimizer.transpose()?,
        })
    }

    pub(crate) fn alpha(&self) -> f32 {
        self.log_alpha[0].exp()
    }

    /// The gradient of the loss `-log alpha mean(log pi + target_entropy)` with respect to `log alpha`.
    pub(crate) fn gradient(&self, log_probs: &[f32]) -> f64 {
        let mean = log_probs.iter().map(|&l| f64::from(l)).sum::<f64>() / log_probs.len() as f64;
        -(mean + self.target_entropy)
    }

    fn step(&mut self, log_probs: &[f32], learning_rate: f64) -> Result<()> {
        let mut grad = [self.gradient(log_probs) as f32];
        if let Some(optimizer) = &mut self.optimizer {
            optimizer.step(&mut self.log_alpha, &mut grad, learning_rate, None)?;
        }
        Ok(())
    }
}

/// The [`Rule`] of [`Sac`].
#[derive(Debug)]
pub struct SacRule {
    config: SacConfig,
    pi: SquashedGaussian,
    pub(crate) actor: Learned,
    pub(crate) critic: Critic,
    pub(crate) temperature: Temperature,
    /// Scratch buffers: actions sampled in the next and current states; the regression targets; gradients.
    next: Draws,
    here: Draws,
    targets: Vec<f32>,
    grad_actions: Vec<f32>,
    grad: Vec<f32>,
}

/// Actions sampled from the policy, and the quantities needed for their gradient.
#[derive(Debug, Default)]
pub(crate) struct Draws {
    params: Vec<f32>,
    noise: Vec<f32>,
    pub(crate) actions: Vec<f32>,
    pub(crate) log_probs: Vec<f32>,
}

impl Draws {
    /// Samples an action for each row of `params`, with standard normal samples from `noise`.
    fn draw(&mut self, pi: SquashedGaussian, params: &[f32], mut noise: impl FnMut() -> f64) {
        let (width, d) = (pi.params_len(), pi.params_len() / 2);
        let n = params.len() / width;
        self.params.clear();
        self.params.extend_from_slice(params);
        self.noise.clear();
        self.noise.extend((0..n * d).map(|_| noise() as f32));
        self.actions.resize(n * d, 0.0);
        self.log_probs.clear();
        let rows = params.chunks_exact(width).zip(self.noise.chunks_exact(d));
        for ((row, noise), action) in rows.zip(self.actions.chunks_exact_mut(d)) {
            self.log_probs.push(pi.push(row, noise, action));
        }
    }
}

impl SacRule {
    /// The number of parameters of the policy and both critics.
    pub fn num_params(&self) -> usize {
        self.actor.network().num_params() + self.critic.num_params()
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
        let alpha = self.temperature.alpha();
        self.next.draw(self.pi, self.actor.predict(batch.next_observations())?, noise);
        self.targets.resize(batch.len(), 0.0);
        let (next, actions) = (batch.next_observations(), &self.next.actions);
        self.critic.target_values(next, actions, &mut self.targets)?;
        let soft = self.targets.iter_mut().zip(&self.next.log_probs);
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
        let SacRule { pi, actor, critic, here, grad_actions, grad, .. } = self;
        let pass = actor.forward(observations)?;
        here.draw(*pi, pass.output(), noise);
        let Draws { params, noise, actions, log_probs } = here;
        let (n, d) = (log_probs.len(), pi.params_len() / 2);
        grad_actions.resize(actions.len(), 0.0);
        let which = ActionGradient::Smallest;
        let value = critic.action_gradient(observations, actions, which, grad_actions)?;
        grad.clear();
        grad.resize(params.len(), 0.0);
        let weight = alpha / n as f32;
        for (i, grad) in grad.chunks_exact_mut(2 * d).enumerate() {
            let (row, one) = (i * 2 * d..(i + 1) * 2 * d, i * d..(i + 1) * d);
            let upstream = (&grad_actions[one.clone()], weight);
            pi.add_grad(&params[row], &noise[one.clone()], &actions[one], upstream, grad);
        }
        let entropy = log_probs.iter().map(|&l| f64::from(l)).sum::<f64>() / n as f64;
        Ok(Loss::new(pass, grad, f64::from(alpha) * entropy - value))
    }
}

#[cfg(test)]
impl SacRule {
    pub(crate) fn targets_of_last_batch(&self) -> &[f32] {
        &self.targets
    }

    pub(crate) fn drawn(&self) -> &Draws {
        &self.here
    }
}

impl Rule for SacRule {
    const NAME: &'static str = "sac";
    type Config = SacConfig;

    fn new(config: &SacConfig, mut parts: Parts<'_>) -> Result<Self> {
        let (shape, action_width) = (parts.observations.shape(), parts.actions.width());
        let gaussian = DiagGaussian::new(action_width);
        let policy = policy_net(parts.actor, shape, &gaussian, LogStd::OfState, Init::Pytorch)?;
        let actor = Network::new(policy.named("actor"), parts.backend, &mut parts.init)?;
        Ok(SacRule {
            pi: SquashedGaussian::new(action_width),
            actor: Learned::new(actor, &config.optimizer)?,
            critic: parts.critic(2, &config.optimizer)?,
            temperature: Temperature::new(config, action_width)?,
            next: Draws::default(),
            here: Draws::default(),
            targets: Vec::new(),
            grad_actions: Vec::new(),
            grad: Vec::new(),
            config: config.clone(),
        })
    }

    fn act(&mut self, observations: &[f32], rng: &mut Rng, actions: &mut [f32]) -> Result<()> {
        self.next.draw(self.pi, self.actor.predict(observations)?, || rng.normal());
        check::len("actions", self.next.actions.len(), actions.len())?;
        actions.copy_from_slice(&self.next.actions);
        Ok(())
    }

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        let width = self.pi.params_len();
        let params = self.actor.predict(observations)?;
        check::len("actions", params.len() / 2, actions.len())?;
        for (row, action) in params.chunks_exact(width).zip(actions.chunks_exact_mut(width / 2)) {
            self.pi.mode(row, action);
        }
        Ok(())
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
        self.temperature.step(&self.here.log_probs, ent_coef_rate)?;
        self.critic.soft_update(self.config.tau)?;
        let log_probs = &self.here.log_probs;
        let entropy = -log_probs.iter().map(|&l| f64::from(l)).sum::<f64>();
        metrics.record("critic_loss", stats.loss);
        metrics.record("q_value", stats.value);
        metrics.record("actor_loss", actor_loss);
        metrics.record("actor_grad_norm", norm);
        metrics.record("entropy", entropy / log_probs.len() as f64);
        metrics.record("alpha", alpha.into());
        Ok(())
    }

    fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>> {
        self.critic.values(observations, actions)
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.actor.save_weights("policy", out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.actor.load_weights("policy", from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.actor.save("policy", out)?;
        self.critic.save(out)?;
        let Temperature { log_alpha, optimizer, .. } = &self.temperature;
        let optimizer = optimizer.as_ref().map(Optimizer::save).transpose()?;
        out.put("temperature", &(log_alpha, optimizer))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (actor, critic) = (self.actor.loaded("policy", from)?, self.critic.loaded(from)?);
        let mut temperature = self.temperature.clone();
        let stored: Option<Vec<u8>>;
        (temperature.log_alpha, stored) = from.get("temperature")?;
        match (&mut temperature.optimizer, stored) {
            (Some(own), Some(stored)) => own.load(&stored)?,
            (None, None) => {}
            _ => {
                let what = "temperature";
                return Err(rl_core::Error::mismatch(what, "that of these settings", "another"));
            }
        }
        self.critic.replace(critic);
        (self.actor, self.temperature) = (actor, temperature);
        Ok(())
    }
}

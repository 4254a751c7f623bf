use crate::actor::{Actor, discount_onto};
use crate::settings::{builds, validate_settings};
use crate::{Critic, NoiseConfig, OffPolicy, OffPolicyConfig, Parts, Rule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, check};
use rl_nets::{Bounds, Network, NetworkConfig, OptimizerConfig, PolicyOutput};
use rl_replay::Batch;
use serde::{Deserialize, Serialize};

/// Twin delayed deep deterministic policy gradient (Fujimoto et al., 2018), for continuous actions.
///
/// ```text
/// initialise actor mu, critics Q_1, Q_2, targets mu' = mu, Q_i' = Q_i, replay buffer D
/// for each step:
///     a = mu(s) + noise (at random before learning_starts); store (s, a, r, s', how it ended) in D
///     sample a minibatch from D
///     ã = clip(mu'(s') + clip(N(0, target_noise), ± target_noise_clip), bounds)
///     y = r + gamma min_i Q_i'(s', ã)              without the second term where s' is terminal
///     one gradient step of each Q_i on (Q_i(s, a) - y)²
///     every policy_delay gradient steps:
///         one gradient step of mu on -Q_1(s, mu(s))
///         mu' <- mu' + tau (mu - mu'),  Q_i' <- Q_i' + tau (Q_i - Q_i')
/// ```
///
/// Actions are continuous; an environment with discrete actions does not compile. This compiles:
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Td3, Td3Config};
/// let env = TimeLimit::new(rl_envs::Pendulum::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Td3::new(&Td3Config::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// The same with `CartPole`, whose actions are discrete, does not:
///
/// ```compile_fail
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Td3, Td3Config};
/// let env = TimeLimit::new(rl_envs::CartPole::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Td3::new(&Td3Config::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Td3 = OffPolicy<Td3Rule>;

builds!(Td3Config, Td3, Some);

/// The settings of [`Td3`]. Defaults are those of Stable-Baselines3 (2.9), but for the noise of exploration, of which it has
/// none by default: that is Fujimoto et al.'s (2018).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Td3Config {
    /// The actor, with a tanh output; 400-300 relu.
    pub actor: NetworkConfig,
    /// Each critic; 400-300 relu.
    pub critic: NetworkConfig,
    /// The actor's learning rate; 1e-3.
    pub actor_learning_rate: Schedule,
    /// The critics' learning rate; 1e-3.
    pub critic_learning_rate: Schedule,
    /// The optimiser of each network; Adam.
    pub optimizer: OptimizerConfig,
    /// The maximum gradient norm, separately for the actor and for all critics together; none: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// The soft update coefficient of the target networks; 0.005.
    pub tau: f64,
    /// Exploration noise added to actions; Gaussian noise of 0.1.
    pub exploration: NoiseConfig,
    /// Critic gradient steps per update of the actor and the target networks; 2.
    pub policy_delay: u64,
    /// The standard deviation of the target policy smoothing noise; 0.2.
    pub target_noise: f64,
    /// The clipping bound of the target policy smoothing noise; 0.5.
    pub target_noise_clip: f64,
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

impl Default for Td3Config {
    fn default() -> Self {
        let wide = NetworkConfig::mlp(&[400, 300]);
        Td3Config {
            actor: wide.clone(),
            critic: wide,
            actor_learning_rate: Schedule::constant(1e-3),
            critic_learning_rate: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam(),
            max_grad_norm: None,
            tau: 0.005,
            exploration: NoiseConfig::Gaussian { std: 0.1 },
            policy_delay: 2,
            target_noise: 0.2,
            target_noise_clip: 0.5,
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

impl Td3Config {
    /// Checks all fields.
    ///
    /// ```
    /// let config = rl_ddpg::Td3Config { policy_delay: 0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "policy_delay: expected an integer >= 1, got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        validate_settings(self.settings())?;
        self.actor_learning_rate.validate("actor_learning_rate", check::non_negative)?;
        self.critic_learning_rate.validate("critic_learning_rate", check::non_negative)?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::positive_fraction("tau", self.tau)?;
        check::at_least("policy_delay", 1, self.policy_delay)?;
        check::non_negative("target_noise", self.target_noise)?;
        check::non_negative("target_noise_clip", self.target_noise_clip)
    }
}

/// The [`Rule`] of [`Td3`].
#[derive(Debug)]
pub struct Td3Rule {
    config: Td3Config,
    pub(crate) actor: Actor,
    pub(crate) critic: Critic,
    /// Gradient steps of the critics so far.
    steps: u64,
    /// Scratch buffers: the target network's actions and the regression targets.
    next_actions: Vec<f32>,
    targets: Vec<f32>,
}

impl Td3Rule {
    /// Computes the regression targets, with the standard normal samples `noise`, `[n, action width]`, for target
    /// policy smoothing.
    pub(crate) fn targets(
        &mut self,
        batch: &Batch<f32, f32>,
        mut noise: impl FnMut() -> f64,
    ) -> Result<()> {
        let Td3Config { target_noise, target_noise_clip: clip, .. } = self.config;
        self.next_actions.clear();
        self.next_actions.extend_from_slice(self.actor.target_actions(batch.next_observations())?);
        for action in &mut self.next_actions {
            let smoothing = (target_noise * noise()).clamp(-clip, clip) as f32;
            *action = (*action + smoothing).clamp(-1.0, 1.0);
        }
        self.targets.resize(batch.len(), 0.0);
        let (next, actions) = (batch.next_observations(), &self.next_actions);
        self.critic.target_values(next, actions, &mut self.targets)?;
        discount_onto(batch, &mut self.targets);
        Ok(())
    }
}

#[cfg(test)]
impl Td3Rule {
    pub(crate) fn targets_of_last_batch(&self) -> &[f32] {
        &self.targets
    }
}

impl Rule for Td3Rule {
    const NAME: &'static str = "td3";
    type Config = Td3Config;

    fn new(config: &Td3Config, mut parts: Parts<'_>) -> Result<Self> {
        Ok(Td3Rule {
            actor: Actor::new(&config.optimizer, &mut parts)?,
            critic: parts.critic(2, &config.optimizer)?,
            steps: 0,
            next_actions: Vec::new(),
            targets: Vec::new(),
            config: config.clone(),
        })
    }

    fn act(&mut self, observations: &[f32], _: &mut Rng, actions: &mut [f32]) -> Result<()> {
        self.actor.act(observations, actions)
    }

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        self.actor.act(observations, actions)
    }

    fn describe(&self, bounds: Bounds) -> Option<(&Network, PolicyOutput)> {
        Some((self.actor.network(), PolicyOutput::Deterministic { bounds }))
    }

    fn learn(
        &mut self,
        batch: &Batch<f32, f32>,
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let max_norm = self.config.max_grad_norm;
        let critic_rate = self.config.critic_learning_rate.at(progress.fraction());
        self.targets(batch, || rng.normal())?;
        let (observations, actions) = (batch.observations(), batch.actions());
        let stats =
            self.critic.step(observations, actions, &self.targets, critic_rate, max_norm)?;
        metrics.record("critic_loss", stats.loss);
        metrics.record("q_value", stats.value);
        self.steps += 1;
        if self.steps.is_multiple_of(self.config.policy_delay) {
            let actor_rate = self.config.actor_learning_rate.at(progress.fraction());
            let loss = self.actor.loss(&mut self.critic, observations)?;
            metrics.record("actor_loss", loss.stats);
            metrics.record("actor_grad_norm", loss.step(actor_rate, max_norm)?);
            self.actor.soft_update(self.config.tau)?;
            self.critic.soft_update(self.config.tau)?;
        }
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
        out.put("td3", &self.steps)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (actor, critic) = (self.actor.loaded(from)?, self.critic.loaded(from)?);
        let steps = from.get("td3")?;
        check::count("td3.bin: gradient steps", steps)?;
        self.steps = steps;
        self.actor.replace(actor);
        self.critic.replace(critic);
        Ok(())
    }
}

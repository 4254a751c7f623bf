use crate::actor::{Actor, discount_onto};
use crate::settings::{builds, validate_settings};
use crate::{Critic, NoiseConfig, OffPolicy, OffPolicyConfig, Parts, Rule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, check};
use rl_nets::{Bounds, Network, NetworkConfig, OptimizerConfig, PolicyOutput};
use rl_replay::Batch;
use serde::{Deserialize, Serialize};

/// Deep deterministic policy gradient (Lillicrap et al., 2016), for continuous actions.
///
/// ```text
/// initialise actor mu, critic Q, targets mu' = mu, Q' = Q, replay buffer D
/// for each step:
///     a = mu(s) + noise (at random before learning_starts); store (s, a, r, s', how it ended) in D
///     sample a minibatch from D
///     y = r + gamma Q'(s', mu'(s'))                without the second term where s' is terminal
///     one gradient step of Q on (Q(s, a) - y)²
///     one gradient step of mu on -Q(s, mu(s))
///     mu' <- mu' + tau (mu - mu'),  Q' <- Q' + tau (Q - Q')
/// ```
///
/// Actions are continuous; an environment with discrete actions does not compile. This compiles:
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Ddpg, DdpgConfig};
/// let env = TimeLimit::new(rl_envs::Pendulum::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Ddpg::new(&DdpgConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// The same with `CartPole`, whose actions are discrete, does not:
///
/// ```compile_fail
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Ddpg, DdpgConfig};
/// let env = TimeLimit::new(rl_envs::CartPole::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Ddpg::new(&DdpgConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Ddpg = OffPolicy<DdpgRule>;

builds!(DdpgConfig, Ddpg, Some);

/// The settings of [`Ddpg`]. Defaults are those of Lillicrap et al. (2016) for learning rates, target networks and
/// noise, and those of Stable-Baselines3 (2.9) for the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DdpgConfig {
    /// The actor, with a tanh output; 400-300 relu.
    pub actor: NetworkConfig,
    /// The critic; 400-300 relu.
    pub critic: NetworkConfig,
    /// The actor's learning rate; 1e-4.
    pub actor_learning_rate: Schedule,
    /// The critic's learning rate; 1e-3.
    pub critic_learning_rate: Schedule,
    /// The optimiser of each network; Adam.
    pub optimizer: OptimizerConfig,
    /// The maximum gradient norm, separately for the actor and the critic; none: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// The soft update coefficient of the target networks; 0.001.
    pub tau: f64,
    /// Exploration noise added to actions; Ornstein-Uhlenbeck noise of 0.2.
    pub exploration: NoiseConfig,
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

impl Default for DdpgConfig {
    fn default() -> Self {
        let wide = NetworkConfig::mlp(&[400, 300]);
        DdpgConfig {
            actor: wide.clone(),
            critic: wide,
            actor_learning_rate: Schedule::constant(1e-4),
            critic_learning_rate: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam(),
            max_grad_norm: None,
            tau: 0.001,
            exploration: NoiseConfig::ornstein_uhlenbeck(0.2),
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

impl DdpgConfig {
    /// Checks all fields.
    ///
    /// ```
    /// let config = rl_ddpg::DdpgConfig { tau: 0.0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "tau: expected a number in (0, 1], got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        validate_settings(self.settings())?;
        self.actor_learning_rate.validate("actor_learning_rate", check::non_negative)?;
        self.critic_learning_rate.validate("critic_learning_rate", check::non_negative)?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::positive_fraction("tau", self.tau)
    }
}

/// The [`Rule`] of [`Ddpg`].
#[derive(Debug)]
pub struct DdpgRule {
    config: DdpgConfig,
    pub(crate) actor: Actor,
    pub(crate) critic: Critic,
    /// Scratch buffer: the regression targets.
    targets: Vec<f32>,
}

impl DdpgRule {
    /// Computes the regression targets.
    pub(crate) fn targets(&mut self, batch: &Batch<f32, f32>) -> Result<()> {
        let next_actions = self.actor.target_actions(batch.next_observations())?;
        self.targets.resize(batch.len(), 0.0);
        let next = batch.next_observations();
        self.critic.target_values(next, next_actions, &mut self.targets)?;
        discount_onto(batch, &mut self.targets);
        Ok(())
    }
}

#[cfg(test)]
impl DdpgRule {
    pub(crate) fn targets_of_last_batch(&self) -> &[f32] {
        &self.targets
    }
}

impl Rule for DdpgRule {
    const NAME: &'static str = "ddpg";
    type Config = DdpgConfig;

    fn new(config: &DdpgConfig, mut parts: Parts<'_>) -> Result<Self> {
        Ok(DdpgRule {
            actor: Actor::new(&config.optimizer, &mut parts)?,
            critic: parts.critic(1, &config.optimizer)?,
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
        _: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let max_norm = self.config.max_grad_norm;
        let critic_rate = self.config.critic_learning_rate.at(progress.fraction());
        let actor_rate = self.config.actor_learning_rate.at(progress.fraction());
        self.targets(batch)?;
        let (observations, actions) = (batch.observations(), batch.actions());
        let stats =
            self.critic.step(observations, actions, &self.targets, critic_rate, max_norm)?;
        metrics.record("critic_loss", stats.loss);
        metrics.record("q_value", stats.value);
        let loss = self.actor.loss(&mut self.critic, observations)?;
        metrics.record("actor_loss", loss.stats);
        metrics.record("actor_grad_norm", loss.step(actor_rate, max_norm)?);
        self.actor.soft_update(self.config.tau)?;
        self.critic.soft_update(self.config.tau)
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
        self.critic.save(out)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (actor, critic) = (self.actor.loaded(from)?, self.critic.loaded(from)?);
        self.actor.replace(actor);
        self.critic.replace(critic);
        Ok(())
    }
}

use crate::actor::{Actor, discount_onto};
use crate::{Critic, ExperienceConfig, NoiseConfig, OffPolicy, Rule};
use rl_core::{
    BoxSpace, Metrics, Progress, Result, Rng, Schedule, Sections, Seeds, Space, VecEnv, check,
};
use rl_nets::{Backend, Body, NetworkConfig, OptimizerConfig};
use rl_replay::Batch;
use serde::{Deserialize, Serialize};

/// Deep deterministic policy gradient (Lillicrap et al., 2016), for continuous actions.
///
/// ```text
/// initialise actor mu, critic Q, targets mu' = mu, Q' = Q, replay memory D
/// for each step:
///     a = mu(s) + noise (at random before learning_starts); store (s, a, r, s', how it ended) in D
///     sample a minibatch from D
///     y = r + gamma Q'(s', mu'(s'))                without the second term where s' is terminal
///     one gradient step of Q on (Q(s, a) - y)²
///     one gradient step of mu on -Q(s, mu(s))
///     mu' <- mu' + tau (mu - mu'),  Q' <- Q' + tau (Q - Q')
/// ```
///
/// Actions are continuous; an environment with others does not compile. This does:
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
/// and this, the same with a cart and a pole, does not:
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

/// The settings of [`Ddpg`]. Defaults are those of Lillicrap et al. (2016) for step sizes, targets and
/// noise, and Stable-Baselines3's (2.9) for the rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DdpgConfig {
    /// The actor, whose output goes through tanh; 400-300 relu.
    pub actor: NetworkConfig,
    /// The critic; 400-300 relu.
    pub critic: NetworkConfig,
    /// The actor's step size; 1e-4.
    pub actor_learning_rate: Schedule,
    /// The critic's step size; 1e-3.
    pub critic_learning_rate: Schedule,
    /// The optimiser of each; Adam.
    pub optimizer: OptimizerConfig,
    /// The gradient's largest global norm, the actor's, and that of the critics together; none: no clipping.
    pub max_grad_norm: Option<f64>,
    /// The share by which targets follow; 0.001.
    pub tau: f64,
    /// What is added to actions while exploring; drifting noise of 0.2.
    pub exploration: NoiseConfig,
    /// What is remembered and how often it is learned from.
    pub experience: ExperienceConfig,
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
            experience: ExperienceConfig::default(),
        }
    }
}

impl DdpgConfig {
    /// Checks every field.
    ///
    /// ```
    /// let config = rl_ddpg::DdpgConfig { tau: 0.0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "tau: expected a number in (0, 1], got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.actor.validate().map_err(|error| error.within("actor"))?;
        self.critic.validate().map_err(|error| error.within("critic"))?;
        self.actor_learning_rate.validate("actor_learning_rate", check::non_negative)?;
        self.critic_learning_rate.validate("critic_learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::positive_fraction("tau", self.tau)?;
        self.exploration.validate()?;
        self.experience.validate()
    }
}

/// The [`Rule`] of [`Ddpg`].
#[derive(Debug)]
pub struct DdpgRule {
    config: DdpgConfig,
    pub(crate) actor: Actor,
    pub(crate) critic: Critic,
    /// Scratch: the regression targets.
    targets: Vec<f32>,
}

impl Ddpg {
    /// An agent for `envs`, with the networks that the settings describe.
    ///
    /// # Errors
    /// Those of [`DdpgConfig::validate`]; an infinite bound of the actions, by its dimension; those of candle.
    pub fn new<V>(config: &DdpgConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        Self::with_bodies(config, (&config.actor, &config.critic), envs, backend, seeds)
    }

    /// The same with a body of your own for the actor, which reads observations, and one for the critic, which reads
    /// rows of an observation and an action. They may be the same.
    ///
    /// # Errors
    /// Those of [`new`](Ddpg::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &DdpgConfig,
        (actor, critic): (&dyn Body, &dyn Body),
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        config.validate()?;
        let (space, action_width) = (envs.observation_space(), envs.action_space().width());
        let (shape, widths) = (space.shape(), (space.width(), action_width));
        let mut init = seeds.stream("init", 0);
        let DdpgConfig { optimizer, experience, exploration, .. } = config;
        let rule = DdpgRule {
            actor: Actor::new((shape, action_width), actor, optimizer, backend, &mut init)?,
            critic: Critic::new(1, widths, critic, optimizer, backend, &mut init)?,
            targets: Vec::new(),
            config: config.clone(),
        };
        OffPolicy::with_rule(rule, experience, Some(*exploration), envs, seeds)
    }
}

impl DdpgRule {
    /// The regression targets.
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

    fn act(&mut self, observations: &[f32], _: &mut Rng, actions: &mut [f32]) -> Result<()> {
        self.actor.act(observations, actions)
    }

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        self.actor.act(observations, actions)
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
        self.actor.track(self.config.tau)?;
        self.critic.track(self.config.tau)
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

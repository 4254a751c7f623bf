use crate::quantile_critic::check_drop;
use crate::settings::{builds, validate_settings};
use crate::soft_actor::SoftActor;
use crate::temperature::{EntCoef, Temperature};
use crate::{NoiseConfig, OffPolicy, OffPolicyConfig, Parts, QuantileCritic, Rule};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, Sections, Space, check};
use rl_nets::{Bounds, Loss, Network, NetworkConfig, OptimizerConfig, PolicyOutput};
use rl_replay::Batch;
use serde::{Deserialize, Serialize};

/// Truncated quantile critics (Kuznetsov et al., 2020), for continuous actions: soft actor-critic, whose critics learn the
/// distribution of the return, and whose target leaves its largest quantiles out against overestimation.
///
/// ```text
/// initialise policy pi, critics Z_1 .. Z_N of M quantiles each, targets Z_i' = Z_i, temperature alpha, replay buffer D
/// for each step:
///     a ~ pi(. | s) (at random before learning_starts); store (s, a, r, s', how it ended) in D
///     sample a minibatch from D;  a' ~ pi(. | s'),  ã ~ pi(. | s)
///     z_1 <= .. <= z_NM, the quantiles of all Z_i'(s', a') together, of which the k = N (M - d) smallest are kept
///     y_j = r + gamma (z_j - alpha log pi(a' | s')),  j = 1 .. k     without it where s' is terminal
///     one gradient step of each Z_i on the quantile Huber loss of its quantiles beside all y_j
///     one gradient step of pi on  alpha log pi(ã | s) - mean_im Z_im(s, ã),  ã being a function of pi's
///         parameters and of the noise that it was drawn with
///     one gradient step of log alpha on -log alpha (log pi(ã | s) + target_entropy)
///     Z_i' <- Z_i' + tau (Z_i - Z_i')
/// ```
///
/// The loss is the mean over critics, quantiles and targets, as in the authors' code and in sb3-contrib. Of
/// [`Sac`](crate::Sac) the actor and the temperature are the same.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ddpg::{Tqc, TqcConfig};
/// let env = TimeLimit::new(rl_envs::Pendulum::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Tqc::new(&TqcConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(110))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
pub type Tqc = OffPolicy<TqcRule>;

builds!(TqcConfig, Tqc, std::convert::identity);

/// The settings of [`Tqc`]. Defaults are those of sb3-contrib (2.9): two critics of 256-256. Kuznetsov et al. (2020) use
/// five of 512-512-512 (`n_critics`, `critic.hidden`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TqcConfig {
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
    /// Critics; 2, as in sb3-contrib, and 5 as published.
    pub n_critics: usize,
    /// Quantiles of each critic; 25.
    pub n_quantiles: usize,
    /// Quantiles left out of the target, the largest of all critics together, for each critic; 2. Fewer overestimate
    /// values, more underestimate them; published are 5 for Hopper, 0 for HalfCheetah and 2 for the rest of MuJoCo.
    pub top_quantiles_to_drop_per_net: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The n of n-step returns; 1.
    pub n_step: usize,
    /// Whether networks see observations brought to mean 0 and standard deviation 1, clipped at ±10, by the moments of all
    /// that were acted on; no. Transitions are stored as they are and normalised when they are drawn.
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

impl Default for TqcConfig {
    fn default() -> Self {
        let wide = NetworkConfig::mlp(&[256, 256]);
        TqcConfig {
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
            n_critics: 2,
            n_quantiles: 25,
            top_quantiles_to_drop_per_net: 2,
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

impl TqcConfig {
    /// Checks all fields.
    ///
    /// ```
    /// use rl_ddpg::TqcConfig;
    /// let config = TqcConfig { top_quantiles_to_drop_per_net: 25, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// let expected = "at most one less than the quantiles of a critic (24), got 25";
    /// assert_eq!(error, format!("top_quantiles_to_drop_per_net: expected {expected}"));
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
        check::at_least("n_critics", 1, self.n_critics as u64)?;
        check::at_most("n_critics", 1_000, "critics that can be", self.n_critics as u64)?;
        check::at_least("n_quantiles", 1, self.n_quantiles as u64)?;
        let drop = self.top_quantiles_to_drop_per_net;
        check_drop("top_quantiles_to_drop_per_net", drop, self.n_quantiles)?;
        self.ent_coef.validate(self.target_entropy)
    }
}

/// The [`Rule`] of [`Tqc`].
#[derive(Debug)]
pub struct TqcRule {
    config: TqcConfig,
    pub(crate) actor: SoftActor,
    pub(crate) critic: QuantileCritic,
    pub(crate) temperature: Temperature,
    /// Scratch buffer: the target quantiles, `[n, kept]`.
    targets: Vec<f32>,
}

impl TqcRule {
    /// The number of parameters of the policy and all critics.
    pub fn num_params(&self) -> usize {
        self.actor.num_params() + self.critic.num_params()
    }

    /// The temperature.
    pub fn alpha(&self) -> f64 {
        self.temperature.alpha().into()
    }

    /// Computes the target quantiles, with the standard normal samples `noise` for the next actions.
    pub(crate) fn targets(
        &mut self,
        batch: &Batch<f32, f32>,
        noise: impl FnMut() -> f64,
    ) -> Result<()> {
        let (alpha, states) = (self.temperature.alpha(), batch.next_observations());
        let drop = self.config.top_quantiles_to_drop_per_net;
        let next = self.actor.sample(states, noise)?;
        self.critic.truncated_targets(states, &next.actions, drop, &mut self.targets)?;
        let kept = self.targets.len() / batch.len();
        let steps = batch.rewards().iter().zip(batch.discounts()).zip(&next.log_probs);
        for (row, ((reward, discount), log_prob)) in self.targets.chunks_exact_mut(kept).zip(steps)
        {
            row.iter_mut().for_each(|z| *z = reward + discount * (*z - alpha * log_prob));
        }
        Ok(())
    }

    /// The policy's loss, `mean(alpha log pi(ã | s) - Q(s, ã))`, `Q` being the mean of all quantiles, for actions sampled
    /// with the standard normal samples `noise`.
    pub(crate) fn actor_loss<'a>(
        &'a mut self,
        observations: &'a [f32],
        noise: impl FnMut() -> f64,
        alpha: f32,
    ) -> Result<Loss<'a, f64>> {
        let TqcRule { actor, critic, .. } = self;
        actor.loss(observations, noise, alpha, |actions, grad| {
            critic.action_gradient(observations, actions, grad)
        })
    }
}

#[cfg(test)]
impl TqcRule {
    pub(crate) fn targets_of_last_batch(&self) -> &[f32] {
        &self.targets
    }
}

impl Rule for TqcRule {
    const NAME: &'static str = "tqc";
    type Config = TqcConfig;

    fn new(config: &TqcConfig, mut parts: Parts<'_>) -> Result<Self> {
        let TqcConfig { ent_coef, target_entropy, optimizer, n_critics, n_quantiles, .. } = config;
        let action_width = parts.actions.width();
        Ok(TqcRule {
            actor: SoftActor::new(optimizer, &mut parts)?,
            critic: parts.quantile_critic((*n_critics, *n_quantiles), optimizer)?,
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

use rl_core::{
    Agent, BoxSpace, Metrics, Policy, Progress, Result, Rng, Schedule, Sections, Seeds, Space,
    StochasticPolicy, Transitions, VecEnv, check,
};
use rl_nets::{
    ActorCriticConfig, ActorCriticPolicy, AgentConfig, Backend, Bodies, Coefficients, Distribution,
    Loss, OptimizerConfig, PolicyRows, PolicySpace, PolicyStats, check_finite, policy_gradient,
};
use rl_replay::{EpisodeRows, Episodes, HandedOut, explained_variance, normalise};
use serde::{Deserialize, Serialize};

/// The return that weights the log-probability of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ReturnForm {
    /// The return from the action on: an action does not affect earlier rewards.
    RewardToGo,
    /// The return of the whole episode, the plain form of the theorem. It has the same mean with more variance.
    WholeEpisode,
}

/// The settings of [`Reinforce`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforceConfig {
    /// The networks; the critic is the baseline.
    pub network: ActorCriticConfig,
    /// The learning rate; 1e-3.
    pub learning_rate: Schedule,
    /// The optimiser; Adam.
    pub optimizer: OptimizerConfig,
    /// The maximum global gradient norm; none: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// Episodes per gradient step, over all environments; 1, as in Williams (1992).
    pub episodes: usize,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The return that weights an action; the return from the action on.
    pub returns: ReturnForm,
    /// Whether a learned value estimate of the state is subtracted as a baseline; yes (Sutton and Barto, 2018,
    /// section 13.4).
    pub baseline: bool,
    /// Whether the returns minus baseline are normalised to mean 0 and standard deviation 1 over the episodes; no.
    /// Normalising biases the estimate slightly and stabilises its size.
    pub normalize_returns: bool,
    /// The coefficient of the entropy bonus per step; 0.
    pub ent_coef: f64,
    /// The coefficient of the baseline's loss, where there is one; 0.5.
    pub vf_coef: f64,
}

impl Default for ReinforceConfig {
    fn default() -> Self {
        ReinforceConfig {
            network: ActorCriticConfig::default(),
            learning_rate: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam(),
            max_grad_norm: None,
            episodes: 1,
            gamma: 0.99,
            returns: ReturnForm::RewardToGo,
            baseline: true,
            normalize_returns: false,
            ent_coef: 0.0,
            vf_coef: 0.5,
        }
    }
}

impl ReinforceConfig {
    /// Checks all fields, for `num_envs` environments.
    ///
    /// ```
    /// let config = rl_pg::ReinforceConfig { episodes: 3, ..Default::default() };
    /// let error = config.validate(2).unwrap_err().to_string();
    /// assert_eq!(error, "episodes: expected a multiple of the number of environments (2), got 3");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self, num_envs: usize) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        self.learning_rate.validate("learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        Episodes::<f32, u32>::new(self.episodes, num_envs, 1, 1)?;
        check::fraction("gamma", self.gamma)?;
        check::non_negative("ent_coef", self.ent_coef)?;
        check::non_negative("vf_coef", self.vf_coef)
    }
}

/// REINFORCE (Williams, 1992), for discrete and continuous actions.
///
/// ```text
/// for each m episodes:
///     G_t = r_t + gamma r_{t+1} + gamma² r_{t+2} + …
///     one gradient step on  -1/m Σ ((G_t - b(s_t)) log pi(a_t | s_t) + ent_coef H(s_t))
///                           + vf_coef mean (b(s_t) - G_t)²
/// ```
///
/// With [`ReturnForm::WholeEpisode`] every step of an episode is weighted by `G_0`. The return of a truncated episode
/// is bootstrapped with the baseline's value of its final observation; without a baseline, later rewards are ignored.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_pg::{Reinforce, ReinforceConfig};
/// let env = TimeLimit::new(rl_envs::CartPole::default(), 500)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let config = ReinforceConfig { episodes: 2, ..ReinforceConfig::default() };
/// let agent = Reinforce::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(500))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Reinforce<D: Distribution> {
    config: ReinforceConfig,
    pub(crate) policy: ActorCriticPolicy<D>,
    pub(crate) episodes: Episodes<f32, D::Elem>,
    rng: Rng,
    /// The policy's actions before clipping to the bounds, `[envs, action width]`.
    actions: Vec<D::Elem>,
    handed_out: HandedOut<D::Action>,
    /// Scratch buffers: log-probabilities and values when acting, which are recomputed when learning.
    unused: [Vec<f32>; 2],
    /// Scratch buffers: the episodes to learn from, and quantities computed from them.
    rows: EpisodeRows<f32, D::Elem>,
    scratch: Scratch,
}

/// Quantities computed from complete episodes.
#[derive(Debug, Default)]
struct Scratch {
    /// The values of final observations, `[episodes]`.
    finals: Vec<f32>,
    /// One number per step: the baseline, the return, and the weight of the action's log-probability.
    baseline: Vec<f32>,
    returns: Vec<f32>,
    credits: Vec<f32>,
    /// The gradient of the network's output.
    grad: Vec<f32>,
}

impl<D: Distribution> Reinforce<D> {
    /// An agent for `envs`, with the configured networks. Continuous actions are clipped to the bounds before they
    /// are passed to the environment; the policy learns from the unclipped action unless the environment executed
    /// another one.
    ///
    /// # Errors
    /// Those of [`ReinforceConfig::validate`] and of candle.
    pub fn new<V>(
        config: &ReinforceConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        Self::with_bodies(config, config.network.bodies(), envs, backend, seeds)
    }

    /// Like `new`, with custom network bodies; the configured heads are added to them.
    ///
    /// # Errors
    /// Those of [`new`](Reinforce::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &ReinforceConfig,
        bodies: Bodies<'_>,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        let n = envs.num_envs();
        config.validate(n)?;
        let (space, action_space) = (envs.observation_space(), envs.action_space().clone());
        let action_width = action_space.width();
        let mut init = seeds.stream("init", 0);
        let (distribution, network) = (action_space.distribution(), (&config.network, bodies));
        let optimizer = &config.optimizer;
        let policy =
            ActorCriticPolicy::new(space, distribution, network, optimizer, backend, &mut init)?;
        Ok(Reinforce {
            episodes: Episodes::new(config.episodes, n, space.width(), action_width)?,
            rng: seeds.stream("agent", 0),
            actions: vec![D::Elem::default(); n * action_width],
            handed_out: HandedOut::new(action_space, n),
            unused: [vec![0.0; n], vec![0.0; n]],
            rows: EpisodeRows::default(),
            scratch: Scratch::default(),
            policy,
            config: config.clone(),
        })
    }

    /// The baseline's value estimates, `[n]`, of observations `[n, width]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
    pub fn values(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        self.policy.values_of(observations)
    }

    /// The loss on the complete episodes; also records the fraction of the variance of the returns that the baseline
    /// explains.
    pub(crate) fn loss(&mut self) -> Result<Loss<'_, (PolicyStats, f64)>> {
        let Reinforce { config, policy, episodes, rows, scratch, .. } = self;
        let Scratch { finals, baseline, returns, credits, grad } = scratch;
        episodes.gather(rows);
        let (n, m) = (rows.rewards.len(), rows.lengths.len());
        for (values, len) in [(&mut *finals, m), (&mut *baseline, n)] {
            values.clear();
            values.resize(len, 0.0);
        }
        if config.baseline {
            policy.values(&rows.finals, finals)?;
            policy.values(&rows.observations, baseline)?;
        }
        rows.returns(config.gamma, finals, returns)?;
        credits.clear();
        credits.extend_from_slice(returns);
        if config.returns == ReturnForm::WholeEpisode {
            let mut rest = &mut credits[..];
            for &length in &rows.lengths {
                let (episode, later) = rest.split_at_mut(length);
                episode.fill(episode[0]);
                rest = later;
            }
        }
        credits.iter_mut().zip(&*baseline).for_each(|(credit, b)| *credit -= b);
        if config.normalize_returns {
            normalise(credits);
        }
        // The loss is a mean over rows; the theorem has a sum over the rows of an episode, also for the entropy
        // bonus.
        let rows_an_episode = n as f32 / m as f32;
        credits.iter_mut().for_each(|credit| *credit *= rows_an_episode);

        let vf_coef = if config.baseline { config.vf_coef as f32 } else { 0.0 };
        let entropy = config.ent_coef as f32 * rows_an_episode;
        let coefficients = Coefficients { value: vf_coef, entropy };
        let distribution = policy.distribution().clone();
        let pass = policy.forward(&rows.observations)?;
        grad.resize(pass.output().len(), 0.0);
        let policy_rows = PolicyRows {
            actions: &rows.actions,
            // This loss uses no probability ratio.
            log_probs: baseline,
            advantages: credits,
            returns,
            values: baseline,
        };
        let stats = policy_gradient(&distribution, pass.output(), policy_rows, coefficients, grad)?;
        check_finite("the loss", stats.policy_loss + stats.value_loss)?;
        Ok(Loss::new(pass, grad, (stats, explained_variance(baseline, returns))))
    }
}

impl<D: Distribution> Policy for Reinforce<D> {
    type Obs = BoxSpace;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        self.policy.mode(observations, actions)?;
        self.handed_out.space().clip_rows(actions);
        Ok(())
    }

    fn describe(&self) -> Result<Option<String>> {
        self.policy.describe(self.handed_out.space())
    }
}

impl<D: Distribution> Agent for Reinforce<D> {
    fn name(&self) -> &'static str {
        "reinforce"
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [D::Elem]) -> Result<()> {
        let [log_probs, values] = &mut self.unused;
        self.policy.sample(observations, &mut self.rng, &mut self.actions, log_probs, values)?;
        check::len("actions", self.actions.len(), actions.len())?;
        actions.copy_from_slice(&self.actions);
        self.handed_out.space().clip_rows(actions);
        self.handed_out.note(actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, D::Elem>) -> Result<()> {
        let (taken, width) = (transitions.actions(), self.policy.network().input_len());
        let Reinforce { handed_out, policy, actions, .. } = self;
        // An action that the policy could not have taken has no gradient to learn by.
        let replaced = |env: usize, action: &[D::Elem]| {
            let observation = transitions.observations().chunks_exact(width).nth(env);
            policy.log_probs(observation.unwrap_or_default(), action, &mut [0.0])
        };
        handed_out.compare(taken, actions, |_, action| action, replaced)?;
        Ok(self.episodes.push(transitions, &self.actions)?)
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.episodes.is_full() {
            return Ok(());
        }
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let max_norm = self.config.max_grad_norm;
        let loss = self.loss()?;
        let (stats, explained_variance) = loss.stats;
        let norm = loss.step(learning_rate, max_norm)?;
        metrics.record("policy_loss", stats.policy_loss);
        metrics.record("entropy", stats.entropy);
        metrics.record("grad_norm", norm);
        metrics.record("learning_rate", learning_rate);
        if self.config.baseline {
            metrics.record("value_loss", stats.value_loss);
            metrics.record("explained_variance", explained_variance);
        }
        self.episodes.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.policy.save_weights(out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.policy.load_weights(from)?;
        // What another policy has gathered is not this one's to learn from.
        self.episodes.clear();
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.policy.save(out)?;
        out.put("reinforce", &(&self.rng, &self.episodes))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Decode everything before changing anything, so that an error leaves the agent unchanged.
        let learned = self.policy.loaded(from)?;
        let (rng, episodes): (Rng, Episodes<f32, D::Elem>) = from.get("reinforce")?;
        self.episodes.check_same_shape(&episodes)?;
        self.policy.replace(learned)?;
        (self.rng, self.episodes) = (rng, episodes);
        Ok(())
    }
}

impl<A: PolicySpace> AgentConfig<BoxSpace, A> for ReinforceConfig {
    type Agent = Reinforce<A::Distribution>;

    fn build<V>(&self, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self::Agent>
    where
        V: VecEnv<Obs = BoxSpace, Action = A>,
    {
        Reinforce::new(self, envs, backend, seeds)
    }
}

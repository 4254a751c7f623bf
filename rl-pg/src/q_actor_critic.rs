use rl_core::{
    Agent, BoxSpace, Discrete, End, Metrics, Policy, Progress, Result, Rng, Schedule, Sections,
    Seeds, Space, Transitions, VecEnv, check,
};
use rl_nets::{
    ActionMasks, AgentConfig, Backend, Body, Categorical, Chain, Distribution, Init, Leading,
    Learned, LogStd, Loss, Masked, Module, Network, NetworkConfig, OptimizerConfig,
    PolicyDescription, PolicyOutput, TdLoss, check_finite, policy_net, unmasked_width,
};
use serde::{Deserialize, Serialize};

/// The settings of [`QActorCritic`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QActorCriticConfig {
    /// The policy; 64-64 tanh, orthogonal initialisation with gain sqrt 2 (head: 0.01).
    pub actor: NetworkConfig,
    /// The action values; 64-64 tanh, orthogonal initialisation with gain sqrt 2 (head: 1).
    pub critic: NetworkConfig,
    /// The policy's learning rate; 3e-4.
    pub actor_learning_rate: Schedule,
    /// The action values' learning rate; 1e-3, larger because they must track the changing policy.
    pub critic_learning_rate: Schedule,
    /// The optimiser of each network; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// The maximum gradient norm of each network; 0.5. None: no clipping.
    #[serde(with = "rl_core::optional")]
    pub max_grad_norm: Option<f64>,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// Whether the mean of the action values under the policy is subtracted as a baseline, which lowers the variance
    /// without bias; yes.
    pub baseline: bool,
    /// The coefficient of the entropy bonus; 0.
    pub ent_coef: f64,
    /// Whether the last elements of an observation, one per action, are the action mask: 1 for allowed and 0 for
    /// forbidden actions; no. The mask is not an input of the networks.
    pub action_mask: bool,
}

impl Default for QActorCriticConfig {
    fn default() -> Self {
        QActorCriticConfig {
            actor: NetworkConfig::tanh(),
            critic: NetworkConfig::tanh(),
            actor_learning_rate: Schedule::constant(3e-4),
            critic_learning_rate: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam_with_eps(1e-5),
            max_grad_norm: Some(0.5),
            gamma: 0.99,
            baseline: true,
            ent_coef: 0.0,
            action_mask: false,
        }
    }
}

impl QActorCriticConfig {
    /// Checks all fields.
    ///
    /// ```
    /// use rl_core::Schedule;
    /// let rate = Schedule::constant(-1.0);
    /// let config = rl_pg::QActorCriticConfig { critic_learning_rate: rate, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "critic_learning_rate: expected a finite number >= 0, got -1");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        self.actor.validate().map_err(|error| error.within("actor"))?;
        self.critic.validate().map_err(|error| error.within("critic"))?;
        self.actor_learning_rate.validate("actor_learning_rate", check::non_negative)?;
        self.critic_learning_rate.validate("critic_learning_rate", check::non_negative)?;
        self.optimizer.validate()?;
        check::optional("max_grad_norm", self.max_grad_norm, check::positive)?;
        check::fraction("gamma", self.gamma)?;
        check::non_negative("ent_coef", self.ent_coef)
    }
}

/// The actor-critic with learned action values (Sutton et al., 2000), for discrete actions.
///
/// ```text
/// for each step (s, a, r, s') of every environment:
///     θ <- θ + alpha (Q(s, a) - Σ_b pi(b | s) Q(s, b)) ∇ log pi(a | s)
///     δ  = r + gamma Σ_b pi(b | s') Q(s', b) - Q(s, a)         Q(s', ·) = 0 where s' is terminal
///     w <- w + beta δ ∇Q(s, a)
/// ```
///
/// The value of the next state is the expectation over the policy's actions (van Seijen et al., 2009) in place of the
/// value of the sampled action. It has the same mean with less variance, and it is defined for the final observation
/// of a truncated episode, where no action follows.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_pg::{QActorCritic, QActorCriticConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = QActorCriticConfig::default();
/// let agent = QActorCritic::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(100))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct QActorCritic {
    config: QActorCriticConfig,
    distribution: Categorical,
    pub(crate) actor: Learned,
    pub(crate) critic: Learned,
    rng: Rng,
    /// The last step of every environment, kept between `observe` and `update`.
    step: StepRows,
    /// Scratch buffers: gradients of the two outputs, `[envs, actions]`, and the regression targets, `[envs]`.
    grads: [Vec<f32>; 2],
    targets: Vec<f32>,
}

/// One step of every environment.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepRows {
    pub(crate) observations: Vec<f32>,
    pub(crate) actions: Vec<u32>,
    pub(crate) rewards: Vec<f32>,
    /// 1, or 0 after a termination.
    pub(crate) goes_on: Vec<f32>,
    pub(crate) next_observations: Vec<f32>,
    /// The policy's logits in the next states.
    pub(crate) next_logits: Vec<f32>,
}

/// The policy's loss and the entropy.
type ActorLoss<'a> = Loss<'a, (f64, f64)>;

impl QActorCritic {
    /// An agent for `envs`, with the configured networks.
    ///
    /// # Errors
    /// Those of [`QActorCriticConfig::validate`] and of candle.
    pub fn new<V>(
        config: &QActorCriticConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        Self::with_bodies(config, (&config.actor, &config.critic), envs, backend, seeds)
    }

    /// Like `new`, with custom network bodies for the policy and for the action values.
    ///
    /// # Errors
    /// Those of [`new`](QActorCritic::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &QActorCriticConfig,
        (actor, critic): (&dyn Body, &dyn Body),
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        config.validate()?;
        let (space, n) = (envs.observation_space(), envs.action_space().n());
        let distribution = Categorical::new(n);
        let shape = match config.action_mask {
            false => space.shape().to_vec(),
            true => vec![unmasked_width(space, n)?],
        };
        let mut init = seeds.stream("init", 0);
        let mut learned = |name: &str, body: &dyn Body, gain: f64| -> Result<Learned> {
            let start = Init::Orthogonal { gain };
            let net = policy_net(body, &shape, &distribution, LogStd::Free(0.0), start)?;
            // Logits are masked. Action values are not: a forbidden action has probability zero.
            let net = match (config.action_mask, name) {
                (false, _) => net,
                (true, "actor") => {
                    Chain::new(space.width()).then_named("", Masked::new(net, n)?)?
                }
                (true, _) => {
                    let leading = Leading::new(space.width(), net.input_len())?;
                    Chain::new(space.width()).then(leading)?.then_named("", net)?
                }
            };
            let net = Network::new(net.named(name), backend, &mut init)?;
            Ok(Learned::new(net, &config.optimizer)?)
        };
        Ok(QActorCritic {
            actor: learned("actor", actor, 0.01)?,
            // Action values have the shape of logits.
            critic: learned("critic", critic, 1.0)?,
            rng: seeds.stream("agent", 0),
            step: StepRows::default(),
            grads: [Vec::new(), Vec::new()],
            targets: Vec::new(),
            distribution,
            config: config.clone(),
        })
    }

    /// The action values, `[n, actions]`, of observations `[n, width]`.
    ///
    /// # Errors
    /// An input whose length is not a multiple of the row width.
    pub fn action_values(&mut self, observations: &[f32]) -> Result<&[f32]> {
        Ok(self.critic.predict(observations)?)
    }

    /// The action masks of observations, where the settings say that there are some.
    fn masks<'a>(&self, observations: &'a [f32]) -> Result<Option<ActionMasks<'a>>> {
        let (width, n) = (self.actor.network().input_len(), self.distribution.params_len());
        let masks = || ActionMasks::new(observations.into(), width, n);
        self.config.action_mask.then(masks).transpose()
    }

    /// The policy's loss on `step`; records the loss and the entropy.
    pub(crate) fn actor_loss<'a>(&'a mut self, step: &'a StepRows) -> Result<ActorLoss<'a>> {
        let QActorCritic { config, distribution, actor, critic, grads: [grad, _], .. } = self;
        let n = distribution.params_len();
        let values = critic.predict(&step.observations)?;
        let pass = actor.forward(&step.observations)?;
        let logits = pass.output();
        grad.clear();
        grad.resize(logits.len(), 0.0);
        let share = 1.0 / step.actions.len() as f32;
        let (mut loss, mut entropy) = (0.0, 0.0);
        let rows = logits.chunks_exact(n).zip(values.chunks_exact(n));
        for (((logits, values), action), grad) in
            rows.zip(step.actions.chunks_exact(1)).zip(grad.chunks_exact_mut(n))
        {
            let mut credit = values[action[0] as usize];
            if config.baseline {
                credit -= distribution.expectation(logits, values);
            }
            distribution.add_log_prob_grad(logits, action, -credit * share, grad);
            distribution.add_entropy_grad(logits, -config.ent_coef as f32 * share, grad);
            loss -= f64::from(credit * distribution.log_prob(logits, action));
            entropy += f64::from(distribution.entropy(logits));
        }
        let count = step.actions.len() as f64;
        Ok(Loss::new(pass, grad, (loss / count, entropy / count)))
    }

    /// The mean squared temporal-difference error on `step`. It uses the policy before its own gradient step.
    fn critic_loss<'a>(&'a mut self, step: &'a StepRows) -> Result<Loss<'a, f64>> {
        let QActorCritic { config, distribution, critic, grads: [_, grad], targets, .. } = self;
        let n = distribution.params_len();
        let next_values = critic.predict(&step.next_observations)?;
        let next = step.next_logits.chunks_exact(n).zip(next_values.chunks_exact(n));
        targets.clear();
        targets.extend(next.zip(step.rewards.iter().zip(&step.goes_on)).map(
            |((logits, values), (reward, goes_on))| {
                let value = distribution.expectation(logits, values);
                reward + config.gamma as f32 * goes_on * value
            },
        ));
        let pass = critic.forward(&step.observations)?;
        grad.resize(pass.output().len(), 0.0);
        let loss = TdLoss::Mse.of_taken(pass.output(), &step.actions, targets, grad)?;
        check_finite("the loss", loss)?;
        Ok(Loss::new(pass, grad, loss))
    }
}

impl Policy for QActorCritic {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [u32]) -> Result<()> {
        self.masks(observations)?;
        let logits = self.actor.predict(observations)?;
        let n = self.distribution.params_len();
        check::len("actions", logits.len() / n, actions.len())?;
        for (logits, action) in logits.chunks_exact(n).zip(actions.chunks_exact_mut(1)) {
            self.distribution.mode(logits, action);
        }
        Ok(())
    }

    fn describe(&self) -> Result<Option<String>> {
        let output = PolicyOutput::Categorical { actions: self.distribution.params_len() };
        PolicyDescription::text_of::<f32>(self.actor.network(), Some(output), None)
    }
}

impl Agent for QActorCritic {
    fn name(&self) -> &'static str {
        "q-actor-critic"
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [u32]) -> Result<()> {
        self.masks(observations)?;
        let logits = self.actor.predict(observations)?;
        let n = self.distribution.params_len();
        check::len("actions", logits.len() / n, actions.len())?;
        for (logits, action) in logits.chunks_exact(n).zip(actions.chunks_exact_mut(1)) {
            self.distribution.sample(logits, &mut self.rng, action);
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, u32>) -> Result<()> {
        transitions.check(transitions.len())?;
        check::len("actions", transitions.len(), transitions.actions().len())?;
        let choices = Discrete::new(self.distribution.params_len() as u32)?;
        transitions.actions().chunks_exact(1).try_for_each(|a| choices.check("action", a))?;
        if let Some(masks) = self.masks(transitions.observations())? {
            masks.check_actions(transitions.actions())?;
            // Where the task goes on something must be allowed; after a termination nothing need be.
            for (i, end) in transitions.ends().iter().enumerate() {
                if *end != Some(End::Terminated) {
                    self.masks(transitions.next_observation(i))?;
                }
            }
        }
        let step = &mut self.step;
        step.observations.clear();
        step.observations.extend_from_slice(transitions.observations());
        step.actions.clear();
        step.actions.extend_from_slice(transitions.actions());
        step.rewards.clear();
        step.rewards.extend_from_slice(transitions.rewards());
        step.goes_on.clear();
        step.next_observations.clear();
        for (i, end) in transitions.ends().iter().enumerate() {
            step.goes_on.push(if *end == Some(End::Terminated) { 0.0 } else { 1.0 });
            step.next_observations.extend_from_slice(transitions.next_observation(i));
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if self.step.actions.is_empty() {
            return Ok(());
        }
        let mut step = std::mem::take(&mut self.step);
        let alpha = self.config.actor_learning_rate.at(progress.fraction());
        let beta = self.config.critic_learning_rate.at(progress.fraction());
        let max_norm = self.config.max_grad_norm;
        // Both losses use the policy and the action values before their gradient steps.
        step.next_logits.clear();
        step.next_logits.extend_from_slice(self.actor.predict(&step.next_observations)?);
        let loss = self.actor_loss(&step)?;
        let (policy_loss, entropy) = loss.stats;
        let norm = loss.step(alpha, max_norm)?;
        let loss = self.critic_loss(&step)?;
        let value_loss = loss.stats;
        loss.step(beta, max_norm)?;
        metrics.record("policy_loss", policy_loss);
        metrics.record("value_loss", value_loss);
        metrics.record("entropy", entropy);
        metrics.record("grad_norm", norm);
        metrics.record("actor_learning_rate", alpha);
        metrics.record("critic_learning_rate", beta);
        // The buffers are reused; their old contents are not.
        self.step = step;
        self.step.actions.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        Ok(self.actor.save_weights("policy", out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.actor.load_weights("policy", from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.actor.save("policy", out)?;
        self.critic.save("critic", out)?;
        out.put("q-actor-critic", &self.rng)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Decode everything before changing anything, so that an error leaves the agent unchanged.
        let actor = self.actor.loaded("policy", from)?;
        let critic = self.critic.loaded("critic", from)?;
        self.rng = from.get("q-actor-critic")?;
        (self.actor, self.critic) = (actor, critic);
        Ok(())
    }
}

impl AgentConfig<BoxSpace, Discrete> for QActorCriticConfig {
    type Agent = QActorCritic;

    fn build<V>(&self, envs: &V, backend: &Backend, seeds: Seeds) -> Result<QActorCritic>
    where
        V: VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        QActorCritic::new(self, envs, backend, seeds)
    }
}

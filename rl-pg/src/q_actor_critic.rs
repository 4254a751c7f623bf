use rl_core::{
    Agent, BoxSpace, Discrete, End, Metrics, Policy, Progress, Result, Rng, Schedule, Sections,
    Seeds, Space, Transitions, VecEnv, check,
};
use rl_nets::{
    Activation, Backend, Categorical, Distribution, Init, LogStd, Mlp, MlpConfig, Network,
    Optimizer, OptimizerConfig, PolicyNet, TdLoss, check_finite,
};
use serde::{Deserialize, Serialize};

/// The settings of [`QActorCritic`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QActorCriticConfig {
    /// The policy; 64-64 tanh, orthogonal with gain sqrt 2, the head with 0.01.
    pub actor: MlpConfig,
    /// The action values; 64-64 tanh, orthogonal with gain sqrt 2, the head with 1.
    pub critic: MlpConfig,
    /// The policy's step size; 3e-4.
    pub alpha: Schedule,
    /// The action values' step size; 1e-3: they have to keep up with the policy.
    pub beta: Schedule,
    /// The optimiser of each; Adam with eps 1e-5.
    pub optimizer: OptimizerConfig,
    /// Each gradient's largest norm; 0.5. None: no clipping.
    pub max_grad_norm: Option<f64>,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// Whether the mean of the action values under the policy is subtracted from the action's own, which
    /// changes nothing on average and lowers the variance; yes.
    pub baseline: bool,
    /// The weight of the entropy bonus; 0.
    pub ent_coef: f64,
}

impl Default for QActorCriticConfig {
    fn default() -> Self {
        let mlp = |gain| MlpConfig {
            activation: Activation::Tanh,
            init: Init::Orthogonal { gain: std::f64::consts::SQRT_2 },
            output_init: Init::Orthogonal { gain },
            ..MlpConfig::default()
        };
        QActorCriticConfig {
            actor: mlp(0.01),
            critic: mlp(1.0),
            alpha: Schedule::constant(3e-4),
            beta: Schedule::constant(1e-3),
            optimizer: OptimizerConfig::adam_with_eps(1e-5),
            max_grad_norm: Some(0.5),
            gamma: 0.99,
            baseline: true,
            ent_coef: 0.0,
        }
    }
}

impl QActorCriticConfig {
    /// Checks every field.
    ///
    /// ```
    /// use rl_core::Schedule;
    /// let config = rl_pg::QActorCriticConfig { beta: Schedule::constant(-1.0), ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "beta: expected a finite number >= 0, got -1");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.actor.validate()?;
        self.critic.validate()?;
        self.alpha.validate("alpha", check::non_negative)?;
        self.beta.validate("beta", check::non_negative)?;
        self.optimizer.validate()?;
        self.max_grad_norm.map_or(Ok(()), |norm| check::positive("max_grad_norm", norm))?;
        check::fraction("gamma", self.gamma)?;
        check::non_negative("ent_coef", self.ent_coef)
    }
}

/// The actor-critic with a learned action value (Sutton et al., 2000), for discrete actions.
///
/// ```text
/// for each step (s, a, r, s') of every environment:
///     θ <- θ + alpha (Q(s, a) - Σ_b pi(b | s) Q(s, b)) ∇ log pi(a | s)
///     δ  = r + gamma Σ_b pi(b | s') Q(s', b) - Q(s, a)         Q(s', ·) = 0 where s' is terminal
///     w <- w + beta δ ∇Q(s, a)
/// ```
///
/// The next state's value is the mean over the policy's choices (van Seijen et al., 2009) in place of the
/// value of the one that it happens to take: the same on average with less variance, and known for the
/// final observation of a truncated episode, where no action follows.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_pg::{QActorCritic, QActorCriticConfig};
/// let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = QActorCriticConfig::default();
/// let agent = QActorCritic::new(&config, &envs, &rl_nets::Backend::Fused, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(100))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct QActorCritic {
    config: QActorCriticConfig,
    distribution: Categorical,
    pub(crate) actor: Network,
    pub(crate) critic: Network,
    optimizers: [Optimizer; 2],
    rng: Rng,
    /// The newest step of every environment, between observing and learning.
    step: StepRows,
    /// Scratch: gradients of the two outputs, `[envs, actions]`.
    grads: [Vec<f32>; 2],
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
}

impl QActorCritic {
    /// An agent for `envs`.
    ///
    /// # Errors
    /// Those of [`QActorCriticConfig::validate`], and of candle.
    pub fn new<V>(
        config: &QActorCriticConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        config.validate()?;
        let (inputs, n) = (envs.observation_space().width(), envs.action_space().n());
        let distribution = Categorical::new(n);
        let mut init = seeds.stream("init", 0);
        let policy =
            PolicyNet::new("actor", inputs, &distribution, &config.actor, LogStd::Free(0.0))?;
        let actor = Network::new(policy, backend, &mut init)?;
        let values = Mlp::new("critic", inputs, n, &config.critic)?;
        let critic = Network::new(values, backend, &mut init)?;
        let optimizer = |network: &Network| network.optimizer(config.optimizer.clone());
        Ok(QActorCritic {
            optimizers: [optimizer(&actor)?, optimizer(&critic)?],
            rng: seeds.stream("agent", 0),
            step: StepRows::default(),
            grads: [Vec::new(), Vec::new()],
            distribution,
            actor,
            critic,
            config: config.clone(),
        })
    }

    /// The value of each action, `[n, actions]`, for observations `[n, width]`.
    ///
    /// # Errors
    /// An input that is not whole rows.
    pub fn action_values(&mut self, observations: &[f32]) -> Result<&[f32]> {
        Ok(self.critic.predict(observations)?)
    }

    /// Adds the policy's gradient on `step` to that of the actor; returns the loss and the entropy.
    pub(crate) fn actor_backward(&mut self, step: &StepRows) -> Result<(f64, f64)> {
        let n = self.distribution.params_len();
        let grad = &mut self.grads[0];
        let values = self.critic.predict(&step.observations)?;
        let logits = self.actor.forward(&step.observations)?;
        grad.clear();
        grad.resize(logits.len(), 0.0);
        let share = 1.0 / step.actions.len() as f32;
        let (mut loss, mut entropy) = (0.0, 0.0);
        let rows = logits.chunks_exact(n).zip(values.chunks_exact(n));
        for (((logits, values), action), grad) in
            rows.zip(step.actions.chunks_exact(1)).zip(grad.chunks_exact_mut(n))
        {
            let mut credit = values[action[0] as usize];
            if self.config.baseline {
                credit -= self.distribution.expectation(logits, values);
            }
            self.distribution.add_log_prob_grad(logits, action, -credit * share, grad);
            self.distribution.add_entropy_grad(logits, -self.config.ent_coef as f32 * share, grad);
            loss -= f64::from(credit * self.distribution.log_prob(logits, action));
            entropy += f64::from(self.distribution.entropy(logits));
        }
        self.actor.backward(&step.observations, grad, None)?;
        let count = step.actions.len() as f64;
        Ok((loss / count, entropy / count))
    }

    /// Adds the gradient of the squared temporal-difference error to that of the critic; returns its mean.
    fn critic_backward(&mut self, step: &StepRows) -> Result<f64> {
        let n = self.distribution.params_len();
        let grad = &mut self.grads[1];
        let next_logits = self.actor.predict(&step.next_observations)?;
        let next_values = self.critic.predict(&step.next_observations)?;
        let next = next_logits.chunks_exact(n).zip(next_values.chunks_exact(n));
        let targets: Vec<f32> = next
            .zip(step.rewards.iter().zip(&step.goes_on))
            .map(|((logits, values), (reward, goes_on))| {
                let value = self.distribution.expectation(logits, values);
                reward + self.config.gamma as f32 * goes_on * value
            })
            .collect();
        let values = self.critic.forward(&step.observations)?;
        grad.resize(values.len(), 0.0);
        let loss = TdLoss::Mse.of_taken(values, &step.actions, &targets, grad)?;
        check_finite("the loss", loss)?;
        self.critic.backward(&step.observations, grad, None)?;
        Ok(loss)
    }
}

impl Policy for QActorCritic {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [u32]) -> Result<()> {
        let logits = self.actor.predict(observations)?;
        let n = self.distribution.params_len();
        check::len("actions", logits.len() / n, actions.len())?;
        for (logits, action) in logits.chunks_exact(n).zip(actions.chunks_exact_mut(1)) {
            self.distribution.mode(logits, action);
        }
        Ok(())
    }
}

impl Agent for QActorCritic {
    fn name(&self) -> &'static str {
        "q-actor-critic"
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [u32]) -> Result<()> {
        let logits = self.actor.predict(observations)?;
        let n = self.distribution.params_len();
        check::len("actions", logits.len() / n, actions.len())?;
        for (logits, action) in logits.chunks_exact(n).zip(actions.chunks_exact_mut(1)) {
            self.distribution.sample(logits, &mut self.rng, action);
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, u32>) -> Result<()> {
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
        let step = std::mem::take(&mut self.step);
        let alpha = self.config.alpha.at(progress.fraction());
        let beta = self.config.beta.at(progress.fraction());
        let max_norm = self.config.max_grad_norm;
        let (policy_loss, entropy) = self.actor_backward(&step)?;
        let value_loss = self.critic_backward(&step)?;
        let [actor, critic] = &mut self.optimizers;
        let norm = self.actor.step(actor, alpha, max_norm)?;
        self.critic.step(critic, beta, max_norm)?;
        metrics.record("policy_loss", policy_loss);
        metrics.record("value_loss", value_loss);
        metrics.record("entropy", entropy);
        metrics.record("grad_norm", norm);
        metrics.record("alpha", alpha);
        metrics.record("beta", beta);
        // The memory is used again; what was in it is not.
        self.step = step;
        self.step.actions.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put_file("policy.safetensors", self.actor.save()?);
        Ok(())
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.actor.load(from.file("policy.safetensors")?)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put_file("critic.safetensors", self.critic.save()?);
        out.put_file("actor_optimizer.bin", self.optimizers[0].save()?);
        out.put_file("critic_optimizer.bin", self.optimizers[1].save()?);
        out.put("q-actor-critic", &self.rng)
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything into copies first: what fails here has changed nothing.
        let (mut actor, mut critic) = (self.actor.twin(), self.critic.twin());
        let mut optimizers = self.optimizers.clone();
        actor.load(from.file("policy.safetensors")?)?;
        critic.load(from.file("critic.safetensors")?)?;
        optimizers[0].load(from.file("actor_optimizer.bin")?)?;
        optimizers[1].load(from.file("critic_optimizer.bin")?)?;
        self.rng = from.get("q-actor-critic")?;
        (self.actor, self.critic, self.optimizers) = (actor, critic, optimizers);
        Ok(())
    }
}

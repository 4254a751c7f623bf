use crate::PpoConfig;
use crate::collector::Collector;
use rl_core::{
    Agent, BoxSpace, Discrete, Metrics, Policy, Progress, Result, Rng, Sections, Seeds, Space,
    Transitions, VecEnv,
};
use rl_nets::{
    ActorCritic, ActorCriticPolicy, Backend, Categorical, Coefficients, DiagGaussian, Distribution,
    Error, Optimizer, PolicyRows, ppo_clip,
};
use rl_replay::{Minibatch, Rollout, explained_variance, normalise, shuffle};

/// Proximal policy optimisation with a clipped objective (Schulman et al., 2017), for discrete and
/// continuous actions.
///
/// ```text
/// for each rollout of n_steps steps in every environment:
///     advantages A and returns R by generalised advantage estimation
///     n_epochs times, over shuffled minibatches:
///         ratio = pi(a | s) / pi_old(a | s)
///         one gradient step on  -min(ratio A, clip(ratio, 1 ± c) A) + vf_coef (V - R)² - ent_coef H
///         (the epochs end early where the policy has moved by more than 1.5 target_kl)
/// ```
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_ppo::{Ppo, PpoConfig};
/// let env = || TimeLimit::new(rl_envs::Pendulum::default(), 200);
/// let envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
/// let config = PpoConfig { n_steps: 64, ..PpoConfig::default() };
/// let agent = Ppo::continuous(&config, &envs, &rl_nets::Backend::Fused, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(256))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Ppo<D: Distribution> {
    config: PpoConfig,
    policy: ActorCriticPolicy<D>,
    optimizer: Optimizer,
    collector: Collector<D>,
    rng: Rng,
    /// Scratch: the order of rows, a minibatch, and the gradient of the network's output.
    order: Vec<u32>,
    minibatch: Minibatch<f32, D::Elem>,
    grad: Vec<f32>,
}

impl Ppo<Categorical> {
    /// An agent for environments with discrete actions.
    ///
    /// # Errors
    /// Those of [`PpoConfig::validate`], and of candle.
    pub fn discrete<V>(
        config: &PpoConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        let n = envs.action_space().n();
        Self::new(config, envs, Categorical::new(n), (n, None), backend, seeds)
    }
}

impl Ppo<DiagGaussian> {
    /// An agent for environments with continuous actions. Actions outside the bounds are clipped on
    /// their way to the environment; the policy learns from what it proposed.
    ///
    /// # Errors
    /// Those of [`PpoConfig::validate`], and of candle.
    pub fn continuous<V>(
        config: &PpoConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        let (d, log_std) = (envs.action_space().width(), config.log_std_init as f32);
        Self::new(config, envs, DiagGaussian::new(d), (d, Some(log_std)), backend, seeds)
    }
}

impl<D: Distribution> Ppo<D> {
    fn new<V>(
        config: &PpoConfig,
        envs: &V,
        distribution: D,
        (outputs, log_std): (usize, Option<f32>),
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = D::Action>,
    {
        config.validate(envs.num_envs())?;
        let inputs = envs.observation_space().width();
        let net = ActorCritic::new(inputs, outputs, log_std, &config.actor, &config.critic)?;
        let mut init = seeds.stream("init", 0);
        let policy = ActorCriticPolicy::new(net, distribution, backend, &mut init)?;
        let (space, actions) = (envs.observation_space(), envs.action_space().clone());
        let collector = Collector::new(config.n_steps, envs.num_envs(), space, actions)?;
        Ok(Ppo {
            optimizer: policy.network().optimizer(config.optimizer.clone())?,
            order: (0..collector.rollout.capacity() as u32).collect(),
            minibatch: Minibatch::default(),
            grad: Vec::new(),
            rng: seeds.stream("agent", 0),
            policy,
            collector,
            config: config.clone(),
        })
    }

    /// The values of observations `[n, width]`, `[n]`.
    ///
    /// # Errors
    /// An input that is not whole rows.
    pub fn values(&mut self, observations: &[f32]) -> Result<Vec<f32>> {
        let mut values = vec![0.0; observations.len() / self.policy.network().input_len().max(1)];
        self.policy.values(observations, &mut values)?;
        Ok(values)
    }

    /// One gradient step on the rows `indices` of the order; says whether it was taken, which it is not
    /// where the policy has already moved too far.
    fn gradient_step(
        &mut self,
        indices: std::ops::Range<usize>,
        (learning_rate, clip_range): (f64, f64),
        metrics: &mut Metrics,
    ) -> Result<bool> {
        let Ppo { config, policy, minibatch, grad, .. } = self;
        self.collector.rollout.gather(&self.order[indices], minibatch);
        if config.normalize_advantage {
            normalise(&mut minibatch.advantages);
        }
        let distribution = policy.distribution().clone();
        let output = policy.network_mut().forward(&minibatch.observations)?;
        grad.resize(output.len(), 0.0);
        let rows = PolicyRows {
            actions: &minibatch.actions,
            log_probs: &minibatch.log_probs,
            advantages: &minibatch.advantages,
            returns: &minibatch.returns,
            values: &minibatch.values,
        };
        let coefficients =
            Coefficients { value: config.vf_coef as f32, entropy: config.ent_coef as f32 };
        let clip_value = config.clip_range_value.map(|c| c as f32);
        let clip = clip_range as f32;
        let stats = ppo_clip(&distribution, output, rows, clip, clip_value, coefficients, grad)?;
        let loss = stats.policy_loss + stats.value_loss;
        if !loss.is_finite() {
            return Err(Error::NotFinite { what: "the loss", value: loss }.into());
        }
        metrics.record("policy_loss", stats.policy_loss);
        metrics.record("value_loss", stats.value_loss);
        metrics.record("entropy", stats.entropy);
        metrics.record("approx_kl", stats.approx_kl);
        metrics.record("clip_fraction", stats.clip_fraction);
        if config.target_kl.is_some_and(|target| stats.approx_kl > 1.5 * target) {
            return Ok(false);
        }
        let network = policy.network_mut();
        network.backward(&minibatch.observations, grad, None)?;
        let norm = network.step(&mut self.optimizer, learning_rate, config.max_grad_norm)?;
        metrics.record("grad_norm", norm);
        Ok(true)
    }
}

impl<D: Distribution> Policy for Ppo<D> {
    type Obs = BoxSpace;
    type Action = D::Action;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [D::Elem]) -> Result<()> {
        self.policy.mode(observations, actions)?;
        self.collector.clip(actions);
        Ok(())
    }
}

impl<D: Distribution> Agent for Ppo<D> {
    fn name(&self) -> &'static str {
        "ppo"
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [D::Elem]) -> Result<()> {
        self.collector.act(&mut self.policy, observations, &mut self.rng, actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, D::Elem>) -> Result<()> {
        self.collector.observe(&mut self.policy, transitions)?;
        if self.collector.rollout.is_full() {
            let (gamma, gae_lambda) = (self.config.gamma, self.config.gae_lambda);
            self.collector.finish(&mut self.policy, transitions, gamma, gae_lambda)?;
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        if !self.collector.rollout.is_full() {
            return Ok(());
        }
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        let clip_range = self.config.clip_range.at(progress.fraction());
        let (n, mut taken) = (self.order.len(), 0u32);
        'epochs: for _ in 0..self.config.n_epochs {
            shuffle(&mut self.order, &mut self.rng);
            for start in (0..n).step_by(self.config.batch_size) {
                let rows = start..(start + self.config.batch_size).min(n);
                if !self.gradient_step(rows, (learning_rate, clip_range), metrics)? {
                    break 'epochs;
                }
                taken += 1;
            }
        }
        let rollout = &mut self.collector.rollout;
        metrics
            .record("explained_variance", explained_variance(rollout.values(), rollout.returns()));
        metrics.record("gradient_steps", f64::from(taken));
        metrics.record("learning_rate", learning_rate);
        rollout.clear();
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put_file("policy.safetensors", self.policy.network().save()?);
        Ok(())
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.policy.network_mut().load(from.file("policy.safetensors")?)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put_file("optimizer.bin", self.optimizer.save()?);
        out.put("ppo", &(&self.rng, &self.order, &self.collector.rollout))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything into copies first: what fails here has changed nothing.
        let mut policy = self.policy.twin();
        policy.network_mut().load(from.file("policy.safetensors")?)?;
        let mut optimizer = self.optimizer.clone();
        optimizer.load(from.file("optimizer.bin")?)?;
        let (rng, order, rollout): (Rng, Vec<u32>, Rollout<f32, D::Elem>) = from.get("ppo")?;
        self.collector.rollout.check_same_shape(&rollout)?;
        rl_core::check::len("order of rows", self.order.len(), order.len())?;
        (self.policy, self.optimizer, self.rng) = (policy, optimizer, rng);
        (self.order, self.collector.rollout) = (order, rollout);
        Ok(())
    }
}

use crate::DqnConfig;
use crate::values::{argmax_rows, td_targets};
use rl_core::{
    Agent, BoxSpace, Discrete, Metrics, Policy, Progress, Result, Rng, Sections, Seeds, Space,
    Transitions, check,
};
use rl_nets::{Backend, Mlp, Module, Network, Optimizer, check_finite};
use rl_replay::{Batch, Horizon, ReplayRing};

/// Deep Q-learning with experience replay and a fixed target network (Mnih et al., 2015), Double
/// DQN by one field (van Hasselt et al., 2016).
///
/// ```text
/// initialise replay memory D, action-value network Q, target network Q' = Q
/// for each step:
///     with probability epsilon act at random, otherwise take argmax_a Q(s, a)
///     store (s, a, r, s', how it ended) in D
///     every train_freq steps, gradient_steps times:
///         sample a minibatch from D
///         y = r                                    where s' is terminal
///         y = r + gamma max_a' Q'(s', a')          otherwise; truncation is no termination
///         y = r + gamma Q'(s', argmax_a' Q(s', a'))           with double_q
///         one gradient step on loss(Q(s, a) - y)
///     every target_update_interval steps:
///         Q' <- Q' + tau (Q - Q')
/// ```
///
/// Actions are discrete; an environment with others does not compile. This does:
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_dqn::{Dqn, DqnConfig};
/// use rl_envs::CartPole;
///
/// let env = TimeLimit::new(CartPole::default(), 500)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Dqn::for_envs(&DqnConfig::default(), &envs, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(200))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// and this, the same with a pendulum, does not:
///
/// ```compile_fail
/// use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig};
/// use rl_dqn::{Dqn, DqnConfig};
/// use rl_envs::Pendulum;
///
/// let env = TimeLimit::new(Pendulum::default(), 200)?;
/// let envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let agent = Dqn::for_envs(&DqnConfig::default(), &envs, Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(200))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Dqn {
    config: DqnConfig,
    actions: Discrete,
    online: Network,
    target: Network,
    optimizer: Optimizer,
    replay: ReplayRing<f32, u32>,
    batch: Batch<f32, u32>,
    rng: Rng,
    /// Environment steps observed.
    steps: u64,
    /// Environment steps up to which learning has been done.
    learned: u64,
    /// Scratch: the regression targets `[batch]`, the gradient of `Q(s, ·)` `[batch, actions]`, Double
    /// DQN's choices `[batch]`, and greedy actions `[envs]`.
    targets: Vec<f32>,
    grad: Vec<f32>,
    chosen: Vec<u32>,
    greedy: Vec<u32>,
}

impl Dqn {
    /// An agent for `envs`, with a perceptron on the fused path.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`].
    pub fn for_envs<V>(config: &DqnConfig, envs: &V, seeds: Seeds) -> Result<Self>
    where
        V: rl_core::VecEnv<Obs = BoxSpace, Action = Discrete>,
    {
        let width = envs.observation_space().width();
        let spaces = (width, *envs.action_space(), envs.num_envs());
        Self::new(config, spaces, &Backend::Fused, seeds)
    }

    /// An agent for observations of `width` numbers and `actions` actions in `num_envs`
    /// environments, with a perceptron on the given backend.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`], and of candle.
    pub fn new(
        config: &DqnConfig,
        (width, actions, num_envs): (usize, Discrete, usize),
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self> {
        config.validate()?;
        let q = Mlp::new("q", width, actions.n(), &config.network)?;
        Self::with_network(config, q, (actions, num_envs), backend, seeds)
    }

    /// An agent with a network of your own, from observations to one value an action.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`], a network with another number of outputs, and those of candle.
    pub fn with_network(
        config: &DqnConfig,
        q: impl Module + 'static,
        (actions, num_envs): (Discrete, usize),
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self> {
        config.validate()?;
        check::len("outputs of the Q network", actions.n(), q.output_len())?;
        let width = q.input_len();
        let online = Network::new(q, backend, &mut seeds.stream("init", 0))?;
        Ok(Dqn {
            target: online.twin(),
            optimizer: online.optimizer(config.optimizer.clone())?,
            online,
            replay: ReplayRing::new(config.buffer_size, num_envs, width, 1)?,
            batch: Batch::new(config.batch_size, width, 1),
            rng: seeds.stream("agent", 0),
            steps: 0,
            learned: 0,
            targets: vec![0.0; config.batch_size],
            grad: vec![0.0; config.batch_size * actions.n()],
            chosen: vec![0; config.batch_size],
            greedy: vec![0; num_envs],
            actions,
            config: config.clone(),
        })
    }

    /// The online network.
    pub fn network(&self) -> &Network {
        &self.online
    }

    /// The value of each action, `[n, actions]`, for observations `[n, width]`.
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn action_values(&mut self, observations: &[f32]) -> Result<&[f32]> {
        Ok(self.online.predict(observations)?)
    }

    /// One gradient step on a sampled minibatch.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn gradient_step(&mut self, learning_rate: f64, metrics: &mut Metrics) -> Result<()> {
        let Dqn { config, batch, targets, grad, chosen, .. } = self;
        let n = self.actions.n();
        let horizon = Horizon { n_step: config.n_step, gamma: config.gamma };
        self.replay.sample(&mut self.rng, horizon, batch)?;

        if config.double_q {
            argmax_rows(self.online.predict(batch.next_observations())?, n, chosen)?;
        }
        let next = self.target.predict(batch.next_observations())?;
        let chosen = config.double_q.then_some(&chosen[..]);
        td_targets((batch.rewards(), batch.discounts()), next, chosen, targets);

        let q = self.online.forward(batch.observations())?;
        let loss = config.loss.of_taken(q, batch.actions(), targets, grad)?;
        check_finite("the loss", loss)?;
        let value = q.iter().map(|&q| f64::from(q)).sum::<f64>() / q.len() as f64;
        self.online.backward(batch.observations(), grad, None)?;
        let norm = self.online.step(&mut self.optimizer, learning_rate, config.max_grad_norm)?;
        metrics.record("loss", loss);
        metrics.record("q_value", value);
        metrics.record("grad_norm", norm);
        Ok(())
    }
}

impl Policy for Dqn {
    type Obs = BoxSpace;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [u32]) -> Result<()> {
        argmax_rows(self.online.predict(observations)?, self.actions.n(), actions)
    }
}

impl Agent for Dqn {
    fn name(&self) -> &'static str {
        "dqn"
    }

    fn act(&mut self, observations: &[f32], progress: Progress, actions: &mut [u32]) -> Result<()> {
        let epsilon = self.config.epsilon.at(progress.fraction());
        // Drawn first, so that a step in which every environment explores needs no network.
        const GREEDY: u32 = u32::MAX;
        for action in actions.iter_mut() {
            let explore = self.rng.uniform(0.0, 1.0) < epsilon;
            *action = if explore { self.rng.below(self.actions.n()) as u32 } else { GREEDY };
        }
        if actions.contains(&GREEDY) {
            let best = &mut self.greedy;
            argmax_rows(self.online.predict(observations)?, self.actions.n(), best)?;
            for (action, best) in actions.iter_mut().zip(best) {
                if *action == GREEDY {
                    *action = *best;
                }
            }
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, u32>) -> Result<()> {
        self.replay.push(transitions)?;
        self.steps += transitions.len() as u64;
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let (before, now) = (self.learned, self.steps);
        self.learned = now;
        let times = |every: u64| now / every - before / every;
        for _ in 0..times(self.config.target_update_interval) {
            self.target.move_towards(&self.online, self.config.tau)?;
        }
        if now < self.config.learning_starts {
            return Ok(());
        }
        let learning_rate = self.config.learning_rate.at(progress.fraction());
        for _ in 0..times(self.config.train_freq) * self.config.gradient_steps {
            self.gradient_step(learning_rate, metrics)?;
        }
        metrics.record("epsilon", self.config.epsilon.at(progress.fraction()));
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put_file("policy.safetensors", self.online.save()?);
        Ok(())
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.online.load(from.file("policy.safetensors")?)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put_file("target.safetensors", self.target.save()?);
        out.put_file("optimizer.bin", self.optimizer.save()?);
        out.put_file("replay.bin", self.replay.save()?);
        out.put("dqn", &(&self.rng, self.steps, self.learned))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything into copies first: what fails here has changed nothing.
        let (mut online, mut target) = (self.online.twin(), self.target.twin());
        let mut optimizer = self.optimizer.clone();
        online.load(from.file("policy.safetensors")?)?;
        target.load(from.file("target.safetensors")?)?;
        optimizer.load(from.file("optimizer.bin")?)?;
        let (rng, steps, learned) = from.get("dqn")?;
        self.replay.load(from.file("replay.bin")?)?;
        (self.online, self.target, self.optimizer) = (online, target, optimizer);
        (self.rng, self.steps, self.learned) = (rng, steps, learned);
        Ok(())
    }
}

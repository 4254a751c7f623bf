use crate::DqnConfig;
use crate::values::{argmax_rows, td_targets};
use rl_core::{
    Agent, BoxSpace, Discrete, Metrics, Policy, Progress, Result, Rng, Sections, Seeds,
    Transitions, VecEnv, check,
};
use rl_nets::{
    Backend, Body, Init, InputSpace, Learned, Linear, Module, Network, check_finite, with_head,
};
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
/// let agent = Dqn::new(&DqnConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
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
/// let agent = Dqn::new(&DqnConfig::default(), &envs, &rl_nets::Backend::cpu(), Seeds::new(0))?;
/// Trainer::new(envs, agent, TrainerConfig::new(200))?.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// Observations are numbers or images of bytes (`O`).
#[derive(Debug)]
pub struct Dqn<O: InputSpace = BoxSpace> {
    config: DqnConfig,
    actions: Discrete,
    /// The action values, with their target.
    q: Learned,
    replay: ReplayRing<O::Elem, u32>,
    batch: Batch<O::Elem, u32>,
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

impl<O: InputSpace> Dqn<O> {
    /// An agent for `envs`, with the network that the settings describe.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`], observations that the network cannot read, and those of candle.
    pub fn new<V>(config: &DqnConfig, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        Self::with_body(config, &config.network, envs, backend, seeds)
    }

    /// The same with a body of your own, which gets a head with one value an action.
    ///
    /// # Errors
    /// Those of [`new`](Dqn::new) and of the body.
    pub fn with_body<V>(
        config: &DqnConfig,
        body: &dyn Body,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        config.validate()?;
        let (shape, n) = (envs.observation_space().input_shape(), envs.action_space().n());
        let init = body.output_init().unwrap_or(Init::Pytorch);
        let q = with_head(body, shape, |features| Ok(Linear::new(features, n)?.with_init(init)))?;
        Self::with_network(config, q.named("q"), envs, backend, seeds)
    }

    /// The same with a whole network of your own, from observations to one value an action.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`], a network with another number of inputs or outputs, and those of candle.
    pub fn with_network<V>(
        config: &DqnConfig,
        q: impl Module + 'static,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        config.validate()?;
        let (space, actions, num_envs) =
            (envs.observation_space(), *envs.action_space(), envs.num_envs());
        let width = space.width();
        check::len("outputs of the Q network", actions.n(), q.output_len())?;
        let network = Network::for_space(q, space, backend, &mut seeds.stream("init", 0))?;
        Ok(Dqn {
            q: Learned::new(network, &config.optimizer)?.with_target()?,
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
        self.q.network()
    }

    /// The value of each action, `[n, actions]`, for observations `[n, width]`.
    ///
    /// # Errors
    /// Those of [`Network::predict`].
    pub fn action_values(&mut self, observations: &[O::Elem]) -> Result<&[f32]> {
        self.q.resample(None);
        Ok(self.q.predict(observations)?)
    }

    /// One gradient step on a sampled minibatch.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn gradient_step(&mut self, learning_rate: f64, metrics: &mut Metrics) -> Result<()> {
        let Dqn { config, q, batch, targets, grad, chosen, rng, .. } = self;
        let n = self.actions.n();
        let horizon = Horizon { n_step: config.n_step, gamma: config.gamma };
        self.replay.sample(rng, horizon, batch)?;
        q.resample(Some(rng));

        if config.double_q {
            argmax_rows(q.predict(batch.next_observations())?, n, chosen)?;
        }
        let next = q.predict_target(batch.next_observations())?;
        let chosen = config.double_q.then_some(&chosen[..]);
        td_targets((batch.rewards(), batch.discounts()), next, chosen, targets);

        let pass = q.forward(batch.observations())?;
        let values = pass.output();
        let loss = config.loss.of_taken(values, batch.actions(), targets, grad)?;
        check_finite("the loss", loss)?;
        let value = values.iter().map(|&q| f64::from(q)).sum::<f64>() / values.len() as f64;
        let norm = pass.step(grad, learning_rate, config.max_grad_norm)?;
        metrics.record("loss", loss);
        metrics.record("q_value", value);
        metrics.record("grad_norm", norm);
        Ok(())
    }
}

impl<O: InputSpace> Policy for Dqn<O> {
    type Obs = O;
    type Action = Discrete;

    fn act_greedily(&mut self, observations: &[O::Elem], actions: &mut [u32]) -> Result<()> {
        self.q.resample(None);
        argmax_rows(self.q.predict(observations)?, self.actions.n(), actions)
    }
}

impl<O: InputSpace> Agent for Dqn<O> {
    fn name(&self) -> &'static str {
        "dqn"
    }

    fn act(
        &mut self,
        observations: &[O::Elem],
        progress: Progress,
        actions: &mut [u32],
    ) -> Result<()> {
        let epsilon = self.config.epsilon.at(progress.fraction());
        // Drawn first, so that a step in which every environment explores needs no network.
        const GREEDY: u32 = u32::MAX;
        for action in actions.iter_mut() {
            let explore = self.rng.uniform(0.0, 1.0) < epsilon;
            *action = if explore { self.rng.below(self.actions.n()) as u32 } else { GREEDY };
        }
        if actions.contains(&GREEDY) {
            let best = &mut self.greedy;
            self.q.resample(Some(&mut self.rng));
            argmax_rows(self.q.predict(observations)?, self.actions.n(), best)?;
            for (action, best) in actions.iter_mut().zip(best) {
                if *action == GREEDY {
                    *action = *best;
                }
            }
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, O::Elem, u32>) -> Result<()> {
        self.replay.push(transitions)?;
        self.steps += transitions.len() as u64;
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let (before, now) = (self.learned, self.steps);
        self.learned = now;
        let times = |every: u64| now / every - before / every;
        for _ in 0..times(self.config.target_update_interval) {
            self.q.track(self.config.tau)?;
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
        Ok(self.q.save_weights("policy", out)?)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        Ok(self.q.load_weights("policy", from)?)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.q.save("policy", out)?;
        out.put_file("replay.bin", self.replay.save()?);
        out.put("dqn", &(&self.rng, self.steps, self.learned))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything into copies first: what fails here has changed nothing.
        let q = self.q.loaded("policy", from)?;
        let (rng, steps, learned) = from.get("dqn")?;
        self.replay.load(from.file("replay.bin")?)?;
        self.q = q;
        (self.rng, self.steps, self.learned) = (rng, steps, learned);
        Ok(())
    }
}

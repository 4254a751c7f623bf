use crate::head::best_actions;
use crate::output_layers::OutputLayers;
use crate::{DqnConfig, Head, TdRows};
use rl_core::{
    Agent, BoxSpace, Discrete, End, Metrics, Policy, Progress, Result, Rng, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_nets::{
    ActionMasks, AgentConfig, Backend, Body, Chain, Init, InputSpace, Leading, Learned, Module,
    Network, PolicyDescription, RowElement, check_finite, unmasked_width,
};
use rl_replay::{Batch, Horizon, Replay};

/// Deep Q-learning with experience replay and a fixed target network (Mnih et al., 2015), Double
/// DQN by one field (van Hasselt et al., 2016).
///
/// ```text
/// initialise replay memory D, action-value network Q, target network Q' = Q
/// for each step:
///     with probability epsilon act at random, otherwise take argmax_a Q(s, a)
///     store (s, a, r, s', how it ended) in D
///     every target_update_interval steps:
///         Q' <- Q' + tau (Q - Q')
///     every train_freq steps, gradient_steps times:
///         sample a minibatch from D
///         a' = argmax_a' Q'(s', a'), with double_q argmax_a' Q(s', a')
///         y = r + gamma Q'(s', a')                 y = r where s' is terminal; truncation is no termination
///         one gradient step on loss(Q(s, a) - y), or on whatever the head makes of the two
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
/// Observations are numbers or images of bytes (`O`). What the network's output means is a [`Head`]'s matter.
#[derive(Debug)]
pub struct Dqn<O: InputSpace = BoxSpace> {
    config: DqnConfig,
    actions: Discrete,
    width: usize,
    /// The action values, with their target.
    q: Learned,
    head: Box<dyn Head>,
    replay: Replay<O::Elem, u32>,
    batch: Batch<O::Elem, u32>,
    rng: Rng,
    /// Environment steps observed.
    steps: u64,
    /// Environment steps up to which learning has been done.
    learned: u64,
    scratch: Scratch,
}

/// Memory that is used again.
#[derive(Debug)]
struct Scratch {
    /// Greedy actions, `[envs]`, and what is chosen in the observations that followed, `[batch]`.
    greedy: Vec<u32>,
    next_actions: Vec<u32>,
    /// Action values, `[n, actions]`.
    values: Vec<f32>,
    /// The gradient of the output, `[batch, actions * atoms]`, and the errors, `[batch]`.
    grad: Vec<f32>,
    errors: Vec<f32>,
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

    /// The same with a body of your own, on which the agent puts the output layer that its head asks for.
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
        Self::with_head(config, (body, config.head()?), envs, backend, seeds)
    }

    /// The same with a body and a head of your own; the settings' `head` and `loss` are not used.
    ///
    /// # Errors
    /// Those of [`new`](Dqn::new) and of the body.
    pub fn with_head<V>(
        config: &DqnConfig,
        (body, head): (&dyn Body, Box<dyn Head>),
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        config.validate()?;
        let (space, n) = (envs.observation_space(), envs.action_space().n());
        let output = OutputLayers {
            actions: n,
            atoms: head.atoms(),
            hidden: &config.output_hidden,
            network: &config.network,
            dueling: config.dueling,
            noisy: config.noisy,
            init: body.output_init().unwrap_or(Init::Pytorch),
        };
        let q = match config.action_mask {
            false => output.on(body, space.input_shape())?,
            true => {
                let (width, unmasked) = (space.width(), unmasked_width(space, n)?);
                let q = output.on(body, &[unmasked])?;
                Chain::new(width).then(Leading::new(width, unmasked)?)?.then_named("", q)?
            }
        };
        Self::with_parts(config, (q.named("q"), head), envs, backend, seeds)
    }

    /// The same with a whole network of your own, from observations to what the settings' head reads.
    ///
    /// # Errors
    /// Those of [`DqnConfig::validate`], a network with another number of inputs or outputs, and those of candle;
    /// settings that say `output_hidden`, `dueling` or `noisy`, which the network itself decides.
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
        config.check_network_decides()?;
        Self::with_parts(config, (q, config.head()?), envs, backend, seeds)
    }

    /// The same with settings that have been validated.
    fn with_parts<V>(
        config: &DqnConfig,
        (q, head): (impl Module + 'static, Box<dyn Head>),
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        let (space, actions, num_envs) =
            (envs.observation_space(), *envs.action_space(), envs.num_envs());
        let (width, outputs) = (space.width(), actions.n() * head.atoms());
        check::len("outputs of the Q network", outputs, q.output_len())?;
        if config.action_mask {
            unmasked_width(space, actions.n())?;
        }
        let network = Network::for_space(q, space, backend, &mut seeds.stream("init", 0))?;
        Ok(Dqn {
            q: Learned::new(network, &config.optimizer)?.with_target()?,
            replay: config.replay(num_envs, width)?,
            batch: Batch::new(config.batch_size, width, 1)?,
            rng: seeds.stream("agent", 0),
            steps: 0,
            learned: 0,
            scratch: Scratch {
                greedy: vec![0; num_envs],
                next_actions: vec![0; config.batch_size],
                values: Vec::new(),
                grad: vec![0.0; config.batch_size * outputs],
                errors: vec![0.0; config.batch_size],
            },
            head,
            actions,
            width,
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
        let (output, values) = (self.q.predict(observations)?, &mut self.scratch.values);
        values.resize(output.len() / self.head.atoms(), 0.0);
        self.head.values(output, values);
        Ok(values)
    }

    /// Stores transitions of whatever origin (offline data, demonstrations), as many as there are environments; see
    /// [`StepBatch::of_transitions`](rl_core::StepBatch::of_transitions). They do not count as steps of the run, and
    /// n-step returns do not run from them into the agent's own, nor the other way.
    ///
    /// # Errors
    /// Transitions that do not fit; an action outside the space or forbidden by the action mask.
    pub fn remember(&mut self, transitions: &Transitions<'_, O::Elem, u32>) -> Result<()> {
        self.check_actions(transitions)?;
        Ok(self.replay.push_foreign(transitions)?)
    }

    /// Checks that the actions of transitions are ones that the agent could have taken.
    fn check_actions(&self, transitions: &Transitions<'_, O::Elem, u32>) -> Result<()> {
        let taken = transitions.actions();
        taken.chunks_exact(1).try_for_each(|action| self.actions.check("action", action))?;
        if let Some(masks) = self.masks(transitions.observations())? {
            masks.check_actions(taken)?;
            // Where the task goes on something must be allowed; after a termination nothing need be.
            for (i, end) in transitions.ends().iter().enumerate() {
                if *end != Some(End::Terminated) {
                    self.masks(transitions.next_observation(i))?;
                }
            }
        }
        Ok(())
    }

    /// Moves the target network towards the online one by the share `tau`, as the agent does by itself every
    /// `target_update_interval` steps of a run; for learning without one.
    ///
    /// # Errors
    /// A `tau` that is not in (0, 1]; those of candle.
    pub fn update_target(&mut self, tau: f64) -> Result<()> {
        check::positive_fraction("tau", tau)?;
        Ok(self.q.soft_update(tau)?)
    }

    /// One gradient step on a minibatch from the replay memory.
    ///
    /// # Errors
    /// An empty memory; a loss that is not finite.
    pub fn gradient_step(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let Dqn { config, q, head, batch, rng, width, .. } = self;
        let Scratch { next_actions, values, grad, errors, .. } = &mut self.scratch;
        let (fraction, n) = (progress.fraction(), self.actions.n());
        let horizon = Horizon { n_step: config.n_step, gamma: config.gamma };
        self.replay.sample(rng, fraction, horizon, batch)?;
        q.resample(Some(rng));

        let next = batch.next_observations();
        let forbid = |values: &mut [f32]| {
            if config.action_mask {
                ActionMasks::of_next(O::Elem::rows(next), *width, n)?.forbid(values);
            }
            Ok(())
        };
        if config.double_q {
            best_actions((&**head, n), q.predict(next)?, values, forbid, next_actions)?;
        }
        let next_output = q.target_mut()?.predict(next)?;
        if !config.double_q {
            best_actions((&**head, n), next_output, values, forbid, next_actions)?;
        }

        let (pass, target) = q.forward_beside_target(batch.observations())?;
        let rows = TdRows {
            output: pass.output(),
            actions: batch.actions(),
            rewards: batch.rewards(),
            discounts: batch.discounts(),
            next_output: target.output(),
            next_actions,
            weights: batch.weights(),
        };
        let loss = head.loss(rows, grad, errors)?;
        check_finite("the loss", loss)?;
        values.resize(batch.len() * n, 0.0);
        head.values(pass.output(), values);
        let value = values.iter().map(|&q| f64::from(q)).sum::<f64>() / values.len() as f64;
        let learning_rate = config.learning_rate.at(fraction);
        let norm = pass.step(grad, learning_rate, config.max_grad_norm)?;
        self.replay.update(batch, errors)?;
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
        let masks = self.masks(observations)?;
        self.q.resample(None);
        check::len("observations", actions.len() * self.width, observations.len())?;
        let output = self.q.predict(observations)?;
        let forbid = |values: &mut [f32]| {
            masks.inspect(|masks| masks.forbid(values));
            Ok(())
        };
        let head = (&*self.head, self.actions.n());
        best_actions(head, output, &mut self.scratch.values, forbid, actions)
    }

    fn describe(&self) -> Result<Option<String>> {
        let (n, masked) = (self.actions.n(), self.config.action_mask);
        let output = self.head.describe(n, masked);
        PolicyDescription::text_of::<O::Elem>(self.q.network(), output, None)
    }
}

impl<O: InputSpace> Dqn<O> {
    /// The action masks of observations to act on, where the settings say that there are some.
    fn masks<'a>(&self, observations: &'a [O::Elem]) -> Result<Option<ActionMasks<'a>>> {
        let masks = || ActionMasks::new(O::Elem::rows(observations), self.width, self.actions.n());
        self.config.action_mask.then(masks).transpose()
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
        check::len("observations", actions.len() * self.width, observations.len())?;
        let epsilon = self.config.epsilon.at(progress.fraction());
        let masks = self.masks(observations)?;
        // Drawn first, so that a step in which every environment explores needs no network.
        const GREEDY: u32 = u32::MAX;
        for (env, action) in actions.iter_mut().enumerate() {
            let explore = self.rng.uniform(0.0, 1.0) < epsilon;
            *action = match (explore, &masks) {
                (false, _) => GREEDY,
                (true, None) => self.rng.below(self.actions.n()) as u32,
                (true, Some(masks)) => masks.draw(env, &mut self.rng),
            };
        }
        if actions.contains(&GREEDY) {
            let Scratch { greedy, values, .. } = &mut self.scratch;
            self.q.resample(Some(&mut self.rng));
            let output = self.q.predict(observations)?;
            let forbid = |values: &mut [f32]| {
                masks.inspect(|masks| masks.forbid(values));
                Ok(())
            };
            greedy.resize(actions.len(), 0);
            best_actions((&*self.head, self.actions.n()), output, values, forbid, greedy)?;
            for (action, best) in actions.iter_mut().zip(greedy) {
                if *action == GREEDY {
                    *action = *best;
                }
            }
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, O::Elem, u32>) -> Result<()> {
        self.check_actions(transitions)?;
        self.replay.push(transitions)?;
        self.steps += transitions.len() as u64;
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let (before, now) = (self.learned, self.steps);
        self.learned = now;
        let times = |every: u64| now / every - before / every;
        for _ in 0..times(self.config.target_update_interval) {
            self.q.soft_update(self.config.tau)?;
        }
        // A run that was resumed without its replay buffer fills it first.
        let enough = self.config.learning_starts.min(self.replay.capacity() as u64);
        if now < self.config.learning_starts || (self.replay.len() as u64) < enough {
            return Ok(());
        }
        for _ in 0..times(self.config.train_freq) * self.config.gradient_steps {
            self.gradient_step(progress, metrics)?;
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
        self.replay.save(out)?;
        out.put("dqn", &(&self.rng, self.steps, self.learned))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Everything is read first: what fails here has changed nothing.
        let (q, replay) = (self.q.loaded("policy", from)?, self.replay.loaded(from)?);
        let (rng, steps, learned) = from.get("dqn")?;
        check::count("dqn.bin: steps", steps)?;
        check::at_most("dqn.bin: steps learned from", steps, "steps", learned)?;
        // They are made up for in the next update.
        let (most, open) = (replay.capacity() as u64, steps - learned);
        check::at_most("dqn.bin: steps not yet learned from", most, "buffer_size", open)?;
        (self.q, self.replay) = (q, replay);
        (self.rng, self.steps, self.learned) = (rng, steps, learned);
        Ok(())
    }
}

impl<O: InputSpace> AgentConfig<O, Discrete> for DqnConfig {
    type Agent = Dqn<O>;

    fn build<V>(&self, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Dqn<O>>
    where
        V: VecEnv<Obs = O, Action = Discrete>,
    {
        Dqn::new(self, envs, backend, seeds)
    }
}

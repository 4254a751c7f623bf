//! The agent shared by the algorithms of this crate; they differ in its update rule.

use crate::{
    Critic, Experience, Noise, NoiseConfig, OffPolicyConfig, OffPolicySettings, QuantileCritic,
};
use rl_core::{
    Agent, BoxSpace, Error, Metrics, Normalizer, Policy, Progress, Result, Rng, RunningMoments,
    Sections, Seeds, Space, Transitions, UnitBox, VecEnv, check,
};
use rl_nets::{Backend, Body, Bounds, Network, OptimizerConfig, PolicyDescription, PolicyOutput};
use rl_replay::{Batch, HandedOut, Replay};

/// The components that a [`Rule`] is built from, besides its settings.
pub struct Parts<'a> {
    /// The body of the actor, which reads observations.
    pub actor: &'a dyn Body,
    /// The body of each critic, which reads rows of concatenated observation and action.
    pub critic: &'a dyn Body,
    /// The width of an observation.
    pub observations: &'a BoxSpace,
    /// The width of an action.
    pub actions: &'a BoxSpace,
    /// The backend that computes the networks.
    pub backend: &'a Backend,
    /// The random streams for initial weights.
    pub init: Rng,
}

impl Parts<'_> {
    /// Creates `count` critics.
    ///
    /// # Errors
    /// Those of [`Critic::new`].
    pub fn critic(&mut self, count: usize, optimizer: &OptimizerConfig) -> Result<Critic> {
        let widths = (self.observations.width(), self.actions.width());
        Critic::new(count, widths, self.critic, optimizer, self.backend, &mut self.init)
    }

    /// Creates `count` critics of `quantiles` quantiles.
    ///
    /// # Errors
    /// Those of [`QuantileCritic::new`].
    pub fn quantile_critic(
        &mut self,
        (count, quantiles): (usize, usize),
        optimizer: &OptimizerConfig,
    ) -> Result<QuantileCritic> {
        let widths = (self.observations.width(), self.actions.width());
        let shape = (count, quantiles);
        QuantileCritic::new(shape, widths, self.critic, optimizer, self.backend, &mut self.init)
    }
}

impl std::fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spaces = (self.observations, self.actions);
        f.debug_struct("Parts").field("spaces", &spaces).finish_non_exhaustive()
    }
}

/// The update rule of an off-policy agent, with its networks. Actions are always in [-1, 1].
pub trait Rule: Sized {
    /// The algorithm's name, stored in checkpoints to identify the algorithm.
    const NAME: &'static str;

    /// The settings.
    type Config: OffPolicyConfig;

    /// A rule with these settings, which have been validated.
    ///
    /// # Errors
    /// Errors of the bodies and of candle.
    fn new(config: &Self::Config, parts: Parts<'_>) -> Result<Self>;

    /// Writes the policy's action for each observation, `[n, width]`, sampled if the policy is stochastic:
    /// `[n, action width]`.
    ///
    /// # Errors
    /// Slices of the wrong length.
    fn act(&mut self, observations: &[f32], rng: &mut Rng, actions: &mut [f32]) -> Result<()>;

    /// Writes the policy's deterministic action for each observation.
    ///
    /// # Errors
    /// Slices of the wrong length.
    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()>;

    /// The policy's network, and what its output means for actions within `bounds`; none by default, for a policy that
    /// cannot be described.
    fn describe(&self, bounds: Bounds) -> Option<(&Network, PolicyOutput)> {
        let _ = bounds;
        None
    }

    /// Takes one gradient step of each network that is due for one.
    ///
    /// # Errors
    /// A non-finite loss or gradient.
    fn learn(
        &mut self,
        batch: &Batch<f32, f32>,
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()>;

    /// The action values, `[n]`, of observations, `[n, width]`, and actions, `[n, action width]`, by the first critic
    /// if there are several.
    ///
    /// # Errors
    /// Slices that do not match.
    fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>>;

    /// Writes only the parameters needed to act, as the file `policy.safetensors`.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn save_policy(&self, out: &mut Sections) -> Result<()>;

    /// Loads the policy written by [`save_policy`](Rule::save_policy). On error nothing is changed.
    ///
    /// # Errors
    /// Those of the checkpoint.
    fn load_policy(&mut self, from: &Sections) -> Result<()>;

    /// Writes everything that a resumed run needs.
    ///
    /// # Errors
    /// If it cannot be encoded.
    fn save(&self, out: &mut Sections) -> Result<()>;

    /// Restores the state written by [`save`](Rule::save). On error nothing is changed.
    ///
    /// # Errors
    /// Those of the checkpoint.
    fn load(&mut self, from: &Sections) -> Result<()>;
}

/// An off-policy agent: acts at random at first, then by its policy with exploration noise; stores transitions in a
/// replay buffer, and learns from minibatches by a [`Rule`].
///
/// Rounds of gradient steps are scheduled by environment steps over all environments: there are `gradient_steps` for
/// every `train_freq` steps, for any number of environments and across an interruption of the run.
#[derive(Debug)]
pub struct OffPolicy<R> {
    experience: Experience,
    rule: R,
    bounds: UnitBox,
    exploration: Option<Noise>,
    replay: Replay<f32, f32>,
    batch: Batch<f32, f32>,
    rng: Rng,
    /// Environment steps observed.
    steps: u64,
    /// Environment steps for which the gradient steps have been done.
    learned: u64,
    /// The last actions, in [-1, 1], `[envs, action width]`.
    actions: Vec<f32>,
    /// The last actions, scaled to the bounds.
    handed_out: HandedOut<BoxSpace>,
    /// Scratch buffer: greedy actions in [-1, 1].
    greedy: Vec<f32>,
    /// Normalises what networks see; none where they see observations as they are.
    normalizer: Option<Normalizer>,
    /// Scratch buffer: normalised observations.
    seen: Vec<f32>,
}

/// Where normalised observations are clipped, as Stable-Baselines3's `VecNormalize` does.
const CLIP: f32 = 10.0;

/// The observations that networks see.
fn seen<'a>(
    normalizer: &Option<Normalizer>,
    observations: &'a [f32],
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    let Some(normalizer) = normalizer else { return observations };
    scratch.resize(observations.len(), 0.0);
    normalizer.write(observations, scratch);
    scratch
}

impl<R: Rule> OffPolicy<R> {
    /// An agent for `envs`, with the configured networks.
    ///
    /// # Errors
    /// Those of the settings; an infinite action bound, named by its dimension; errors of candle.
    pub fn new<V>(config: &R::Config, envs: &V, backend: &Backend, seeds: Seeds) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        let OffPolicySettings { actor, critic, .. } = config.settings();
        Self::with_bodies(config, (actor, critic), envs, backend, seeds)
    }

    /// Like `new`, with custom network bodies: one for the actor, which reads observations, and one for the critic,
    /// which reads rows of concatenated observation and action. They may be the same.
    ///
    /// # Errors
    /// Those of [`new`](OffPolicy::new) and of the bodies.
    pub fn with_bodies<V>(
        config: &R::Config,
        (actor, critic): (&dyn Body, &dyn Body),
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        config.validate()?;
        let (observations, actions) = (envs.observation_space(), envs.action_space());
        let init = seeds.stream("init", 0);
        let rule = R::new(config, Parts { actor, critic, observations, actions, backend, init })?;
        let OffPolicySettings { exploration, experience, .. } = config.settings();
        Self::with_rule(rule, experience, exploration, envs, seeds)
    }

    /// An agent for `envs` with a custom rule.
    ///
    /// # Errors
    /// Those of [`Experience::validate`] and [`NoiseConfig::validate`]; an infinite action bound, named by its
    /// dimension.
    pub fn with_rule<V>(
        rule: R,
        experience: Experience,
        exploration: Option<NoiseConfig>,
        envs: &V,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        experience.validate()?;
        exploration.map_or(Ok(()), |noise| noise.validate())?;
        let bounds = UnitBox::new(envs.action_space())?;
        let (n, width, action_width) =
            (envs.num_envs(), envs.observation_space().width(), bounds.width());
        Ok(OffPolicy {
            exploration: exploration.map(|noise| Noise::new(noise, n, action_width)),
            replay: Replay::uniform(experience.buffer_size, n, width, action_width)?,
            batch: Batch::new(experience.batch_size, width, action_width)?,
            rng: seeds.stream("agent", 0),
            steps: 0,
            learned: 0,
            actions: vec![0.0; n * action_width],
            handed_out: HandedOut::new(envs.action_space().clone(), n),
            greedy: Vec::new(),
            normalizer: match experience.normalize_observations {
                true => Some(Normalizer::new(width, CLIP)?),
                false => None,
            },
            seen: Vec::new(),
            bounds,
            rule,
            experience,
        })
    }

    /// Stores transitions from any source (offline data, demonstrations), one per environment, with actions within
    /// the environment's bounds; see [`StepBatch::of_transitions`](rl_core::StepBatch::of_transitions). They do not
    /// count as environment steps of the run, and n-step returns do not run from them into the agent's own, nor the
    /// other way.
    ///
    /// # Errors
    /// Transitions that do not match; an externally chosen action outside the bounds.
    pub fn remember(&mut self, transitions: &Transitions<'_, f32, f32>) -> Result<()> {
        let (width, taken) = (self.bounds.width(), transitions.actions());
        let space = self.handed_out.space();
        taken.chunks_exact(width).try_for_each(|action| space.check("action", action))?;
        let unit = taken.iter().enumerate().map(|(i, a)| self.bounds.to_unit(i % width, *a));
        let unit: Vec<f32> = unit.collect();
        self.measure(transitions);
        Ok(self.replay.push_foreign(&transitions.with_actions(&unit))?)
    }

    /// Takes one gradient step of the rule on a minibatch from the replay buffer.
    ///
    /// # Errors
    /// An empty replay buffer; a non-finite loss or gradient.
    pub fn gradient_step(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let OffPolicy { experience, replay, batch, rng, normalizer, .. } = self;
        replay.sample(rng, progress.fraction(), experience.horizon(), batch)?;
        if let Some(normalizer) = normalizer {
            batch.map_observations(|rows| normalizer.normalize(rows));
        }
        self.rule.learn(batch, rng, progress, metrics)
    }

    /// Takes the observations that were acted on into the moments.
    fn measure(&mut self, transitions: &Transitions<'_, f32, f32>) {
        if let Some(normalizer) = &mut self.normalizer {
            normalizer.update(transitions.observations());
        }
    }

    fn save_normalizer(&self, out: &mut Sections) -> Result<()> {
        self.normalizer
            .as_ref()
            .map_or(Ok(()), |normalizer| out.put(Normalizer::SECTION, normalizer.moments()))
    }

    /// A normaliser with the saved moments.
    fn loaded_normalizer(&self, from: &Sections) -> Result<Option<Normalizer>> {
        let saved: Option<RunningMoments> =
            from.find(Normalizer::FILE).map(|_| from.get(Normalizer::SECTION)).transpose()?;
        match (&self.normalizer, saved) {
            (None, None) => Ok(None),
            (Some(normalizer), Some(moments)) => {
                let mut normalizer = normalizer.clone();
                normalizer.set_moments(moments)?;
                Ok(Some(normalizer))
            }
            (own, _) => {
                let with = |on: bool| {
                    if on { "moments of observations" } else { "no moments of observations" }
                };
                let (expected, got) = (with(own.is_some()), with(own.is_none()));
                Err(Error::mismatch("normalize_observations", expected, got))
            }
        }
    }

    /// The rule. It sees observations normalised, where the settings ask for that.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// The rule, with mutable access to the buffers of its networks.
    pub fn rule_mut(&mut self) -> &mut R {
        &mut self.rule
    }

    /// Checks actions in [-1, 1] and scales them to the bounds.
    fn to_bounds(&self, unit: &[f32], actions: &mut [f32]) -> Result<()> {
        check::len("actions", unit.len(), actions.len())?;
        if let Some(i) = unit.iter().position(|a| !a.is_finite()) {
            let what = format!("action dimension {}", i % self.bounds.width());
            let expected =
                "a finite number: the run has diverged, a smaller learning rate may help";
            return Err(Error::mismatch(what, expected, unit[i]));
        }
        self.bounds.to_bounds(unit, actions);
        Ok(())
    }
}

impl<R: Rule> Policy for OffPolicy<R> {
    type Obs = BoxSpace;
    type Action = BoxSpace;

    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()> {
        self.greedy.resize(actions.len(), 0.0);
        let observations = seen(&self.normalizer, observations, &mut self.seen);
        self.rule.act_greedily(observations, &mut self.greedy)?;
        self.to_bounds(&self.greedy, actions)
    }

    fn describe(&self) -> Result<Option<String>> {
        let bounds = self.handed_out.space().into();
        let Some((network, output)) = self.rule.describe(bounds) else { return Ok(None) };
        PolicyDescription::text_of::<f32>(network, Some(output), self.normalizer.as_ref())
    }
}

impl<R: Rule> Agent for OffPolicy<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [f32]) -> Result<()> {
        if self.steps < self.experience.learning_starts {
            let rng = &mut self.rng;
            self.actions.fill_with(|| rng.uniform(-1.0, 1.0) as f32);
        } else {
            let observations = seen(&self.normalizer, observations, &mut self.seen);
            self.rule.act(observations, &mut self.rng, &mut self.actions)?;
            if let Some(noise) = &mut self.exploration {
                noise.add(&mut self.rng, &mut self.actions);
            }
        }
        self.to_bounds(&self.actions, actions)?;
        self.handed_out.note(actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, f32>) -> Result<()> {
        let begun = self.steps > 0;
        let OffPolicy { handed_out, actions, bounds, .. } = self;
        let to_unit = |dimension, action| bounds.to_unit(dimension, action);
        handed_out.compare(transitions.actions(), actions, to_unit, |_, _| Ok(()))?;
        let actions = std::mem::take(&mut self.actions);
        let stored = self.replay.push(&transitions.with_actions(&actions));
        self.actions = actions;
        stored?;
        self.measure(transitions);
        self.steps += transitions.len() as u64;
        if let Some(noise) = &mut self.exploration {
            let ends = transitions.ends().iter().zip(transitions.resets());
            for (env, (end, reset)) in ends.enumerate() {
                // Before the first step there is no episode that a reset could have cut.
                if end.is_some() || (*reset && begun) {
                    noise.reset(env);
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let (before, now) = (self.learned, self.steps);
        self.learned = now;
        // A run that was resumed without its replay buffer fills it first.
        let enough = self.experience.learning_starts.min(self.replay.capacity() as u64);
        if now < self.experience.learning_starts || (self.replay.len() as u64) < enough {
            return Ok(());
        }
        let rounds = now / self.experience.train_freq - before / self.experience.train_freq;
        for _ in 0..rounds * self.experience.gradient_steps {
            self.gradient_step(progress, metrics)?;
        }
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        self.rule.save_policy(out)?;
        self.save_normalizer(out)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        let normalizer = self.loaded_normalizer(from)?;
        self.rule.load_policy(from)?;
        self.normalizer = normalizer;
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.rule.save(out)?;
        self.save_normalizer(out)?;
        self.replay.save(out)?;
        let drift = self.exploration.as_ref().map(Noise::state);
        out.put("off_policy", &(&self.rng, drift, self.steps, self.learned))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // Fallible steps come first, so that an error leaves the agent unchanged.
        let (rng, drift, steps, learned): (Rng, Option<Vec<f64>>, u64, u64) =
            from.get("off_policy")?;
        check::count("off_policy.bin: steps", steps)?;
        check::at_most("off_policy.bin: steps learned from", steps, "steps", learned)?;
        // They are made up for in the next update.
        let (most, open) = (self.replay.capacity() as u64, steps - learned);
        check::at_most("off_policy.bin: steps not yet learned from", most, "buffer_size", open)?;
        let exploration = match (&self.exploration, drift) {
            (None, None) => None,
            (Some(noise), Some(drift)) => Some(noise.at(drift)?),
            _ => {
                let what = "exploration noise";
                return Err(Error::mismatch(what, "that of these settings", "another"));
            }
        };
        let replay = self.replay.loaded(from)?;
        let normalizer = self.loaded_normalizer(from)?;
        self.rule.load(from)?;
        (self.replay, self.rng, self.exploration) = (replay, rng, exploration);
        self.normalizer = normalizer;
        (self.steps, self.learned) = (steps, learned);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Rule, Td3, Td3Config};
    use rl_core::{
        Agent, Metrics, Normalizer, Policy, Progress, Sections, Seeds, SerialVecEnv, VecEnv,
    };

    /// After a safety filter or a demonstration, the executed action is stored.
    #[test]
    fn an_action_taken_in_place_of_the_agents_own_is_remembered() {
        let make = || vec![rl_envs::Pendulum::default(), rl_envs::Pendulum::default()];
        let mut envs = SerialVecEnv::new(make(), Seeds::new(0)).unwrap();
        let config = Td3Config::default();
        let mut agent = Td3::new(&config, &envs, &rl_nets::Backend::cpu(), Seeds::new(0)).unwrap();
        let mut actions = [0.0; 2];
        envs.reset().unwrap();
        let progress = Progress { step: 0, total: 10 };
        agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
        let own = agent.actions.clone();
        let taken = [actions[0], 0.5];
        envs.step(&taken).unwrap();
        agent.observe(&envs.batch().transitions(&taken)).unwrap();
        // Torques are in [-2, 2].
        assert_eq!(agent.actions, [own[0], 0.25]);
        let horizon = agent.experience.horizon();
        agent.replay.sample(&mut agent.rng, 0.0, horizon, &mut agent.batch).unwrap();
        let known = |action: &f32| [own[0], 0.25].contains(action);
        assert!(agent.batch.actions().iter().all(known));
    }

    /// Networks see observations by the moments of all that were acted on, when acting and when learning; what is stored is
    /// as it was; and a policy takes its moments with it.
    #[test]
    fn networks_see_normalised_observations() {
        let make = || vec![rl_envs::Pendulum::default(), rl_envs::Pendulum::default()];
        let mut envs = SerialVecEnv::new(make(), Seeds::new(0)).unwrap();
        let backend = rl_nets::Backend::cpu();
        let config =
            Td3Config { normalize_observations: true, batch_size: 8, ..Td3Config::default() };
        let mut agent = Td3::new(&config, &envs, &backend, Seeds::new(0)).unwrap();
        let (mut actions, mut acted_on) = ([0.0; 2], Vec::new());
        let progress = Progress { step: 0, total: 100 };
        envs.reset().unwrap();
        for _ in 0..30 {
            acted_on.extend_from_slice(envs.batch().observations());
            agent.act(envs.batch().observations(), progress, &mut actions).unwrap();
            envs.step(&actions).unwrap();
            agent.observe(&envs.batch().transitions(&actions)).unwrap();
        }
        let mut normalizer = Normalizer::new(3, 10.0).unwrap();
        acted_on.chunks_exact(6).for_each(|rows| normalizer.update(rows));
        let mut seen = acted_on.clone();
        normalizer.normalize(&mut seen);
        assert!(seen != acted_on);

        agent.gradient_step(progress, &mut Metrics::default()).unwrap();
        let known = |rows: &[f32], row: &[f32]| rows.chunks_exact(3).any(|other| other == row);
        let drawn = agent.batch.observations().chunks_exact(3);
        assert!(drawn.clone().all(|row| known(&seen, row) && !known(&acted_on, row)));

        let (mut own, mut of_rule) = ([0.0; 2], [0.0; 2]);
        agent.act_greedily(&acted_on[..6], &mut own).unwrap();
        agent.rule_mut().act_greedily(&seen[..6], &mut of_rule).unwrap();
        // Torques are in [-2, 2].
        assert!(own.iter().zip(of_rule).all(|(own, unit)| (own - 2.0 * unit).abs() < 1e-6));

        let mut policy = Sections::default();
        agent.save_policy(&mut policy).unwrap();
        let mut other = Td3::new(&config, &envs, &backend, Seeds::new(1)).unwrap();
        other.load_policy(&policy).unwrap();
        let mut same = [0.0; 2];
        other.act_greedily(&acted_on[..6], &mut same).unwrap();
        assert_eq!(own, same);
        let mut plain = Td3::new(&Td3Config::default(), &envs, &backend, Seeds::new(1)).unwrap();
        let error = plain.load_policy(&policy).unwrap_err().to_string();
        let expected = "normalize_observations: expected no moments of observations, got moments of observations";
        assert_eq!(error, expected);
    }
}

//! The agent that the algorithms of this crate share; they differ in the rule it learns by.

use crate::unit_box::UnitBox;
use crate::{ExperienceConfig, Noise, NoiseConfig};
use rl_core::{
    Agent, BoxSpace, Error, Metrics, Policy, Progress, Result, Rng, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_replay::{Batch, HandedOut, ReplayRing};

/// What an off-policy agent does with what it remembers. Actions are in [-1, 1] throughout.
pub trait Rule {
    /// The algorithm's name, by which a checkpoint knows its owner.
    const NAME: &'static str;

    /// Writes the policy's action for each observation, `[n, width]`, drawn where the policy is stochastic:
    /// `[n, action width]`.
    ///
    /// # Errors
    /// Slices of a wrong length.
    fn act(&mut self, observations: &[f32], rng: &mut Rng, actions: &mut [f32]) -> Result<()>;

    /// The same without drawing.
    ///
    /// # Errors
    /// Slices of a wrong length.
    fn act_greedily(&mut self, observations: &[f32], actions: &mut [f32]) -> Result<()>;

    /// Takes one gradient step of each network that is due one.
    ///
    /// # Errors
    /// A loss or gradient that is not finite.
    fn learn(
        &mut self,
        batch: &Batch<f32, f32>,
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()>;

    /// The values of observations, `[n, width]`, and actions, `[n, action width]`, `[n]`: the first critic's,
    /// where there are several.
    ///
    /// # Errors
    /// Slices that do not fit.
    fn values(&mut self, observations: &[f32], actions: &[f32]) -> Result<Vec<f32>>;

    /// Writes what acting needs, as the file `policy.safetensors`.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    fn save_policy(&self, out: &mut Sections) -> Result<()>;

    /// Takes over what [`save_policy`](Rule::save_policy) wrote. On an error nothing has changed.
    ///
    /// # Errors
    /// Those of the checkpoint.
    fn load_policy(&mut self, from: &Sections) -> Result<()>;

    /// Writes everything that a resumed run needs.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    fn save(&self, out: &mut Sections) -> Result<()>;

    /// Goes back to what [`save`](Rule::save) wrote. On an error nothing has changed.
    ///
    /// # Errors
    /// Those of the checkpoint.
    fn load(&mut self, from: &Sections) -> Result<()>;
}

/// An agent that acts at random at first, then by its policy with noise, remembers what came of it, and
/// learns from minibatches by a [`Rule`].
///
/// Rounds of learning are counted in environment steps over all environments: however many run side by
/// side, and wherever a run was interrupted, there are `gradient_steps` of them for each `train_freq` steps.
#[derive(Debug)]
pub struct OffPolicy<R> {
    config: ExperienceConfig,
    rule: R,
    bounds: UnitBox,
    exploration: Option<Noise>,
    replay: ReplayRing<f32, f32>,
    batch: Batch<f32, f32>,
    rng: Rng,
    /// Environment steps observed.
    steps: u64,
    /// Environment steps up to which learning has been done.
    learned: u64,
    /// The actions last taken, in [-1, 1], `[envs, action width]`.
    actions: Vec<f32>,
    /// The same within the bounds.
    handed_out: HandedOut<BoxSpace>,
    /// Scratch: greedy actions in [-1, 1].
    greedy: Vec<f32>,
}

impl<R: Rule> OffPolicy<R> {
    /// An agent for `envs` with a rule of your own.
    ///
    /// # Errors
    /// Those of [`ExperienceConfig::validate`] and [`NoiseConfig::validate`]; an infinite bound of the
    /// actions, by its dimension.
    pub fn with_rule<V>(
        rule: R,
        config: &ExperienceConfig,
        exploration: Option<NoiseConfig>,
        envs: &V,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = BoxSpace, Action = BoxSpace>,
    {
        config.validate()?;
        exploration.map_or(Ok(()), |noise| noise.validate())?;
        let bounds = UnitBox::new(envs.action_space())?;
        let (n, width, action_width) =
            (envs.num_envs(), envs.observation_space().width(), bounds.width());
        Ok(OffPolicy {
            exploration: exploration.map(|noise| Noise::new(noise, n, action_width)),
            replay: ReplayRing::new(config.buffer_size, n, width, action_width)?,
            batch: Batch::new(config.batch_size, width, action_width),
            rng: seeds.stream("agent", 0),
            steps: 0,
            learned: 0,
            actions: vec![0.0; n * action_width],
            handed_out: HandedOut::new(envs.action_space().clone(), n),
            greedy: Vec::new(),
            bounds,
            rule,
            config: config.clone(),
        })
    }

    /// The rule.
    pub fn rule(&self) -> &R {
        &self.rule
    }

    /// The rule, to be asked for what needs its networks' memory.
    pub fn rule_mut(&mut self) -> &mut R {
        &mut self.rule
    }

    /// Checks actions in [-1, 1] and brings them to the bounds.
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
        self.rule.act_greedily(observations, &mut self.greedy)?;
        self.to_bounds(&self.greedy, actions)
    }
}

impl<R: Rule> Agent for OffPolicy<R> {
    fn name(&self) -> &'static str {
        R::NAME
    }

    fn act(&mut self, observations: &[f32], _: Progress, actions: &mut [f32]) -> Result<()> {
        if self.steps < self.config.learning_starts {
            let rng = &mut self.rng;
            self.actions.fill_with(|| rng.uniform(-1.0, 1.0) as f32);
        } else {
            self.rule.act(observations, &mut self.rng, &mut self.actions)?;
            if let Some(noise) = &mut self.exploration {
                noise.add(&mut self.rng, &mut self.actions);
            }
        }
        self.to_bounds(&self.actions, actions)?;
        self.handed_out.note(actions)
    }

    fn observe(&mut self, transitions: &Transitions<'_, f32, f32>) -> Result<()> {
        let OffPolicy { handed_out, actions, bounds, .. } = self;
        let to_unit = |dimension, action| bounds.to_unit(dimension, action);
        handed_out.compare(transitions.actions(), actions, to_unit, |_, _| Ok(()))?;
        self.replay.push(&transitions.with_actions(&self.actions))?;
        self.steps += transitions.len() as u64;
        if let Some(noise) = &mut self.exploration {
            let ended = transitions.ends().iter().enumerate().filter(|(_, end)| end.is_some());
            ended.for_each(|(env, _)| noise.reset(env));
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        let (before, now) = (self.learned, self.steps);
        self.learned = now;
        if now < self.config.learning_starts {
            return Ok(());
        }
        let rounds = now / self.config.train_freq - before / self.config.train_freq;
        for _ in 0..rounds * self.config.gradient_steps {
            self.replay.sample(&mut self.rng, self.config.horizon(), &mut self.batch)?;
            self.rule.learn(&self.batch, &mut self.rng, progress, metrics)?;
        }
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        self.rule.save_policy(out)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        self.rule.load_policy(from)
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.rule.save(out)?;
        out.put_file("replay.bin", self.replay.save()?);
        let drift = self.exploration.as_ref().map(Noise::state);
        out.put("off_policy", &(&self.rng, drift, self.steps, self.learned))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        // What can fail comes first: what fails has changed nothing.
        let (rng, drift, steps, learned): (Rng, Option<Vec<f64>>, u64, u64) =
            from.get("off_policy")?;
        let exploration = match (&self.exploration, drift) {
            (None, None) => None,
            (Some(noise), Some(drift)) => Some(noise.at(drift)?),
            _ => {
                let what = "exploration noise";
                return Err(Error::mismatch(what, "that of these settings", "another"));
            }
        };
        let mut replay = self.replay.clone();
        replay.load(from.file("replay.bin")?)?;
        self.rule.load(from)?;
        (self.replay, self.rng, self.exploration) = (replay, rng, exploration);
        (self.steps, self.learned) = (steps, learned);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Td3, Td3Config};
    use rl_core::{Agent, Progress, Seeds, SerialVecEnv, VecEnv};

    /// A safety filter, a demonstration: what is remembered is what the environment took.
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
        // Torques lie in [-2, 2].
        assert_eq!(agent.actions, [own[0], 0.25]);
        agent.replay.sample(&mut agent.rng, agent.config.horizon(), &mut agent.batch).unwrap();
        let known = |action: &f32| [own[0], 0.25].contains(action);
        assert!(agent.batch.actions().iter().all(known));
    }
}

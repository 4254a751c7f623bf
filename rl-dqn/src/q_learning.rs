use rl_core::{
    Agent, Discrete, End, Metrics, Policy, Progress, Result, Rng, Schedule, Sections, Seeds, Space,
    Transitions, VecEnv, check,
};
use rl_nets::{AgentConfig, Backend};
use serde::{Deserialize, Serialize};

/// The settings of [`QLearning`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QLearningConfig {
    /// The step size; 0.5, as in Sutton and Barto (2018), example 6.6.
    pub learning_rate: Schedule,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// The probability of a random action; 0.1, as in the same example.
    pub epsilon: Schedule,
    /// What every value starts at; 0.
    pub initial_value: f64,
}

impl Default for QLearningConfig {
    fn default() -> Self {
        QLearningConfig {
            learning_rate: Schedule::constant(0.5),
            gamma: 0.99,
            epsilon: Schedule::constant(0.1),
            initial_value: 0.0,
        }
    }
}

impl QLearningConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.learning_rate.validate("learning_rate", check::positive_fraction)?;
        check::fraction("gamma", self.gamma)?;
        self.epsilon.validate("epsilon", check::fraction)?;
        match self.initial_value.is_finite() {
            true => Ok(()),
            false => {
                Err(rl_core::Error::config("initial_value", "a finite number", self.initial_value))
            }
        }
    }
}

/// Tabular Q-learning (Watkins, 1989), the method that DQN generalises:
///
/// ```text
/// Q(s, a) <- Q(s, a) + alpha (r + gamma max_a' Q(s', a') - Q(s, a))
/// ```
///
/// with `max_a' Q(s', a')` taken as 0 after a termination, and not after a truncation. Among actions of equal value any is
/// taken while training, and the first one in an evaluation.
///
/// ```
/// use rl_core::{Seeds, SerialVecEnv, Trainer, TrainerConfig, evaluate};
/// use rl_dqn::{QLearning, QLearningConfig};
/// let envs = SerialVecEnv::new(vec![rl_envs::Tabular::cliff_walking()], Seeds::new(0))?;
/// let backend = rl_nets::Backend::cpu();
/// let agent = QLearning::new(&QLearningConfig::default(), &envs, &backend, Seeds::new(0))?;
/// let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(20_000))?;
/// trainer.run()?;
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct QLearning {
    config: QLearningConfig,
    actions: Discrete,
    /// `[states, actions]`.
    table: Vec<f64>,
    rng: Rng,
    learning_rate: f64,
}

impl QLearning {
    /// An agent for `envs`. It computes on the CPU, on the caller's thread.
    ///
    /// # Errors
    /// Those of [`QLearningConfig::validate`]; a backend of another kind, which would have no effect.
    pub fn new<V>(
        config: &QLearningConfig,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self>
    where
        V: VecEnv<Obs = Discrete, Action = Discrete>,
    {
        config.validate()?;
        backend.require_plain("q-learning")?;
        let (states, actions) = (envs.observation_space().n(), *envs.action_space());
        let values = states.saturating_mul(actions.n());
        check::memory("values of the table", values, values.checked_mul(size_of::<f64>()))?;
        Ok(QLearning {
            table: vec![config.initial_value; values],
            rng: seeds.stream("agent", 0),
            learning_rate: config.learning_rate.at(0.0),
            config: config.clone(),
            actions,
        })
    }

    /// The value of each action in a state, `[actions]`.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a state that there is not.
    pub fn values(&self, state: u32) -> Result<&[f64]> {
        let n = self.actions.n();
        let row = self.table.chunks_exact(n).nth(state as usize);
        row.ok_or_else(|| {
            let states = self.table.len() / n;
            rl_core::Error::mismatch("state", format_args!("a state below {states}"), state)
        })
    }

    fn best(&self, state: u32) -> Result<(usize, f64)> {
        let first = (0, f64::NEG_INFINITY);
        let better = |top: (usize, f64), (a, &q)| if q > top.1 { (a, q) } else { top };
        Ok(self.values(state)?.iter().enumerate().fold(first, better))
    }

    /// An action of the largest value, any of those that have it: the first would be the only one ever tried in states of
    /// which nothing is known.
    fn any_best(&mut self, state: u32) -> Result<u32> {
        let (first, largest) = self.best(state)?;
        let ties = self.values(state)?.iter().filter(|q| **q == largest).count();
        if ties < 2 {
            return Ok(first as u32);
        }
        let chosen = self.rng.below(ties);
        let mut tied = self.values(state)?.iter().enumerate().filter(|(_, q)| **q == largest);
        Ok(tied.nth(chosen).map_or(first, |(action, _)| action) as u32)
    }
}

impl Policy for QLearning {
    type Obs = Discrete;
    type Action = Discrete;

    fn act_greedily(&mut self, states: &[u32], actions: &mut [u32]) -> Result<()> {
        check::len("actions", states.len(), actions.len())?;
        for (&state, action) in states.iter().zip(actions) {
            *action = self.best(state)?.0 as u32;
        }
        Ok(())
    }
}

impl Agent for QLearning {
    fn name(&self) -> &'static str {
        "q-learning"
    }

    fn act(&mut self, states: &[u32], progress: Progress, actions: &mut [u32]) -> Result<()> {
        self.learning_rate = self.config.learning_rate.at(progress.fraction());
        let epsilon = self.config.epsilon.at(progress.fraction());
        check::len("actions", states.len(), actions.len())?;
        for (&state, action) in states.iter().zip(actions) {
            *action = match self.rng.uniform(0.0, 1.0) < epsilon {
                true => self.rng.below(self.actions.n()) as u32,
                false => self.any_best(state)?,
            };
        }
        Ok(())
    }

    fn observe(&mut self, transitions: &Transitions<'_, u32, u32>) -> Result<()> {
        transitions.check(transitions.len())?;
        check::len("actions", transitions.len(), transitions.actions().len())?;
        for i in 0..transitions.len() {
            self.actions.check("action", &transitions.actions()[i..=i])?;
            let (state, action) = (transitions.observations()[i], transitions.actions()[i]);
            self.values(state)?;
            let future = match transitions.ends()[i] {
                Some(End::Terminated) => 0.0,
                Some(End::Truncated) | None => self.best(transitions.next_observation(i)[0])?.1,
            };
            let target = f64::from(transitions.rewards()[i]) + self.config.gamma * future;
            let index = state as usize * self.actions.n() + action as usize;
            if let Some(q) = self.table.get_mut(index) {
                *q += self.learning_rate * (target - *q);
            }
        }
        Ok(())
    }

    fn update(&mut self, progress: Progress, metrics: &mut Metrics) -> Result<()> {
        metrics.record("epsilon", self.config.epsilon.at(progress.fraction()));
        Ok(())
    }

    fn save_policy(&self, out: &mut Sections) -> Result<()> {
        out.put("table", &self.table)
    }

    fn load_policy(&mut self, from: &Sections) -> Result<()> {
        let table: Vec<f64> = from.get("table")?;
        check::len("table of values", self.table.len(), table.len())?;
        if let Some(bad) = table.iter().find(|value| !value.is_finite()) {
            let problem = format!("has {bad}, not a finite number");
            return Err(rl_core::Error::corrupt("table.bin", problem));
        }
        self.table = table;
        Ok(())
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.save_policy(out)?;
        out.put("q-learning", &(&self.rng, self.learning_rate))
    }

    fn load(&mut self, from: &Sections) -> Result<()> {
        let (rng, learning_rate) = from.get("q-learning")?;
        self.load_policy(from)?;
        (self.rng, self.learning_rate) = (rng, learning_rate);
        Ok(())
    }
}

impl AgentConfig<Discrete, Discrete> for QLearningConfig {
    type Agent = QLearning;

    fn build<V>(&self, envs: &V, backend: &Backend, seeds: Seeds) -> Result<QLearning>
    where
        V: VecEnv<Obs = Discrete, Action = Discrete>,
    {
        QLearning::new(self, envs, backend, seeds)
    }
}

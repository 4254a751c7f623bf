use crate::{PolicySearch, SearchRule, Standing};
use rl_core::{BoxSpace, Metrics, Progress, Result, Rng, Schedule, Seeds, VecEnv, check};
use rl_nets::{Distribution, MlpConfig, PolicySpace};
use serde::{Deserialize, Serialize};

/// The settings of [`SimulatedAnnealing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedAnnealingConfig {
    /// The policy; linear.
    pub network: MlpConfig,
    /// Episodes that score a candidate; 2.
    pub episodes: usize,
    /// How often the policy that the search stands at is scored; 5.
    pub trials: u64,
    /// The standard deviation of the noise, in units of the parameters' root mean square; 2, falling
    /// to 0.5.
    pub noise: Schedule,
    /// The temperature, in units of return: a candidate that is worse by as much is taken in one of e
    /// cases; 2, falling to 0.1.
    pub temperature: Schedule,
}

impl Default for SimulatedAnnealingConfig {
    fn default() -> Self {
        SimulatedAnnealingConfig {
            network: MlpConfig { hidden: vec![], ..MlpConfig::default() },
            episodes: 2,
            trials: 5,
            noise: Schedule::exponential(2.0, 0.5),
            temperature: Schedule::exponential(2.0, 0.1),
        }
    }
}

impl SimulatedAnnealingConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        self.network.validate()?;
        check::at_least("episodes", 1, self.episodes as u64)?;
        check::at_least("trials", 1, self.trials)?;
        self.noise.validate("noise", check::positive)?;
        self.temperature.validate("temperature", check::positive)
    }
}

/// Simulated annealing (Kirkpatrick et al., 1983):
///
/// ```text
/// for each generation:
///     θ' = (θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)
///     score θ', and θ itself until it has been scored `trials` times
///     θ <- θ' with probability min(1, exp((score' - mean score of θ) / temperature))
/// ```
#[derive(Clone, Debug)]
pub struct SimulatedAnnealing {
    config: SimulatedAnnealingConfig,
    standing: Standing,
}

impl SimulatedAnnealing {
    /// An agent for `envs` that searches by this rule.
    ///
    /// # Errors
    /// Those of [`SimulatedAnnealingConfig::validate`].
    pub fn agent<V, D>(
        config: &SimulatedAnnealingConfig,
        envs: &V,
        seeds: Seeds,
    ) -> Result<PolicySearch<D, SimulatedAnnealing>>
    where
        V: VecEnv<Obs = BoxSpace>,
        V::Action: PolicySpace<Distribution = D>,
        D: Distribution<Action = V::Action>,
    {
        config.validate()?;
        PolicySearch::new(envs, &config.network, config.episodes, seeds, |params| {
            Ok(SimulatedAnnealing {
                standing: Standing::new(params, config.noise.at(0.0)),
                config: config.clone(),
            })
        })
    }
}

impl SearchRule for SimulatedAnnealing {
    const NAME: &'static str = "simulated-annealing";
    type State = Standing;

    fn propose(&mut self, rng: &mut Rng) -> Vec<Vec<f32>> {
        self.standing.propose(self.config.trials, rng)
    }

    fn tell(
        &mut self,
        candidates: &[Vec<f32>],
        scores: &[f64],
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let temperature = self.config.temperature.at(progress.fraction());
        let score = self.standing.tell(scores);
        let gain = score - self.standing.score();
        if rng.uniform(0.0, 1.0) < (gain / temperature).exp() {
            self.standing.replace(&candidates[0], score);
        }
        self.standing.set_noise(self.config.noise.at(progress.fraction()));
        metrics.record("best_score", self.standing.score());
        metrics.record("temperature", temperature);
        metrics.record("noise", self.standing.noise());
        Ok(())
    }

    fn best(&self) -> &[f32] {
        self.standing.params()
    }

    fn state(&self) -> Result<Standing> {
        Ok(self.standing.clone())
    }

    fn set_state(&mut self, state: Standing) -> Result<()> {
        self.standing.restore(state)
    }
}

use crate::hill_climbing::perturbed;
use crate::{PolicySearch, SearchRule};
use rl_core::{BoxSpace, Metrics, Progress, Result, Rng, Schedule, Seeds, VecEnv, check};
use rl_nets::{Distribution, MlpConfig, PolicySpace};
use serde::{Deserialize, Serialize};

/// The settings of [`SimulatedAnnealing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedAnnealingConfig {
    /// The policy; linear.
    pub network: MlpConfig,
    /// Episodes that score a candidate; 4.
    pub episodes: usize,
    /// The standard deviation of the noise; 0.3, falling to 0.03.
    pub noise: Schedule,
    /// The temperature, in units of return: a candidate that is worse by as much is taken in one of e
    /// cases; 20, falling to 0.5.
    pub temperature: Schedule,
}

impl Default for SimulatedAnnealingConfig {
    fn default() -> Self {
        SimulatedAnnealingConfig {
            network: MlpConfig { hidden: vec![], ..MlpConfig::default() },
            episodes: 4,
            noise: Schedule::exponential(0.3, 0.03),
            temperature: Schedule::exponential(20.0, 0.5),
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
        self.noise.validate("noise", check::positive)?;
        self.temperature.validate("temperature", check::positive)
    }
}

/// Simulated annealing (Kirkpatrick et al., 1983):
///
/// ```text
/// for each generation:
///     θ' = θ + noise N(0, 1);  score both
///     θ <- θ' with probability min(1, exp((score' - score) / temperature))
/// ```
///
/// The one that stands is scored again each time, and its score is the mean of all its episodes.
#[derive(Clone, Debug)]
pub struct SimulatedAnnealing {
    config: SimulatedAnnealingConfig,
    state: Standing,
}

/// Where the search stands: its parameters, the sum and number of their scores, and the noise.
type Standing = (Vec<f32>, f64, u64, f64);

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
            let state = (params, 0.0, 0, config.noise.at(0.0));
            Ok(SimulatedAnnealing { config: config.clone(), state })
        })
    }
}

impl SearchRule for SimulatedAnnealing {
    const NAME: &'static str = "simulated-annealing";
    type State = Standing;

    fn propose(&mut self, rng: &mut Rng) -> Vec<Vec<f32>> {
        let (standing, _, _, noise) = &self.state;
        vec![standing.clone(), perturbed(standing, *noise, rng)]
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
        let (standing, sum, count, noise) = &mut self.state;
        *noise = self.config.noise.at(progress.fraction());
        *sum += scores[0];
        *count += 1;
        let gain = scores[1] - *sum / *count as f64;
        if rng.uniform(0.0, 1.0) < (gain / temperature).exp() {
            standing.clone_from(&candidates[1]);
            (*sum, *count) = (scores[1], 1);
        }
        metrics.record("best_score", *sum / *count as f64);
        metrics.record("temperature", temperature);
        metrics.record("noise", *noise);
        Ok(())
    }

    fn best(&self) -> &[f32] {
        &self.state.0
    }

    fn state(&self) -> Result<Standing> {
        Ok(self.state.clone())
    }

    fn set_state(&mut self, state: Standing) -> Result<()> {
        check::len("parameters", self.state.0.len(), state.0.len())?;
        self.state = state;
        Ok(())
    }
}

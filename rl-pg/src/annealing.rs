use crate::local_search::{LocalSearch, Standing, Start, Step};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, check};
use rl_nets::NetworkConfig;
use serde::{Deserialize, Serialize};

/// The settings of [`SimulatedAnnealing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedAnnealingConfig {
    /// The policy; linear.
    pub network: NetworkConfig,
    /// Episodes that score a candidate; 2.
    pub episodes: usize,
    /// How often the policy that the search is at is scored; 5.
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
            network: NetworkConfig { hidden: vec![], ..NetworkConfig::default() },
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
        self.network.validate().map_err(|error| error.within("network"))?;
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
pub type SimulatedAnnealing = LocalSearch<SimulatedAnnealingConfig>;

impl Step for SimulatedAnnealingConfig {
    const NAME: &'static str = "simulated-annealing";

    fn start(&self) -> Result<Start<'_>> {
        self.validate()?;
        let SimulatedAnnealingConfig { network, episodes, trials, noise, .. } = self;
        Ok(Start { network, episodes: *episodes, trials: *trials, noise: noise.at(0.0) })
    }

    fn step(
        &self,
        standing: &mut Standing,
        (candidate, score): (&[f32], f64),
        rng: &mut Rng,
        progress: Progress,
    ) {
        let temperature = self.temperature.at(progress.fraction());
        let gain = score - standing.score();
        if rng.uniform(0.0, 1.0) < (gain / temperature).exp() {
            standing.replace(candidate, score);
        }
        standing.set_noise(self.noise.at(progress.fraction()));
    }

    fn record(&self, progress: Progress, metrics: &mut Metrics) {
        metrics.record("temperature", self.temperature.at(progress.fraction()));
    }
}

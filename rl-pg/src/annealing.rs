use crate::search::builds;
use crate::{Acceptance, Incumbent, LocalSearch, PolicySearch, SearchConfig};
use rl_core::{Metrics, Progress, Result, Rng, Schedule, check};
use rl_nets::NetworkConfig;
use serde::{Deserialize, Serialize};

/// The settings of [`SimulatedAnnealing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulatedAnnealingConfig {
    /// The policy; linear.
    pub network: NetworkConfig,
    /// Episodes per evaluation of a candidate; 2.
    pub episodes: usize,
    /// The number of times that the current policy is scored; 5.
    pub trials: u64,
    /// The standard deviation of the noise, in units of the parameters' root mean square; 2, decreasing to 0.5.
    pub noise: Schedule,
    /// The temperature, in units of return: a candidate whose return is lower by this amount is accepted with
    /// probability 1/e; 2, decreasing to 0.1.
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
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
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
pub type SimulatedAnnealing<D> = PolicySearch<D, LocalSearch<Anneal>>;

builds!(SimulatedAnnealingConfig, SimulatedAnnealing);

impl SearchConfig for SimulatedAnnealingConfig {
    fn validate(&self) -> Result<()> {
        SimulatedAnnealingConfig::validate(self)
    }

    fn common(&self) -> (&NetworkConfig, usize) {
        (&self.network, self.episodes)
    }
}

/// The [`Acceptance`] rule of [`SimulatedAnnealing`].
#[derive(Clone, Debug)]
pub struct Anneal {
    config: SimulatedAnnealingConfig,
}

impl Acceptance for Anneal {
    const NAME: &'static str = "simulated-annealing";
    type Config = SimulatedAnnealingConfig;

    fn new(config: &SimulatedAnnealingConfig) -> Self {
        Anneal { config: config.clone() }
    }

    fn trials(&self) -> u64 {
        self.config.trials
    }

    fn initial_noise(&self) -> f64 {
        self.config.noise.at(0.0)
    }

    fn decide(
        &self,
        incumbent: &mut Incumbent,
        (candidate, score): (&[f32], f64),
        rng: &mut Rng,
        progress: Progress,
    ) {
        let temperature = self.config.temperature.at(progress.fraction());
        let gain = score - incumbent.score();
        if rng.uniform(0.0, 1.0) < (gain / temperature).exp() {
            incumbent.replace(candidate, score);
        }
        incumbent.set_noise(self.config.noise.at(progress.fraction()));
    }

    fn record(&self, progress: Progress, metrics: &mut Metrics) {
        metrics.record("temperature", self.config.temperature.at(progress.fraction()));
    }
}

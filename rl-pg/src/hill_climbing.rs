use crate::search::builds;
use crate::{Acceptance, Incumbent, LocalSearch, PolicySearch, SearchConfig};
use rl_core::{Progress, Result, Rng, check};
use rl_nets::NetworkConfig;
use serde::{Deserialize, Serialize};

/// The settings of [`HillClimbing`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HillClimbingConfig {
    /// The policy; linear.
    pub network: NetworkConfig,
    /// Episodes per evaluation of a candidate; 2.
    pub episodes: usize,
    /// The number of times that the current policy is scored; 5.
    pub trials: u64,
    /// The initial standard deviation of the noise, in units of the parameters' root mean square; 0.5.
    pub noise: f64,
    /// The minimum of the noise; 0.05.
    pub min_noise: f64,
    /// The maximum of the noise; 2, at which a candidate is almost independent of the current policy.
    pub max_noise: f64,
}

impl Default for HillClimbingConfig {
    fn default() -> Self {
        HillClimbingConfig {
            network: NetworkConfig { hidden: vec![], ..NetworkConfig::default() },
            episodes: 2,
            trials: 5,
            noise: 0.5,
            min_noise: 0.05,
            max_noise: 2.0,
        }
    }
}

impl HillClimbingConfig {
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        self.network.validate().map_err(|error| error.within("network"))?;
        check::at_least("episodes", 1, self.episodes as u64)?;
        check::at_least("trials", 1, self.trials)?;
        check::positive("min_noise", self.min_noise)?;
        check::positive("max_noise", self.max_noise)?;
        if !(self.min_noise..=self.max_noise).contains(&self.noise) {
            let expected = format!("a number in [{}, {}]", self.min_noise, self.max_noise);
            return Err(rl_core::Error::config("noise", expected, self.noise));
        }
        Ok(())
    }
}

/// Stochastic hill climbing with adaptive noise:
///
/// ```text
/// for each generation:
///     θ' = (θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)
///     score θ', and θ itself until it has been scored `trials` times
///     if the score of θ' exceeds the mean score of θ: θ <- θ', noise <- noise / 2
///     otherwise: noise <- 2 noise
/// ```
pub type HillClimbing<D> = PolicySearch<D, LocalSearch<Climb>>;

builds!(HillClimbingConfig, HillClimbing);

impl SearchConfig for HillClimbingConfig {
    fn validate(&self) -> Result<()> {
        HillClimbingConfig::validate(self)
    }

    fn common(&self) -> (&NetworkConfig, usize) {
        (&self.network, self.episodes)
    }
}

/// The [`Acceptance`] rule of [`HillClimbing`].
#[derive(Clone, Debug)]
pub struct Climb {
    config: HillClimbingConfig,
}

impl Acceptance for Climb {
    const NAME: &'static str = "hill-climbing";
    type Config = HillClimbingConfig;

    fn new(config: &HillClimbingConfig) -> Self {
        Climb { config: config.clone() }
    }

    fn trials(&self) -> u64 {
        self.config.trials
    }

    fn initial_noise(&self) -> f64 {
        self.config.noise
    }

    fn decide(
        &self,
        incumbent: &mut Incumbent,
        (candidate, score): (&[f32], f64),
        _: &mut Rng,
        _: Progress,
    ) {
        let noise = if score > incumbent.score() {
            incumbent.replace(candidate, score);
            incumbent.noise() / 2.0
        } else {
            incumbent.noise() * 2.0
        };
        incumbent.set_noise(noise.clamp(self.config.min_noise, self.config.max_noise));
    }
}

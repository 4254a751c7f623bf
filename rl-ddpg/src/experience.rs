use rl_core::{Result, check};
use rl_replay::Horizon;
use serde::{Deserialize, Serialize};

/// What an off-policy agent remembers, and how often it learns from it. Defaults are
/// Stable-Baselines3's (2.9).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExperienceConfig {
    /// Transitions that are remembered; 1,000,000.
    pub buffer_size: usize,
    /// Transitions in a minibatch; 256.
    pub batch_size: usize,
    /// Environment steps, over all environments, of random actions before learning begins; 100.
    pub learning_starts: u64,
    /// Environment steps, over all environments, between two rounds of learning; 1.
    pub train_freq: u64,
    /// Gradient steps in a round; 1.
    pub gradient_steps: u64,
    /// The discount factor; 0.99.
    pub gamma: f64,
    /// Rewards that are summed before bootstrapping; 1.
    pub n_step: usize,
}

impl Default for ExperienceConfig {
    fn default() -> Self {
        ExperienceConfig {
            buffer_size: 1_000_000,
            batch_size: 256,
            learning_starts: 100,
            train_freq: 1,
            gradient_steps: 1,
            gamma: 0.99,
            n_step: 1,
        }
    }
}

impl ExperienceConfig {
    /// Checks every field.
    ///
    /// ```
    /// let config = rl_ddpg::ExperienceConfig { train_freq: 0, ..Default::default() };
    /// let error = config.validate().unwrap_err().to_string();
    /// assert_eq!(error, "train_freq: expected an integer >= 1, got 0");
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> Result<()> {
        check::at_least("buffer_size", 1, self.buffer_size as u64)?;
        check::at_least("batch_size", 1, self.batch_size as u64)?;
        check::at_least("train_freq", 1, self.train_freq)?;
        check::at_least("gradient_steps", 1, self.gradient_steps)?;
        check::fraction("gamma", self.gamma)?;
        check::at_least("n_step", 1, self.n_step as u64)
    }

    pub(crate) fn horizon(&self) -> Horizon {
        Horizon { n_step: self.n_step, gamma: self.gamma }
    }
}

use crate::NoiseConfig;
use rl_core::{Result, check};
use rl_nets::{NetworkConfig, OptimizerConfig};
use rl_replay::Horizon;

/// The common settings of the algorithms of this crate.
pub trait OffPolicyConfig: Clone {
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    fn validate(&self) -> Result<()>;

    /// The settings that the agent needs under any rule.
    fn settings(&self) -> OffPolicySettings<'_>;
}

/// The settings common to every agent of this crate.
#[derive(Clone, Copy, Debug)]
pub struct OffPolicySettings<'a> {
    /// The actor.
    pub actor: &'a NetworkConfig,
    /// Each critic.
    pub critic: &'a NetworkConfig,
    /// The optimiser of each network.
    pub optimizer: &'a OptimizerConfig,
    /// Exploration noise added to actions.
    pub exploration: Option<NoiseConfig>,
    /// The settings of the replay buffer and the learning schedule.
    pub experience: Experience,
}

/// The replay buffer and the learning schedule of an off-policy agent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experience {
    /// The capacity of the replay buffer in transitions.
    pub buffer_size: usize,
    /// Transitions per minibatch.
    pub batch_size: usize,
    /// Environment steps, over all environments, with random actions before learning begins.
    pub learning_starts: u64,
    /// Environment steps, over all environments, between two rounds of gradient steps.
    pub train_freq: u64,
    /// Gradient steps per round.
    pub gradient_steps: u64,
    /// The discount factor.
    pub gamma: f64,
    /// The n of n-step returns.
    pub n_step: usize,
    /// Whether networks see normalised observations.
    pub normalize_observations: bool,
}

impl Experience {
    /// Checks all fields.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and the accepted values.
    pub fn validate(&self) -> Result<()> {
        check::at_least("buffer_size", 1, self.buffer_size as u64)?;
        check::at_least("batch_size", 1, self.batch_size as u64)?;
        let (buffer, batch) = (self.buffer_size as u64, self.batch_size as u64);
        check::at_most("batch_size", buffer, "buffer_size", batch)?;
        check::at_least("train_freq", 1, self.train_freq)?;
        check::repeats("gradient_steps", "gradient steps of a round", self.gradient_steps)?;
        check::fraction("gamma", self.gamma)?;
        check::at_least("n_step", 1, self.n_step as u64)
    }

    pub(crate) fn horizon(&self) -> Horizon {
        Horizon { n_step: self.n_step, gamma: self.gamma }
    }
}

/// Checks the settings common to all algorithms of this crate.
pub(crate) fn validate_settings(settings: OffPolicySettings<'_>) -> Result<()> {
    settings.actor.validate().map_err(|error| error.within("actor"))?;
    settings.critic.validate().map_err(|error| error.within("critic"))?;
    settings.optimizer.validate()?;
    settings.exploration.map_or(Ok(()), |noise| noise.validate())?;
    settings.experience.validate()
}

/// Implements `OffPolicyConfig` for an algorithm's settings, and the building of its agent.
macro_rules! builds {
    ($config:ty, $agent:ident, $exploration:expr) => {
        impl crate::OffPolicyConfig for $config {
            fn validate(&self) -> rl_core::Result<()> {
                <$config>::validate(self)
            }

            fn settings(&self) -> crate::OffPolicySettings<'_> {
                crate::OffPolicySettings {
                    actor: &self.actor,
                    critic: &self.critic,
                    optimizer: &self.optimizer,
                    exploration: $exploration(self.exploration),
                    experience: crate::Experience {
                        buffer_size: self.buffer_size,
                        batch_size: self.batch_size,
                        learning_starts: self.learning_starts,
                        train_freq: self.train_freq,
                        gradient_steps: self.gradient_steps,
                        gamma: self.gamma,
                        n_step: self.n_step,
                        normalize_observations: self.normalize_observations,
                    },
                }
            }
        }

        impl rl_nets::AgentConfig<rl_core::BoxSpace, rl_core::BoxSpace> for $config {
            type Agent = $agent;

            fn build<V>(
                &self,
                envs: &V,
                backend: &rl_nets::Backend,
                seeds: rl_core::Seeds,
            ) -> rl_core::Result<$agent>
            where
                V: rl_core::VecEnv<Obs = rl_core::BoxSpace, Action = rl_core::BoxSpace>,
            {
                $agent::new(self, envs, backend, seeds)
            }
        }
    };
}
pub(crate) use builds;

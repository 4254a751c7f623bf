use crate::NoiseConfig;
use rl_core::{Result, check};
use rl_nets::{NetworkConfig, OptimizerConfig};
use rl_replay::Horizon;

/// The settings of an algorithm of this crate, as far as all have them.
pub trait OffPolicyConfig: Clone {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    fn validate(&self) -> Result<()>;

    /// What the agent is made of, whatever its rule.
    fn settings(&self) -> OffPolicySettings<'_>;
}

/// What every agent of this crate is made of.
#[derive(Clone, Copy, Debug)]
pub struct OffPolicySettings<'a> {
    /// The actor.
    pub actor: &'a NetworkConfig,
    /// Each critic.
    pub critic: &'a NetworkConfig,
    /// The optimiser of each.
    pub optimizer: &'a OptimizerConfig,
    /// What is added to actions while exploring.
    pub exploration: Option<NoiseConfig>,
    /// What is remembered and how often it is learned from.
    pub experience: Experience,
}

/// What an off-policy agent remembers, and how often it learns from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Experience {
    /// Transitions that are remembered.
    pub buffer_size: usize,
    /// Transitions in a minibatch.
    pub batch_size: usize,
    /// Environment steps, over all environments, of random actions before learning begins.
    pub learning_starts: u64,
    /// Environment steps, over all environments, between two rounds of learning.
    pub train_freq: u64,
    /// Gradient steps in a round.
    pub gradient_steps: u64,
    /// The discount factor.
    pub gamma: f64,
    /// Rewards that are summed before bootstrapping.
    pub n_step: usize,
}

impl Experience {
    /// Checks every field.
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

/// Checks what all settings of this crate have in common.
pub(crate) fn validate_settings(settings: OffPolicySettings<'_>) -> Result<()> {
    settings.actor.validate().map_err(|error| error.within("actor"))?;
    settings.critic.validate().map_err(|error| error.within("critic"))?;
    settings.optimizer.validate()?;
    settings.exploration.map_or(Ok(()), |noise| noise.validate())?;
    settings.experience.validate()
}

/// What the settings of an algorithm say of its agent, and the agent that they build.
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

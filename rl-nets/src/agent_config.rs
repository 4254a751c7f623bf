//! Settings that can build an agent.

use crate::Backend;
use rl_core::{Agent, Result, Seeds, Space, VecEnv};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The settings of an algorithm for observation space `O` and action space `A`, from which its agent is built for
/// given environments. Each agent also has a constructor `new` with the same arguments; this trait is for code that
/// is generic over algorithms.
///
/// ```
/// use rl_core::{Agent, BoxSpace, Discrete, Result, Seeds, Trainer, TrainerConfig, VecEnv};
/// use rl_nets::{AgentConfig, Backend};
/// /// Trains whatever algorithm `config` belongs to.
/// fn train<C: AgentConfig<BoxSpace, Discrete>>(
///     config: &C,
///     envs: impl VecEnv<Obs = BoxSpace, Action = Discrete>,
/// ) -> Result<C::Agent> {
///     let agent = config.build(&envs, &Backend::cpu(), Seeds::new(0))?;
///     let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(1_000))?;
///     trainer.run()?;
///     Ok(trainer.into_parts().1)
/// }
/// ```
pub trait AgentConfig<O: Space, A: Space>: Clone + Default + Serialize + DeserializeOwned {
    /// The agent.
    type Agent: Agent<Obs = O, Action = A> + 'static;

    /// An agent for `envs`.
    ///
    /// # Errors
    /// Settings out of range; observation or action spaces that the agent does not support; errors of candle.
    fn build<V: VecEnv<Obs = O, Action = A>>(
        &self,
        envs: &V,
        backend: &Backend,
        seeds: Seeds,
    ) -> Result<Self::Agent>;
}

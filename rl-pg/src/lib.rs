//! Policy gradient methods: [`Reinforce`], the actor-critic with learned action values ([`QActorCritic`]) and
//! advantage actor-critic ([`A2c`]). For comparison, the gradient-free [`PolicySearch`] by [`HillClimbing`],
//! [`SimulatedAnnealing`] or [`EvolutionStrategies`].
//!
//! Settings build an agent for environments, and a [`Trainer`](rl_core::Trainer) trains it:
//!
//! ```
//! use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
//! use rl_pg::{A2c, A2cConfig, Backend};
//!
//! let seeds = Seeds::new(0);
//! let envs = |n| SerialVecEnv::new(vec![TimeLimit::new(rl_envs::CartPole::default(), 500)?; n], seeds);
//! let config = A2cConfig { ent_coef: 0.001, ..A2cConfig::default() };
//! let agent = A2c::new(&config, &envs(8)?, &Backend::cpu(), seeds)?;
//! let mut trainer = Trainer::new(envs(8)?, agent, TrainerConfig::new(2_000))?;
//! trainer.run()?;
//! println!("mean return {}", evaluate(trainer.agent_mut(), &mut envs(1)?, 10)?.mean());
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! Of the environments an agent is made for it reads the spaces and the number alone: others alike may train it.
//! `A2cConfig::build`, of the trait [`AgentConfig`], does what `A2c::new` does, for code that does not name the agent.
//!
//! # Settings
//!
//! [`ReinforceConfig`], [`QActorCriticConfig`], [`A2cConfig`], [`HillClimbingConfig`], [`SimulatedAnnealingConfig`] and
//! [`EvolutionStrategiesConfig`]. What is tuned is in `PRESETS` (feature `presets`, on by default):
//! `A2cConfig::preset("CartPole-v1")`, or a whole run by `PRESETS.find("a2c", "CartPole-v1")`.
//!
//! # The gradient
//!
//! The policy gradient methods follow from one theorem (Sutton et al., 2000): with `R` the sum of an episode's
//! rewards,
//!
//! ```text
//! ∇ E[R] = E[ Σ_t Ψ_t ∇ log pi(a_t | s_t) ]
//! ```
//!
//! where `Ψ_t` may be `R`, the return from `t` on, that return minus a state-dependent baseline, `Q(s_t, a_t)`, or
//! the advantage `Q(s_t, a_t) - V(s_t)`. The choices differ in the variance of the estimate.
//!
//! # Where to go from here
//!
//! - A search of your own: a [`SearchRule`].
//! - A network of your own: [`A2c::with_bodies`], [`Reinforce::with_bodies`], [`QActorCritic::with_bodies`].
//! - A run with a folder, checkpoints and resuming: `rl_core::run` (feature `run` of `rl-core`).
//! - A trained policy for acting alone: [`TrainedPolicy`].
//! - The example `gradient_and_search` trains A2C and evolution strategies by one function:
//!   `cargo run --release --package rl-pg --example gradient_and_search`.
#![forbid(unsafe_code)]

mod a2c;
mod annealing;
#[cfg(test)]
mod estimates;
mod evolution;
mod hill_climbing;
mod local_search;
#[cfg(feature = "presets")]
mod presets;
mod q_actor_critic;
mod reinforce;
mod search;

// What a program that trains and acts needs of the networks.
pub use rl_nets::{
    Action, Actions, Activation, AgentConfig, Backend, Init, NetworkConfig, OptimizerConfig,
    TrainedPolicy,
};

pub use a2c::{A2c, A2cConfig};
pub use annealing::{Anneal, SimulatedAnnealing, SimulatedAnnealingConfig};
pub use evolution::{Evolution, EvolutionStrategies, EvolutionStrategiesConfig};
pub use hill_climbing::{Climb, HillClimbing, HillClimbingConfig};
pub use local_search::{Acceptance, Incumbent, LocalSearch};
#[cfg(feature = "presets")]
pub use presets::PRESETS;
pub use q_actor_critic::{QActorCritic, QActorCriticConfig};
pub use reinforce::{Reinforce, ReinforceConfig, ReturnForm};
pub use search::{PolicySearch, SearchConfig, SearchRule};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

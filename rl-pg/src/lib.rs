//! Policy gradient methods: [`Reinforce`], the actor-critic with learned action values ([`QActorCritic`]) and
//! advantage actor-critic ([`A2c`]). For comparison, the gradient-free [`PolicySearch`] by [`HillClimbing`],
//! [`SimulatedAnnealing`] or [`EvolutionStrategies`].
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
pub use rl_nets::{Action, Actions, AgentConfig, Backend, TrainedPolicy};

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

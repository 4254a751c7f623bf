//! Policy optimisation with constrained updates, for discrete and continuous actions: [`Ppo`] with a clipped objective,
//! [`PpoKl`] with an adaptive KL penalty, and [`Trpo`] with a trust region.
//!
//! Settings build an agent for environments, and a [`Trainer`](rl_core::Trainer) trains it:
//!
//! ```
//! use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
//! use rl_ppo::{Backend, Ppo, PpoConfig};
//!
//! let seeds = Seeds::new(0);
//! let envs = |n| SerialVecEnv::new(vec![TimeLimit::new(rl_envs::CartPole::default(), 500)?; n], seeds);
//! let config = PpoConfig {
//!     learning_rate: Schedule::linear(1e-3, 0.0),
//!     n_steps: 32,
//!     batch_size: 256,
//!     ..PpoConfig::default()
//! };
//! let agent = Ppo::new(&config, &envs(8)?, &Backend::cpu(), seeds)?;
//! let mut trainer = Trainer::new(envs(8)?, agent, TrainerConfig::new(20_000))?;
//! trainer.run()?;
//! assert!(evaluate(trainer.agent_mut(), &mut envs(1)?, 10)?.mean() > 100.0);
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! Of the environments an agent is made for it reads the spaces and the number alone: others alike may train it.
//! `PpoConfig::build`, of the trait [`AgentConfig`], does what `Ppo::new` does, for code that does not name the agent.
//!
//! # Settings
//!
//! [`PpoConfig`], [`PpoKlConfig`] and [`TrpoConfig`], whose defaults are published ones. What is tuned is in `PRESETS`
//! (feature `presets`, on by default): `PpoConfig::preset("CartPole-v1")`, or a whole run by
//! `PRESETS.find("ppo", "CartPole-v1")`.
//!
//! # Where to go from here
//!
//! - All three are one agent, [`OnPolicy`], which collects rollouts, with different update rules: implement [`Rule`] to
//!   add another.
//! - A network of your own: [`OnPolicy::with_bodies`].
//! - A run with a folder, checkpoints and resuming: `rl_core::run` (feature `run` of `rl-core`), in the example `train`;
//!   a trained policy for acting alone: [`TrainedPolicy`], in the example `act`.
//! - Examples: `train`, `act`, `threads_and_callbacks`, `own_on_policy_rule`;
//!   `cargo run --release --package rl-ppo --example train -- runs/cartpole` runs one.
#![forbid(unsafe_code)]

mod learner;
mod on_policy;
mod ppo_clip;
mod ppo_kl;
#[cfg(feature = "presets")]
mod presets;
mod trpo;

// What a program that trains and acts needs of the networks.
pub use rl_nets::{
    Action, Actions, Activation, AgentConfig, Backend, Init, NetworkConfig, OptimizerConfig,
    TrainedPolicy,
};

pub use learner::Learner;
pub use on_policy::{OnPolicy, OnPolicyConfig, OnPolicySettings, Rule};
pub use ppo_clip::{ClippedObjective, Ppo, PpoConfig};
pub use ppo_kl::{AdaptiveKl, PpoKl, PpoKlConfig};
#[cfg(feature = "presets")]
pub use presets::PRESETS;
pub use trpo::{Trpo, TrpoConfig, TrustRegion};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

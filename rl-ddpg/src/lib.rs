//! Off-policy actor-critic methods for continuous actions: [`Ddpg`], [`Td3`], [`Sac`] and [`Tqc`].
//!
//! Settings build an agent for environments, and a [`Trainer`](rl_core::Trainer) trains it:
//!
//! ```
//! use rl_core::{Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
//! use rl_ddpg::{Backend, Sac, SacConfig};
//! use rl_nets::NetworkConfig;
//!
//! let seeds = Seeds::new(0);
//! let envs = |n| SerialVecEnv::new(vec![TimeLimit::new(rl_envs::Pendulum::default(), 200)?; n], seeds);
//! let config = SacConfig {
//!     actor: NetworkConfig::mlp(&[64, 64]),
//!     critic: NetworkConfig::mlp(&[64, 64]),
//!     gamma: 0.98,
//!     ..SacConfig::default()
//! };
//! let agent = Sac::new(&config, &envs(1)?, &Backend::cpu(), seeds)?;
//! let mut trainer = Trainer::new(envs(1)?, agent, TrainerConfig::new(300))?; // 20,000 to learn it
//! trainer.run()?;
//! println!("mean return {}", evaluate(trainer.agent_mut(), &mut envs(1)?, 3)?.mean());
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! Networks use actions in [-1, 1]; the agent scales them to the environment's bounds.
//!
//! Of the environments an agent is made for it reads the spaces and the number alone: others alike may train it.
//! `SacConfig::build`, of the trait [`AgentConfig`], does what `Sac::new` does, for code that does not name the agent.
//!
//! # Settings
//!
//! [`DdpgConfig`], [`Td3Config`], [`SacConfig`] and [`TqcConfig`]. What is tuned is in `PRESETS` (feature `presets`, on by
//! default): `SacConfig::preset("Pendulum-v1")`, or a whole run by `PRESETS.find("sac", "Pendulum-v1")`.
//!
//! # Where to go from here
//!
//! - All are one agent, [`OffPolicy`], which explores, fills a replay buffer and learns at a fixed ratio of gradient steps
//!   to environment steps, with different update rules: implement [`Rule`] to add another. The example
//!   `own_off_policy_rule` is one: `cargo run --release --package rl-ddpg --example own_off_policy_rule`.
//! - Networks of your own: [`OffPolicy::with_bodies`].
//! - A run with a folder, checkpoints and resuming: `rl_core::run` (feature `run` of `rl-core`).
//! - A trained policy for acting alone: [`TrainedPolicy`].
#![forbid(unsafe_code)]

mod actor;
mod critic;
mod ddpg;
mod noise;
mod off_policy;
#[cfg(feature = "presets")]
mod presets;
#[cfg(test)]
#[cfg(feature = "candle")]
mod pytorch;
mod q_network;
mod quantile_critic;
mod sac;
mod settings;
mod soft_actor;
mod td3;
mod temperature;
mod tqc;

// What a program that trains and acts needs of the networks.
pub use rl_nets::{
    Action, Actions, Activation, AgentConfig, Backend, Init, NetworkConfig, OptimizerConfig,
    TrainedPolicy,
};

pub use critic::{ActionGradient, Critic, CriticStep};
pub use ddpg::{Ddpg, DdpgConfig, DdpgRule};
pub use noise::{Noise, NoiseConfig};
pub use off_policy::{OffPolicy, Parts, Rule};
#[cfg(feature = "presets")]
pub use presets::PRESETS;
pub use quantile_critic::QuantileCritic;
pub use sac::{Sac, SacConfig, SacRule};
pub use settings::{Experience, OffPolicyConfig, OffPolicySettings};
pub use td3::{Td3, Td3Config, Td3Rule};
pub use temperature::EntCoef;
pub use tqc::{Tqc, TqcConfig, TqcRule};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

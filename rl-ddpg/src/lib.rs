//! Off-policy actor-critic methods for continuous actions: [`Ddpg`], [`Td3`], [`Sac`] and [`Tqc`].
//!
//! All use one agent, [`OffPolicy`], which explores, fills a replay buffer and learns at a fixed ratio of
//! gradient steps to environment steps, with different update rules. Implement [`Rule`] to add another. Networks use
//! actions in [-1, 1]; the agent scales them to the environment's bounds.
#![forbid(unsafe_code)]

mod actor;
mod critic;
mod ddpg;
mod noise;
mod off_policy;
#[cfg(feature = "presets")]
mod presets;
#[cfg(test)]
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
pub use rl_nets::{Action, Actions, AgentConfig, Backend, TrainedPolicy};

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

//! Policy optimisation with constrained updates: [`Ppo`] with a clipped objective, [`PpoKl`] with an adaptive KL
//! penalty, and [`Trpo`] with a trust region.
//!
//! All three use one agent, [`OnPolicy`], which collects rollouts, with different update rules. Implement [`Rule`] to
//! add another.
#![forbid(unsafe_code)]

mod learner;
mod on_policy;
mod ppo_clip;
mod ppo_kl;
#[cfg(feature = "presets")]
mod presets;
mod trpo;

// What a program that trains and acts needs of the networks.
pub use rl_nets::{Action, Actions, AgentConfig, Backend, TrainedPolicy};

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

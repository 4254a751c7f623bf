//! Off-policy actor-critics for continuous actions: [`Ddpg`] and its successors [`Td3`] and [`Sac`].
//!
//! The three are one agent, [`OffPolicy`], which explores, remembers and learns in a fixed ratio, with three
//! rules for what it learns; a [`Rule`] of your own makes a fourth. Networks see actions in [-1, 1]; the agent
//! brings them to the environment's bounds.
#![forbid(unsafe_code)]

mod actor;
mod critic;
mod ddpg;
mod noise;
mod off_policy;
#[cfg(test)]
mod pytorch;
mod sac;
mod settings;
mod td3;
mod unit_box;

pub use critic::{ActionGradient, Critic, CriticStep};
pub use ddpg::{Ddpg, DdpgConfig, DdpgRule};
pub use noise::{Noise, NoiseConfig};
pub use off_policy::{OffPolicy, Parts, Rule};
pub use sac::{EntCoef, Sac, SacConfig, SacRule};
pub use settings::{Experience, OffPolicyConfig, OffPolicySettings};
pub use td3::{Td3, Td3Config, Td3Rule};

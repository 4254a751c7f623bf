//! Policy optimisation with small steps: [`Ppo`] with a clipped objective, [`PpoKl`] with an adaptive KL
//! penalty, and [`Trpo`] with a trust region.
//!
//! The three are one agent, [`OnPolicy`], which gathers rollouts, with three rules to learn by; a
//! [`Rule`] of your own makes a fourth.
#![forbid(unsafe_code)]

mod learner;
mod on_policy;
mod ppo_clip;
mod ppo_kl;
mod trpo;

pub use learner::Learner;
pub use on_policy::{OnPolicy, OnPolicyConfig, OnPolicySettings, Rule};
pub use ppo_clip::{ClippedObjective, Ppo, PpoConfig};
pub use ppo_kl::{AdaptiveKl, PpoKl, PpoKlConfig};
pub use trpo::{Trpo, TrpoConfig, TrustRegion};

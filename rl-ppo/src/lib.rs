//! Proximal policy optimisation with a clipped objective. PPO with a KL penalty and TRPO are to follow.
//!
//! See [`Ppo`] for the algorithm and an example.
#![forbid(unsafe_code)]

mod collector;
mod config;
mod ppo;

pub use config::PpoConfig;
pub use ppo::Ppo;

//! Environments of Gymnasium, stepped in worker processes that run the user's own Python.
//!
//! A worker (`worker.py`) steps any number of environments and answers each message over a pipe; nothing is linked to
//! Python. [`GymVecEnv`] spreads environments over workers and is the fastest; [`GymEnv`] is one environment in a worker
//! of its own, for the wrappers of single environments.

mod config;
mod connection;
mod env;
mod protocol;
mod spaces;
mod vec_env;
mod worker;

pub use config::GymConfig;
pub(crate) use connection::Connection;
pub use env::GymEnv;
pub(crate) use spaces::SpaceSpec;
pub use spaces::{GymAction, GymObs};
pub use vec_env::GymVecEnv;

use rl_core::Rng;

/// Draws the seed of one reset. 31 bits, which every simulator takes.
fn draw_seed(rng: &mut Rng) -> u64 {
    rng.below(1 << 31) as u64
}

//! Memories of experience: the uniform replay ring of off-policy learning, and the rollout of
//! on-policy learning with its advantages.
#![forbid(unsafe_code)]

mod batch;
mod error;
mod ring;
mod rollout;

pub use batch::Batch;
pub use error::{Error, Result};
pub use ring::{Horizon, ReplayRing};
pub use rollout::{Beliefs, Minibatch, Rollout, explained_variance, normalise, shuffle};

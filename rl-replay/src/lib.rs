//! Memories of experience: the uniform replay ring of off-policy learning; the rollout of on-policy
//! learning with its advantages, and whole episodes.
#![forbid(unsafe_code)]

mod batch;
mod collector;
mod episodes;
mod error;
mod handed_out;
mod ring;
mod rollout;

pub use batch::Batch;
pub use collector::Collector;
pub use episodes::{EpisodeRows, Episodes};
pub use error::{Error, Result};
pub use handed_out::HandedOut;
pub use ring::{Horizon, ReplayRing};
pub use rollout::{Estimates, Minibatch, Rollout, explained_variance, normalise, shuffle};

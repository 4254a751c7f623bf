//! Memories of experience: replay for off-policy learning, of a [`Store`] and a [`Sampler`]; the rollout of on-policy
//! learning with its advantages, and whole episodes.
#![forbid(unsafe_code)]

mod batch;
mod collector;
mod episodes;
mod error;
mod frames;
mod handed_out;
mod prioritized;
mod replay;
mod rollout;
mod rows;
mod sampler;
mod side_frames;
mod store;
mod sum_tree;

pub use batch::Batch;
pub use collector::Collector;
pub use episodes::{EpisodeRows, Episodes};
pub use error::{Error, Result};
pub use frames::Frames;
pub use handed_out::HandedOut;
pub use prioritized::{Prioritized, PrioritizedConfig};
pub use replay::Replay;
pub use rollout::{Estimates, Minibatch, Rollout, explained_variance, normalise, shuffle};
pub use rows::Rows;
pub use sampler::{Sampler, Uniform};
pub use store::{Horizon, Store};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

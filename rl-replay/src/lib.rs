//! Memories of experience: [`Replay`] for off-policy learning, a [`Store`] of transitions and a [`Sampler`] that draws
//! minibatches from it; [`Rollout`] for on-policy learning, with its advantages; and whole [`Episodes`].
//!
//! Transitions go in as environments make them, and minibatches come out:
//!
//! ```
//! use rl_core::{Seeds, SerialVecEnv, TimeLimit, VecEnv};
//! use rl_replay::{Batch, Horizon, Prioritized, PrioritizedConfig, Replay, Rows};
//!
//! let env = || TimeLimit::new(rl_envs::CartPole::default(), 500);
//! let mut envs = SerialVecEnv::new(vec![env()?, env()?], Seeds::new(0))?;
//! // Room for 1,000 transitions of two environments: observations of four numbers, actions of one.
//! let store = Rows::new(1_000, 2, 4, 1)?;
//! let sampler = Prioritized::new(&PrioritizedConfig::default(), 1_000)?;
//! let mut replay: Replay<f32, u32> = Replay::new(Box::new(store), Box::new(sampler))?;
//! envs.reset()?;
//! for step in 0..100 {
//!     let actions = [step % 2, 1];
//!     envs.step(&actions)?;
//!     replay.push(&envs.batch().transitions(&actions))?;
//! }
//! let (mut batch, mut rng) = (Batch::new(32, 4, 1)?, Seeds::new(0).stream("replay", 0));
//! let horizon = Horizon { n_step: 3, gamma: 0.99 };
//! replay.sample(&mut rng, 0.0, horizon, &mut batch)?; // 0.0: the run has just begun
//! let errors: Vec<f32> = batch.rewards().iter().map(|reward| (reward - 1.0).abs()).collect();
//! replay.update(&batch, &errors)?; // what was predicted badly is drawn more often
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! # Where to go from here
//!
//! - Stores: [`Rows`] keeps whole transitions, [`Frames`] each frame of stacked images once. Samplers: [`Uniform`],
//!   [`Prioritized`]. [`Replay::uniform`] is the usual pair.
//! - Rollouts: [`Rollout::finish`] is generalised advantage estimation; a [`Collector`] fills them with any
//!   [`StochasticPolicy`](rl_core::StochasticPolicy), [`shuffle`] and [`Minibatch`] deal them out.
//! - Examples: `prioritized`, `advantages`; `cargo run --release --package rl-replay --example prioritized` runs one.
#![forbid(unsafe_code)]

mod batch;
mod blocks;
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

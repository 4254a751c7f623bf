//! Deep Q-learning (DQN and Double DQN) and tabular Q-learning, the method that it generalises.
//!
//! See [`Dqn`] for the algorithm and an example.
#![forbid(unsafe_code)]

mod config;
mod distributional;
mod dqn;
mod head;
mod output_layers;
#[cfg(feature = "presets")]
mod presets;
mod q_learning;
mod values;

// What a program that trains and acts needs of the networks.
pub use rl_nets::{Action, Actions, AgentConfig, Backend, TrainedPolicy};

pub use config::{DqnConfig, HeadConfig};
pub use distributional::{CategoricalReturn, QuantileReturn};
pub use dqn::Dqn;
pub use head::{ExpectedReturn, Head, TdRows};
#[cfg(feature = "presets")]
pub use presets::PRESETS;
pub use q_learning::{QLearning, QLearningConfig};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

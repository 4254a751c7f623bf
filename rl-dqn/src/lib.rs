//! Value-based methods for discrete actions: [`Dqn`], deep Q-learning, whose improvements up to Rainbow are fields of
//! [`DqnConfig`]; and [`QLearning`], the tabular method that it generalises.
//!
//! Settings build an agent for environments, and a [`Trainer`](rl_core::Trainer) trains it:
//!
//! ```
//! use rl_core::{Schedule, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
//! use rl_dqn::{Backend, Dqn, DqnConfig};
//!
//! let seeds = Seeds::new(0);
//! let envs = |n| SerialVecEnv::new(vec![TimeLimit::new(rl_envs::CartPole::default(), 500)?; n], seeds);
//! let config = DqnConfig {
//!     learning_rate: Schedule::linear(1e-3, 1e-5),
//!     target_update_interval: 500,
//!     double_q: true,
//!     ..DqnConfig::default()
//! };
//! let agent = Dqn::new(&config, &envs(4)?, &Backend::cpu(), seeds)?;
//! let mut trainer = Trainer::new(envs(4)?, agent, TrainerConfig::new(2_000))?;
//! trainer.run()?;
//! println!("mean return {}", evaluate(trainer.agent_mut(), &mut envs(1)?, 10)?.mean());
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! Of the environments an agent is made for it reads the spaces and the number alone: others alike may train it.
//! `DqnConfig::build`, of the trait [`AgentConfig`], does what `Dqn::new` does, for code that does not name the agent.
//!
//! # Settings
//!
//! The defaults are Stable-Baselines3's. What is tuned is in `PRESETS` (feature `presets`, on by default):
//! `DqnConfig::preset("CartPole-v1")`, or a whole run by `PRESETS.find("dqn", "CartPole-v1")`.
//!
//! | variant | setting |
//! |---|---|
//! | Double DQN | [`double_q`](DqnConfig::double_q) |
//! | dueling networks | [`dueling`](DqnConfig::dueling) |
//! | prioritised replay | [`prioritized`](DqnConfig::prioritized) |
//! | n-step returns | [`n_step`](DqnConfig::n_step) |
//! | noisy networks | [`noisy`](DqnConfig::noisy) |
//! | C51, QR-DQN | [`head`](field@DqnConfig::head) |
//! | Rainbow, which is all of these | [`DqnConfig::rainbow`] |
//!
//! # Where to go from here
//!
//! - A network of your own: [`Dqn::with_body`], [`Dqn::with_network`]; what its output means: a [`Head`].
//! - Images of bytes are observations like others; `network: NetworkConfig::nature()` reads them.
//! - A run with a folder, checkpoints and resuming: `rl_core::run` (feature `run` of `rl-core`).
//! - A trained policy for acting alone: [`TrainedPolicy`].
//! - Examples: `training_loop`, `own_env`, `action_mask`, `own_wrapper`, `own_network`, `dueling`, `candle_model`,
//!   `own_head`, `composed_agent`; `cargo run --release --package rl-dqn --example own_env` runs one.
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
pub use rl_nets::{
    Action, Actions, Activation, AgentConfig, Backend, Init, NetworkConfig, OptimizerConfig,
    TdLoss, TrainedPolicy,
};

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

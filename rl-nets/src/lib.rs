//! Networks, losses and optimisers for reinforcement learning, on a fused CPU path and on candle.
//!
//! Layers make a network; a forward pass is a value, whose backward pass gives the gradient:
//!
//! ```
//! use rl_core::Seeds;
//! use rl_nets::{Activation, Backend, Body, Linear, Network, NetworkConfig, OptimizerConfig, TdLoss};
//!
//! // Values of three actions for observations of two numbers.
//! let body = NetworkConfig { activation: Activation::Tanh, ..NetworkConfig::mlp(&[32, 32]) };
//! let layers = body.build(&[2])?.then(Linear::new(32, 3)?)?;
//! let mut net = Network::new(layers, &Backend::cpu(), &mut Seeds::new(0).stream("init", 0))?;
//! let mut adam = net.optimizer(OptimizerConfig::adam())?;
//! for _ in 0..200 {
//!     // Two rows. In the first action 0 was taken and 1 is its target; in the second action 2 and -1.
//!     let pass = net.forward(&[0.0, 1.0, 1.0, 0.0])?;
//!     let mut grad = [0.0; 2 * 3];
//!     TdLoss::Mse.of_taken(pass.output(), &[0, 2], &[1.0, -1.0], &mut grad)?;
//!     pass.backward(&mut grad)?;
//!     net.step(&mut adam, 1e-2, Some(10.0))?;
//! }
//! assert!((net.predict(&[0.0, 1.0])?[0] - 1.0).abs() < 0.05);
//! # Ok::<(), rl_nets::Error>(())
//! ```
//!
//! # How it is built
//!
//! A network is composed of modules: leaves such as [`Linear`] and [`Conv2d`], one after another in a [`Chain`] or
//! side by side in a [`Fork`]. All parameters lie in one flat vector in a fixed, named order, so target copies,
//! Polyak averages, clipping and optimisers are single passes. Each leaf, loss and optimiser is defined twice: in
//! candle's operations, the **reference path**, which says what is right on any device; and by hand-derived
//! passes over slices, the **fused path**, which is fast on the CPU. Property tests hold the two equal.
//!
//! # Where to go from here
//!
//! - [`Network`] holds a module's parameters, [`Pass`] is a forward pass of it, [`Learned`] adds an optimiser and a
//!   target.
//! - What users choose is a [`Body`]: settings ([`NetworkConfig`]), a closure that builds modules, or a model of candle
//!   (`CandleBody`). Agents put their heads on it.
//! - Policies: [`Categorical`], [`DiagGaussian`], [`SquashedGaussian`]; [`ActorCriticPolicy`] with [`policy_gradient`],
//!   [`ppo_clip`], [`ppo_kl`]. Values: [`TdLoss`], [`cross_entropy`], [`quantile_huber`].
//! - A layer of your own is a [`Module`]; `check_module` tries it.
//! - [`TrainedPolicy`] loads a policy from a run's folder for acting alone.
//! - [`Backend`] is where networks are computed: the CPU's fused path, or candle on a device. Without the default feature
//!   `candle` there is the first alone.
//! - Examples: `regression`, `own_layer`; `cargo run --release --package rl-nets --example regression` runs one.

mod activation;
mod actor_critic_policy;
mod agent_config;
mod aligned;
mod architectures;
mod backend;
mod body;
#[cfg(feature = "candle")]
mod candle_body;
#[cfg(feature = "candle")]
mod candle_probe;
mod chain;
#[cfg(feature = "candle")]
mod check_module;
mod conv2d;
mod description;
mod distribution;
mod distributional;
mod dueling;
mod error;
mod fisher;
mod fork;
mod init;
pub mod kernels;
mod layer_norm;
mod layout;
mod leading;
mod learned;
mod linear;
mod log_std;
mod loss;
mod masked;
mod module;
mod network;
mod noisy_linear;
#[cfg_attr(not(feature = "candle"), path = "no_device.rs")]
mod on_device;
mod optimizer;
mod optimizer_config;
mod pass;
mod policy_description;
mod policy_loss;
#[cfg(feature = "candle")]
mod reference;
mod rows;
mod squashed_gaussian;
mod trained_policy;
mod weights;

pub use activation::Activation;
pub use actor_critic_policy::ActorCriticPolicy;
pub use agent_config::AgentConfig;
pub use architectures::{
    ActorCriticConfig, Bodies, actor_critic, critics, policy_net, quantile_critics, with_head,
};
pub use backend::Backend;
pub use body::{Body, NetworkConfig};
#[cfg(feature = "candle")]
pub use candle_body::CandleBody;
pub use chain::Chain;
#[cfg(feature = "candle")]
pub use check_module::check_module;
pub use conv2d::{Conv2d, ConvConfig};
pub use description::ModuleDescription;
pub use distribution::{Categorical, DiagGaussian, Distribution, PolicySpace};
pub use distributional::{Support, cross_entropy, quantile_huber};
pub use dueling::Dueling;
pub use error::{Error, Result, check_finite};
pub use fisher::FisherProduct;
pub use fork::Fork;
pub use init::Init;
pub use kernels::Threads;
pub use layout::{Entry, Layout};
pub use leading::Leading;
pub use learned::{Learned, LearnedPass, Loss};
pub use linear::Linear;
pub use log_std::{ClampLogStd, FreeLogStd, LogStd};
pub use loss::TdLoss;
pub use masked::{ActionMasks, Masked, unmasked_width};
pub use module::{CloneModule, Module};
pub use network::Network;
pub use noisy_linear::NoisyLinear;
pub use optimizer::Optimizer;
pub use optimizer_config::OptimizerConfig;
pub use pass::Pass;
pub use policy_description::{Bounds, ObservationDescription, PolicyDescription, PolicyOutput};
pub use policy_loss::{
    Coefficients, KlPenalty, PolicyRows, PolicyStats, policy_gradient, ppo_clip, ppo_kl,
};
#[cfg(feature = "candle")]
pub use reference::{
    ReferenceDistribution, ReferenceRows, policy_gradient_reference, ppo_clip_reference,
    ppo_kl_reference,
};
pub use rows::{InputRows, InputSpace, RowElement};
pub use squashed_gaussian::SquashedGaussian;
pub use trained_policy::{Action, Actions, TrainedPolicy};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

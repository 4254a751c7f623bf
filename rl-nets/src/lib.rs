//! Networks, losses and optimisers, on a fused CPU path and on candle.
//!
//! A network is composed of modules: leaves such as [`Linear`] and [`Conv2d`], one after another in a [`Chain`] or
//! side by side in a [`Fork`]. All parameters lie in one flat vector in a fixed, named order, so target copies,
//! Polyak averages, clipping and optimisers are single passes. Each leaf, loss and optimiser is defined twice: in
//! candle's operations, the **reference path**, which says what is right on any device; and by hand-derived
//! passes over slices, the **fused path**, which is fast on the CPU. Property tests hold the two equal.
//!
//! [`Network`] holds a module's parameters, [`Pass`] is a forward pass of it, [`Learned`] adds an optimiser and a
//! target. What users choose is a [`Body`]: settings, a closure that builds modules, or a model of candle.

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

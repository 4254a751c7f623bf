//! Networks, losses and optimisers on candle.
//!
//! Every network's parameters lie in one flat vector in a fixed, named order, so target copies,
//! Polyak averages, clipping and Adam are single passes. Each network, loss and optimiser is defined
//! twice: in candle's operations, the **reference path**, which says what is right on any device; and
//! by hand-derived passes over slices, the **fused path**, which is fast on the CPU. Property tests
//! hold the two equal.

mod activation;
mod actor_critic;
mod actor_critic_policy;
mod critics;
mod device;
mod distribution;
mod error;
mod fisher;
mod init;
mod kernels;
mod layout;
mod loss;
mod masked;
mod mlp;
mod module;
mod network;
mod optimizer;
mod policy_loss;
mod policy_net;
mod squashed_gaussian;
mod weights;

pub use activation::Activation;
pub use actor_critic::{ActorCritic, ActorCriticConfig};
pub use actor_critic_policy::ActorCriticPolicy;
pub use critics::Critics;
pub use device::Backend;
pub use distribution::{Categorical, DiagGaussian, Distribution, PolicySpace};
pub use error::{Error, Result, check_finite};
pub use fisher::fisher_product;
pub use init::Init;
pub use kernels::Threads;
#[doc(hidden)]
pub use kernels::{Turned, bare_product};
pub use layout::{Entry, Layout};
pub use loss::TdLoss;
pub use masked::Masked;
pub use mlp::{Mlp, MlpConfig};
pub use module::Module;
pub use network::Network;
pub use optimizer::{Optimizer, OptimizerConfig};
pub use policy_loss::{
    Coefficients, KlPenalty, PolicyRows, PolicyStats, ReferenceRows, policy_gradient,
    policy_gradient_reference, ppo_clip, ppo_clip_reference, ppo_kl, ppo_kl_reference,
};
pub use policy_net::{LogStd, PolicyNet};
pub use squashed_gaussian::SquashedGaussian;

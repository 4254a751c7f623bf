//! Environments around environments.

mod append_mask;
mod box_action;
mod normalize_obs;
mod normalize_reward;
mod one_hot;
mod time_limit;

pub use append_mask::{ActionMask, AppendMask};
pub use box_action::{ClipAction, RescaleAction};
pub use normalize_obs::NormalizeObs;
pub use normalize_reward::NormalizeReward;
pub use one_hot::OneHot;
pub use time_limit::TimeLimit;

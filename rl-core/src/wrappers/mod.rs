//! Environments around environments.

mod append_mask;
mod box_action;
mod clip_reward;
mod crop;
mod frame_skip;
mod frame_stack;
mod greyscale;
mod map_action;
mod map_obs;
mod map_reward;
mod normalize_obs;
mod normalize_reward;
mod one_hot;
mod resize;
mod time_limit;

pub use append_mask::{ActionMask, AppendMask, ShowMask};
pub use box_action::{Clip, ClipAction, Rescale, RescaleAction};
pub use clip_reward::{ClipReward, ToSign};
pub use crop::{Crop, ToRectangle};
pub use frame_skip::FrameSkip;
pub use frame_stack::FrameStack;
pub use greyscale::{Greyscale, ToGreyscale};
pub use map_action::{ActionMap, MapAction};
pub use map_obs::{MapObs, ObsMap};
pub use map_reward::{MapReward, RewardMap};
pub use normalize_obs::NormalizeObs;
pub use normalize_reward::{NormalizeReward, ToScale};
pub use one_hot::{OneHot, ShowOneHot};
pub use resize::{Resize, ToSize};
pub use time_limit::TimeLimit;

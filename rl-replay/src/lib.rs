//! Memories of experience: the uniform replay ring of off-policy learning.
#![forbid(unsafe_code)]

mod batch;
mod error;
mod ring;

pub use batch::Batch;
pub use error::{Error, Result};
pub use ring::{Horizon, ReplayRing};

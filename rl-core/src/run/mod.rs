//! Runs: training with settings, folder, checkpoints, metrics, evaluations and resuming.
//!
//! A run takes whatever environments and agent it is given:
//!
//! ```
//! use rl_core::run::{Run, RunConfig};
//! use rl_core::toy::{Guess, Sign};
//! use rl_core::{Seeds, SerialVecEnv};
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path().join("run");
//! let config = RunConfig::new("guess", "Sign", 1_000);
//! let make = |n: usize, seeds: Seeds| SerialVecEnv::new(vec![Sign::with_length(10); n], seeds);
//!
//! let mut run = Run::new(config)?.in_folder(&folder).stop_at(300);
//! let envs = make(run.config().envs, run.seeds())?;
//! assert!(run.train(envs, Guess::default(), make)?.is_none());
//!
//! // Stopped and saved; another process goes on from there.
//! drop(run);
//! let mut run = Run::resume(&folder)?;
//! let envs = make(run.config().envs, run.seeds())?;
//! let summary = run.train(envs, Guess::default(), make)?;
//! assert_eq!(summary.map(|summary| summary.steps), Some(1_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
#[cfg(feature = "plot")]
mod curve;
mod folder;
mod preset;
#[cfg(feature = "progress")]
mod progress;
mod report;
mod session;
mod settings;
mod summary;

pub use config::{Normalize, Reference, RunConfig, WriteErrors};
#[cfg(feature = "plot")]
pub use curve::learning_curve;
pub use folder::{RunFolder, Which, give_policy};
pub use preset::{Preset, Presets};
#[cfg(feature = "progress")]
pub use progress::ProgressDisplay;
pub use report::{Reporter, Status};
pub use session::{FINAL_EPISODES, Run, train_without_folder};
pub use settings::{from_table, parse_count};
pub use summary::Summary;

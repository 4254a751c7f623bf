//! The vocabulary of reinforcement learning, shared by every crate of this workspace: spaces, environments and their
//! wrappers, agents, the training loop with its callbacks, evaluation, schedules, seeds, metrics and checkpoints.
//!
//! An agent is trained in environments by a [`Trainer`], then evaluated in others:
//!
//! ```
//! use rl_core::toy::{Guess, Sign};
//! use rl_core::{MemorySink, Seeds, SerialVecEnv, TimeLimit, Trainer, TrainerConfig, evaluate};
//!
//! let envs = |seed| {
//!     let env = || TimeLimit::new(Sign::with_length(20), 10);
//!     SerialVecEnv::new(vec![env()?, env()?], Seeds::new(seed))
//! };
//! let rows = MemorySink::default();
//! let mut trainer = Trainer::new(envs(0)?, Guess::default(), TrainerConfig::new(1_000))?
//!     .with_sink(rows.clone());
//! trainer.run()?;
//! let evaluation = evaluate(trainer.agent_mut(), &mut envs(1)?, 10)?;
//! assert_eq!((rows.rows().len(), evaluation.returns.len()), (100, 10));
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! [`toy::Sign`] and [`toy::Guess`] stand for an environment of your own ([`Env`] is the trait to implement) or one of
//! `rl-envs`, and for an agent of your own ([`Agent`]) or one of the crates `rl-dqn`, `rl-pg`, `rl-ppo` and `rl-ddpg`.
//!
//! The loop is `act -> step -> observe -> update`. By hand it is:
//!
//! ```
//! use rl_core::toy::{Guess, Sign};
//! use rl_core::{Agent, Metrics, Progress, Seeds, SerialVecEnv, VecEnv};
//!
//! let mut envs = SerialVecEnv::new(vec![Sign::default(), Sign::default()], Seeds::new(0))?;
//! let (mut agent, mut metrics, mut actions) = (Guess::default(), Metrics::default(), [0, 0]);
//! envs.reset()?;
//! for step in (0..1_000).step_by(envs.num_envs()) {
//!     let progress = Progress { step, total: 1_000 };
//!     agent.act(envs.batch().observations(), progress, &mut actions)?;
//!     envs.step(&actions)?;
//!     agent.observe(&envs.batch().transitions(&actions))?;
//!     agent.update(progress, &mut metrics)?;
//! }
//! # Ok::<(), rl_core::Error>(())
//! ```
//!
//! # Where to go from here
//!
//! - Environments: [`Env`] is one, with spaces [`Discrete`] or [`BoxSpace`]; [`SerialVecEnv`] and [`ThreadedVecEnv`] step
//!   several as a [`VecEnv`]. [`TimeLimit`], [`AppendMask`], [`MapObs`], [`MapAction`], [`NormalizeObs`],
//!   [`AtariConfig`] and others wrap them.
//! - Agents: [`Policy`] acts, [`Agent`] learns as well. [`Schedule`]s follow the [`Progress`] of a run.
//! - Runs: [`Callback`]s such as [`EvaluateEvery`] and [`CheckpointEvery`] are called after each round; [`Sink`]s such as
//!   [`FileSink`] receive the metrics. [`CheckpointDir`] keeps checkpoints.
//! - Randomness: every draw comes from a named stream of [`Seeds`], so one seed gives the same bits.
//! - With the feature `run`, the module `run` has whole runs: settings and presets, a folder, evaluations, resuming. The
//!   feature `progress` adds a progress bar, `plot` a learning curve.
//! - The example `own_agent` is an environment and an agent in about a hundred lines.
//!
//! Nothing here prints, exits, panics on input or knows of a network.
#![forbid(unsafe_code)]

mod agent;
mod bad_numbers;
mod bounded;
mod callback;
mod checkpoint;
mod checkpoint_writer;
pub mod codec;
mod env;
mod error;
mod evaluate;
mod file_sink;
mod files;
mod manifest;
mod metrics;
mod moments;
mod normalizer;
pub mod optional;
mod render;
mod resume_check;
#[cfg(feature = "run")]
pub mod run;
mod schedule;
mod sections;
mod seed;
mod serial;
mod space;
mod step_batch;
mod threaded;
pub mod toy;
mod trainer;
mod unit_box;
mod vec_env;
mod wrappers;

pub use agent::{Agent, Policy, Progress, StochasticPolicy};
pub use bad_numbers::BadNumbers;
pub use callback::{Callback, CheckpointEvery, Context, EvaluateEvery, Signal, StopAt};
pub use checkpoint::{CheckpointDir, Latest};
pub use env::{End, Env, Step};
pub use error::{Error, Result, check, nearest_name, one_line};
pub use evaluate::{Evaluation, evaluate, evaluate_watched};
pub use file_sink::{FileFormat, FileSink};
pub use files::{remove_temporary, write_atomically};
pub use manifest::{
    Manifest, NORMALIZER_FILE, POLICY_FILE, SETTINGS_FILE, read_checkpoint, read_checkpoint_files,
};
pub use metrics::{ConsoleSink, MemorySink, Metrics, Row, Sink};
pub use moments::RunningMoments;
pub use normalizer::{Normalizer, NormalizerState};
pub use render::{Image, Render, interleave};
pub use resume_check::check_resume;
pub use schedule::{Changing, Schedule};
pub use sections::Sections;
pub use seed::{Rng, Seeds};
pub use serial::SerialVecEnv;
pub use space::{BoxSpace, Discrete, Element, Space};
pub use step_batch::{Episode, StepBatch, StepRows, Transitions};
pub use threaded::ThreadedVecEnv;
pub use trainer::{Outcome, Trainer, TrainerConfig};
pub use unit_box::UnitBox;
pub use vec_env::VecEnv;
pub use wrappers::{
    ActionMap, ActionMask, AppendMask, Atari, AtariConfig, AtariVecEnv, Clip, ClipAction,
    ClipReward, Crop, EpisodicLife, FireStart, FrameSkip, FrameStack, Greyscale, Invert, Lives,
    MapAction, MapObs, MapReward, NoopStart, NormalizeObs, NormalizeReward, ObsMap, OneHot,
    Rendered, Rescale, RescaleAction, Resize, RewardMap, ShowMask, ShowOneHot, TimeLimit,
    ToGreyscale, ToNegative, ToPicture, ToRectangle, ToScale, ToSign, ToSize,
};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

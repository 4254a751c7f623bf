//! Environments: Gymnasium's classic control and toy-text tasks with the same dynamics, rewards,
//! limits and start distributions, two of them from pictures too; MinAtar's games; and probe environments with exact
//! answers. The environments of classic control and the games can draw themselves ([`rl_core::Render`]).
//! With the feature `mujoco` also Gymnasium's tasks in MuJoCo.
//!
//! With the feature `gymnasium` any environment of Python's Gymnasium, one's own included, has a name: `gym:` and its id,
//! `gym:LunarLander-v3`. It runs in worker processes of the user's own `python3`.
//!
//! ```
//! use rl_core::{Seeds, VecEnv};
//! use rl_envs::{Copies, make_discrete};
//!
//! let mut envs = make_discrete("CartPole-v1", Copies::new(4, Seeds::new(0)))?;
//! envs.reset()?;
//! envs.step(&[0, 1, 0, 1])?;
//! assert_eq!(envs.batch().rewards(), [1.0; 4]);
//! # Ok::<(), rl_envs::Error>(())
//! ```
#![forbid(unsafe_code)]

mod acrobot;
mod cart_pole;
mod checker;
mod fixed;
#[cfg(feature = "gymnasium")]
mod gymnasium;
mod mask_probe;
mod minatar;
mod mountain_car;
mod mountain_car_continuous;
#[cfg(feature = "mujoco")]
mod mujoco;
mod pendulum;
mod pictures;
mod pixel_probe;
mod pixels;
mod probe;
mod registry;
mod tabular;

pub use acrobot::Acrobot;
pub use cart_pole::CartPole;
pub use checker::{check_env, check_masked_env};
#[cfg(feature = "gymnasium")]
pub use gymnasium::{GymAction, GymConfig, GymEnv, GymObs, GymVecEnv};
pub use mask_probe::MaskProbe;
pub use minatar::{Action, Asterix, Breakout, Choices, Freeway, Game, MinAtar, SpaceInvaders};
pub use mountain_car::MountainCar;
pub use mountain_car_continuous::MountainCarContinuous;
#[cfg(feature = "mujoco")]
pub use mujoco::{
    Ant, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum, MujocoEnv,
    MujocoState, MujocoTask, Observation, Pusher, Reacher, Simulation, Swimmer, Walker2d,
    mujoco_models,
};
/// The binding to MuJoCo, for what [`Simulation`] does not offer itself.
#[cfg(feature = "mujoco")]
pub use mujoco_rs;
pub use pendulum::Pendulum;
pub use pixel_probe::PixelProbe;
pub use pixels::{CartPolePixels, PendulumPixels, cart_pole_pixels, pendulum_pixels};
pub use probe::{Probe, ProbeKind};
pub use registry::{
    AnyVecEnv, ContinuousVecEnv, Copies, DiscreteVecEnv, Error, Kind, Options,
    PixelContinuousVecEnv, PixelVecEnv, Spec, TabularVecEnv, find, find_with, make_continuous,
    make_discrete, make_pixels, make_pixels_continuous, make_tabular, registry,
};
pub use tabular::{Successor, Table, Tabular};

/// The README of this crate, its code compiled and run with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod crate_readme {}

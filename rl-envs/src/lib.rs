//! Environments: Gymnasium's classic control and toy-text tasks with the same dynamics, rewards, limits and start
//! distributions, two of them from pictures too; MinAtar's games; and probe environments with exact answers.
//!
//! They are made by name, in copies that are stepped together, or by their types:
//!
//! ```
//! use rl_core::{Seeds, SerialVecEnv, TimeLimit, VecEnv};
//! use rl_envs::{CartPole, Copies, make_discrete};
//!
//! let mut named = make_discrete("CartPole-v1", Copies::new(4, Seeds::new(0)))?;
//! let pole = TimeLimit::new(CartPole::default(), 500)?; // which the name implies
//! let mut typed = SerialVecEnv::new(vec![pole; 4], Seeds::new(0))?;
//! named.reset()?;
//! typed.reset()?;
//! named.step(&[0, 1, 0, 1])?;
//! typed.step(&[0, 1, 0, 1])?;
//! assert_eq!(named.batch().rewards(), [1.0; 4]);
//! assert_eq!(named.batch().observations(), typed.batch().observations());
//! # Ok::<(), rl_envs::Error>(())
//! ```
//!
//! # Where to go from here
//!
//! - By name: [`make_discrete`], [`make_continuous`], [`make_tabular`], [`make_pixels`] and [`make_pixels_continuous`], by
//!   the kind of observations and actions; [`find`] for a name whose kind is not known; [`registry()`] lists all.
//! - By type: [`CartPole`], [`MountainCar`], [`MountainCarContinuous`], [`Acrobot`], [`Pendulum`]; [`Tabular`]
//!   (FrozenLake, CliffWalking, Taxi, or a [`Table`] of your own); [`MinAtar`] with its games; [`CartPolePixels`],
//!   [`PendulumPixels`]. Those of classic control and the games draw themselves ([`rl_core::Render`]).
//! - Of your own: implement [`rl_core::Env`], and let [`check_env`] try it.
//! - To test an agent: a [`Probe`] has an exact answer.
//! - With the feature `gymnasium` any environment of Python's Gymnasium, one's own included, has a name: `gym:` and its id,
//!   `gym:LunarLander-v3`. It runs in worker processes of the user's own `python3`.
//! - With the feature `mujoco` Gymnasium's tasks in MuJoCo: `HalfCheetah-v5` and nine others.
//! - The example `random_play` plays several at random: `cargo run --release --package rl-envs --example random_play`.
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

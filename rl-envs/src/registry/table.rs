//! Every environment that is made by its name alone, a line each.

use super::{AnyVecEnv, Copies, Kind, Maker, Spec};
use crate::{
    Acrobot, Asterix, Breakout, CartPole, Freeway, MinAtar, MountainCar, MountainCarContinuous,
    Pendulum, PixelProbe, Probe, ProbeKind, SpaceInvaders, Tabular, cart_pole_pixels,
    pendulum_pixels,
};
#[cfg(feature = "mujoco")]
use crate::{
    Ant, HalfCheetah, Hopper, Humanoid, InvertedDoublePendulum, InvertedPendulum, MujocoEnv,
    Pusher, Reacher, Swimmer, Walker2d,
};
use rl_core::{BoxSpace, Discrete, Env, OneHot, Result, TimeLimit};
use std::borrow::Cow;

fn limited<E: Env>(spec: &Spec, copies: Copies, env: E) -> Result<TimeLimit<E>> {
    let pixels = matches!(spec.kind, Kind::Pixels | Kind::PixelsContinuous);
    let limit = if pixels { PIXEL_LIMIT } else { LIMIT };
    let limit = spec.max_episode_steps.or(copies.limited.then_some(limit));
    TimeLimit::new(env, limit.unwrap_or(u32::MAX))
}

/// Steps of an episode in an evaluation of an environment without a limit.
const LIMIT: u32 = 1_000;
/// The same of games.
pub(super) const PIXEL_LIMIT: u32 = 10_000;

macro_rules! entry {
    ($id:literal, $kind:ident, $limit:expr, $env:expr) => {
        entry!($id, $kind, $limit, $env, None)
    };
    ($id:literal, $kind:ident, $limit:expr, $env:expr, $one_hot:expr) => {
        Spec {
            id: Cow::Borrowed($id),
            kind: Kind::$kind,
            max_episode_steps: $limit,
            maker: Maker::Native {
                make: |spec, copies| {
                    Ok(AnyVecEnv::$kind(copies.make(|| limited(spec, copies, $env))?))
                },
                one_hot: $one_hot,
            },
        }
    };
}

macro_rules! table {
    ($id:literal, $limit:expr, $env:expr) => {
        entry!(
            $id,
            Tabular,
            $limit,
            $env,
            Some(|spec, copies| copies.make(|| limited(spec, copies, OneHot::new($env)?)))
        )
    };
}

type DiscreteProbe = Probe<Discrete>;
type ContinuousProbe = Probe<BoxSpace>;

/// What the feature `mujoco` adds, for the error of a build without it.
#[cfg(not(feature = "mujoco"))]
pub(super) const MUJOCO: [&str; 11] = [
    "HalfCheetah-v5",
    "Hopper-v5",
    "Walker2d-v5",
    "Ant-v5",
    "AntWithoutForces-v5",
    "Humanoid-v5",
    "Swimmer-v5",
    "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5",
    "Reacher-v5",
    "Pusher-v5",
];

pub(super) static REGISTRY: &[Spec] = &[
    entry!("CartPole-v1", Discrete, Some(500), CartPole::default()),
    entry!("MountainCar-v0", Discrete, Some(200), MountainCar::default()),
    entry!("Acrobot-v1", Discrete, Some(500), Acrobot::default()),
    entry!("MountainCarContinuous-v0", Continuous, Some(999), MountainCarContinuous::default()),
    entry!("Pendulum-v1", Continuous, Some(200), Pendulum::default()),
    table!("FrozenLake-v1", Some(100), Tabular::frozen_lake_4x4(true)),
    table!("FrozenLake8x8-v1", Some(200), Tabular::frozen_lake_8x8(true)),
    table!("FrozenLakeFirm-v1", Some(100), Tabular::frozen_lake_4x4(false)),
    table!("FrozenLakeFirm8x8-v1", Some(200), Tabular::frozen_lake_8x8(false)),
    table!("CliffWalking-v1", None, Tabular::cliff_walking()),
    table!("Taxi-v4", Some(200), Tabular::taxi()),
    entry!("MinAtar/Breakout-v0", Pixels, None, MinAtar::<Breakout>::default()),
    entry!("MinAtar/Breakout-v1", Pixels, None, MinAtar::<Breakout>::default().minimal()),
    entry!("MinAtar/Asterix-v0", Pixels, None, MinAtar::<Asterix>::default()),
    entry!("MinAtar/Asterix-v1", Pixels, None, MinAtar::<Asterix>::default().minimal()),
    entry!("MinAtar/Freeway-v0", Pixels, None, MinAtar::<Freeway>::default()),
    entry!("MinAtar/Freeway-v1", Pixels, None, MinAtar::<Freeway>::default().minimal()),
    entry!("MinAtar/SpaceInvaders-v0", Pixels, None, MinAtar::<SpaceInvaders>::default()),
    entry!("MinAtar/SpaceInvaders-v1", Pixels, None, MinAtar::<SpaceInvaders>::default().minimal()),
    entry!("CartPolePixels-v0", Pixels, Some(500), cart_pole_pixels()?),
    entry!("PendulumPixels-v0", PixelsContinuous, Some(200), pendulum_pixels()?),
    // The easier rules of gymnax: no sticky actions, the minimal ones, 1,000 steps at most (Freeway has its own limit, 2,501
    // for its 2,500). The games are the package's: 24 aliens come first where gymnax has 28.
    entry!(
        "MinAtar/Breakout-gymnax",
        Pixels,
        Some(1_000),
        MinAtar::<Breakout>::default().minimal().with_sticky_actions(0.0)?
    ),
    entry!(
        "MinAtar/Asterix-gymnax",
        Pixels,
        Some(1_000),
        MinAtar::<Asterix>::default().minimal().with_sticky_actions(0.0)?
    ),
    entry!(
        "MinAtar/Freeway-gymnax",
        Pixels,
        None,
        MinAtar::<Freeway>::default().minimal().with_sticky_actions(0.0)?
    ),
    entry!(
        "MinAtar/SpaceInvaders-gymnax",
        Pixels,
        Some(1_000),
        MinAtar::<SpaceInvaders>::default().minimal().with_sticky_actions(0.0)?
    ),
    #[cfg(feature = "mujoco")]
    entry!("HalfCheetah-v5", Continuous, Some(1_000), MujocoEnv::new(HalfCheetah::default())?),
    #[cfg(feature = "mujoco")]
    entry!("Hopper-v5", Continuous, Some(1_000), MujocoEnv::new(Hopper::default())?),
    #[cfg(feature = "mujoco")]
    entry!("Walker2d-v5", Continuous, Some(1_000), MujocoEnv::new(Walker2d::default())?),
    #[cfg(feature = "mujoco")]
    entry!("Ant-v5", Continuous, Some(1_000), MujocoEnv::new(Ant::default())?),
    // `include_cfrc_ext_in_observation=false`; in version 3, of which most returns are published, forces were shown as zeros.
    #[cfg(feature = "mujoco")]
    entry!(
        "AntWithoutForces-v5",
        Continuous,
        Some(1_000),
        MujocoEnv::new(Ant { include_cfrc_ext_in_observation: false, ..Ant::default() })?
    ),
    #[cfg(feature = "mujoco")]
    entry!("Humanoid-v5", Continuous, Some(1_000), MujocoEnv::new(Humanoid::default())?),
    #[cfg(feature = "mujoco")]
    entry!("Swimmer-v5", Continuous, Some(1_000), MujocoEnv::new(Swimmer::default())?),
    #[cfg(feature = "mujoco")]
    entry!(
        "InvertedPendulum-v5",
        Continuous,
        Some(1_000),
        MujocoEnv::new(InvertedPendulum::default())?
    ),
    #[cfg(feature = "mujoco")]
    entry!(
        "InvertedDoublePendulum-v5",
        Continuous,
        Some(1_000),
        MujocoEnv::new(InvertedDoublePendulum::default())?
    ),
    #[cfg(feature = "mujoco")]
    entry!("Reacher-v5", Continuous, Some(50), MujocoEnv::new(Reacher::default())?),
    #[cfg(feature = "mujoco")]
    entry!("Pusher-v5", Continuous, Some(100), MujocoEnv::new(Pusher::default())?),
    entry!("ProbePixels", Pixels, None, PixelProbe::default()),
    entry!("ProbeConstant", Discrete, None, DiscreteProbe::new(ProbeKind::Constant)),
    entry!("ProbeObservation", Discrete, None, DiscreteProbe::new(ProbeKind::Observation)),
    entry!("ProbeDiscount", Discrete, None, DiscreteProbe::new(ProbeKind::Discount)),
    entry!("ProbeChoice", Discrete, None, DiscreteProbe::new(ProbeKind::Choice)),
    entry!(
        "ProbeObservationChoice",
        Discrete,
        None,
        DiscreteProbe::new(ProbeKind::ObservationChoice)
    ),
    entry!("ProbeEndless", Discrete, None, DiscreteProbe::new(ProbeKind::Endless)),
    entry!("ProbeContinuousConstant", Continuous, None, ContinuousProbe::new(ProbeKind::Constant)),
    entry!("ProbeContinuousDiscount", Continuous, None, ContinuousProbe::new(ProbeKind::Discount)),
    entry!("ProbeContinuousChoice", Continuous, None, ContinuousProbe::new(ProbeKind::Choice)),
    entry!(
        "ProbeContinuousObservationChoice",
        Continuous,
        None,
        ContinuousProbe::new(ProbeKind::ObservationChoice)
    ),
    entry!("ProbeContinuousEndless", Continuous, None, ContinuousProbe::new(ProbeKind::Endless)),
];

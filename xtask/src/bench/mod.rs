//! `cargo xtask bench`.

use crate::Result;
use rl_core::run::parse_count;

mod checkpoints;
mod dqn_step;
mod envs;
mod mujoco;
mod overestimation;
mod replay;
mod returns;
mod speed;
mod statistics;

/// A whole number that is at least 1, such as 100_000 or 1e5.
fn positive<T: TryFrom<u64>>(text: &str) -> std::result::Result<T, String> {
    let number = parse_count(text).map_err(|error| error.to_string())?;
    T::try_from(number).ok().filter(|_| number > 0).ok_or_else(|| "expected at least 1".to_owned())
}

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Trains presets over many seeds and compares their returns with the required ones.
    Returns(returns::Args),
    /// One gradient step of DQN compared with the same step in plain candle.
    DqnStep(dqn_step::Args),
    /// Environment steps per second.
    Envs(envs::Args),
    /// Environment steps per second of MuJoCo's tasks beside EnvPool and Gymnasium.
    Mujoco(mujoco::Args),
    /// Throughput of storing in and sampling from the replay buffer.
    Replay(replay::Args),
    /// The pause and the bytes of a checkpoint of a large replay memory.
    Checkpoints(checkpoints::Args),
    /// Transitions per second on fixed workloads, optionally compared with other libraries.
    Speed(speed::Args),
    /// Value estimates compared with true values: DQN and Double DQN, DDPG and TD3.
    Overestimation(overestimation::Args),
}

pub(crate) fn main(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Returns(args) => returns::main(args),
        Verb::DqnStep(args) => dqn_step::main(args),
        Verb::Envs(args) => envs::main(args),
        Verb::Mujoco(args) => mujoco::main(args),
        Verb::Replay(args) => replay::main(args),
        Verb::Checkpoints(args) => checkpoints::main(args),
        Verb::Speed(args) => speed::main(args),
        Verb::Overestimation(args) => overestimation::main(args),
    }
}

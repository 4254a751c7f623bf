//! `cargo xtask bench`.

use crate::Result;

mod dqn_step;
mod envs;
mod overestimation;
mod replay;
mod returns;
mod speed;
mod statistics;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Trains presets over many seeds and compares their returns with what they have to reach.
    Returns(returns::Args),
    /// One gradient step of DQN beside the same step in plain candle.
    DqnStep(dqn_step::Args),
    /// Steps a second of the environments.
    Envs(envs::Args),
    /// How fast transitions go into the replay memory and come out.
    Replay(replay::Args),
    /// Transitions a second on three fixed workloads, beside the peers where asked.
    Speed(speed::Args),
    /// The estimates of critics beside true values: DQN and Double DQN, DDPG and TD3.
    Overestimation(overestimation::Args),
}

pub(crate) fn main(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Returns(args) => returns::main(args),
        Verb::DqnStep(args) => dqn_step::main(args),
        Verb::Envs(args) => envs::main(args),
        Verb::Replay(args) => replay::main(args),
        Verb::Speed(args) => speed::main(args),
        Verb::Overestimation(args) => overestimation::main(args),
    }
}

//! An environment of one's own: a heater is switched on and off to keep a room at 20 degrees while it is windy outside.
//! The checker tries the environment, then DQN learns in four copies of it.
//!
//! `cargo run --release --package rl-dqn --example own_env`
#![allow(clippy::print_stdout, clippy::expect_used)] // A program prints; the spaces are constant.

use rl_core::{BoxSpace, Discrete, Env, Result, Rng, Schedule, Seeds, SerialVecEnv, Step};
use rl_core::{TimeLimit, Trainer, TrainerConfig, evaluate};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::check_env;

/// A room: off (0) and on (1) are the actions, the reward is minus the distance from 20 degrees.
#[derive(Clone, Default)]
struct Room {
    temperature: f32,
    heater: f32,
}

impl Room {
    fn show(&self, obs: &mut [f32]) {
        // Numbers around 0 are easiest to learn from.
        obs.copy_from_slice(&[(self.temperature - 20.0) / 10.0, self.heater]);
    }
}

impl Env for Room {
    type Obs = BoxSpace; // rows of f32; `BoxSpace<u8>` are images
    type Action = Discrete; // an agent for continuous actions does not compile
    type State = (f32, f32); // what a checkpoint keeps

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-3.0, 0.0], vec![3.0, 1.0]).expect("low < high")
    }

    fn action_space(&self) -> Discrete {
        Discrete::new(2).expect("two actions")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        *self = Room { temperature: rng.uniform(10.0, 30.0) as f32, heater: 0.0 };
        self.show(obs);
        Ok(())
    }

    fn step(&mut self, action: usize, rng: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        // All chance comes from the generator that is given: the same seed gives the same episode.
        let wind = rng.uniform(0.0, 0.2) as f32;
        self.heater += 0.5 * (action as f32 - self.heater); // it warms up and cools down slowly
        self.temperature += 2.0 * self.heater - wind * (self.temperature - 10.0);
        self.show(obs);
        // It never ends by itself. A time limit around it says "truncated", so the future still counts.
        Ok(Step::running(-(self.temperature - 20.0).abs()))
    }

    fn state(&self) -> Option<(f32, f32)> {
        Some((self.temperature, self.heater))
    }

    fn set_state(&mut self, (temperature, heater): (f32, f32)) -> Result<()> {
        *self = Room { temperature, heater };
        Ok(())
    }
}

fn main() -> Result<()> {
    let problems = check_env(Room::default, 10);
    assert!(problems.is_empty(), "{problems:?}");

    let envs = || SerialVecEnv::new(vec![TimeLimit::new(Room::default(), 50)?; 4], Seeds::new(0));
    let config = DqnConfig {
        learning_rate: Schedule::linear(2e-3, 1e-4),
        gamma: 0.95,
        target_update_interval: 200,
        ..DqnConfig::default()
    };
    let mut agent = Dqn::new(&config, &envs()?, &Backend::cpu(), Seeds::new(0))?;
    let before = evaluate(&mut agent, &mut envs()?, 20)?.mean();
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(20_000))?;
    trainer.run()?;
    let after = evaluate(trainer.agent_mut(), &mut envs()?, 20)?.mean();
    assert!(after > -100.0 && after > before, "{before}, {after}");
    println!("DQN at the heater: mean return {before:.0} before and {after:.0} after learning");
    Ok(())
}

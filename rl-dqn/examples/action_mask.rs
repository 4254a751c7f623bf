//! Action masks: a walker on a strip must reach its right end, and may not walk left at the wall on the left. The
//! environment says which actions are allowed, the checker tries it, and DQN takes no other.
//!
//! `cargo run --release --package rl-dqn --example action_mask`
#![allow(clippy::print_stdout, clippy::expect_used)] // Spaces of constant bounds.

use rl_core::{
    ActionMask, AppendMask, BoxSpace, Discrete, Env, Result, Rng, Schedule, Seeds, SerialVecEnv,
    Step, Trainer, TrainerConfig, evaluate,
};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::{check_env, check_masked_env};

const LENGTH: usize = 6;

/// Walks left (0) or right (1) from a random place to the right end. Each step costs 1.
#[derive(Clone, Default)]
struct Strip {
    at: usize,
}

impl Env for Strip {
    type Obs = BoxSpace; // rows of f32; `BoxSpace<u8>` are images
    type Action = Discrete; // an agent for continuous actions does not compile
    type State = usize; // what a checkpoint keeps

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![0.0], vec![1.0]).expect("low < high")
    }

    fn action_space(&self) -> Discrete {
        Discrete::new(2).expect("two actions")
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.at = rng.below(LENGTH - 1);
        obs[0] = self.at as f32 / LENGTH as f32;
        Ok(())
    }

    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        let at = (self.at + 2 * action).checked_sub(1);
        self.at = at.ok_or_else(|| rl_core::Error::Env("there is a wall on the left".into()))?;
        obs[0] = self.at as f32 / LENGTH as f32;
        Ok(Step::terminated_if(self.at == LENGTH, -1.0))
    }

    fn state(&self) -> Option<usize> {
        Some(self.at)
    }

    fn set_state(&mut self, at: usize) -> Result<()> {
        self.at = at;
        Ok(())
    }
}

impl ActionMask for Strip {
    fn action_mask(&self, mask: &mut [f32]) {
        mask.copy_from_slice(&[if self.at == 0 { 0.0 } else { 1.0 }, 1.0]);
    }
}

fn main() -> Result<()> {
    // The checker walks into the wall unless it is told of the mask.
    assert!(!check_env(Strip::default, 10).is_empty());
    assert!(check_masked_env(Strip::default, 10).is_empty());

    let envs = || SerialVecEnv::new(vec![AppendMask::new(Strip::default())?; 4], Seeds::new(0));
    let config = DqnConfig {
        learning_rate: Schedule::linear(3e-3, 1e-4),
        target_update_interval: 100,
        action_mask: true,
        ..DqnConfig::default()
    };
    let agent = Dqn::new(&config, &envs()?, &Backend::cpu(), Seeds::new(0))?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(8_000))?;
    trainer.run()?;
    let mean = evaluate(trainer.agent_mut(), &mut envs()?, 40)?.mean();
    // From place 0 to 4 it takes 6 to 2 steps.
    assert!(mean >= -6.0, "{mean}");
    println!("DQN on the strip: mean return {mean}");
    Ok(())
}

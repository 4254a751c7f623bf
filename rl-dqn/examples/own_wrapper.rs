//! Wrappers of one's own. One of observations and one of actions are a mapping each; one that changes rewards is an
//! environment around an environment.
//!
//! `cargo run --release --package rl-dqn --example own_wrapper`
#![allow(clippy::print_stdout, clippy::expect_used)] // Built once before it is handed over.

use rl_core::{
    ActionMap, BoxSpace, Discrete, Env, MapAction, MapObs, ObsMap, Result, Rng, Schedule, Seeds,
    SerialVecEnv, Space, Step, TimeLimit, Trainer, TrainerConfig, evaluate,
};
use rl_dqn::{Backend, Dqn, DqnConfig};
use rl_envs::{Pendulum, check_env};

/// Shows the angle and the velocity in place of sine, cosine and velocity.
#[derive(Clone)]
struct Angle;

impl<E: Env<Obs = BoxSpace>> ObsMap<E> for Angle {
    type Obs = BoxSpace;

    fn space(&self, _: &E) -> Result<BoxSpace> {
        BoxSpace::new(vec![-1.0, -1.0], vec![1.0, 1.0])
    }

    fn map(&self, _: &E, from: &[f32], to: &mut [f32]) -> Result<()> {
        to[0] = from[1].atan2(from[0]) / std::f32::consts::PI;
        to[1] = (from[2] / 8.0).clamp(-1.0, 1.0);
        Ok(())
    }
}

/// Offers a few torques to choose among, so that DQN can swing a pendulum.
#[derive(Clone)]
struct Torques(Vec<f32>);

impl<E: Env<Action = BoxSpace>> ActionMap<E> for Torques {
    type Action = Discrete;

    fn space(&self, _: &E) -> Result<Discrete> {
        Discrete::new(self.0.len() as u32)
    }

    fn map(&self, action: usize, to: &mut [f32]) -> Result<()> {
        to[0] = self.0[action];
        Ok(())
    }
}

/// Divides rewards by a number.
#[derive(Clone)]
struct ScaleReward<E> {
    env: E,
    by: f32,
}

impl<E: Env> Env for ScaleReward<E> {
    type Obs = E::Obs;
    type Action = E::Action;
    type State = E::State;

    fn observation_space(&self) -> E::Obs {
        self.env.observation_space()
    }

    fn action_space(&self) -> E::Action {
        self.env.action_space()
    }

    fn reset(&mut self, rng: &mut Rng, obs: &mut [<E::Obs as Space>::Elem]) -> Result<()> {
        self.env.reset(rng, obs)
    }

    fn step(
        &mut self,
        action: <E::Action as Space>::Value<'_>,
        rng: &mut Rng,
        obs: &mut [<E::Obs as Space>::Elem],
    ) -> Result<Step> {
        let step = self.env.step(action, rng, obs)?;
        Ok(Step { reward: step.reward / self.by, ..step })
    }

    fn state(&self) -> Option<E::State> {
        self.env.state()
    }

    fn set_state(&mut self, state: E::State) -> Result<()> {
        self.env.set_state(state)
    }
}

fn wrapped() -> Result<impl Env<Obs = BoxSpace, Action = Discrete, State: Send> + Clone> {
    let env = MapObs::wrap(Pendulum::default(), Angle)?;
    let env = MapAction::wrap(env, Torques(vec![-2.0, 0.0, 2.0]))?;
    TimeLimit::new(ScaleReward { env, by: 16.0 }, 200)
}

fn main() -> Result<()> {
    assert!(check_env(|| wrapped().expect("spaces of one size"), 5).is_empty());
    let envs = || SerialVecEnv::new(vec![wrapped()?], Seeds::new(0));
    let config = DqnConfig {
        learning_rate: Schedule::linear(2e-3, 1e-4),
        batch_size: 64,
        learning_starts: 1_000,
        gamma: 0.98,
        train_freq: 1,
        target_update_interval: 1,
        tau: 0.005,
        epsilon: Schedule::linear(1.0, 0.05).over(0.3),
        ..DqnConfig::default()
    };
    let agent = Dqn::new(&config, &envs()?, &Backend::cpu(), Seeds::new(0))?;
    let mut trainer = Trainer::new(envs()?, agent, TrainerConfig::new(20_000))?;
    trainer.run()?;
    let mean = 16.0 * evaluate(trainer.agent_mut(), &mut envs()?, 10)?.mean();
    assert!(mean > -500.0, "{mean}");
    println!("DQN on a wrapped Pendulum: mean return {mean:.0}");
    Ok(())
}

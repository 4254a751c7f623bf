//! The checker accepts correct environments and reports faulty ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::{BoxSpace, Discrete, Env, Result, Rng, Seeds, Step, VecEnv};
use rl_envs::*;

#[test]
fn every_environment_of_this_crate_passes() {
    macro_rules! passes {
        ($($make:expr),* $(,)?) => { $( assert_eq!(check_env(|| $make, 6), [""; 0], stringify!($make)); )* };
    }
    passes!(
        CartPole::default(),
        MountainCar::default(),
        MountainCarContinuous::default(),
        Acrobot::default(),
        Pendulum::default(),
        Tabular::frozen_lake_4x4(true),
        Tabular::frozen_lake_4x4(false),
        Tabular::frozen_lake_8x8(true),
        Tabular::cliff_walking(),
        Tabular::taxi(),
        rl_core::OneHot::new(Tabular::taxi()).unwrap(),
        rl_core::RescaleAction::new(Pendulum::default()).unwrap(),
        rl_core::ClipAction::new(Pendulum::default()).unwrap(),
    );
    passes!(
        PixelProbe::default(),
        rl_core::FrameStack::new(PixelProbe::default(), 3).unwrap(),
        rl_core::FrameStack::new(Pendulum::default(), 2).unwrap(),
        rl_core::FrameSkip::new(PixelProbe::default(), 4).unwrap(),
        rl_core::FrameSkip::new(CartPole::default(), 2).unwrap(),
        rl_core::Crop::new(PixelProbe::default(), 0..1, 0..2).unwrap(),
        rl_core::Resize::new(PixelProbe::default(), 2, 1).unwrap(),
    );
    for kind in ProbeKind::ALL {
        passes!(Probe::<Discrete>::new(kind), Probe::<BoxSpace>::new(kind));
    }
}

#[test]
fn the_registry_makes_what_it_lists() {
    let copies = Copies { threads: 2, ..Copies::new(3, Seeds::new(0)) };
    for spec in registry() {
        let reset = match spec.make(copies).unwrap() {
            AnyVecEnv::Discrete(mut envs) => envs.reset(),
            AnyVecEnv::Continuous(mut envs) => envs.reset(),
            AnyVecEnv::Pixels(mut envs) => envs.reset(),
            AnyVecEnv::PixelsContinuous(mut envs) => envs.reset(),
            AnyVecEnv::Tabular(mut envs) => {
                make_discrete(&spec.id, copies).unwrap().reset().unwrap();
                envs.reset()
            }
        };
        reset.unwrap();
    }
    let error = make_continuous("CartPole-v1", copies).err().unwrap().to_string();
    assert_eq!(
        error,
        "environment 'CartPole-v1': expected continuous actions, it has discrete actions"
    );
}

#[cfg(not(feature = "mujoco"))]
#[test]
fn a_name_of_a_feature_says_how_to_get_it() {
    let copies = Copies::new(1, Seeds::new(0));
    let error = make_continuous("HalfCheetah-v5", copies).err().unwrap().to_string();
    assert_eq!(
        error,
        "environment 'HalfCheetah-v5': needs the feature `mujoco` of rl-envs; `cargo xtask setup mujoco` once, \
         then `cargo xtask-mujoco` in place of `cargo xtask`"
    );
}

/// An environment with one fault at a time.
struct Faulty {
    fault: &'static str,
    t: u32,
    hidden: u32,
}

impl Env for Faulty {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = u32;
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0], vec![1.0]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.t = 0;
        obs[0] = if self.fault == "observation" { 7.0 } else { 0.0 };
        Ok(())
    }
    fn step(&mut self, action: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.t += 1;
        self.hidden += 1;
        static GLOBAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        // The fault of assuming that the buffer is the one written last.
        if self.fault == "changes" && self.t > 1 {
            return Ok(Step::terminated_if(self.t == 20, 1.0));
        }
        obs[0] = match self.fault {
            "randomness" => {
                (GLOBAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 97) as f32 / 100.0
            }
            "state" => (self.hidden % 50) as f32 / 50.0,
            "nan" => f32::NAN,
            _ => 0.5,
        };
        if self.fault == "action" {
            rl_core::check::at_most("action", 0, "zero", action as u64)?;
        }
        let reward = if self.fault == "reward" { f32::INFINITY } else { 1.0 };
        Ok(Step::terminated_if(self.t == 20, reward))
    }
    fn state(&self) -> Option<u32> {
        Some(self.t)
    }
    fn set_state(&mut self, state: u32) -> Result<()> {
        self.t = state;
        Ok(())
    }
}

#[test]
fn faults_are_said_in_words() {
    for (fault, words) in [
        (
            "observation",
            "reset: observation dimension 0: expected a number in [-1.0, 1.0], got 7.0",
        ),
        ("nan", "step: observation dimension 0: expected a number in [-1.0, 1.0], got NaN"),
        ("reward", "expected a finite reward, got inf"),
        ("randomness", "the same seed gave two trajectories"),
        ("state", "a restored state does not go on"),
        ("changes", "observations depend on what the row held before, from step 2 on"),
        ("action", "step failed on an action inside its space, [1]"),
    ] {
        let problems = check_env(|| Faulty { fault, t: 0, hidden: 0 }, 4);
        assert!(problems.iter().any(|p| p.contains(words)), "{fault}: {problems:?}");
    }
    assert_eq!(check_env(|| Faulty { fault: "none", t: 0, hidden: 0 }, 4), [""; 0]);
}

#[test]
fn a_wrong_action_is_an_error() {
    let mut rng = Seeds::new(0).stream("env", 0);
    let mut obs = [0.0; 4];
    assert!(CartPole::default().step(2, &mut rng, &mut obs).is_err());
    assert!(MountainCar::default().step(3, &mut rng, &mut obs).is_err());
    assert!(Acrobot::default().step(3, &mut rng, &mut obs).is_err());
    let error = Pendulum::default().step(&[f32::NAN], &mut rng, &mut obs).unwrap_err().to_string();
    assert_eq!(error, "action dimension 0: expected a number, got NaN");
    assert!(Tabular::taxi().step(6, &mut rng, &mut [0]).is_err());
}

#[test]
fn value_iteration_finds_known_values() {
    let cliff = Tabular::cliff_walking();
    assert_eq!(cliff.table().optimal_values(1.0, 0.0)[36], -13.0);
    let lake = Tabular::frozen_lake_4x4(false);
    let value = lake.table().optimal_values(0.9, 1e-12)[0];
    assert!((value - 0.9f64.powi(5)).abs() < 1e-9, "{value}");
}

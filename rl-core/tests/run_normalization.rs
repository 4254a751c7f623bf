//! What a run's settings put around its environments.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used)] // How a test fails.

use rl_core::run::RunConfig;
use rl_core::{BoxSpace, Discrete, Env, Result, Rng, Seeds, SerialVecEnv, Step, VecEnv};

/// Shows large numbers, and a mask behind them.
#[derive(Default)]
struct Masked(f32);

impl Env for Masked {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = f32;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(3).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.0 = 0.0;
        obs.copy_from_slice(&[100.0, 1.0, 1.0]);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.0 += 1.0;
        obs.copy_from_slice(&[100.0 + self.0, 1.0, (self.0 % 2.0)]);
        Ok(Step::terminated_if(self.0 >= 10.0, 1.0))
    }
    fn state(&self) -> Option<f32> {
        Some(self.0)
    }
    fn set_state(&mut self, state: f32) -> Result<()> {
        self.0 = state;
        Ok(())
    }
}

#[test]
fn a_mask_behind_observations_is_not_normalised() {
    let mut config = RunConfig::new("ppo", "Masked-v0", 100);
    config.set("normalize.observations=true").unwrap();
    let made = || {
        let envs = SerialVecEnv::new(vec![Masked::default()], Seeds::new(0)).unwrap();
        Box::new(envs) as Box<dyn VecEnv<Obs = BoxSpace, Action = Discrete>>
    };
    let shown = |except_last| {
        let mut envs = config.normalized_observations(made(), except_last, false).unwrap();
        envs.reset().unwrap();
        let mut shown = Vec::new();
        for _ in 0..15 {
            envs.step(&[0]).unwrap();
            shown.push(envs.batch().observations().to_vec());
        }
        shown
    };
    assert!(shown(2).iter().all(|row| row[0].abs() < 10.0 && row[1] == 1.0));
    assert!(shown(2).iter().all(|row| row[2] == 0.0 || row[2] == 1.0));
    assert!(shown(0).iter().any(|row| row[2] != 0.0 && row[2] != 1.0));
}

//! Environments that panic or give numbers that are none: an error that says which, no hang, no thread left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::{
    BoxSpace, Discrete, Env, Result, Rng, Seeds, SerialVecEnv, Step, ThreadedVecEnv, VecEnv,
};

/// An environment that goes wrong at a step, or in the reset after it.
#[derive(Clone)]
struct Fragile {
    steps: u64,
    fails_at: Option<u64>,
    how: How,
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    InStep,
    InReset,
    Reward(f32),
    Observation(f32),
    Final(f32),
}

impl Env for Fragile {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = u64;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::new(vec![-1.0; 2], vec![1.0; 2]).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        let failed = self.fails_at == Some(self.steps);
        assert!(!(failed && self.how == How::InReset), "reset after {} steps", self.steps);
        obs.fill(0.0);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.steps += 1;
        obs.fill(0.5);
        let mut reward = 1.0;
        let mut ends = self.steps.is_multiple_of(7);
        if self.fails_at == Some(self.steps) {
            match self.how {
                How::InStep => panic!("the wheel came off at {}", self.steps),
                How::InReset => ends = true,
                How::Reward(value) => reward = value,
                How::Observation(value) => obs[1] = value,
                How::Final(value) => (obs[0], ends) = (value, true),
            }
        }
        Ok(Step::terminated_if(ends, reward))
    }
    fn state(&self) -> Option<u64> {
        Some(self.steps)
    }
    fn set_state(&mut self, steps: u64) -> Result<()> {
        self.steps = steps;
        Ok(())
    }
}

fn envs(n: usize, bad: usize, fails_at: u64, how: How) -> Vec<Fragile> {
    let fails = |i| Some(fails_at).filter(|_| i == bad);
    (0..n).map(|i| Fragile { steps: 0, fails_at: fails(i), how }).collect()
}

/// Steps until something goes wrong; the text of the error.
fn until_it_fails(envs: &mut impl VecEnv<Obs = BoxSpace, Action = Discrete>) -> String {
    let actions = vec![0; envs.num_envs()];
    envs.reset().unwrap();
    for step in 0..100 {
        let outcome = envs.step(&actions).and_then(|()| envs.batch().check_finite(step));
        if let Err(error) = outcome {
            return error.to_string();
        }
    }
    panic!("nothing went wrong");
}

/// Threads of this process, where the system tells.
fn threads() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Threads:"))?.trim().parse().ok()
}

/// One test, so that no other starts threads meanwhile.
#[test]
fn what_goes_wrong_in_an_environment_is_an_error_that_says_where() {
    std::panic::set_hook(Box::new(|_| {}));
    let before = threads();
    for round in 0..500u64 {
        let (bad, fails_at) = ((round * 37 % 64) as usize, 1 + round * 13 % 40);
        let in_episode = (fails_at - 1) % 7 + 1;
        let step = format!(
            "environment {bad} panicked at step {in_episode} of its episode: the wheel came off at {fails_at}"
        );
        let reset = format!(
            "environment {bad} panicked at step 0 of its episode: reset after {fails_at} steps"
        );
        for (how, expected) in [(How::InStep, step), (How::InReset, reset)] {
            let parts = 1 + (round % 5) as usize;
            let all = envs(64, bad, fails_at, how);
            let mut threaded = ThreadedVecEnv::new(all.clone(), Seeds::new(round), parts).unwrap();
            assert_eq!(until_it_fails(&mut threaded), expected);
            let mut serial = SerialVecEnv::new(all, Seeds::new(round)).unwrap();
            assert_eq!(until_it_fails(&mut serial), expected);
        }
    }
    assert_eq!(threads(), before);
    for (how, what, got) in [
        (How::Reward(f32::NAN), "reward", "NaN"),
        (How::Reward(f32::INFINITY), "reward", "inf"),
        (How::Observation(f32::NAN), "observation[1]", "NaN"),
        (How::Observation(f32::NEG_INFINITY), "observation[1]", "-inf"),
        (How::Final(f32::NAN), "final observation[0]", "NaN"),
    ] {
        let mut serial = SerialVecEnv::new(envs(5, 3, 9, how), Seeds::new(0)).unwrap();
        let expected =
            format!("{what} of environment 3 at step 8: expected a finite number, got {got}");
        assert_eq!(until_it_fails(&mut serial), expected);
        let mut threaded = ThreadedVecEnv::new(envs(5, 3, 9, how), Seeds::new(0), 2).unwrap();
        assert_eq!(until_it_fails(&mut threaded), expected);
    }
}

//! Sizes and spaces that are refused.
#![allow(clippy::unwrap_used)] // How a test fails.

use rl_core::toy::{Images, Sign};
use rl_core::{
    BoxSpace, Discrete, Env, Error, Normalizer, Resize, Result, Rng, Seeds, SerialVecEnv, Space,
    Step, ThreadedVecEnv, VecEnv,
};

/// Sizes that cannot be had are errors, and no allocation is tried.
#[test]
fn sizes_that_cannot_be_had() {
    for error in [
        BoxSpace::unbounded(usize::MAX).unwrap_err(),
        BoxSpace::<u8>::image(&[usize::MAX]).unwrap_err(),
        Normalizer::new(usize::MAX, 10.0).unwrap_err(),
    ] {
        assert!(error.to_string().contains("a size that fits in memory"), "{error}");
    }
}

/// A space without elements.
#[derive(Clone, Debug, PartialEq)]
struct Nothing;

impl Space for Nothing {
    type Elem = f32;
    type Value<'a> = &'a [f32];

    fn width(&self) -> usize {
        0
    }
    fn value(row: &[f32]) -> &[f32] {
        row
    }
    fn check(&self, _: &str, _: &[f32]) -> Result<()> {
        Ok(())
    }
    fn clip(&self, _: &mut [f32]) {}
    fn sample(&self, _: &mut Rng, _: &mut [f32]) {}
}

/// An environment of these observations, whose episodes begin or do not.
struct Plain<O> {
    observations: O,
    reset: fn() -> Result<()>,
}

impl<O: Space<Elem = f32>> Env for Plain<O> {
    type Obs = O;
    type Action = Discrete;
    type State = ();

    fn observation_space(&self) -> O {
        self.observations.clone()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, _: &mut [f32]) -> Result<()> {
        (self.reset)()
    }
    fn step(&mut self, _: usize, _: &mut Rng, _: &mut [f32]) -> Result<Step> {
        Ok(Step { reward: 0.0, end: None })
    }
    fn state(&self) -> Option<()> {
        Some(())
    }
    fn set_state(&mut self, (): ()) -> Result<()> {
        Ok(())
    }
}

#[test]
fn observations_without_elements() {
    let envs = || vec![Plain { observations: Nothing, reset: || Ok(()) }];
    let serial = SerialVecEnv::new(envs(), Seeds::new(0)).map(drop);
    let threaded = ThreadedVecEnv::new(envs(), Seeds::new(0), 1).map(drop);
    for error in [serial.unwrap_err(), threaded.unwrap_err()] {
        assert_eq!(error.to_string(), "observation width: expected an integer >= 1, got 0");
    }
}

/// A reset that fails begins nothing.
#[test]
fn steps_after_a_reset_that_failed() {
    let error = |envs: &mut dyn VecEnv<Obs = BoxSpace, Action = Discrete>| {
        envs.reset().unwrap_err();
        envs.step(&[0]).unwrap_err().to_string()
    };
    let expected = "environment: nothing to step: no reset yet";
    let observations = BoxSpace::unbounded(1).unwrap();
    let reset = || Err(Error::Env("asleep".to_owned()));
    let envs = || vec![Plain { observations: observations.clone(), reset }];
    let mut serial = SerialVecEnv::new(envs(), Seeds::new(0)).unwrap();
    assert_eq!(error(&mut serial), expected);
    let mut threaded = ThreadedVecEnv::new(envs(), Seeds::new(0), 1).unwrap();
    assert_eq!(error(&mut threaded), expected);
}

/// Without a reset there is no observation that a step could follow from.
#[test]
fn steps_before_a_reset() {
    let signs = || vec![Sign::default(), Sign::default()];
    let mut serial = SerialVecEnv::new(signs(), Seeds::new(0)).unwrap();
    let mut threaded = ThreadedVecEnv::new(signs(), Seeds::new(0), 2).unwrap();
    let refused = |envs: &mut dyn VecEnv<Obs = BoxSpace, Action = Discrete>| {
        let error = envs.step(&[0, 1]).unwrap_err().to_string();
        assert_eq!(error, "environment: nothing to step: no reset yet");
    };
    refused(&mut serial);
    refused(&mut threaded);
    let states = [serial.save().unwrap(), threaded.save().unwrap()];
    serial.reset().unwrap();
    serial.step(&[0, 1]).unwrap();
    threaded.load(&serial.save().unwrap()).unwrap();
    threaded.step(&[0, 1]).unwrap();
    // Nor after a state from before a reset.
    for state in states {
        serial.load(&state).unwrap();
        refused(&mut serial);
        threaded.load(&state).unwrap();
        refused(&mut threaded);
    }
}

#[test]
fn environments_of_different_spaces() {
    let images = |size| Resize::new(Images::new(&[1, 40, 40]).unwrap(), size, size).unwrap();
    // The first of a thread's own is another.
    let envs = || vec![images(30), images(20), images(20), images(30)];
    let serial = SerialVecEnv::new(envs(), Seeds::new(0)).map(drop);
    let threaded = ThreadedVecEnv::new(envs(), Seeds::new(0), 2).map(drop);
    let space =
        |n| format!("BoxSpace {{ shape: [1, {n}, {n}], low: 0, high: 255 }}, Discrete {{ n: 2 }}");
    for error in [serial.unwrap_err(), threaded.unwrap_err()] {
        let what = "spaces of environment 1: expected those of the first";
        let expected = format!("{what}, ({}), got ({})", space(30), space(20));
        assert_eq!(error.to_string(), expected);
    }
    let bounds = BoxSpace::new(vec![-1.0, -2.0], vec![2.0, 2.0]).unwrap();
    assert_eq!(format!("{bounds:?}"), "BoxSpace { shape: [2], low: [-1.0, -2.0], high: 2.0 }");
}

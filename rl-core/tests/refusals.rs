//! Sizes and spaces that are refused.
#![allow(clippy::unwrap_used)] // How a test fails.

use rl_core::{
    BoxSpace, Discrete, Env, Normalizer, Result, Rng, Seeds, SerialVecEnv, Space, Step,
    ThreadedVecEnv,
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

struct Blind;

impl Env for Blind {
    type Obs = Nothing;
    type Action = Discrete;
    type State = ();

    fn observation_space(&self) -> Nothing {
        Nothing
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, _: &mut [f32]) -> Result<()> {
        Ok(())
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
    let serial = SerialVecEnv::new(vec![Blind], Seeds::new(0)).map(drop);
    let threaded = ThreadedVecEnv::new(vec![Blind], Seeds::new(0), 1).map(drop);
    for error in [serial.unwrap_err(), threaded.unwrap_err()] {
        assert_eq!(error.to_string(), "observation width: expected an integer >= 1, got 0");
    }
}

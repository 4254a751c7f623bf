//! Spaces with constant bounds.
#![allow(clippy::expect_used)] // Callers pass only constants; the tests build every environment.

use rl_core::{BoxSpace, Discrete, Error, Result};

pub(crate) fn choices(n: u32) -> Discrete {
    Discrete::new(n).expect("at least one choice")
}

pub(crate) fn bounds(low: &[f32], high: &[f32]) -> BoxSpace {
    BoxSpace::new(low.to_vec(), high.to_vec()).expect("low < high")
}

pub(crate) fn image(shape: &[usize]) -> BoxSpace<u8> {
    BoxSpace::image(shape).expect("positive dimensions")
}

pub(crate) fn planes(shape: &[usize]) -> BoxSpace<u8> {
    BoxSpace::planes(shape, 1).expect("positive dimensions")
}

pub(crate) fn symmetric(high: &[f32]) -> BoxSpace {
    bounds(&high.iter().map(|x| -x).collect::<Vec<_>>(), high)
}

/// Reads a one-dimensional action.
pub(crate) fn one_number(action: &[f32]) -> Result<f32> {
    match action {
        [a] if !a.is_nan() => Ok(*a),
        [a] => Err(Error::mismatch("action dimension 0", "a number", a)),
        _ => Err(Error::mismatch("action", "1 element", action.len())),
    }
}

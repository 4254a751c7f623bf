//! The noise of starts.

use rl_core::Rng;

/// Adds uniform noise in `[-scale, scale)`.
pub(super) fn uniform(rng: &mut Rng, scale: f64, values: &mut [f64]) {
    values.iter_mut().for_each(|x| *x += rng.uniform(-scale, scale));
}

/// Adds normal noise with the standard deviation `scale`.
pub(super) fn normal(rng: &mut Rng, scale: f64, values: &mut [f64]) {
    values.iter_mut().for_each(|x| *x += scale * rng.normal());
}

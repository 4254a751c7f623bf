//! The policy that a search stands at.

use rl_core::{Result, Rng, check};
use serde::{Deserialize, Serialize};

/// Parameters and what they have earned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    params: Vec<f32>,
    sum: f64,
    trials: u64,
    noise: f64,
    /// The root mean square that the parameters began with.
    start: f64,
}

/// The root mean square.
fn rms(params: &[f32]) -> f64 {
    let squares = params.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>();
    (squares / params.len() as f64).sqrt()
}

impl Standing {
    /// Parameters that have not been scored.
    pub(crate) fn new(params: Vec<f32>, noise: f64) -> Self {
        Standing { start: rms(&params), params, sum: 0.0, trials: 0, noise }
    }

    pub(crate) fn params(&self) -> &[f32] {
        &self.params
    }

    /// The mean of its scores.
    pub(crate) fn score(&self) -> f64 {
        self.sum / self.trials as f64
    }

    /// The standard deviation of the noise, in units of the parameters' root mean square: what a policy
    /// does depends on how its parameters compare with each other.
    pub(crate) fn noise(&self) -> f64 {
        self.noise
    }

    pub(crate) fn set_noise(&mut self, noise: f64) {
        self.noise = noise;
    }

    /// A candidate near it, `(θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)`, followed by itself as long as it has been scored fewer than `trials` times:
    /// scored once, a lucky one would stand for good. The
    /// division keeps the parameters from growing with each step; the noise is bounded by what they began
    /// with, so that a long walk over level ground stays within the numbers.
    pub(crate) fn propose(&self, trials: u64, rng: &mut Rng) -> Vec<Vec<f32>> {
        let scale = self.noise * rms(&self.params).clamp(0.1 * self.start, 10.0 * self.start);
        let shrink = 1.0 / (1.0 + self.noise * self.noise).sqrt();
        let near = |p: &f32| (shrink * (f64::from(*p) + scale * rng.normal())) as f32;
        let near = self.params.iter().map(near).collect();
        let mut candidates = vec![near];
        if self.trials < trials {
            candidates.push(self.params.clone());
        }
        candidates
    }

    /// Takes in its own new score where there is one; gives the candidate's.
    pub(crate) fn tell(&mut self, scores: &[f64]) -> f64 {
        if let [_, own] = scores {
            self.sum += own;
            self.trials += 1;
        }
        scores[0]
    }

    /// Stands at a candidate from now on.
    pub(crate) fn replace(&mut self, params: &[f32], score: f64) {
        self.params.copy_from_slice(params);
        (self.sum, self.trials) = (score, 1);
    }

    /// Goes back to a saved one.
    pub(crate) fn restore(&mut self, saved: Standing) -> Result<()> {
        check::len("parameters", self.params.len(), saved.params.len())?;
        check::non_negative("noise", saved.noise)?;
        check::non_negative("first root mean square", saved.start)?;
        *self = saved;
        Ok(())
    }
}

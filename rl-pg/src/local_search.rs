//! Local search: keeps one policy and replaces it with a candidate near it.

use crate::{SearchConfig, SearchRule};
use rl_core::{Metrics, Progress, Result, Rng, check};
use serde::{Deserialize, Serialize};

/// When a local search accepts a candidate, and how much noise the next one gets.
pub trait Acceptance: Clone {
    /// The algorithm's name, stored in checkpoints to identify the algorithm.
    const NAME: &'static str;

    /// The settings.
    type Config: SearchConfig;

    /// A rule with these settings, which have been validated.
    fn new(config: &Self::Config) -> Self;

    /// The number of times that the current policy is scored.
    fn trials(&self) -> u64;

    /// The initial standard deviation of the noise, in units of the parameters' root mean square.
    fn initial_noise(&self) -> f64;

    /// Accepts or rejects the candidate, and sets the noise of the next one.
    fn decide(
        &self,
        incumbent: &mut Incumbent,
        candidate: (&[f32], f64),
        rng: &mut Rng,
        progress: Progress,
    );

    /// Records additional metrics of this kind of search.
    fn record(&self, progress: Progress, metrics: &mut Metrics) {
        let _ = (progress, metrics);
    }
}

/// The [`SearchRule`] of a local search: keeps one policy, scores a candidate near it, and accepts or rejects it.
#[derive(Clone, Debug)]
pub struct LocalSearch<S> {
    acceptance: S,
    incumbent: Incumbent,
}

impl<S: Acceptance> SearchRule for LocalSearch<S> {
    const NAME: &'static str = S::NAME;
    type Config = S::Config;
    type State = Incumbent;

    fn new(config: &S::Config, params: Vec<f32>) -> Result<Self> {
        let acceptance = S::new(config);
        Ok(LocalSearch {
            incumbent: Incumbent::new(params, acceptance.initial_noise()),
            acceptance,
        })
    }

    fn propose(&mut self, rng: &mut Rng, candidates: &mut Vec<f32>) {
        self.incumbent.propose(self.acceptance.trials(), rng, candidates);
    }

    fn update(
        &mut self,
        candidates: &[f32],
        scores: &[f64],
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let score = self.incumbent.update(scores);
        let candidate = &candidates[..self.incumbent.params.len()];
        self.acceptance.decide(&mut self.incumbent, (candidate, score), rng, progress);
        metrics.record("best_score", self.incumbent.score());
        self.acceptance.record(progress, metrics);
        metrics.record("noise", self.incumbent.noise());
        Ok(())
    }

    fn best(&self) -> &[f32] {
        self.incumbent.params()
    }

    fn set_best(&mut self, params: &[f32]) -> Result<()> {
        self.incumbent = Incumbent::new(params.to_vec(), self.acceptance.initial_noise());
        Ok(())
    }

    fn state(&self) -> Result<Incumbent> {
        Ok(self.incumbent.clone())
    }

    fn set_state(&mut self, state: Incumbent) -> Result<()> {
        self.incumbent.restore(state)
    }
}

/// The current parameters and their scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incumbent {
    params: Vec<f32>,
    sum: f64,
    trials: u64,
    noise: f64,
    /// The root mean square of the initial parameters.
    start: f64,
}

/// The root mean square.
fn rms(params: &[f32]) -> f64 {
    let squares = params.iter().map(|p| f64::from(*p).powi(2)).sum::<f64>();
    (squares / params.len() as f64).sqrt()
}

impl Incumbent {
    /// Parameters without a score.
    pub(crate) fn new(params: Vec<f32>, noise: f64) -> Self {
        Incumbent { start: rms(&params), params, sum: 0.0, trials: 0, noise }
    }

    pub(crate) fn params(&self) -> &[f32] {
        &self.params
    }

    /// The mean of its scores.
    pub fn score(&self) -> f64 {
        self.sum / self.trials as f64
    }

    /// The standard deviation of the noise, in units of the parameters' root mean square, since a policy's behaviour
    /// depends on the relative sizes of its parameters.
    pub fn noise(&self) -> f64 {
        self.noise
    }

    /// Sets the noise of the next candidate.
    pub fn set_noise(&mut self, noise: f64) {
        self.noise = noise;
    }

    /// Proposes a nearby candidate, `(θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)`, followed by the current
    /// parameters while they have fewer than `trials` scores: with a single score, a lucky policy would never be
    /// replaced. The division keeps the parameters from growing with each step. The scale of the noise is bounded
    /// relative to the initial parameters, so that a long search on a flat objective does not overflow.
    pub(crate) fn propose(&self, trials: u64, rng: &mut Rng, candidates: &mut Vec<f32>) {
        let scale = self.noise * rms(&self.params).clamp(0.1 * self.start, 10.0 * self.start);
        let shrink = 1.0 / (1.0 + self.noise * self.noise).sqrt();
        let near = |p: &f32| (shrink * (f64::from(*p) + scale * rng.normal())) as f32;
        candidates.clear();
        candidates.extend(self.params.iter().map(near));
        if self.trials < trials {
            candidates.extend_from_slice(&self.params);
        }
    }

    /// Adds the new score of the current parameters, if any; returns the candidate's score.
    pub(crate) fn update(&mut self, scores: &[f64]) -> f64 {
        if let [_, own] = scores {
            self.sum += own;
            self.trials += 1;
        }
        scores[0]
    }

    /// Replaces the current parameters with a candidate.
    pub fn replace(&mut self, params: &[f32], score: f64) {
        self.params.copy_from_slice(params);
        (self.sum, self.trials) = (score, 1);
    }

    /// Restores a saved state.
    pub(crate) fn restore(&mut self, saved: Incumbent) -> Result<()> {
        check::len("parameters", self.params.len(), saved.params.len())?;
        check::count("rule.bin: scores of the parameters", saved.trials)?;
        check::finite("rule.bin: the sum of scores", saved.sum)?;
        saved
            .params
            .iter()
            .try_for_each(|p| check::finite("rule.bin: a parameter", (*p).into()))?;
        check::non_negative("noise", saved.noise)?;
        check::non_negative("first root mean square", saved.start)?;
        *self = saved;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rl_core::Seeds;

    #[test]
    fn a_policy_is_scored_as_often_as_the_settings_say() {
        let (mut rng, mut candidates) = (Seeds::new(0).stream("t", 0), Vec::new());
        let mut incumbent = Incumbent::new(vec![3.0, -4.0], 0.5);
        for own in [2.0, 4.0] {
            incumbent.propose(2, &mut rng, &mut candidates);
            assert_eq!(candidates[2..], [3.0, -4.0]);
            assert_eq!(incumbent.update(&[7.0, own]), 7.0);
        }
        assert_eq!(incumbent.score(), 3.0);
        incumbent.propose(2, &mut rng, &mut candidates);
        assert_eq!(candidates.len(), 2);
        assert_eq!(incumbent.update(&[8.0]), 8.0);
        assert_eq!(incumbent.score(), 3.0);
        incumbent.replace(&[1.0, 2.0], 8.0);
        assert_eq!((incumbent.params(), incumbent.score()), (&[1.0, 2.0][..], 8.0));
    }
}

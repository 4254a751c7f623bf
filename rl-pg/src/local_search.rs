//! Searches that hold one policy and move to another near it.

use crate::{SearchConfig, SearchRule};
use rl_core::{Metrics, Progress, Result, Rng, check};
use serde::{Deserialize, Serialize};

/// When a local search moves to a candidate, and how far away it looks for the next.
pub trait Acceptance: Clone {
    /// The algorithm's name, by which a checkpoint knows its owner.
    const NAME: &'static str;

    /// The settings.
    type Config: SearchConfig;

    /// With these settings, which have been checked.
    fn new(config: &Self::Config) -> Self;

    /// How often the policy that the search is at is scored.
    fn trials(&self) -> u64;

    /// The noise's first standard deviation, in units of the parameters' root mean square.
    fn initial_noise(&self) -> f64;

    /// Takes the candidate or leaves it, and sets the noise of the next.
    fn decide(
        &self,
        standing: &mut Standing,
        candidate: (&[f32], f64),
        rng: &mut Rng,
        progress: Progress,
    );

    /// Records what only this kind of search can tell.
    fn record(&self, progress: Progress, metrics: &mut Metrics) {
        let _ = (progress, metrics);
    }
}

/// The [`SearchRule`] of a search that holds one policy, scores a candidate near it, and takes it or leaves it.
#[derive(Clone, Debug)]
pub struct LocalSearch<S> {
    acceptance: S,
    standing: Standing,
}

impl<S: Acceptance> SearchRule for LocalSearch<S> {
    const NAME: &'static str = S::NAME;
    type Config = S::Config;
    type State = Standing;

    fn new(config: &S::Config, params: Vec<f32>) -> Result<Self> {
        let acceptance = S::new(config);
        Ok(LocalSearch { standing: Standing::new(params, acceptance.initial_noise()), acceptance })
    }

    fn propose(&mut self, rng: &mut Rng, candidates: &mut Vec<f32>) {
        self.standing.propose(self.acceptance.trials(), rng, candidates);
    }

    fn tell(
        &mut self,
        candidates: &[f32],
        scores: &[f64],
        rng: &mut Rng,
        progress: Progress,
        metrics: &mut Metrics,
    ) -> Result<()> {
        let score = self.standing.tell(scores);
        let candidate = &candidates[..self.standing.params.len()];
        self.acceptance.decide(&mut self.standing, (candidate, score), rng, progress);
        metrics.record("best_score", self.standing.score());
        self.acceptance.record(progress, metrics);
        metrics.record("noise", self.standing.noise());
        Ok(())
    }

    fn best(&self) -> &[f32] {
        self.standing.params()
    }

    fn set_best(&mut self, params: &[f32]) {
        self.standing = Standing::new(params.to_vec(), self.acceptance.initial_noise());
    }

    fn state(&self) -> Result<Standing> {
        Ok(self.standing.clone())
    }

    fn set_state(&mut self, state: Standing) -> Result<()> {
        self.standing.restore(state)
    }
}

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
    pub fn score(&self) -> f64 {
        self.sum / self.trials as f64
    }

    /// The standard deviation of the noise, in units of the parameters' root mean square: what a policy
    /// does depends on how its parameters compare with each other.
    pub fn noise(&self) -> f64 {
        self.noise
    }

    /// Sets the noise of the next candidate.
    pub fn set_noise(&mut self, noise: f64) {
        self.noise = noise;
    }

    /// A candidate near it, `(θ + noise rms(θ) N(0, 1)) / sqrt(1 + noise²)`, followed by itself as long as it has been scored fewer than `trials` times:
    /// scored once, a lucky one would stand for good. The
    /// division keeps the parameters from growing with each step; the noise is bounded by what they began
    /// with, so that a long walk over level ground stays within the numbers.
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

    /// Takes in its own new score where there is one; gives the candidate's.
    pub(crate) fn tell(&mut self, scores: &[f64]) -> f64 {
        if let [_, own] = scores {
            self.sum += own;
            self.trials += 1;
        }
        scores[0]
    }

    /// Stands at a candidate from now on.
    pub fn replace(&mut self, params: &[f32], score: f64) {
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

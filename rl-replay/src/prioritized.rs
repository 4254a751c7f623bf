//! Prioritised experience replay.

use crate::sum_tree::SumTree;
use crate::{Result, Sampler};
use rl_core::{Rng, Schedule, check, codec};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The settings of [`Prioritized`] sampling. Defaults are those of Schaul et al. (2016) for the proportional variant, and
/// OpenAI Baselines' `eps`. The paper also clips errors and takes smaller steps; the head and the step size are the
/// agent's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table such as { alpha = 0.6 }")]
pub struct PrioritizedConfig {
    /// How strongly priorities count: 0 draws uniformly; 0.6.
    pub alpha: f64,
    /// How much of the bias is corrected by importance weights: 1 for all of it; 0.4 to 1 over the run.
    pub beta: Schedule,
    /// Added to errors, so that no transition is never drawn; 1e-6.
    pub eps: f64,
}

impl Default for PrioritizedConfig {
    fn default() -> Self {
        PrioritizedConfig { alpha: 0.6, beta: Schedule::linear(0.4, 1.0), eps: 1e-6 }
    }
}

impl PrioritizedConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] that names the field and what it accepts.
    pub fn validate(&self) -> rl_core::Result<()> {
        check::fraction("alpha", self.alpha)?;
        self.beta.validate("beta", check::fraction)?;
        check::positive("eps", self.eps)
    }
}

/// Draws transitions by how wrong their predictions were (Schaul et al., 2016, the proportional variant):
///
/// ```text
/// P(i) = p_i / Σ_k p_k,   p_i = (|error_i| + eps)^alpha
/// w_i  = (N P(i))^-beta / max_j w_j                 the maximum over the minibatch
/// ```
///
/// New transitions get the largest priority that there has been, so that each is soon drawn once. A minibatch is drawn
/// stratified: one from each of as many equal parts of the sum.
///
/// ```
/// use rl_core::Seeds;
/// use rl_replay::{Prioritized, PrioritizedConfig, Sampler};
/// let mut sampler = Prioritized::new(&PrioritizedConfig { alpha: 1.0, ..Default::default() }, 4)?;
/// sampler.added(0..4);
/// sampler.update(&[0, 1, 2, 3], &[0.0, 0.0, 0.0, 9.0])?;
/// let (mut indices, mut weights) = ([0; 8], [0.0; 8]);
/// sampler.sample(4, 1.0, &mut Seeds::new(0).stream("replay", 0), &mut indices, &mut weights);
/// assert_eq!(indices, [3; 8]);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Prioritized {
    config: PrioritizedConfig,
    priorities: SumTree,
    largest: f64,
    /// Scratch: the points that are drawn of the sum.
    points: Vec<f64>,
}

impl Prioritized {
    /// A sampler for a store of `capacity` places.
    ///
    /// # Errors
    /// Those of [`PrioritizedConfig::validate`]; no places, or more than fit in memory.
    pub fn new(config: &PrioritizedConfig, capacity: usize) -> Result<Self> {
        config.validate()?;
        check::at_least("buffer_size", 1, capacity as u64)?;
        check::memory("buffer_size", capacity, SumTree::bytes(capacity))?;
        let priorities = SumTree::new(capacity);
        Ok(Prioritized { config: config.clone(), priorities, largest: 1.0, points: Vec::new() })
    }

    /// The probability with which the transition in a place is drawn; 0 for a place without one.
    pub fn probability(&self, place: usize) -> f64 {
        match self.priorities.weights().get(place) {
            Some(weight) if *weight > 0.0 => weight / self.priorities.total(),
            _ => 0.0,
        }
    }
}

impl Sampler for Prioritized {
    fn places(&self) -> Option<usize> {
        Some(self.priorities.weights().len())
    }

    fn added(&mut self, places: Range<usize>) {
        places.for_each(|place| self.priorities.set(place, self.largest));
    }

    fn sample(
        &mut self,
        stored: usize,
        fraction: f64,
        rng: &mut Rng,
        indices: &mut [usize],
        weights: &mut [f32],
    ) {
        let (total, n) = (self.priorities.total(), indices.len() as f64);
        let beta = self.config.beta.at(fraction);
        self.points.clear();
        let strata = 0..indices.len();
        self.points.extend(strata.map(|k| (k as f64 + rng.uniform(0.0, 1.0)) / n * total));
        self.priorities.find(&mut self.points, indices);
        indices.iter_mut().for_each(|index| *index = (*index).min(stored - 1));
        let rarest = indices.iter().map(|i| self.priorities.get(*i)).fold(f64::INFINITY, f64::min);
        for (index, weight) in indices.iter().zip(weights.iter_mut()) {
            // The number stored and the sum of priorities cancel.
            *weight = (rarest / self.priorities.get(*index)).powf(beta) as f32;
        }
    }

    fn update(&mut self, indices: &[usize], errors: &[f32]) -> Result<()> {
        check::len("errors", indices.len(), errors.len())?;
        if let Some(bad) = errors.iter().find(|error| !(error.is_finite() && **error >= 0.0)) {
            let expected = "a finite number >= 0";
            return Err(
                rl_core::Error::mismatch("error of a sampled transition", expected, bad).into()
            );
        }
        let places = self.priorities.weights();
        let there = |index: usize| places.get(index).is_some_and(|weight| *weight > 0.0);
        if let Some(bad) = indices.iter().find(|index| !there(**index)) {
            let expected = "a place of a stored transition";
            return Err(rl_core::Error::mismatch("sampled transition", expected, bad).into());
        }
        for (index, error) in indices.iter().zip(errors) {
            let priority = (f64::from(*error) + self.config.eps).powf(self.config.alpha);
            self.largest = self.largest.max(priority);
            self.priorities.set(*index, priority);
        }
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(codec::encode(&(self.largest, self.priorities.weights()))?)
    }

    fn loaded(&self, bytes: &[u8], stored: usize) -> Result<Box<dyn Sampler>> {
        if bytes.is_empty() {
            let got = "none, as uniform sampling saves";
            return Err(rl_core::Error::mismatch("saved sampler", "priorities", got).into());
        }
        let (largest, weights): (f64, Vec<f64>) = codec::decode("priorities", bytes)?;
        check::len("priorities", self.priorities.weights().len(), weights.len())?;
        let valid = |weight: &f64| weight.is_finite() && *weight > 0.0;
        let (taken, free) = weights.split_at(stored.min(weights.len()));
        let fits = taken.iter().chain([&largest]).all(valid) && free.iter().all(|w| *w == 0.0);
        if !fits {
            let problem = "priorities that do not fit the stored transitions";
            return Err(rl_core::Error::corrupt("priorities", problem).into());
        }
        let mut loaded = Prioritized::new(&self.config, weights.len())?;
        loaded.largest = largest;
        weights
            .iter()
            .enumerate()
            .for_each(|(place, weight)| loaded.priorities.set(place, *weight));
        Ok(Box::new(loaded))
    }

    fn empty(&self) -> Box<dyn Sampler> {
        let priorities = SumTree::new(self.priorities.weights().len());
        let config = self.config.clone();
        Box::new(Prioritized { config, priorities, largest: 1.0, points: Vec::new() })
    }
}

//! Normalisation of rows by running moments.

use crate::{Error, Result, RunningMoments, check};
use serde::{Deserialize, Serialize};

/// Brings each dimension of rows to mean 0 and standard deviation 1, by its [`RunningMoments`], and clips the result at
/// ±`clip`:
///
/// ```text
/// y = clip((x - mean) / sqrt(variance + 1e-8))
/// ```
///
/// ```
/// use rl_core::Normalizer;
/// let mut normalizer = Normalizer::new(2, 10.0)?;
/// normalizer.update(&[1.0, 0.0, 3.0, 0.0]);
/// let mut row = [3.0, 5.0];
/// normalizer.normalize(&mut row);
/// assert!((row[0] - 1.0).abs() < 1e-6);
/// assert_eq!(row[1], 10.0); // It was never seen to vary.
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Normalizer {
    moments: RunningMoments,
    clip: f32,
    /// How many dimensions at the end stay as they are.
    kept: usize,
    /// The mean and the inverse standard deviation of each dimension.
    scale: Vec<(f32, f32)>,
}

/// Added to the variance.
const EPSILON: f64 = 1e-8;

/// A [`Normalizer`] as data, for acting elsewhere: `clip((x - mean) / sqrt(variance + epsilon))`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormalizerState {
    /// The means, `[width]`.
    pub mean: Vec<f64>,
    /// The variances, `[width]`.
    pub variance: Vec<f64>,
    /// Added to the variance.
    pub epsilon: f64,
    /// The largest magnitude of a normalised number.
    pub clip: f32,
    /// How many dimensions at the end stay as they are.
    pub kept: usize,
}

impl Normalizer {
    /// The section in which an agent that normalises what it learns from saves the moments, part of its policy.
    pub const SECTION: &str = "observation_moments";
    /// The file of that section.
    pub const FILE: &str = "observation_moments.bin";

    /// For rows of `width` numbers, without data yet; `clip` is 10 in the PPO reference code (Andrychowicz et al., 2021).
    ///
    /// # Errors
    /// [`Error::Config`] where `clip` is not positive.
    pub fn new(width: usize, clip: f32) -> Result<Self> {
        check::positive("clip", clip.into())?;
        check::memory("width", width, width.checked_mul(4 * size_of::<f64>()))?;
        let moments = RunningMoments::new(width);
        Ok(Normalizer { moments, clip, kept: 0, scale: vec![(0.0, 1.0); width] })
    }

    /// Leaves the last `n` numbers of each row as they are: an action mask, say.
    ///
    /// # Errors
    /// [`Error::Config`] for more numbers than a row has.
    pub fn except_last(self, n: usize) -> Result<Self> {
        let width = self.scale.len() as u64;
        check::at_most("except_last", width, "the width of an observation", n as u64)?;
        Ok(Normalizer { kept: n, ..self })
    }

    /// The largest magnitude of a normalised number.
    pub fn clip(&self) -> f32 {
        self.clip
    }

    /// The moments.
    pub fn moments(&self) -> &RunningMoments {
        &self.moments
    }

    /// Sets the moments.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for those of rows of another width.
    pub fn set_moments(&mut self, moments: RunningMoments) -> Result<()> {
        moments.check(self.scale.len())?;
        self.moments = moments;
        self.rescale();
        Ok(())
    }

    /// As data, for acting elsewhere.
    pub fn state(&self) -> NormalizerState {
        NormalizerState {
            mean: self.moments.mean().to_vec(),
            variance: (0..self.scale.len()).map(|i| self.moments.variance(i)).collect(),
            epsilon: EPSILON,
            clip: self.clip,
            kept: self.kept,
        }
    }

    /// One that normalises as another did.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a state that is not of a normaliser.
    pub fn from_state(state: &NormalizerState) -> Result<Self> {
        let NormalizerState { mean, variance, epsilon, clip, kept } = state;
        let numbers = mean.iter().all(|x| x.is_finite());
        let positive = variance.iter().all(|x| x.is_finite() && *x >= 0.0);
        let fits = mean.len() == variance.len() && *kept <= mean.len();
        if !numbers || !positive || !fits || *epsilon != EPSILON {
            return Err(Error::corrupt("normaliser", "not the state of one"));
        }
        let mut normalizer = Self::new(mean.len(), *clip)?;
        normalizer.set_moments(RunningMoments::of(mean.clone(), variance.clone()))?;
        normalizer.except_last(*kept)
    }

    /// Takes rows, `[n, width]`, into the moments.
    pub fn update(&mut self, rows: &[f32]) {
        self.moments.update(rows);
        self.rescale();
    }

    fn rescale(&mut self) {
        for (i, scale) in self.scale.iter_mut().enumerate() {
            let std = (self.moments.variance(i) + EPSILON).sqrt();
            *scale = (self.moments.mean()[i] as f32, (1.0 / std) as f32);
        }
    }

    /// The mean and the inverse standard deviation of the numbers that do not stay as they are.
    fn normalized(&self) -> &[(f32, f32)] {
        &self.scale[..self.scale.len() - self.kept]
    }

    /// Normalises rows, `[n, width]`; one row is `[width]`.
    pub fn normalize(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.scale.len()) {
            for (x, &(mean, inverse_std)) in row.iter_mut().zip(self.normalized()) {
                *x = ((*x - mean) * inverse_std).clamp(-self.clip, self.clip);
            }
        }
    }

    /// Writes the rows `from`, `[n, width]`, normalised to `to`.
    pub fn write(&self, from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
        self.normalize(to);
    }
}

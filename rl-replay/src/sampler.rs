//! What chooses among stored transitions.

use crate::Result;
use rl_core::Rng;
use std::fmt::Debug;
use std::ops::Range;

/// Chooses which stored transitions are learned from.
pub trait Sampler: Debug + Send {
    /// The places among which it can choose; none: it does not matter to it.
    fn places(&self) -> Option<usize> {
        None
    }

    /// Transitions were stored in these places, over what was there.
    fn added(&mut self, places: Range<usize>);

    /// Draws a place below `stored`, which is not zero, for each of `indices`, and writes into `weights` how much each
    /// draw counts in the loss: 1 for uniform draws, importance weights for others. `fraction` is the share of the run
    /// that is over.
    fn sample(
        &mut self,
        stored: usize,
        fraction: f64,
        rng: &mut Rng,
        indices: &mut [usize],
        weights: &mut [f32],
    );

    /// Takes in how wrong the predictions for sampled transitions were.
    ///
    /// # Errors
    /// An error that is not finite; a place without a transition.
    fn update(&mut self, indices: &[usize], errors: &[f32]) -> Result<()>;

    /// What a resumed run needs of it.
    ///
    /// # Errors
    /// Where it cannot be encoded.
    fn save(&self) -> Result<Vec<u8>>;

    /// A sampler with these settings that goes on from what [`save`](Sampler::save) gave, over a store of `stored`
    /// transitions.
    ///
    /// # Errors
    /// [`rl_core::Error::Corrupt`] for other bytes, [`rl_core::Error::Mismatch`] for those of another sampler.
    fn loaded(&self, bytes: &[u8], stored: usize) -> Result<Box<dyn Sampler>>;

    /// A sampler with these settings for a store with nothing in it.
    fn empty(&self) -> Box<dyn Sampler>;
}

/// Every transition is as likely as every other, with replacement.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Uniform;

impl Sampler for Uniform {
    fn added(&mut self, _: Range<usize>) {}

    fn sample(
        &mut self,
        stored: usize,
        _: f64,
        rng: &mut Rng,
        indices: &mut [usize],
        weights: &mut [f32],
    ) {
        indices.fill_with(|| rng.below(stored));
        weights.fill(1.0);
    }

    fn update(&mut self, _: &[usize], _: &[f32]) -> Result<()> {
        Ok(())
    }

    fn save(&self) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn loaded(&self, bytes: &[u8], _: usize) -> Result<Box<dyn Sampler>> {
        if !bytes.is_empty() {
            let expected = "nothing, as uniform sampling saves";
            return Err(rl_core::Error::mismatch("saved sampler", expected, "priorities").into());
        }
        Ok(self.empty())
    }

    fn empty(&self) -> Box<dyn Sampler> {
        Box::new(Uniform)
    }
}

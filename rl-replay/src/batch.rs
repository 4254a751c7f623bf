use crate::Result;
use rl_core::{Element, check};

/// Sampled transitions, in memory that the caller owns and reuses.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<T, A> {
    pub(crate) width: usize,
    pub(crate) action_width: usize,
    pub(crate) indices: Vec<usize>,
    pub(crate) observations: Vec<T>,
    pub(crate) actions: Vec<A>,
    pub(crate) rewards: Vec<f32>,
    pub(crate) discounts: Vec<f32>,
    pub(crate) next_observations: Vec<T>,
    pub(crate) weights: Vec<f32>,
}

impl<T: Element, A: Element> Batch<T, A> {
    /// Room for `n` transitions with observations of `width` and actions of `action_width` elements.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] where the memory cannot be had.
    pub fn new(n: usize, width: usize, action_width: usize) -> Result<Self> {
        let numbers = size_of::<usize>() + 3 * size_of::<f32>();
        let row =
            width.checked_mul(2 * size_of::<T>()).zip(action_width.checked_mul(size_of::<A>()));
        let row = row.and_then(|(observations, actions)| observations.checked_add(actions));
        let row = row.and_then(|row| row.checked_add(numbers));
        check::memory("batch_size", n, row.and_then(|row| row.checked_mul(n)))?;
        Ok(Batch {
            width,
            action_width,
            indices: vec![0; n],
            observations: vec![T::default(); n * width],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            discounts: vec![0.0; n],
            next_observations: vec![T::default(); n * width],
            weights: vec![1.0; n],
        })
    }

    pub(crate) fn check_widths(&self, width: usize, action_width: usize) -> Result<()> {
        check::len("batch observation", width, self.width)?;
        check::len("batch action", action_width, self.action_width)?;
        Ok(())
    }

    /// How many transitions.
    pub fn len(&self) -> usize {
        self.rewards.len()
    }

    /// Whether there is room for none.
    pub fn is_empty(&self) -> bool {
        self.rewards.is_empty()
    }

    /// Where in the memory each came from, `[n]`.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The observations acted on, `[n, width]`.
    pub fn observations(&self) -> &[T] {
        &self.observations
    }

    /// The actions taken, `[n, action width]`.
    pub fn actions(&self) -> &[A] {
        &self.actions
    }

    /// The rewards, summed over n steps with discount, `[n]`.
    pub fn rewards(&self) -> &[f32] {
        &self.rewards
    }

    /// What the value of the next observation counts, `[n]`: `gamma^n`, or 0 after a termination.
    pub fn discounts(&self) -> &[f32] {
        &self.discounts
    }

    /// The observations that followed, `[n, width]`; final observations at episode ends.
    pub fn next_observations(&self) -> &[T] {
        &self.next_observations
    }

    /// Changes the observations and those that followed, `[n, width]` each, as a normaliser does.
    pub fn map_observations(&mut self, mut change: impl FnMut(&mut [T])) {
        change(&mut self.observations);
        change(&mut self.next_observations);
    }

    /// How much each counts in the loss, `[n]`: 1 for uniform draws.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }
}

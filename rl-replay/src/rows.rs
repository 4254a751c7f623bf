//! Storage of complete transitions.

use crate::blocks::{Blocks, Reader, Ring, column, column_of_ends};
use crate::{Batch, Horizon, Result, Store};
use rl_core::{Element, End, Sections, Transitions, check};
use std::ops::Range;

/// A ring buffer of complete transitions (Lin, 1992) of several environments; the oldest are overwritten.
///
/// Each quantity is one column, allocated once, with layout `[steps, envs]`. The successor of a row is `envs` rows
/// further on, so n-step returns are computed directly from it. Ends of episodes are stored unchanged. `T` is the
/// element type of observations (u8 images stay u8), `A` that of actions.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T, A> {
    steps: usize,
    envs: usize,
    width: usize,
    action_width: usize,
    /// Steps stored since the beginning. They count from 0: step `t` is in row `t % steps` of the columns.
    pushed: u64,
    observations: Vec<T>,
    next_observations: Vec<T>,
    actions: Vec<A>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
    blocks: Blocks,
}

/// Checks that memory for `n` transitions of so many bytes each, and so many bytes `beside` them, can be had, so that a
/// buffer that is too large is an error and does not end the process. Callers saturate: what overflows does not fit.
pub(crate) fn check_memory(n: usize, bytes: usize, beside: usize) -> Result<()> {
    let total = n.saturating_mul(bytes).saturating_add(beside);
    if check::fits_in_memory(total) {
        return Ok(());
    }
    let expected = format!("a buffer that fits in memory at {bytes} bytes per transition");
    Err(rl_core::Error::config("buffer_size", expected, n).into())
}

/// Bytes of so many elements; the largest number where they are more.
pub(crate) fn bytes_of<T>(elements: usize) -> usize {
    elements.saturating_mul(size_of::<T>().max(1))
}

impl<T: Element, A: Element> Rows<T, A> {
    /// An empty buffer for `capacity` transitions of `envs` environments, with observations of `width` and actions of
    /// `action_width` elements. The remainder of `capacity` divided by `envs` is unused.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, or a capacity below one step of all environments.
    pub fn new(capacity: usize, envs: usize, width: usize, action_width: usize) -> Result<Self> {
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("observation width", 1, width as u64)?;
        check::at_least("action width", 1, action_width as u64)?;
        check::at_least("buffer_size", envs as u64, capacity as u64)?;
        let steps = capacity / envs;
        let n = steps * envs;
        let observations = bytes_of::<T>(width.saturating_mul(2));
        let rest =
            bytes_of::<A>(action_width).saturating_add(size_of::<f32>() + size_of::<Option<End>>());
        let bytes = observations.saturating_add(rest);
        check_memory(n, bytes, 0)?;
        Ok(Rows {
            steps,
            envs,
            width,
            action_width,
            pushed: 0,
            observations: vec![T::default(); n * width],
            next_observations: vec![T::default(); n * width],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
            blocks: Blocks::new(steps, bytes.saturating_mul(envs)),
        })
    }

    /// The index of the newest step; none where nothing is stored.
    fn newest(&self) -> Option<usize> {
        Some((self.pushed.checked_sub(1)? % self.steps as u64) as usize)
    }

    fn emptied(&self) -> Result<Self> {
        Rows::new(self.steps * self.envs, self.envs, self.width, self.action_width)
    }

    /// Truncates the episodes of environments that were reset from outside since the last step.
    fn cut_where(&mut self, resets: impl Iterator<Item = bool>) {
        let Some(newest) = self.newest() else { return };
        let ends = &mut self.ends[newest * self.envs..][..self.envs];
        for (end, reset) in ends.iter_mut().zip(resets) {
            if reset && end.is_none() {
                *end = Some(End::Truncated);
            }
        }
    }
}

impl<T: Element, A: Element> Store<T, A> for Rows<T, A> {
    fn len(&self) -> usize {
        self.filled() * self.envs
    }

    fn capacity(&self) -> usize {
        self.steps * self.envs
    }

    fn widths(&self) -> (usize, usize) {
        (self.width, self.action_width)
    }

    fn check(&self, transitions: &Transitions<'_, T, A>) -> Result<()> {
        transitions.check(self.envs)?;
        check::len("observations", self.envs * self.width, transitions.observations().len())?;
        Ok(check::len("actions", self.envs * self.action_width, transitions.actions().len())?)
    }

    fn push(&mut self, transitions: &Transitions<'_, T, A>) -> Result<Range<usize>> {
        self.check(transitions)?;
        let (w, aw) = (self.width, self.action_width);
        let at = (self.pushed % self.steps as u64) as usize * self.envs;
        self.cut_where(transitions.resets().iter().copied());
        let rows = at..at + self.envs;
        self.observations[at * w..][..self.envs * w].copy_from_slice(transitions.observations());
        self.actions[at * aw..][..self.envs * aw].copy_from_slice(transitions.actions());
        self.rewards[rows.clone()].copy_from_slice(transitions.rewards());
        self.ends[rows.clone()].copy_from_slice(transitions.ends());
        for i in 0..self.envs {
            let row = &mut self.next_observations[(at + i) * w..][..w];
            row.copy_from_slice(transitions.next_observation(i));
        }
        self.count_step();
        Ok(rows)
    }

    fn cut(&mut self) {
        self.cut_where(std::iter::repeat(true));
    }

    fn read(&self, place: usize, horizon: Horizon, batch: &mut Batch<T, A>, slot: usize) {
        let (w, aw) = (self.width, self.action_width);
        let newest = self.newest().unwrap_or_default();
        let following = (newest + self.steps - place / self.envs) % self.steps;
        let row = |k: usize| (place + k * self.envs) % self.capacity();
        let stored = (0..=following).map(row).map(|row| (self.rewards[row], self.ends[row]));
        let span = horizon.span(stored);
        let last = row(span.steps - 1);
        batch.observations[slot * w..][..w].copy_from_slice(&self.observations[place * w..][..w]);
        batch.actions[slot * aw..][..aw].copy_from_slice(&self.actions[place * aw..][..aw]);
        (batch.rewards[slot], batch.discounts[slot]) = (span.reward, span.discount);
        let next = &self.next_observations[last * w..][..w];
        batch.next_observations[slot * w..][..w].copy_from_slice(next);
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.blocks.save(self, out)
    }

    fn loaded(&self, from: &Sections) -> Result<Box<dyn Store<T, A>>> {
        let mut rows = self.emptied()?;
        rows.load_blocks(from)?;
        Ok(Box::new(rows))
    }

    fn empty(&self) -> Result<Box<dyn Store<T, A>>> {
        Ok(Box::new(self.emptied()?))
    }
}

impl<T: Element, A: Element> Ring for Rows<T, A> {
    const WHAT: &'static str = "replay [steps, envs, width, action width]";
    const ELEMENTS: [&str; 2] = [T::NAME, A::NAME];

    fn shape(&self) -> Vec<usize> {
        vec![self.steps, self.envs, self.width, self.action_width]
    }

    fn steps(&self) -> usize {
        self.steps
    }

    fn pushed(&self) -> u64 {
        self.pushed
    }

    fn needed(&self) -> u64 {
        self.oldest()
    }

    fn set_pushed(&mut self, pushed: u64) {
        self.pushed = pushed;
    }

    fn blocks_mut(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn write(&self, steps: Range<u64>, out: &mut Vec<u8>) {
        column(&self.observations, self.envs * self.width, steps.clone(), out);
        column(&self.next_observations, self.envs * self.width, steps.clone(), out);
        column(&self.actions, self.envs * self.action_width, steps.clone(), out);
        column(&self.rewards, self.envs, steps.clone(), out);
        column_of_ends(&self.ends, self.envs, steps, out);
    }

    fn read(&mut self, steps: Range<u64>, bytes: &mut Reader<'_>) -> Result<()> {
        bytes.column(&mut self.observations, self.envs * self.width, steps.clone())?;
        bytes.column(&mut self.next_observations, self.envs * self.width, steps.clone())?;
        bytes.column(&mut self.actions, self.envs * self.action_width, steps.clone())?;
        bytes.column(&mut self.rewards, self.envs, steps.clone())?;
        bytes.ends(&mut self.ends, self.envs, steps)?;
        Ok(())
    }
}

//! Storage of complete transitions.

use crate::{Batch, Horizon, Result, Store};
use rl_core::{Element, End, Transitions, check};
use serde::{Deserialize, Serialize};
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
    /// The index at which the next step is stored.
    head: usize,
    /// The number of steps stored, at most `steps`.
    filled: usize,
    observations: Vec<T>,
    next_observations: Vec<T>,
    actions: Vec<A>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
}

/// The part that is saved in checkpoints.
#[derive(Serialize, Deserialize)]
#[serde(bound = "C: Serialize + for<'a> Deserialize<'a>, D: Serialize + for<'a> Deserialize<'a>")]
struct Saved<C, D> {
    shape: [usize; 4],
    head: usize,
    filled: usize,
    observations: C,
    next_observations: C,
    actions: D,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
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

/// Checks that a ring that is not full has been written from its start.
pub(crate) fn check_head(steps: usize, head: usize, filled: usize) -> Result<()> {
    if filled == steps || head == filled {
        return Ok(());
    }
    Err(rl_core::Error::mismatch("replay head", filled, head).into())
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
        check_memory(n, observations.saturating_add(rest), 0)?;
        Ok(Rows {
            steps,
            envs,
            width,
            action_width,
            head: 0,
            filled: 0,
            observations: vec![T::default(); n * width],
            next_observations: vec![T::default(); n * width],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
        })
    }

    fn emptied(&self) -> Result<Self> {
        Rows::new(self.steps * self.envs, self.envs, self.width, self.action_width)
    }

    /// Truncates the episodes of environments that were reset from outside since the last step.
    fn cut_where(&mut self, resets: impl Iterator<Item = bool>) {
        if self.filled == 0 {
            return;
        }
        let newest = (self.head + self.steps - 1) % self.steps * self.envs;
        for (end, reset) in self.ends[newest..][..self.envs].iter_mut().zip(resets) {
            if reset && end.is_none() {
                *end = Some(End::Truncated);
            }
        }
    }
}

impl<T: Element, A: Element> Store<T, A> for Rows<T, A> {
    fn len(&self) -> usize {
        self.filled * self.envs
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
        let (w, aw, at) = (self.width, self.action_width, self.head * self.envs);
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
        self.head = (self.head + 1) % self.steps;
        self.filled = (self.filled + 1).min(self.steps);
        Ok(rows)
    }

    fn cut(&mut self) {
        self.cut_where(std::iter::repeat(true));
    }

    fn read(&self, place: usize, horizon: Horizon, batch: &mut Batch<T, A>, slot: usize) {
        let (w, aw) = (self.width, self.action_width);
        let newest = (self.head + self.steps - 1) % self.steps;
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

    fn save(&self) -> Result<Vec<u8>> {
        let n = self.len();
        Ok(rl_core::codec::encode(&Saved {
            shape: [self.steps, self.envs, self.width, self.action_width],
            head: self.head,
            filled: self.filled,
            observations: self.observations[..n * self.width].to_vec(),
            next_observations: self.next_observations[..n * self.width].to_vec(),
            actions: self.actions[..n * self.action_width].to_vec(),
            rewards: self.rewards[..n].to_vec(),
            ends: self.ends[..n].to_vec(),
        })?)
    }

    fn loaded(&self, bytes: &[u8]) -> Result<Box<dyn Store<T, A>>> {
        let saved: Saved<Vec<T>, Vec<A>> = rl_core::codec::decode("replay", bytes)?;
        let shape = [self.steps, self.envs, self.width, self.action_width];
        if saved.shape != shape {
            let what = "replay [steps, envs, width, action width]";
            let (expected, got) = (format!("{shape:?}"), format!("{:?}", saved.shape));
            return Err(rl_core::Error::mismatch(what, expected, got).into());
        }
        check::at_most("replay steps", self.steps as u64, "capacity", saved.filled as u64)?;
        check::at_most("replay head", self.steps as u64 - 1, "the last step", saved.head as u64)?;
        check_head(self.steps, saved.head, saved.filled)?;
        let n = saved.filled * self.envs;
        check::len("replay observations", n * self.width, saved.observations.len())?;
        check::len("replay next observations", n * self.width, saved.next_observations.len())?;
        check::len("replay actions", n * self.action_width, saved.actions.len())?;
        check::len("replay rewards", n, saved.rewards.len())?;
        check::len("replay ends", n, saved.ends.len())?;
        let mut rows = self.emptied()?;
        (rows.head, rows.filled) = (saved.head, saved.filled);
        rows.observations[..n * self.width].copy_from_slice(&saved.observations);
        rows.next_observations[..n * self.width].copy_from_slice(&saved.next_observations);
        rows.actions[..n * self.action_width].copy_from_slice(&saved.actions);
        rows.rewards[..n].copy_from_slice(&saved.rewards);
        rows.ends[..n].copy_from_slice(&saved.ends);
        Ok(Box::new(rows))
    }

    fn empty(&self) -> Result<Box<dyn Store<T, A>>> {
        Ok(Box::new(self.emptied()?))
    }
}

//! Frames that are kept beside a ring of frames.

use rl_core::Element;
use std::collections::{TryReserveError, VecDeque};
use std::ops::Range;

/// Frames that a few steps need beyond those in a ring: a queue ordered by step and environment, so that they are found
/// by bisection and the oldest leave at the front. Each entry has a buffer of its own: a growing queue then moves no
/// frames, and the buffers of entries that left are used again.
#[derive(Clone, Debug)]
pub(crate) struct SideFrames<T> {
    /// Elements of an entry.
    width: usize,
    entries: VecDeque<Entry<T>>,
    spare: Vec<Vec<T>>,
}

/// The frames of one step of one environment.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    /// Steps stored before this one, since the beginning.
    pub(crate) step: u64,
    pub(crate) env: usize,
    pub(crate) frames: Vec<T>,
}

impl<T> Entry<T> {
    pub(crate) fn key(&self) -> (u64, usize) {
        (self.step, self.env)
    }
}

impl<T: Element> SideFrames<T> {
    /// An empty queue of entries of `width` elements.
    pub(crate) fn new(width: usize) -> Self {
        SideFrames { width, entries: VecDeque::new(), spare: Vec::new() }
    }

    pub(crate) fn entries(&self) -> &VecDeque<Entry<T>> {
        &self.entries
    }

    /// The frames of a step, where it has any.
    pub(crate) fn find(&self, step: u64, env: usize) -> Option<&[T]> {
        let at = self.entries.binary_search_by_key(&(step, env), Entry::key).ok()?;
        Some(&self.entries[at].frames)
    }

    /// Makes room for `n` more entries: inserting them allocates nothing, so it cannot fail.
    pub(crate) fn reserve(&mut self, n: usize) -> Result<(), TryReserveError> {
        self.entries.try_reserve(n)?;
        self.spare.try_reserve(n.saturating_sub(self.spare.len()))?;
        while self.spare.len() < n {
            let mut buffer = Vec::new();
            buffer.try_reserve_exact(self.width)?;
            self.spare.push(buffer);
        }
        Ok(())
    }

    /// The frames of these steps.
    pub(crate) fn within(&self, steps: Range<u64>) -> impl Iterator<Item = &Entry<T>> + Clone {
        let first = self.entries.partition_point(|entry| entry.step < steps.start);
        self.entries.range(first..).take_while(move |entry| entry.step < steps.end)
    }

    /// Inserts the frames of a step, which has none yet: at the end or a few entries before it.
    pub(crate) fn insert(&mut self, step: u64, env: usize, frames: &[T]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(frames);
        let at = self.entries.partition_point(|entry| entry.key() < (step, env));
        self.entries.insert(at, Entry { step, env, frames: buffer });
    }

    /// Forgets the frames of all steps before this one.
    pub(crate) fn forget_before(&mut self, step: u64) {
        while let Some(entry) = self.entries.pop_front_if(|entry| entry.step < step) {
            self.spare.push(entry.frames);
        }
    }

    /// Bytes of memory held.
    pub(crate) fn bytes(&self) -> usize {
        let used = self.entries.iter().map(|entry| entry.frames.capacity());
        let elements: usize = used.chain(self.spare.iter().map(Vec::capacity)).sum();
        self.entries.capacity() * size_of::<Entry<T>>()
            + self.spare.capacity() * size_of::<Vec<T>>()
            + elements * size_of::<T>()
    }
}

//! Numbers that begin at a cache line.

use rl_core::{Result, check};
use std::ops::{Deref, DerefMut};

/// Numbers whose first one begins a cache line. Where an allocator puts large blocks 16 bytes behind one, each vector of 64
/// bytes lies on two lines, and passes over it take up to a fifth longer.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    data: Vec<f32>,
    /// Where in `data` the numbers begin.
    start: usize,
    len: usize,
}

/// Bytes of a cache line, and of the longest vector.
const LINE: usize = 64;
/// Numbers that may have to be skipped to reach one.
const SPARE: usize = LINE / size_of::<f32>() - 1;

impl Aligned {
    /// So many numbers of one value.
    pub(crate) fn filled(len: usize, value: f32) -> Self {
        let mut all = Aligned::default();
        all.put(vec![value; len + SPARE]);
        all.len = len;
        all
    }

    /// A copy of numbers.
    pub(crate) fn of(numbers: &[f32]) -> Self {
        let mut all = Aligned::filled(numbers.len(), 0.0);
        all.copy_from_slice(numbers);
        all
    }

    /// As [`Vec::resize`]: numbers stay; new ones have this value.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] where the memory cannot be had.
    pub(crate) fn resize(&mut self, len: usize, value: f32) -> Result<()> {
        if self.data.len() < len + SPARE {
            // At least twice as much as before, so that batches that grow a little each time seldom allocate.
            self.put(numbers((len + SPARE).max(2 * self.data.len()), value)?);
        } else if let Some(new) = self.data[self.start..].get_mut(self.len..len) {
            new.fill(value);
        }
        self.len = len;
        Ok(())
    }

    /// Moves the numbers to other memory.
    fn put(&mut self, mut data: Vec<f32>) {
        // On no machine is it further; were it so, the numbers would only be read more slowly.
        let start = data.as_ptr().align_offset(LINE).min(SPARE);
        data[start..][..self.len].copy_from_slice(self);
        (self.data, self.start) = (data, start);
    }
}

/// So many numbers of one value.
fn numbers(len: usize, value: f32) -> Result<Vec<f32>> {
    let mut numbers = Vec::new();
    resize(&mut numbers, len, value)?;
    Ok(numbers)
}

/// [`Vec::resize`] of a batch of activations or gradients, whose size is the settings'.
///
/// # Errors
/// [`rl_core::Error::Config`] where the memory cannot be had.
pub(crate) fn resize(numbers: &mut Vec<f32>, len: usize, value: f32) -> Result<()> {
    let more = len.saturating_sub(numbers.len());
    if numbers.try_reserve(more).is_err() {
        return check::memory("a batch in the network", len, len.checked_mul(size_of::<f32>()));
    }
    numbers.resize(len, value);
    Ok(())
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Aligned::of(self)
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..][..self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// It holds what a vector holds, at a cache line.
        #[test]
        fn it_is_a_vector_at_a_line(sizes in proptest::collection::vec((0usize..5_000, -1.0f32..1.0), 1..8)) {
            let (mut aligned, mut plain) = (Aligned::default(), Vec::new());
            for (len, value) in sizes {
                aligned.resize(len, value).unwrap();
                plain.resize(len, value);
                prop_assert_eq!(&aligned[..], &plain[..]);
                prop_assert!(aligned.is_empty() || aligned.as_ptr().align_offset(LINE) == 0);
                let copy = aligned.clone();
                prop_assert_eq!(&copy[..], &plain[..]);
                prop_assert!(copy.is_empty() || copy.as_ptr().align_offset(LINE) == 0);
            }
        }
    }

    #[test]
    fn memory_that_cannot_be_had_is_an_error() {
        let mut aligned = Aligned::filled(3, 1.0);
        let error = aligned.resize(usize::MAX / 8, 0.0).unwrap_err().to_string();
        assert!(
            error.starts_with("a batch in the network: expected a size that fits in memory"),
            "{error}"
        );
        assert_eq!(&aligned[..], [1.0; 3]);
    }
}

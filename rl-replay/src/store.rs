//! What keeps transitions.

use crate::{Batch, Result};
use rl_core::{Element, End, Sections, Transitions};
use std::fmt::Debug;
use std::ops::Range;

/// How many steps a sampled transition spans, and the discount between them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Horizon {
    /// Steps `n` to sum rewards over before bootstrapping, at least 1.
    pub n_step: usize,
    /// The discount factor.
    pub gamma: f64,
}

/// What a sampled transition spans.
pub(crate) struct Span {
    /// Steps, at least 1.
    pub steps: usize,
    /// Their rewards, summed with discount.
    pub reward: f32,
    /// What the value of the state behind the last counts.
    pub discount: f32,
}

impl Horizon {
    /// The span from a transition on, given its reward and end and those of the ones that follow it in the same environment, as far
    /// as they are stored:
    ///
    /// ```text
    /// R = Σ_k gamma^k r_k,   k < n     up to an end; the discount is gamma^n, or 0 after a termination
    /// ```
    pub(crate) fn span(self, stored: impl Iterator<Item = (f32, Option<End>)>) -> Span {
        let (mut steps, mut sum, mut discount) = (0, 0.0, 1.0);
        for (reward, end) in stored.take(self.n_step.max(1)) {
            steps += 1;
            sum += discount * f64::from(reward);
            discount *= self.gamma;
            if let Some(end) = end {
                discount = if end == End::Terminated { 0.0 } else { discount };
                break;
            }
        }
        Span { steps, reward: sum as f32, discount: discount as f32 }
    }
}

/// Keeps transitions of several environments, each in a numbered place, and forgets the oldest. Places `0..len` are
/// taken. Which of them are sampled is a [`Sampler`](crate::Sampler)'s to choose; [`Replay`](crate::Replay) joins the
/// two.
pub trait Store<T: Element, A: Element>: Debug + Send {
    /// Transitions stored.
    fn len(&self) -> usize;

    /// Whether nothing is stored.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Transitions that there is room for.
    fn capacity(&self) -> usize;

    /// Elements of an observation and of an action.
    fn widths(&self) -> (usize, usize);

    /// Whether [`push`](Store::push) would take these transitions.
    ///
    /// # Errors
    /// Those of `push`.
    fn check(&self, transitions: &Transitions<'_, T, A>) -> Result<()>;

    /// Stores one step of every environment over the oldest one and says in which places. Episodes that were cut by a
    /// reset from outside ([`Transitions::resets`]) end as truncated.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another number of environments, other widths, a reward that is not finite, and
    /// observations that this store cannot keep; the store is then unchanged.
    fn push(&mut self, transitions: &Transitions<'_, T, A>) -> Result<Range<usize>>;

    /// As [`push`](Store::push), for transitions that do not follow those stored last: the episodes that go on end as
    /// truncated.
    ///
    /// # Errors
    /// Those of `push`; the store is then unchanged.
    fn push_apart(&mut self, transitions: &Transitions<'_, T, A>) -> Result<Range<usize>> {
        self.check(transitions)?;
        self.cut();
        self.push(transitions)
    }

    /// Ends the episodes that go on after the newest step as truncated: what is stored next does not follow.
    fn cut(&mut self);

    /// Writes the transition in a `place`, which is taken, into a slot of a batch of the same widths.
    ///
    /// Over `n` steps the reward is `sum_k gamma^k r_k`, and the discount of the value that follows is `gamma^n`; both
    /// end earlier at an episode's end and at the newest step. After a termination the discount is zero, after a
    /// truncation it is not.
    fn read(&self, place: usize, horizon: Horizon, batch: &mut Batch<T, A>, slot: usize);

    /// Writes the stored transitions, exactly, as `replay.bin` and files whose names begin with `replay-`. Of those it may
    /// [`keep`](Sections::keep) what the checkpoint before has.
    ///
    /// # Errors
    /// Where they cannot be encoded.
    fn save(&self, out: &mut Sections) -> Result<()>;

    /// A store of this one's shape with saved transitions.
    ///
    /// # Errors
    /// [`rl_core::Error::Corrupt`] for other bytes, [`rl_core::Error::Mismatch`] for a store of another shape.
    fn loaded(&self, from: &Sections) -> Result<Box<dyn Store<T, A>>>;

    /// A store of this one's shape with nothing in it.
    ///
    /// # Errors
    /// None for a shape that itself is one.
    fn empty(&self) -> Result<Box<dyn Store<T, A>>>;
}

//! On-policy data in complete episodes.

use crate::Result;
use rl_core::{Element, End, Transitions, check};
use serde::{Deserialize, Serialize};

/// Collects complete episodes, the same number from each environment.
///
/// Taking whichever episodes end first would over-represent short ones. Therefore an environment that has delivered
/// its share waits for the others. Steps while it waits, and the rest of an episode that began before
/// [`clear`](Episodes::clear), are not stored. A reset from outside ([`Transitions::resets`]) ends the running
/// episode as truncated.
///
/// ```
/// use rl_core::{End, StepBatch};
/// use rl_replay::{EpisodeRows, Episodes};
/// let mut episodes: Episodes<f32, u32> = Episodes::new(1, 1, 1, 1)?;
/// let mut shown = StepBatch::new(1, 1);
/// for (reward, end) in [(1.0, None), (2.0, Some(End::Terminated))] {
///     shown.begin_step();
///     let rows = shown.rows_mut();
///     (rows.rewards[0], rows.ends[0]) = (reward, end);
///     episodes.push(&shown.transitions(&[1]), &[1])?;
/// }
/// assert!(episodes.is_full());
/// let (mut rows, mut returns) = (EpisodeRows::default(), Vec::new());
/// episodes.gather(&mut rows);
/// rows.returns(0.5, &[0.0], &mut returns)?;
/// assert_eq!(returns, [1.0 + 0.5 * 2.0, 2.0]);
/// # Ok::<(), rl_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Element, A: Element")]
pub struct Episodes<T, A> {
    /// Episodes per environment.
    share: usize,
    width: usize,
    action_width: usize,
    lanes: Vec<Lane<T, A>>,
}

/// The data of one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Element, A: Element")]
struct Lane<T, A> {
    rows: EpisodeRows<T, A>,
    /// Steps of the running episode.
    open: usize,
    /// Whether the running episode is not to be stored.
    skipping: bool,
    /// The next observation of the last stored step, `[width]`.
    next: Vec<T>,
}

impl<T: Element, A> Lane<T, A> {
    /// Ends the running episode.
    fn close(&mut self, end: End) {
        self.rows.lengths.push(std::mem::take(&mut self.open));
        self.rows.ends.push(end);
        self.rows.finals.extend_from_slice(&self.next);
    }

    /// Handles a reset from outside: another episode begins.
    fn cut(&mut self) {
        if self.open > 0 {
            self.close(End::Truncated);
        }
        self.skipping = false;
    }
}

/// The rows of complete episodes, in sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Element, A: Element")]
pub struct EpisodeRows<T, A> {
    /// The observations acted on, `[n, width]`.
    pub observations: Vec<T>,
    /// The policy's actions before clipping, `[n, action width]`.
    pub actions: Vec<A>,
    /// The rewards, `[n]`.
    pub rewards: Vec<f32>,
    /// The number of rows of each episode, `[episodes]`.
    pub lengths: Vec<usize>,
    /// How each episode ended, `[episodes]`.
    pub ends: Vec<End>,
    /// The final observation of each episode, `[episodes, width]`.
    pub finals: Vec<T>,
}

impl<T, A> Default for EpisodeRows<T, A> {
    fn default() -> Self {
        EpisodeRows {
            observations: Vec::new(),
            actions: Vec::new(),
            rewards: Vec::new(),
            lengths: Vec::new(),
            ends: Vec::new(),
            finals: Vec::new(),
        }
    }
}

impl<T, A> EpisodeRows<T, A> {
    /// Removes all rows and keeps the allocated memory.
    fn clear(&mut self) {
        self.observations.clear();
        self.actions.clear();
        self.rewards.clear();
        self.lengths.clear();
        self.ends.clear();
        self.finals.clear();
    }

    /// Writes the discounted return from each row to the end of its episode into `out`, `[n]`. Truncated episodes are
    /// bootstrapped with `final_values`, `[episodes]`, the values of the final observations; the entries of
    /// terminated episodes are ignored.
    /// ```text
    /// G_t = r_t + gamma G_{t+1},   G_T = V(s_T) after a truncation, 0 after a termination
    /// ```
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for a wrong number of final values.
    pub fn returns(&self, gamma: f64, final_values: &[f32], out: &mut Vec<f32>) -> Result<()> {
        check::len("final values", self.ends.len(), final_values.len())?;
        out.clear();
        out.extend_from_slice(&self.rewards);
        let mut rest = &mut out[..];
        for ((&length, end), &value) in self.lengths.iter().zip(&self.ends).zip(final_values) {
            let (episode, later) = rest.split_at_mut(length);
            let mut next = if *end == End::Truncated { f64::from(value) } else { 0.0 };
            for x in episode.iter_mut().rev() {
                next = f64::from(*x) + gamma * next;
                *x = next as f32;
            }
            rest = later;
        }
        Ok(())
    }
}

impl<T: Element, A: Element> Episodes<T, A> {
    /// An empty collection for `episodes` episodes from `envs` environments.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, or for a number of episodes that is not a multiple of the number of
    /// environments, or for more environments than fit in memory.
    pub fn new(episodes: usize, envs: usize, width: usize, action_width: usize) -> Result<Self> {
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("episodes", 1, episodes as u64)?;
        if !episodes.is_multiple_of(envs) {
            let expected = format!("a multiple of the number of environments ({envs})");
            return Err(rl_core::Error::config("episodes", expected, episodes).into());
        }
        check::at_least("observation width", 1, width as u64)?;
        check::at_least("action width", 1, action_width as u64)?;
        let lane = width.checked_mul(size_of::<T>());
        let lane = lane.and_then(|bytes| bytes.checked_add(size_of::<Lane<T, A>>()));
        check::memory("envs", envs, lane.and_then(|lane| lane.checked_mul(envs)))?;
        let lane = Lane {
            rows: EpisodeRows::default(),
            open: 0,
            skipping: false,
            next: vec![T::default(); width],
        };
        Ok(Episodes { share: episodes / envs, width, action_width, lanes: vec![lane; envs] })
    }

    /// Stores one step of every environment, with the policy's unclipped `actions`, `[envs, action width]`.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for slices that do not match.
    pub fn push(&mut self, transitions: &Transitions<'_, T, A>, actions: &[A]) -> Result<()> {
        let (n, w, aw) = (self.lanes.len(), self.width, self.action_width);
        transitions.check(n)?;
        check::len("observations", n * w, transitions.observations().len())?;
        check::len("actions", n * aw, actions.len())?;
        for (i, lane) in self.lanes.iter_mut().enumerate() {
            let end = transitions.ends()[i];
            if transitions.resets()[i] {
                lane.cut();
            }
            if lane.rows.ends.len() == self.share {
                lane.skipping = true;
            }
            if lane.skipping {
                lane.skipping = end.is_none();
                continue;
            }
            lane.rows.observations.extend_from_slice(&transitions.observations()[i * w..][..w]);
            lane.rows.actions.extend_from_slice(&actions[i * aw..][..aw]);
            lane.rows.rewards.push(transitions.rewards()[i]);
            lane.open += 1;
            lane.next.copy_from_slice(transitions.next_observation(i));
            if let Some(end) = end {
                lane.close(end);
            }
        }
        Ok(())
    }

    /// Whether every environment has delivered its share.
    pub fn is_full(&self) -> bool {
        self.lanes.iter().all(|lane| lane.rows.ends.len() == self.share)
    }

    /// Begins the next collection. Running episodes are not stored in it.
    pub fn clear(&mut self) {
        for lane in &mut self.lanes {
            lane.skipping |= lane.open > 0;
            lane.rows.clear();
            lane.open = 0;
        }
    }

    /// Copies the complete episodes into `all`, whose buffers are reused, ordered by environment.
    pub fn gather(&self, all: &mut EpisodeRows<T, A>) {
        all.clear();
        for Lane { rows, open, .. } in &self.lanes {
            let n = rows.rewards.len() - open;
            all.observations.extend_from_slice(&rows.observations[..n * self.width]);
            all.actions.extend_from_slice(&rows.actions[..n * self.action_width]);
            all.rewards.extend_from_slice(&rows.rewards[..n]);
            all.lengths.extend_from_slice(&rows.lengths);
            all.ends.extend_from_slice(&rows.ends);
            all.finals.extend_from_slice(&rows.finals);
        }
    }

    /// Checks that stored episodes have the same shape as these, before a resumed run loads them.
    ///
    /// # Errors
    /// [`rl_core::Error::Mismatch`] for another shape or columns of another length.
    pub fn check_same_shape(&self, stored: &Self) -> Result<()> {
        let shape = |e: &Self| [e.share, e.lanes.len(), e.width, e.action_width];
        if shape(self) != shape(stored) {
            let what = "episodes [an environment, envs, width, action width]";
            let (expected, got) = (format!("{:?}", shape(self)), format!("{:?}", shape(stored)));
            return Err(rl_core::Error::mismatch(what, expected, got).into());
        }
        for Lane { rows, open, next, .. } in &stored.lanes {
            // Lengths that come round to the right number are no lengths of these rows.
            let mut lengths = rows.lengths.iter().chain([open]);
            let n = lengths.try_fold(0usize, |sum, length| sum.checked_add(*length));
            let n = n.unwrap_or(usize::MAX);
            check::len("episode rewards", n, rows.rewards.len())?;
            let ended = rows.ends.len() as u64;
            check::at_most("ended episodes", self.share as u64, "an environment's share", ended)?;
            check::len("episode next observation", self.width, next.len())?;
            check::len("episode observations", n * self.width, rows.observations.len())?;
            check::len("episode actions", n * self.action_width, rows.actions.len())?;
            check::len("episode ends", rows.lengths.len(), rows.ends.len())?;
            check::len("final observations", rows.ends.len() * self.width, rows.finals.len())?;
        }
        Ok(())
    }
}

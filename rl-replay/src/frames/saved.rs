//! Stored frames as bytes and back.

use super::Frames;
use crate::side_frames::{Entry, SideFrames};
use crate::{Result, Store};
use rl_core::{Element, End, Error, codec};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What is saved in checkpoints, borrowed from the store: there need be no room for a copy.
#[derive(Serialize, Deserialize)]
#[serde(bound = "T: Element, A: Element")]
struct Saved<'a, T: Element, A: Element> {
    shape: [usize; 5],
    pushed: u64,
    ring: Cow<'a, [T]>,
    actions: Cow<'a, [A]>,
    rewards: Cow<'a, [f32]>,
    ends: Cow<'a, [Option<End>]>,
    ages: Cow<'a, [u8]>,
    finals: Cow<'a, VecDeque<Entry<T>>>,
    starts: Cow<'a, VecDeque<Entry<T>>>,
}

impl<T: Element, A: Element> Frames<T, A> {
    fn shape(&self) -> [usize; 5] {
        [self.steps, self.envs, self.stack, self.frame, self.action_width]
    }

    /// Elements that are saved of the ring, the actions, and the other columns.
    fn lens(&self) -> [usize; 3] {
        let written = match self.pushed {
            0 => 0,
            // With the frame that is to come.
            pushed => (pushed + 1).min((self.steps + self.stack) as u64) as usize,
        };
        let n = self.len();
        [written * self.envs * self.frame, n * self.action_width, n]
    }

    pub(super) fn saved(&self) -> Result<Vec<u8>> {
        let [ring, actions, n] = self.lens();
        Ok(codec::encode(&Saved {
            shape: self.shape(),
            pushed: self.pushed,
            ring: self.ring[..ring].into(),
            actions: self.actions[..actions].into(),
            rewards: self.rewards[..n].into(),
            ends: self.ends[..n].into(),
            ages: self.ages[..n].into(),
            finals: Cow::Borrowed(self.finals.entries()),
            starts: Cow::Borrowed(self.starts.entries()),
        })?)
    }

    pub(super) fn of_saved(&self, bytes: &[u8]) -> Result<Self> {
        let saved: Saved<'_, T, A> = codec::decode("replay", bytes)?;
        if saved.shape != self.shape() {
            let what = "replay [steps, envs, stack, frame, action width]";
            let (expected, got) = (format!("{:?}", self.shape()), format!("{:?}", saved.shape));
            return Err(Error::mismatch(what, expected, got).into());
        }
        let corrupt = |problem| Error::corrupt("replay", problem);
        // Far from overflow, however many steps follow.
        if saved.pushed > u64::MAX / 2 {
            return Err(corrupt("an impossible number of steps").into());
        }
        let mut store = self.emptied()?;
        store.pushed = saved.pushed;
        let [ring, actions, n] = store.lens();
        let lens = [saved.ring.len(), saved.actions.len(), saved.rewards.len()];
        if lens != [ring, actions, n] || saved.ends.len() != n || saved.ages.len() != n {
            return Err(corrupt("columns that do not fit the number of steps").into());
        }
        store.ring[..ring].copy_from_slice(&saved.ring);
        store.actions[..actions].copy_from_slice(&saved.actions);
        store.rewards[..n].copy_from_slice(&saved.rewards);
        store.ends[..n].copy_from_slice(&saved.ends);
        store.ages[..n].copy_from_slice(&saved.ages);
        let finals = SideFrames::of(self.frame, saved.finals.into_owned());
        let starts = SideFrames::of((self.stack - 1) * self.frame, saved.starts.into_owned());
        let misfits = || corrupt("frames out of order, or of another size");
        (store.finals, store.starts) = finals.zip(starts).ok_or_else(misfits)?;
        match store.problem() {
            None => Ok(store),
            Some(problem) => Err(corrupt(problem).into()),
        }
    }

    /// What is wrong with a store that was saved, if anything. After this check reading finds each frame: ages reach
    /// back to frames that were written, and every row with an end has its final frame.
    fn problem(&self) -> Option<&'static str> {
        let (oldest, longest) = (self.oldest(), self.stack as u64 - 1);
        let row = |(step, env): (u64, usize)| self.row(step) + env;
        let stored =
            (oldest..self.pushed).flat_map(|step| (0..self.envs).map(move |env| (step, env)));
        let aged = |(step, env): (u64, usize)| {
            let age = u64::from(self.ages[row((step, env))]);
            if step == oldest {
                return age <= longest.min(step);
            }
            let before = row((step - 1, env));
            let older = longest.min(u64::from(self.ages[before]) + 1);
            age == if self.ends[before].is_some() { 0 } else { older }
        };
        if !stored.clone().all(aged) {
            return Some("ages that do not fit the ends of episodes");
        }
        let ended = stored.filter(|key| self.ends[row(*key)].is_some());
        if !self.finals.entries().iter().map(Entry::key).eq(ended) {
            return Some("final frames that do not fit the ends of episodes");
        }
        let begins = |(step, env): (u64, usize)| {
            let needed = step < self.pushed && step + longest > oldest && env < self.envs;
            needed && (step < oldest || self.ages[row((step, env))] == 0)
        };
        if !self.starts.entries().iter().map(Entry::key).all(begins) {
            return Some("first frames where none begin");
        }
        None
    }
}

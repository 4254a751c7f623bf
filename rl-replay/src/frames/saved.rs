//! Stored frames as bytes and back.

use super::Frames;
use crate::Result;
use crate::blocks::{Reader, Ring, column, column_of_ends};
use crate::side_frames::Entry;
use rl_core::{Element, Error, Sections};
use std::ops::Range;

impl<T: Element, A: Element> Ring for Frames<T, A> {
    const WHAT: &'static str = "replay [steps, envs, stack, frame, action width]";

    fn shape(&self) -> Vec<usize> {
        vec![self.steps, self.envs, self.stack, self.frame, self.action_width]
    }

    fn pushed(&self) -> u64 {
        self.pushed
    }

    /// The oldest observation shows frames of the steps before.
    fn needed(&self) -> u64 {
        self.oldest().saturating_sub(self.stack as u64 - 1)
    }

    fn set_pushed(&mut self, pushed: u64) {
        self.pushed = pushed;
    }

    fn write(&self, steps: Range<u64>, out: &mut Vec<u8>) {
        // Of steps that are overwritten the frames alone are there.
        let stored = self.oldest().clamp(steps.start, steps.end)..steps.end;
        column(&self.ring, self.envs * self.frame, self.with_next(steps.clone()), out);
        out.extend(stored.start.to_le_bytes());
        column(&self.actions, self.envs * self.action_width, stored.clone(), out);
        column(&self.rewards, self.envs, stored.clone(), out);
        column_of_ends(&self.ends, self.envs, stored.clone(), out);
        column(&self.ages, self.envs, stored.clone(), out);
        // One for each end.
        self.finals.within(stored).for_each(|entry| T::to_le(&entry.frames, out));
        let starts = self.starts.within(steps);
        out.extend((starts.clone().count() as u64).to_le_bytes());
        for entry in starts {
            out.extend(entry.step.to_le_bytes());
            out.extend((entry.env as u64).to_le_bytes());
            T::to_le(&entry.frames, out);
        }
    }

    fn read(&mut self, steps: Range<u64>, bytes: &mut Reader<'_>) -> Result<()> {
        let (oldest, needed) = (self.oldest(), self.needed());
        let (shown, row) = (self.with_next(steps.clone()), self.envs * self.frame);
        bytes.column(&mut self.ring, row, shown, needed)?;
        let stored = bytes.number()?..steps.end;
        if stored.start < steps.start || stored.start > oldest.clamp(steps.start, steps.end) {
            return Err(bytes.corrupt("steps that are not there").into());
        }
        let action = self.envs * self.action_width;
        bytes.column(&mut self.actions, action, stored.clone(), oldest)?;
        bytes.column(&mut self.rewards, self.envs, stored.clone(), oldest)?;
        let ends = bytes.ends(&mut self.ends, self.envs, stored.clone(), oldest)?;
        bytes.column(&mut self.ages, self.envs, stored.clone(), oldest)?;
        let keys = stored.flat_map(|step| (0..self.envs).map(move |env| (step, env)));
        let mut frames = vec![T::default(); self.frame];
        for ((step, env), _) in keys.zip(ends).filter(|(_, end)| end.is_some()) {
            T::from_le(bytes.bytes(size_of_val(&frames[..]))?, &mut frames);
            if step >= oldest {
                self.finals.insert(step, env, &frames);
            }
        }
        let mut older = vec![T::default(); (self.stack - 1) * self.frame];
        let mut before = None;
        for _ in 0..bytes.number()? {
            let (step, env) = (bytes.number()?, bytes.number()?);
            let ordered = before.replace((step, env)).is_none_or(|before| before < (step, env));
            if !ordered || !steps.contains(&step) || env >= self.envs as u64 {
                return Err(bytes.corrupt("frames out of order").into());
            }
            T::from_le(bytes.bytes(size_of_val(&older[..]))?, &mut older);
            if step >= self.first_of_starts() {
                self.starts.insert(step, env as usize, &older);
            }
        }
        Ok(())
    }
}

impl<T: Element, A: Element> Frames<T, A> {
    /// The newest steps with the one behind them, whose frame is there already.
    fn with_next(&self, steps: Range<u64>) -> Range<u64> {
        let next = u64::from(steps.end == self.pushed && self.pushed > 0);
        steps.start..steps.end + next
    }

    pub(super) fn of_saved(&self, from: &Sections) -> Result<Self> {
        let mut store = self.emptied()?;
        store.blocks = std::mem::take(&mut store.blocks).load(&mut store, from)?;
        match store.problem() {
            None => Ok(store),
            Some(problem) => Err(Error::corrupt("replay", problem).into()),
        }
    }

    /// What is wrong with a store that was saved, if anything. After this check reading finds each frame: ages reach
    /// back to frames that were written.
    fn problem(&self) -> Option<&'static str> {
        let (oldest, longest) = (self.oldest(), self.stack as u64 - 1);
        let row = |(step, env): (u64, usize)| self.row(step) + env;
        let mut stored =
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
        if !stored.all(aged) {
            return Some("ages that do not fit the ends of episodes");
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

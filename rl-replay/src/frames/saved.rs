//! Stored frames as bytes and back.

use super::Frames;
use crate::Result;
use crate::blocks::{Blocks, Reader, Ring, column, column_of_ends};
use crate::side_frames::Entry;
use rl_core::{Element, Error, Sections};
use std::ops::Range;

impl<T: Element, A: Element> Ring for Frames<T, A> {
    const WHAT: &'static str = "replay [steps, envs, stack, frame, action width]";
    const ELEMENTS: [&str; 2] = [T::NAME, A::NAME];

    fn shape(&self) -> Vec<usize> {
        vec![self.steps, self.envs, self.stack, self.frame, self.action_width]
    }

    fn steps(&self) -> usize {
        self.steps
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

    fn blocks_mut(&mut self) -> &mut Blocks {
        &mut self.blocks
    }

    fn write(&self, steps: Range<u64>, out: &mut Vec<u8>) {
        let stored = self.stored(&steps);
        column(&self.ring, self.envs * self.frame, self.with_next(&steps), out);
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
        let (stored, shown) = (self.stored(&steps), self.with_next(&steps));
        bytes.column(&mut self.ring, self.envs * self.frame, shown)?;
        bytes.column(&mut self.actions, self.envs * self.action_width, stored.clone())?;
        bytes.column(&mut self.rewards, self.envs, stored.clone())?;
        bytes.ends(&mut self.ends, self.envs, stored.clone())?;
        bytes.column(&mut self.ages, self.envs, stored.clone())?;
        let mut frames = vec![T::default(); self.frame];
        for (step, env) in stored.flat_map(|step| (0..self.envs).map(move |env| (step, env))) {
            if self.ends[self.row(step) + env].is_some() {
                T::from_le(bytes.bytes(size_of_val(&frames[..]))?, &mut frames);
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
            self.starts.insert(step, env as usize, &older);
        }
        Ok(())
    }
}

impl<T: Element, A: Element> Frames<T, A> {
    /// Of these steps those whose rows are there. Of earlier ones there are frames, for the oldest observations.
    fn stored(&self, steps: &Range<u64>) -> Range<u64> {
        self.oldest().clamp(steps.start, steps.end)..steps.end
    }

    /// These steps, where they are the newest with the one behind them, whose frame is there already.
    fn with_next(&self, steps: &Range<u64>) -> Range<u64> {
        let newest = steps.end == self.pushed && steps.start < steps.end;
        steps.start..steps.end + u64::from(newest)
    }

    pub(super) fn of_saved(&self, from: &Sections) -> Result<Self> {
        let mut store = self.emptied()?;
        store.load_blocks(from)?;
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

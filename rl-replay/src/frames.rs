//! Storage of stacked frames, each kept once.

mod saved;

use crate::blocks::{Blocks, Ring};
use crate::rows::{bytes_of, check_memory};
use crate::side_frames::SideFrames;
use crate::{Batch, Horizon, Result, Store};
use rl_core::{Element, End, Error, Sections, Transitions, check};
use std::any::{Any, TypeId};
use std::ops::Range;

/// A ring buffer of transitions whose observations are stacks of frames, as [`FrameStack`](rl_core::FrameStack) shows
/// them; each frame is kept once and stacks are put together when they are read (Mnih et al., 2015). What is read equals
/// what [`Rows`](crate::Rows) would give, bit for bit.
///
/// Of a stack of `k` frames all but the newest are those of the observation before, and the next observation brings one
/// more. [`Rows`](crate::Rows) keeps `2 k` frames per transition, this store one: four frames of 84 x 84 bytes with a u32
/// action take `7056 + 10` bytes per transition instead of `56448 + 9`. Every end of an episode adds one frame, its
/// final one, and about 40 bytes.
///
/// ```
/// use rl_core::toy::Images;
/// use rl_core::{FrameStack, Seeds, SerialVecEnv, VecEnv};
/// use rl_replay::{Batch, Frames, Horizon, Replay, Uniform};
/// let env = FrameStack::new(Images::new(&[1, 84, 84])?, 4)?;
/// let mut envs = SerialVecEnv::new(vec![env], Seeds::new(0))?;
/// let width = 4 * 84 * 84;
/// let frames = Frames::new(1_000, 1, width, 4, 1)?;
/// assert!(frames.bytes() <= 1_000 * (84 * 84 + 20) + 4 * 84 * 84);
/// let mut replay: Replay<u8, u32> = Replay::new(Box::new(frames), Box::new(Uniform))?;
/// envs.reset()?;
/// for _ in 0..10 {
///     envs.step(&[0])?;
///     replay.push(&envs.batch().transitions(&[0]))?;
/// }
/// let mut batch = Batch::new(32, width, 1)?;
/// let mut rng = Seeds::new(0).stream("replay", 0);
/// replay.sample(&mut rng, 0.0, Horizon { n_step: 3, gamma: 0.99 }, &mut batch)?;
/// assert_eq!(batch.observations().len(), 32 * width);
/// # Ok::<(), rl_core::Error>(())
/// ```
///
/// # Layout
/// Columns are allocated once, as in [`Rows`](crate::Rows): actions `[steps, envs, action width]`, rewards, ends and
/// ages `[steps, envs]`. The age of a row says how many of its older frames are in the ring of frames,
/// `[steps + stack, envs, frame]`, which holds the newest frame of each observation. It is longer than the columns: the
/// oldest row still finds its older frames there, and the newest row the newest frame of its next observation, which is
/// the one of the step that follows. Three cases do not fit into that pattern:
///
/// - Where an episode ends or is cut, the final frame belongs to no step. It is kept in a queue beside the ring until its
///   row is overwritten.
/// - The first observation of an episode repeats its first frame. Its age is 0, and older frames are read as repeats.
/// - Where frames begin otherwise (memory that begins within an episode, offline data), the older frames of the first
///   observation are kept in a second queue, as long as a row needs them.
///
/// A transition that is no such case, and does not continue the frames stored before it, cannot be kept and is an error:
/// for one that is to stand apart there is [`Store::push_apart`]. Observations that a wrapper
/// changes after stacking, differently in each step, are not stacks of the same frames.
#[derive(Clone, Debug)]
pub struct Frames<T, A> {
    steps: usize,
    envs: usize,
    /// Frames of an observation.
    stack: usize,
    /// Elements of a frame.
    frame: usize,
    action_width: usize,
    /// Steps stored since the beginning. They count from 0: step `t` is in row `t % steps` of the columns.
    pushed: u64,
    /// The newest frame of the observation of each step, and of the observation that follows the newest step.
    ring: Vec<T>,
    actions: Vec<A>,
    rewards: Vec<f32>,
    ends: Vec<Option<End>>,
    /// Steps before a row's own, at most `stack - 1`, that show the older frames of its observation.
    ages: Vec<u8>,
    /// The newest frame of the next observation, for the rows with an end.
    finals: SideFrames<T>,
    /// The older frames of observations with age 0, where they do not repeat the newest.
    starts: SideFrames<T>,
    blocks: Blocks,
}

/// The longest stack: an age is one byte.
const LONGEST: u64 = 256;

/// Whether frames are the same; bit for bit where they are of f32, so that they are read as they came: -0 is not 0, and
/// what is not a number equals itself.
fn same<T: Element>(a: &[T], b: &[T]) -> bool {
    if TypeId::of::<T>() != TypeId::of::<f32>() {
        return a == b;
    }
    let bits = |x: &T| (x as &dyn Any).downcast_ref::<f32>().map(|x| x.to_bits());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bits(a) == bits(b))
}

impl<T: Element, A: Element> Frames<T, A> {
    /// An empty buffer for `capacity` transitions of `envs` environments, with observations of `width` elements that are
    /// `stack` frames, the oldest first, and actions of `action_width` elements. The remainder of `capacity` divided by
    /// `envs` is unused.
    ///
    /// # Errors
    /// [`rl_core::Error::Config`] for a zero, a capacity below one step of all environments, a stack of more than 256
    /// frames, a width that is not a multiple of the stack, and what does not fit in memory.
    pub fn new(
        capacity: usize,
        envs: usize,
        width: usize,
        stack: usize,
        action_width: usize,
    ) -> Result<Self> {
        check::at_least("envs", 1, envs as u64)?;
        check::at_least("observation width", 1, width as u64)?;
        check::at_least("frame_stack", 1, stack as u64)?;
        check::at_most("frame_stack", LONGEST, "the longest stack", stack as u64)?;
        if !width.is_multiple_of(stack) {
            let expected = format!("a divisor of the observation width ({width})");
            return Err(Error::config("frame_stack", expected, stack).into());
        }
        check::at_least("action width", 1, action_width as u64)?;
        check::at_least("buffer_size", envs as u64, capacity as u64)?;
        let (steps, frame) = (capacity / envs, width / stack);
        let n = steps * envs;
        let ends = size_of::<f32>() + size_of::<Option<End>>() + size_of::<u8>();
        let frame_bytes = bytes_of::<T>(frame);
        let bytes = frame_bytes.saturating_add(bytes_of::<A>(action_width)).saturating_add(ends);
        check_memory(n, bytes, frame_bytes.saturating_mul(stack).saturating_mul(envs))?;
        Ok(Frames {
            steps,
            envs,
            stack,
            frame,
            action_width,
            pushed: 0,
            ring: vec![T::default(); (steps + stack) * envs * frame],
            actions: vec![A::default(); n * action_width],
            rewards: vec![0.0; n],
            ends: vec![None; n],
            ages: vec![0; n],
            finals: SideFrames::new(frame),
            starts: SideFrames::new((stack - 1) * frame),
            blocks: Blocks::new(steps, bytes.saturating_mul(envs)),
        })
    }

    /// Bytes of memory that the transitions take: those allocated from the start, and those added for ends of episodes.
    pub fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<T>()
            + self.actions.capacity() * size_of::<A>()
            + self.rewards.capacity() * size_of::<f32>()
            + self.ends.capacity() * size_of::<Option<End>>()
            + self.ages.capacity()
            + self.finals.bytes()
            + self.starts.bytes()
    }

    fn emptied(&self) -> Result<Self> {
        let (n, width) = (self.steps * self.envs, self.stack * self.frame);
        Frames::new(n, self.envs, width, self.stack, self.action_width)
    }

    /// The first step whose start is needed: by the `stack - 1` steps that show its older frames.
    fn first_of_starts(&self) -> u64 {
        (self.oldest() + 2).saturating_sub(self.stack as u64)
    }

    /// The row of the first environment in a step.
    fn row(&self, step: u64) -> usize {
        (step % self.steps as u64) as usize * self.envs
    }

    /// The step that a taken place belongs to.
    fn step(&self, place: usize) -> u64 {
        let (steps, newest) = (self.steps as u64, self.pushed.saturating_sub(1));
        let back = (newest % steps + steps - (place / self.envs) as u64) % steps;
        newest.saturating_sub(back)
    }

    /// Where the frame of a step is in the ring.
    fn slot(&self, step: u64, env: usize) -> Range<usize> {
        let from = (step % (self.steps + self.stack) as u64) as usize * self.envs + env;
        from * self.frame..(from + 1) * self.frame
    }

    /// The frames of an observation of a certain age, the oldest first.
    fn frames(&self, step: u64, env: usize, age: u8) -> impl Iterator<Item = &[T]> {
        let (first, age) = (step - u64::from(age), usize::from(age));
        let short = age + 1 < self.stack;
        let older = if short { self.starts.find(first, env) } else { None };
        (0..self.stack).rev().map(move |back| match older {
            Some(older) if back > age => {
                &older[(self.stack - 1 + age - back) * self.frame..][..self.frame]
            }
            // Without older frames the first one is repeated.
            _ => &self.ring[self.slot(step - back.min(age) as u64, env)],
        })
    }

    /// The age of the observation that is stored next, unless it continues no stored one.
    fn next_age(&self, env: usize) -> Option<u8> {
        let row = self.row(self.pushed.checked_sub(1)?) + env;
        let older = (self.stack - 1).min(usize::from(self.ages[row]) + 1);
        self.ends[row].is_none().then_some(older as u8)
    }

    /// Checks transitions, of which those marked `apart` need not continue what is stored.
    fn check_frames(
        &self,
        transitions: &Transitions<'_, T, A>,
        apart: impl Fn(usize) -> bool,
    ) -> Result<()> {
        let (w, f, k) = (self.stack * self.frame, self.frame, self.stack);
        transitions.check(self.envs)?;
        check::len("observations", self.envs * w, transitions.observations().len())?;
        check::len("actions", self.envs * self.action_width, transitions.actions().len())?;
        for (env, observation) in transitions.observations().chunks_exact(w).enumerate() {
            if let Some(age) = self.next_age(env).filter(|_| !apart(env)) {
                let mut frames = self.frames(self.pushed, env, age).zip(observation.chunks(f));
                if !frames.all(|(stored, frame)| same(stored, frame)) {
                    let what = format!("observation of environment {env}");
                    let expected = format!(
                        "the next observation of the step before, as no end, reset or cut lies between, \
                         with a frame_stack of {k} frames of {f} elements, the oldest first"
                    );
                    return Err(Error::mismatch(what, expected, "other frames").into());
                }
            }
            if !same(&observation[f..], &transitions.next_observation(env)[..w - f]) {
                let what = format!("next observation of environment {env}");
                let expected = format!(
                    "the observation moved on by one frame, with a frame_stack of {k} frames of {f} elements, \
                     the oldest first"
                );
                return Err(Error::mismatch(what, expected, "other frames").into());
            }
        }
        Ok(())
    }

    /// Ends running episodes as truncated, with the frame that was to come as the final one.
    fn cut_where(&mut self, apart: impl Fn(usize) -> bool) {
        let Some(newest) = self.pushed.checked_sub(1) else { return };
        for env in 0..self.envs {
            let (row, slot) = (self.row(newest) + env, self.slot(self.pushed, env));
            if apart(env) && self.ends[row].is_none() {
                self.ends[row] = Some(End::Truncated);
                self.finals.insert(newest, env, &self.ring[slot]);
            }
        }
    }

    /// Stores one step. Everything that can fail is done before anything is changed.
    fn store(
        &mut self,
        transitions: &Transitions<'_, T, A>,
        apart: impl Fn(usize) -> bool + Copy,
    ) -> Result<Range<usize>> {
        self.check_frames(transitions, apart)?;
        let (w, f, step) = (self.stack * self.frame, self.frame, self.pushed);
        let observations = transitions.observations();
        let observation = |env: usize| &observations[env * w..][..w];
        // Whether the frames begin here, and otherwise than by repeating the first.
        let begins = |store: &Self, env| apart(env) || store.next_age(env).is_none();
        let mixed = |env| !same(&observation(env)[..w - f], &observation(env)[f..]);
        let starts = (0..self.envs).filter(|env| begins(self, *env) && mixed(*env)).count();
        // Episodes that are cut now, and those that end now or are cut before the next step.
        let reserved = self.finals.reserve(2 * self.envs).and(self.starts.reserve(starts));
        reserved.map_err(|error| {
            let expected = "a buffer whose frames at beginnings and ends fit in memory";
            Error::config("buffer_size", expected, format!("{} ({error})", self.steps * self.envs))
        })?;
        self.cut_where(apart);
        // This step overwrites the oldest.
        self.pushed += 1;
        self.finals.forget_before(self.oldest());
        self.starts.forget_before(self.first_of_starts());
        self.pushed = step;
        let (rows, aw) = (self.row(step)..self.row(step) + self.envs, self.action_width);
        for (env, row) in rows.clone().enumerate() {
            let next_age = self.next_age(env);
            if next_age.is_none() {
                let slot = self.slot(step, env);
                self.ring[slot].copy_from_slice(&observation(env)[w - f..]);
                if mixed(env) {
                    self.starts.insert(step, env, &observation(env)[..w - f]);
                }
            }
            let newest = &transitions.next_observation(env)[w - f..];
            let end = transitions.ends()[env];
            if end.is_some() {
                self.finals.insert(step, env, newest);
            } else {
                let slot = self.slot(step + 1, env);
                self.ring[slot].copy_from_slice(newest);
            }
            // Last, since it may be the row of the step before.
            (self.ages[row], self.ends[row]) = (next_age.unwrap_or(0), end);
        }
        let actions = rows.start * aw..rows.end * aw;
        self.actions[actions].copy_from_slice(transitions.actions());
        self.rewards[rows.clone()].copy_from_slice(transitions.rewards());
        self.count_step();
        Ok(rows)
    }
}

impl<T: Element, A: Element> Store<T, A> for Frames<T, A> {
    fn len(&self) -> usize {
        self.filled() * self.envs
    }

    fn capacity(&self) -> usize {
        self.steps * self.envs
    }

    fn widths(&self) -> (usize, usize) {
        (self.stack * self.frame, self.action_width)
    }

    fn check(&self, transitions: &Transitions<'_, T, A>) -> Result<()> {
        self.check_frames(transitions, |env| transitions.resets()[env])
    }

    /// As [`Store::push`] says; also [`rl_core::Error::Mismatch`] for an observation that is not the next observation of
    /// the step before, where no end, reset or cut lies between, and for a next observation that is not the observation
    /// moved by one frame.
    fn push(&mut self, transitions: &Transitions<'_, T, A>) -> Result<Range<usize>> {
        self.store(transitions, |env| transitions.resets()[env])
    }

    fn push_apart(&mut self, transitions: &Transitions<'_, T, A>) -> Result<Range<usize>> {
        self.store(transitions, |_| true)
    }

    fn cut(&mut self) {
        self.cut_where(|_| true);
    }

    fn read(&self, place: usize, horizon: Horizon, batch: &mut Batch<T, A>, slot: usize) {
        let (f, w, aw) = (self.frame, self.stack * self.frame, self.action_width);
        let (first, env) = (self.step(place), place % self.envs);
        let row = |k: usize| (place + k * self.envs) % self.capacity();
        let stored = (0..self.pushed - first).map(|k| row(k as usize));
        let span = horizon.span(stored.map(|row| (self.rewards[row], self.ends[row])));
        let (step, row) = (first + (span.steps - 1) as u64, row(span.steps - 1));
        let observation = batch.observations[slot * w..][..w].chunks_exact_mut(f);
        let frames = self.frames(first, env, self.ages[place]);
        observation.zip(frames).for_each(|(out, frame)| out.copy_from_slice(frame));
        batch.actions[slot * aw..][..aw].copy_from_slice(&self.actions[place * aw..][..aw]);
        (batch.rewards[slot], batch.discounts[slot]) = (span.reward, span.discount);
        let next = batch.next_observations[slot * w..][..w].chunks_exact_mut(f);
        let last = self.ends[row].and_then(|_| self.finals.find(step, env));
        let last = last.unwrap_or_else(|| &self.ring[self.slot(step + 1, env)]);
        let frames = self.frames(step, env, self.ages[row]).skip(1).chain([last]);
        next.zip(frames).for_each(|(out, frame)| out.copy_from_slice(frame));
    }

    fn save(&self, out: &mut Sections) -> Result<()> {
        self.blocks.save(self, out)
    }

    fn loaded(&self, from: &Sections) -> Result<Box<dyn Store<T, A>>> {
        Ok(Box::new(self.of_saved(from)?))
    }

    fn empty(&self) -> Result<Box<dyn Store<T, A>>> {
        Ok(Box::new(self.emptied()?))
    }
}

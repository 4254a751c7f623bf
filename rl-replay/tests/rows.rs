//! Properties of the replay buffer with complete transitions and uniform sampling.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::{Strategy, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rl_core::{End, Sections, Seeds, StepBatch};
use rl_replay::{Batch, Error, Horizon, Replay, Rows, Store};

const ONE: Horizon = Horizon { n_step: 1, gamma: 0.5 };

/// A stream whose numbers identify their origin: step t of environment e observes `100 t + e`, and the next
/// observation is that of the next step, plus a half at the end of an episode.
struct Stream {
    envs: usize,
    t: usize,
    batch: StepBatch<f32>,
    ends: Vec<Option<End>>,
}

impl Stream {
    fn new(envs: usize, ends: Vec<Option<End>>) -> Self {
        let mut stream = Stream { envs, t: 0, batch: StepBatch::new(envs, 1), ends };
        stream.show();
        stream
    }

    fn end(&self, t: usize, e: usize) -> Option<End> {
        self.ends.get((t * self.envs + e) % self.ends.len().max(1)).copied().flatten()
    }

    fn show(&mut self) {
        let (t, envs) = (self.t, self.envs);
        for (e, x) in self.batch.rows_mut().observations.iter_mut().enumerate() {
            *x = (100 * t + e) as f32;
        }
        let ends: Vec<_> =
            (0..envs).map(|e| t.checked_sub(1).and_then(|t| self.end(t, e))).collect();
        let rows = self.batch.rows_mut();
        for e in 0..envs {
            rows.rewards[e] = t as f32 - 1.0;
            rows.finals[e] = (100 * t + e) as f32 + 0.5;
        }
        rows.ends.copy_from_slice(&ends);
    }

    fn push(&mut self, ring: &mut Replay<f32, u32>) {
        self.batch.begin_step();
        let actions: Vec<u32> = (0..self.envs).map(|e| (self.t * 10 + e) as u32).collect();
        self.t += 1;
        self.show();
        ring.push(&self.batch.transitions(&actions)).unwrap();
    }
}

fn ends() -> impl Strategy<Value = Vec<Option<End>>> {
    let end =
        prop::sample::select(vec![None, None, None, Some(End::Terminated), Some(End::Truncated)]);
    prop::collection::vec(end, 1..60)
}

proptest! {
    #[test]
    fn keeps_the_newest_and_pairs_what_belongs_together(
        envs in 1usize..5, capacity in 5usize..40, steps in 1usize..60, ends in ends(), seed: u64,
    ) {
        let mut ring = Replay::uniform(capacity, envs, 1, 1).unwrap();
        let mut stream = Stream::new(envs, ends);
        (0..steps).for_each(|_| stream.push(&mut ring));
        prop_assert_eq!(ring.len(), steps.min(capacity / envs) * envs);
        let mut batch = Batch::new(50, 1, 1).unwrap();
        ring.sample(&mut Seeds::new(seed).stream("t", 0), 0.0, ONE, &mut batch).unwrap();
        for i in 0..batch.len() {
            let (t, e) = (batch.observations()[i] as usize / 100, batch.observations()[i] as usize % 100);
            prop_assert!(t + capacity / envs >= steps && t < steps && e < envs);
            prop_assert_eq!(batch.actions()[i] as usize, t * 10 + e);
            prop_assert_eq!(batch.rewards()[i], t as f32);
            let end = stream.end(t, e);
            let next = (100 * (t + 1) + e) as f32 + if end.is_some() { 0.5 } else { 0.0 };
            prop_assert_eq!(batch.next_observations()[i], next);
            prop_assert_eq!(batch.discounts()[i], if end == Some(End::Terminated) { 0.0 } else { 0.5 });
        }
    }

    #[test]
    fn n_step_returns_equal_the_sum_that_defines_them(
        envs in 1usize..4, capacity in 4usize..40, steps in 1usize..60, n_step in 1usize..6, ends in ends(), seed: u64,
    ) {
        let mut ring = Replay::uniform(capacity, envs, 1, 1).unwrap();
        let mut stream = Stream::new(envs, ends);
        (0..steps).for_each(|_| stream.push(&mut ring));
        let mut batch = Batch::new(50, 1, 1).unwrap();
        let horizon = Horizon { n_step, gamma: 0.5 };
        ring.sample(&mut Seeds::new(seed).stream("t", 0), 0.0, horizon, &mut batch).unwrap();
        for i in 0..batch.len() {
            let (t, e) = (batch.observations()[i] as usize / 100, batch.observations()[i] as usize % 100);
            let last = (t..steps.min(t + n_step)).find(|&s| stream.end(s, e).is_some());
            let last = last.unwrap_or(steps.min(t + n_step) - 1);
            let sum: f64 = (t..=last).map(|s| 0.5f64.powi((s - t) as i32) * s as f64).sum();
            prop_assert_eq!(batch.rewards()[i], sum as f32);
            let next = (100 * (last + 1) + e) as f32 + if stream.end(last, e).is_some() { 0.5 } else { 0.0 };
            prop_assert_eq!(batch.next_observations()[i], next);
            let terminated = stream.end(last, e) == Some(End::Terminated);
            let discount = if terminated { 0.0 } else { 0.5f32.powi((last + 1 - t) as i32) };
            prop_assert_eq!(batch.discounts()[i], discount);
        }
    }

    #[test]
    fn saved_rows_are_the_same_rows(envs in 1usize..4, capacity in 4usize..30, steps in 0usize..50, ends in ends()) {
        let mut replay = Replay::uniform(capacity, envs, 1, 1).unwrap();
        let mut stream = Stream::new(envs, ends);
        (0..steps).for_each(|_| stream.push(&mut replay));
        let (mut saved, mut again) = (Sections::default(), Sections::default());
        replay.save(&mut saved).unwrap();
        let copy = replay.loaded(&saved).unwrap();
        copy.save(&mut again).unwrap();
        prop_assert_eq!(&saved, &again);
        prop_assert_eq!(copy.len(), replay.len());
        let other = Replay::<f32, u32>::uniform(capacity + envs, envs, 1, 1).unwrap();
        prop_assert!(other.loaded(&saved).is_err());
        // A checkpoint without the replay buffer.
        prop_assert!(replay.loaded(&Sections::default()).unwrap().is_empty());
    }

    /// An episode cut by a reset from outside is truncated: n-step returns end there and bootstrap from its last
    /// observation.
    #[test]
    fn returns_do_not_run_across_a_reset(
        envs in 1usize..4, before in 1usize..20, after in 1usize..20, n_step in 1usize..6, room in 1usize..40,
    ) {
        // Also with room for fewer steps than there are: the oldest are overwritten.
        let mut rows = Rows::<f32, u32>::new(room * envs, envs, 1, 1).unwrap();
        let mut shown = StepBatch::new(envs, 1);
        let mut push = |first: bool, x: f32| {
            if first {
                shown.begin_episodes();
                shown.rows_mut().observations.fill(x);
            }
            shown.begin_step();
            shown.rows_mut().observations.fill(x + 1.0);
            shown.rows_mut().rewards.fill(1.0);
            Store::push(&mut rows, &shown.transitions(&vec![0; envs])).unwrap();
        };
        (0..before).for_each(|t| push(t == 0, t as f32));
        (0..after).for_each(|t| push(t == 0, 1000.0 + t as f32));
        let mut batch = Batch::new(1, 1, 1).unwrap();
        for place in 0..Store::len(&rows) {
            rows.read(place, Horizon { n_step, gamma: 0.5 }, &mut batch, 0);
            let seen = batch.observations()[0];
            let (first, t, steps) =
                if seen < 1000.0 { (0.0, seen as usize, before) } else { (1000.0, seen as usize - 1000, after) };
            let k = n_step.min(steps - t);
            prop_assert_eq!(batch.next_observations()[0], first + (t + k) as f32);
            prop_assert_eq!(batch.rewards()[0], (0..k as i32).map(|i| 0.5f32.powi(i)).sum::<f32>());
            prop_assert_eq!(batch.discounts()[0], 0.5f32.powi(k as i32));
        }
    }
}

#[test]
fn sampling_is_uniform() {
    let mut ring = Replay::uniform(10, 2, 1, 1).unwrap();
    let mut stream = Stream::new(2, vec![None]);
    (0..7).for_each(|_| stream.push(&mut ring));
    let mut batch = Batch::new(50_000, 1, 1).unwrap();
    ring.sample(&mut Seeds::new(0).stream("t", 0), 0.0, ONE, &mut batch).unwrap();
    let mut counts = [0u32; 10];
    batch.indices().iter().for_each(|&i| counts[i] += 1);
    // The expected count is 5000 each, with standard deviation 67.
    assert!(counts.iter().all(|c| c.abs_diff(5_000) < 350), "{counts:?}");
}

#[test]
fn pixels_stay_bytes() {
    let mut ring = Replay::<u8, u32>::uniform(4, 1, 3, 1).unwrap();
    let mut shown = StepBatch::new(1, 3);
    shown.rows_mut().observations.copy_from_slice(&[1, 2, 255]);
    shown.begin_step();
    ring.push(&shown.transitions(&[0])).unwrap();
    let mut batch = Batch::new(1, 3, 1).unwrap();
    ring.sample(&mut Seeds::new(0).stream("t", 0), 0.0, ONE, &mut batch).unwrap();
    assert_eq!(batch.observations(), [1, 2, 255]);
}

#[test]
fn misuse_is_an_error() {
    let mut ring = Replay::<f32, u32>::uniform(4, 2, 1, 1).unwrap();
    let mut rng = Seeds::new(0).stream("t", 0);
    assert!(matches!(
        ring.sample(&mut rng, 0.0, ONE, &mut Batch::new(1, 1, 1).unwrap()),
        Err(Error::Empty)
    ));
    assert!(ring.push(&StepBatch::new(3, 1).transitions(&[0; 3])).is_err());
    assert!(ring.push(&StepBatch::new(2, 1).transitions(&[0; 3])).is_err());
    assert!(ring.push(&StepBatch::new(2, 2).transitions(&[0; 2])).is_err());
    let mut shown = StepBatch::new(2, 1);
    assert!(ring.push(&shown.transitions(&[0; 2])).is_err(), "no step was taken");
    shown.begin_step();
    ring.push(&shown.transitions(&[0; 2])).unwrap();
    assert!(ring.sample(&mut rng, 0.0, ONE, &mut Batch::new(1, 2, 1).unwrap()).is_err());
    let error = Rows::<f32, u32>::new(1, 2, 1, 1).unwrap_err().to_string();
    assert_eq!(error, "buffer_size: expected an integer >= 2, got 1");
}

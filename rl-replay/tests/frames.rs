//! Frames that are kept once are read as rows that are kept whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::prelude::{ProptestConfig, Strategy, prop};
use proptest::{prop_assert_eq, prop_oneof, proptest};
use rl_core::{
    BadNumbers, BoxSpace, Discrete, Element, End, Env, FrameStack, Rng, Sections, Seeds,
    SerialVecEnv, Step, StepBatch, VecEnv, codec,
};
use rl_replay::{Batch, Frames, Horizon, Replay, Rows, Store, Uniform};

/// Environments that show stacks of frames, at random: episodes begin with a repeated frame or with any, end in both
/// ways, and are cut.
struct World<T> {
    envs: usize,
    stack: usize,
    frame: usize,
    rng: Rng,
    element: fn(usize) -> T,
    /// What each environment shows, `[envs, stack * frame]`.
    shown: Vec<T>,
    batch: StepBatch<T>,
    actions: Vec<u32>,
}

/// Few values, so that frames coincide by chance; among them those that `==` confuses.
fn float(i: usize) -> f32 {
    [0.0, -0.0, f32::NAN, 1.0, 2.5][i % 5]
}

fn byte(i: usize) -> u8 {
    [0, 1, 255, 7, 0][i % 5]
}

impl<T: Element> World<T> {
    fn new(
        envs: usize,
        stack: usize,
        frame: usize,
        seed: u64,
        element: fn(usize) -> T,
    ) -> World<T> {
        let rng = Seeds::new(seed).stream("t", 0);
        let shown = vec![T::default(); envs * stack * frame];
        let batch = StepBatch::new(envs, stack * frame);
        let mut world = World { envs, stack, frame, rng, element, shown, batch, actions: vec![] };
        (0..envs).for_each(|env| world.begin(env));
        world
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.rng.below(one_in) == 0
    }

    fn random(&mut self, n: usize) -> Vec<T> {
        (0..n).map(|_| (self.element)(self.rng.below(5))).collect()
    }

    fn begin(&mut self, env: usize) {
        let (w, f) = (self.stack * self.frame, self.frame);
        let stack = if self.chance(3) { self.random(w) } else { self.random(f).repeat(self.stack) };
        self.shown[env * w..][..w].copy_from_slice(&stack);
    }

    /// A step of all environments, of which some may have been reset before, or show anything where `apart`.
    fn step(&mut self, apart: bool) {
        let (w, f) = (self.stack * self.frame, self.frame);
        let mut resets = vec![false; self.envs];
        for (env, reset) in resets.iter_mut().enumerate() {
            *reset = self.chance(12);
            if *reset || apart && self.chance(2) {
                self.begin(env);
            }
        }
        self.batch.restore(&self.shown, &resets).unwrap();
        self.batch.begin_step();
        self.actions.clear();
        for env in 0..self.envs {
            let newest = self.random(f);
            let rows = env * w..(env + 1) * w;
            self.shown.copy_within(rows.start + f..rows.end, rows.start);
            self.shown[rows.end - f..rows.end].copy_from_slice(&newest);
            let end = [None, None, None, None, None, Some(End::Terminated), Some(End::Truncated)]
                [self.rng.below(7)];
            // Where no episode ends, the finals mean nothing.
            let unused = self.random(w);
            let last = if end.is_some() { self.shown[rows.clone()].to_vec() } else { unused };
            if end.is_some() {
                self.begin(env);
            }
            let reward = self.rng.below(9) as f32 - 4.0;
            let out = self.batch.rows_mut();
            out.finals[rows.clone()].copy_from_slice(&last);
            out.observations[rows.clone()].copy_from_slice(&self.shown[rows]);
            (out.rewards[env], out.ends[env]) = (reward, end);
            self.actions.push(self.rng.below(100) as u32);
        }
    }
}

/// What is read of every place, as bytes, for 1 to 4 steps.
fn contents<T: Element>(store: &dyn Store<T, u32>) -> Vec<u8> {
    let (width, action_width) = store.widths();
    let mut all = Vec::new();
    for n_step in 1..=4 {
        let mut batch = Batch::new(store.len(), width, action_width).unwrap();
        for place in 0..store.len() {
            store.read(place, Horizon { n_step, gamma: 0.9 }, &mut batch, place);
        }
        let pair = (batch.observations(), batch.next_observations());
        let rest = (batch.actions(), batch.rewards(), batch.discounts());
        all.extend(codec::encode(&(pair, rest)).unwrap());
    }
    all
}

fn frames_and_rows_agree<T: Element>(mut world: World<T>, steps: usize, count: usize) {
    let (envs, width) = (world.envs, world.stack * world.frame);
    let capacity = steps * envs + world.rng.below(envs);
    let mut rows: Box<dyn Store<T, u32>> = Box::new(Rows::new(capacity, envs, width, 1).unwrap());
    let frames = Frames::new(capacity, envs, width, world.stack, 1).unwrap();
    let mut frames: Box<dyn Store<T, u32>> = Box::new(frames);
    assert_eq!((frames.capacity(), frames.widths()), (rows.capacity(), rows.widths()));
    for _ in 0..count {
        let (apart, cut) = (world.chance(10), world.chance(10));
        world.step(apart || cut);
        let transitions = world.batch.transitions(&world.actions);
        if cut {
            rows.cut();
            frames.cut();
            assert_eq!(contents(&*frames), contents(&*rows));
        }
        let places = if apart {
            (frames.push_apart(&transitions).unwrap(), rows.push_apart(&transitions).unwrap())
        } else {
            frames.check(&transitions).unwrap();
            (frames.push(&transitions).unwrap(), rows.push(&transitions).unwrap())
        };
        assert_eq!(places.0, places.1);
        assert_eq!(frames.len(), rows.len());
        assert_eq!(contents(&*frames), contents(&*rows));
        if world.chance(5) {
            let written = saved(&*frames);
            let loaded = frames.loaded(&written).unwrap();
            assert_eq!(contents(&*loaded), contents(&*rows));
            assert_eq!(saved(&*loaded), written);
            assert!(frames.empty().unwrap().is_empty());
            frames = loaded;
        }
    }
}

/// What a store writes of itself.
fn saved<T: Element, A: Element>(store: &(impl Store<T, A> + ?Sized)) -> Sections {
    let mut sections = Sections::default();
    store.save(&mut sections).unwrap();
    sections
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Word(usize, u64),
    Keep(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop::sample::select(vec![
        0,
        1,
        2,
        3,
        17,
        1 << 32,
        1 << 60,
        u64::MAX / 2,
        u64::MAX / 2 - 1,
        u64::MAX - 1,
        u64::MAX,
    ]);
    prop_oneof![
        4 => (0usize..4000, 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, 1 << bit)),
        4 => (0usize..4000, word).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => (0usize..4000).prop_map(Damage::Keep),
    ]
}

proptest! {
    #[test]
    fn frames_are_read_as_rows(
        envs in 1usize..4, stack in 1usize..6, frame in 1usize..4, steps in 1usize..9, count in 1usize..50, seed: u64,
    ) {
        frames_and_rows_agree(World::new(envs, stack, frame, seed, float), steps, count);
        frames_and_rows_agree(World::new(envs, stack, frame, seed, byte), steps, count);
    }

    /// What does not continue the stored frames is refused and changes nothing, wherever it differs.
    #[test]
    fn what_cannot_be_put_together_is_refused(
        envs in 1usize..4, stack in 1usize..6, frame in 1usize..3, steps in 1usize..5, count in 1usize..20, seed: u64,
    ) {
        let mut world = World::new(envs, stack, frame, seed, float);
        let width = stack * frame;
        let mut frames: Frames<f32, u32> = Frames::new(steps * envs, envs, width, stack, 1).unwrap();
        let mut went_on = vec![false; envs];
        for _ in 0..count {
            world.step(false);
            let transitions = world.batch.transitions(&world.actions);
            let ends = transitions.ends();
            let nexts: Vec<f32> = (0..envs).flat_map(|env| transitions.next_observation(env)).copied().collect();
            let before = saved(&frames);
            for i in 0..2 * envs * width {
                let (mut observations, mut nexts) = (transitions.observations().to_vec(), nexts.clone());
                let changed = if i < envs * width { &mut observations[i] } else { &mut nexts[i - envs * width] };
                *changed = if changed.is_nan() { 9.0 } else { f32::from_bits(changed.to_bits() ^ 1 << 31) };
                let rewards = transitions.rewards();
                let follows = StepBatch::of_transitions(&observations, rewards, ends, &nexts, true).unwrap();
                let (env, element) = (i / width % envs, i % width);
                // Environments that were reset are taken apart, here at once with the others.
                let apart = transitions.resets().iter().any(|reset| *reset);
                let fits = if i < envs * width {
                    element < frame && (apart || !went_on[env])
                } else {
                    element >= width - frame
                };
                let mut copy = frames.clone();
                let changed = follows.transitions(&world.actions);
                let pushed = if apart { copy.push_apart(&changed) } else { copy.push(&changed) };
                prop_assert_eq!(pushed.is_ok(), fits, "{} {:?}", i, pushed);
                if !apart {
                    prop_assert_eq!(frames.check(&changed).is_ok(), fits);
                }
                if !fits {
                    prop_assert_eq!(saved(&copy), before.clone());
                }
            }
            frames.push(&transitions).unwrap();
            went_on = ends.iter().map(Option::is_none).collect();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Damage that the checksum does not show: an error, or a store that can be used.
    #[test]
    fn damaged_bytes_do_no_harm(
        stack in 1usize..5, count in 0usize..14, seed: u64, damage in prop::collection::vec(damage(), 1..4),
    ) {
        let mut world = World::new(2, stack, 1, seed, byte);
        let mut frames: Frames<u8, u32> = Frames::new(10, 2, stack, stack, 1).unwrap();
        for _ in 0..count {
            world.step(false);
            frames.push(&world.batch.transitions(&world.actions)).unwrap();
        }
        let mut sections = saved(&frames);
        let mut payload = sections.file(REST).unwrap().to_vec();
        for damage in damage {
            let n = payload.len().max(1);
            match damage {
                Damage::Flip(at, bits) => payload.iter_mut().skip(at % n).take(1).for_each(|byte| *byte ^= bits),
                Damage::Word(at, word) => {
                    payload.iter_mut().skip(at % n).zip(word.to_le_bytes()).for_each(|(byte, new)| *byte = new);
                }
                Damage::Keep(at) => payload.truncate(at % n),
            }
        }
        sections.put_file(REST, payload);
        if let Ok(mut loaded) = frames.loaded(&sections) {
            contents(&*loaded);
            for _ in 0..8 {
                world.step(true);
                loaded.push_apart(&world.batch.transitions(&world.actions)).unwrap();
                contents(&*loaded);
            }
        }
    }
}

/// The file of what is in no block: of these small stores, all.
const REST: &str = "replay-rest.bin";

#[test]
fn saved_bytes_that_contradict_themselves_are_refused() {
    let mut frames: Frames<u8, u32> = Frames::new(6, 2, 3, 3, 1).unwrap();
    let step = |at: u8, end: Option<End>| {
        let (o, n) = ([at, at + 1, at + 2], [at + 1, at + 2, at + 3]);
        StepBatch::of_transitions(&[o, o].concat(), &[0.0; 2], &[end, None], &[n, n].concat(), true)
    };
    for (at, end) in [(0, None), (1, Some(End::Truncated)), (9, None), (10, None)] {
        let step = step(at, end).unwrap();
        // The second environment goes on only after being cut.
        if at == 9 {
            frames.push_apart(&step.transitions(&[0; 2])).unwrap();
        } else {
            frames.push(&step.transitions(&[0; 2])).unwrap();
        }
    }
    let whole = saved(&frames);
    let rest = whole.file(REST).unwrap();
    // Frames of steps 0 to 4, of which the last is to come; of steps 1 to 3, whose rows are there, actions, rewards, ends and
    // ages; final frames of step 1; first frames of steps 0 and 2, each with step and environment; then that there are none of
    // steps behind a last block.
    assert_eq!(rest.len(), 5 * 2 + 6 * (4 + 4 + 1 + 1) + 2 + 8 + 4 * (8 + 8 + 2) + 8);
    const ENDS: usize = 10 + 6 * 8;
    const AGES: usize = ENDS + 6;
    const COUNT: usize = AGES + 6 + 2;
    const FIRST: usize = COUNT + 8;
    assert_eq!(rest[AGES..AGES + 6], [1, 1, 0, 0, 1, 1]);
    assert_eq!(rest[COUNT], 4);
    let entry = |i: usize| FIRST + i * 18;
    let changes = [
        ("an end of an unknown kind", ENDS, 3),
        ("ages", AGES + 4, 2),
        ("ages", AGES, 200),
        ("bytes too many", ENDS + 2, 1),
        ("too few bytes", COUNT, 5),
        ("out of order", COUNT, 3),
        ("out of order", entry(1) + 8, 0),
        ("out of order", entry(2), 0),
        ("out of order", entry(3), 4),
        ("out of order", entry(3) + 8, 2),
        ("first frames", entry(3), 3),
        ("first frames", entry(1), 1),
    ];
    for (i, (problem, at, byte)) in changes.into_iter().enumerate() {
        let mut bytes = rest.to_vec();
        bytes[at] = byte;
        let mut sections = whole.clone();
        sections.put_file(REST, bytes);
        let error = frames.loaded(&sections).unwrap_err().to_string();
        assert!(error.contains(problem), "{i}: {error}");
    }
    for len in 0..rest.len() {
        let mut sections = whole.clone();
        sections.put_file(REST, rest[..len].to_vec());
        let error = frames.loaded(&sections).unwrap_err().to_string();
        assert!(error.contains("too few bytes"), "{len}: {error}");
    }
}

/// Episodes of so many steps in two environments, each frame of one number, which counts.
fn play(frames: &mut Frames<u8, u32>, steps: usize, length: usize) {
    let (width, _) = frames.widths();
    let (f, mut shown) = (width / 4, StepBatch::new(2, width));
    shown.begin_episodes();
    for step in 1..=steps {
        shown.begin_step();
        let before = shown.transitions(&[0; 2]).observations().to_vec();
        let rows = shown.rows_mut();
        let ended = step % length == 0;
        for env in 0..2 {
            let row = env * width..(env + 1) * width;
            let mut next = before[row.start + f..row.end].to_vec();
            next.extend(vec![step as u8; f]);
            rows.finals[row.clone()].copy_from_slice(&next);
            rows.observations[row].copy_from_slice(&if ended { vec![0; width] } else { next });
        }
        rows.ends.fill(ended.then_some(End::Terminated));
        frames.push(&shown.transitions(&[0; 2])).unwrap();
    }
}

#[test]
fn a_transition_takes_little_more_than_a_frame() {
    let (n, frame) = (4_000, 28 * 28);
    let mut frames = Frames::new(n, 2, 4 * frame, 4, 1).unwrap();
    let empty = frames.bytes();
    // Behind the newest step the ring has four more frames of each environment.
    assert_eq!(empty, n * (frame + 10) + 4 * 2 * frame);
    let floats = Frames::<f32, u32>::new(n, 2, 4 * frame, 4, 1).unwrap();
    assert_eq!(floats.bytes(), n * (4 * frame + 10) + 4 * 2 * 4 * frame);
    play(&mut frames, 2 * n, 200);
    let full = frames.bytes();
    // The ends of ten episodes in each environment.
    assert!(full >= empty + 10 * 2 * frame, "{full} {empty}");
    assert!(full <= n * (frame + 20), "{}", full as f64 / n as f64);
    // Buffers are used again.
    play(&mut frames, 2 * n, 200);
    assert_eq!(frames.bytes(), full);
}

/// An agent that acts after demonstrations were stored goes on within an episode, whose step is marked by no reset.
#[test]
fn a_memory_goes_on_within_an_episode() {
    let store: Frames<f32, u32> = Frames::new(3, 1, 3, 3, 1).unwrap();
    let mut replay = Replay::new(Box::new(store), Box::new(Uniform)).unwrap();
    let step = |from: f32, follows| {
        let (o, n) = ([from, from + 1.0, from + 2.0], [from + 1.0, from + 2.0, from + 3.0]);
        StepBatch::of_transitions(&o, &[from], &[None], &n, follows).unwrap()
    };
    replay.push(&step(50.0, false).transitions(&[0])).unwrap();
    replay.push_foreign(&step(4.0, true).transitions(&[0])).unwrap();
    replay.push(&step(5.0, true).transitions(&[0])).unwrap();
    // The step at which the stacks began is overwritten, but not its older frames.
    replay.push(&step(6.0, true).transitions(&[0])).unwrap();
    replay.push(&step(7.0, true).transitions(&[0])).unwrap();
    let mut batch = Batch::new(60, 3, 1).unwrap();
    let (mut rng, horizon) = (Seeds::new(0).stream("t", 0), Horizon { n_step: 1, gamma: 0.9 });
    replay.sample(&mut rng, 0.0, horizon, &mut batch).unwrap();
    let mut seen: Vec<f32> = batch.rewards().to_vec();
    for (observation, reward) in batch.observations().chunks(3).zip(batch.rewards()) {
        assert_eq!(observation, [*reward, reward + 1.0, reward + 2.0]);
    }
    seen.sort_by(f32::total_cmp);
    seen.dedup();
    assert_eq!(seen, [5.0, 6.0, 7.0]);
}

#[test]
fn errors_say_what_was_expected() {
    let new = |capacity, envs, width, stack, action_width| {
        let frames = Frames::<f32, u32>::new(capacity, envs, width, stack, action_width);
        frames.unwrap_err().to_string()
    };
    assert_eq!(new(4, 0, 4, 2, 1), "envs: expected an integer >= 1, got 0");
    assert_eq!(new(4, 1, 0, 2, 1), "observation width: expected an integer >= 1, got 0");
    assert_eq!(new(4, 1, 4, 0, 1), "frame_stack: expected an integer >= 1, got 0");
    assert_eq!(
        new(4, 1, 257, 257, 1),
        "frame_stack: expected at most the longest stack (256), got 257"
    );
    assert_eq!(
        new(4, 1, 4, 3, 1),
        "frame_stack: expected a divisor of the observation width (4), got 3"
    );
    assert_eq!(new(4, 1, 4, 2, 0), "action width: expected an integer >= 1, got 0");
    assert_eq!(new(1, 2, 4, 2, 1), "buffer_size: expected an integer >= 2, got 1");
    let most = usize::MAX;
    let too_large = format!(
        "buffer_size: expected a buffer that fits in memory at 18 bytes per transition, got {most}"
    );
    assert_eq!(new(most, 1, 4, 2, 1), too_large);
    for (capacity, envs, width, stack, action_width) in [
        (4, 1, most - most % 4, 4, 1),
        (4, 1, 4, 4, most),
        (most, most, 4, 4, 1),
        (1 << 50, 1 << 20, 1 << 10, 4, 1),
        (4, 1, most / 8, 1, 1),
    ] {
        let error = new(capacity, envs, width, stack, action_width);
        assert!(error.contains("fits in memory"), "{error}");
        let rows = Rows::<f32, u32>::new(capacity, envs, width, action_width).unwrap_err();
        assert!(rows.to_string().contains("fits in memory"), "{rows}");
    }

    let mut frames: Frames<f32, u32> = Frames::new(4, 1, 4, 2, 1).unwrap();
    let mut push = |o: &[f32], n: &[f32], follows| {
        let step = StepBatch::of_transitions(o, &[0.0], &[None], n, follows).unwrap();
        frames.push(&step.transitions(&[0])).map_err(|error| error.to_string())
    };
    push(&[1.0, 1.0, 2.0, 2.0], &[2.0, 2.0, 3.0, 3.0], true).unwrap();
    assert_eq!(
        push(&[1.0, 1.0, 3.0, 3.0], &[3.0, 3.0, 4.0, 4.0], true).unwrap_err(),
        "observation of environment 0: expected the next observation of the step before, as no end, reset or cut lies \
         between, with a frame_stack of 2 frames of 2 elements, the oldest first, got other frames"
    );
    assert_eq!(
        push(&[2.0, 2.0, 3.0, 3.0], &[2.0, 2.0, 3.0, 3.0], true).unwrap_err(),
        "next observation of environment 0: expected the observation moved on by one frame, with a frame_stack of 2 \
         frames of 2 elements, the oldest first, got other frames"
    );
    assert!(push(&[1.0; 2], &[1.0; 2], true).unwrap_err().starts_with("observations: expected 4"));
    push(&[1.0, 1.0, 3.0, 3.0], &[3.0, 3.0, 4.0, 4.0], false).unwrap();
    let mut shown = StepBatch::new(1, 4);
    assert!(frames.push(&shown.transitions(&[0])).is_err(), "no step was taken");
    shown.begin_episodes();
    shown.begin_step();
    assert!(frames.push(&shown.transitions(&[0; 2])).is_err());
    shown.rows_mut().rewards[0] = f32::NAN;
    assert!(frames.push(&shown.transitions(&[0])).is_err());
    assert!(frames.push(&StepBatch::new(2, 4).transitions(&[0; 2])).is_err());
    assert_eq!(frames.len(), 2);

    let bytes = saved(&frames);
    for (capacity, width, stack) in [(5, 4, 2), (4, 4, 4), (4, 6, 2)] {
        let other = Frames::<f32, u32>::new(capacity, 1, width, stack, 1).unwrap();
        let error = other.loaded(&bytes).unwrap_err().to_string();
        assert!(error.starts_with("replay [steps, envs, stack, frame, action width]"), "{error}");
    }
}

/// Shows how many steps an episode has had, and NaN at the fifth.
struct Counts(f32);

impl Env for Counts {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = f32;

    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(2).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(2).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> rl_core::Result<()> {
        self.0 = 0.0;
        obs.fill(0.0);
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> rl_core::Result<Step> {
        self.0 += 1.0;
        obs.copy_from_slice(&[if self.0 == 5.0 { f32::NAN } else { self.0 }, self.0]);
        Ok(Step::running(1.0))
    }
    fn state(&self) -> Option<f32> {
        Some(self.0)
    }
    fn set_state(&mut self, state: f32) -> rl_core::Result<()> {
        self.0 = state;
        Ok(())
    }
}

/// Episodes that are cut off at a bad number are stored as frames: the last of them has the good numbers of the newest frame,
/// and those of the frame before in place of the bad.
#[test]
fn episodes_that_are_cut_off_at_a_bad_number_are_kept() {
    let env = FrameStack::new(Counts(0.0), 3).unwrap();
    let mut envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    envs.set_bad_numbers(BadNumbers::Skip).unwrap();
    let mut frames: Frames<f32, u32> = Frames::new(20, 1, 6, 3, 1).unwrap();
    envs.reset().unwrap();
    for _ in 0..17 {
        envs.step(&[0]).unwrap();
        frames.push(&envs.batch().transitions(&[0])).unwrap();
    }
    let mut batch = Batch::new(1, 6, 1).unwrap();
    frames.read(4, Horizon { n_step: 1, gamma: 0.9 }, &mut batch, 0);
    assert_eq!(batch.observations(), [2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
    assert_eq!(batch.next_observations(), [3.0, 3.0, 4.0, 4.0, 4.0, 5.0]);
    assert_eq!((batch.rewards()[0], batch.discounts()[0]), (0.0, 0.9));
}

//! What a memory writes of itself into checkpoints: each block once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use proptest::prelude::*;
use rl_core::{CheckpointDir, End, Latest, Manifest, Sections, StepBatch, codec};
use rl_replay::{Batch, Frames, Horizon, Replay, Rows, Store, Uniform};
use std::collections::BTreeSet;

const ENVS: usize = 2;
/// Elements of a frame, and frames of an observation: large enough for blocks.
const FRAME: usize = 500;
const STACK: usize = 3;
const WIDTH: usize = FRAME * STACK;
/// Steps that there is room for, of two environments; blocks of the rows are of 10 steps, those of the frames of 64.
const STEPS: [usize; 2] = [100, 600];

fn replay(frames: bool) -> Replay<u8, u32> {
    let store: Box<dyn Store<u8, u32>> = match frames {
        false => Box::new(Rows::new(STEPS[0] * ENVS, ENVS, WIDTH, 1).unwrap()),
        true => Box::new(Frames::new(STEPS[1] * ENVS, ENVS, WIDTH, STACK, 1).unwrap()),
    };
    Replay::new(store, Box::new(Uniform)).unwrap()
}

/// Two environments that show the last frames of their episodes, each frame one number. Episodes begin with other frames or
/// with one that repeats, end in both ways, and are cut, now and then together.
#[derive(Clone, Copy)]
struct Stream {
    step: usize,
    shown: [[u8; STACK]; ENVS],
    /// Every so many steps the episode of an environment ends, and both are cut.
    every: [usize; ENVS],
    cut: usize,
}

impl Stream {
    fn new(every: [usize; ENVS]) -> Self {
        Stream { step: 0, shown: [[1, 2, 3], [4, 5, 6]], every, cut: 37 }
    }

    fn push(&mut self, replay: &mut Replay<u8, u32>) {
        let pixels = |shown: [u8; STACK]| shown.into_iter().flat_map(|x| [x; FRAME]);
        let observations: Vec<u8> = self.shown.into_iter().flat_map(pixels).collect();
        self.step += 1;
        let (mut next, mut ends) = (self.shown, [None; ENVS]);
        for env in 0..ENVS {
            next[env].rotate_left(1);
            next[env][STACK - 1] = (self.step * (env + 3)) as u8;
            let begins = |other: u8| [self.step as u8, (self.step as u8).wrapping_add(other), 9];
            if self.step.is_multiple_of(self.every[env]) {
                ends[env] = Some(if env == 0 { End::Terminated } else { End::Truncated });
            }
            self.shown[env] = match ends[env] {
                Some(End::Terminated) => [self.step as u8; STACK],
                Some(_) => begins(1),
                None if (self.step + 1).is_multiple_of(self.cut) => begins(2),
                None => next[env],
            };
        }
        let next: Vec<u8> = next.into_iter().flat_map(pixels).collect();
        let rewards = [self.step as f32, -(self.step as f32)];
        let follows = !self.step.is_multiple_of(self.cut);
        let step =
            StepBatch::of_transitions(&observations, &rewards, &ends, &next, follows).unwrap();
        replay.push(&step.transitions(&[self.step as u32, 0])).unwrap();
    }
}

fn saved(replay: &Replay<u8, u32>, before: Option<&Manifest>) -> Sections {
    let mut sections = before.map_or_else(Sections::default, |m| Sections::following(m.clone()));
    replay.save(&mut sections).unwrap();
    sections
}

/// What is drawn over one step and over three, often enough that every place is.
fn contents(replay: &mut Replay<u8, u32>) -> BTreeSet<(usize, u32, u32, [u32; 2])> {
    let mut rng = rl_core::Seeds::new(0).stream("contents", 0);
    let mut batch = Batch::new(1, WIDTH, 1).unwrap();
    let mut all = BTreeSet::new();
    for n_step in [1, 3] {
        for _ in 0..4 * replay.len() {
            replay.sample(&mut rng, 0.0, Horizon { n_step, gamma: 0.9 }, &mut batch).unwrap();
            let images = [batch.observations(), batch.next_observations()].concat();
            let numbers = [batch.rewards()[0], batch.discounts()[0]].map(f32::to_bits);
            let place = batch.indices()[0];
            all.insert((place, codec::checksum(&images), batch.actions()[0], numbers));
        }
    }
    all
}

fn parts(sections: &Sections) -> BTreeSet<String> {
    sections
        .files()
        .map(|(name, _)| name.to_owned())
        .filter(|n| n.starts_with("replay-0"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Checkpoints that follow one another, each of what is new, are read as the memory is.
    #[test]
    fn checkpoints_of_what_is_new_hold_all(
        frames: bool,
        pushes in prop::collection::vec(0usize..250, 1..6),
        every in [2usize..70, 2usize..70],
        resumes: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let dir = CheckpointDir::new(folder.path());
        let (mut memory, mut stream) = (replay(frames), Stream::new(every));
        let mut before = None;
        for (i, n) in pushes.into_iter().enumerate() {
            (0..n).for_each(|_| stream.push(&mut memory));
            let step = i as u64 + 1;
            dir.write("test", step, &saved(&memory, before.as_ref())).unwrap();
            before = dir.before(step, false);
            let Latest { sections, .. } = dir.read_latest().unwrap();
            // The files depend on what is stored, not on the checkpoints before.
            prop_assert_eq!(saved(&memory, None).differences(&sections), Vec::<String>::new());
            let loaded = memory.loaded(&sections).unwrap();
            prop_assert_eq!(loaded.len(), memory.len());
            prop_assert_eq!(saved(&loaded, None).differences(&sections), Vec::<String>::new());
            if resumes {
                memory = loaded;
            }
        }
        if !memory.is_empty() {
            let Latest { sections, .. } = dir.read_latest().unwrap();
            let mut loaded = memory.loaded(&sections).unwrap();
            prop_assert_eq!(contents(&mut loaded), contents(&mut memory));
            // And so they go on.
            for _ in 0..120 {
                let (mut same, step) = (stream, stream.step);
                same.push(&mut loaded);
                stream.push(&mut memory);
                prop_assert_eq!((same.step, same.shown), (step + 1, stream.shown));
            }
            prop_assert_eq!(saved(&loaded, None), saved(&memory, None));
        }
    }
}

#[test]
fn a_block_is_written_once() {
    for frames in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let dir = CheckpointDir::new(folder.path());
        let (mut memory, mut stream) = (replay(frames), Stream::new([17, 23]));
        let write = |memory: &Replay<u8, u32>, step: u64, before: Option<Manifest>| {
            let sections = saved(memory, before.as_ref());
            dir.write("test", step, &sections).unwrap();
            let bytes: usize = sections.files().map(|(_, bytes)| bytes.len()).sum();
            (parts(&sections), bytes, dir.before(step, false))
        };
        let steps = STEPS[usize::from(frames)];
        (0..steps / 2).for_each(|_| stream.push(&mut memory));
        let (first, all, before) = write(&memory, 1, None);
        assert!(first.len() >= 4, "{first:?}");
        // Nothing new: nothing but the rest.
        let (again, rest, before) = write(&memory, 2, before);
        assert!(again.is_empty() && rest < all / 4, "{rest} of {all}, {again:?}");
        (0..steps / 4).for_each(|_| stream.push(&mut memory));
        let (new, half, before) = write(&memory, 3, before);
        assert!(
            new.is_disjoint(&first) && !new.is_empty() && half < all * 3 / 4,
            "{half} of {all}"
        );
        // Once around: what was overwritten is left out, and the files are as many as the blocks.
        (0..steps).for_each(|_| stream.push(&mut memory));
        let (last, ..) = write(&memory, 4, before);
        assert!(last.is_disjoint(&first) && last.is_disjoint(&new));
        let Latest { sections, manifest, .. } = dir.read_latest().unwrap();
        let kept = manifest.files.keys().filter(|name| name.starts_with("replay-0")).count();
        assert_eq!(parts(&sections).len(), kept);
        assert!(kept <= 11, "{kept}");
    }
}

/// Two names of one file: what is removed with one checkpoint is still there in the other.
#[test]
#[cfg(unix)]
fn checkpoints_share_blocks() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let dir = CheckpointDir::new(folder.path());
    let (mut memory, mut stream) = (replay(false), Stream::new([17, 23]));
    (0..60).for_each(|_| stream.push(&mut memory));
    dir.write("test", 1, &saved(&memory, None)).unwrap();
    let names = parts(&saved(&memory, None));
    dir.write("test", 2, &saved(&memory, dir.before(1, false).as_ref())).unwrap();
    let links = |step: u64, name: &str| dir.path(step).join(name).metadata().unwrap().nlink();
    assert!(names.iter().all(|name| links(1, name) == 2 && links(2, name) == 2));
    // Two are kept.
    dir.write("test", 3, &saved(&memory, dir.before(2, false).as_ref())).unwrap();
    dir.write("test", 4, &saved(&memory, dir.before(3, false).as_ref())).unwrap();
    assert!(names.iter().all(|name| links(4, name) == 2));
    // One that is gone, or of another length, is written again; one that is damaged otherwise, where that is looked for.
    let lost = names.first().unwrap();
    let written = |verify| {
        let sections = saved(&memory, dir.before(4, verify).as_ref());
        (parts(&sections).into_iter().collect::<Vec<_>>(), sections)
    };
    let path = dir.path(4).join(lost);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!((written(false).0, written(true).0), (Vec::new(), vec![lost.clone()]));
    std::fs::write(&path, &bytes[1..]).unwrap();
    assert_eq!(written(false).0, std::slice::from_ref(lost));
    std::fs::remove_file(path).unwrap();
    assert_eq!(written(true).0, std::slice::from_ref(lost));
    dir.write("test", 5, &written(false).1).unwrap();
    assert_eq!(memory.loaded(&dir.read_latest().unwrap().sections).unwrap().len(), 120);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    for frames in [false, true] {
        let (mut memory, mut stream) = (replay(frames), Stream::new([17, 23]));
        (0..STEPS[usize::from(frames)] * 3 / 2).for_each(|_| stream.push(&mut memory));
        let whole = saved(&memory, None);
        let names: Vec<String> = whole.files().map(|(name, _)| name.to_owned()).collect();
        assert!(memory.loaded(&whole).is_ok());
        for name in names.iter().filter(|name| name.starts_with("replay-")) {
            let bytes = whole.file(name).unwrap();
            let longer = [bytes, &[0]].concat();
            let mut hostile = vec![longer, Vec::new()];
            hostile.extend((0..64).map(|k| bytes[..bytes.len() * k / 64].to_vec()));
            for bytes in hostile {
                let mut sections = whole.clone();
                sections.put_file(name, bytes);
                let error = memory.loaded(&sections).unwrap_err().to_string();
                assert!(error.starts_with(name.as_str()), "{error}");
            }
            let mut sections = whole.clone();
            sections.remove(name);
            let error = memory.loaded(&sections).unwrap_err().to_string();
            assert_eq!(error, format!("{name}: not in the checkpoint"));
        }
        // Another number of steps than there are.
        let (elements, shape, pushed, checksums): (String, Vec<usize>, u64, Vec<u32>) =
            codec::decode("head", whole.file("replay.bin").unwrap()).unwrap();
        for pushed in [0, 1, pushed - 1, pushed + 1, pushed * 3, u64::MAX / 4, u64::MAX] {
            let mut sections = whole.clone();
            sections.put("replay", &(&elements, &shape, pushed, &checksums)).unwrap();
            assert!(memory.loaded(&sections).is_err(), "{pushed}");
        }
    }
}

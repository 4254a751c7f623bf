//! Tests of the training loop, vectorised environments, wrappers and checkpoints through the public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use proptest::{prop_assert_eq, proptest};
use rl_core::toy::{Guess, RightAnswer, Sign};
use rl_core::*;
use std::path::Path;

fn signs(n: usize, length: u32) -> Vec<Sign> {
    (0..n).map(|_| Sign::with_length(length)).collect()
}

/// All that an agent observes in `steps` steps, and the final state.
fn trace(envs: &mut impl VecEnv<Obs = BoxSpace, Action = Discrete>, steps: usize) -> Vec<u32> {
    let mut rng = Seeds::new(9).stream("actions", 0);
    let mut seen = Vec::new();
    let mut actions = vec![0; envs.num_envs()];
    for _ in 0..steps {
        actions.fill_with(|| rng.below(2) as u32);
        envs.step(&actions).unwrap();
        let batch = envs.batch();
        let transitions = batch.transitions(&actions);
        for i in 0..transitions.len() {
            seen.push(transitions.observations()[i].to_bits());
            seen.push(transitions.next_observation(i)[0].to_bits());
            seen.push(transitions.rewards()[i].to_bits());
            seen.push(transitions.ends()[i].is_some().into());
        }
        seen.extend(batch.observations().iter().map(|x| x.to_bits()));
        seen.extend(batch.episodes().iter().map(|e| e.env as u32));
    }
    seen
}

proptest! {
    #[test]
    fn threads_change_no_bit(n in 1usize..9, threads in 1usize..5, seed: u64, length in 1u32..6) {
        let mut serial = SerialVecEnv::new(signs(n, length), Seeds::new(seed)).unwrap();
        let mut threaded = ThreadedVecEnv::new(signs(n, length), Seeds::new(seed), threads).unwrap();
        serial.reset().unwrap();
        threaded.reset().unwrap();
        prop_assert_eq!(trace(&mut serial, 20), trace(&mut threaded, 20));
    }

    #[test]
    fn saved_environments_go_on_where_they_were(n in 1usize..5, steps in 0usize..20, seed: u64) {
        let stack = |seed| {
            let envs = SerialVecEnv::new(signs(n, 3), Seeds::new(seed)).unwrap();
            NormalizeReward::new(NormalizeObs::new(envs, 10.0).unwrap(), 0.9, 10.0).unwrap()
        };
        let mut envs = stack(seed);
        envs.reset().unwrap();
        trace(&mut envs, steps);
        let bytes = envs.save().unwrap();
        let mut copy = stack(seed ^ 1);
        copy.load(&bytes).unwrap();
        prop_assert_eq!(trace(&mut envs, 20), trace(&mut copy, 20));

        let mut threaded = ThreadedVecEnv::new(signs(n, 3), Seeds::new(seed), 2).unwrap();
        threaded.reset().unwrap();
        trace(&mut threaded, steps);
        let saved = threaded.save().unwrap();
        let mut copy = ThreadedVecEnv::new(signs(n, 3), Seeds::new(0), 2).unwrap();
        copy.load(&saved).unwrap();
        // The state does not depend on the number of threads.
        let mut other = ThreadedVecEnv::new(signs(n, 3), Seeds::new(0), 3).unwrap();
        other.load(&saved).unwrap();
        let mut serial = SerialVecEnv::new(signs(n, 3), Seeds::new(0)).unwrap();
        serial.load(&saved).unwrap();
        prop_assert_eq!(&serial.save().unwrap(), &saved);
        let expected = trace(&mut threaded, 20);
        prop_assert_eq!(&trace(&mut copy, 20), &expected);
        prop_assert_eq!(&trace(&mut other, 20), &expected);
        prop_assert_eq!(&trace(&mut serial, 20), &expected);
    }
}

/// Counts its steps in the observation, so that a lost or swapped final observation is detected.
#[derive(Clone)]
struct Counter(u32);

impl Env for Counter {
    type Obs = BoxSpace;
    type Action = Discrete;
    type State = u32;
    fn observation_space(&self) -> BoxSpace {
        BoxSpace::unbounded(1).unwrap()
    }
    fn action_space(&self) -> Discrete {
        Discrete::new(1).unwrap()
    }
    fn reset(&mut self, _: &mut Rng, obs: &mut [f32]) -> Result<()> {
        self.0 = 0;
        obs[0] = 0.0;
        Ok(())
    }
    fn step(&mut self, _: usize, _: &mut Rng, obs: &mut [f32]) -> Result<Step> {
        self.0 += 1;
        obs[0] = self.0 as f32;
        Ok(Step::running(1.0))
    }
    fn state(&self) -> Option<u32> {
        Some(self.0)
    }
    fn set_state(&mut self, state: u32) -> Result<()> {
        self.0 = state;
        Ok(())
    }
}

#[test]
fn auto_reset_keeps_the_final_observation() {
    let env = TimeLimit::new(Counter(0), 3).unwrap();
    let mut envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    envs.reset().unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        envs.step(&[0]).unwrap();
        let t = envs.batch().transitions(&[0]);
        seen.push((t.observations()[0], t.next_observation(0)[0], t.ends()[0]));
    }
    let truncated = Some(End::Truncated);
    assert_eq!(seen, [(0.0, 1.0, None), (1.0, 2.0, None), (2.0, 3.0, truncated), (0.0, 1.0, None)]);
    assert_eq!(envs.batch().episodes(), []);
}

#[test]
fn each_dimension_is_normalised_by_its_own_moments_and_final_rows_too() {
    let envs = SerialVecEnv::new(
        vec![TimeLimit::new(Counter(0), 2).unwrap(), TimeLimit::new(Counter(0), 2).unwrap()],
        Seeds::new(0),
    );
    let mut envs = NormalizeObs::new(envs.unwrap(), 10.0).unwrap();
    envs.reset().unwrap();
    envs.step(&[0, 0]).unwrap();
    envs.step(&[0, 0]).unwrap();
    // The data are 0, 0, 1, 1, 0, 0: mean 1/3, variance 2/9.
    let moments = &envs.moments()[0];
    assert!((moments.mean()[0] - 1.0 / 3.0).abs() < 1e-12);
    assert!((moments.variance(0) - 2.0 / 9.0).abs() < 1e-12);
    let last = envs.batch().transitions(&[0, 0]).next_observation(1)[0];
    assert!((last - (2.0 - 1.0 / 3.0) / (2.0f32 / 9.0).sqrt()).abs() < 1e-5, "{last}");
    let mut frozen =
        NormalizeObs::new(SerialVecEnv::new(vec![Counter(0)], Seeds::new(0)).unwrap(), 10.0)
            .unwrap()
            .frozen();
    frozen.set_moments(&envs.moments()).unwrap();
    frozen.reset().unwrap();
    frozen.step(&[0]).unwrap();
    assert_eq!(frozen.moments(), envs.moments());
}

/// What stays as it is, is not clipped either, and keeps its bounds.
#[test]
fn the_last_numbers_of_observations_may_stay_as_they_are() {
    let envs = || SerialVecEnv::new(signs(3, 4), Seeds::new(0)).unwrap();
    let mut plain = envs();
    let mut kept = NormalizeObs::new(envs(), 0.01).unwrap().except_last(1).unwrap();
    plain.reset().unwrap();
    kept.reset().unwrap();
    assert_eq!(kept.batch().observations(), plain.batch().observations());
    assert_eq!(kept.observation_space(), plain.observation_space());
    let normalizer = Normalizer::from_state(&kept.normalizer().unwrap().state()).unwrap();
    let mut row = [5.0];
    normalizer.normalize(&mut row);
    assert_eq!(row, [5.0]);
    let error = NormalizeObs::new(envs(), 0.01).unwrap().except_last(2).unwrap_err().to_string();
    assert_eq!(error, "except_last: expected at most the width of an observation (1), got 2");
    let state = NormalizerState { kept: 2, ..kept.normalizer().unwrap().state() };
    assert!(matches!(Normalizer::from_state(&state), Err(Error::Corrupt { .. })));
}

#[test]
fn rewards_are_scaled_by_the_deviation_of_the_discounted_return_and_statistics_are_not() {
    let env = TimeLimit::new(Counter(0), 3).unwrap();
    let envs = SerialVecEnv::new(vec![env], Seeds::new(0)).unwrap();
    let mut envs = NormalizeReward::new(envs, 0.5, 10.0).unwrap();
    envs.reset().unwrap();
    let [first, _, last] = [(); 3].map(|()| {
        envs.step(&[0]).unwrap();
        envs.batch().rewards()[0]
    });
    // One return alone has no deviation: its reward is clipped.
    assert_eq!(first, 10.0);
    // Discounted returns 1, 1.5, 1.75: variance 7/72 x ... computed in two passes here.
    let returns = [1.0f64, 1.5, 1.75];
    let mean = returns.iter().sum::<f64>() / 3.0;
    let std = (returns.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
    assert!((f64::from(last) - 1.0 / std).abs() < 1e-3, "{last} {std}");
    assert_eq!(envs.batch().episodes()[0].episode_return, 3.0);
}

fn trainer(dir: &Path, total: u64, sink: MemorySink) -> Trainer<SerialVecEnv<Sign>, Guess> {
    let envs = || SerialVecEnv::new(signs(2, 5), Seeds::new(1)).unwrap();
    let evaluation = EvaluateEvery::new(envs(), Seeds::new(2), 100, 4).unwrap();
    Trainer::new(envs(), Guess::default(), TrainerConfig::new(total))
        .unwrap()
        .with_sink(sink)
        .with_checkpoints(CheckpointDir::new(dir))
        .with_callback(evaluation.keep_best(dir.join("best")))
        .with_callback(CheckpointEvery::new(250).unwrap())
}

#[test]
fn a_resumed_run_ends_as_one_that_was_not_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, first, second) =
        (MemorySink::default(), MemorySink::default(), MemorySink::default());
    let mut uninterrupted = trainer(&dir.path().join("a"), 1_000, whole.clone());
    uninterrupted.run().unwrap();

    let path = dir.path().join("b");
    let mut before = trainer(&path, 1_000, first.clone()).with_callback(StopAt(600));
    assert_eq!(before.run().unwrap(), Outcome::Stopped);
    let Latest { manifest, sections, .. } = CheckpointDir::new(&path).read_latest().unwrap();
    assert_eq!(manifest.step, 500);
    let mut after = trainer(&path, 1_000, second.clone()).with_callback(StopAt(u64::MAX));
    after.resume(&manifest, &sections).unwrap();
    after.run().unwrap();

    // Each evaluation appears in the row of its own step, including the last one.
    let evaluated =
        whole.rows().into_iter().filter(|r| r.values.iter().any(|v| v.0 == "evaluation_return"));
    assert_eq!(
        evaluated.map(|r| r.step).collect::<Vec<_>>(),
        (1..=10).map(|i| 100 * i).collect::<Vec<_>>()
    );
    let rows: Vec<Row> = first.rows().into_iter().filter(|r| r.step <= 500).collect();
    assert_eq!([rows, second.rows()].concat(), whole.rows());
    let (mut a, mut b) = (uninterrupted.sections().unwrap(), after.sections().unwrap());
    for part in [&mut a, &mut b] {
        part.put("callbacks", "counted apart: one has a callback more").unwrap();
    }
    assert_eq!(a, b);
}

/// A checkpoint may come before the first reset: the run that goes on from it begins with one.
#[test]
fn a_checkpoint_from_before_the_first_step_is_where_a_run_begins() {
    let dir = tempfile::tempdir().unwrap();
    let end = |trainer: &mut Trainer<SerialVecEnv<Sign>, Guess>| {
        trainer.run().unwrap();
        let mut sections = Sections::default();
        trainer.agent().save(&mut sections).unwrap();
        (format!("{sections:?}"), trainer.envs().batch().observations().to_vec())
    };
    let mut whole = trainer(dir.path(), 1_000, MemorySink::default());
    let path = whole.save_checkpoint().unwrap();
    let Latest { manifest, sections, .. } = CheckpointDir::new(dir.path()).read_latest().unwrap();
    assert!(manifest.step == 0 && path.exists());
    let mut resumed = trainer(dir.path(), 1_000, MemorySink::default());
    resumed.resume(&manifest, &sections).unwrap();
    assert_eq!(end(&mut resumed), end(&mut whole));
}

#[test]
fn evaluation_stops_at_a_target_or_without_improvement() {
    let envs = || SerialVecEnv::new(signs(1, 4), Seeds::new(1)).unwrap();
    let every = |n| EvaluateEvery::new(envs(), Seeds::new(2), n, 50).unwrap();
    let run = |callback: EvaluateEvery<_>| {
        let mut trainer =
            Trainer::new(envs(), Guess::default(), TrainerConfig::new(10_000)).unwrap();
        trainer = trainer.with_callback(callback);
        (trainer.run().unwrap(), trainer.step())
    };
    // The greedy action of `Guess` is always 0: about 2 of 4 rewards.
    assert_eq!(run(every(100).stop_at(1.0)), (Outcome::Stopped, 100));
    assert_eq!(run(every(100).stop_at(5.0)), (Outcome::Finished, 10_000));
    let (outcome, step) = run(every(100).stop_without_improvement(5));
    assert!(outcome == Outcome::Stopped && step >= 600, "{step}");
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_word() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = trainer(dir.path(), 1_000, MemorySink::default());
    run.run().unwrap();
    let checkpoints = CheckpointDir::new(dir.path());
    assert_eq!(checkpoints.steps().unwrap(), [750, 1000]);
    let file = checkpoints.path(1000).join("trainer.bin");
    let bytes = std::fs::read(&file).unwrap();
    let passed_over = || {
        let latest = checkpoints.read_latest().unwrap();
        assert_eq!((latest.manifest.step, latest.skipped.len()), (750, 1));
        latest.skipped[0].to_string()
    };

    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(passed_over().contains("trainer.bin: truncated"));
    let mut flipped = bytes.clone();
    flipped[40] ^= 1;
    std::fs::write(&file, &flipped).unwrap();
    assert!(passed_over().contains("checksum"));
    std::fs::remove_file(&file).unwrap();
    assert!(passed_over().contains("missing"));
    std::fs::remove_file(checkpoints.path(1000).join("manifest.json")).unwrap();
    assert!(passed_over().contains("manifest.json"));
    // Writing it again restores it.
    let latest = checkpoints.read_latest().unwrap();
    checkpoints.write("guess", 1_000, &latest.sections).unwrap();
    assert!(checkpoints.read_latest().unwrap().skipped.is_empty());

    for step in [750, 1_000] {
        std::fs::remove_file(checkpoints.path(step).join("envs.bin")).unwrap();
    }
    let error = checkpoints.read_latest().unwrap_err().to_string();
    assert!(error.contains("step-000000001000") && error.contains("missing"), "{error}");
    std::fs::remove_dir_all(checkpoints.path(750)).unwrap();
    std::fs::remove_dir_all(checkpoints.path(1_000)).unwrap();
    let error = checkpoints.read_latest().unwrap_err().to_string();
    assert!(error.ends_with("holds no checkpoint"), "{error}");
}

#[test]
fn another_algorithms_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut run = trainer(dir.path(), 1_000, MemorySink::default());
    run.run().unwrap();
    let Latest { mut manifest, sections, .. } =
        CheckpointDir::new(dir.path()).read_latest().unwrap();
    manifest.algorithm = "other".into();
    let error = run.resume(&manifest, &sections).unwrap_err().to_string();
    assert_eq!(error, "checkpoint: expected one of guess, got one of other");
}

/// A checkpoint with one section.
fn sections(x: u8) -> Sections {
    let mut sections = Sections::default();
    sections.put("x", &x).unwrap();
    sections
}

#[test]
fn replacing_a_checkpoint_leaves_one_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointDir::new(dir.path());
    let path = checkpoints.write("a", 10, &sections(1)).unwrap();
    let written = std::fs::metadata(path.join("x.bin")).unwrap().modified().unwrap();
    // An identical checkpoint is left unchanged.
    assert_eq!(checkpoints.write("a", 10, &sections(1)).unwrap(), path);
    assert_eq!(std::fs::metadata(path.join("x.bin")).unwrap().modified().unwrap(), written);
    // A different one replaces it.
    assert_eq!(checkpoints.write("a", 10, &sections(2)).unwrap(), path);
    assert_eq!(checkpoints.read_latest().unwrap().sections, sections(2));

    // A crash after the new one was stored beside the old one, and after the old one was removed.
    let next = dir.path().join("step-000000000010.next");
    for old_is_there in [true, false] {
        checkpoints.write("a", 10, &sections(3)).unwrap();
        std::fs::rename(&path, &next).unwrap();
        if old_is_there {
            checkpoints.write("a", 11, &sections(9)).unwrap();
            std::fs::rename(dir.path().join("step-000000000011"), &path).unwrap();
        }
        assert_eq!(checkpoints.steps().unwrap(), [10]);
        assert_eq!(checkpoints.read_latest().unwrap().sections, sections(3));
        checkpoints.write("a", 10, &sections(4)).unwrap();
        assert_eq!(checkpoints.read_latest().unwrap().sections, sections(4));
        assert!(!next.exists());
    }
}

/// Writes a manifest anew, with the checksum that belongs to it.
fn change_manifest(checkpoint: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = checkpoint.join("manifest.json");
    let mut manifest: Manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let mut sealed = serde_json::to_value(&manifest).unwrap();
    sealed["checksum"] = crc32fast::hash(&serde_json::to_vec(&manifest).unwrap()).into();
    std::fs::write(&path, serde_json::to_vec(&sealed).unwrap()).unwrap();
}

/// A damaged replacement neither hides nor takes the place of the checkpoint that it was to replace.
#[test]
fn a_damaged_replacement_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointDir::new(dir.path());
    let (path, next) = (checkpoints.path(10), dir.path().join("step-000000000010.next"));
    let prepare = || {
        checkpoints.write("a", 10, &sections(2)).unwrap();
        std::fs::rename(&path, &next).unwrap();
        std::fs::write(next.join("x.bin"), b"?").unwrap();
        checkpoints.write("a", 11, &sections(1)).unwrap();
        std::fs::rename(dir.path().join("step-000000000011"), &path).unwrap();
        change_manifest(&path, |manifest| manifest.step = 10);
        std::fs::create_dir_all(dir.path().join(".writing-notes")).unwrap();
        std::fs::create_dir_all(dir.path().join("step-99")).unwrap();
    };
    prepare();
    let latest = checkpoints.read_latest().unwrap();
    assert_eq!((latest.sections, latest.skipped.len()), (sections(1), 1));
    assert_eq!(checkpoints.steps().unwrap(), [10]);
    checkpoints.repair().unwrap();
    assert!(!next.exists());
    assert_eq!(checkpoints.read_latest().unwrap().sections, sections(1));
    // What is not its own stays.
    assert!(dir.path().join(".writing-notes").exists());
    std::fs::remove_dir_all(&path).unwrap();
    prepare();
    std::fs::remove_dir_all(&path).unwrap();
    // The only one is kept, damaged as it is.
    checkpoints.repair().unwrap();
    assert!(next.exists() && checkpoints.read_latest().is_err());
}

#[test]
fn pruning_never_takes_the_checkpoint_that_was_just_written() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointDir::new(dir.path());
    for step in [80_000, 90_000] {
        checkpoints.write("a", step, &sections(1)).unwrap();
    }
    let path = checkpoints.write("a", 5_000, &sections(2)).unwrap();
    assert!(path.join("x.bin").exists());
    assert_eq!(checkpoints.steps().unwrap(), [5_000, 90_000]);
    checkpoints.write("a", 6_000, &sections(2)).unwrap();
    assert_eq!(checkpoints.steps().unwrap(), [6_000, 90_000]);
}

#[test]
fn a_torn_write_leaves_the_previous_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointDir::new(dir.path());
    let mut sections = Sections::default();
    sections.put("x", &1u8).unwrap();
    checkpoints.write("a", 10, &sections).unwrap();
    // The remains of a crash during the next write.
    let torn = dir.path().join(".writing-000000000020");
    std::fs::create_dir(&torn).unwrap();
    std::fs::write(torn.join("x.bin"), b"ha").unwrap();
    assert_eq!(checkpoints.read_latest().unwrap().manifest.step, 10);
    checkpoints.write("a", 20, &sections).unwrap();
    assert_eq!(checkpoints.read_latest().unwrap().manifest.step, 20);
}

#[test]
fn a_manifest_cannot_reach_outside_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoints = CheckpointDir::new(dir.path().join("run"));
    let path = checkpoints.write("a", 1, &Sections::default()).unwrap();
    std::fs::write(dir.path().join("secret"), b"x").unwrap();
    change_manifest(&path, |manifest| {
        manifest.files.insert("../../secret".to_owned(), (1, 0));
    });
    assert!(checkpoints.read_latest().unwrap_err().to_string().contains("outside"));
}

/// A metric may have any name, that of the row's own step too.
#[test]
fn a_metric_called_step_hides_no_step() {
    let dir = tempfile::tempdir().unwrap();
    for format in [FileFormat::Csv, FileFormat::Jsonl] {
        let path = dir.path().join("metrics");
        let mut sink = FileSink::create(&path, format).unwrap();
        sink.write(&Row { step: 10, values: vec![("step".into(), 3.0)] }).unwrap();
        drop(sink);
        assert!(std::fs::read_to_string(&path).unwrap().contains("step_"));
        FileSink::resume(&path, format, 10, Some(10)).unwrap();
    }
}

#[test]
fn metric_files_lose_the_rows_that_a_resumed_run_writes_again() {
    let dir = tempfile::tempdir().unwrap();
    for format in [FileFormat::Csv, FileFormat::Jsonl] {
        let path = dir.path().join("metrics");
        let row = |step| Row {
            step,
            values: vec![("loss".into(), step as f64 / 3.0), ("more".into(), 1.0)],
        };
        let mut sink = FileSink::create(&path, format).unwrap();
        (1..=5).for_each(|s| sink.write(&row(s)).unwrap());
        sink.flush().unwrap();
        let whole = std::fs::read_to_string(&path).unwrap();
        drop(sink);
        let resume = |step, last_row| FileSink::resume(&path, format, step, last_row);
        let go_on = |last_row: u64| {
            let mut sink = resume(last_row, Some(last_row)).unwrap();
            (last_row + 1..=5).for_each(|s| sink.write(&row(s)).unwrap());
            drop(sink);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        };
        go_on(3);
        // An incomplete last line after a crash, with and without a complete row after the checkpoint.
        for torn in [whole.len() - 1, whole.len() - 5] {
            std::fs::write(&path, &whole[..torn]).unwrap();
            go_on(4);
            std::fs::write(&path, &whole[..torn]).unwrap();
            go_on(2);
        }
        // Rows that the checkpoint relies on are missing.
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = resume(5, Some(5)).unwrap_err().to_string();
        assert!(error.contains("where the checkpoint has seen step 5"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole[..whole.len() / 2]);
        let error = resume(5, None).unwrap_err().to_string();
        assert!(error.contains("where the checkpoint has seen no row"), "{error}");
    }
}

#[test]
fn evaluation_shares_episodes_out_among_environments() {
    let mut envs = SerialVecEnv::new(signs(3, 2), Seeds::new(0)).unwrap();
    let result = evaluate(&mut RightAnswer, &mut envs, 7).unwrap();
    assert_eq!((result.returns.len(), result.mean()), (7, 2.0));
    assert!(evaluate(&mut RightAnswer, &mut envs, 0).is_err());
}

/// An evaluation, even in the training environments, does not change normalisation statistics, and a normaliser
/// without data is an error.
#[test]
fn evaluation_teaches_normalisers_nothing() {
    let stack = |frozen: bool| {
        let envs = SerialVecEnv::new(signs(2, 5), Seeds::new(0)).unwrap();
        let envs = NormalizeObs::new(envs, 10.0).unwrap();
        let envs = if frozen { envs.frozen() } else { envs };
        NormalizeReward::new(envs, 0.9, 10.0).unwrap()
    };
    let mut envs = stack(false);
    envs.reset().unwrap();
    trace(&mut envs, 7);
    let before = envs.moments();
    evaluate(&mut RightAnswer, &mut envs, 4).unwrap();
    assert_eq!(envs.moments(), before);
    // The statistics are updated again afterwards.
    envs.step(&[0, 0]).unwrap();
    assert_ne!(envs.moments(), before);
    let expected = "moments of a frozen normaliser: expected those of the training environments, by set_moments, \
                    got none";
    for frozen in [false, true] {
        let error = evaluate(&mut RightAnswer, &mut stack(frozen), 4).unwrap_err().to_string();
        assert_eq!(error, expected);
    }
    let mut fed = stack(true);
    fed.set_moments(&before).unwrap();
    evaluate(&mut RightAnswer, &mut fed, 4).unwrap();
}

/// A reset from outside is reported to the agent at the next step, through every wrapper, and only then; resuming
/// does not count as a reset.
#[test]
fn resets_from_outside_are_told() {
    fn told(envs: &mut impl VecEnv<Obs = BoxSpace, Action = Discrete>) -> Vec<bool> {
        envs.step(&[0, 0]).unwrap();
        envs.batch().transitions(&[0, 0]).resets().to_vec()
    }
    fn check(mut envs: impl VecEnv<Obs = BoxSpace, Action = Discrete>) {
        envs.reset().unwrap();
        assert_eq!(told(&mut envs), [true; 2]);
        assert_eq!(told(&mut envs), [false; 2]);
        // Episodes of three steps: this one ends by itself.
        assert_eq!(told(&mut envs), [false; 2]);
        assert_eq!(told(&mut envs), [false; 2]);
        let saved = envs.save().unwrap();
        envs.reset().unwrap();
        envs.reset().unwrap();
        assert_eq!(told(&mut envs), [true; 2]);
        envs.load(&saved).unwrap();
        assert_eq!(told(&mut envs), [false; 2]);
        // A reset that no step has followed yet is part of the state.
        envs.reset().unwrap();
        let saved = envs.save().unwrap();
        assert_eq!(told(&mut envs), [true; 2]);
        envs.load(&saved).unwrap();
        assert_eq!(told(&mut envs), [true; 2]);
        evaluate(&mut RightAnswer, &mut envs, 3).unwrap();
        assert_eq!(told(&mut envs), [true; 2]);
    }
    check(SerialVecEnv::new(signs(2, 3), Seeds::new(0)).unwrap());
    check(ThreadedVecEnv::new(signs(2, 3), Seeds::new(0), 2).unwrap());
    let envs = || SerialVecEnv::new(signs(2, 3), Seeds::new(0)).unwrap();
    check(NormalizeObs::new(envs(), 10.0).unwrap());
    check(NormalizeReward::new(NormalizeObs::new(envs(), 10.0).unwrap(), 0.9, 10.0).unwrap());
}

/// A checkpoint may leave out the replay buffer.
#[test]
fn a_checkpoint_without_its_replay_has_everything_else() {
    struct Remembers(Guess);
    impl Policy for Remembers {
        type Obs = BoxSpace;
        type Action = Discrete;
        fn act_greedily(&mut self, x: &[f32], a: &mut [u32]) -> Result<()> {
            self.0.act_greedily(x, a)
        }
    }
    impl Agent for Remembers {
        fn name(&self) -> &'static str {
            "remembers"
        }
        fn act(&mut self, x: &[f32], p: Progress, a: &mut [u32]) -> Result<()> {
            self.0.act(x, p, a)
        }
        fn observe(&mut self, t: &Transitions<'_, f32, u32>) -> Result<()> {
            self.0.observe(t)
        }
        fn update(&mut self, p: Progress, m: &mut Metrics) -> Result<()> {
            self.0.update(p, m)
        }
        fn save_policy(&self, out: &mut Sections) -> Result<()> {
            self.0.save_policy(out)
        }
        fn load_policy(&mut self, from: &Sections) -> Result<()> {
            self.0.load_policy(from)
        }
        fn save(&self, out: &mut Sections) -> Result<()> {
            out.put_file("replay.bin", vec![1, 2, 3]);
            self.0.save(out)
        }
        fn load(&mut self, from: &Sections) -> Result<()> {
            self.0.load(from)
        }
    }
    for with in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let envs = SerialVecEnv::new(signs(1, 3), Seeds::new(0)).unwrap();
        let agent = Remembers(Guess::default());
        let mut trainer = Trainer::new(envs, agent, TrainerConfig::new(10))
            .unwrap()
            .with_checkpoints(CheckpointDir::new(dir.path()));
        if !with {
            trainer = trainer.without_replay();
        }
        trainer.run().unwrap();
        let (_, written) = read_checkpoint(&trainer.save_checkpoint().unwrap()).unwrap();
        assert_eq!(written.find("replay.bin").is_some(), with);
        assert!(written.find("rng.bin").is_some());
    }
}

/// An evaluation that fails leaves everything as one that does not: normalisers learn again, and the cut is told.
#[test]
fn an_evaluation_that_fails_leaves_its_environments_usable() {
    struct Fails;
    impl Policy for Fails {
        type Obs = BoxSpace;
        type Action = Discrete;
        fn act_greedily(&mut self, _: &[f32], _: &mut [u32]) -> Result<()> {
            Err(Error::Env("no".to_owned()))
        }
    }
    let envs = SerialVecEnv::new(signs(2, 5), Seeds::new(0)).unwrap();
    let mut envs = NormalizeObs::new(envs, 10.0).unwrap();
    envs.reset().unwrap();
    trace(&mut envs, 3);
    evaluate(&mut Fails, &mut envs, 1).unwrap_err();
    let before = envs.moments();
    envs.step(&[0, 0]).unwrap();
    assert_eq!(envs.batch().transitions(&[0, 0]).resets(), [true; 2]);
    assert_ne!(envs.moments(), before);
}

/// There is nothing to learn from where no step was taken, or where a reward is not a number.
#[test]
fn transitions_that_are_none_are_errors() {
    let mut envs = SerialVecEnv::new(signs(1, 5), Seeds::new(0)).unwrap();
    let error = |envs: &SerialVecEnv<Sign>| {
        envs.batch().transitions(&[0]).check(1).unwrap_err().to_string()
    };
    let nothing = "environment: nothing to observe: no step since the last reset";
    assert_eq!(error(&envs), nothing);
    envs.reset().unwrap();
    assert_eq!(error(&envs), nothing);
    envs.step(&[0]).unwrap();
    envs.batch().transitions(&[0]).check(1).unwrap();
    evaluate(&mut RightAnswer, &mut envs, 1).unwrap();
    assert_eq!(error(&envs), nothing);
    let shown = StepBatch::of_transitions(&[0.0], &[f32::NAN], &[None], &[0.0], false).unwrap();
    let error = shown.transitions(&[0]).check(1).unwrap_err().to_string();
    assert_eq!(error, "reward of environment 0: expected a finite number, got NaN");
}

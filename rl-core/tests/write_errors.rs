//! What cannot be written: the run ends with the error, or goes on and loses nothing that was written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Tests fail by panicking.

use rl_core::toy::{Guess, Sign};
use rl_core::{
    Callback, CheckpointDir, CheckpointEvery, Context, Error, EvaluateEvery, FileFormat, FileSink,
    Outcome, Result, Row, Seeds, SerialVecEnv, Signal, Sink, Trainer, TrainerConfig,
};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

type Envs = SerialVecEnv<Sign>;

fn envs() -> Envs {
    SerialVecEnv::new(vec![Sign::default()], Seeds::new(0)).unwrap()
}

/// Stops at these steps. Once a run has stopped, nothing is being written.
struct Pause([u64; 2]);

impl<V, A> Callback<V, A> for Pause {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        let pause = self.0.contains(&context.progress.step);
        Ok(if pause { Signal::Stop } else { Signal::Continue })
    }
}

/// Puts a file in the place of a folder.
fn block(folder: &Path) {
    fs::rename(folder, folder.with_extension("away")).unwrap();
    fs::write(folder, "in the way").unwrap();
}

fn unblock(folder: &Path) {
    fs::remove_file(folder).unwrap();
    fs::rename(folder.with_extension("away"), folder).unwrap();
}

/// A run of 1,000 steps with a checkpoint every 100, as far as step 250; the folder is then blocked.
fn blocked(checkpoints: &CheckpointDir) -> Trainer<Envs, Guess> {
    let mut trainer = Trainer::new(envs(), Guess::default(), TrainerConfig::new(1_000))
        .unwrap()
        .with_callback(CheckpointEvery::new(100).unwrap())
        .with_callback(Pause([250, 650]))
        .with_checkpoints(checkpoints.clone());
    assert_eq!(trainer.run().unwrap(), Outcome::Stopped);
    block(checkpoints.root());
    trainer
}

fn checkpoints(folder: &tempfile::TempDir) -> CheckpointDir {
    CheckpointDir::new(folder.path().join("checkpoints"))
}

#[test]
fn a_run_ends_with_the_error_by_default() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = checkpoints(&folder);
    let mut trainer = blocked(&checkpoints);
    let error = trainer.run().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    // At the first round after it was known, the next checkpoint at the latest.
    assert!((300..=400).contains(&trainer.step()), "{}", trainer.step());
    drop(trainer);
    unblock(checkpoints.root());
    assert_eq!(checkpoints.steps().unwrap(), [100, 200]);
    assert_eq!(checkpoints.read_latest().unwrap().manifest.step, 200);
    assert_eq!(fs::read_dir(checkpoints.root()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn a_run_can_go_on_and_writes_again_once_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = checkpoints(&folder);
    let errors = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&errors);
    let mut trainer = blocked(&checkpoints).with_write_errors(move |error| {
        seen.borrow_mut().push(error.to_string());
        Ok(())
    });
    assert_eq!(trainer.run().unwrap(), Outcome::Stopped);
    // Of steps 300, 400, 500 and 600.
    assert_eq!(errors.borrow().len(), 4, "{:?}", errors.borrow());
    assert!(errors.borrow().iter().all(|error| error.contains("checkpoints")));
    unblock(checkpoints.root());
    assert_eq!(trainer.run().unwrap(), Outcome::Finished);
    assert_eq!(errors.borrow().len(), 4, "{:?}", errors.borrow());
    assert_eq!(checkpoints.steps().unwrap(), [900, 1_000]);
    // What was learned does not depend on what could be written.
    let mut free = Trainer::new(envs(), Guess::default(), TrainerConfig::new(1_000)).unwrap();
    free.run().unwrap();
    let agent = |trainer: &Trainer<Envs, Guess>| format!("{:?}", trainer.agent());
    assert_eq!(agent(&free), agent(&trainer));
}

#[test]
fn the_last_checkpoint_has_to_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = blocked(&checkpoints(&folder)).with_write_errors(|_| Ok(()));
    while trainer.run().unwrap() != Outcome::Finished {}
    assert!(matches!(trainer.save_checkpoint().unwrap_err(), Error::Io { .. }));
}

#[test]
fn what_decides_may_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = 2;
    let mut trainer = blocked(&checkpoints(&folder)).with_write_errors(move |error| {
        left -= 1;
        if left == 0 { Err(error) } else { Ok(()) }
    });
    assert!(matches!(trainer.run().unwrap_err(), Error::Io { .. }));
    assert!((400..=500).contains(&trainer.step()), "{}", trainer.step());
}

/// Where the best policy cannot be kept, the next better one may be.
#[test]
fn the_best_policy_is_kept_once_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let best = folder.path().join("best");
    fs::create_dir(&best).unwrap();
    block(&best);
    let evaluate = EvaluateEvery::new(envs(), Seeds::new(1), 100, 5).unwrap();
    let errors = Rc::new(RefCell::new(0));
    let seen = Rc::clone(&errors);
    let mut trainer = Trainer::new(envs(), Guess::default(), TrainerConfig::new(1_000))
        .unwrap()
        .with_callback(Pause([450, u64::MAX]))
        .with_callback(evaluate.keep_best(&best))
        .with_write_errors(move |_| {
            *seen.borrow_mut() += 1;
            Ok(())
        });
    trainer.run().unwrap();
    assert_eq!(*errors.borrow(), 4);
    unblock(&best);
    trainer.run().unwrap();
    assert_eq!(*errors.borrow(), 4);
    assert_eq!(CheckpointDir::new(&best).steps().unwrap(), [500]);
}

#[test]
fn rows_wait_to_be_written_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let mut sink = FileSink::create(&path, FileFormat::Csv).unwrap();
    let row = |step, name: &str| Row { step, values: vec![(name.to_owned(), 1.5)] };
    sink.write(&row(1, "a")).unwrap();
    sink.flush().unwrap();
    // A new column is written by way of this name.
    let temporary = folder.path().join("metrics.csv.writing");
    fs::create_dir(&temporary).unwrap();
    sink.write(&row(2, "a")).unwrap();
    sink.write(&row(3, "b")).unwrap();
    sink.write(&row(4, "a")).unwrap();
    assert!(matches!(sink.flush().unwrap_err(), Error::Io { .. }));
    assert!(matches!(sink.flush().unwrap_err(), Error::Io { .. }));
    assert_eq!(fs::read_to_string(&path).unwrap(), "step,a\n1,1.5\n2,1.5\n");
    fs::remove_dir(&temporary).unwrap();
    sink.write(&row(5, "b")).unwrap();
    sink.flush().unwrap();
    let expected = "step,a,b\n1,1.5,\n2,1.5,\n3,,1.5\n4,1.5,\n5,,1.5\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

/// A file that is always full.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_that_keeps_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let mut sink = FileSink::create(&path, FileFormat::Jsonl).unwrap();
    let row = Row { step: 1, values: vec![("a".to_owned(), 1.5)] };
    sink.write(&row).unwrap();
    let error = sink.flush().unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");
    // What was written in part is written on from there: here nothing was.
    assert_eq!(sink.flush().unwrap_err().to_string(), error);
}

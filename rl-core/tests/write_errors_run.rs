//! `write_errors` as a setting of whole runs.
#![cfg(feature = "run")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use rl_core::run::{Run, RunConfig, Summary};
use rl_core::toy::{Guess, Sign};
use rl_core::{Callback, Context, Error, Result, Seeds, SerialVecEnv, Signal};
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Puts a file where the folder of the best policy is to be.
struct InTheWay(PathBuf);

impl<V, A> Callback<V, A> for InTheWay {
    fn after_round(&mut self, context: &mut Context<'_, V, A>) -> Result<Signal> {
        if context.progress.step == 1 {
            std::fs::write(&self.0, "in the way").unwrap();
        }
        Ok(Signal::Continue)
    }
}

#[derive(Clone, Default)]
struct Notices(Rc<RefCell<Vec<u8>>>);

impl Write for Notices {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn train(folder: &Path, set: &[&str]) -> (Result<Option<Summary>>, String) {
    let mut config = RunConfig::new("guess", "Sign-v0", 1_000);
    set.iter().for_each(|set| config.set(set).unwrap());
    let envs = |n, seeds| SerialVecEnv::new(vec![Sign::default(); n], seeds);
    let notices = Notices::default();
    let mut run = Run::new(config).unwrap().in_folder(folder).with_notices(notices.clone());
    let way = InTheWay(folder.join("best"));
    let first = envs(1, Seeds::new(0)).unwrap();
    let summary = run.train_with(first, Guess::default(), envs, |t| t.with_callback(way));
    let text = String::from_utf8(notices.0.borrow().clone()).unwrap();
    (summary, text)
}

#[test]
fn a_run_ends_or_goes_on_where_something_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, notices) = train(&dir.path().join("a"), &[]);
    assert!(matches!(ended.unwrap_err(), Error::Io { .. }));
    assert_eq!(notices, "");

    let folder = dir.path().join("b");
    let (summary, notices) = train(&folder, &["write_errors=continue"]);
    assert_eq!(summary.unwrap().unwrap().steps, 1_000);
    assert_eq!(notices.lines().count(), 1, "{notices}");
    let (begins, ends) = ("not written: ", "; the run goes on\n");
    assert!(notices.starts_with(begins) && notices.ends_with(ends), "{notices}");
    assert!(notices.contains("best"), "{notices}");
    assert!(folder.join("summary.json").is_file() && folder.join("best").is_file());
}

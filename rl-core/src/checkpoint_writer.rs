//! Checkpoints that are written while training goes on.

use crate::{CheckpointDir, Error, Result, Sections};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Writes the checkpoints of a run into a folder, one at a time, in a thread of its own. What a checkpoint holds is fixed
/// when it begins, so it does not depend on how long the writing takes.
#[derive(Debug)]
pub(crate) struct CheckpointWriter {
    dir: CheckpointDir,
    /// The step of the newest checkpoint that the run has written or was resumed from.
    newest: Option<u64>,
    writing: Option<(u64, JoinHandle<Result<PathBuf>>)>,
}

impl CheckpointWriter {
    pub(crate) fn new(dir: CheckpointDir) -> Self {
        CheckpointWriter { dir, newest: None, writing: None }
    }

    /// Takes over that the run goes on from the checkpoint of `step`, if it lies in this folder. None is being written.
    pub(crate) fn resumed(&mut self, step: u64) {
        self.newest = Some(step);
    }

    /// Empty sections of the next checkpoint, which follows the newest; of that one the files that are there, or, to
    /// `verify` them, that are not damaged.
    pub(crate) fn sections(&self, verify: bool) -> Sections {
        let before = self.newest.and_then(|step| self.dir.before(step, verify));
        before.map_or_else(Sections::default, Sections::following)
    }

    /// Begins to write a checkpoint; the one before is to be finished.
    pub(crate) fn begin(&mut self, algorithm: &str, step: u64, sections: Sections) -> Result<()> {
        let (dir, algorithm, sections) =
            (self.dir.clone(), algorithm.to_owned(), Arc::new(sections));
        let given = Arc::clone(&sections);
        let name = algorithm.clone();
        let write = move || dir.write(&name, step, &given);
        match thread::Builder::new().name("checkpoint".into()).spawn(write) {
            Ok(writing) => self.writing = Some((step, writing)),
            // Where there are no threads to be had, training waits.
            Err(_) => {
                self.dir.write(&algorithm, step, &sections)?;
                self.newest = Some(step);
            }
        }
        Ok(())
    }

    /// Whether a checkpoint was begun whose writing is over.
    pub(crate) fn is_over(&self) -> bool {
        self.writing.as_ref().is_some_and(|(_, writing)| writing.is_finished())
    }

    /// Waits until the checkpoint that was begun is written.
    ///
    /// # Errors
    /// Those of [`CheckpointDir::write`].
    pub(crate) fn finish(&mut self) -> Result<()> {
        let Some((step, writing)) = self.writing.take() else { return Ok(()) };
        let panicked = |_| {
            let problem = "the thread that was to write it panicked";
            Error::corrupt(self.dir.path(step).display().to_string(), problem)
        };
        writing.join().map_err(panicked)??;
        self.newest = Some(step);
        Ok(())
    }

    /// The path of the newest checkpoint.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.newest.map(|step| self.dir.path(step))
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        // Whoever wants to know calls `finish`.
        let _ = self.finish();
    }
}

//! The folder of a run.

use crate::preset::RunConfig;
use crate::train::Summary;
use crate::{Error, Result};
use rl_core::{CheckpointDir, Sections};
use std::path::{Path, PathBuf};

/// The name of the folder with the policy that a run started from.
const INIT: &str = "init";

/// The name of the file that a process locks while it trains in a folder.
const LOCK: &str = ".lock";

/// The paths of the files of a run.
#[derive(Clone, Debug)]
pub(crate) struct RunDir(PathBuf);

impl RunDir {
    /// Creates a folder: `out`, which must be empty or not exist, or the first free name under `runs/`. Returns it with its
    /// [`lock`](RunDir::lock), which is taken before anything is written.
    pub(crate) fn create(
        out: Option<&Path>,
        config: &RunConfig,
        policy: Option<&Sections>,
    ) -> Result<(Self, std::fs::File)> {
        let (dir, lock) = match out {
            Some(path) => {
                // A file left by a process that was killed before the run started does not count as a run.
                let begun = |entry: std::io::Result<std::fs::DirEntry>| {
                    entry.map_or(true, |entry| {
                        !["config.toml.writing", INIT, LOCK].iter().any(|n| entry.file_name() == *n)
                    })
                };
                let refuse_taken = || {
                    let taken = std::fs::read_dir(path).is_ok_and(|mut d| d.any(begun));
                    if !(taken || path.is_file()) {
                        return Ok(());
                    }
                    let path = path.display();
                    Err(Error::usage(format_args!(
                        "--out {path}: not an empty folder; --resume {path} continues the run in it"
                    )))
                };
                // Asked once before anything is changed, and again when no other process can begin there.
                refuse_taken()?;
                std::fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
                let dir = RunDir(path.to_owned());
                let lock = dir.lock()?;
                refuse_taken()?;
                (dir, lock)
            }
            None => {
                // `gym:FrozenLake-v1?is_slippery=false` has characters that a shell or a file system reads otherwise.
                let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
                let env = config.env.replace(odd, "-");
                let name = format!("{}-{env}-seed{}", config.algorithm, config.seed);
                let runs = Path::new("runs");
                std::fs::create_dir_all(runs).map_err(|e| Error::io(runs, e))?;
                let mut candidates = std::iter::once(name.clone())
                    .chain((2..).map(|i: u64| format!("{name}-{i}")))
                    .map(|name| runs.join(name));
                // Made by this process or not taken: two that start together get two folders.
                let path = candidates.find_map(|path| match std::fs::create_dir(&path) {
                    Ok(()) => Some(Ok(path)),
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => None,
                    Err(e) => Some(Err(Error::io(&path, e))),
                });
                let dir = RunDir(path.unwrap_or_else(|| Ok(runs.join(name)))?);
                let lock = dir.lock()?;
                (dir, lock)
            }
        };
        if let Some(policy) = policy {
            dir.init().write(&config.algorithm, 0, policy)?;
        }
        // With its settings the run has begun.
        dir.write_config(config)?;
        Ok((dir, lock))
    }

    pub(crate) fn write_config(&self, config: &RunConfig) -> Result<()> {
        Ok(rl_core::write_atomically(&self.config(), config.to_toml()?.as_bytes())?)
    }

    /// The summary of the run, if it has ended.
    pub(crate) fn read_summary(&self) -> Result<Option<Summary>> {
        let path = self.summary();
        match std::fs::read(&path) {
            // An unreadable summary is treated as missing and written again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, error)),
        }
    }

    /// An existing run and its settings.
    pub(crate) fn open(path: &Path) -> Result<(Self, RunConfig)> {
        let dir = RunDir(path.to_owned());
        if !dir.config().is_file() {
            let path = path.display();
            return Err(Error::usage(format_args!(
                "{path}: not the folder of a run (no config.toml)"
            )));
        }
        let config = RunConfig::read(&dir.config())?;
        Ok((dir, config))
    }

    /// Keeps other processes from training in this folder until the returned file is dropped; the system drops it when
    /// the process ends in whatever way.
    pub(crate) fn lock(&self) -> Result<std::fs::File> {
        let path = self.0.join(LOCK);
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                let path = self.0.display();
                Err(Error::usage(format_args!(
                    "{path}: another process is training in this folder"
                )))
            }
            // A file system without locks.
            Err(std::fs::TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(file)
            }
            Err(std::fs::TryLockError::Error(e)) => Err(Error::io(&path, e)),
        }
    }

    /// Completes what a kill has interrupted.
    pub(crate) fn repair(&self) -> Result<()> {
        for checkpoints in [self.checkpoints(), CheckpointDir::new(self.best()), self.init()] {
            checkpoints.repair()?;
        }
        for path in [self.config(), self.summary(), self.learning_curve()] {
            rl_core::remove_temporary(&path)?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }
    pub(crate) fn metrics_jsonl(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }
    pub(crate) fn metrics_csv(&self) -> PathBuf {
        self.0.join("metrics.csv")
    }
    pub(crate) fn learning_curve(&self) -> PathBuf {
        self.0.join("learning_curve.svg")
    }
    pub(crate) fn summary(&self) -> PathBuf {
        self.0.join("summary.json")
    }
    /// The policy that the run started from, where it started from one.
    pub(crate) fn init(&self) -> CheckpointDir {
        CheckpointDir::new(self.0.join(INIT)).keep(1)
    }
    pub(crate) fn best(&self) -> PathBuf {
        self.0.join("best")
    }
    pub(crate) fn checkpoints(&self) -> CheckpointDir {
        CheckpointDir::new(self.0.join("checkpoints"))
    }
}

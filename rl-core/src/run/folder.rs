//! The folder of a run.

use super::settings::first_difference;
use super::{RunConfig, Summary};
use crate::files::{create_folder, refuse_other_than_file, sync_folder};
use crate::{
    Agent, CheckpointDir, Error, Latest, POLICY_FILE, Result, RunningMoments, Sections, VecEnv,
};
use std::path::{Path, PathBuf};

/// The name of the folder with the policy that a run started from.
const INIT: &str = "init";

/// The name of the file that a process locks while it trains in a folder.
const LOCK: &str = ".lock";

/// The folder of a run:
///
/// ```text
/// config.toml            every setting of the run
/// metrics.jsonl, .csv    a row of metrics a hundredth of the run
/// checkpoints/           the newest states of the whole run
/// best/                  the policy of the best evaluation
/// init/                  the policy that the run started from, where it started from one
/// summary.json           what the run came to, once it has ended
/// learning_curve.svg     a picture of the metrics (feature `plot`)
/// ```
#[derive(Clone, Debug)]
pub struct RunFolder(PathBuf);

/// One of the policies that a run has saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Which {
    /// Of the newest checkpoint.
    Last,
    /// Of the best evaluation.
    Best,
    /// Of the checkpoint of this step.
    Step(u64),
}

impl RunFolder {
    /// Creates a folder: `out`, which must be empty or not exist, or the first free name under `runs/`. Returns it with its
    /// [`lock`](RunFolder::lock), which is taken before anything is written.
    pub(super) fn create(
        out: Option<&Path>,
        config: &RunConfig,
        policy: Option<&Sections>,
    ) -> Result<(Self, std::fs::File)> {
        let (folder, lock) = match out {
            Some(path) => {
                // A file left by a process that was killed before the run started does not count as a run.
                let begun = |entry: std::io::Result<std::fs::DirEntry>| {
                    entry.map_or(true, |entry| {
                        !["config.toml.writing", INIT, LOCK].iter().any(|n| entry.file_name() == *n)
                    })
                };
                let refuse_taken = || {
                    let taken = std::fs::read_dir(path).is_ok_and(|mut entries| entries.any(begun));
                    if !(taken || path.is_file()) {
                        return Ok(());
                    }
                    Err(Error::run(
                        path,
                        "not an empty folder; resume the run in it, or choose another",
                    ))
                };
                // Asked once before anything is changed, and again when no other process can begin there.
                refuse_taken()?;
                create_folder(path)?;
                let folder = RunFolder(path.to_owned());
                let lock = folder.lock()?;
                refuse_taken()?;
                (folder, lock)
            }
            None => {
                // `gym:FrozenLake-v1?is_slippery=false` has characters that a shell or a file system reads otherwise.
                let odd = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
                let env = config.env.replace(odd, "-");
                let name = format!("{}-{env}-seed{}", config.algorithm, config.seed);
                let runs = Path::new("runs");
                create_folder(runs)?;
                let mut candidates = std::iter::once(name.clone())
                    .chain((2..).map(|i: u64| format!("{name}-{i}")))
                    .map(|name| runs.join(name));
                // Made by this process or not taken: two that start together get two folders.
                let path = candidates.find_map(|path| match std::fs::create_dir(&path) {
                    Ok(()) => Some(Ok(path)),
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => None,
                    Err(e) => Some(Err(Error::io(&path, e))),
                });
                let folder = RunFolder(path.unwrap_or_else(|| Ok(runs.join(name)))?);
                sync_folder(runs)?;
                let lock = folder.lock()?;
                (folder, lock)
            }
        };
        if let Some(policy) = policy {
            folder.init().write(&config.algorithm, 0, policy)?;
        }
        // With its settings the run has begun.
        folder.write_config(config)?;
        Ok((folder, lock))
    }

    pub(super) fn write_config(&self, config: &RunConfig) -> Result<()> {
        crate::write_atomically(&self.config(), config.to_toml()?.as_bytes())
    }

    /// The summary of the run, if it has ended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn read_summary(&self) -> Result<Option<Summary>> {
        let path = self.summary();
        refuse_other_than_file(&path)?;
        match std::fs::read(&path) {
            // An unreadable summary is treated as missing and written again.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&path, error)),
        }
    }

    /// An existing run and its settings.
    ///
    /// # Errors
    /// [`Error::Run`] for another folder; settings that cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, RunConfig)> {
        let path = path.as_ref();
        let folder = RunFolder(path.to_owned());
        if !folder.config().is_file() {
            return Err(Error::run(path, "not the folder of a run (no config.toml)"));
        }
        let config = RunConfig::read(&folder.config())?;
        Ok((folder, config))
    }

    /// Keeps other processes from training in this folder until the returned file is dropped; the system drops it when
    /// the process ends in whatever way.
    pub(super) fn lock(&self) -> Result<std::fs::File> {
        let path = self.0.join(LOCK);
        refuse_other_than_file(&path)?;
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(Error::run(&self.0, "another process is training in this folder"))
            }
            // A file system without locks.
            Err(std::fs::TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                Ok(file)
            }
            Err(std::fs::TryLockError::Error(e)) => Err(Error::io(&path, e)),
        }
    }

    /// Completes what a kill has interrupted.
    pub(super) fn repair(&self) -> Result<()> {
        for checkpoints in [self.checkpoints(), self.best(), self.init()] {
            checkpoints.repair()?;
        }
        for path in [self.config(), self.summary(), self.learning_curve(), self.metrics_csv()] {
            crate::remove_temporary(&path)?;
        }
        Ok(())
    }

    /// Removes what says that the run has ended.
    pub(super) fn forget_end(&self) -> Result<()> {
        for path in [self.summary(), self.learning_curve()] {
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(&path, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A saved policy of the run, with all of its checkpoint but the replay memory, which is not read and may be damaged.
    ///
    /// # Errors
    /// [`Error::Run`] for a policy that is not there; [`Error::Corrupt`] for a damaged one.
    pub fn policy(&self, which: Which) -> Result<Latest> {
        let wanted = |file: &str| !Sections::is_replay(file);
        let newest_of = |dir: CheckpointDir, what: &str| match dir.is_empty()? {
            true => Err(Error::run(&self.0, format_args!("has no {what}"))),
            false => dir.read_latest_files(wanted),
        };
        match which {
            Which::Last => newest_of(self.checkpoints(), "checkpoint"),
            Which::Best => newest_of(self.best(), "best policy"),
            Which::Step(step) => {
                let checkpoints = self.checkpoints();
                let path = checkpoints.path(step);
                if !path.exists() {
                    let steps = checkpoints.steps().unwrap_or_default();
                    let steps: Vec<_> = steps.iter().map(u64::to_string).collect();
                    let problem = format!("no checkpoint of step {step}; of: {}", steps.join(", "));
                    return Err(Error::run(&self.0, problem));
                }
                let (manifest, sections) = crate::read_checkpoint_files(&path, wanted)?;
                Ok(Latest { manifest, sections, skipped: Vec::new() })
            }
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }
    /// Every setting of the run.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }
    /// The metrics, a JSON object a row.
    pub fn metrics_jsonl(&self) -> PathBuf {
        self.0.join("metrics.jsonl")
    }
    /// The metrics, a column each.
    pub fn metrics_csv(&self) -> PathBuf {
        self.0.join("metrics.csv")
    }
    /// A picture of the metrics.
    pub fn learning_curve(&self) -> PathBuf {
        self.0.join("learning_curve.svg")
    }
    /// What the run came to.
    pub fn summary(&self) -> PathBuf {
        self.0.join("summary.json")
    }
    /// The policy that the run started from, where it started from one.
    pub fn init(&self) -> CheckpointDir {
        CheckpointDir::new(self.0.join(INIT)).keep(1)
    }
    /// The policy of the best evaluation.
    pub fn best(&self) -> CheckpointDir {
        CheckpointDir::new(self.0.join("best")).keep(1)
    }
    /// The newest states of the whole run.
    pub fn checkpoints(&self) -> CheckpointDir {
        CheckpointDir::new(self.0.join("checkpoints"))
    }
}

/// Gives a saved policy and the moments of its normalisers to an agent and its environments.
///
/// # Errors
/// [`Error::Mismatch`] for a policy that describes itself as another than the agent's; those of [`Agent::load_policy`] and
/// [`VecEnv::set_moments`].
pub fn give_policy<V, A>(policy: &Sections, agent: &mut A, envs: &mut V) -> Result<()>
where
    V: VecEnv,
    A: Agent<Obs = V::Obs, Action = V::Action>,
{
    let moments: Vec<RunningMoments> = policy.get("moments")?;
    agent.load_policy(policy)?;
    check_same_policy(policy.find(POLICY_FILE), agent.describe()?)?;
    envs.set_moments(&moments)
}

/// Parameters that fit need not mean the same: behind another activation, or as quantiles in place of logits, they are
/// another policy. The bounds of actions are the environment's.
fn check_same_policy(given: Option<&[u8]>, own: Option<String>) -> Result<()> {
    let (Some(given), Some(own)) = (given, own) else { return Ok(()) };
    let parse = |text: &[u8]| -> Result<[serde_json::Value; 2]> {
        let mut policy: serde_json::Value =
            serde_json::from_slice(text).map_err(|e| Error::corrupt(POLICY_FILE, e))?;
        if let Some(output) = policy["output"].as_object_mut() {
            output.remove("bounds");
        }
        Ok([policy["network"].take(), policy["output"].take()])
    };
    let (given, own) = (parse(given)?, parse(own.as_bytes())?);
    for (i, what) in ["network", "output"].into_iter().enumerate() {
        if let Some((field, given, own)) = first_difference(&given[i], &own[i])? {
            return Err(Error::mismatch(format!("{what} of the policy: {field}"), own, given));
        }
    }
    Ok(())
}

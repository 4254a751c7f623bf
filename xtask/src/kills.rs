//! `cargo xtask kills`: kills runs at any moment and checks what becomes of them.
//!
//! Short runs are killed before each of their calls that change the file system (by `kills/shim.c`, loaded before the C
//! library), and at random moments; each is then resumed until it ends. No checkpoint that was complete may be lost
//! or damaged, and what is left in the folder must be what an uninterrupted run leaves, to the last byte.
//!
//! A killed process leaves the operating system's cache intact: a missing sync, which shows after a power cut, does not show
//! here.

use crate::{Error, Result};
use indicatif::{ProgressBar, ProgressStyle};
use rl_core::{CheckpointDir, Rng, Seeds};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Kills at random moments, divided among runs of every algorithm.
    #[arg(long, default_value_t = 300)]
    random: u64,
    /// Kill before every n-th call that changes the file system; 0: never.
    #[arg(long, default_value_t = 1)]
    every: u64,
    /// A short test: a random kill of each run, and every 101st call.
    #[arg(long)]
    short: bool,
}

/// A run of a fraction of a second, or a few.
struct Run {
    algorithm: &'static str,
    env: &'static str,
    steps: u64,
    set: &'static [&'static str],
}

/// Settings of the algorithms with a replay memory.
macro_rules! off_policy {
    ($($more:literal),*) => {
        &["batch_size=32", "buffer_size=500", "learning_starts=100", "checkpoint_every=500", $($more),*]
    };
}

const DQN: Run = Run {
    algorithm: "dqn",
    env: "CartPole-v1",
    steps: 1500,
    set: off_policy!("network.hidden=[16]"),
};
const CONTINUOUS: &[&str] = off_policy!("actor.hidden=[16]", "critic.hidden=[16]");
const EVERY_1900: &[&str] = &["checkpoint_every=1900"];

/// A run of each algorithm, and of what is stored in ways of its own.
const RUNS: &[Run] = &[
    DQN,
    // With a memory large enough for blocks that checkpoints share.
    Run {
        algorithm: "rainbow",
        env: "MinAtar/Breakout-v1",
        steps: 1500,
        set: &[
            "network={conv=[{channels=4,kernel=3}],hidden=[16]}",
            "batch_size=8",
            "buffer_size=1000",
            "learning_starts=100",
            "train_freq=20",
            "checkpoint_every=300",
            "evaluate_every=200",
        ],
    },
    // Frames stored once, in blocks, with priorities.
    Run {
        algorithm: "dqn",
        env: "CartPolePixels-v0",
        steps: 400,
        set: &[
            "network={conv=[{channels=4,kernel=8,stride=8}],hidden=[16]}",
            "prioritized={}",
            "batch_size=8",
            "buffer_size=300",
            "learning_starts=50",
            "train_freq=20",
            "checkpoint_every=90",
        ],
    },
    Run { algorithm: "q-learning", env: "CliffWalking-v1", steps: 20_000, set: EVERY_1900 },
    Run {
        algorithm: "ppo",
        env: "CartPole-v1",
        steps: 4000,
        set: &[
            "n_steps=25",
            "batch_size=50",
            "checkpoint_every=1300",
            "normalize.observations=true",
        ],
    },
    // Environments and learning on several threads.
    Run {
        algorithm: "ppo",
        env: "Acrobot-v1",
        steps: 4000,
        set: &[
            "n_steps=25",
            "batch_size=50",
            "checkpoint_every=1300",
            "envs=4",
            "env_threads=2",
            "threads=2",
            "normalize.rewards=true",
        ],
    },
    Run { algorithm: "ppo-kl", env: "CartPole-v1", steps: 8000, set: EVERY_1900 },
    Run { algorithm: "trpo", env: "CartPole-v1", steps: 8000, set: EVERY_1900 },
    Run { algorithm: "reinforce", env: "CartPole-v1", steps: 8000, set: EVERY_1900 },
    Run { algorithm: "a2c", env: "CartPole-v1", steps: 8000, set: EVERY_1900 },
    Run { algorithm: "q-actor-critic", env: "CartPole-v1", steps: 8000, set: EVERY_1900 },
    Run { algorithm: "hill-climbing", env: "CartPole-v1", steps: 20_000, set: EVERY_1900 },
    Run { algorithm: "simulated-annealing", env: "CartPole-v1", steps: 20_000, set: EVERY_1900 },
    Run { algorithm: "evolution-strategies", env: "CartPole-v1", steps: 20_000, set: EVERY_1900 },
    Run { algorithm: "ddpg", env: "Pendulum-v1", steps: 1500, set: CONTINUOUS },
    Run { algorithm: "td3", env: "Pendulum-v1", steps: 1500, set: CONTINUOUS },
    Run {
        algorithm: "sac",
        env: "Pendulum-v1",
        steps: 1500,
        set: off_policy!("actor.hidden=[16]", "critic.hidden=[16]", "normalize_observations=true"),
    },
    Run { algorithm: "tqc", env: "Pendulum-v1", steps: 1500, set: CONTINUOUS },
    #[cfg(feature = "mujoco")]
    Run {
        algorithm: "ppo",
        env: "Hopper-v5",
        steps: 4000,
        set: &["n_steps=500", "batch_size=50", "checkpoint_every=1300", "envs=2", "env_threads=2"],
    },
    #[cfg(feature = "mujoco")]
    Run { algorithm: "sac", env: "InvertedPendulum-v5", steps: 1500, set: CONTINUOUS },
];

impl Run {
    /// The command that starts a run in a folder, or resumes it if it has started.
    fn command(&self, exe: &Path, folder: &Path) -> Command {
        let mut command = Command::new(exe);
        command.args(["train", self.algorithm, self.env]);
        if folder.join("config.toml").exists() {
            command.arg("--resume").arg(folder);
        } else {
            command.arg("--steps").arg(self.steps.to_string()).arg("--out").arg(folder);
            for set in ["evaluate_every=700"].iter().chain(self.set) {
                command.args(["--set", set]);
            }
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

struct Driver {
    exe: PathBuf,
    /// The folder of the runs being tested.
    root: PathBuf,
    bar: ProgressBar,
    failures: Vec<String>,
}

pub(crate) fn main(args: &Args) -> Result<()> {
    let (random, every) =
        if args.short { (RUNS.len() as u64, 101) } else { (args.random, args.every) };
    let exe = std::env::current_exe().map_err(Error::usage)?;
    let root = Path::new("target/kills").to_owned();
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(&root).map_err(|e| Error::io(&root, e))?;
    let bar = ProgressBar::new(random);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} kills  {eta} left  {msg}")
    {
        bar.set_style(style);
    }
    let mut driver = Driver { exe, root, bar, failures: Vec::new() };
    let mut kills = 0;
    if every > 0 {
        let shim = driver.build_shim()?;
        for run in RUNS {
            let n = driver.before_calls(run, &shim, every, false)?;
            driver.tell(run, format_args!("{n} kills before a call"));
            kills += n;
        }
        // Goes on over a damaged checkpoint, which it has to replace.
        kills += driver.before_calls(&DQN, &shim, every, true)?;
    }
    let mut rng = Seeds::new(0).stream("kills", 0);
    let runs = RUNS.len() as u64;
    for (i, run) in RUNS.iter().enumerate() {
        let share = (random + runs - 1 - i as u64) / runs;
        let n = driver.at_random(run, share, &mut rng)?;
        driver.tell(run, format_args!("{n} random kills"));
        kills += n;
    }
    driver.bar.finish_and_clear();
    driver.failures.iter().for_each(|failure| println!("{failure}"));
    match driver.failures.len() {
        0 => {
            println!("{kills} kills; every resumed run is byte-identical to an uninterrupted one");
            Ok(())
        }
        n => {
            Err(Error::usage(format_args!("{n} of {kills} killed runs were not as they should be")))
        }
    }
}

impl Driver {
    /// A line for who watches, or reads it later.
    fn tell(&self, run: &Run, what: std::fmt::Arguments<'_>) {
        let Run { algorithm, env, .. } = run;
        self.bar.suspend(|| eprintln!("{algorithm} on {env}: {what}"));
    }

    fn build_shim(&self) -> Result<PathBuf> {
        let shim = self.root.join("shim.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/kills/shim.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(source).arg("-ldl");
        match cc.status() {
            Ok(status) if status.success() => {
                fs::canonicalize(&shim).map_err(|e| Error::io(&shim, e))
            }
            Ok(status) => Err(Error::usage(format_args!("cc {source}: {status}"))),
            Err(error) => Err(Error::usage(format_args!("cc: {error}"))),
        }
    }

    /// The folder of an uninterrupted run, and its duration.
    fn uninterrupted(&self, run: &Run) -> Result<(Files, Duration)> {
        let whole = self.root.join("whole");
        let _ = fs::remove_dir_all(&whole);
        let started = Instant::now();
        let status = run.command(&self.exe, &whole).status().map_err(Error::usage)?;
        if !status.success() {
            return Err(Error::usage(format_args!("{} without a kill: {status}", run.algorithm)));
        }
        Ok((files(&whole)?, started.elapsed()))
    }

    /// A run that was stopped half way and whose newest checkpoint was damaged since.
    fn damaged(&self, run: &Run) -> Result<PathBuf> {
        let damaged = self.root.join("damaged");
        let _ = fs::remove_dir_all(&damaged);
        let status = run.command(&self.exe, &damaged).args(["--stop-at", "1000"]).status();
        if !status.map_err(Error::usage)?.success() {
            return Err(Error::usage(format_args!("{}: could not be stopped", run.algorithm)));
        }
        let checkpoints = CheckpointDir::new(damaged.join("checkpoints"));
        let newest = checkpoints.read_latest()?.manifest.step;
        let file = checkpoints.path(newest).join("policy.safetensors");
        fs::write(&file, b"damaged").map_err(|e| Error::io(&file, e))?;
        Ok(damaged)
    }

    /// Kills a run before each `every`-th of its calls that change the file system: a new run, or one that is resumed
    /// over a damaged checkpoint.
    fn before_calls(&mut self, run: &Run, shim: &Path, every: u64, resumed: bool) -> Result<u64> {
        let (count, killed) = (self.root.join("count"), self.root.join("killed"));
        let log = self.root.join("renamed");
        let (whole, _) = self.uninterrupted(run)?;
        let damaged = resumed.then(|| self.damaged(run)).transpose()?;
        let begin = || {
            let _ = fs::remove_dir_all(&killed);
            damaged.as_ref().map_or(Ok(()), |damaged| copy(damaged, &killed))
        };
        begin()?;
        let mut counted = run.command(&self.exe, &killed);
        counted.env("LD_PRELOAD", shim).env("KILL_COUNT", &count);
        if !counted.status().map_err(Error::usage)?.success() {
            return Err(Error::usage(format_args!("{} failed without a kill", run.algorithm)));
        }
        let calls = fs::read_to_string(&count).map_err(|e| Error::io(&count, e))?;
        let calls: u64 = calls.trim().parse().map_err(Error::usage)?;
        let mut kills = 0;
        self.bar.reset();
        self.bar.set_length(calls / every);
        for at in (1..=calls).step_by(every as usize) {
            let over = if resumed { ", resumed over a damaged checkpoint," } else { "" };
            let what = format!("{}{over} killed before call {at} of {calls}", run.algorithm);
            begin()?;
            let _ = fs::remove_file(&log);
            let mut command = run.command(&self.exe, &killed);
            command.env("LD_PRELOAD", shim).env("KILL_AT", at.to_string()).env("KILL_LOG", &log);
            let status = command.status().map_err(Error::usage)?;
            if !was_killed(status) {
                self.failures.push(format!("{what}: was not killed: {status}"));
                continue;
            }
            kills += 1;
            self.newest(&killed, completed(&log), resumed, &what);
            self.finish(run, &killed, &whole, resumed, &what)?;
        }
        Ok(kills)
    }

    /// The newest checkpoint of a killed run, at least as new as one that was complete `before`, and readable without
    /// passing over another unless one `is_damaged`.
    fn newest(
        &mut self,
        killed: &Path,
        before: Option<u64>,
        is_damaged: bool,
        what: &str,
    ) -> Option<u64> {
        let checkpoints = CheckpointDir::new(killed.join("checkpoints"));
        let found = match checkpoints.is_empty() {
            Ok(true) => None,
            _ => match checkpoints.read_latest() {
                Ok(latest) => {
                    if let (Some(error), false) = (latest.skipped.first(), is_damaged) {
                        self.failures.push(format!("{what}: left a damaged checkpoint: {error}"));
                    }
                    Some(latest.manifest.step)
                }
                Err(error) => {
                    self.failures.push(format!("{what}: no checkpoint can be read: {error}"));
                    None
                }
            },
        };
        if found < before {
            self.failures
                .push(format!("{what}: lost the checkpoint of step {before:?}: {found:?}"));
        }
        found.max(before)
    }

    /// Kills runs at random moments, each up to three times.
    fn at_random(&mut self, run: &Run, times: u64, rng: &mut Rng) -> Result<u64> {
        if times == 0 {
            return Ok(0);
        }
        let (whole, duration) = self.uninterrupted(run)?;
        let mut kills = 0;
        self.bar.reset();
        self.bar.set_length(times);
        while kills < times {
            let killed = self.root.join("killed");
            let _ = fs::remove_dir_all(&killed);
            let (mut what, mut newest) = (format!("{} killed", run.algorithm), None);
            for _ in 0..=rng.below(3) {
                let moment = duration.mul_f64(rng.uniform(0.0, 1.0));
                let mut child = run.command(&self.exe, &killed).spawn().map_err(Error::usage)?;
                let started = Instant::now();
                while let Some(left) = moment.checked_sub(started.elapsed()) {
                    std::thread::park_timeout(left);
                }
                child.kill().map_err(Error::usage)?;
                let status = child.wait().map_err(Error::usage)?;
                if was_killed(status) && kills < times {
                    kills += 1;
                    what.push_str(&format!(" after {moment:.3?}"));
                    newest = self.newest(&killed, newest, false, &what);
                }
            }
            self.finish(run, &killed, &whole, false, &what)?;
        }
        Ok(kills)
    }

    /// Resumes a killed run until it ends and compares it with an uninterrupted one.
    fn finish(
        &mut self,
        run: &Run,
        killed: &Path,
        whole: &Files,
        is_damaged: bool,
        what: &str,
    ) -> Result<()> {
        self.bar.inc(1);
        let output = run.command(&self.exe, killed).stderr(Stdio::piped()).output();
        let output = output.map_err(Error::usage)?;
        let error = String::from_utf8_lossy(&output.stderr);
        if error.contains("skipped") && !is_damaged {
            self.failures.push(format!("{what}: had to skip a checkpoint"));
        }
        if !output.status.success() {
            let last = error.lines().last().unwrap_or_default();
            self.failures.push(format!("{what}: could not be resumed: {last}"));
        } else {
            let found = files(killed)?;
            let names = whole.keys().chain(found.keys());
            let differing = names.filter(|name| whole.get(*name) != found.get(*name));
            let mut differing: Vec<&str> = differing.map(String::as_str).collect();
            differing.dedup();
            if !differing.is_empty() {
                let (n, some) =
                    (differing.len(), differing.into_iter().take(3).collect::<Vec<_>>());
                self.failures.push(format!("{what}: differs in {n} files, {}", some.join(", ")));
            }
        }
        self.bar.set_message(format!("{} failures", self.failures.len()));
        Ok(())
    }
}

/// The step of the newest checkpoint that had its final name when the process was killed.
fn completed(log: &Path) -> Option<u64> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let step = |line: &str| line.split_once("/checkpoints/step-")?.1.parse().ok();
    text.lines().filter_map(step).max()
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    status.signal() == Some(9)
}

#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    !status.success()
}

/// Copies a folder with what is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).map_err(|e| Error::io(to, e))?;
    for entry in fs::read_dir(from).map_err(|e| Error::io(from, e))? {
        let path = entry.map_err(|e| Error::io(from, e))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target).map_err(|e| Error::io(&path, e))?;
        }
    }
    Ok(())
}

/// The names and contents of a run's files.
type Files = BTreeMap<String, Vec<u8>>;

/// Every file in a folder; only those fields of the summary that do not depend on the clock.
fn files(folder: &Path) -> Result<Files> {
    let (mut found, mut open) = (Files::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path).map_err(|e| Error::io(&path, e))? {
                open.push(entry.map_err(|e| Error::io(&path, e))?.path());
            }
            continue;
        }
        let mut bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        if path.ends_with("summary.json") {
            let mut summary: serde_json::Value =
                serde_json::from_slice(&bytes).map_err(Error::usage)?;
            for clock in ["train_seconds", "steps_per_second"] {
                summary[clock] = serde_json::Value::Null;
            }
            bytes = summary.to_string().into_bytes();
        }
        let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
        found.insert(name, bytes);
    }
    Ok(found)
}

//! The runners: this library, and other libraries (peers) through their public interfaces.

use crate::{Error, Result};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const OURS: &str = "this library";
/// This library on several threads.
pub(super) const THREADED: &str = "this library, threaded";
/// Peers on as many.
pub(super) const THREADED_PEERS: [&str; 2] = ["Stable-Baselines3, threaded", "SBX (JAX), threaded"];
/// The matrix products of this library's networks alone, as a lower bound.
pub(super) const FLOOR: &str = "its matrix products alone";

/// The peers' packages, by their names on PyPI.
const PACKAGES: [&str; 10] = [
    "torch",
    "safetensors",
    "stable-baselines3",
    "jax",
    "sbx-rl",
    "gymnax",
    "gymnasium",
    "envpool",
    "minatar",
    "mujoco",
];

/// A program that runs a workload in a separate process and reports each as a line of JSON.
pub(crate) struct Runner {
    pub(crate) name: &'static str,
    workloads: &'static [&'static str],
    /// The prefix of a workload's name on the command line.
    prefix: &'static str,
    /// The program and its first arguments, followed by the workload.
    command: Vec<PathBuf>,
    /// The number of cores it gets.
    cores: usize,
}

impl Runner {
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn runs(&self, workload: &str) -> bool {
        self.workloads.contains(&workload)
    }

    /// Measures once, pinned to cores from `core` on if possible.
    pub(crate) fn measure<T: DeserializeOwned>(
        &self,
        workload: &str,
        core: usize,
    ) -> Result<Vec<T>> {
        let pinned = Command::new("taskset").arg("--version").output().is_ok();
        let mut command =
            Command::new(if pinned { Path::new("taskset") } else { &self.command[0] });
        if pinned {
            let cores = format!("{core}-{}", core + self.cores - 1);
            command.arg("-c").arg(cores).arg(&self.command[0]);
        }
        command.args(&self.command[1..]).arg(format!("{}{workload}", self.prefix));
        // Otherwise the peers' thread pools would use all cores of the machine.
        command.env("OMP_NUM_THREADS", self.cores.to_string()).env("RAYON_NUM_THREADS", "1");
        let output = command.output().map_err(|e| Error::io(&self.command[0], e))?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr);
            let last = told.lines().rev().find(|line| !line.is_empty()).unwrap_or("nothing said");
            return Err(Error::usage(format_args!("{}, {workload}: {last}", self.name)));
        }
        let told = String::from_utf8_lossy(&output.stdout);
        let lines = told.lines().filter(|line| line.starts_with('{'));
        let reports: Vec<T> = lines
            .map(|line| serde_json::from_str(line).map_err(Error::usage))
            .collect::<Result<_>>()?;
        match reports.is_empty() {
            true => Err(Error::usage(format_args!("{}, {workload}: told nothing", self.name))),
            false => Ok(reports),
        }
    }
}

/// The peers' environments.
pub(crate) fn environments(python: Option<&Path>) -> Result<Runner> {
    let python = python.map_or_else(virtual_environment, |python| Ok(python.to_owned()))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join("envs.py");
    Ok(Runner {
        name: "environments",
        workloads: &[],
        prefix: "",
        command: vec![python, script],
        cores: 1,
    })
}

/// This library, EnvPool and Gymnasium on MuJoCo's tasks.
pub(crate) fn mujoco(python: Option<&Path>) -> Result<[Runner; 3]> {
    let own = std::env::current_exe().map_err(|e| Error::io(Path::new("this program"), e))?;
    let own = vec![own, "bench".into(), "mujoco".into(), "--worker".into()];
    let python = python.map_or_else(virtual_environment, |python| Ok(python.to_owned()))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join("mujoco_envs.py");
    let runner = |name, command| Runner { name, workloads: &[], prefix: "", command, cores: 1 };
    Ok([
        runner(OURS, own),
        runner("EnvPool", vec![python.clone(), script.clone()]),
        runner("Gymnasium", vec![python, script]),
    ])
}

/// This library, and the peers if requested.
pub(super) fn runners(args: &super::Args) -> Result<Vec<Runner>> {
    let own = std::env::current_exe().map_err(|e| Error::io(Path::new("this program"), e))?;
    let worker = |threads: usize| {
        let threads = threads.to_string();
        let arguments = ["bench", "speed", "--threads", &threads, "--worker"].map(PathBuf::from);
        [vec![own.clone()], arguments.to_vec()].concat()
    };
    let workloads =
        &["ppo", "dqn", "sac", "ppo-wide", "sac-wide", "minatar-dqn", "minatar-ppo", "mlp", "conv"];
    let products = &["ppo", "dqn", "sac", "sac-wide", "minatar-dqn", "minatar-ppo", "conv"];
    let runner = |name, workloads: &'static [&'static str], prefix, threads| Runner {
        name,
        workloads,
        prefix,
        command: worker(threads),
        cores: threads,
    };
    let mut runners = vec![runner(OURS, workloads, "", 1), runner(FLOOR, products, "floor-", 1)];
    if args.threads > 1 {
        runners.push(runner(THREADED, workloads, "", args.threads));
    }
    if !args.peers {
        return Ok(runners);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let python = match &args.python {
        Some(python) => python.clone(),
        None => virtual_environment()?,
    };
    let script = |name: &'static str, workloads: &'static [&'static str], file: &str| Runner {
        name,
        workloads,
        prefix: "",
        command: vec![python.clone(), folder.join(file)],
        cores: 1,
    };
    let workloads = &["ppo", "dqn", "sac", "sac-wide"];
    runners.push(script("Stable-Baselines3", workloads, "sb3.py"));
    runners.push(script(
        "PyTorch, single file",
        &["ppo", "dqn", "sac", "minatar-dqn", "minatar-ppo", "mlp", "conv"],
        "pytorch.py",
    ));
    runners.push(script("SBX (JAX)", workloads, "sbx_jax.py"));
    if args.threads > 1 {
        for (name, file) in THREADED_PEERS.into_iter().zip(["sb3.py", "sbx_jax.py"]) {
            runners.push(Runner { cores: args.threads, ..script(name, &["sac-wide"], file) });
        }
    }
    runners.push(script("JAX, all in one jit", &["ppo"], "jax_ppo.py"));
    let workloads = &["ppo", "dqn", "sac"];
    // Built where it is asked for.
    let program = if workloads.iter().any(|key| args.asks(key)) { modurl(&folder)? } else { None };
    if let Some(program) = program {
        let name = "ModuRL (candle)";
        runners.push(Runner { name, workloads, prefix: "", command: vec![program], cores: 1 });
    }
    Ok(runners)
}

fn succeed(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().map_err(|e| Error::io(Path::new(what), e))?;
    match status.success() {
        true => Ok(()),
        false => Err(Error::usage(format_args!("{what} failed"))),
    }
}

/// A virtual environment with the peers' packages, created once.
fn virtual_environment() -> Result<PathBuf> {
    let folder = Path::new("target").join("peers");
    let python = folder.join("bin").join("python");
    let ready = folder.join("ready");
    if !ready.exists() {
        succeed(Command::new("python3").args(["-m", "venv"]).arg(&folder), "python3 -m venv")?;
        let mut pip = Command::new(&python);
        succeed(pip.args(["-m", "pip", "install", "--quiet"]).args(PACKAGES), "pip install")?;
        std::fs::write(&ready, "").map_err(|e| Error::io(&ready, e))?;
    }
    Ok(python)
}

/// ModuRL's runner, a package outside this workspace, built on first use.
fn modurl(peers: &Path) -> Result<Option<PathBuf>> {
    let package = peers.join("modurl");
    if !package.exists() {
        return Ok(None);
    }
    let target = Path::new("target").join("peers-modurl");
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(package.join("Cargo.toml"));
    succeed(cargo.arg("--target-dir").arg(&target), "building ModuRL's runner")?;
    Ok(Some(target.join("release").join("peer")))
}

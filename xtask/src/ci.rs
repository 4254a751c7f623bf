//! `cargo xtask ci`: runs all checks of continuous integration, in order.

use crate::{Error, Result};
use std::path::Path;
use std::process::Command;

/// The test command of README.md, then the other checks.
const STEPS: &[&str] = &[
    "cargo test --release --workspace",
    // Another target folder: what is built without candle does not replace what is built with it.
    "cargo test --release --package rl-ppo --no-default-features --features presets --target-dir target/outside",
    "cargo fmt --all --check",
    "cargo clippy --release --workspace --all-targets -- -D warnings",
    "cargo doc --release --workspace --no-deps --document-private-items",
];

/// Type-checks the CUDA build on a machine without CUDA: the environment variable `NVCC` names the compiler for
/// candle's kernels, here a script that writes empty files.
const CUDA: &str = "cargo check --release --package xtask --features cuda --target-dir target/cuda";

pub(crate) fn main() -> Result<()> {
    for step in STEPS {
        let mut command = command(step);
        if step.starts_with("cargo doc") {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        run(step, command)?;
    }
    python_tests()?;
    // What it loads before the C library is made for Linux.
    if cfg!(target_os = "linux") {
        run(KILLS, command(KILLS))?;
    }
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/nvcc-stand-in.sh");
    let mut cuda = command(CUDA);
    cuda.env("NVCC", stand_in).env("CUDA_COMPUTE_CAP", "90").env("CUDARC_CUDA_VERSION", "13000");
    run(CUDA, cuda)
}

/// The tests beside Gymnasium, of the bridge and of MuJoCo's tasks, with Python's packages in an environment of their own.
fn python_tests() -> Result<()> {
    // Windows has the interpreter elsewhere.
    let interpreter =
        Path::new(PYTHON).join(if cfg!(windows) { "Scripts/python" } else { "bin/python" });
    if !interpreter.exists() {
        let line = format!("python3 -m venv {PYTHON}");
        run(&line, command(&line))?;
    }
    let line = format!("{} -m pip install --quiet {PACKAGES}", interpreter.display());
    run(&line, command(&line))?;
    run(SETUP, command(SETUP))?;
    run(PYTHON_CLIPPY, command(PYTHON_CLIPPY))?;
    let mut tests = command(PYTHON_TESTS);
    let absolute = std::path::absolute(&interpreter).map_err(|e| Error::io(&interpreter, e))?;
    tests.env("RL_PYTHON", absolute);
    run(PYTHON_TESTS, tests)
}

const PYTHON: &str = "target/python";
const PACKAGES: &str = "gymnasium[classic-control,mujoco]==1.4.0 mujoco==3.17.0 ale-py==0.12.1";
const SETUP: &str = "cargo xtask setup mujoco";
const PYTHON_CLIPPY: &str = "cargo clippy --release --package rl-envs --features python-tests,mujoco --all-targets -- -D warnings";
const PYTHON_TESTS: &str = "cargo test --release --package rl-envs --features python-tests,mujoco";

/// A process of its own: the tests may have replaced the program that runs this.
const KILLS: &str = "cargo xtask kills --short";

fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    command
}

fn run(line: &str, mut command: Command) -> Result<()> {
    println!("$ {line}");
    let status = command.status().map_err(|e| Error::usage(format_args!("{line}: {e}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::usage(format_args!("{line}: {status}")))
}

//! `cargo xtask ci`: runs all checks of continuous integration, in order.

use crate::{Error, Result};
use std::process::Command;

/// The test command of README.md, then the other checks.
const STEPS: &[&str] = &[
    "cargo test --release --workspace",
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
    // What it loads before the C library is made for Linux.
    if cfg!(target_os = "linux") {
        run(KILLS, command(KILLS))?;
    }
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/nvcc-stand-in.sh");
    let mut cuda = command(CUDA);
    cuda.env("NVCC", stand_in).env("CUDA_COMPUTE_CAP", "90").env("CUDARC_CUDA_VERSION", "13000");
    run(CUDA, cuda)
}

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

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

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what takes an hour: the libraries' tests with overflow checks, and the unsafe code under Miri and
    /// AddressSanitizer.
    #[arg(long)]
    thorough: bool,
}

/// Arithmetic that overflows is an error here; `xtask` has little of it, and tests that take long.
const CHECKED: &str = "cargo test --profile checked --workspace --exclude xtask";

pub(crate) fn main(args: &Args) -> Result<()> {
    for step in STEPS {
        let mut command = command(step);
        if step.starts_with("cargo doc") {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        run(step, command)?;
    }
    DENY.run()?;
    python_tests()?;
    // What it loads before the C library is made for Linux.
    if cfg!(target_os = "linux") {
        run(KILLS, command(KILLS))?;
    }
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/nvcc-stand-in.sh");
    let mut cuda = command(CUDA);
    cuda.env("NVCC", stand_in).env("CUDA_COMPUTE_CAP", "90").env("CUDARC_CUDA_VERSION", "13000");
    run(CUDA, cuda)?;
    if args.thorough {
        run(CHECKED, command(CHECKED))?;
        NIGHTLY.iter().try_for_each(WithTool::run)?;
    }
    Ok(())
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

/// A check by a tool that Rust's stable toolchain does not have. Where it is not installed, a line says so.
struct WithTool {
    /// Succeeds where the tool is there.
    probe: &'static str,
    install: &'static str,
    step: &'static str,
    environment: &'static [(&'static str, &'static str)],
}

/// Without advisories, whose list comes from another server than the crates.
const DENY: WithTool = WithTool {
    probe: "cargo deny --version",
    install: "cargo install cargo-deny --locked",
    step: "cargo deny check bans licenses sources",
    environment: &[],
};

const NIGHTLY: &[WithTool] = &[
    // The unsafe code, interpreted as on a processor with the widest vectors, whatever this one has. Few random cases, since
    // each takes seconds.
    WithTool {
        probe: "cargo +nightly miri --version",
        install: "rustup toolchain install nightly --component miri,rust-src",
        step: "cargo +nightly miri test --package rl-nets --no-default-features --lib --target x86_64-unknown-linux-gnu --target-dir target/miri -- kernels::threads kernels::product",
        environment: &[
            ("RUSTFLAGS", "-Ctarget-cpu=x86-64-v4"),
            ("MIRIFLAGS", "-Zmiri-disable-isolation"),
            ("PROPTEST_CASES", "8"),
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1"),
        ],
    },
    // The same compiled, on this processor, with all other tests of the crate that do without candle.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    WithTool {
        probe: "cargo +nightly --version",
        install: "rustup toolchain install nightly",
        step: "cargo +nightly test --profile checked --package rl-nets --no-default-features --tests --target x86_64-unknown-linux-gnu --target-dir target/sanitized",
        environment: &[("RUSTFLAGS", "-Zsanitizer=address")],
    },
];

impl WithTool {
    fn run(&self) -> Result<()> {
        let mut probe = command(self.probe);
        // To ask is not to install.
        probe.env("RUSTUP_AUTO_INSTALL", "0");
        if !probe.output().is_ok_and(|output| output.status.success()) {
            println!("not run: {}; to have it: {}", self.step, self.install);
            return Ok(());
        }
        let mut command = command(self.step);
        command.envs(self.environment.iter().copied());
        run(self.step, command)
    }
}

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

//! Programs outside the workspace, as users write them: built without candle, and run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A package of its own, with the examples of `rl-ppo` as its programs.
fn package(at: &Path) {
    let root = workspace();
    let path = |name: &str| root.join(name).display().to_string();
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         rl-core = {{ path = {:?}, features = [\"progress\"] }}\nrl-envs = {{ path = {:?} }}\n\
         rl-ppo = {{ path = {:?}, default-features = false, features = [\"presets\"] }}\n",
        path("rl-core"),
        path("rl-envs"),
        path("rl-ppo"),
    );
    std::fs::create_dir_all(at.join("src/bin")).unwrap();
    std::fs::write(at.join("Cargo.toml"), manifest).unwrap();
    // The versions that the workspace has: nothing is fetched.
    std::fs::copy(root.join("Cargo.lock"), at.join("Cargo.lock")).unwrap();
    for (program, most) in [("train", 60), ("act", 20)] {
        let source = root.join("rl-ppo/examples").join(program).with_extension("rs");
        let lines = std::fs::read_to_string(&source).unwrap().lines().count();
        assert!(lines < most, "{program} has {lines} lines");
        std::fs::copy(source, at.join("src/bin").join(program).with_extension("rs")).unwrap();
    }
}

fn cargo(at: &Path, arguments: &[&str]) -> Output {
    let target = workspace().join("target/outside");
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(at).env("CARGO_TARGET_DIR", target);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {error}");
    output
}

#[test]
fn a_program_trains_a_preset_stops_resumes_and_another_acts() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    package(at);
    let tree = String::from_utf8(cargo(at, &["tree", "--prefix", "none"]).stdout).unwrap();
    assert!(!tree.contains("candle") && tree.contains("rl-nets"), "{tree}");
    cargo(at, &["build", "--release"]);
    let program = |name: &str, arguments: &[&str]| {
        let path = workspace().join("target/outside/release").join(name);
        let output = Command::new(path).args(arguments).current_dir(at).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{name} {arguments:?}: {error}");
        (String::from_utf8(output.stdout).unwrap(), error)
    };
    let (said, _) = program("train", &["run", "20000"]);
    assert_eq!(said, "stopped; the same command goes on\n");
    assert!(at.join("run/checkpoints").is_dir() && !at.join("run/summary.json").exists());
    let (said, progress) = program("train", &["run"]);
    assert!(said.starts_with("ppo on CartPole-v1, seed 0\n"), "{said}");
    assert!(progress.contains("/100000 steps: "), "{progress}");
    let summary = std::fs::read_to_string(at.join("run/summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert!(summary["mean_return"].as_f64().unwrap() > 400.0, "{summary}");
    // The pole falls to the right, so the cart is pushed there.
    assert_eq!(program("act", &["run"]).0, "Discrete(1)\n");
}

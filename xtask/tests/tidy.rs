//! The workspace's own rules, checked from `cargo metadata` and the files themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The metadata for this platform alone: what other platforms need may not have been downloaded.
fn metadata() -> Metadata {
    let about = std::process::Command::new("rustc").arg("-vV").output().unwrap().stdout;
    let about = String::from_utf8(about).unwrap();
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let options = ["--offline", "--locked", "--filter-platform", host];
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(options.map(str::to_owned))
        .exec()
        .unwrap()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Which crates of this workspace each may depend on: the four floors of ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("rl-core", &[]),
    ("rl-replay", &["rl-core"]),
    ("rl-envs", &["rl-core"]),
    ("rl-nets", &["rl-core"]),
    ("rl-dqn", &["rl-core", "rl-nets", "rl-replay"]),
    ("rl-pg", &["rl-core", "rl-nets", "rl-replay"]),
    ("rl-ppo", &["rl-core", "rl-nets", "rl-replay"]),
    ("rl-ddpg", &["rl-core", "rl-nets", "rl-replay"]),
];

#[test]
fn the_floors_hold() {
    let metadata = metadata();
    for (name, allowed) in MAY_USE {
        let package = metadata.packages.iter().find(|p| p.name.as_str() == *name).unwrap();
        for dependency in &package.dependencies {
            if dependency.name.starts_with("rl-") {
                let for_tests = dependency.kind == DependencyKind::Development;
                let fine = allowed.contains(&dependency.name.as_str())
                    || (for_tests && dependency.name == "rl-envs");
                assert!(fine, "{name} must not depend on {}", dependency.name);
            }
        }
    }
    let known = MAY_USE.iter().map(|(name, _)| *name).chain(["xtask"]).collect::<BTreeSet<_>>();
    let members: BTreeSet<_> =
        metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
    assert_eq!(members, known.iter().map(|n| n.to_string()).collect());
}

#[test]
fn environments_replay_and_the_loop_build_without_candle() {
    let metadata = metadata();
    let resolve = metadata.resolve.as_ref().unwrap();
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|p| (&p.id, p.name.as_str())).collect();
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    for name in ["rl-core", "rl-replay", "rl-envs"] {
        let mut reached = BTreeSet::new();
        let mut open: Vec<&PackageId> =
            names.iter().filter(|(_, n)| **n == name).map(|(id, _)| *id).collect();
        while let Some(id) = open.pop() {
            if reached.insert(id) {
                let normal = nodes[id]
                    .deps
                    .iter()
                    .filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
                open.extend(normal.map(|d| &d.pkg));
            }
        }
        assert!(reached.len() > 5, "{name}: the walk must see its dependencies");
        for id in reached {
            assert!(!names[id].starts_with("candle"), "{name} depends on {}", names[id]);
        }
    }
}

/// Every Rust file of the workspace.
fn sources() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open: Vec<PathBuf> =
        MAY_USE.iter().map(|(name, _)| root().join(name)).chain([root().join("xtask")]).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn unsafe_is_forbidden_outside_the_kernels() {
    for (name, _) in MAY_USE {
        let text = read(format!("{name}/src/lib.rs"));
        let forbids = text.contains("#![forbid(unsafe_code)]");
        assert!(forbids || *name == "rl-nets", "{name} forbids unsafe code");
    }
    let keywords = [concat!("unsa", "fe {"), concat!("unsa", "fe impl")];
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        let count: usize = keywords.iter().map(|keyword| text.matches(keyword).count()).sum();
        assert_eq!(
            count,
            text.matches("SAFETY:").count() - usize::from(path.ends_with("tidy.rs")),
            "{}: one SAFETY line for each block",
            path.display()
        );
        if count > 0 {
            let kernels = root().join("rl-nets/src/kernels");
            assert!(path.starts_with(kernels), "{}", path.display());
        }
    }
}

#[test]
fn tests_are_neither_ignored_nor_asleep() {
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        for mark in [
            concat!("#[ign", "ore"),
            concat!("thread::sl", "eep"),
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
        ] {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
}

/// Examples that need arguments; `outside.rs` builds and runs them.
const RUN_OUTSIDE: &[&str] = &["rl-ppo/examples/act.rs", "rl-ppo/examples/train.rs"];

/// Features that need what a Rust toolchain alone does not have: an interpreter with packages, or a library.
const NEED_MORE: &[&str] = &["gymnasium", "python-tests", "mujoco"];

#[test]
fn tests_run_every_example() {
    let mut names = BTreeSet::new();
    for path in sources() {
        let folder = path.parent().unwrap();
        if !folder.ends_with("examples") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let package = folder.parent().unwrap();
        let shown = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        // All packages put them in one folder of `target`.
        assert!(names.insert(name.to_owned()), "{shown}: another package has an example {name}");
        let text = std::fs::read_to_string(&path).unwrap();
        let command = format!("--package {} ", package.file_name().unwrap().to_str().unwrap());
        let says_how = text.starts_with("//! ")
            && text.contains(&format!("--example {name}"))
            && text.contains(&command);
        assert!(says_how, "{shown}: begins with what it shows and the command that runs it");
        if RUN_OUTSIDE.contains(&&*shown) {
            continue;
        }
        let manifest: toml::Table =
            std::fs::read_to_string(package.join("Cargo.toml")).unwrap().parse().unwrap();
        let targets = manifest.get("example").and_then(|targets| targets.as_array());
        let target = targets.into_iter().flatten().find(|t| t["name"].as_str() == Some(name));
        let target = target.unwrap_or_else(|| panic!("{shown}: not declared in Cargo.toml"));
        let flag = |key| target.get(key).and_then(|value| value.as_bool());
        let features = target.get("required-features").and_then(|value| value.as_array());
        let needs_more = features
            .into_iter()
            .flatten()
            .any(|feature| feature.as_str().is_some_and(|feature| NEED_MORE.contains(&feature)));
        // Without `harness = false` a test harness would stand in the place of its `main`.
        let is_run = (flag("test"), flag("harness")) == (Some(true), Some(false));
        assert!(is_run || needs_more, "{shown}: test = true, harness = false");
    }
    for (name, _) in MAY_USE {
        let examples = root().join(name).join("examples");
        assert!(examples.is_dir(), "{name} has no example");
    }
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "clippy.toml",
        "rustfmt.toml",
        "deny.toml",
        "PROMISES.md",
        "xtask",
        "fuzz",
        "target",
        "runs",
        // Written by MuJoCo where a simulation is unstable.
        "MUJOCO_LOG.TXT",
    ];
    let crates: Vec<&str> = MAY_USE.iter().map(|(name, _)| *name).collect();
    for entry in std::fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let fine = name.starts_with('.') || allowed.contains(&&*name) || crates.contains(&&*name);
        assert!(fine, "{name} does not belong at the top level");
    }
}

#[test]
fn readme_and_ci_run_the_same_tests() {
    let test = "cargo test --release --workspace";
    assert!(read("README.md").contains(test));
    assert!(read("xtask/src/ci.rs").contains(&format!("{test:?}")));
    assert!(read(".ci/run").contains("cargo xtask ci"));
}

/// A promise is worth what its test is: each that is named is there.
#[test]
fn every_promise_names_a_test_that_exists() {
    let page = std::fs::read_to_string(root().join("PROMISES.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.contains("held by"));
    let mut tests = 0;
    for row in rows {
        let held_by = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let mut file = String::new();
        // Every second part stands in backquotes.
        for name in held_by.split('`').skip(1).step_by(2) {
            if name.ends_with(".rs") && !name.starts_with("tests/") {
                file = std::fs::read_to_string(root().join(name))
                    .unwrap_or_else(|e| panic!("{name}: {e}"));
            } else if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                assert!(file.contains(&format!("fn {name}(")), "{name} is not there");
                tests += 1;
            }
        }
        assert!(!held_by.trim().is_empty(), "{row}");
    }
    assert!(tests > 20, "{tests}");
}

/// What is public is documented.
#[test]
fn nothing_is_hidden_from_the_documentation() {
    let hidden = concat!("doc(", "hidden)");
    for path in sources() {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(hidden), "{}: {hidden}", path.display());
    }
}

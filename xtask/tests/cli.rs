//! The command line, from outside: exact resume, and every bad input a one-line error with exit
//! code 2.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

/// Settings that make a run take a second rather than a minute.
const SMALL: [&str; 8] = [
    "--set",
    "network.hidden=[16]",
    "--set",
    "learning_starts=100",
    "--set",
    "buffer_size=500",
    "--steps",
    "3000",
];

fn xtask(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).current_dir(dir).output().unwrap()
}

fn succeed(dir: &Path, arguments: &[&str]) -> String {
    let output = xtask(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that a refused command prints.
fn refuse(dir: &Path, arguments: &[&str]) -> String {
    let output = xtask(dir, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    assert!(!error.contains("panicked"), "{error}");
    error.strip_prefix("error: ").unwrap().trim_end().to_owned()
}

fn train(dir: &Path, more: &[&str]) -> String {
    succeed(dir, &[&["train", "dqn", "CartPole-v1"], &SMALL[..], more].concat())
}

/// Every file below a folder, but for the clock's.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else if !path.ends_with("summary.json") {
            let name = path.strip_prefix(dir).unwrap().display().to_string();
            found.insert(name, std::fs::read(path).unwrap());
        }
    }
    found
}

#[test]
fn a_run_is_repeatable_and_resumable_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let json = train(dir, &["--out", "a", "--seed", "4", "--json"]);
    train(dir, &["--out", "b", "--seed", "4"]);
    train(dir, &["--out", "c", "--seed", "4", "--stop-at", "1400"]);
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "c"]);
    let whole = files(&dir.join("a"));
    for name in ["config.toml", "metrics.jsonl", "metrics.csv", "learning_curve.svg"] {
        assert!(whole.contains_key(name), "{name} in {:?}", whole.keys());
    }
    assert!(whole.keys().any(|k| k.ends_with("replay.bin")));
    assert!(whole.keys().any(|k| k.starts_with("best")));
    assert_eq!(whole, files(&dir.join("b")));
    assert_eq!(whole, files(&dir.join("c")));
    train(dir, &["--out", "d", "--seed", "5"]);
    assert_ne!(whole, files(&dir.join("d")));

    let line: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(
        (line["algorithm"].as_str(), line["env"].as_str()),
        (Some("dqn"), Some("CartPole-v1"))
    );
    assert_eq!((line["seed"].as_u64(), line["steps"].as_u64()), (Some(4), Some(3_000)));
    for key in ["episodes", "mean_return", "std_return", "train_seconds", "steps_per_second"] {
        assert!(line[key].is_number(), "{key}");
    }
}

#[test]
fn a_kill_at_any_moment_leaves_a_run_that_resumes_to_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a"]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args([&["train", "dqn", "CartPole-v1", "--out", "b"], &SMALL[..]].concat())
        .current_dir(dir)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // Killed as soon as it has written a checkpoint; or it has finished, which is as good.
    while child.try_wait().unwrap().is_none() {
        if std::fs::read_dir(dir.join("b/checkpoints")).is_ok_and(|mut d| {
            d.any(|e| e.unwrap().file_name().to_str().unwrap().starts_with("step-"))
        }) {
            child.kill().unwrap();
        }
    }
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "b"]);
    assert_eq!(files(&dir.join("a")), files(&dir.join("b")));
}

#[test]
fn resuming_a_finished_run_changes_nothing_unless_it_is_given_more_steps() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let arguments = ["train", "dqn", "CartPole-v1", "--resume", "a"];
    train(dir, &["--out", "a"]);
    let everything = || {
        let summary = std::fs::read(dir.join("a/summary.json")).unwrap();
        (files(&dir.join("a")), summary)
    };
    let before = everything();
    succeed(dir, &arguments);
    assert_eq!(everything(), before);
    let error = refuse(dir, &[&arguments[..], &["--steps", "2999"]].concat());
    assert_eq!(error, "steps: expected an integer >= 3000, got 2999");
    assert_eq!(everything(), before);
    let told = succeed(dir, &[&arguments[..], &["--steps", "3600", "--json"]].concat());
    let line: serde_json::Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!(line["steps"].as_u64(), Some(3_600));
    let metrics = std::fs::read_to_string(dir.join("a/metrics.jsonl")).unwrap();
    let steps: Vec<u64> = metrics
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64())
        .collect::<Option<_>>()
        .unwrap();
    assert!(steps.is_sorted() && steps.last() == Some(&3_600), "{steps:?}");
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_begins_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a"]);
    // What is there before the first checkpoint: settings, and perhaps some rows.
    for rows in ["", "{\"step\":30,\"episodes\":1.0}\n{\"st"] {
        std::fs::create_dir_all(dir.join("b/checkpoints/.writing-000000000300")).unwrap();
        std::fs::copy(dir.join("a/config.toml"), dir.join("b/config.toml")).unwrap();
        std::fs::write(dir.join("b/metrics.jsonl"), rows).unwrap();
        std::fs::write(dir.join("b/metrics.csv"), "step,na").unwrap();
        succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "b"]);
        assert_eq!(files(&dir.join("a")), files(&dir.join("b")));
        std::fs::remove_dir_all(dir.join("b")).unwrap();
    }
    // Killed while it wrote its settings: the folder is free.
    std::fs::create_dir(dir.join("c")).unwrap();
    std::fs::write(dir.join("c/config.toml.writing"), "alg").unwrap();
    train(dir, &["--out", "c"]);
}

/// A signal ends a run once its step is done: it is saved, says so by its exit code, and goes on to the same bits.
#[cfg(unix)]
#[test]
fn a_signal_saves_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a"]);
    for signal in ["INT", "TERM"] {
        let _ = std::fs::remove_dir_all(dir.join("b"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args([&["train", "dqn", "CartPole-v1", "--out", "b"], &SMALL[..]].concat())
            .current_dir(dir)
            .stderr(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // It listens before it creates its metrics.
        while !dir.join("b/metrics.csv").exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        }
        let mut kill = Command::new("kill");
        kill.args([format!("-{signal}"), child.id().to_string()]);
        assert!(kill.status().unwrap().success());
        let code = child.wait().unwrap().code();
        // A run that was all but over may finish.
        assert!(code == Some(130) || code == Some(0), "{code:?}");
        succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "b"]);
        assert_eq!(files(&dir.join("a")), files(&dir.join("b")));
    }
}

/// `nohup` is for runs that outlive their terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a"]);
    let program = env!("CARGO_BIN_EXE_xtask");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\"", program, "train", "dqn", "CartPole-v1"])
        .args(SMALL)
        .args(["--out", "b"])
        .current_dir(dir)
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !dir.join("b/metrics.csv").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let mut kill = Command::new("kill");
    kill.args(["-HUP".to_owned(), child.id().to_string()]);
    assert!(kill.status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(files(&dir.join("a")), files(&dir.join("b")));
}

/// An allocation that fails ends the process: what cannot be had is asked for first.
#[cfg(target_os = "linux")]
#[test]
fn settings_that_take_more_memory_than_there_is_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (settings, field) in [
        // Of the sampler alone, which comes after rows that have room.
        ("buffer_size=62000000 prioritized={}", "buffer_size: "),
        ("output_hidden=[1000000]", "parameters of the network: "),
        ("batch_size=100000000 buffer_size=100000000", "buffer_size: "),
        ("network.hidden=[2000000]", "a batch in the network: "),
        ("network.hidden=[30000,30000]", "parameters of the network: "),
    ] {
        let set = settings.split(' ').flat_map(|setting| ["--set", setting]);
        let output = Command::new("sh")
            .args(["-c", "ulimit -v 3000000; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_xtask")])
            .args(["train", "dqn", "CartPole-v1", "--set", "learning_starts=1"])
            .args(set)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{settings}: {error}");
        let last = error.lines().last().unwrap_or_default();
        assert!(last.starts_with(&format!("error: {field}")), "{settings}: {error}");
        assert!(last.contains("fits in memory"), "{settings}: {error}");
    }
}

#[test]
fn a_trained_run_is_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "run"]);
    for more in [&[][..], &["--best"]] {
        let arguments =
            [&["eval", "run", "--episodes", "7", "--seed", "1", "--json"], more].concat();
        let first = succeed(dir, &arguments);
        assert_eq!(first, succeed(dir, &arguments));
        let line: serde_json::Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
        assert_eq!(line["episodes"].as_u64(), Some(7));
    }
    let listed = succeed(dir, &["list"]);
    assert!(listed.contains("dqn/CartPole-v1"), "{listed}");
    assert!(!listed.lines().any(|line| line.ends_with(' ')), "{listed}");
}

#[test]
fn a_table_is_trained_and_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["train", "q-learning", "CliffWalking-v1", "--out", "run", "--json"];
    let json = succeed(dir.path(), &arguments);
    let line: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!(line["mean_return"].as_f64(), Some(-13.0));
    assert!(succeed(dir.path(), &["eval", "run"]).contains("-13.00"));
}

#[test]
fn a_command_that_cannot_be_read_is_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let train: &[&str] = &["train", "dqn", "CartPole-v1"];
    for (arguments, expected) in [
        (&["train"][..], "the following required arguments were not provided: <ALGORITHM>"),
        (&[train, &["--seed=-1"]].concat(), "invalid value '-1' for '--seed <SEED>'"),
        (&[train, &["--seeds", "3"]].concat(), "unexpected argument '--seeds' found; a similar"),
        (&[train, &["--steps"]].concat(), "a value is required for '--steps <STEPS>'"),
        (&[train, &["--steps", "1\nUsage: x"]].concat(), "invalid value '1 Usage: x' for '--steps"),
        (&[train, &["--steps", &"9".repeat(100_000)]].concat(), "invalid value '99999"),
        (&["train", "dqn", "Cart\nPole"], "unknown environment 'Cart Pole'"),
        (&["eval", "no\nrun"], "no run: not the folder of a run"),
        (&["eval", "\u{1b}[2J"], "\\u{1b}[2J: not the folder"),
        (
            &[train, &["--set", &format!("gamma={}", "x".repeat(100_000))]].concat(),
            "dqn: gamma: invalid type",
        ),
        (
            &[train, &["--set", &format!("optimizer.{}a=1", "a.".repeat(5_000))]].concat(),
            "--set optimizer.a.a",
        ),
        (
            &["bench", "envs", "--rounds", "0"],
            "invalid value '0' for '--rounds <ROUNDS>': expected at least 1",
        ),
        (&["tain"], "unrecognized subcommand 'tain'; some similar"),
    ] {
        let error = refuse(dir.path(), arguments);
        assert!(error.starts_with(expected) && error.len() < 3_000, "{error}");
    }
    assert!(succeed(dir.path(), &["--help"]).lines().count() > 5);
}

#[test]
fn unknown_names_are_refused_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let refuse = |arguments: &[&str]| refuse(dir, arguments);
    assert_eq!(
        refuse(&["train", "dpn", "CartPole-v1"]),
        "unknown algorithm 'dpn'; did you mean 'dqn'?"
    );
    assert_eq!(
        refuse(&["train", "dqn", "CartPol-v1"]),
        "unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'?"
    );
    assert_eq!(
        refuse(&["train", "dqn", "Pendulum-v1"]),
        "environment 'Pendulum-v1': expected discrete actions, it has continuous actions"
    );
    assert_eq!(
        refuse(&["train", "ppo", "my_module:MyEnv"]),
        "unknown environment 'my_module:MyEnv'; environments of Python are gym:ID, as gym:my_module:MyEnv"
    );
    let error = refuse(&["train", "dqn", "CartPole-v1", "--set", "gama=0.9"]);
    assert!(error.starts_with("dqn: unknown field `gama`, expected one of"), "{error}");
    assert!(error.ends_with("; did you mean `gamma`?"), "{error}");
    let error = refuse(&["train", "dqn", "CartPole-v1", "--device", "tpu"]);
    assert_eq!(error, "device 'tpu': unknown; expected cpu, reference, cuda or metal");
    if cfg!(not(feature = "cuda")) {
        let error = refuse(&["train", "dqn", "CartPole-v1", "--device", "cuda"]);
        assert_eq!(error, "device 'cuda': not compiled in; build with --features cuda");
    }
    let error = refuse(&["train", "ppo", "gym:CartPole-v1", "--python", "/no/python"]);
    assert!(
        error.starts_with("environment: CartPole-v1: cannot start Python, '/no/python': "),
        "{error}"
    );
    let error = refuse(&["train", "ppo", "CartPole-v1", "--python", "/no/python"]);
    assert_eq!(
        error,
        "python: expected one for environments gym:ID only, got /no/python for CartPole-v1"
    );
    let error = refuse(&["train", "ppo", "gym:CartPole-v1?x", "--python", "/no/python"]);
    assert_eq!(error, "argument of CartPole-v1: expected key=value, got 'x'");
    assert!(!dir.join("runs").exists(), "a refused run leaves nothing behind");
}

#[test]
fn bad_settings_are_refused_by_field() {
    let dir = tempfile::tempdir().unwrap();
    let set = |assignment: &str| {
        refuse(dir.path(), &["train", "dqn", "CartPole-v1", "--set", assignment])
    };
    let number = "learning_rate: expected a finite number >= 0, got";
    assert_eq!(set("learning_rate=-0.1"), format!("{number} -0.1"));
    assert_eq!(set("learning_rate=nan"), format!("{number} NaN"));
    let sizes = ["--set", "buffer_size=100", "--set", "batch_size=101"];
    assert_eq!(
        refuse(dir.path(), &[&["train", "dqn", "CartPole-v1"], &sizes[..]].concat()),
        "batch_size: expected at most buffer_size (100), got 101"
    );
    assert_eq!(set("gamma=1.5"), "gamma: expected a number in [0, 1], got 1.5");
    assert!(set("learning_rate=fast").contains("a number, or a table with kind"));
    assert!(set("batch_size=-1").starts_with("dqn: batch_size: invalid value"));
    assert!(set("network=minata").ends_with("\"nature\", \"minatar\" or \"impala-small\""));
    let ppo = ["train", "ppo", "CartPole-v1", "--set", "network=minatar"];
    assert!(
        refuse(dir.path(), &ppo)
            .ends_with("a table of trunk, actor and critic, each of which may be a network's name")
    );
    assert_eq!(set("gamma"), "--set: expected key=value, got 'gamma'");
    let refuse =
        |more: &[&str]| refuse(dir.path(), &[&["train", "dqn", "CartPole-v1"], more].concat());
    assert_eq!(refuse(&["--steps", "0"]), "steps: expected an integer >= 1, got 0");
    assert_eq!(refuse(&["--envs", "0"]), "envs: expected an integer >= 1, got 0");
    let search = |more: &[&str]| {
        let arguments = [&["train", "hill-climbing", "CartPole-v1"], more].concat();
        let error = xtask(dir.path(), &arguments);
        assert_eq!(error.status.code(), Some(2));
        String::from_utf8(error.stderr).unwrap()
    };
    assert_eq!(
        search(&["--threads", "2"]),
        "error: threads: expected 1 for hill-climbing, got 2\n"
    );
    assert!(search(&["--device", "reference"]).starts_with("error: device: expected cpu"));
    assert_eq!(set("network.hidden=[0]"), "network.hidden: expected an integer >= 1, got 0");
    assert!(refuse(&["--preset", "missing.toml"]).starts_with("missing.toml: No such file"));
}

/// Every setting that may be missing can be said to be, and an error names its key.
#[test]
fn a_run_by_defaults_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| {
        let output = xtask(folder.path(), arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let note = "no preset for q-learning in Taxi-v4: q-learning's defaults, for 50 steps";
    let by_defaults = said(&["train", "q-learning", "Taxi-v4", "--steps", "50", "--out", "a"]);
    assert!(by_defaults.contains(note), "{by_defaults}");
    // An algorithm's defaults are not made for images.
    let images = ["train", "a2c", "CartPolePixels-v0", "--steps", "5", "--set", "n_steps=1"];
    let images = said(&[&images[..], &["--set", "evaluate_every=none", "--out", "c"]].concat());
    let note = "a2c's defaults, whose networks have no convolutions, for 5 steps";
    assert!(images.contains(note), "{images}");
    let trunk = "network.trunk={conv=[{channels=2,kernel=8,stride=8}],hidden=[8]}";
    let small =
        ["--set", "n_steps=1", "--set", "evaluate_every=none", "--set", trunk, "--out", "d"];
    let convolutions = ["train", "a2c", "CartPolePixels-v0", "--steps", "5"];
    let convolutions = said(&[&convolutions[..], &small].concat());
    assert!(convolutions.contains("a2c's defaults, for 5 steps"), "{convolutions}");
    let cliff = ["train", "q-learning", "CliffWalking-v1", "--steps", "50"];
    for more in [&["--out", "b"][..], &["--resume", "a"]] {
        let arguments = match more[0] {
            "--resume" => [&["train", "q-learning", "Taxi-v4"], more].concat(),
            _ => [&cliff[..], more].concat(),
        };
        let said = said(&arguments);
        assert!(!said.contains("no preset"), "{said}");
    }
    let settings = succeed(folder.path(), &["settings", "q-learning", "CliffWalking-v1"]);
    assert!(settings.contains("\ngamma = "), "{settings}");
}

#[test]
fn a_run_that_learned_nothing_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let says = |more: &[&str]| {
        let output = xtask(dir.path(), &[&["train"], more].concat());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let nothing = "nothing was learned: the policy is that of the beginning, as no update took place in 96 steps or none \
                   changed it";
    let small = ["--envs", "1", "--set", "n_steps=128", "--set", "batch_size=64"];
    let steps = |steps| [&["ppo", "CartPole-v1", "--steps", steps], &small[..]].concat();
    assert!(says(&steps("96")).lines().any(|line| line == nothing));
    // The last of two updates has a step size of 0.
    assert!(!says(&steps("256")).contains("nothing was learned"));
    // Moments of observations are not learned.
    let set = ["--set", "normalize_observations=true", "--set", "learning_starts=100"];
    let off_policy = [&["sac", "Pendulum-v1", "--steps", "96"], &set[..]].concat();
    assert!(says(&off_policy).lines().any(|line| line == nothing));
}

/// Who can go on after an error is told how.
#[test]
fn a_run_that_an_error_ends_says_what_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let sets = ["learning_starts=1000", "learning_rate=1e30", "max_grad_norm=none"];
    let sets = sets.iter().chain(&["checkpoint_every=400"]).flat_map(|set| ["--set", set]);
    let arguments: Vec<_> =
        ["train", "dqn", "CartPole-v1", "--out", "run"].into_iter().chain(sets).collect();
    let output = xtask(dir.path(), &arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    let says =
        "saved at step 800; go on from there with: cargo xtask train dqn CartPole-v1 --resume run";
    assert!(error.lines().any(|line| line == says), "{error}");
}

#[test]
fn settings_can_be_unset_and_those_of_the_run_are_set_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let set = ["--set", "max_grad_norm=none", "--set", "evaluate_every=500"];
    let more = [&set[..], &["--set", "normalize.observations=true", "--out", "run"]].concat();
    train(dir, &more);
    let config: toml::Table =
        toml::from_str(&std::fs::read_to_string(dir.join("run/config.toml")).unwrap()).unwrap();
    assert_eq!(config["agent"]["max_grad_norm"].as_str(), Some("none"));
    assert_eq!(config["normalize"]["observations"].as_bool(), Some(true));
    let metrics = std::fs::read_to_string(dir.join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().filter(|line| line.contains("evaluation_return")).count(), 6);
    // What was unset stays so when the run is read back.
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "run", "--steps", "3300"]);
    let refuse = |assignment| refuse(dir, &["train", "dqn", "CartPole-v1", "--set", assignment]);
    let error = refuse("network.hidden=[8, \"wide\"]");
    assert!(error.starts_with("dqn: network.hidden[1]: invalid type"), "{error}");
    let error = refuse("epsilon.kind=7");
    assert!(error.starts_with("dqn: epsilon: expected a number, or a table"), "{error}");
    let error = refuse("batch_size=none");
    assert!(error.starts_with("dqn: batch_size: invalid type: string \"none\""), "{error}");
    let error = refuse("normalize.observation=true");
    assert!(error.starts_with("--set: normalize: unknown field `observation`"), "{error}");
}

/// A run that starts from the policy of another, with its normaliser.
/// While one process trains in a folder another is refused, and the first is unharmed: its settings are its own.
#[test]
fn one_process_at_a_time_trains_in_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let start = |seed: &str| {
        let run = ["train", "dqn", "CartPole-v1", "--out", "run", "--seed", seed];
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.args([&run[..], &SMALL[..]].concat()).current_dir(dir);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    for _ in 0..3 {
        let both = [("1", start("1")), ("2", start("2"))]
            .map(|(seed, child)| (seed, child.wait_with_output().unwrap()));
        let won: Vec<&str> =
            both.iter().filter(|(_, out)| out.status.success()).map(|(seed, _)| *seed).collect();
        assert_eq!(won.len(), 1, "{both:?}");
        for file in ["config.toml", "summary.json"] {
            let text = std::fs::read_to_string(dir.join("run").join(file)).unwrap();
            let own = [format!("seed = {}\n", won[0]), format!("\"seed\":{},", won[0])];
            assert!(own.iter().any(|own| text.contains(own)), "{won:?} {text}");
        }
        std::fs::remove_dir_all(dir.join("run")).unwrap();
    }
    // Held from outside: nothing is touched.
    train(dir, &["--out", "run", "--stop-at", "1000"]);
    let before = files(dir);
    let lock = std::fs::File::open(dir.join("run/.lock")).unwrap();
    lock.try_lock().unwrap();
    let error = refuse(dir, &["train", "dqn", "CartPole-v1", "--resume", "run", "--steps", "9000"]);
    assert_eq!(error, "run: another process is training in this folder");
    assert_eq!(files(dir), before);
}

/// What is refused changes nothing and leaves nothing.
#[test]
fn refused_commands_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let train_dqn = ["train", "dqn", "CartPole-v1"];
    let error = refuse(dir, &[&train_dqn[..], &["--stop-at", "0", "--out", "new"]].concat());
    assert_eq!(error, "stop_at: expected an integer >= 1, got 0");
    std::fs::create_dir(dir.join("mine")).unwrap();
    std::fs::write(dir.join("mine/letter"), b"x").unwrap();
    refuse(dir, &[&train_dqn[..], &["--out", "mine"]].concat());
    let names: Vec<String> = files(dir).into_keys().collect();
    assert_eq!(names, ["mine/letter"]);
    // A run without a checkpoint keeps its steps.
    train(dir, &["--out", "run", "--stop-at", "1000"]);
    std::fs::remove_dir_all(dir.join("run/checkpoints")).unwrap();
    let before = files(dir);
    refuse(dir, &[&train_dqn[..], &["--resume", "run", "--steps", "0"]].concat());
    assert_eq!(files(dir), before);
}

#[test]
fn a_run_starts_from_a_policy() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let normalised = ["--set", "normalize.observations=true"];
    train(dir, &[&normalised[..], &["--out", "a"]].concat());
    // No learning: what is evaluated at the end is what it started from.
    let still = ["--set", "learning_rate=0", "--init-from", "a", "--out", "b", "--seed", "9"];
    train(dir, &[&normalised[..], &still].concat());
    let policy = |run: &str| {
        std::fs::read(dir.join(run).join("checkpoints/step-000000003000/policy.safetensors"))
            .unwrap()
    };
    assert_eq!(policy("a"), policy("b"));
    assert!(
        std::fs::read_to_string(dir.join("b/config.toml")).unwrap().contains("init_from = \"a\"")
    );
    let refuse = |more: &[&str]| refuse(dir, &[&["train", "dqn", "CartPole-v1"], more].concat());
    // Another network; no normaliser to give the moments to; no run.
    let error = refuse(&["--init-from", "a", "--set", "network.hidden=[8]"]);
    assert!(error.starts_with("init_from: "), "{error}");
    let error = refuse(&["--init-from", "a", "--set", "network.hidden=[16]"]);
    assert_eq!(
        error,
        "init_from: the policy of dqn in a: normalisation moments: expected 0 elements, got 1"
    );
    // Parameters that fit, but behind another activation.
    let tanh = ["--set", "network.hidden=[16]", "--set", "network.activation=tanh"];
    let error = refuse(&[&normalised[..], &tanh, &["--init-from", "a"]].concat());
    let expected = "modules[0].activation: expected \"tanh\", got \"relu\"";
    assert_eq!(
        error,
        format!("init_from: the policy of dqn in a: network of the policy: {expected}")
    );
    assert!(refuse(&["--init-from", "missing"]).starts_with("missing: not the folder of a run"));
    assert!(!dir.join("runs").exists(), "a refused run leaves nothing behind");
}

/// What determines a run is in its checkpoints too: a file that was edited is no other run in the same folder.
#[test]
fn a_run_goes_on_with_the_settings_that_it_was_trained_with() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "whole"]);
    train(dir, &["--out", "run", "--stop-at", "1400"]);
    let path = dir.join("run/config.toml");
    let settings = std::fs::read_to_string(&path).unwrap();
    let edited = |from: &str, to: &str| {
        assert!(settings.contains(from), "{settings}");
        std::fs::write(&path, settings.replacen(from, to, 1)).unwrap();
    };
    let resume = ["train", "dqn", "CartPole-v1", "--resume", "run"];
    for (from, to, expected) in [
        ("seed = 0", "seed = 1", "seed: expected 0, with which the run was trained so far, got 1"),
        (
            "gamma = 0.99",
            "gamma = 0.9",
            "agent.gamma: expected 0.99, with which the run was trained so far, got 0.9",
        ),
        ("envs = 1", "envs = 2", "envs: expected 1, with which the run was trained so far, got 2"),
        (
            "bad_numbers = \"stop\"",
            "bad_numbers = \"skip\"",
            "bad_numbers: expected \"stop\", with which the run was trained so far, got \"skip\"",
        ),
        (
            "observations = false",
            "observations = true",
            "normalize.observations: expected false, with which the run was trained so far, got true",
        ),
    ] {
        edited(from, to);
        assert_eq!(refuse(dir, &resume), expected);
    }
    edited("steps = 3000", "steps = 1000");
    assert_eq!(refuse(dir, &resume), "steps: expected an integer >= 1400, got 1000");
    // Nor does a policy act as what it is not.
    edited("activation = \"relu\"", "activation = \"tanh\"");
    let error = refuse(dir, &["eval", "run"]);
    let expected = "network of the policy: modules[0].activation: expected \"tanh\", got \"relu\"";
    assert_eq!(error, expected);
    let quantile = "[agent.head]\nkind = \"quantile\"\nquantiles = 1\nkappa = 1.0";
    edited("[agent.head]\nkind = \"expected\"", quantile);
    let error = refuse(dir, &["eval", "run"]);
    assert!(error.starts_with("output of the policy: "), "{error}");
    // 1 is 1.0. What has no say in what is learned may change.
    edited("over = 1.0", "over = 1");
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "run", "--stop-at", "1500"]);
    edited("env_threads = 1\nthreads = 1", "env_threads = 2\nthreads = 2");
    succeed(dir, &resume);
    let of = |run: &str| {
        let mut files = files(&dir.join(run));
        files.remove("config.toml");
        files
    };
    assert!(of("whole") == of("run"));
}

/// Runs as this format version has written them, each stopped half way (`tests/fixtures/golden`): what changes the format
/// without changing its number is noticed here.
#[test]
fn runs_that_lie_on_disks_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let version = golden.join(rl_core::codec::FORMAT_VERSION.to_string());
    assert!(version.is_dir(), "no run of this format version in {}", golden.display());
    for (algorithm, env, steps) in
        [("dqn", "CartPole-v1", 400), ("ppo", "CartPole-v1", 512), ("sac", "Pendulum-v1", 400)]
    {
        let saved = files(&version.join(algorithm));
        assert!(saved.len() > 15, "{saved:?}");
        for (name, bytes) in saved {
            let path = dir.join(algorithm).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let said = succeed(dir, &["eval", algorithm, "--episodes", "2"]);
        assert!(said.contains("policy of step 200"), "{said}");
        succeed(dir, &["train", algorithm, env, "--resume", algorithm]);
        let summary = std::fs::read_to_string(dir.join(algorithm).join("summary.json")).unwrap();
        let summary: toml::Table = serde_json::from_str(&summary).unwrap();
        assert_eq!(summary["steps"].as_integer(), Some(steps));
    }
}

/// Those of earlier format versions are refused by name, and stay as they are.
#[test]
fn runs_of_earlier_versions_are_refused() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden");
    let (dir, own) = (tempfile::tempdir().unwrap(), rl_core::codec::FORMAT_VERSION);
    let earlier = (0..own).filter(|version| golden.join(version.to_string()).is_dir());
    let mut tried = 0;
    for version in earlier {
        for (name, bytes) in files(&golden.join(format!("{version}/dqn"))) {
            let path = dir.path().join(format!("{version}")).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let run = version.to_string();
        let all = || {
            let mut files = files(&dir.path().join(&run));
            files.remove(".lock");
            files
        };
        let before = all();
        let error = refuse(dir.path(), &["train", "dqn", "CartPole-v1", "--resume", &run]);
        let expected = format!("has format version {version}; this library reads version {own}");
        assert!(error.contains(&expected), "{error}");
        assert!(all() == before);
        tried += 1;
    }
    assert!(tried > 0);
}

/// A checkpoint may leave its replay memory out; the run goes on all the same.
#[test]
fn a_run_without_its_replay_is_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a", "--set", "save_replay=false", "--stop-at", "1400"]);
    let replay = |name: &String| name.contains("replay.bin") || name.contains("replay-");
    assert!(!files(&dir.join("a")).keys().any(replay));
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "a"]);
    assert!(dir.join("a/summary.json").exists());
}

/// Whoever opens a pipe waits for its other end.
#[cfg(unix)]
#[test]
fn pipes_in_the_place_of_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a"]);
    let resume = ["train", "dqn", "CartPole-v1", "--resume", "a", "--steps", "3500"];
    let manifest = "checkpoints/step-000000003000/manifest.json";
    for file in ["metrics.csv", "metrics.jsonl", "summary.json", ".lock", manifest] {
        let path = dir.join("a").join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        if file == manifest {
            let error = refuse(dir, &["eval", "a", "--checkpoint", "3000"]);
            assert!(error.ends_with("manifest.json: not a file"), "{error}");
        } else {
            let error = refuse(dir, &resume);
            assert!(error.ends_with(&format!("{file}: not a file")), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, whole).unwrap();
    }
    succeed(dir, &resume);
}

/// Rows that someone has removed do not keep a run from going on.
#[test]
fn metrics_that_are_not_there_begin_anew() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a", "--stop-at", "1400"]);
    std::fs::remove_file(dir.join("a/metrics.csv")).unwrap();
    let output = xtask(dir, &["train", "dqn", "CartPole-v1", "--resume", "a"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("metrics.csv: is not there; it begins anew"), "{told}");
    let rows = |file: &str| std::fs::read_to_string(dir.join("a").join(file)).unwrap();
    assert!(rows("metrics.csv").lines().nth(1).unwrap().starts_with("1410,"));
    assert!(rows("metrics.jsonl").lines().next().unwrap().contains("\"step\":30"));
}

/// A policy needs nothing of the replay memory, whose blocks checkpoints share.
#[test]
fn a_policy_outlasts_its_replay_memory() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "a", "--set", "prioritized={}"]);
    let whole = succeed(dir, &["eval", "a", "--episodes", "5"]);
    // All that no policy needs.
    let replay = ["replay.bin", "replay-rest.bin", "replay_origin.bin", "sampler.bin"];
    for step in std::fs::read_dir(dir.join("a/checkpoints")).unwrap() {
        let step = step.unwrap().path();
        for file in replay.map(|name| step.join(name)).iter().filter(|file| file.exists()) {
            std::fs::write(file, "damaged").unwrap();
        }
    }
    assert_eq!(succeed(dir, &["eval", "a", "--episodes", "5"]), whole);
    assert_eq!(succeed(dir, &["eval", "a", "--episodes", "5", "--checkpoint", "3000"]), whole);
    train(dir, &["--out", "b", "--init-from", "a", "--set", "prioritized={}"]);
    let more = ["train", "dqn", "CartPole-v1", "--resume", "a", "--steps", "3500"];
    let error = refuse(dir, &more);
    let problem = "replay-rest.bin: truncated: 7 bytes";
    assert!(error.contains(problem), "{error}");
    // It can go on without, and says so.
    let without = |run: &str| {
        let config = dir.join(run).join("config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        std::fs::write(&config, text.replace("save_replay = true", "save_replay = false")).unwrap();
        let resume: &[&str] = &["train", "dqn", "CartPole-v1", "--resume", run];
        let output = xtask(dir, &[resume, &more[5..]].concat());
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let told = without("a");
    assert!(told.contains("skipped: ") && told.contains(problem), "{told}");
    // A memory that is whole is taken, and what is learned is the same.
    for run in ["c", "d"] {
        train(dir, &["--out", run, "--stop-at", "1400"]);
    }
    assert!(!without("c").contains("skipped"));
    succeed(dir, &["train", "dqn", "CartPole-v1", "--resume", "d", "--steps", "3500"]);
    let policies = ["c", "d"].map(|run| {
        let newest = dir.join(run).join("checkpoints/step-000000003500");
        std::fs::read(newest.join("policy.safetensors")).unwrap()
    });
    assert_eq!(policies[0], policies[1]);
}

#[test]
fn foreign_and_damaged_runs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "run"]);
    let resume = |algorithm, env, path| refuse(dir, &["train", algorithm, env, "--resume", path]);

    std::fs::create_dir(dir.join("empty")).unwrap();
    let error = resume("dqn", "CartPole-v1", "empty");
    assert_eq!(error, "empty: not the folder of a run (no config.toml)");
    assert_eq!(
        resume("q-learning", "CliffWalking-v1", "run"),
        "algorithm: asked for q-learning, but the run in run is of dqn"
    );
    assert_eq!(
        resume("dqn", "Acrobot-v1", "run"),
        "environment: asked for Acrobot-v1, but the run in run is of CartPole-v1"
    );

    // Settings of one algorithm over the checkpoint of another.
    succeed(dir, &["train", "q-learning", "CliffWalking-v1", "--out", "table", "--steps", "500"]);
    let settings = std::fs::read(dir.join("run/config.toml")).unwrap();
    std::fs::write(dir.join("table/config.toml"), settings).unwrap();
    let error = resume("dqn", "CartPole-v1", "table");
    assert!(error.contains("expected one of dqn, got one of q-learning"), "{error}");

    let newest = dir.join("run/checkpoints/step-000000003000");
    for (file, keep) in [("replay.bin", 40), ("policy.safetensors", 0), ("manifest.json", 10)] {
        let path = newest.join(file);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..keep]).unwrap();
        // The older one is taken, with a word, and the newest is written again.
        let output = xtask(dir, &["train", "dqn", "CartPole-v1", "--resume", "run"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && told.contains("skipped: "), "{told}");
        assert!(told.contains(file), "{told}");
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    let error = refuse(dir, &["train", "dqn", "CartPole-v1", "--out", "run"]);
    assert_eq!(error, "run: not an empty folder; resume the run in it, or choose another");
}

#[test]
fn what_an_agent_sees_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let drawn = |env: &str, steps: &str| {
        let told = succeed(dir.path(), &["picture", env, "--out", "p.png", "--steps", steps]);
        let file = std::fs::File::open(dir.path().join("p.png")).unwrap();
        let mut reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (told, (info.width, info.height), pixels)
    };
    // Four channels of 10 by 10, each cell 17 pixels, and three gaps.
    let (told, size, first) = drawn("MinAtar/Breakout-v1", "0");
    assert_eq!((told.trim_end(), size), ("p.png: 4 channels of 10x10", (4 * 170 + 24, 170)));
    // Channel 0 is the paddle: one cell of 289 pixels.
    let rows = first.chunks_exact(4 * 170 + 24);
    assert_eq!(rows.flat_map(|row| &row[..170]).filter(|p| **p == 255).count(), 289);
    assert_ne!(drawn("MinAtar/Breakout-v1", "5").2, first);
    assert_eq!(drawn("PendulumPixels-v0", "1").1, (4 * 168 + 24, 168));
    let error = refuse(dir.path(), &["picture", "CartPole-v1"]);
    assert!(error.starts_with("CartPole-v1: expected an environment of images"), "{error}");
    refuse(dir.path(), &["picture", "MinAtar/Breakout-v1", "--out", "no/such/folder.png"]);
}

/// Settings of Rainbow are DQN's over Rainbow's own defaults, also within tables.
#[test]
fn rainbow_is_trained_evaluated_and_set_part_by_part() {
    let dir = tempfile::tempdir().unwrap();
    let trained = |out: &str, sets: &[&str]| {
        let small = ["buffer_size=500", "learning_starts=100"];
        let sets = small.iter().chain(sets).flat_map(|set| ["--set", set]);
        let run = ["train", "rainbow", "CartPole-v1", "--steps", "300", "--out", out];
        succeed(dir.path(), &run.into_iter().chain(sets).collect::<Vec<_>>());
        std::fs::read_to_string(dir.path().join(out).join("config.toml")).unwrap()
    };
    let config = trained("a", &["prioritized.beta=0.5", "head.atoms=21"]);
    for kept in ["alpha = 0.5", "beta = 0.5", "atoms = 21", "v_max = 10.0", "noisy = 0.5"] {
        assert!(config.lines().any(|line| line == kept), "{kept}: {config}");
    }
    assert!(
        succeed(dir.path(), &["eval", "a", "--episodes", "2"]).contains("rainbow on CartPole-v1")
    );
    let config = trained("b", &["head.kind=quantile", "network.activation=tanh"]);
    for kept in ["quantiles = 200", "hidden = [64]", "activation = \"tanh\""] {
        assert!(config.lines().any(|line| line == kept), "{kept}: {config}");
    }
}

/// What is refused leaves a run as it was, and numbers that its files cannot hold are refused.
#[test]
fn a_refused_extension_leaves_the_run_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    train(dir, &["--out", "run"]);
    let read = |name: &str| std::fs::read(dir.join("run").join(name)).unwrap();
    let before = ["config.toml", "summary.json", "learning_curve.svg"].map(read);
    // Rows that the checkpoint has seen.
    std::fs::write(dir.join("run/metrics.csv"), "step\n").unwrap();
    let resume = ["train", "dqn", "CartPole-v1", "--resume", "run", "--steps"];
    let error = refuse(dir, &[&resume[..], &["3100"]].concat());
    assert!(error.starts_with("run/metrics.csv: "), "{error}");
    assert_eq!(["config.toml", "summary.json", "learning_curve.svg"].map(read), before);

    let largest = "expected at most the largest that settings can be (9223372036854775807)";
    let error = refuse(dir, &[&resume[..], &["9223372036854775808"]].concat());
    assert_eq!(error, format!("steps: {largest}, got 9223372036854775808"));
    let seed = ["train", "dqn", "CartPole-v1", "--seed", "18446744073709551615", "--out", "other"];
    let error = refuse(dir, &seed);
    assert_eq!(error, format!("seed: {largest}, got 18446744073709551615"));
    assert!(!dir.join("other").exists());
}

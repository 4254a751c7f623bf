//! State that was edited at random, with its checksums made right again, is refused, or the run goes on from it: nothing
//! panics, hangs, or takes memory that no file accounts for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

#[allow(dead_code)] // The other tests of bytes use the rest.
#[path = "../../fuzz/properties.rs"]
mod properties;

use properties::{Case, EDIT, environments, runs};
use rl_core::{Rng, Seeds};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// States that are tried in each test; `RL_MUTATIONS=200000` is for a change of what is saved.
fn mutations() -> u64 {
    std::env::var("RL_MUTATIONS").map_or(4_000, |n| n.parse().expect("RL_MUTATIONS: a number"))
}
/// Far longer than one takes.
const HANGS: Duration = Duration::from_secs(60);

/// Ends the process where a state hangs, and says which: it takes the name of each.
fn watch() -> Sender<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut current = String::new();
        loop {
            match receiver.recv_timeout(HANGS) {
                Ok(name) => current = name,
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    // Not captured as the output of a test, which would be lost.
                    let _ = writeln!(std::io::stderr(), "hangs: {current}");
                    std::process::abort();
                }
            }
        }
    });
    sender
}

/// One to three edits.
fn edits(rng: &mut Rng) -> Vec<u8> {
    let count = EDIT * (1 + rng.below(3));
    (0..count).map(|_| rng.below(256) as u8).collect()
}

/// Tries each case in turn; the seed of an input is its number.
fn try_all(cases: &[Case], what: &str, survives: impl Fn(&Case, &[u8]) -> bool) {
    let (watched, mut panics, mut accepted) = (watch(), Vec::new(), 0);
    let mutations = mutations();
    for seed in 0..mutations {
        let case = &cases[seed as usize % cases.len()];
        let input = edits(&mut Seeds::new(seed).stream(what, 0));
        let files: Vec<&str> = input.as_chunks().0.iter().map(|one| case.file(one)).collect();
        let name = format!("{} {files:?}, seed {seed}", case.name);
        watched.send(name.clone()).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| survives(case, &input)));
        match outcome {
            Ok(went_on) => accepted += u64::from(went_on),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(ToString::to_string);
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                panics.push(format!("{name}: {}", text.unwrap_or_default()));
            }
        }
    }
    assert!(panics.is_empty(), "{} of {mutations}:\n{}", panics.len(), panics.join("\n"));
    // Neither side goes untried.
    let shares = mutations / 50..mutations / 50 * 49;
    assert!(shares.contains(&accepted), "{accepted} of {mutations} were accepted");
}

#[test]
fn runs_are_refused_or_go_on() {
    try_all(&runs(), "run", Case::survives);
}

#[test]
fn environments_are_refused_or_go_on() {
    try_all(&environments(), "environments", Case::survives);
}

#[test]
fn policies_are_refused_or_act() {
    try_all(&runs(), "policy", Case::policy_survives);
}

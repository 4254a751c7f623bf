//! `policy.json`, `normalizer.json` and parameters: the input says how those of a run are edited, or is the description.
#![no_main]

use properties::{Case, policy, runs};
use std::sync::LazyLock;

static RUNS: LazyLock<Vec<Case>> = LazyLock::new(runs);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((case, edits)) if *case != b'{' => {
            RUNS[usize::from(*case) % RUNS.len()].policy_survives(edits);
        }
        _ => {
            policy(bytes, None, &[]);
        }
    }
});

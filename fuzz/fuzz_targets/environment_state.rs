//! The state of each environment: the input says which is edited, and how.
#![no_main]

use properties::{Case, environments};
use std::sync::LazyLock;

static CASES: LazyLock<Vec<Case>> = LazyLock::new(environments);

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some((case, edits)) = bytes.split_first() {
        CASES[usize::from(*case) % CASES.len()].survives(edits);
    }
});

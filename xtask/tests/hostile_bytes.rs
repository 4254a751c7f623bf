//! Whatever bytes a decoder gets: a value or an error of one line. What holds of state is tried in `mutated_state.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // How a test fails.

#[allow(dead_code)] // The other tests of bytes use the rest.
#[path = "../../fuzz/properties.rs"]
mod properties;

use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

/// Words of the formats, by which more of a decoder is reached than by noise.
fn text(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(words), 0..30).prop_map(|words| words.concat())
}

const SETTINGS: &[&str] = &[
    "algorithm=\"dqn\"\nenv=\"any\"\nsteps=9\n",
    "[agent]\n",
    "gamma",
    "learning_rate",
    "network.hidden",
    "optimizer",
    "={kind=\"adam\"}",
    "=",
    "\n",
    "0",
    "-1",
    "1e300",
    "nan",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ".",
    ",",
    "none",
];
const MANIFEST: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    "\"format_version\":5",
    "\"algorithm\":\"any\"",
    "\"step\":1",
    "\"files\":{}",
    "\"checksum\":0",
    "\"file.bin\":[1,2]",
    "-1",
    "1e999",
    "null",
    "\"",
];
const NAMES: &[&str] = &["file.bin", "manifest.json", "..", "/", "a", ".", "\0", " ", "é", "etc"];

proptest! {
    #[test]
    fn of_the_codec(bytes in bytes()) {
        properties::codec(&bytes);
    }

    #[test]
    fn of_a_manifest(text in text(MANIFEST), content in bytes()) {
        let length = text.len().min(255);
        let head = [0, length as u8, 1];
        properties::checkpoint(&[&head, &text.as_bytes()[..length], &content].concat());
    }

    #[test]
    fn of_a_manifest_with_a_right_checksum(name in text(NAMES), step: u8, content in bytes()) {
        let length = name.len().min(255);
        let head = [1, length as u8, step];
        properties::checkpoint(&[&head, &name.as_bytes()[..length], &content].concat());
    }

    #[test]
    fn of_weights(bytes in bytes()) {
        properties::weights(&bytes);
    }

    #[test]
    fn of_a_policy(bytes in bytes()) {
        properties::policy(&bytes, None, &bytes);
    }

    #[test]
    fn of_settings(text in text(SETTINGS), noise: String) {
        properties::settings(&text);
        properties::settings(&noise);
    }
}

//! `config.toml`, and the settings in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| properties::settings(text));

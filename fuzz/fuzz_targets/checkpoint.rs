//! Folders of checkpoints: the manifest, and the files that it names.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::checkpoint(bytes));

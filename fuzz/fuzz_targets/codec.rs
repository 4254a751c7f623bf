//! Files of the codec, of several types.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::codec(bytes));

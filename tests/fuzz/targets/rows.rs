//! Fuzz target: the property `rows` of `tests/support/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orderwatch_fuzz::properties::rows(bytes));

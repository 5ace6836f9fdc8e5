//! Fuzz target: the property `topic_record` of `tests/support/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orderwatch_fuzz::properties::topic_record(bytes));

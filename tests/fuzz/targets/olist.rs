//! Fuzz target: the property `olist` of `tests/support/properties.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| orderwatch_fuzz::properties::olist(bytes));

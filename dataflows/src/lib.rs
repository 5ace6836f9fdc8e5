//! The graph of orderwatch: collections in, collections out. No I/O, no clock, no async, no randomness.

pub mod model;
pub mod settings;
pub mod time;

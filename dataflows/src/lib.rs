//! The graph of orderwatch: collections in, collections out. No I/O, no clock, no async, no randomness.

pub mod graph;
pub mod model;
pub mod operators;
pub mod orders;
pub mod settings;
pub mod time;
pub mod views;

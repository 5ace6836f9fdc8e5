//! The real program against the goldens of an independent implementation, and against itself: whatever the number of
//! workers and processes, the order of the input's rows, or the plan, the files are the same bytes.
//!
//! Data and goldens stand beside the work tree (`../shared`). Where they are missing, each test says by name what it
//! lacks and checks no more than the sample.

// A test that cannot read its data must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "goldens/bounded.rs"]
mod bounded;
#[path = "goldens/changes.rs"]
mod changes;
#[path = "goldens/compare.rs"]
mod compare;
#[path = "goldens/counts.rs"]
mod counts;
#[path = "support/golden_sets.rs"]
mod golden_sets;
#[path = "goldens/inputs.rs"]
mod inputs;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "goldens/same.rs"]
mod same;
#[path = "goldens/sets.rs"]
mod sets;

//! The graph, run in this process, held against the naive reference on random histories and on corners set by hand.
//!
//! `ORDERWATCH_SEEDS` sets how many histories the tests by chance take; a failure names its seed and the fewest facts
//! that still fail.

// A test that cannot read its data must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "oracle/corners.rs"]
mod corners;
#[path = "oracle/differential.rs"]
mod differential;
#[path = "oracle/every_time.rs"]
mod every_time;
#[path = "oracle/final_state.rs"]
mod final_state;
#[path = "oracle/harness.rs"]
mod harness;
#[path = "reference/law.rs"]
mod law;
#[path = "oracle/resumed.rs"]
mod resumed;
#[path = "oracle/retractions.rs"]
mod retractions;
#[path = "oracle/story.rs"]
mod story;
#[path = "oracle/tables.rs"]
mod tables;
#[path = "oracle/updates.rs"]
mod updates;

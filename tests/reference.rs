//! The reference, held against the text of the law by hand and against the goldens.

// A test that cannot read its data must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "reference/by_chance.rs"]
mod by_chance;
#[path = "reference/by_hand.rs"]
mod by_hand;
#[path = "reference/by_hand_promises.rs"]
mod by_hand_promises;
#[path = "reference/event_reader.rs"]
mod event_reader;
#[path = "reference/goldens.rs"]
mod goldens;
#[path = "reference/law.rs"]
mod law;
#[path = "reference/olist_reader.rs"]
mod olist_reader;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;

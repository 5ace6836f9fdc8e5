//! PostgreSQL as a sink, with a real server: what a replay wrote is what the files hold, what a job commits is there once
//! whatever is killed, and what is not ours is left alone.
//!
//! ORDERWATCH_POSTGRES names the server (`eval "$(scripts/services up postgres)"`); each test makes a database of its own.
//! Tests that kill a server start one of their own. What is missing is said by name.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "postgres/committed.rs"]
mod committed;
#[path = "postgres/encrypted.rs"]
mod encrypted;
#[path = "support/golden_sets.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod golden_sets;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "postgres/killed.rs"]
mod killed;
#[path = "bad_input/outcome.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod outcome;
#[path = "sinks/read.rs"]
#[allow(dead_code)] // shared with sinks.rs
mod read;
#[path = "postgres/refused.rs"]
mod refused;
#[path = "postgres/replayed.rs"]
mod replayed;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "postgres/server.rs"]
mod server;
#[path = "support/wanted.rs"]
mod wanted;

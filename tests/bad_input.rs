//! The real program against everything that is wrong in the world: broken lines, broken files, broken outputs, lost
//! processes, signals.
//!
//! In every run that ends well the record law holds and every broken line is one dead letter; in every other one the
//! message says what, where and what to do, the exit code is 1 or 2, and files of an earlier run are as they were.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "bad_input/denied.rs"]
mod denied;
#[path = "bad_input/documented.rs"]
mod documented;
#[path = "bad_input/files.rs"]
mod files;
#[path = "bad_input/lines.rs"]
mod lines;
#[path = "bad_input/links.rs"]
mod links;
#[path = "bad_input/named.rs"]
mod named;
#[path = "support/network.rs"]
mod network;
#[path = "bad_input/outcome.rs"]
mod outcome;
#[path = "bad_input/outputs.rs"]
mod outputs;
#[path = "bad_input/pipes.rs"]
mod pipes;
#[path = "bad_input/processes.rs"]
mod processes;
#[path = "bad_input/rows.rs"]
mod rows;
#[path = "support/run.rs"]
mod run;

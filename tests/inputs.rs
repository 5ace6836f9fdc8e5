//! Inputs in every form and order: compressed, piped, without a telling name, sorted within little memory, broken off.
//!
//! Whatever the form, files are the same bytes. Where the goldens are beside the work tree (`../shared`), they are held
//! against, too.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "inputs/blank.rs"]
mod blank;
#[path = "inputs/broken.rs"]
mod broken;
#[path = "inputs/closed.rs"]
mod closed;
#[path = "goldens/compare.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod compare;
#[path = "inputs/crowded.rs"]
mod crowded;
#[path = "inputs/directories.rs"]
mod directories;
#[path = "inputs/forms.rs"]
mod forms;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "inputs/interrupted.rs"]
mod interrupted;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "inputs/sorted.rs"]
mod sorted;
#[path = "inputs/watched.rs"]
mod watched;

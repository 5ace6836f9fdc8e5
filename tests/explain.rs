//! `orderwatch explain`: it agrees with the files of a replay for every order, and tells a person what they need.

// A test that cannot read its data must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "explain/agrees.rs"]
mod agrees;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "explain/refused.rs"]
mod refused;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "explain/tells.rs"]
mod tells;

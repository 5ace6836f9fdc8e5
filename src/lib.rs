//! The job: all that touches the outside world. Configuration, command line, console and errors of `orderwatch`; the
//! graph itself is the crate `dataflows`, which knows nothing of this one.

pub mod cli;
pub mod config;
pub mod console;
pub mod error;
pub mod instant;

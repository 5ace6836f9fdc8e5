//! The job: all that touches the outside world. The graph itself is the crate `dataflows`, which knows nothing of this
//! one.

pub mod check;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod console;
pub mod decode;
pub mod delays;
pub mod error;
pub mod explain;
pub mod gathered;
pub mod generate;
pub mod incarnation;
pub mod instant;
pub mod interrupt;
pub mod kafka;
pub mod live;
pub mod log;
pub mod produce;
pub mod query;
pub mod registry;
pub mod replay;
pub mod results;
pub mod rules;
pub mod runs;
pub mod serve;
pub mod sink;
pub mod source;
pub mod store;
pub mod topics;
pub mod validate;
pub mod worker;

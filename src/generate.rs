//! Synthetic inputs: directories and streams that look like a shop's, made from a count and a seed.
//!
//! Invariant: what is written is a pure function of the options. No clock, no hash map order, no floating point takes
//! part, so the same options give the same bytes on every machine. Memory does not grow with the count.

pub mod files;
pub mod olist;
pub mod random;
pub mod statistics;

use std::fmt;
use std::path::PathBuf;

pub use olist::{OlistOptions, generate_olist};
pub use statistics::Statistics;

/// Why nothing, or not everything, was generated. Files already in the directory are as they were before, unless it
/// was the renaming of complete files into place that failed midway.
#[derive(Debug)]
pub enum GenerateError {
    /// A file or directory could not be created, written or renamed.
    Write {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// More was asked for than the arithmetic carries.
    CountTooLarge {
        /// The count asked for.
        count: u64,
        /// The largest count possible.
        limit: u64,
    },
}

impl fmt::Display for GenerateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GenerateError::Write { path, source } => write!(formatter, "cannot write {}: {source}", path.display()),
            GenerateError::CountTooLarge { count, limit } => {
                write!(formatter, "cannot generate {count} orders: the limit is {limit}")
            }
        }
    }
}

impl std::error::Error for GenerateError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            GenerateError::Write { source, .. } => Some(source),
            GenerateError::CountTooLarge { .. } => None,
        }
    }
}

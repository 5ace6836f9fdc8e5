//! Synthetic inputs: directories and streams that look like a shop's, made from a count and a seed.
//!
//! Invariant: what is written is a pure function of the options. No clock, no hash map order, no floating point takes
//! part, so the same options give the same bytes on every machine. Memory does not grow with the count.

pub mod files;
pub mod olist;
pub mod random;
pub mod statistics;
pub mod stream;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::cli::{Generate, GenerateOlist, GenerateStream};
use crate::console::print;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::kafka::KafkaSettings;
pub use olist::{OlistOptions, generate_olist};
pub use statistics::Statistics;
pub use stream::{StreamKind, StreamStatistics, generate_stream};

/// Runs `orderwatch generate`. Statistics go to standard output; to standard error where the stream itself goes there.
pub fn run(what: &Generate, kafka: &KafkaSettings) -> JobResult<()> {
    match what {
        Generate::Olist(options) => run_olist(options, kafka),
        Generate::Orders(options) => run_stream(StreamKind::Orders, options, kafka),
        Generate::Sales(options) => run_stream(StreamKind::Sales, options, kafka),
    }
}

fn run_olist(arguments: &GenerateOlist, kafka: &KafkaSettings) -> JobResult<()> {
    if arguments.to.iter().any(|to| kafka.at_address(to).is_some()) {
        let error = JobError::configuration("a directory is not sent into topics as it is made").at("flag --to");
        return Err(error.remedy("generate it into a directory, then: orderwatch replay DIR --produce BROKERS"));
    }
    if arguments.to.iter().any(|to| stream::is_standard_output(to)) {
        let error = JobError::configuration("a directory is not written to standard output").at("flag --to");
        return Err(error.remedy("name a directory; one that is called `-` is ./-"));
    }
    stream::named_once(&arguments.to)?;
    let options = OlistOptions {
        count: arguments.count,
        seed: arguments.seed,
        duplicates: arguments.duplicates,
        invalid: arguments.invalid,
    };
    let statistics = generate_olist(&options, &arguments.to).map_err(|error| {
        let error = JobError::job(error.to_string());
        error.remedy("name a directory that you may write to, with enough space, with --to")
    })?;
    print("statistics", |out| writeln!(out, "{statistics}"))
}

fn run_stream(kind: StreamKind, options: &GenerateStream, kafka: &KafkaSettings) -> JobResult<()> {
    interrupt::drains();
    let statistics = generate_stream(kind, options, kafka)?;
    if options.no_console {
        return Ok(());
    }
    if options.to.iter().any(|target| stream::is_standard_output(target)) {
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{statistics}");
        return Ok(());
    }
    print("statistics", |out| writeln!(out, "{statistics}"))
}

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

//! The arguments of `orderwatch checkpoint`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::run::DEFAULT_STORE;
use super::{INPUT, OUTPUT, OutputFormat};

const EXAMPLES: &str = "\
Examples:
  What is there?
    orderwatch checkpoint list
  From where would the newest one be read on?
    orderwatch checkpoint inspect
  Begin anew, once the tables were emptied, too:
    orderwatch checkpoint reset --yes

Where to look and whose they are: --checkpoint and --job, as of `orderwatch run`.";

/// `orderwatch checkpoint`.
#[derive(Debug, Subcommand)]
pub enum Checkpoint {
    /// Show the checkpoints of a job, the newest first: as of when, how large, and whether they are whole
    #[command(after_help = EXAMPLES)]
    List(StoredCheckpoints),
    /// Show what a checkpoint says of itself, as JSON: parts, checksums, and from where each partition is read on
    #[command(after_help = EXAMPLES)]
    Inspect {
        /// Where they are.
        #[command(flatten)]
        stored: StoredCheckpoints,
        /// Its name, as `list` shows it [default: the newest]
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Remove every checkpoint of a job, so that it begins anew; what is in its sinks stays
    #[command(after_help = EXAMPLES)]
    Reset {
        /// Where they are.
        #[command(flatten)]
        stored: StoredCheckpoints,
        /// Do it: there is no way back
        #[arg(long)]
        yes: bool,
    },
}

/// Where checkpoints are, and whose.
#[derive(Args, Clone, Debug)]
pub struct StoredCheckpoints {
    /// Where checkpoints are kept: a directory, or s3://BUCKET/PREFIX
    #[arg(long, value_name = "DIR|URL", value_parser = NonEmptyStringValueParser::new(), default_value = DEFAULT_STORE, help_heading = INPUT)]
    pub checkpoint: String,
    /// Identity of the job
    #[arg(long, value_name = "NAME", default_value = "orderwatch", help_heading = INPUT)]
    pub job: String,
    /// How they are written: a table, or a JSON array
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
}

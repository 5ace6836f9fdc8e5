//! The arguments of `orderwatch checkpoint`.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::{INPUT, OUTPUT, OutputFormat};
use crate::config::Flag;

const EXAMPLES: &str = "\
Examples:
  What is there?
    orderwatch checkpoint list
  From where would the newest one be read on?
    orderwatch checkpoint inspect
  Begin anew, once the tables were emptied, too:
    orderwatch checkpoint reset --yes

Where to look and whose they are: --checkpoint and --job, as of `orderwatch run`, or its configuration (-c FILE).";

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

impl Checkpoint {
    /// Where to look.
    pub fn stored(&self) -> &StoredCheckpoints {
        match self {
            Checkpoint::List(stored) | Checkpoint::Inspect { stored, .. } | Checkpoint::Reset { stored, .. } => stored,
        }
    }
}

/// Where checkpoints are, and whose.
#[derive(Args, Clone, Debug)]
pub struct StoredCheckpoints {
    /// Where checkpoints are kept: a directory, or s3://BUCKET/PREFIX [default: orderwatch-checkpoints]
    #[arg(long, value_name = "DIR|URL", value_parser = NonEmptyStringValueParser::new(), help_heading = INPUT)]
    pub checkpoint: Option<String>,
    /// Identity of the job, or of a replay as it tells it [default: orderwatch]
    #[arg(long, value_name = "NAME", help_heading = INPUT)]
    pub job: Option<String>,
    /// How they are written: a table, or a JSON array
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
}

impl StoredCheckpoints {
    /// The last layer of the configuration. The job is no part of it: a replay's name may be longer than a job's.
    pub fn layer(&self) -> Vec<Flag> {
        let store = |text: &String| Flag { key: "checkpoint.store", flag: "--checkpoint", text: text.clone() };
        self.checkpoint.iter().map(store).collect()
    }
}

//! The arguments of `orderwatch check`: those of the replay that is checked.

use clap::Args;

use super::{JobFlags, OUTPUT, OutputFormat, ReplayOptions};

const EXAMPLES: &str = "\
Examples:
  Before a long replay, with its very flags:
    orderwatch check data/olist --out results --sla-rules rules.toml
  For another program:
    orderwatch check events.jsonl --output json

Looks at the configuration, the SLA rules, the first 1,000 records of every file, the outputs, free space and the limit of
open files. Reads no input to its end and leaves nothing behind. Exit code 1 where something failed; a warning is none.";

/// `orderwatch check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// What the replay would read and write.
    #[command(flatten)]
    pub options: ReplayOptions,
    /// How the findings are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
    /// Flags with a key in the configuration.
    #[command(flatten)]
    pub job: JobFlags,
}

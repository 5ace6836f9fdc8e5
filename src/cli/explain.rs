//! The arguments of `orderwatch explain`.

use std::path::PathBuf;

use clap::Args;

use super::{DEFAULT_INPUT, INPUT, JobFlags, OUTPUT, OutputFormat, Reading, ReplayOptions};

const EXAMPLES: &str = "\
Examples:
  Why is this order late?
    orderwatch explain ORD-001234 --input events.jsonl
  As it stood at midnight, by your own promises:
    orderwatch explain ORD-001234 --input events.jsonl --until 2024-03-10 --sla-rules rules.toml
  What did late records change?
    orderwatch explain ORD-001234 --input events.jsonl --arrival-order
  For another program:
    orderwatch explain ORD-001234 --input events.jsonl --output json

The answer comes first, then the evidence: every event with its verdict and the line it stands on, items, payments, each
promise with its arithmetic and the rule that decides, and what was refused, repeated or overruled.";

/// `orderwatch explain`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Explain {
    /// The shop's id of the order
    #[arg(value_name = "ORDER_ID")]
    pub order_id: String,
    /// Its tenant, where several have an order of that id
    #[arg(long, value_name = "TENANT", help_heading = INPUT)]
    pub tenant: Option<String>,
    /// What to read: whatever `orderwatch replay` reads; may be repeated
    #[arg(long = "input", value_name = "INPUT", num_args = 1.., default_value = DEFAULT_INPUT, help_heading = INPUT)]
    pub inputs: Vec<PathBuf>,
    /// As in `orderwatch replay`.
    #[command(flatten)]
    pub reading: Reading,
    /// How the report is written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
    /// Flags with a key in the configuration; -w and -n change nothing here.
    #[command(flatten)]
    pub job: JobFlags,
}

impl Explain {
    /// The replay whose results are explained.
    pub fn replay(&self) -> ReplayOptions {
        ReplayOptions { inputs: self.inputs.clone(), reading: self.reading.clone(), ..ReplayOptions::default() }
    }
}

//! The arguments of `orderwatch explain`.

use std::path::PathBuf;

use clap::Args;
use dataflows::time::Time;

use super::{DEFAULT_INPUT, INPUT, InputKind, JobFlags, OUTPUT, OutputFormat, ReplayOptions};
use crate::instant::parse_instant;

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
    /// The kind of every input, where it cannot be told
    #[arg(long = "as", value_enum, value_name = "KIND", help_heading = INPUT)]
    pub kind: Option<InputKind>,
    /// Ignore what happened before TIME, as in `orderwatch replay`
    #[arg(long, value_name = "TIME", value_parser = parse_instant, help_heading = INPUT)]
    pub from: Option<Time>,
    /// Explain the order as it stood at TIME, as in `orderwatch replay`
    #[arg(long, value_name = "TIME", value_parser = parse_instant, help_heading = INPUT)]
    pub until: Option<Time>,
    /// Read each file in its own order, as a live source would: shows what late records changed
    #[arg(long, help_heading = INPUT)]
    pub arrival_order: bool,
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
        ReplayOptions {
            inputs: self.inputs.clone(),
            kind: self.kind,
            from: self.from,
            until: self.until,
            arrival_order: self.arrival_order,
            ..ReplayOptions::default()
        }
    }
}

//! The arguments of `orderwatch check`: those of the replay, or of the live job, that is checked.

use std::path::PathBuf;

use clap::Args;

use super::generate::parse_live_rate;
use super::{DEFAULT_INPUT, INPUT, JobFlags, LiveStart, OUTPUT, OutputFormat, ReplayFlags, ReplayOptions, RunOptions};
use crate::clock::partitions::TimeMode;
use crate::config::{Flag, Kind};

const EXAMPLES: &str = "\
Examples:
  Before a long replay, with its very flags:
    orderwatch check data/olist --out results --sla-rules rules.toml
  Before a live job, with its very flags but --start:
    orderwatch check --kafka localhost:9092 --postgres postgresql://shop@localhost/shop
  For another program:
    orderwatch check events.jsonl --output json

Looks at the configuration, the SLA rules, the outputs, free space and the limit of open files. Of a replay besides at
the first 1,000 records of every file; of a live job, which it is where --kafka, --topics, --watch, --generate, --clock or
--to-kafka says so, or brokers of the configuration (kafka.brokers, sink.kafka) where no input and no other flag of a
replay is given, at brokers, topics, schema registry, directory and checkpoints. Reads no input to its end and leaves
nothing behind. Exit code 1 where something failed; a warning is none.";

/// What a live job has no use for.
const OF_REPLAY: [&str; 3] = ["inputs", "out", "produce"];

/// `orderwatch check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// What the replay would read and write.
    #[command(flatten)]
    pub options: ReplayOptions,
    /// Where else it would write.
    #[command(flatten)]
    pub outputs: ReplayFlags,
    /// What of Kafka a live job would read and write.
    #[command(flatten)]
    pub live: LiveFlags,
    /// The directory that a live job would watch
    #[arg(long, value_name = "DIR", conflicts_with_all = OF_REPLAY, help_heading = INPUT)]
    pub watch: Option<PathBuf>,
    /// Orders a second that a live job would make up
    #[arg(long, value_name = "RATE", value_parser = parse_live_rate, conflicts_with_all = OF_REPLAY, help_heading = INPUT)]
    pub generate: Option<u64>,
    /// What would move its time, of which nothing is to be looked at
    #[arg(long, value_enum, value_name = "CLOCK", conflicts_with_all = OF_REPLAY, help_heading = INPUT)]
    pub clock: Option<TimeMode>,
    /// How the findings are written
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
    /// Flags with a key in the configuration.
    #[command(flatten)]
    pub job: JobFlags,
}

configuration_flags! {
    /// What of Kafka a live job reads and writes.
    pub struct LiveFlags;
    /// Brokers that a live job would ask first, host:port, separated by commas
    #[arg(long, value_name = "BROKERS", conflicts_with_all = OF_REPLAY, help_heading = INPUT)]
    kafka: "--kafka" => "kafka.brokers",
    /// Topics that it would read, separated by commas [default: kafka.topics of the configuration]
    #[arg(long, value_name = "LIST", conflicts_with_all = OF_REPLAY, help_heading = INPUT)]
    topics: "--topics" => "kafka.topics",
    /// Brokers that it would keep changelog topics up to date at
    #[arg(long, value_name = "BROKERS", conflicts_with_all = OF_REPLAY, help_heading = OUTPUT)]
    to_kafka: "--to-kafka" => "sink.kafka",
}

impl Check {
    /// What is checked: a live job where something is named that no replay has, a replay where it is the other way round;
    /// otherwise the configuration tells.
    pub fn kind(&self) -> Option<Kind> {
        let has_input = self.watch.is_some() || self.generate.is_some();
        if has_input || self.live != LiveFlags::default() || self.clock.is_some() {
            return Some(Kind::Live);
        }
        let (inputs, no_console) = (vec![DEFAULT_INPUT.into()], self.options.no_console);
        let of_either = ReplayOptions { inputs, no_console, ..ReplayOptions::default() };
        (self.options != of_either).then_some(Kind::Bounded)
    }

    /// What the live job would read.
    pub fn run_options(&self) -> RunOptions {
        RunOptions {
            watch: self.watch.clone(),
            generate: self.generate,
            start: LiveStart::Earliest,
            clock: self.clock.unwrap_or_default(),
            output: OutputFormat::default(),
            no_console: self.options.no_console,
        }
    }

    /// The last layer of the configuration: the flags that were given.
    pub fn layer(&self) -> Vec<Flag> {
        [self.outputs.layer(), self.live.layer(), self.job.layer()].concat()
    }
}

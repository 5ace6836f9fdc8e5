//! The options of a replay, and what clap cannot say of them: which contradict each other, which are configuration.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::{DEFAULT_INPUT, INPUT, JobFlags, OUTPUT, OutputFormat, Reading};
use crate::clock::Speed;
use crate::config::{Flag, Outputs};
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::sink::files::Format;

/// `orderwatch replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// What this replay reads and writes.
    #[command(flatten)]
    pub options: ReplayOptions,
    /// Where else it writes, and where it keeps and says how far it is.
    #[command(flatten)]
    pub outputs: ReplayFlags,
    /// How totals are written to standard output: tables, or one JSON object
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
    /// Flags with a key in the configuration.
    #[command(flatten)]
    pub job: JobFlags,
}

impl Replay {
    /// The last layer of the configuration: the flags that were given.
    pub fn layer(&self) -> Vec<Flag> {
        [self.outputs.layer(), self.job.layer()].concat()
    }
}

/// What a replay reads, and writes into files of a directory.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayOptions {
    /// What to replay: Olist directories, or files of JSON lines of order events or sales; `-` is standard input
    ///
    /// Any of them may be compressed with gzip or zstd. kafka://BROKERS/TOPIC,TOPIC reads topics up to where they end now.
    /// Kinds may be mixed. All inputs are merged by event time.
    #[arg(value_name = "INPUT", default_value = DEFAULT_INPUT)]
    pub inputs: Vec<PathBuf>,
    /// Which of it counts, and in which order.
    #[command(flatten)]
    pub reading: Reading,
    /// Replay only the first N orders
    ///
    /// Inputs come one after another as they are named, lines and rows of an orders file as they stand; broken ones name no
    /// order. Their order matters for this option, as it does for no other but --arrival-order.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = INPUT)]
    pub limit: Option<u64>,
    /// How fast time passes: max, or how many times faster than it happened
    ///
    /// 100 is a hundred times faster: a day takes 864 s, whether anything happens in it or not. Time passes smoothly, and
    /// each breach is told on the console when it is due.
    #[arg(long, value_name = "max|N", default_value = "max", help_heading = INPUT)]
    pub speed: Speed,
    /// Send the inputs into the topics of these brokers, host:port separated by commas, instead of computing
    ///
    /// In the order of event time, at --speed, with the order's id as key: rows of orders (each as it fills up), events and
    /// sales into the first of kafka.topics, items into the second, payments into the third.
    #[arg(long, value_name = "BROKERS", conflicts_with_all = ["limit", "out", "sqlite", "postgres", "arrival_order", "serve"], help_heading = OUTPUT)]
    pub produce: Option<String>,
    /// Write every collection into DIR, a file each
    #[arg(long, value_name = "DIR", help_heading = OUTPUT)]
    pub out: Option<PathBuf>,
    /// How files in --out are written; they hold the same rows
    ///
    /// In JSON, whole numbers and booleans are JSON's own, no value is null, and everything else (amounts, rates, seconds,
    /// times) is a string, as in CSV. In Parquet, times are UTC milliseconds and amounts, rates and seconds exact decimals.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", requires = "out", help_heading = OUTPUT)]
    pub format: Format,
    /// Write into DIR/changes, too, how every collection came about: a file each with (time, diff, row)
    ///
    /// In the order of time; of a row that changes the old one goes (-1) before the new one comes (1). Added up to a time
    /// they are the collection as of then: to the end, the file in DIR. It takes more time and more space in TMPDIR.
    #[arg(long, help_heading = OUTPUT)]
    pub changes: bool,
    /// Show neither progress nor totals
    #[arg(long, help_heading = OUTPUT)]
    pub no_console: bool,
}

configuration_flags! {
    /// Where a replay writes besides, and where it keeps and says how far it is.
    pub struct ReplayFlags;
    /// Write every collection into FILE, a table each, with views for reports
    ///
    /// A SQLite database that any SQL tool opens. The content of an earlier one is replaced in one step; a file that
    /// orderwatch did not write is refused. Tables, views and types: docs/collections.md.
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    sqlite: "--sqlite" => "sink.sqlite",
    /// Write every collection into a PostgreSQL database, a table each, with views for reports
    ///
    /// postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full; with a password rather in the environment, as
    /// ORDERWATCH__SINK__POSTGRES. The server is waited for, tables are made where there are none, their content is replaced
    /// in one step; tables that orderwatch did not make are refused. Tables, views and types: docs/collections.md.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    postgres: "--postgres" => "sink.postgres",
    /// Keep in DIR, or s3://BUCKET/PREFIX, how far a replay with a --speed has come [default: none]
    ///
    /// Started again, one that was stopped or killed reads what lies before at full speed, and goes on from there without
    /// telling those breaches again (killed: but for those of the last --checkpoint-interval). One that has come to its
    /// end begins anew. All processes need it. Without a --speed nothing is kept: to read everything again is
    /// quicker than to write down and restore what has come of it. `none` is none.
    #[arg(long, value_name = "DIR|URL", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "produce", help_heading = OUTPUT)]
    checkpoint: "--checkpoint" => "checkpoint.store",
    /// How often it is written down how far a replay is [default: 10s]
    #[arg(long, value_name = "DURATION", help_heading = OUTPUT)]
    checkpoint_interval: "--checkpoint-interval" => "checkpoint.interval",
    /// Where /metrics (Prometheus), /healthz and /readyz are served while it runs: HOST:PORT, or `none` [default: none]
    ///
    /// Records read, memory, and how far results have come. Each process of a cluster serves its own numbers.
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    serve: "--serve" => "serve.address",
}

impl ReplayFlags {
    /// Refuses what clap cannot: a flag that has nothing to do, whatever the other layers say.
    pub fn check(&self, outputs: &Outputs) -> JobResult<()> {
        if self.checkpoint_interval.is_some() && outputs.store.is_none() {
            let what = "--checkpoint-interval has nowhere to write to";
            let error = JobError::configuration(what).at("flag --checkpoint-interval");
            return Err(error.remedy("add --checkpoint DIR, or leave it out"));
        }
        Ok(())
    }
}

impl ReplayOptions {
    /// Refuses what clap cannot: options that contradict each other.
    pub fn check(&self) -> JobResult<()> {
        if let (Some(from), Some(until)) = (self.reading.from, self.reading.until)
            && from > until
        {
            let what = format!("--from {} is after --until {}", format_instant(from), format_instant(until));
            return Err(JobError::configuration(what).at("flag --from").remedy("exchange the two, or leave one out"));
        }
        if self.changes && self.out.is_none() {
            let what = "--changes has nowhere to write to";
            let remedy = "add --out DIR: changes are written into DIR/changes";
            return Err(JobError::configuration(what).at("flag --changes").remedy(remedy));
        }
        Ok(())
    }
}

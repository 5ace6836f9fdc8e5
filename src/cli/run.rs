//! The arguments of `orderwatch run`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use dataflows::time::Time;

use super::generate::parse_live_rate;
use super::topics::KafkaFlags;
use super::{INPUT, JobFlags, OUTPUT, OutputFormat};
use crate::clock::partitions::TimeMode;
use crate::config::Flag;
use crate::instant::parse_instant;

const EXAMPLES: &str = "\
Examples:
  Watch the topics of a broker and tell breaches as they happen:
    orderwatch run --kafka localhost:9092
  Keep every collection as a table of PostgreSQL, exactly once, on two threads:
    orderwatch run --kafka localhost:9092 --postgres postgresql://shop@localhost/shop -w 2
  The same as changelog topics of the same broker, and as a SQLite file:
    orderwatch run --kafka localhost:9092 --to-kafka localhost:9092 --sqlite shop.sqlite
  Files that another program renames into a directory, with checkpoints in a bucket:
    orderwatch run --watch incoming --checkpoint s3://shop/checkpoints
  Without any of this, to look at: a shop of two orders a second
    orderwatch run --generate 2 --postgres postgresql://shop@localhost/shop
  History that was sent into topics, with time as the records tell it:
    orderwatch run --kafka localhost:9092 --clock event --postgres postgresql://shop@localhost/shop

Ctrl-C or SIGTERM: no more is read, sinks take what was published, a checkpoint is written. Started again, with as many
threads as you like, the job goes on from there; killed, from its last checkpoint, and no sink sees the difference.";

/// `orderwatch run`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Run {
    /// What the job reads, and tells.
    #[command(flatten)]
    pub options: RunOptions,
    /// Where Kafka is.
    #[command(flatten)]
    pub kafka: KafkaFlags,
    /// Where the job writes, and where it keeps and says how far it is.
    #[command(flatten)]
    pub outputs: RunFlags,
    /// Flags with a key in the configuration.
    #[command(flatten)]
    pub job: JobFlags,
}

impl Run {
    /// The last layer of the configuration: the flags that were given.
    pub fn layer(&self) -> Vec<Flag> {
        [self.kafka.layer(), self.outputs.layer(), self.job.layer()].concat()
    }
}

/// What a live job reads, and tells.
#[derive(Args, Clone, Debug)]
pub struct RunOptions {
    /// Read files that are renamed into DIR, each once, whole: .jsonl and .csv of order events, also .gz and .zst
    ///
    /// In the order of names; names that start with `.` are left alone. Of a CSV file the first line names the members.
    /// Which files were read is kept with the checkpoints. The first process reads; all are given the same DIR.
    #[arg(long, value_name = "DIR", help_heading = INPUT)]
    pub watch: Option<PathBuf>,
    /// Read a shop that exists nowhere: RATE orders a second, as time passes, from the job's first start on
    ///
    /// Decimals are allowed: 0.5 is an order every two seconds. Events are those of `generate orders`.
    #[arg(long, value_name = "RATE", value_parser = parse_live_rate, help_heading = INPUT)]
    pub generate: Option<u64>,
    /// Where a job that never ran begins to read: earliest, latest, or what was produced at TIME or later; or checkpoint
    ///
    /// This is about topics. A job that did run goes on from its checkpoint; with `checkpoint` one that has none is refused.
    /// Partitions and topics that come later are read from their beginning.
    #[arg(long, value_name = "earliest|latest|TIME|checkpoint", default_value = "earliest", value_parser = LiveStart::parse, help_heading = INPUT)]
    pub start: LiveStart,
    /// What moves time: the wall clock, or data alone
    ///
    /// With `wall`, deadlines pass on time even when nothing is read. With `event`, history stays history: results
    /// are as of the latest event, and what is of that very instant, or late behind it, shows once a later one has come.
    #[arg(long, value_enum, default_value_t, value_name = "CLOCK", help_heading = INPUT)]
    pub clock: TimeMode,
    /// How breaches are told: a line for people, or a JSON object a line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
    /// Tell no breaches
    #[arg(long, help_heading = OUTPUT)]
    pub no_console: bool,
}

configuration_flags! {
    /// Where a live job writes, and where it keeps and says how far it is.
    pub struct RunFlags;
    /// Keep every collection up to date as a table of the PostgreSQL database at URL
    ///
    /// postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full; with a password rather in the environment, as
    /// ORDERWATCH__SINK__POSTGRES. Every change is there exactly once, whatever fails in between. The server is waited for.
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    postgres: "--postgres" => "sink.postgres",
    /// Keep every collection up to date as a table of the SQLite file FILE, with views for reports, while any SQL tool reads
    /// it; exactly once
    ///
    /// The first process writes. Made where there is none; tables, views and types: docs/collections.md.
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    sqlite: "--sqlite" => "sink.sqlite",
    /// Keep every collection up to date as a changelog topic JOB.COLLECTION at these brokers
    ///
    /// A record's key is the row's key as JSON, its value the row as JSON, or none where the row is gone; in transactions, so
    /// read them with isolation.level=read_committed. Compacted, and made where they are missing.
    #[arg(long, value_name = "BROKERS", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    to_kafka: "--to-kafka" => "sink.kafka",
    /// Where checkpoints are kept: a directory, s3://BUCKET/PREFIX, or `none` [default: orderwatch-checkpoints]
    ///
    /// S3, or what understands its If-None-Match: endpoint, region and credentials come from AWS_ENDPOINT_URL, AWS_REGION,
    /// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and their like; AWS_ALLOW_HTTP=true goes without TLS. All processes need it.
    /// Sinks that are kept up to date need them: without one a job that was stopped cannot go on.
    #[arg(long, value_name = "DIR|URL", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    checkpoint: "--checkpoint" => "checkpoint.store",
    /// How often a checkpoint is written [default: 10s]
    #[arg(long, value_name = "DURATION", help_heading = OUTPUT)]
    checkpoint_interval: "--checkpoint-interval" => "checkpoint.interval",
    /// Where /metrics (Prometheus), /healthz and /readyz are served: HOST:PORT, or `none` [default: 127.0.0.1:8080, or with
    /// -n and no --hostfile port 8080 + --process]
    ///
    /// Each process of a cluster serves its own numbers, so each on one machine needs a port of its own. Nobody is asked
    /// who they are: think before you name an address that others can reach.
    #[arg(long, value_name = "ADDR", value_parser = NonEmptyStringValueParser::new(), help_heading = OUTPUT)]
    serve: "--serve" => "serve.address",
}

/// Where a job that never ran begins to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveStart {
    /// The beginning of every partition.
    Earliest,
    /// The end.
    Latest,
    /// The first record produced at this time or later.
    At(Time),
    /// Nowhere: it is to go on from a checkpoint.
    Checkpoint,
}

impl LiveStart {
    fn parse(text: &str) -> Result<LiveStart, String> {
        match text {
            "earliest" => Ok(LiveStart::Earliest),
            "latest" => Ok(LiveStart::Latest),
            "checkpoint" => Ok(LiveStart::Checkpoint),
            time => parse_instant(time).map(LiveStart::At),
        }
    }
}

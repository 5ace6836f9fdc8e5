//! The arguments of `orderwatch topics`, and the flags that say where Kafka is.

use clap::{Args, Subcommand};

use super::{INPUT, OUTPUT, OutputFormat};
use crate::config::duration::parse_duration;

const EXAMPLES: &str = "\
Examples:
  What is there?
    orderwatch topics list --kafka localhost:9092
  The three topics of a shop, kept for ever, in six partitions each:
    orderwatch topics create --kafka localhost:9092 --partitions 6 --retention unlimited --compression zstd
  One of a name of its own:
    orderwatch topics create --kafka localhost:9092 --topics shop.events

Brokers and topics may stand in the configuration file, too ([kafka] brokers, topics), and whatever else a client has to
know (security.protocol, sasl.username ...) in its section [kafka.client].";

/// `orderwatch topics`.
#[derive(Debug, Subcommand)]
pub enum Topics {
    /// Show the topics of a broker: partitions, records, how long they are kept
    #[command(after_help = EXAMPLES)]
    List(ListTopics),
    /// Create topics; one that is there already with as many partitions is left as it is
    #[command(after_help = EXAMPLES)]
    Create(CreateTopics),
}

configuration_flags! {
    /// Where Kafka is.
    pub struct KafkaFlags;

    /// Brokers to ask first, host:port, separated by commas [default: kafka.brokers of the configuration]
    #[arg(long, value_name = "BROKERS", help_heading = INPUT)]
    kafka: "--kafka" => "kafka.brokers",
    /// Topics, separated by commas [default: kafka.topics of the configuration]
    #[arg(long, value_name = "LIST", help_heading = INPUT)]
    topics: "--topics" => "kafka.topics",
}

/// `orderwatch topics list`.
#[derive(Args, Clone, Debug)]
pub struct ListTopics {
    /// Where Kafka is; without --topics all that are not Kafka's own.
    #[command(flatten)]
    pub kafka: KafkaFlags,
    /// How they are written: a table, or a JSON array
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
}

/// `orderwatch topics create`.
#[derive(Args, Clone, Debug)]
pub struct CreateTopics {
    /// Where Kafka is, and what to create.
    #[command(flatten)]
    pub kafka: KafkaFlags,
    /// Partitions of each; no more workers than there are partitions share the reading
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..), help_heading = OUTPUT)]
    pub partitions: u16,
    /// How long records are kept, as in 30d, or `unlimited` [default: the broker's, seven days as a rule]
    #[arg(long, value_name = "DURATION", value_parser = parse_retention, help_heading = OUTPUT)]
    pub retention: Option<Retention>,
    /// How records are compressed on disk [default: as they were sent]
    #[arg(long, value_name = "CODEC", help_heading = OUTPUT,
        value_parser = clap::builder::PossibleValuesParser::new(["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"]))]
    pub compression: Option<String>,
    /// How they are written: a table, or a JSON array
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
}

/// How long records are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// So many milliseconds.
    For(u64),
    /// For ever.
    Unlimited,
}

fn parse_retention(text: &str) -> Result<Retention, String> {
    match text {
        "unlimited" => Ok(Retention::Unlimited),
        text => parse_duration(text).map(Retention::For),
    }
}

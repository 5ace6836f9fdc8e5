//! How inputs are read: of what kind they are, what of them counts, and in which order.

use clap::{Args, ValueEnum};
use dataflows::time::Time;

use super::INPUT;
use crate::instant::parse_instant;

/// How inputs are read, whatever is made of them.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The kind of every input, where it cannot be told
    #[arg(long = "as", value_enum, value_name = "KIND", help_heading = INPUT)]
    pub kind: Option<InputKind>,
    /// Ignore what happened before TIME
    ///
    /// Inclusive. RFC 3339, "2018-01-01 12:00:00" (UTC), or 2018-01-01 (midnight UTC). Facts before it are as if absent.
    #[arg(long, value_name = "TIME", value_parser = parse_instant, help_heading = INPUT)]
    pub from: Option<Time>,
    /// Ignore what happened after TIME, and show results as of it
    ///
    /// Inclusive; the forms of --from. A date alone is its midnight, so the day itself is left out but for that instant.
    #[arg(long, value_name = "TIME", value_parser = parse_instant, help_heading = INPUT)]
    pub until: Option<Time>,
    /// Where topics are read from: earliest, or what was produced at TIME or later
    ///
    /// The forms of --from. It is the time of the record in Kafka, which is usually when it was sent, not of what it tells.
    #[arg(long, value_name = "earliest|TIME", default_value = "earliest", value_parser = Start::parse, help_heading = INPUT)]
    pub start: Start,
    /// Read each file in its own order, as a live source would, instead of by event time
    ///
    /// Facts may then be late; --out-of-orderness says how long to wait for them. Final results are the same, unless a
    /// fact comes after its order was retired; `orderwatch explain` says what late ones changed.
    #[arg(long, help_heading = INPUT)]
    pub arrival_order: bool,
}

/// Kinds of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputKind {
    /// A directory of CSV files in the format of the Olist data set.
    Olist,
    /// JSON lines, each an event of an order.
    OrderEvents,
    /// JSON lines, each a sale.
    Sales,
}

/// Where topics are read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// Their beginning.
    #[default]
    Earliest,
    /// The first record produced at this time or later.
    At(Time),
}

impl Start {
    fn parse(text: &str) -> Result<Start, String> {
        match text {
            "earliest" => Ok(Start::Earliest),
            text => parse_instant(text).map(Start::At),
        }
    }
}

//! `orderwatch generate`: what to make, how much of it, what is to be wrong with it, and where it goes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{INPUT, OUTPUT, TIME};
use crate::config::duration::parse_duration;
use crate::generate::random::CERTAIN;
use crate::validate::number;

const FAULTS: &str = "Faults";

const OLIST_EXAMPLES: &str = "\
Examples:
  A shop of two years:
    orderwatch generate olist --count 100000 --seed 7 --to big && orderwatch replay big
  One with faults, and a count of them to hold a replay against:
    orderwatch generate olist --duplicates 1% --invalid 0.1% --to faulty && orderwatch replay faulty

Orders are sorted by purchase, so no row is late or out of order: --late and --disorder are for `generate orders` and
`generate sales`.";

const STREAM_EXAMPLES: &str = "\
Examples:
  A thousand lives within half an hour, to look at:
    orderwatch generate orders --to -
  A shop of real length (days, not seconds), replayed:
    orderwatch generate orders --count 50000 --time-scale 1440 --to shop.jsonl && orderwatch replay shop.jsonl
  Everything that can go wrong, and a count of it to hold a replay against:
    orderwatch generate orders --late 5% --duplicates 1% --invalid 0.1% --disorder 10m --to faulty.jsonl
  Twenty orders a second for a minute, as they happen, for a pipe and a compressed file:
    orderwatch generate sales --rate 20 --duration 60s --to - --to sales.jsonl.zst | orderwatch replay - --as sales

  Orders as they happen, into a topic:
    orderwatch generate orders --rate 20 --to kafka://localhost:9092/olist.orders

An order is placed, confirmed after 10-30 s, processed 15-45 s later, shipped 20-60 s later and delivered 1-5 min later.
Of 100 orders 5 are cancelled on the way, 2 are never paid and 1 is lost. --time-scale 1440 turns every second into 24
minutes: confirmed after 4-12 h, processed 6-18 h later, shipped 8-24 h later, delivered 1-5 d later.";

/// What to generate.
#[derive(Debug, Subcommand)]
pub enum Generate {
    /// A directory in the Kaggle format of Olist, sorted by purchase
    Olist(GenerateOlist),
    /// Order events as JSON lines: a line for everything that happens to an order, items and payments included
    #[command(after_help = STREAM_EXAMPLES)]
    Orders(GenerateStream),
    /// Sales as JSON lines: orders of one product each, a line for every status one reaches
    #[command(after_help = STREAM_EXAMPLES)]
    Sales(GenerateStream),
}

/// `orderwatch generate olist`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
#[command(after_help = OLIST_EXAMPLES)]
pub struct GenerateOlist {
    /// Orders to make
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..), help_heading = OUTPUT)]
    pub count: u64,
    /// Where chance starts: the same seed makes the same files
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = OUTPUT)]
    pub seed: u64,
    /// Write this share of the rows of orders, items and payments twice
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_percentage, help_heading = FAULTS)]
    pub duplicates: u64,
    /// After this share of these rows write a broken copy, each of another kind; the rows themselves stay whole
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_percentage, help_heading = FAULTS)]
    pub invalid: u64,
    /// Directory to write; made where it is missing, files of these names are replaced; repeat for several, which get the same
    #[arg(long, value_name = "DIR", required = true, help_heading = OUTPUT)]
    pub to: Vec<PathBuf>,
}

/// `orderwatch generate orders` and `orderwatch generate sales`.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct GenerateStream {
    /// Orders to make, as fast as the targets take them
    ///
    /// They are placed from 2020-01-01 on, one every second times --time-scale; more densely where they would not fit into
    /// five years. All live to their end. The same flags make the same bytes, on any machine.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=COUNT_MAX), help_heading = INPUT)]
    pub count: u64,
    /// Place N orders a second, as time passes, instead of --count at once
    ///
    /// Lines carry the time of this machine and are written when they happen. Orders that still live at the end of
    /// --duration stay unfinished. Decimals are allowed: 0.5 is an order every two seconds.
    #[arg(long, value_name = "N", value_parser = parse_rate, conflicts_with = "count", help_heading = INPUT)]
    pub rate: Option<u64>,
    /// How long to go on with --rate, as in 90s or 2h [default: until Ctrl-C]
    ///
    /// Not with --count, which says itself where it ends.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, requires = "rate", conflicts_with = "count", help_heading = INPUT)]
    pub duration: Option<u64>,
    /// Where chance starts: another seed makes other orders
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = INPUT)]
    pub seed: u64,
    /// Stretch lives N times: 1440 makes of every second 24 minutes, so that orders take days
    ///
    /// With --count the time between two orders is stretched as well.
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_time_scale, help_heading = TIME)]
    pub time_scale: u64,
    /// Write this share of the lines 6 to 30 minutes after their time, and after a newer one
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_percentage, help_heading = FAULTS)]
    pub late: u64,
    /// Write this share of the lines twice, the copy at once or up to 10 minutes later
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_percentage, help_heading = FAULTS)]
    pub duplicates: u64,
    /// After this share of the lines write a broken copy, each of another kind; the lines themselves stay whole
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_percentage, help_heading = FAULTS)]
    pub invalid: u64,
    /// Shuffle lines, none of which comes after one that is newer by this or more
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = parse_duration, help_heading = FAULTS)]
    pub disorder: u64,
    /// A file .jsonl, .jsonl.gz or .jsonl.zst, a directory, `-` (standard output) or kafka://BROKERS/TOPIC; repeatable
    ///
    /// In a directory, one that is there or whose name ends in `/`, the file is orders.jsonl or sales.jsonl. A file that is
    /// there is replaced.
    #[arg(long, value_name = "FILE", required = true, help_heading = OUTPUT)]
    pub to: Vec<PathBuf>,
    /// Show neither progress nor statistics
    #[arg(long, help_heading = OUTPUT)]
    pub no_console: bool,
}

/// Most orders the arithmetic carries.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// Rates and scales are kept in ten-thousandths.
pub const DECIMAL_UNIT: u64 = 10_000;

fn parse_rate(text: &str) -> Result<u64, String> {
    parse_decimal(text, 1, 1_000_000 * DECIMAL_UNIT)
        .ok_or_else(|| format!("`{text}` is no rate: write orders a second from 0.0001 to 1000000"))
}

/// The rate of a live job, which numbers what happens by the millisecond.
pub(super) fn parse_live_rate(text: &str) -> Result<u64, String> {
    parse_decimal(text, 1, 10_000 * DECIMAL_UNIT)
        .ok_or_else(|| format!("`{text}` is no rate: write orders a second from 0.0001 to 10000"))
}

fn parse_time_scale(text: &str) -> Result<u64, String> {
    parse_decimal(text, DECIMAL_UNIT / 100, 10_000 * DECIMAL_UNIT)
        .ok_or_else(|| format!("`{text}` is no scale: write a number from 0.01 to 10000"))
}

/// A share in parts of [`CERTAIN`].
fn parse_percentage(text: &str) -> Result<u64, String> {
    let parts = text.strip_suffix('%').and_then(|number| parse_decimal(number, 0, 100 * DECIMAL_UNIT));
    match parts {
        Some(parts) if parts.is_multiple_of(100 * DECIMAL_UNIT / CERTAIN) => Ok(parts / (100 * DECIMAL_UNIT / CERTAIN)),
        _ => Err(format!("`{text}` is no percentage: write 5% or 0.1%, with at most three decimals")),
    }
}

fn parse_decimal(text: &str, least: u64, most: u64) -> Option<u64> {
    let parsed = number::money(text.as_bytes()).and_then(|number| u64::try_from(number.0).ok());
    parsed.filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rates_and_scales_are_exact() {
        assert_eq!(["5%", "0.1%", "0.001%", "100%", "0%"].map(parse_percentage), [5_000, 100, 1, 100_000, 0].map(Ok));
        for wrong in ["5", "101%", "-1%", "0.0001%", "%", "five%"] {
            assert!(parse_percentage(wrong).is_err(), "{wrong}");
        }
        assert_eq!((parse_rate("0.5"), parse_time_scale("1440")), (Ok(5_000), Ok(14_400_000)));
        assert!(parse_rate("0").is_err() && parse_rate("-1").is_err() && parse_time_scale("100000").is_err());
    }
}

//! The arguments of `orderwatch query`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use super::{INPUT, OUTPUT, OutputFormat};

const EXAMPLES: &str = "\
Examples:
  What happened last?
    orderwatch query latest results.sqlite
  Which promises are broken, and not yet kept?
    orderwatch query breaches results.sqlite --open
  How far did the orders of each hour come?
    orderwatch query funnel results --window hour --tenant '*'
  For another program:
    orderwatch query orders results --status SHIPPED --output json

RESULTS is what a replay wrote: FILE of --sqlite FILE, or DIR of --out DIR. Newest come first.";

/// `orderwatch query`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Query {
    /// What to show
    #[arg(value_enum, value_name = "WHAT")]
    pub question: Question,
    /// Results of a replay: a SQLite file, or a directory of files
    #[arg(value_name = "RESULTS")]
    pub results: PathBuf,
    /// Rows to show
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..), help_heading = OUTPUT)]
    pub limit: u32,
    /// Only those of this tenant; `*` is the sum of all
    #[arg(long, value_name = "TENANT", help_heading = INPUT)]
    pub tenant: Option<String>,
    /// Only those of the order with this id
    #[arg(long, value_name = "ORDER_ID", help_heading = INPUT)]
    pub order: Option<String>,
    /// Only those with this status; of a breach, the order's status when it was due
    #[arg(long, value_name = "STATUS", ignore_case = true, help_heading = INPUT,
        value_parser = PossibleValuesParser::new(["UNPLACED", "ORDER", "PROCESSING", "SHIPPED", "DELIVERED", "CANCELLED"]))]
    pub status: Option<String>,
    /// Of funnel, gmv and payments, only those of windows of this length [default: total]
    #[arg(long, value_name = "WINDOW", help_heading = INPUT,
        value_parser = PossibleValuesParser::new(["minute", "hour", "day", "total"]))]
    pub window: Option<String>,
    /// Only breaches that are not resolved
    #[arg(long, help_heading = INPUT)]
    pub open: bool,
    /// How rows are written: a table, or a JSON array
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", help_heading = OUTPUT)]
    pub output: OutputFormat,
}

/// What can be asked of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Question {
    /// What happened last: events of orders and breaches.
    Latest,
    /// Broken promises, those due last first.
    Breaches,
    /// How far orders came.
    Funnel,
    /// Sales.
    Gmv,
    /// Payments by means.
    Payments,
    /// Orders, those placed last first.
    Orders,
}

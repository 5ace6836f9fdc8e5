//! The command line: commands, flags, and the help that teaches them.
//!
//! Flags that have a key in the configuration stay text here and become its last layer ([`JobFlags::layer`]), so each is
//! checked in one place whatever layer it came from. Invariant: parsing reads no file and no environment.

/// Makes flags that have a key in the configuration, and their layer of it, from one table.
macro_rules! configuration_flags {
    (
        $(#[$meaning:meta])*
        pub struct $name:ident;
        $($(#[$attribute:meta])* $field:ident: $flag:literal => $key:literal,)*
    ) => {
        $(#[$meaning])*
        #[derive(clap::Args, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$attribute])* pub $field: Option<String>,)*
        }

        impl $name {
            /// Their layer of the configuration: those that were given.
            pub fn layer(&self) -> Vec<crate::config::Flag> {
                let all = [$(($key, $flag, &self.$field)),*];
                let given = |(key, flag, text): (_, _, &Option<String>)| {
                    Some(crate::config::Flag { key, flag, text: text.clone()? })
                };
                all.into_iter().filter_map(given).collect()
            }
        }

        impl std::fmt::Debug for $name {
            // Without their values, which may be passwords.
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.debug_list().entries(self.layer()).finish()
            }
        }
    };
}

mod check;
mod checkpoint;
mod explain;
mod generate;
mod output;
mod query;
mod reading;
mod replay;
mod run;
mod topics;

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use check::{Check, LiveFlags};
pub use checkpoint::{Checkpoint, StoredCheckpoints};
pub use explain::Explain;
pub use generate::{DECIMAL_UNIT, Generate, GenerateOlist, GenerateStream};
pub use output::OutputFormat;
pub use query::{Query, Question};
pub use reading::{InputKind, Reading, Start};
pub use replay::{Replay, ReplayFlags, ReplayOptions};
pub use run::{LiveStart, Run, RunFlags, RunOptions};
pub use topics::{CreateTopics, KafkaFlags, ListTopics, Retention, Topics};

/// Where a replay reads when no input is named.
pub const DEFAULT_INPUT: &str = "data/sample";

const JOB: &str = "Job";
const CLUSTER: &str = "Cluster";
const TIME: &str = "Time";
const ORDERS: &str = "Orders";
const INPUT: &str = "Input";
const OUTPUT: &str = "Output";
const GENERAL: &str = "General";

const EXAMPLES: &str = "\
Examples:
  The sample in data/sample, totals on the console:
    orderwatch replay
  Every collection as a CSV file, on two threads:
    orderwatch replay data/olist --out results -w 2
  Why is this order late?
    orderwatch explain ORD-001234 --input events.jsonl
  Will a long replay, or a live job, find all it needs?
    orderwatch check data/olist --out results
    orderwatch check --kafka localhost:9092 --postgres postgresql://shop@localhost/shop
  Every collection as a table for SQL, then the last broken promises:
    orderwatch replay data/olist --sqlite results.sqlite
    orderwatch query breaches results.sqlite --limit 5
  A synthetic shop in the Kaggle format of Olist:
    orderwatch generate olist --count 100000 --to big
  Order events with every fault that there is, to try a tool on:
    orderwatch generate orders --late 5% --duplicates 1% --invalid 1% --to faulty.jsonl
  The topics of a Kafka broker:
    orderwatch topics list --kafka localhost:9092
  Completions for this shell:
    source <(orderwatch completions bash)

`orderwatch COMMAND --help` shows more examples and explains every flag; -h is the short form. Read on in README.md
(what it does), docs/operations.md (every error and its cure), docs/validation.md (why records are refused) and
config/default.toml (every setting and its reason).

Configuration, later wins: built-in default, -c FILE, environment
(ORDERWATCH__SECTION__KEY, as in ORDERWATCH__TIME__TICK=1m), flags.

Exit codes: 0 done, 1 the job failed, 2 usage or configuration, 130 after Ctrl-C.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  bash, for now:       source <(orderwatch completions bash)
  bash, for good:      orderwatch completions bash > ~/.local/share/bash-completion/completions/orderwatch
  zsh, for good:       orderwatch completions zsh > \"${fpath[1]}/_orderwatch\"
  fish, for good:      orderwatch completions fish > ~/.config/fish/completions/orderwatch.fish";

const REPLAY_EXAMPLES: &str = "\
Examples:
  Two inputs of different kinds, results as files:
    orderwatch replay data/olist events.jsonl --out results
  As things stood at midnight UTC:
    orderwatch replay data/olist --until 2018-01-01
  With promises of your own:
    orderwatch replay data/olist --sla-rules rules.toml
  Into Kafka and back:
    orderwatch replay data/sample --produce localhost:9092
    orderwatch replay kafka://localhost:9092/olist.orders,olist.order_items,olist.payments
  From another program, a hundred thousand times faster than it happened:
    zstdcat events.zst | orderwatch replay - --speed 100000

Durations are a whole number and a unit: 500ms, 90s, 15m, 36h, 7d.";

/// Watches every order of a shop from placement to delivery.
#[derive(Debug, Parser)]
#[command(name = "orderwatch", version, after_help = EXAMPLES, arg_required_else_help = true, propagate_version = true)]
#[command(subcommand_required = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub general: General,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = GENERAL)]
pub struct General {
    /// Configuration file, in TOML, or in YAML where it ends in .yaml or .yml
    ///
    /// It holds only what differs from the built-in default (config/default.toml, where every key stands with its
    /// reason). A key that is not there is refused.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Log more; repeat for still more
    ///
    /// -v: what the job does; -vv: how; -vvv: every step. Without it, warnings and errors.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Append the log to FILE instead of standard error
    ///
    /// It holds at most 64 MiB; then it becomes FILE.1 and a new one is begun. Errors go to standard error all the same.
    #[arg(long, global = true, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// How the log is written
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// When to colour the console and the log
    ///
    /// `auto` colours on a terminal, unless the environment variable NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColorChoice,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay history through the very same dataflow as live
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(Box<Replay>),
    /// Run live: watch topics of Kafka, tell breaches as they happen, keep sinks up to date
    Run(Box<Run>),
    /// Show, inspect or remove the checkpoints of a live job or of a paced replay
    #[command(subcommand)]
    Checkpoint(Checkpoint),
    /// Explain one order: where it stands, why, and on which lines that is written
    Explain(Box<Explain>),
    /// Check configuration, inputs and outputs of a replay or a live job: a line each, and what to do where one fails
    Check(Box<Check>),
    /// Show results of a replay: the latest events, breaches, funnel, sales, payments, orders
    Query(Query),
    /// Make synthetic input, the same for the same seed
    #[command(subcommand)]
    Generate(Generate),
    /// Show and create the topics of a Kafka broker
    #[command(subcommand)]
    Topics(Topics),
    /// Write the completions of a shell to standard output
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        #[arg(value_enum, value_name = "SHELL")]
        shell: clap_complete::Shell,
    },
}

configuration_flags! {
    /// Flags with a key in the configuration: the text given, checked when the configuration is resolved.
    pub struct JobFlags;
    /// Worker threads of each process [default: 1]
    ///
    /// Results never depend on it.
    #[arg(short, long, value_name = "N", help_heading = CLUSTER)]
    workers: "--workers" => "job.workers",
    /// Processes of the cluster [default: 1]
    ///
    /// Start each with the same command and its own --process.
    #[arg(short = 'n', long, value_name = "N", help_heading = CLUSTER)]
    processes: "--processes" => "cluster.processes",
    /// Number of this process, from 0 [default: 0]
    #[arg(short, long, value_name = "I", help_heading = CLUSTER)]
    process: "--process" => "cluster.process",
    /// File with the host:port of each process, one a line [default: localhost from port 2101 on]
    #[arg(long, value_name = "FILE", help_heading = CLUSTER)]
    hostfile: "--hostfile" => "cluster.hostfile",
    /// Identity of the job [default: orderwatch]
    #[arg(long, value_name = "NAME", help_heading = JOB)]
    job: "--job" => "job.name",
    /// What to do with events out of turn, such as a delivery before shipping [default: lenient]
    ///
    /// `lenient` applies and reports them, because carriers skip scans and shops stamp approvals late; `strict` ignores
    /// and reports them.
    #[arg(long, value_name = "MODE", value_parser = PossibleValuesParser::new(["lenient", "strict"]), help_heading = JOB)]
    transitions: "--transitions" => "job.transitions",
    /// How orders are computed; results are equal [default: fused]
    ///
    /// `fused` keeps each order's state in one operator: fast, in bounded memory. `relational` is plain differential
    /// collections that forget nothing: the executable specification.
    #[arg(long, value_name = "PLAN", value_parser = PossibleValuesParser::new(["fused", "relational"]), help_heading = JOB)]
    plan: "--plan" => "job.plan",
    /// Windows kept: some of minute,hour,day,total [default: all]
    #[arg(long, value_name = "LIST", help_heading = JOB)]
    windows: "--windows" => "job.windows",
    /// TOML file of SLA rules, which add to the defaults or replace them [default: processing 24h, shipping 3d, delivery 7d]
    #[arg(long, value_name = "FILE", help_heading = JOB)]
    sla_rules: "--sla-rules" => "job.sla_rules",
    /// Write values of topics in Avro instead of JSON, and read them so where they do not say how they are written
    ///
    /// With --schema-registry in Confluent's wire format, each value naming its schema; without, as bare values by the schemas
    /// in docs/schemas.
    #[arg(long, value_name = "json|avro", num_args = 0..=1, require_equals = true, default_missing_value = "avro", help_heading = INPUT)]
    avro: "--avro" => "kafka.format",
    /// Schema registry: https://USER:PASSWORD@HOST:PORT/PATH or less; values in Avro that name their schema are read by it
    #[arg(long, value_name = "URL", help_heading = INPUT)]
    schema_registry: "--schema-registry" => "kafka.schema_registry",
    /// Memory for inputs that are not in the order of time, such as 512M or 2G; beyond it TMPDIR is used [default: 1G]
    ///
    /// Of each process, for all its threads and inputs. A quarter as much again holds rows for --out, --sqlite and --postgres
    /// until they are written, beyond it TMPDIR does. Results never depend on it.
    #[arg(long, value_name = "SIZE", help_heading = INPUT)]
    sort_memory: "--sort-memory" => "input.sort_memory",
    /// How much longer alerts wait than counts [default: 0s, of a live job 5s]
    #[arg(long, value_name = "DURATION", help_heading = TIME)]
    grace: "--grace" => "time.grace",
    /// How far the watermark stays behind the largest timestamp read, with --arrival-order or live [default: 0s]
    #[arg(long, value_name = "DURATION", help_heading = TIME)]
    out_of_orderness: "--out-of-orderness" => "time.out_of_orderness",
    /// Grid of event time on which aggregates change; at least 1ms [default: 1m, of a live job 50ms]
    ///
    /// A finer one costs speed, a coarser one hides detail in between; final results are the same.
    #[arg(long, value_name = "DURATION", help_heading = TIME)]
    tick: "--tick" => "time.tick",
    /// From placement to drop-off of an order without items or payment [default: 24h]
    #[arg(long, value_name = "DURATION", help_heading = ORDERS)]
    abandon_after: "--abandon-after" => "orders.abandon_after",
    /// How long a delivered or cancelled order lives after its last fact [default: 30d]
    #[arg(long, value_name = "DURATION", help_heading = ORDERS)]
    retention: "--retention" => "orders.retention",
    /// How long an unfinished order lives after its last fact before it is stalled [default: 365d]
    ///
    /// Not shorter than the longest SLA or --abandon-after.
    #[arg(long, value_name = "DURATION", help_heading = ORDERS)]
    max_age: "--max-age" => "orders.max_age",
    /// How long the trace of a retired order refuses further facts for it [default: 365d]
    #[arg(long, value_name = "DURATION", help_heading = ORDERS)]
    horizon: "--horizon" => "orders.horizon",
}

impl Cli {
    /// The definition, for tests and completions.
    pub fn definition() -> clap::Command {
        Cli::command()
    }
}

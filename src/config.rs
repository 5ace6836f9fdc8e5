//! Configuration in layers: the built-in default, then a file, the environment, and flags; later wins.
//!
//! Two steps: layers are merged into typed values as written (`config/raw.rs`), which are then checked and resolved into
//! what the job needs (`config/resolve.rs`). Invariant: a [`JobConfig`] is valid, rules included; every refusal names
//! key, value, the place where the value was written, and what to do.

pub mod duration;
mod layer;
mod origins;
mod outputs;
mod raw;
mod resolve;
#[cfg(test)]
mod tests;
mod yaml;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::Path;

pub use dataflows::graph::Plan;
use dataflows::model::{Money, Rules};
use dataflows::settings::Settings;
use figment::Figment;
use figment::error::Kind as Mistake;
use figment::value::Value;

use crate::clock::wall_clock_ms;
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::validate::Limits;
use layer::{BUILT_IN, ENVIRONMENT_PREFIX, Layer, Schema, YAML};
pub use origins::Origins;
pub use outputs::Outputs;

/// Every key with its default and its reason.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// What a job needs to know, resolved and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobConfig {
    /// Whether it ends with its inputs.
    pub kind: Kind,
    /// Identity of the job.
    pub name: String,
    /// How orders are computed.
    pub plan: Plan,
    /// Threads and processes.
    pub cluster: Cluster,
    /// What the graph needs to know.
    pub settings: Settings,
    /// SLA rules, defaults included.
    pub rules: Rules,
    /// A fact more than this behind its watermark is counted late, in milliseconds.
    pub late_arrival_ms: u64,
    /// A timestamp more than this ahead of the wall clock is refused, in milliseconds.
    pub max_future_skew_ms: u64,
    /// How far the watermark stays behind the largest timestamp read, in milliseconds.
    pub out_of_orderness_ms: u64,
    /// How far a partition may be read ahead of the time that all have reached, in milliseconds.
    pub max_read_ahead_ms: u64,
    /// How often a live job writes a checkpoint, in milliseconds.
    pub checkpoint_interval_ms: u64,
    /// Memory of a process for facts that are being brought into order, in bytes; at least 1 MiB.
    pub sort_memory_bytes: u64,
    /// The largest price of an item that is believed.
    pub max_price: Money,
    /// How a live job treats its sinks.
    pub sink: SinkConfig,
    /// Where it writes, and where it keeps and says how far it is.
    pub outputs: Outputs,
    /// Where values were written that errors name by their flags.
    pub origins: Origins,
    /// Brokers, topics, and settings of their clients.
    pub kafka: KafkaSettings,
    /// So many files of a watched directory are picked up at once; at least 1.
    pub max_files_per_tick: usize,
}

impl JobConfig {
    /// What records are held to that are read from now on.
    pub fn limits(&self) -> Limits {
        Limits { now_ms: wall_clock_ms(), max_future_skew_ms: self.max_future_skew_ms, max_price: self.max_price }
    }
}

/// How a live job treats a sink that is slow or away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkConfig {
    /// What may wait for it in memory, in bytes; at least 1 MiB.
    pub memory_bytes: u64,
    /// What may wait besides in temporary files before the job reads no more, in bytes; none where it is 0.
    pub spill_bytes: u64,
    /// So many failures in a row open its circuit; at least 1.
    pub circuit_failures: u64,
    /// How long after a failure an open circuit is probed, in milliseconds; at least 1.
    pub circuit_probe_after_ms: u64,
}

/// Threads and processes: timely's meanings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Worker threads of each process, at least 1.
    pub workers: usize,
    /// Number of processes, at least 1.
    pub processes: usize,
    /// Number of this process, below `processes`.
    pub process: usize,
    /// `host:port` of each process; empty where there is one alone.
    pub addresses: Vec<String>,
    /// What processes of the cluster prove to each other that they know; empty: nothing.
    pub secret: Secret,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// A flag that was given and the key it sets.
#[derive(Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key, as `section.key`.
    pub key: &'static str,
    /// The flag's name, with its dashes.
    pub flag: &'static str,
    /// Its value as given.
    pub text: String,
}

impl fmt::Debug for Flag {
    // Without its value, which may be a password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.flag)
    }
}

/// What a live job takes for default where it differs from a replay.
pub const LIVE_DEFAULT: &str = include_str!("../config/live.toml");

/// The keys whose values are never shown: they may hold passwords.
const SECRETS: [&str; 4] = ["cluster.secret", "kafka.client", "kafka.schema_registry", "sink.postgres"];

/// Where brokers are named that a live job reads, or writes changelogs to.
const BROKERS: [&str; 2] = ["kafka.brokers", "sink.kafka"];

/// What is configured: which defaults hold differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A job that ends with its inputs.
    Bounded,
    /// A job that runs until it is stopped.
    Live,
}

/// Merges the layers, checks them, and reads the files they name. Where no `kind` is said, brokers that are named make it a
/// live job. `environment` is every variable there is; `read_rules` reads the file of SLA rules where one is named.
pub fn load(
    kind: impl Into<Option<Kind>>,
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
    read_rules: impl FnOnce(&Path) -> JobResult<Rules>,
) -> JobResult<JobConfig> {
    let schema = Schema::built_in(DEFAULT)?;
    let mut layers = Vec::new();
    if let Some(path) = file {
        let text = fs::read_to_string(path).map_err(|error| {
            JobError::configuration(format!("cannot read the configuration file: {error}"))
                .at(path.display().to_string())
                .remedy("name a TOML or YAML file with -c, or leave -c out")
        })?;
        layers.push(schema.file(path, &text)?);
    }
    layers.push(schema.environment(environment)?);
    layers.push(schema.flags(flags)?);
    let kind = kind.into().unwrap_or_else(|| told(&layers));
    if kind == Kind::Live {
        layers.insert(0, schema.file(Path::new("config/live.toml"), LIVE_DEFAULT)?);
    }
    Merged::new(schema, &layers).resolve(kind, read_rules)
}

/// What the layers tell of the kind.
fn told(layers: &[Layer]) -> Kind {
    let says = |key: &&str| layers.iter().rev().find_map(|layer| layer.text(key));
    let names_brokers = |text: &str| !text.is_empty() && text != outputs::NONE;
    if BROKERS.iter().filter_map(says).any(names_brokers) { Kind::Live } else { Kind::Bounded }
}

/// The environment of this process, for [`load`]; of variables that are not UTF-8 ours are refused, others are left out.
pub fn environment() -> JobResult<Vec<(String, String)>> {
    let read = |(name, value): (OsString, OsString)| {
        let shown = name.to_string_lossy().into_owned();
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => Some(Ok((name, value))),
            _ if !shown.starts_with(ENVIRONMENT_PREFIX) => None,
            // It may be a secret, so it is not shown.
            _ => Some(Err(JobError::configuration("a setting in the environment is not UTF-8")
                .at(format!("environment variable {shown}"))
                .remedy("write it in UTF-8, or unset it"))),
        }
    };
    std::env::vars_os().filter_map(read).collect()
}

/// All layers as one, still knowing which value came from where.
struct Merged {
    schema: Schema,
    figment: Figment,
}

impl Merged {
    fn new(schema: Schema, layers: &[Layer]) -> Merged {
        let figment = layers.iter().fold(Figment::from(&schema.0), Figment::merge);
        Merged { schema, figment }
    }

    fn raw(&self) -> JobResult<raw::RawConfig> {
        self.figment.extract().map_err(|error| {
            let path: Vec<&str> = error.path.iter().take(2).map(String::as_str).collect();
            let key = path.join(".");
            match self.schema.default_of(&key) {
                Some(default) => {
                    let name = path.last().copied().unwrap_or_default();
                    let is_yaml = self.figment.find_metadata(&key).is_some_and(|metadata| metadata.name == YAML);
                    let assigned = if is_yaml { ":" } else { " =" };
                    let example = format!("write it like its default, {name}{assigned} {}", show(default));
                    self.refuse(&key, &mismatch(&error.kind), example)
                }
                None => JobError::job(format!("config/default.toml does not fit this program: {error}")),
            }
        })
    }

    /// An error about the value of `key`: what it is, what is wrong with it, where it was written, what to do.
    fn refuse(&self, key: &str, wrong: &str, remedy: impl Into<String>) -> JobError {
        let value = match SECRETS.contains(&key) {
            true => "not shown".into(),
            false => self.figment.find_value(key).map_or_else(|_| "missing".into(), |value| show(&value)),
        };
        JobError::configuration(format!("{key} is {value}: {wrong}")).at(self.origin(key)).remedy(remedy)
    }

    /// Where the value of `key` was written.
    fn origin(&self, key: &str) -> String {
        let keys: Vec<&str> = key.split('.').collect();
        let metadata = self.figment.find_metadata(key);
        let origin = metadata.map(|metadata| metadata.interpolate(self.figment.profile(), &keys));
        origin.unwrap_or_else(|| BUILT_IN.into())
    }
}

/// What should have stood there; the value itself is named elsewhere.
fn mismatch(kind: &Mistake) -> String {
    match kind {
        Mistake::InvalidType(_, expected) | Mistake::InvalidValue(_, expected) if expected == "u64" => {
            "not a whole number from 0 up".into()
        }
        Mistake::InvalidType(_, expected) | Mistake::InvalidValue(_, expected) => format!("not {expected}"),
        Mistake::UnknownVariant(_, known) => format!("not one of {}", known.join(", ")),
        other => other.to_string(),
    }
}

/// A value as TOML and YAML write it.
fn show(value: &Value) -> String {
    match value {
        Value::Array(_, elements) => {
            format!("[{}]", elements.iter().map(show).collect::<Vec<_>>().join(", "))
        }
        value => serde_json::to_string(value).unwrap_or_else(|_| "unreadable".into()),
    }
}

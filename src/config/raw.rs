//! The configuration as written: typed, every key present, nothing interpreted yet. `config/default.toml` says what
//! each key means; fields here have the same names.
//!
//! Invariant: the fields are exactly the keys of the default (a test compares them), and unknown ones are refused.

use std::collections::BTreeMap;

use dataflows::settings::Transitions;
use figment::value::Value;
use serde::Deserialize;

use super::Plan;
use crate::kafka::Format;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) job: RawJob,
    pub(super) cluster: RawCluster,
    pub(super) input: RawInput,
    pub(super) time: RawTime,
    pub(super) orders: RawOrders,
    pub(super) sink: RawSink,
    pub(super) validation: RawValidation,
    pub(super) checkpoint: RawCheckpoint,
    pub(super) serve: RawServe,
    pub(super) kafka: RawKafka,
    pub(super) watch: RawWatch,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    pub(super) max_files_per_tick: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJob {
    pub(super) name: String,
    pub(super) workers: u64,
    pub(super) transitions: Transitions,
    pub(super) plan: Plan,
    pub(super) windows: Vec<String>,
    pub(super) sla_rules: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub(super) processes: u64,
    pub(super) process: u64,
    pub(super) hostfile: String,
    pub(super) secret: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawInput {
    pub(super) sort_memory: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTime {
    pub(super) grace: String,
    pub(super) tick: String,
    pub(super) late_arrival: String,
    pub(super) max_future_skew: String,
    pub(super) out_of_orderness: String,
    pub(super) max_read_ahead: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCheckpoint {
    pub(super) interval: String,
    pub(super) store: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawServe {
    pub(super) address: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawOrders {
    pub(super) abandon_after: String,
    pub(super) expect_payments: bool,
    pub(super) retention: String,
    pub(super) max_age: String,
    pub(super) horizon: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSink {
    pub(super) memory: String,
    pub(super) spill: String,
    pub(super) circuit_failures: u64,
    pub(super) circuit_probe_after: String,
    pub(super) postgres: String,
    pub(super) sqlite: String,
    pub(super) kafka: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawValidation {
    pub(super) max_price: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKafka {
    pub(super) brokers: String,
    pub(super) topics: Vec<String>,
    pub(super) client: BTreeMap<String, Value>,
    pub(super) format: Format,
    pub(super) schema_registry: String,
}

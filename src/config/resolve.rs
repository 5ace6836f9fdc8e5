//! From values as written to what the job needs: durations to milliseconds, names to types, and every bound checked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use dataflows::model::{Money, Rules};
use dataflows::settings::Settings;
use dataflows::time::{DAY_MS, Window};
use figment::value::Value;

use super::duration::{format_duration, parse_duration};
use super::raw::{RawCluster, RawConfig, RawKafka, RawSink};
use super::{Cluster, JobConfig, Kind, Merged, Origins, Secret, SinkConfig};
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::registry::RegistryAddress;

/// No duration may be longer: a century of milliseconds added to any time does not overflow.
const DURATION_MS_MAX: u64 = 36_525 * DAY_MS;
/// Less would make more runs of facts being sorted than memory is saved, and hold less than one busy moment of a sink.
const MEMORY_BYTES_MIN: u64 = 1 << 20;
/// More threads or processes than this are a slip of the finger.
const WORKERS_MAX: u64 = 1024;
/// Longest name of a job, in bytes.
const NAME_LENGTH_MAX: usize = 64;
/// Longest name of a topic, in bytes: Kafka's own limit.
const TOPIC_LENGTH_MAX: usize = 249;
/// Port of process 0 where no hostfile is given; the others follow.
const FIRST_PORT: u64 = 2101;

impl Merged {
    /// Checks everything and resolves it.
    pub(super) fn resolve(
        &self,
        kind: Kind,
        read_rules: impl FnOnce(&Path) -> JobResult<Rules>,
    ) -> JobResult<JobConfig> {
        let raw = self.raw()?;
        let duration = |key, text: &str| self.duration(key, text);
        let settings = Settings {
            transitions: raw.job.transitions,
            grace_ms: duration("time.grace", &raw.time.grace)?,
            tick_ms: self.not_zero("time.tick", &raw.time.tick, "aggregates need a grid to change on")?,
            abandon_after_ms: duration("orders.abandon_after", &raw.orders.abandon_after)?,
            expect_payments: raw.orders.expect_payments,
            retention_ms: duration("orders.retention", &raw.orders.retention)?,
            max_age_ms: duration("orders.max_age", &raw.orders.max_age)?,
            horizon_ms: duration("orders.horizon", &raw.orders.horizon)?,
            windows: self.windows(&raw.job.windows)?,
        };
        let late_arrival_ms = duration("time.late_arrival", &raw.time.late_arrival)?;
        let max_future_skew_ms = duration("time.max_future_skew", &raw.time.max_future_skew)?;
        let out_of_orderness_ms = duration("time.out_of_orderness", &raw.time.out_of_orderness)?;
        let max_read_ahead_ms = duration("time.max_read_ahead", &raw.time.max_read_ahead)?;
        let checkpoint_interval_ms =
            self.not_zero("checkpoint.interval", &raw.checkpoint.interval, "nothing but checkpoints would be written")?;
        let sort_memory_bytes = self.memory_bytes("input.sort_memory", &raw.input.sort_memory)?;
        let max_price = self.max_price(&raw.validation.max_price)?;
        let sink = self.sink(&raw.sink)?;
        let name = self.name(&raw)?;
        let cluster = self.cluster(raw.job.workers, &raw.cluster)?;
        let outputs = self.outputs(kind, &raw, &cluster)?;
        let kafka = self.kafka(raw.kafka, &name)?;
        let rules = match raw.job.sla_rules.as_str() {
            "" => Rules::default(),
            path => read_rules(Path::new(path))?,
        };
        self.check_max_age(&settings, &rules)?;
        let max_files_per_tick = match usize::try_from(raw.watch.max_files_per_tick) {
            Ok(files @ 1..) => files,
            _ => return Err(self.refuse("watch.max_files_per_tick", "no file would ever be read", "give at least 1")),
        };
        Ok(JobConfig {
            kind,
            name,
            plan: raw.job.plan,
            cluster,
            settings,
            rules,
            late_arrival_ms,
            max_future_skew_ms,
            out_of_orderness_ms,
            max_read_ahead_ms,
            checkpoint_interval_ms,
            sort_memory_bytes,
            max_price,
            sink,
            outputs,
            origins: Origins::of(self),
            kafka,
            max_files_per_tick,
        })
    }

    fn sink(&self, raw: &RawSink) -> JobResult<SinkConfig> {
        let memory_bytes = self.memory_bytes("sink.memory", &raw.memory)?;
        let spill_bytes = match raw.spill.as_str() {
            "0" => 0,
            size => self.memory_bytes("sink.spill", size)?,
        };
        let circuit_probe_after_ms = self.duration("sink.circuit_probe_after", &raw.circuit_probe_after)?;
        let circuit_failures = raw.circuit_failures;
        for (key, value) in
            [("sink.circuit_failures", circuit_failures), ("sink.circuit_probe_after", circuit_probe_after_ms)]
        {
            if value == 0 {
                return Err(self.refuse(key, "a sink would never be tried in between", "give at least 1, or 1ms"));
            }
        }
        Ok(SinkConfig { memory_bytes, spill_bytes, circuit_failures, circuit_probe_after_ms })
    }

    fn duration(&self, key: &str, text: &str) -> JobResult<u64> {
        const REMEDY: &str = "write a whole number and a unit, as in 500ms, 90s, 15m, 36h or 7d";
        match parse_duration(text) {
            Ok(milliseconds) if milliseconds <= DURATION_MS_MAX => Ok(milliseconds),
            Ok(_) => Err(self.refuse(
                key,
                "longer than a century",
                format!("give at most {}", format_duration(DURATION_MS_MAX)),
            )),
            Err(_) => Err(self.refuse(key, "no duration", REMEDY)),
        }
    }

    fn memory_bytes(&self, key: &str, text: &str) -> JobResult<u64> {
        let bytes = ["K", "M", "G", "T"].iter().zip(1..).find_map(|(unit, power)| {
            let digits = text.strip_suffix(unit).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
        });
        match bytes {
            Some(bytes) if bytes >= MEMORY_BYTES_MIN => Ok(bytes),
            Some(_) => Err(self.refuse(key, "too little memory", "give at least 1M")),
            None => {
                let remedy = "write a whole number and a unit of bytes, as in 256M or 2G";
                Err(self.refuse(key, "no size", remedy))
            }
        }
    }

    fn not_zero(&self, key: &str, text: &str, otherwise: &str) -> JobResult<u64> {
        match self.duration(key, text)? {
            0 => Err(self.refuse(key, otherwise, "give at least 1ms")),
            milliseconds => Ok(milliseconds),
        }
    }

    fn windows(&self, names: &[String]) -> JobResult<Vec<Window>> {
        let refuse = |wrong: &str, remedy: String| Err(self.refuse("job.windows", wrong, remedy));
        let mut windows = BTreeSet::new();
        for name in names {
            let Some(window) = Window::ALL.into_iter().find(|window| window.name() == name) else {
                let likeness = |window: &Window| (strsim::jaro_winkler(window.name(), name) * 1e6) as u64;
                let nearest = Window::ALL.into_iter().max_by_key(likeness).filter(|window| likeness(window) > 700_000);
                let hint = nearest.map_or(String::new(), |window| format!("; did you mean {}?", window.name()));
                return refuse(&format!("`{name}` is no window"), format!("choose of minute, hour, day, total{hint}"));
            };
            if !windows.insert(window) {
                return refuse(&format!("`{name}` is named twice"), "name each window once".into());
            }
        }
        if windows.is_empty() {
            return refuse("no window is kept", "name at least one of minute, hour, day, total".into());
        }
        Ok(windows.into_iter().collect())
    }

    fn max_price(&self, text: &str) -> JobResult<Money> {
        let remedy = "write an amount above 0 and below 100000000000 with at most 4 places, as in \"10000.00\"";
        match parse_amount(text) {
            Some(price) if price > Money::ZERO => Ok(price),
            _ => Err(self.refuse("validation.max_price", "no price", remedy)),
        }
    }

    fn name(&self, raw: &RawConfig) -> JobResult<String> {
        let name = &raw.job.name;
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if matches!(name.as_str(), "." | "..") {
            return Err(self.refuse("job.name", "a directory, no name for a job", "use a letter or a digit, too"));
        }
        if (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(is_legal) {
            return Ok(name.clone());
        }
        Err(self.refuse("job.name", "no name for a job", "use 1 to 64 of A-Z a-z 0-9 . _ -"))
    }

    fn kafka(&self, raw: RawKafka, job: &str) -> JobResult<KafkaSettings> {
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        for topic in &raw.topics {
            if topic.is_empty() || topic.len() > TOPIC_LENGTH_MAX || !topic.bytes().all(is_legal) {
                let remedy = "use 1 to 249 of A-Z a-z 0-9 . _ -, and separate topics by commas";
                return Err(self.refuse("kafka.topics", &format!("`{topic}` is no name of a topic"), remedy));
            }
        }
        // Tools that show lag know the job by its name.
        let mut client: BTreeMap<String, String> = [("group.id".to_owned(), job.to_owned())].into();
        for (setting, value) in raw.client {
            let text = match &value {
                Value::String(_, text) => Some(text.clone()),
                Value::Bool(_, truth) => Some(truth.to_string()),
                value => value.to_i128().map(|number| number.to_string()),
            };
            // It may be a secret, so it is not shown.
            let wrong = || {
                let error =
                    JobError::configuration(format!("kafka.client.\"{setting}\" is no text, number or truth value"));
                error.at("section [kafka.client]").remedy("write names in quotes: \"sasl.username\" = \"…\"")
            };
            client.insert(setting.clone(), text.ok_or_else(wrong)?);
        }
        let registry = match raw.schema_registry.as_str() {
            "" => None,
            // It may hold a password, so it is not shown.
            address => Some(RegistryAddress::parse(address).ok_or_else(|| {
                let error = JobError::configuration("kafka.schema_registry is no address of a schema registry");
                error.at("kafka.schema_registry").remedy("write http://HOST:PORT/PATH, or https://USER:PASSWORD@HOST")
            })?),
        };
        Ok(KafkaSettings { brokers: raw.brokers, topics: raw.topics, client, format: raw.format, registry })
    }

    fn cluster(&self, workers: u64, raw: &RawCluster) -> JobResult<Cluster> {
        if workers == 0 || workers > WORKERS_MAX {
            let remedy = format!("give 1 to {WORKERS_MAX} threads (-w), or leave it out for one");
            return Err(self.refuse("job.workers", "not a number of worker threads", remedy));
        }
        let processes = raw.processes;
        if processes == 0 || processes > WORKERS_MAX {
            let remedy = format!("give 1 to {WORKERS_MAX} processes (-n), or leave it out for one");
            return Err(self.refuse("cluster.processes", "not a number of processes", remedy));
        }
        if raw.process >= processes {
            let wrong = format!("there is no such process, of {processes} in all");
            let remedy = match processes {
                1 => "say with -n how many processes there are, or leave -p out".into(),
                _ => format!("give each process its own number (-p) from 0 to {}", processes - 1),
            };
            return Err(self.refuse("cluster.process", &wrong, remedy));
        }
        let addresses = match (processes, raw.hostfile.as_str()) {
            (1, "") => Vec::new(),
            (1, _) => {
                let remedy = "say with -n how many processes there are, or leave the hostfile out";
                return Err(self.refuse("cluster.hostfile", "one process alone has no cluster", remedy));
            }
            (_, "") => (0..processes).map(|process| format!("localhost:{}", FIRST_PORT + process)).collect(),
            (_, path) => self.hosts(Path::new(path), processes as usize)?,
        };
        Ok(Cluster {
            workers: workers as usize,
            processes: processes as usize,
            process: raw.process as usize,
            addresses,
            secret: Secret(raw.secret.clone()),
        })
    }

    fn hosts(&self, path: &Path, processes: usize) -> JobResult<Vec<String>> {
        let text = fs::read_to_string(path).map_err(|error| {
            let remedy = "name a file with the host:port of each process, one a line";
            self.refuse("cluster.hostfile", &format!("cannot be read: {error}"), remedy)
        })?;
        let mut hosts = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let host = line.trim();
            if host.is_empty() {
                continue;
            }
            let place = format!("{}:{}", path.display(), index + 1);
            if !is_address(host) {
                let error = JobError::configuration(format!("`{host}` is no address")).at(place);
                return Err(error.remedy("write host:port, as in localhost:2101"));
            }
            if hosts.iter().any(|known| known == host) {
                let error = JobError::configuration(format!("`{host}` is the address of two processes")).at(place);
                return Err(error.remedy("give each process an address of its own"));
            }
            hosts.push(host.to_owned());
        }
        if hosts.len() != processes {
            let wrong = format!("it has {} addresses, there are {processes} processes", hosts.len());
            let remedy = "write one host:port a line for each process, or mend -n";
            return Err(self.refuse("cluster.hostfile", &wrong, remedy));
        }
        Ok(hosts)
    }

    fn check_max_age(&self, settings: &Settings, rules: &Rules) -> JobResult<()> {
        let longest_sla_ms = rules.longest_ms();
        for (bound_ms, name) in
            [(longest_sla_ms, "the longest SLA"), (settings.abandon_after_ms, "orders.abandon_after")]
        {
            if settings.max_age_ms < bound_ms {
                let bound = format_duration(bound_ms);
                let wrong = format!("shorter than {name}, {bound}, which then could never come due");
                let remedy = format!("raise it (--max-age) to at least {bound}, or shorten {name}");
                return Err(self.refuse("orders.max_age", &wrong, remedy));
            }
        }
        Ok(())
    }
}

/// True for `host:port`.
fn is_address(text: &str) -> bool {
    let is_host = |host: &str| !host.is_empty() && !host.contains(char::is_whitespace);
    text.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Digits with up to four places, below 10^11.
fn parse_amount(text: &str) -> Option<Money> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |digits: &str, longest| {
        (1..=longest).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_digits(whole, 11) && is_digits(fraction, 4))
        .then(|| format!("{whole}{fraction:0<4}").parse().ok().map(Money))?
}

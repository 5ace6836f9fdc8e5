//! `orderwatch replay --produce`: history sent into topics, in the order and at the pace in which it happened.
//!
//! ```text
//!  inputs ─► publications (source/published.rs) ─► sorted by time, in runs ─► paced ─► Sender ─► topics
//! ```
//!
//! Invariant: everything is sent once or the job ends with an error; each order's records keep their order, for they
//! share its id as their key. Memory is bounded by `--sort-memory`; beyond it the temporary directory is used.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use serde_json::json;

use crate::cli::{OutputFormat, ReplayOptions};
use crate::clock::{ReplayClock, Speed};
use crate::config::JobConfig;
use crate::console::{Progress, ProgressNow, per_second, print};
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::kafka::KafkaSettings;
use crate::kafka::sender::{Sender, Sent};
use crate::runs::{Merge, Runs};
use crate::source::published::{Publication, TopicKind, joined, of_input};

/// How long is slept at once while time passes.
const NAP: Duration = Duration::from_millis(5);
/// Records between two looks at the clock of the progress.
const PROGRESS_EVERY: u64 = 1 << 12;

/// Looks whether topics of these brokers can be written to.
pub fn connect(config: &JobConfig, brokers: &str) -> JobResult<Sender> {
    if config.cluster.processes > 1 {
        let error = JobError::configuration("history is sent by one process alone").at("flag --processes");
        return Err(error.remedy("leave -n and -p out: each process would send all of it"));
    }
    let settings = KafkaSettings { brokers: brokers.to_owned(), ..config.kafka.clone() };
    let mut topics: Vec<String> = settings.topics.iter().take(TopicKind::ALL.len()).cloned().collect();
    topics.dedup();
    if topics.is_empty() {
        let error = JobError::configuration("no topic is named").at("kafka.topics");
        return Err(error.remedy("name at least one topic, for orders; a second for items, a third for payments"));
    }
    Sender::connect(&settings, &topics)
}

/// Sends what `options` name to these brokers; statistics go to standard output.
pub fn run(config: &JobConfig, options: &ReplayOptions, brokers: &str, output: OutputFormat) -> JobResult<()> {
    interrupt::drains();
    let sender = connect(config, brokers)?;
    let started = Instant::now();
    let mut progress = Progress::start(!options.no_console);
    let (history, left_out) = History::gather(config, options, |records| {
        progress.update(&ProgressNow { records_read: records, sorting: [records, 0], ..ProgressNow::default() });
    })?;
    let sent = history.send(&sender, &config.kafka.topics, options.speed, |records, at| {
        progress.update(&ProgressNow { records_read: records, event_time: Some(at), ..ProgressNow::default() });
    })?;
    progress.finish();
    if left_out > 0 {
        tracing::warn!("{left_out} records were left out: they are no text, no whole rows, or over 1 MiB");
    }
    let left_out = left_out + sender.left_out();
    if options.no_console {
        return Ok(());
    }
    let text = match output {
        OutputFormat::Text => text(&sent, left_out, started.elapsed()),
        OutputFormat::Json => as_json(&sent, left_out, started.elapsed()),
    };
    print("statistics", |out| out.write_all(text.as_bytes()))
}

/// Publications in the order of time.
struct History(Runs);

impl History {
    /// Reads all inputs; how many records no topic can hold.
    fn gather(config: &JobConfig, options: &ReplayOptions, mut progress: impl FnMut(u64)) -> JobResult<(History, u64)> {
        let limits = config.limits();
        let (from, until) = (options.reading.from.unwrap_or(0), options.reading.until.unwrap_or(Time::MAX));
        let memory_bytes = usize::try_from(config.sort_memory_bytes).unwrap_or(usize::MAX);
        let (mut runs, mut number, mut left_out) = (Runs::default(), 0_u64, 0);
        let (kind, threads) = (options.reading.kind, config.cluster.workers);
        let joined = joined(&options.inputs, kind, &limits, threads)?;
        for input in &options.inputs {
            left_out += of_input(input, kind, &joined, &limits, |publication| {
                let Publication { at, topic, key, value } = publication;
                if (from..=until).contains(at) && !interrupt::is_requested() {
                    let key_length = u16::try_from(key.len()).unwrap_or(0);
                    let key = &key[..usize::from(key_length)];
                    let head = [&at.to_be_bytes()[..], &[*topic as u8], &number.to_be_bytes()];
                    runs.push(&[head[0], head[1], head[2], &key_length.to_be_bytes(), key, value], 1);
                }
                number += 1;
                if runs.bytes() > memory_bytes {
                    runs.spill().map_err(|error| cannot("write", &error))?;
                }
                if number.is_multiple_of(PROGRESS_EVERY) {
                    progress(number);
                }
                Ok(())
            })?;
        }
        runs.sort();
        Ok((History(runs), left_out))
    }

    /// Sends all of it, or what comes before an interruption; what brokers confirmed, by topic.
    fn send(
        &self,
        sender: &Sender,
        topics: &[String],
        speed: Speed,
        mut progress: impl FnMut(u64, Time),
    ) -> JobResult<BTreeMap<String, Sent>> {
        let mut merge = Merge::of([&self.0]).map_err(|error| cannot("read", &error))?;
        let clock = match speed {
            Speed::Max => None,
            Speed::Times(speed) => Some(ReplayClock::new(speed, 0)),
        };
        let mut records = 0;
        while let Some((at, topic, key, value)) = merge.first().and_then(|(bytes, _)| parse(bytes)) {
            if let Some(clock) = clock.as_ref().filter(|_| at > 0) {
                clock.start(Some(at), at);
                while clock.now().is_some_and(|now| now < at) && !interrupt::is_requested() {
                    sender.poll()?;
                    progress(records, at);
                    std::thread::sleep(NAP);
                }
            }
            if interrupt::is_requested() {
                break;
            }
            if let Some(topic) = topic.of(topics) {
                sender.send(topic, Some(key).filter(|key| !key.is_empty()), value)?;
            }
            records += 1;
            if records % PROGRESS_EVERY == 0 {
                progress(records, at);
            }
            merge.advance().map_err(|error| cannot("read", &error))?;
        }
        sender.finish()
    }
}

/// A publication as it was put into a run.
fn parse(bytes: &[u8]) -> Option<(Time, TopicKind, &[u8], &[u8])> {
    let (at, rest) = bytes.split_first_chunk()?;
    let (topic, rest) = rest.split_first()?;
    let (_number, rest) = rest.split_first_chunk::<8>()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let (key, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key_length)))?;
    Some((Time::from_be_bytes(*at), *TopicKind::ALL.get(usize::from(*topic))?, key, value))
}

fn cannot(doing: &str, error: &io::Error) -> JobError {
    JobError::job(format!("cannot {doing} the temporary file of records being sorted: {error}"))
        .at(std::env::temp_dir().display().to_string())
        .remedy("free some space there, set TMPDIR, or give more memory with --sort-memory")
}

fn total(sent: &BTreeMap<String, Sent>) -> Sent {
    let add = |sum: Sent, sent: &Sent| Sent { records: sum.records + sent.records, bytes: sum.bytes + sent.bytes };
    sent.values().fold(Sent::default(), add)
}

fn text(sent: &BTreeMap<String, Sent>, left_out: u64, elapsed: Duration) -> String {
    let mut lines = String::new();
    let all = total(sent);
    let width = sent.keys().map(String::len).max().unwrap_or(0).max(16);
    let rows = [("records".to_owned(), all.records)].into_iter();
    let rows = rows.chain(sent.iter().map(|(topic, sent)| (format!("  {topic}"), sent.records)));
    for (name, count) in
        rows.chain([("left out".to_owned(), left_out), ("megabytes".to_owned(), all.bytes / 1_000_000)])
    {
        lines += &format!("{name:<width$}{count:>14}\n", width = width + 2);
    }
    let rate = per_second(all.records, elapsed);
    lines + &format!("{}.{:03} s, {rate} records/s\n", elapsed.as_secs(), elapsed.subsec_millis())
}

fn as_json(sent: &BTreeMap<String, Sent>, left_out: u64, elapsed: Duration) -> String {
    let all = total(sent);
    let topics: serde_json::Map<_, _> = sent
        .iter()
        .map(|(topic, sent)| (topic.clone(), json!({ "records": sent.records, "bytes": sent.bytes })))
        .collect();
    json!({
        "records": all.records,
        "bytes": all.bytes,
        "left_out": left_out,
        "topics": topics,
        "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        "records_per_second": per_second(all.records, elapsed),
    })
    .to_string()
        + "\n"
}

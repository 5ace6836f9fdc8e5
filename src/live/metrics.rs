//! The numbers of a live job as Prometheus reads them; `docs/metrics.md` has each.
//!
//! Invariant: every metric is there with its help at every scrape, with as many samples as there is to say. Units are base
//! units and stand in the name.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::counters::{Counters, Lag, Numbers, Turn};
use crate::clock::partitions::Partition;
use crate::clock::wall_clock_ms;
use crate::console::{peak_memory_bytes, resident_memory_bytes};
use crate::delays::Histogram;
use crate::sink::committer::circuit::State;
use crate::sink::committer::{CommitterCounters, Watched};

/// What all names begin with.
const PREFIX: &str = "orderwatch";
/// The type of what [`Page::text`] gives.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the numbers can be read.
#[derive(Debug)]
pub struct Page(Registry);

impl Page {
    /// The page of a process.
    pub fn of(counters: Arc<Counters>) -> Page {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Scraped(counters)));
        Page(registry)
    }

    /// The numbers as they are now, in Prometheus's text format.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Looks at the numbers when it is asked.
#[derive(Debug)]
struct Scraped(Arc<Counters>);

impl Collector for Scraped {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let numbers = self.0.numbers();
        let mut out = Out(encoder);
        of_process(&mut out, &numbers)?;
        of_time(&mut out, &numbers)?;
        if numbers.is_replay {
            return Ok(());
        }
        of_orders(&mut out, &numbers)?;
        of_partitions(&mut out, &numbers)?;
        of_results(&mut out, &numbers)?;
        of_checkpoints(&mut out, &numbers)?;
        of_sinks(&mut out, &numbers)
    }
}

/// Labels, each with its name.
type Labels = Vec<(&'static str, String)>;

struct Out<'e>(DescriptorEncoder<'e>);

impl Out<'_> {
    fn gauges(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        let mut samples = samples.into_iter();
        samples.try_for_each(|(labels, value)| ConstGauge::new(value).encode(metric.encode_family(&labels)?))
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl IntoIterator<Item = f64>) -> fmt::Result {
        self.gauges(name, help, value.into_iter().map(|value| (Labels::new(), value)))
    }

    /// `name` is without `_total`, which every counter gets.
    fn counters(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, u64)>) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        let mut samples = samples.into_iter();
        samples.try_for_each(|(labels, value)| ConstCounter::new(value).encode(metric.encode_family(&labels)?))
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(Labels::new(), value)])
    }

    fn histograms(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, Histogram)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        samples.into_iter().try_for_each(|(labels, Histogram { buckets, sum })| {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
        })
    }
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

/// How long ago a time was by the wall clock, in seconds; 0 for one to come.
fn seconds_since(time_ms: u64) -> f64 {
    seconds(wall_clock_ms().saturating_sub(time_ms))
}

fn labelled<'n, K: AsRef<str> + 'n, V: Copy + 'n>(
    name: &'static str,
    values: impl IntoIterator<Item = (K, V)> + 'n,
) -> impl Iterator<Item = (Labels, V)> + 'n {
    values.into_iter().map(move |(label, value)| (vec![(name, label.as_ref().to_owned())], value))
}

fn of_process(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let version = labelled("version", [(env!("CARGO_PKG_VERSION"), 1.0)]);
    out.gauges("build_info", "1, with the version of the program", version)?;
    let memory = [resident_memory_bytes(), peak_memory_bytes()].map(|bytes| bytes.map(|bytes| bytes as f64));
    out.gauge("resident_memory_bytes", "Memory that the process holds", memory[0])?;
    out.gauge("peak_memory_bytes", "The most memory that the process ever held", memory[1])?;
    out.counter("records_read", "Records that this process has read since it started", numbers.records_read())
}

fn of_time(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let frontier = Some(numbers.frontier).filter(|frontier| *frontier > 0);
    let help = "Everything before this time has been published";
    out.gauge("frontier_timestamp_seconds", help, frontier.map(seconds))?;
    out.gauge("frontier_lag_seconds", "Wall clock less the frontier", frontier.map(seconds_since))
}

fn of_orders(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let census = |count: fn(&Turn) -> usize| numbers.workers.values().map(count).sum::<usize>() as f64;
    out.gauge("live_orders", "Orders that this process keeps the state of", [census(|turn| turn.census.live)])?;
    let tombstones = [census(|turn| turn.census.tombstones)];
    out.gauge("tombstones", "Retired orders that this process still knows by their ids", tombstones)?;
    let bytes = [
        ("orders", census(|turn| turn.census.order_bytes)),
        ("tombstones", census(|turn| turn.census.tombstone_bytes)),
        ("sums", numbers.sum_bytes as f64),
    ];
    let help = "Memory that orders, tombstones and sums take in this process, about";
    out.gauges("state_bytes", help, labelled("of", bytes))
}

fn of_partitions(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let mut each = |name: &str, help: &str, value: &dyn Fn(&Lag) -> Option<f64>| {
        let samples = numbers.partitions.iter().filter_map(|(Partition { topic, number }, lag)| {
            Some((vec![("topic", topic.clone()), ("partition", number.to_string())], value(lag)?))
        });
        out.gauges(name, help, samples)
    };
    let to_go = |lag: &Lag| Some(lag.high_watermark?.saturating_sub(lag.next_offset) as f64);
    let next = |lag: &Lag| Some(lag.next_offset as f64);
    each("partition_next_offset", "Offset of the record that is read next", &next)?;
    let end = |lag: &Lag| Some(lag.high_watermark? as f64);
    each("partition_end_offset", "Offset after the last committed record, as the broker last said it", &end)?;
    each("consumer_lag_records", "Records that are still to be read: end offset less next offset", &to_go)?;
    let behind = |lag: &Lag| (lag.watermark > 0).then(|| seconds_since(lag.watermark));
    each("consumer_lag_seconds", "Wall clock less the watermark; caught up it is time.out_of_orderness", &behind)
}

fn of_results(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let tally = &numbers.tally;
    let facts = [("accepted", tally.accepted), ("duplicate", tally.duplicates), ("refused", tally.refused)];
    let facts = facts.map(|(outcome, count)| (outcome, counted(count)));
    out.counters("facts", "Facts that were judged, by outcome", labelled("outcome", facts))?;
    out.counter("late_facts", "Facts that came behind the watermark of their partition", counted(tally.late))?;
    let refused = labelled("reason", tally.dead_letters.iter().map(|(reason, count)| (reason, *count)));
    out.counters("dead_letters", "Records and facts that were refused; of several reasons each counts", refused)?;
    let delays = [(Labels::new(), numbers.output_delays.histogram())];
    out.histograms("output_delay_seconds", "From when a change holds, by event time, to when it is published", delays)?;
    let changes = labelled("collection", numbers.changes.iter().map(|(name, count)| (name, *count)));
    out.counters("changes_published", "Changes of rows, by collection", changes)?;
    let breaches = labelled("sla", numbers.breaches_open.iter().map(|(sla, count)| (sla, *count as f64)));
    out.gauges("breaches_open", "Orders of all tenants that are overdue, by promise", breaches)?;
    let orders = labelled("status", numbers.orders.iter().map(|(status, count)| (status, *count as f64)));
    out.gauges("orders", "Orders of all tenants, by status", orders)
}

/// What was counted, for a counter: what is taken back for a moment does not make it negative.
fn counted(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn of_checkpoints(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    out.counter("checkpoints_written", "Checkpoints that were completed", numbers.checkpoints_written)?;
    out.counter("checkpoints_failed", "Checkpoints that were given up", numbers.checkpoints_failed)?;
    let newest = numbers.newest_checkpoint;
    let (bytes, took) = (newest.map(|newest| newest.bytes as f64), newest.and_then(|newest| newest.took));
    out.gauge("checkpoint_bytes", "Size of the newest checkpoint", bytes)?;
    let took = took.map(|took| took.as_secs_f64());
    out.gauge("checkpoint_duration_seconds", "How long the newest checkpoint took", took)?;
    let age = newest.map(|newest| newest.at.elapsed().as_secs_f64());
    out.gauge("checkpoint_age_seconds", "Time since the newest checkpoint was written, or taken up", age)?;
    let frontier = newest.map(|newest| seconds(newest.frontier)).filter(|frontier| *frontier > 0.0);
    out.gauge("checkpoint_frontier_timestamp_seconds", "The newest checkpoint is as of this time", frontier)
}

fn of_sinks(out: &mut Out<'_>, numbers: &Numbers) -> fmt::Result {
    let of = |counter: fn(&CommitterCounters) -> &AtomicU64| {
        let value = move |sink: &Watched| (sink.name.clone(), counter(&sink.counters).load(Ordering::Relaxed));
        labelled("sink", numbers.sinks.iter().map(value))
    };
    let by_sink = |value: fn(&Watched) -> f64| {
        labelled("sink", numbers.sinks.iter().map(move |sink| (sink.name.clone(), value(sink))))
    };
    out.counters("sink_commits", "Transactions that the sink did", of(|counters| &counters.commits))?;
    out.counters("sink_rows", "Changes of rows that they held", of(|counters| &counters.rows))?;
    let failures = of(|counters| &counters.failures);
    out.counters("sink_failures", "Transactions that failed, or of which nobody knows", failures)?;
    out.counters("sink_retries", "Transactions that were tried after such a one", of(|counters| &counters.retries))?;
    let circuit = by_sink(|sink| match sink.counters.circuit() {
        State::Closed => 0.0,
        State::HalfOpen => 1.0,
        State::Open => 2.0,
    });
    out.gauges("sink_circuit_state", "0: it is tried (closed), 1: probed (half-open), 2: left alone (open)", circuit)?;
    let took = by_sink(|sink| sink.counters.last_commit_us.load(Ordering::Relaxed) as f64 / 1e6);
    out.gauges("sink_last_commit_duration_seconds", "How long its last transaction took", took)?;
    let delays = numbers.sinks.iter().map(|sink| (vec![("sink", sink.name.clone())], sink.counters.delays.histogram()));
    out.histograms("sink_delay_seconds", "From when a change holds, by event time, to when the sink has it", delays)?;
    let waiting = by_sink(|sink| sink.counters.waiting_bytes.load(Ordering::Relaxed) as f64);
    out.gauges("sink_waiting_bytes", "Changes that wait in memory to be committed", waiting)?;
    let spilled = by_sink(|sink| sink.counters.spilled_bytes.load(Ordering::Relaxed) as f64);
    out.gauges("sink_spilled_bytes", "Changes that wait in temporary files to be committed", spilled)?;
    let frontier = by_sink(|sink| seconds(sink.frontier.load(Ordering::Acquire)));
    out.gauges("sink_frontier_timestamp_seconds", "Everything before this time is in the sink", frontier)
}

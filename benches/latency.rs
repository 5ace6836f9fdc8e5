//! Latency: how long after an event its row of a changelog can be read by whoever reads committed records alone.
//!
//! `cargo bench --bench latency -- BROKERS TOPIC AFTER_SECONDS SECONDS` reads the changelog of `order_events` of a job from
//! where it ends now. Of each row of a fact that comes once AFTER_SECONDS are over, until SECONDS later, the time since the
//! event's own goes into an HDR histogram of three digits, so no quantile is guessed (`scripts/bench-live latency
//! --changelogs`). Rows of breaches are left out: they are due at a deadline, and wait for their grace.

use std::error::Error;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use orderwatch::clock::wall_clock_ms;
use orderwatch::validate::timestamp;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [brokers, topic, after_s, seconds] = arguments.as_slice() else {
        return Err("usage: latency BROKERS TOPIC AFTER_SECONDS SECONDS".into());
    };
    let (after, measured) = (Duration::from_secs(after_s.parse()?), Duration::from_secs(seconds.parse()?));
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("group.id", "latency").set("isolation.level", "read_committed");
    client.set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let mut partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
    let mut from_now = TopicPartitionList::new();
    partitions.try_for_each(|partition| from_now.add_partition_offset(topic, partition.id(), Offset::End))?;
    consumer.assign(&from_now)?;
    let (started, mut delays_ms) = (Instant::now(), Histogram::<u64>::new(3)?);
    while started.elapsed() < after + measured {
        let Some(message) = consumer.poll(POLL_TIMEOUT) else { continue };
        let now_ms = wall_clock_ms();
        let message = message?;
        // A row that goes has no value.
        let Some(value) = message.payload().filter(|_| started.elapsed() >= after) else { continue };
        let row: serde_json::Value = serde_json::from_slice(value)?;
        let at = row["at"].as_str().and_then(|at| timestamp::parse(at.as_bytes()));
        let at = at.ok_or("a row of order_events has no time: is TOPIC its changelog, in JSON?")?;
        if row["sla_breach"] == false {
            delays_ms.record(now_ms.saturating_sub(at))?;
        }
    }
    let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|quantile| delays_ms.value_at_quantile(quantile));
    let (rows, largest) = (delays_ms.len(), delays_ms.max());
    println!(
        "{rows} rows, ms to a record that is committed: p50 {p50} p90 {p90} p99 {p99} p99.9 {p999} largest {largest}"
    );
    Ok(())
}

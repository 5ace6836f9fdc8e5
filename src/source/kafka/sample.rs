//! The first records of topics, decoded and thrown away, for `orderwatch check`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::history::Topics;
use super::{Fetcher, shown};
use crate::cli::Start;
use crate::error::JobResult;
use crate::kafka::KafkaSettings;
use crate::source::sample::{RECORDS_MAX, Sample};
use crate::validate::Limits;

/// Whoever looks does not wait longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing is done where nothing has come.
const NAP: Duration = Duration::from_millis(1);

/// The first records of every topic; an error where one is not there.
pub fn of_topics(settings: KafkaSettings, limits: &Limits) -> JobResult<Vec<Sample>> {
    let topics = Topics::open(settings, Start::Earliest, 0)?;
    let mut fetcher = Fetcher::start(&topics.settings)?;
    let mut samples: BTreeMap<&str, Sample> = BTreeMap::new();
    let mut unread = BTreeMap::new();
    for stretch in &topics.stretches {
        let topic = &*stretch.partition.topic;
        samples.entry(topic).or_insert_with(|| Sample::of(topic));
        if stretch.from < stretch.end {
            fetcher.read(stretch.partition.clone(), stretch.from);
            unread.insert(&stretch.partition, stretch.end.min(stretch.from + RECORDS_MAX as u64));
        }
    }
    let started = Instant::now();
    while !unread.is_empty() && started.elapsed() < PATIENCE {
        let Some(fetched) = fetcher.poll()? else {
            std::thread::sleep(NAP);
            unread.retain(|partition, end| fetcher.position(partition).is_none_or(|position| position < *end));
            continue;
        };
        let place = shown(&fetched.partition);
        if let Some(sample) = samples.get_mut(&*fetched.partition.topic) {
            for record in fetched.records {
                if let Some(value) = record.value.filter(|_| !sample.is_full()) {
                    sample
                        .add_at(|| format!("offset {} of {place}", record.offset), record.form.record(&value, limits));
                }
            }
            if sample.is_full() {
                unread.retain(|partition, _| partition.topic != fetched.partition.topic);
            }
        }
    }
    Ok(samples.into_values().collect())
}

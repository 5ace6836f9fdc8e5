//! What there is to be read: partitions, where they begin and end, and where a time stands in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use dataflows::time::Time;
use rdkafka::topic_partition_list::Offset;

use super::at_offset;
use crate::clock::partitions::Partition;
use crate::error::JobResult;
use crate::kafka::{KafkaSettings, offsets_of, partitions_of};

/// A partition as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionInfo {
    /// Which one.
    pub partition: Partition,
    /// The offset of its first record that is still there.
    pub earliest: u64,
    /// The offset after its last record that was committed.
    pub end: u64,
}

/// The partitions that there are now, by topic and number. A topic that is missing may be made later: the log says it
/// once.
pub fn partitions(settings: &KafkaSettings, timeout: Duration) -> JobResult<Vec<PartitionInfo>> {
    static MISSING: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let client = settings.inquirer()?;
    let cannot = |error| settings.unanswered("look up the topics", &error, &client);
    let mut partitions = Vec::new();
    for topic in &settings.topics {
        let found = partitions_of(&client, topic, timeout).map_err(cannot)?;
        let mut missing = MISSING.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Some(numbers) => {
                missing.remove(topic);
                partitions.extend(numbers.into_iter().map(|number| Partition { topic: topic.clone(), number }));
            }
            None if missing.insert(topic.clone()) => {
                tracing::warn!("there is no topic `{topic}` at {} yet: it is read once it is there", settings.brokers);
            }
            None => {}
        }
    }
    let earliest = offsets_of(&client, &partitions, Offset::Beginning, timeout).map_err(cannot)?;
    let ends = offsets_of(&client, &partitions, Offset::End, timeout).map_err(cannot)?;
    let whole = |partition: Partition| {
        let (earliest, end) = (*earliest.get(&partition)?, *ends.get(&partition)?);
        Some(PartitionInfo { partition, earliest, end })
    };
    Ok(partitions.into_iter().filter_map(whole).collect())
}

/// Of each of these partitions the offset of the first record that was produced at `at` or later; the end where there is
/// none.
pub fn offsets_at(
    settings: &KafkaSettings,
    partitions: &[Partition],
    at: Time,
    timeout: Duration,
) -> JobResult<BTreeMap<Partition, u64>> {
    let client = settings.inquirer()?;
    let offsets = offsets_of(&client, partitions, at_offset(at), timeout);
    offsets.map_err(|error| settings.unanswered("look up offsets by time", &error, &client))
}

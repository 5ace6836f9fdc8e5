//! How far changelogs are: the last committed record of a topic of the job's own.
//!
//! Invariant: a record that this version did not write, and changelogs of which nobody knows how far they are, are refused
//! and stay as they are: taken for new, they would be filled a second time. Limits: changelogs of which a broker does not say
//! at once that they hold something are taken for empty.

use std::collections::BTreeSet;
use std::time::Instant;

use dataflows::views::COLLECTIONS;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::sending::send;
use super::{ChangelogSettings, Failure, READ_TIMEOUT, WAIT};
use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::kafka::{ANSWER_TIMEOUT, Inquirer, Listener, is_silence, known_offsets_of, metadata};
use crate::sink::commits::Progress;

/// The name of the topic, after the job's.
pub(super) const NAME: &str = "progress";
/// What a record begins with, by which a later version tells how it goes on.
const FORMAT: u8 = 2;
/// So many records before the end of its topic the progress is looked for first.
const RECORDS_BACK: i64 = 64;

impl ChangelogSettings {
    /// What the job last committed, by this process or others; none where there is nothing.
    pub(super) fn read_progress(&self) -> Result<Option<Progress>, Failure> {
        let own = [
            ("group.id", self.job.as_str()),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.partition.eof", "true"),
        ];
        let reader: Inquirer = self.kafka.create(&own, Listener::default())?;
        let partition = Partition { topic: self.topic(NAME), number: 0 };
        let (low, high) = reader.fetch_watermarks(&partition.topic, 0, ANSWER_TIMEOUT)?;
        let mut back = RECORDS_BACK;
        loop {
            let from = (high - back).max(low);
            let last = last_record(&reader, &partition, from, |record| record.payload().map(<[u8]>::to_vec))?;
            if let Some(record) = last {
                return read(&record).map(Some).ok_or_else(|| {
                    let foreign =
                        JobError::configuration("how far the changelogs are is not written as this version writes it");
                    self.refused(foreign, &partition.topic).into()
                });
            }
            if from == low {
                return Ok(None);
            }
            back = back.saturating_mul(8);
        }
    }

    /// Sends the progress; it is of the transaction that `producer` is in.
    pub(super) fn send_progress(
        &self,
        producer: &BaseProducer<Listener>,
        progress: &Progress,
    ) -> Result<(), KafkaError> {
        // None is like that.
        let record = written(progress).ok_or(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord))?;
        send(producer, BaseRecord::to(&self.topic(NAME)).key(self.job.as_bytes()).payload(record.as_slice()))
    }

    /// The partitions of these topics, by their names after the job's.
    pub(super) fn partitions(
        &self,
        client: &Inquirer,
        names: impl IntoIterator<Item = &'static str>,
    ) -> KafkaResult<Vec<Partition>> {
        let wanted: BTreeSet<String> = names.into_iter().map(|name| self.topic(name)).collect();
        let metadata = metadata(client, None, ANSWER_TIMEOUT)?;
        let found = metadata.topics().iter().filter(|topic| wanted.contains(topic.name()));
        let numbered =
            found.flat_map(|topic| topic.partitions().iter().map(|partition| (topic.name(), partition.id())));
        Ok(numbered.map(|(topic, number)| Partition { topic: topic.to_owned(), number }).collect())
    }

    /// An error where changelogs hold something although there is no progress.
    pub(super) fn check_empty(&self) -> JobResult<()> {
        let client = self.kafka.inquirer()?;
        let names = COLLECTIONS.iter().map(|collection| collection.name);
        let partitions = self.partitions(&client, names).unwrap_or_default();
        let offsets = |place| known_offsets_of(&client, &partitions, place, ANSWER_TIMEOUT).unwrap_or_default();
        let (beginnings, ends) = (offsets(Offset::Beginning), offsets(Offset::End));
        let held = ends.iter().find(|(partition, end)| beginnings.get(*partition).is_some_and(|first| first < *end));
        held.map_or(Ok(()), |(partition, _)| {
            let unknown = JobError::configuration("the changelogs hold rows, but nothing says how far they are");
            Err(self.refused(unknown, &partition.topic))
        })
    }

    fn refused(&self, error: JobError, topic: &str) -> JobError {
        let ChangelogSettings { kafka, job } = self;
        error.at(format!("topic {topic}, Kafka at {}", kafka.brokers)).remedy(format!(
            "name another --job, or delete the topics {job}.*: they are then made anew, and begin with what stands"
        ))
    }
}

/// What `taken` makes of the last record from `from` to the end of a partition that `reader` may see; none where there are
/// only markers.
pub(super) fn last_record<T>(
    reader: &Inquirer,
    partition: &Partition,
    from: i64,
    taken: impl Fn(&BorrowedMessage<'_>) -> Option<T>,
) -> Result<Option<T>, Failure> {
    let mut assigned = TopicPartitionList::new();
    assigned.add_partition_offset(&partition.topic, partition.number, Offset::Offset(from))?;
    reader.assign(&assigned)?;
    let (started, mut last) = (Instant::now(), None);
    while started.elapsed() < READ_TIMEOUT {
        match reader.poll(WAIT) {
            Some(Ok(record)) => last = taken(&record).or(last),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            Some(Err(error)) if !error.rdkafka_error_code().is_some_and(is_silence) => return Err(error.into()),
            Some(Err(_)) | None => {}
        }
    }
    // What was read is not the last one, or nobody knows.
    Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut).into())
}

fn written(progress: &Progress) -> Option<Vec<u8>> {
    postcard::to_io(progress, vec![FORMAT]).ok()
}

/// None where another version wrote it, or another program.
fn read(record: &[u8]) -> Option<Progress> {
    let [FORMAT, progress @ ..] = record else { return None };
    match postcard::take_from_bytes(progress) {
        Ok((progress, [])) => Some(progress),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::partitions::{Mark, Trail};

    #[test]
    fn what_another_version_wrote_is_no_progress() {
        let mark = Mark { next_offset: 7, largest_at: 5, watermark: u64::MAX, ceiling: 1 << 60 };
        let trail = Trail::from([(Partition { topic: "orders".to_owned(), number: 3 }, vec![mark])]);
        let frontier = 1_700_000_000_000;
        let progress = Progress { incarnation: 2, frontier, committed_by: 1, trail, complete_since: 0 };
        let record = written(&progress).unwrap();
        assert_eq!(read(&record), Some(progress.clone()));
        for foreign in [&[][..], &[FORMAT], b"{}", &record[..record.len() - 1]] {
            assert_eq!(read(foreign), None, "{foreign:?}");
        }
        let (later, longer) = ([&[FORMAT + 1][..], &record[1..]].concat(), [&record[..], &[0]].concat());
        assert_eq!((read(&later), read(&longer)), (None, None));
        // As it was written before there were formats.
        assert_eq!(read(&postcard::to_stdvec(&progress).unwrap()), None);
    }
}

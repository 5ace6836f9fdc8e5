//! Kafka as it is read live: partitions, each from an offset on, records in the order of offsets.
//!
//! ```text
//!  broker ─► librdkafka: a bounded queue a partition ─► Fetcher::poll, on the worker's thread
//!    └─ asked for its end offsets four times a second, by a thread of ours ─► is there a backlog?
//! ```
//!
//! Invariant: a partition's records come in the order of offsets, none is left out, and only committed ones. Nobody but
//! the caller decides where reading goes on: offsets that the broker no longer has end the job. "No backlog" is said only
//! of what a broker confirmed within the last second. A broker that is away is waited for. Limits: librdkafka holds about
//! 16 MiB for a fetcher, more only where it reads over 64 partitions, or where a single record is larger than that.

mod ends;
mod forms;
pub mod history;
mod lookup;
mod queues;
pub mod sample;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::log::Log;
pub use super::log::{Fetched, Record};
use crate::clock::partitions::{Backlog, Partition};
use crate::decode::form::Form;
use crate::error::{JobError, JobResult};
pub use crate::kafka::KafkaSettings;
use crate::kafka::{ANSWER_TIMEOUT, Inquirer, Listener, is_silence, is_unknown, offsets_of};
use ends::Ends;
use forms::Forms;
pub use lookup::{PartitionInfo, offsets_at, partitions};
use queues::{DEFAULTS, QueueSizes, own_settings};

/// What is handed over at once.
const RECORDS_AT_ONCE: usize = 1024;
const BYTES_AT_ONCE: usize = 256 << 10;
/// How often it is looked whether markers of transactions were passed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A partition that is being read.
struct Reading {
    partition: Partition,
    queue: PartitionQueue<Listener>,
    /// A record whose form is not known yet: nothing after it is looked at.
    waiting: Option<Record>,
    is_paused: bool,
    /// The offset after the last record handed over.
    handed: u64,
    /// Everything before it has been handed over or is no record.
    position: u64,
}

/// Reads partitions; one a worker.
pub struct Fetcher {
    settings: KafkaSettings,
    /// Made when it is known among how many partitions the memory is to be divided.
    client: Option<Arc<Inquirer>>,
    /// Partitions that are to be read as well, and whether they are paused.
    wanted: BTreeMap<Partition, (u64, bool)>,
    readings: Vec<Reading>,
    places: BTreeMap<Partition, usize>,
    /// The reading that is looked at next.
    next: usize,
    looked_at: Instant,
    ends: Arc<Ends>,
    forms: Forms,
}

impl Fetcher {
    /// Checks the settings, and waits for nothing: a broker that is away is tried for ever, which the log says once.
    pub fn start(settings: &KafkaSettings) -> JobResult<Fetcher> {
        settings.check(&own_settings(&QueueSizes::of(1)))?;
        Ok(Fetcher {
            settings: settings.with_defaults(&DEFAULTS),
            client: None,
            wanted: BTreeMap::new(),
            readings: Vec::new(),
            places: BTreeMap::new(),
            next: 0,
            looked_at: Instant::now(),
            ends: Arc::default(),
            forms: Forms::start(settings)?,
        })
    }

    /// Begins to read a partition, which is not being read yet, from an offset on.
    pub fn read(&mut self, partition: Partition, next_offset: u64) {
        self.wanted.insert(partition, (next_offset, false));
    }

    /// Hands over nothing of a partition until it is resumed.
    pub fn pause(&mut self, partition: &Partition) {
        self.set_paused(partition, true);
    }

    /// Goes on with a partition that was paused.
    pub fn resume(&mut self, partition: &Partition) {
        self.set_paused(partition, false);
    }

    fn set_paused(&mut self, partition: &Partition, is_paused: bool) {
        if let Some(place) = self.places.get(partition) {
            self.readings[*place].is_paused = is_paused;
        } else if let Some((_, is_paused_yet)) = self.wanted.get_mut(partition) {
            *is_paused_yet = is_paused;
        }
    }

    /// Records that have come, of one partition after the other; never waits. Errors are for good: offsets that are not
    /// there, a topic that was deleted, a user that is not let in.
    pub fn poll(&mut self) -> JobResult<Option<Fetched>> {
        self.begin_wanted()?;
        let Some(client) = self.client.clone() else { return Ok(None) };
        // What concerns no partition in particular.
        while let Some(said) = client.poll(Duration::ZERO) {
            if let Err(error) = said {
                self.judge(None, &error)?;
            }
        }
        if let Some(partition) = self.ends.gone() {
            return Err(self.deleted(&partition));
        }
        let fetched = self.fetch()?;
        if self.looked_at.elapsed() >= LOOK_EVERY {
            self.looked_at = Instant::now();
            self.pass_markers(&client);
        }
        Ok(fetched)
    }

    /// Records of the next partition that has some.
    fn fetch(&mut self) -> JobResult<Option<Fetched>> {
        for _ in 0..self.readings.len() {
            let place = self.next % self.readings.len();
            self.next = place + 1;
            if self.readings[place].is_paused {
                continue;
            }
            let (records, error) = self.readings[place].take(&mut self.forms)?;
            if let Some(error) = error {
                self.judge(Some(place), &error)?;
            }
            if !records.is_empty() {
                return Ok(Some(Fetched { partition: self.readings[place].partition.clone(), records }));
            }
        }
        Ok(None)
    }

    /// Markers of transactions and records of those that were given up are passed without a word: positions tell.
    fn pass_markers(&mut self, client: &Inquirer) {
        let is_behind =
            |reading: &Reading| self.ends.last(&reading.partition).is_some_and(|end| reading.position < end);
        if !self.readings.iter().any(is_behind) {
            return;
        }
        let Ok(positions) = client.position() else { return };
        for element in positions.elements() {
            let partition = Partition { topic: element.topic().to_owned(), number: element.partition() };
            if let (Some(place), Offset::Offset(position)) = (self.places.get(&partition), element.offset()) {
                let reading = &mut self.readings[*place];
                // What waits has left the client, and was not handed over.
                let position = u64::try_from(position).ok().filter(|_| reading.waiting.is_none());
                reading.position = reading.position.max(position.unwrap_or_default());
            }
        }
    }

    /// Whether there is more than what was read up to `next_offset`: none only where the broker said so a moment ago.
    pub fn backlog(&self, partition: &Partition, next_offset: u64) -> Backlog {
        let Some(reading) = self.places.get(partition).map(|place| &self.readings[*place]) else {
            return Backlog::Some;
        };
        match self.ends.fresh(partition).filter(|_| reading.waiting.is_none()) {
            Some(end) if reading.position >= end && next_offset >= reading.handed => Backlog::None,
            _ => Backlog::Some,
        }
    }

    /// Where a partition that was read to its end stands: the offset from which on the next record will come, after
    /// markers of transactions. None where its end is not reached or not known.
    pub fn end_position(&self, partition: &Partition) -> Option<u64> {
        let end = self.ends.last(partition)?;
        self.position(partition).filter(|position| *position >= end)
    }

    /// Everything of a partition before this offset has been handed over.
    pub fn position(&self, partition: &Partition) -> Option<u64> {
        self.places.get(partition).map(|place| self.readings[*place].position)
    }

    /// The end offset of a partition as the broker last said it; none before it did.
    pub fn high_watermark(&self, partition: &Partition) -> Option<u64> {
        self.ends.last(partition)
    }

    /// Tells the broker how far the group (`group.id`) is, for tools that show lag; nobody resumes from it. That it failed
    /// is of no consequence.
    pub fn publish(&self, positions: &BTreeMap<Partition, u64>) {
        let Some(client) = self.client.as_ref().filter(|_| !positions.is_empty()) else { return };
        let mut offsets = TopicPartitionList::with_capacity(positions.len());
        let added = positions.iter().try_for_each(|(Partition { topic, number }, offset)| {
            offsets.add_partition_offset(topic, *number, at_offset(*offset))
        });
        if let Err(error) = added.and_then(|()| client.commit(&offsets, CommitMode::Async)) {
            tracing::debug!("offsets were not published: {error}");
        }
    }

    /// Begins to read what is wanted.
    fn begin_wanted(&mut self) -> JobResult<()> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        let client = match &self.client {
            Some(client) => Arc::clone(client),
            None => {
                let sizes = QueueSizes::of(self.wanted.len());
                let client = Arc::new(self.settings.create(&own_settings(&sizes), Listener::default())?);
                ends::ask(&self.settings, &self.ends)?;
                Arc::clone(self.client.insert(client))
            }
        };
        let mut assigned = TopicPartitionList::with_capacity(self.wanted.len());
        let cannot = |error| self.settings.failed("read", &error, client.context());
        for (partition, (next_offset, is_paused)) in std::mem::take(&mut self.wanted) {
            let Partition { topic, number } = &partition;
            // Split off before anything comes, or it would come without its partition's name.
            let queue = client.split_partition_queue(topic, *number);
            let queue =
                queue.ok_or(KafkaError::MessageConsumption(RDKafkaErrorCode::UnknownPartition)).map_err(cannot)?;
            assigned.add_partition_offset(topic, *number, at_offset(next_offset)).map_err(cannot)?;
            self.places.insert(partition.clone(), self.readings.len());
            self.ends.watch(partition.clone());
            let (handed, position) = (next_offset, next_offset);
            let reading = Reading { partition, queue, waiting: None, is_paused, handed, position };
            self.readings.push(reading);
        }
        client.incremental_assign(&assigned).map_err(cannot)
    }

    /// An error of the client, which is nothing where it passes by itself.
    fn judge(&self, place: Option<usize>, error: &KafkaError) -> JobResult<()> {
        use RDKafkaErrorCode as Code;
        let Some(client) = &self.client else { return Ok(()) };
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        tracing::debug!("Kafka client: {error}");
        let reading = place.map(|place| &self.readings[place]);
        let failed = || {
            let what =
                reading.map_or_else(|| "read".to_owned(), |reading| format!("read {}", shown(&reading.partition)));
            self.settings.failed(&what, error, client.context())
        };
        match (code, reading) {
            (Code::AutoOffsetReset | Code::OffsetOutOfRange, Some(reading)) => Err(self.out_of_range(client, reading)),
            // Whoever asks for ends finds out whether it is gone.
            (code, Some(_)) if is_unknown(code) => Ok(()),
            (Code::Authentication | Code::SaslAuthenticationFailed | Code::TopicAuthorizationFailed, _) => {
                Err(failed())
            }
            (Code::BadMessage | Code::BadCompression | Code::NotImplemented | Code::LogTruncation, Some(_)) => {
                Err(failed())
            }
            (code, _) if is_silence(code) => Ok(()),
            _ => {
                tracing::warn!("Kafka client: {error}");
                Ok(())
            }
        }
    }

    fn out_of_range(&self, client: &Inquirer, reading: &Reading) -> JobError {
        let Reading { partition, position, .. } = reading;
        let ask = |place| {
            let offsets = offsets_of(client, std::slice::from_ref(partition), place, ANSWER_TIMEOUT).ok()?;
            offsets.get(partition).copied()
        };
        let (earliest, end) = (ask(Offset::Beginning), ask(Offset::End));
        let what = match (earliest, end) {
            (_, Some(end)) if *position > end => {
                format!("the broker has no offset {position} of {}: it ends at {end}", shown(partition))
            }
            (Some(earliest), _) => {
                format!(
                    "the broker no longer has offset {position} of {}: the earliest is {earliest}",
                    shown(partition)
                )
            }
            _ => format!("the broker does not have offset {position} of {}", shown(partition)),
        };
        JobError::job(what).at(format!("Kafka at {}", self.settings.brokers)).remedy(
            "records were deleted, or the topic made anew, and results would lack them: start again with \
             --start earliest and an empty checkpoint, and give the topic a longer retention",
        )
    }

    fn deleted(&self, partition: &Partition) -> JobError {
        let error = JobError::job(format!("{} was deleted", shown(partition)));
        error.at(format!("Kafka at {}", self.settings.brokers)).remedy(
            "create the topic again with `orderwatch topics create`, or leave it out of --topics, and start again",
        )
    }
}

impl Log for Fetcher {
    fn read(&mut self, partition: Partition, next_offset: u64) {
        Fetcher::read(self, partition, next_offset);
    }

    fn hold(&mut self, partition: &Partition, holds: bool) {
        if holds { self.pause(partition) } else { self.resume(partition) }
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        Fetcher::poll(self)
    }

    fn backlog(&self, partition: &Partition, next_offset: u64) -> Backlog {
        Fetcher::backlog(self, partition, next_offset)
    }

    fn end_position(&self, partition: &Partition) -> Option<u64> {
        Fetcher::end_position(self, partition)
    }

    fn high_watermark(&self, partition: &Partition) -> Option<u64> {
        Fetcher::high_watermark(self, partition)
    }

    fn publish(&self, positions: &BTreeMap<Partition, u64>) {
        Fetcher::publish(self, positions);
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.ends.stop();
        // Queues go before the client that they are of.
        self.readings.clear();
    }
}

impl Reading {
    /// Takes what has come, and the error that stands in its way.
    fn take(&mut self, forms: &mut Forms) -> JobResult<(Vec<Record>, Option<KafkaError>)> {
        let (mut records, mut bytes, mut failed) = (Vec::new(), 0, None);
        while records.len() < RECORDS_AT_ONCE && bytes < BYTES_AT_ONCE {
            let polled = || self.queue.poll(Duration::ZERO).map(|polled| polled.map(|message| record(&message)));
            let mut record = match self.waiting.take().map(Ok).or_else(polled) {
                Some(Ok(record)) => record,
                other => {
                    failed = other.and_then(Result::err);
                    break;
                }
            };
            let Some(form) = forms.of(record.value.as_deref())? else {
                self.waiting = Some(record);
                break;
            };
            record.form = form;
            bytes += [&record.value, &record.key].into_iter().flatten().map(|bytes| bytes.len()).sum::<usize>();
            self.handed = record.offset + 1;
            records.push(record);
        }
        self.position = self.position.max(self.handed);
        Ok((records, failed))
    }
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    let offset = u64::try_from(message.offset()).unwrap_or_default();
    let timestamp_ms = message.timestamp().to_millis().and_then(|at| u64::try_from(at).ok());
    let [value, key] = [message.payload(), message.key()].map(|bytes| bytes.map(Box::from));
    Record { offset, timestamp_ms, value, key, form: Form::Json }
}

fn at_offset(offset: u64) -> Offset {
    Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX))
}

/// A partition as errors name it.
pub fn shown(partition: &Partition) -> String {
    format!("{}/{}", partition.topic, partition.number)
}

//! Kafka: a changelog topic a collection, kept up to date by a job in transactions.
//!
//! A record's key is the key of a row as JSON, its value the row as JSON or in Avro, or none where the row is gone. A commit
//! is one transaction: the last change of each key, and the progress, in a topic of the job's own. Whoever reads committed
//! records alone sees all of a commit or nothing; after compaction a topic is the collection. Invariant: nothing is sent
//! through a producer that did not fence off all before it and read the progress after that, so an answer that was lost is never
//! guessed. Limits: a topic that was there before is taken as it is, and has to be empty. Source: outputs.md; decision 10.

pub mod avro;
mod progress;
mod sending;
mod unshown;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Column;
use rdkafka::admin::{AdminClient, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::cell;
use super::change::{Change, netted};
use super::commits::{Outcome, Progress, Transactions};
use super::text_row::TextRow;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::kafka::avro::Writer;
use crate::kafka::{ANSWER_TIMEOUT, Format, KafkaSettings, Listener, admin_options, is_silence, wait};
use sending::send;

/// How long the beginning, which ends what a process left open that is gone, and the end of a transaction may take. So long
/// nothing may arrive of one that is under way.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);
/// Whoever takes longer to commit may have lost a broker meanwhile; as a rule it takes a twentieth of that.
const COMMIT_AT_ONCE: Duration = Duration::from_secs(1);
/// How long to wait for room in the producer's queue, or for the next record of the progress.
const WAIT: Duration = Duration::from_millis(50);
/// How long reading the progress may take.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to listen, after a commit, whether a broker was lost.
const HEAR_COMPLAINTS: Duration = Duration::from_millis(5);
/// How often it is said that a broker is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// The largest row, as bytes that are no text may make of a record: each is four characters, and JSON escapes one of them.
const RECORD_BYTES_MAX: &str = "16777216";
/// What the user's settings may change: a key has the same partition as with Kafka's own clients.
const DEFAULTS: [(&str, &str); 2] = [("partitioner", "murmur2_random"), ("message.max.bytes", RECORD_BYTES_MAX)];

const TOO_LONG: &str = "set transaction.timeout.ms in [kafka.client] to transaction.max.timeout.ms of the broker, or raise \
                        that to 900000";

/// Where a job keeps its changelogs.
#[derive(Clone, Debug)]
pub struct ChangelogSettings {
    /// Brokers, and settings of their clients.
    pub kafka: KafkaSettings,
    /// Identity of the job: topics are `JOB.COLLECTION` and `JOB.progress`, and it is the transactional id.
    pub job: String,
}

/// Changelogs that a job keeps up to date.
pub struct Kafka {
    settings: ChangelogSettings,
    /// What writes rows in Avro, by collection; none where they are JSON.
    writers: Writers,
    /// None where it was lost, and the progress has not been read since.
    session: Option<Session>,
}

type Writers = BTreeMap<&'static str, Writer>;

/// A producer that fenced off all before it.
struct Session {
    producer: BaseProducer<Listener>,
    frontier: Time,
    /// True where the broker could not be asked what it shows.
    looks_again: bool,
}

/// True for a topic that a job of this name writes.
pub fn is_changelog(topic: &str, job: &str) -> bool {
    let mut names = COLLECTIONS.iter().map(|collection| collection.name).chain([progress::NAME]);
    names.any(|name| topic.strip_prefix(job).and_then(|rest| rest.strip_prefix('.')) == Some(name))
}

impl ChangelogSettings {
    fn topic(&self, collection: &str) -> String {
        format!("{}.{collection}", self.job)
    }

    fn producer(&self) -> JobResult<BaseProducer<Listener>> {
        let own = [
            ("transactional.id", self.job.as_str()),
            ("acks", "all"),
            ("enable.idempotence", "true"),
            // What became of records the end of their transaction says.
            ("delivery.report.only.error", "true"),
            // They come all at once: none waits for more.
            ("linger.ms", "1"),
        ];
        self.kafka.create(&own, Listener::default())
    }

    /// Makes the topics that are missing; none where nobody answers, or does not know them yet.
    fn create_topics(&self) -> JobResult<Option<()>> {
        let topics: Vec<String> = COLLECTIONS.iter().map(|collection| self.topic(collection.name)).collect();
        let progress = self.topic(progress::NAME);
        let new = |topic, partitions| {
            // As many replicas as the broker makes by default.
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
            new.set("cleanup.policy", "compact").set("max.message.bytes", RECORD_BYTES_MAX)
        };
        let new: Vec<NewTopic<'_>> =
            topics.iter().map(|topic| new(topic.as_str(), -1)).chain([new(progress.as_str(), 1)]).collect();
        let admin: AdminClient<Listener> = self.kafka.create(&[], Listener::default())?;
        let failed =
            |error: &KafkaError| self.kafka.failed("create the topics of results", error, admin.inner().context());
        let created = match wait(admin.create_topics(&new, &admin_options()))? {
            Err(error) if error.rdkafka_error_code().is_some_and(is_silence) => return Ok(None),
            created => created.map_err(|error| failed(&error))?,
        };
        for topic in created {
            match topic {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => return Err(failed(&KafkaError::AdminOp(code)).at(topic)),
            }
        }
        // A topic that was made a moment ago may not be known everywhere yet.
        let known = self.kafka.inquirer()?.fetch_watermarks(&progress, 0, ANSWER_TIMEOUT);
        Ok(known.is_ok().then_some(()))
    }
}

/// What went wrong: with a client's settings or what was found, or with what was asked of a broker.
enum Failure {
    Settings(JobError),
    Broker(KafkaError),
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Failure {
        Failure::Settings(error)
    }
}

impl From<KafkaError> for Failure {
    fn from(error: KafkaError) -> Failure {
        Failure::Broker(error)
    }
}

impl Kafka {
    /// Waits for a broker and, where there is one, a schema registry, and makes the topics that are missing. Changelogs that
    /// cannot be gone on with are an error.
    pub fn connect(settings: &ChangelogSettings) -> JobResult<Kafka> {
        let kafka = sending::with_timeouts(&settings.kafka.with_defaults(&DEFAULTS));
        let settings = ChangelogSettings { kafka, ..settings.clone() };
        // That topics are made takes a moment, of which nothing needs to be said.
        let mut said = Instant::now();
        while settings.create_topics()?.is_none() {
            if interrupt::is_requested() {
                let error = JobError::job("Kafka was not there, and the program was asked to end");
                return Err(error.at(settings.kafka.brokers).remedy("start the broker, then this again"));
            }
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                tracing::warn!("waiting for Kafka at {}, to write results to", settings.kafka.brokers);
            }
            std::thread::sleep(WAIT);
        }
        // Where a broker does not answer now, whoever fences says so.
        match settings.read_progress() {
            Err(Failure::Settings(error)) => return Err(error),
            Ok(None) => settings.check_empty()?,
            Ok(Some(_)) | Err(Failure::Broker(_)) => {}
        }
        let mut writers = Writers::new();
        for collection in COLLECTIONS.iter().filter(|_| settings.kafka.format == Format::Avro) {
            let (topic, schema) = (settings.topic(collection.name), avro::schema(collection));
            let writer = Writer::of(&settings.kafka, &topic, &schema, || !interrupt::is_requested())?;
            writers.insert(collection.name, writer);
        }
        Ok(Kafka { settings, writers, session: None })
    }

    fn fenced(&mut self, incarnation: u64) -> Result<Progress, Failure> {
        self.session = None;
        // The newest producer wins: whoever was replaced must not become that.
        let found = self.settings.read_progress()?.unwrap_or_default();
        if found.incarnation > incarnation {
            return Ok(found);
        }
        let producer = self.settings.producer()?;
        producer.init_transactions(TRANSACTION_TIMEOUT)?;
        // From here on all that others began is done or was given up.
        let found = match self.settings.read_progress()? {
            Some(found) => found,
            None => {
                self.settings.check_empty()?;
                Progress::default()
            }
        };
        if found.incarnation > incarnation {
            return Ok(found);
        }
        let progress = Progress { incarnation, ..found };
        producer.begin_transaction()?;
        self.settings.send_progress(&producer, &progress)?;
        producer.commit_transaction(TRANSACTION_TIMEOUT)?;
        unshown::show(&self.settings, &producer)?;
        self.session = Some(Session { producer, frontier: progress.frontier, looks_again: false });
        Ok(progress)
    }

    /// Has changelogs show what was committed, where something took long or a broker was lost since this was seen to.
    fn see_to_shown(&mut self, took_long: bool) {
        let Some(session) = &mut self.session else { return };
        // A poll without time takes one complaint.
        session.producer.poll(HEAR_COMPLAINTS);
        let was_lost = session.producer.client().context().has_complained();
        if !(took_long || was_lost || session.looks_again) {
            return;
        }
        let shown = unshown::show(&self.settings, &session.producer);
        session.looks_again = shown.is_err();
        if let Err(failure) = shown {
            // Where it had come to a transaction; elsewhere there is none to give up.
            let _ = session.producer.abort_transaction(ANSWER_TIMEOUT);
            self.say("have changelogs show what was committed", failure);
        }
    }

    /// What a job survives is told by its log.
    fn say(&self, doing: &str, failure: Failure) {
        let error = match failure {
            Failure::Settings(error) => error,
            Failure::Broker(error) => {
                let said = self.settings.kafka.failed(doing, &error, &Listener::default());
                match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::InvalidTransactionTimeout) => said.remedy(TOO_LONG),
                    _ => said,
                }
            }
        };
        error.warn();
    }
}

impl Transactions<Change> for Kafka {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        match self.fenced(incarnation) {
            Ok(progress) => Some(progress),
            Err(failure) => {
                self.say("read how far the changelogs are", failure);
                None
            }
        }
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        let Some(session) = self.session.as_mut().filter(|session| session.frontier == from) else {
            return Outcome::Unknown;
        };
        let started = Instant::now();
        let Err(error) = self.settings.commit(&session.producer, &self.writers, to, updates) else {
            session.frontier = to.frontier;
            // A broker may have gone and come back between two commits, each of which took no time.
            self.see_to_shown(started.elapsed() > COMMIT_AT_ONCE);
            return Outcome::Done;
        };
        // Whoever was fenced off learns from the progress by whom.
        let may_abort = match &error {
            KafkaError::Transaction(error) => error.txn_requires_abort(),
            _ => session.producer.client().fatal_error().is_none(),
        };
        let is_aborted = may_abort && session.producer.abort_transaction(TRANSACTION_TIMEOUT).is_ok();
        self.say("commit to the changelogs", error.into());
        if is_aborted {
            return Outcome::Failed;
        }
        self.session = None;
        Outcome::Unknown
    }

    fn tend(&mut self) {
        // It may have been lost after the last commit of all.
        self.see_to_shown(false);
    }
}

impl ChangelogSettings {
    fn commit(
        &self,
        producer: &BaseProducer<Listener>,
        writers: &Writers,
        to: &Progress,
        updates: &[(Change, Time)],
    ) -> Result<(), KafkaError> {
        producer.begin_transaction()?;
        for (collection, keys) in netted(updates).into_values() {
            let topic = self.topic(collection.name);
            let key_columns: Vec<Column> = collection.columns.iter().filter(|column| column.is_key).copied().collect();
            for (key, row) in keys {
                let value = match (row.map(|row| [key, row].concat()), writers.get(collection.name)) {
                    (None, _) => None,
                    (Some(row), None) => Some(object(collection.columns, &row)),
                    (Some(row), Some(writer)) => {
                        let written = avro::row(collection.columns, &row).and_then(|row| writer.write(&row));
                        // No row is like that; one that was would not be a row that is gone.
                        Some(written.ok_or(KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord))?)
                    }
                };
                let key = object(&key_columns, key);
                let mut record = BaseRecord::to(&topic).key(key.as_slice());
                record.payload = value.as_deref();
                send(producer, record)?;
            }
        }
        self.send_progress(producer, to)?;
        sending::commit(producer)
    }
}

/// A row, or the key of one, as JSON.
fn object(columns: &[Column], cells: &str) -> Vec<u8> {
    let mut json = Vec::new();
    // Writing to a vector does not fail.
    let _ = cell::write_object(columns, TextRow::new(cells).cells(), &mut json);
    json
}

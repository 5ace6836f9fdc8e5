//! Sends records into topics: each is there once, whatever happens to connections on the way, or the job ends.
//!
//! Invariant: acks=all and idempotence, so a record is stored on all replicas, once, and records of one key stand in the
//! order in which they were sent. Memory is bounded: who sends faster than the broker takes it waits.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::avro::Writer;
use super::{ANSWER_TIMEOUT, Format, KafkaSettings, Listener, partitions_of};
use crate::decode::avro::TOPIC_RECORD;
use crate::error::{JobError, JobResult};

/// How long is waited at once for room in the queue, or for the last answers.
const WAIT: Duration = Duration::from_millis(50);

/// What sending rests on, whatever the user's settings say.
const OWN: [(&str, &str); 2] = [("acks", "all"), ("enable.idempotence", "true")];
/// What the user's settings may change: a key has the same partition as with Kafka's own clients, and what waits takes
/// 64 MiB at most, where librdkafka would take a gigabyte.
const DEFAULTS: [(&str, &str); 3] =
    [("partitioner", "murmur2_random"), ("queue.buffering.max.kbytes", "65536"), ("linger.ms", "5")];

/// Records that brokers have confirmed, by topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// Sends records.
pub struct Sender {
    producer: BaseProducer<Deliveries>,
    settings: KafkaSettings,
    /// What writes the values of each topic in Avro; made when the first is sent.
    writers: Mutex<BTreeMap<String, Writer>>,
    left_out: AtomicU64,
    unwritable: AtomicU64,
}

impl Sender {
    /// Looks whether these topics are there.
    pub fn connect(settings: &KafkaSettings, topics: &[String]) -> JobResult<Sender> {
        let inquirer = settings.inquirer()?;
        for topic in topics {
            let found = partitions_of(&inquirer, topic, ANSWER_TIMEOUT)
                .map_err(|error| settings.unanswered("look up the topics", &error, &inquirer))?;
            if found.is_none() {
                let error = JobError::job(format!("there is no topic `{topic}`"));
                return Err(error.at(format!("Kafka at {}", settings.brokers)).remedy(format!(
                    "create it: orderwatch topics create --kafka {} --topics {topic}",
                    settings.brokers
                )));
            }
        }
        let producer = settings.with_defaults(&DEFAULTS).create(&OWN, Deliveries::default())?;
        Ok(Sender {
            producer,
            settings: settings.clone(),
            writers: Mutex::default(),
            left_out: AtomicU64::new(0),
            unwritable: AtomicU64::new(0),
        })
    }

    /// Sends a record, given as JSON; waits where too much is on its way already. One that is larger than the client may
    /// send (`message.max.bytes`), or that Avro cannot hold, is left out and counted.
    pub fn send(&self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> JobResult<()> {
        let in_avro = match self.settings.format {
            Format::Json => None,
            Format::Avro => match self.in_avro(topic, value)? {
                None => {
                    self.unwritable.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                written => written,
            },
        };
        let value = in_avro.as_deref().unwrap_or(value);
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).payload(value);
        record.key = key;
        loop {
            match self.producer.send(record) {
                Ok(()) => {
                    self.producer.poll(Duration::ZERO);
                    return self.check();
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(WAIT);
                    self.check()?;
                    record = back;
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge), _)) => {
                    self.left_out.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err((error, _)) => return Err(self.failed(&error)),
            }
        }
    }

    fn in_avro(&self, topic: &str, value: &[u8]) -> JobResult<Option<Vec<u8>>> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        if !writers.contains_key(topic) {
            let started = Instant::now();
            let writer = Writer::of(&self.settings, topic, TOPIC_RECORD, || started.elapsed() < ANSWER_TIMEOUT)?;
            writers.insert(topic.to_owned(), writer);
        }
        Ok(writers.get(topic).and_then(|writer| writer.write_json(value)))
    }

    /// How many records were left out.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed) + self.unwritable.load(Ordering::Relaxed)
    }

    /// Lets answers come in while nothing is sent.
    pub fn poll(&self) -> JobResult<()> {
        self.producer.poll(Duration::ZERO);
        self.check()
    }

    /// Waits until every record is confirmed; what brokers have confirmed, by topic.
    pub fn finish(&self) -> JobResult<BTreeMap<String, Sent>> {
        while self.producer.in_flight_count() > 0 {
            // An answer that has not come yet is no error.
            let _ = self.producer.flush(WAIT);
            self.check()?;
        }
        self.check()?;
        for (count, why) in [
            (&self.left_out, "larger than message.max.bytes of [kafka.client], a million by default"),
            (&self.unwritable, "no JSON objects, or with fields that Avro cannot hold"),
        ] {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                tracing::warn!("{count} records were left out: {why}");
            }
        }
        Ok(self.deliveries().sent.clone())
    }

    fn deliveries(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.producer.context().delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first error of all.
    fn check(&self) -> JobResult<()> {
        let error = self.deliveries().error.clone();
        let fatal = self.producer.client().fatal_error().map(|(code, _)| KafkaError::MessageProduction(code));
        error.or(fatal).map_or(Ok(()), |error| Err(self.failed(&error)))
    }

    fn failed(&self, error: &KafkaError) -> JobError {
        use RDKafkaErrorCode as Code;
        let error = match error {
            // That it took too long says less than why.
            KafkaError::MessageProduction(Code::MessageTimedOut) => {
                KafkaError::MessageProduction(Code::OperationTimedOut)
            }
            error => error.clone(),
        };
        self.settings.failed("send records", &error, &self.producer.context().listener)
    }
}

/// Hears what became of each record.
#[derive(Debug, Default)]
struct Deliveries {
    listener: Listener,
    delivered: Mutex<Delivered>,
}

#[derive(Debug, Default)]
struct Delivered {
    sent: BTreeMap<String, Sent>,
    error: Option<KafkaError>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.listener.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.listener.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = self.delivered.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(message) => {
                let bytes = (message.key_len() + message.payload_len()) as u64;
                let sent = match delivered.sent.get_mut(message.topic()) {
                    Some(sent) => sent,
                    None => delivered.sent.entry(message.topic().to_owned()).or_default(),
                };
                sent.records += 1;
                sent.bytes += bytes;
            }
            Err((error, _)) => _ = delivered.error.get_or_insert(error.clone()),
        }
    }
}

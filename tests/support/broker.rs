//! A real broker for tests: where one listens, topics of a test's own, and records in them.

#![allow(dead_code)] // every test takes what it needs

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use orderwatch::instant::format_instant;
use orderwatch::kafka::KafkaSettings;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::run;

/// The environment variables that name a broker and a schema registry.
const VARIABLE: &str = "ORDERWATCH_KAFKA";
const REGISTRY: &str = "ORDERWATCH_SCHEMA_REGISTRY";
/// So long a broker may take to do what is asked of it.
const DONE_WITHIN: Duration = Duration::from_secs(30);

/// Where a broker listens; none where the environment names none, which is said by name.
pub fn broker() -> Option<String> {
    let found = std::env::var(VARIABLE).ok().filter(|brokers| !brokers.is_empty());
    if found.is_none() {
        run::lacks("Kafka (eval \"$(scripts/services up kafka)\")");
    }
    found
}

/// The address of a schema registry; none where the environment names none, which is said by name.
pub fn registry() -> Option<String> {
    let found = std::env::var(REGISTRY).ok().filter(|address| !address.is_empty());
    if found.is_none() {
        run::lacks("a schema registry (eval \"$(scripts/services up registry)\")");
    }
    found
}

/// A topic name that no other test has.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
    format!("{name}-{}-{now}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub fn settings(brokers: &str, topics: &[&str]) -> KafkaSettings {
    KafkaSettings {
        brokers: brokers.to_owned(),
        topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
        client: [("group.id".to_owned(), unique("group"))].into(),
        ..KafkaSettings::default()
    }
}

/// What a broker answers; it is asked again where it breaks off, as one does that was started a moment ago.
#[track_caller]
pub fn answer<T>(patience: Duration, mut ask: impl FnMut() -> KafkaResult<T>) -> T {
    let until = Instant::now() + patience;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(Instant::now() < until, "no answer in {patience:?}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Makes a topic with these settings and waits until it can be read.
pub fn create_topic_with(brokers: &str, topic: &str, partitions: i32, settings: &[(&str, &str)]) {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    let new = settings.iter().fold(new, |new, (key, value)| new.set(key, value));
    answer(DONE_WITHIN, || {
        let created = wait(admin(brokers).create_topics([&new], &AdminOptions::new()))?;
        // One that was made may be asked for again, where the answer was lost.
        created.into_iter().try_for_each(|topic| match topic {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
            Err((_, code)) => Err(KafkaError::AdminOp(code)),
        })
    });
    wait_for_partitions(brokers, topic, partitions as usize);
}

/// Adds partitions to a topic until there are so many, and waits until they can be read.
pub fn add_partitions(brokers: &str, topic: &str, partitions: usize) {
    let new = NewPartitions::new(topic, partitions);
    answer(DONE_WITHIN, || wait(admin(brokers).create_partitions([&new], &AdminOptions::new())));
    wait_for_partitions(brokers, topic, partitions);
}

fn wait_for_partitions(brokers: &str, topic: &str, partitions: usize) {
    let client = KafkaSettings { brokers: brokers.to_owned(), ..KafkaSettings::default() }.inquirer().unwrap();
    let until = Instant::now() + DONE_WITHIN;
    while !orderwatch::kafka::partitions_of(&client, topic, Duration::from_secs(5))
        .is_ok_and(|found| found.is_some_and(|found| found.len() == partitions))
    {
        assert!(Instant::now() < until, "{topic} does not appear");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The line of an order event.
pub fn order_event(order: &str, kind: &str, at: Time) -> String {
    format!(r#"{{"event_type":"{kind}","order_id":"{order}","timestamp":"{}"}}"#, format_instant(at))
}

/// Makes a topic of a name of its own.
pub fn create_topic(brokers: &str, name: &str, partitions: i32) -> String {
    let topic = unique(name);
    create_topic_with(brokers, &topic, partitions, &[]);
    topic
}

pub fn delete_topic(brokers: &str, topic: &str) {
    answer(DONE_WITHIN, || wait(admin(brokers).delete_topics(&[topic], &AdminOptions::new())));
}

/// Deletes the records of a partition before an offset.
pub fn delete_records(brokers: &str, topic: &str, partition: i32, before: i64) {
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    answer(DONE_WITHIN, || {
        let deleted = wait(admin(brokers).delete_records(&offsets, &AdminOptions::new()))?;
        deleted.elements().iter().try_for_each(|element| element.error())
    });
}

/// A producer; one with an id is transactional.
pub fn producer(brokers: &str, transactional_id: Option<&str>) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("message.max.bytes", "8000000");
    if let Some(id) = transactional_id {
        config.set("transactional.id", id);
    }
    let producer: BaseProducer = config.create().unwrap();
    if transactional_id.is_some() {
        producer.init_transactions(Duration::from_secs(30)).unwrap();
    }
    producer
}

/// Sends a value into a partition.
pub fn send(producer: &BaseProducer, topic: &str, partition: i32, value: &[u8]) {
    let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value);
    while let Err((_, back)) = producer.send(record) {
        record = back;
        producer.poll(Duration::from_millis(10));
    }
}

pub fn flush(producer: &BaseProducer) {
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// A broker of a test's own, which it may kill.
pub struct OwnBroker {
    folder: tempfile::TempDir,
    pub brokers: String,
}

impl OwnBroker {
    /// None, and why, where brokers cannot be started here.
    pub fn start() -> Option<OwnBroker> {
        broker()?;
        let folder = folder();
        let brokers = services(&folder, &["up", "kafka"]);
        Some(OwnBroker { folder, brokers })
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(&self) {
        kill(&self.folder, "kafka");
    }

    /// Starts it again on what it stored.
    pub fn restart(&self) {
        services(&self.folder, &["restart", "kafka"]);
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        services(&self.folder, &["down", "kafka"]);
    }
}

/// A schema registry of a test's own, which it may kill.
pub struct OwnRegistry {
    folder: tempfile::TempDir,
    pub address: String,
}

impl OwnRegistry {
    /// None, and why, where registries cannot be started here.
    pub fn start() -> Option<OwnRegistry> {
        registry()?;
        let folder = folder();
        let address = services(&folder, &["up", "registry"]);
        Some(OwnRegistry { folder, address })
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub fn kill(&self) {
        kill(&self.folder, "registry");
    }

    /// Starts it again on what it stored.
    pub fn restart(&self) {
        services(&self.folder, &["restart", "registry"]);
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        services(&self.folder, &["down", "registry"]);
    }
}

/// Where servers of a test's own store what they have; what was fetched once is not fetched again.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
    let cache = std::path::absolute(std::path::Path::new(&target).join("services/cache")).unwrap();
    std::fs::create_dir(folder.path().join("services")).unwrap();
    std::fs::create_dir_all(&cache).unwrap();
    std::os::unix::fs::symlink(cache, folder.path().join("services/cache")).unwrap();
    folder
}

fn kill(folder: &tempfile::TempDir, service: &str) {
    let id = std::fs::read_to_string(folder.path().join(format!("services/{service}/pid"))).unwrap();
    run::kill(id.trim());
}

fn services(folder: &tempfile::TempDir, arguments: &[&str]) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let mut command = Command::new(script);
    command.args(arguments).env("CARGO_TARGET_DIR", folder.path()).env_remove(VARIABLE).env_remove(REGISTRY);
    // One that was killed is not let in again before its session is over.
    command.env("ORDERWATCH_KAFKA_SESSION_MS", "2000");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim().rsplit('=').next().unwrap_or_default().to_owned()
}

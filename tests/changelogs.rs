//! Changelogs in Kafka, with a real broker: read committed and compacted they are what was given, each commit whole, whoever
//! is fenced off, cut off or killed.
//!
//! ORDERWATCH_KAFKA names the broker (`eval "$(scripts/services up kafka)"`); each test has topics of its own. The one that
//! kills a broker starts one of its own. What is missing is said by name.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/avro_rows.rs"]
mod avro_rows;
#[path = "support/broker.rs"]
mod broker;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "support/wanted.rs"]
mod wanted;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::{Collection, Column};
use orderwatch::clock::partitions::{Mark, Partition, Trail};
use orderwatch::config::SinkConfig;
use orderwatch::kafka::{Format, KafkaSettings};
use orderwatch::sink::cell;
use orderwatch::sink::change::Change;
use orderwatch::sink::commits::{Outcome, Progress, Transactions};
use orderwatch::sink::committer::{Committer, CommitterSettings};
use orderwatch::sink::kafka::{ChangelogSettings, Kafka, avro};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use broker::OwnBroker;
use inputs::Chance;
use wanted::Wanted;

const PATIENCE: Duration = Duration::from_secs(60);

static JOBS: AtomicUsize = AtomicUsize::new(0);

/// Settings with topics of the test's own; none where there is no broker, which is said by name.
fn settings() -> Option<ChangelogSettings> {
    broker::broker().map(settings_at)
}

fn settings_at(brokers: String) -> ChangelogSettings {
    let job = format!("shop-{}-{}", std::process::id(), JOBS.fetch_add(1, Ordering::Relaxed));
    ChangelogSettings { kafka: KafkaSettings { brokers, ..KafkaSettings::default() }, job }
}

fn client(settings: &ChangelogSettings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.kafka.brokers).set("group.id", "tests");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config
}

/// What a topic comes to: the last committed value of each key.
fn compacted(settings: &ChangelogSettings, collection: &Collection) -> BTreeMap<String, String> {
    let reader: BaseConsumer = client(settings).create().unwrap();
    let topic = format!("{}.{}", settings.job, collection.name);
    let metadata = broker::answer(PATIENCE, || reader.fetch_metadata(Some(&topic), PATIENCE));
    let partitions = metadata.topics()[0].partitions().len();
    let mut assigned = TopicPartitionList::new();
    (0..partitions).for_each(|number| {
        assigned.add_partition_offset(&topic, number as i32, Offset::Beginning).unwrap();
    });
    reader.assign(&assigned).unwrap();
    let (mut rows, mut ended, started) = (BTreeMap::new(), 0, Instant::now());
    while ended < partitions {
        assert!(started.elapsed() < PATIENCE, "{topic} has no end");
        match reader.poll(Duration::from_millis(100)) {
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Ok(record)) => {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let key = text(record.key().unwrap());
                match record.payload() {
                    Some(row) if settings.kafka.format == Format::Avro => {
                        let cells = avro_rows::cells(collection, &avro::schema(collection), row);
                        drop(rows.insert(key, object(collection.columns, &cells)));
                    }
                    Some(row) => drop(rows.insert(key, text(row))),
                    None => drop(rows.remove(&key)),
                }
            }
            // A broker that was started a moment ago.
            Some(Err(_)) | None => {}
        }
    }
    rows
}

fn object(columns: &[Column], row: &[String]) -> String {
    let mut json = Vec::new();
    cell::write_object(columns, row.iter(), &mut json).unwrap();
    String::from_utf8(json).unwrap()
}

#[track_caller]
fn assert_holds(settings: &ChangelogSettings, wanted: &Wanted) {
    for collection in &COLLECTIONS {
        let keys: Vec<Column> = collection.columns.iter().filter(|column| column.is_key).copied().collect();
        let rows = wanted.rows(collection);
        let wanted = rows.iter().map(|row| (object(&keys, row), object(collection.columns, row))).collect();
        // What was committed is shown once the broker has put its marker into every partition, which it does after it
        // has said so; one that was killed in between does it when it is back.
        let (mut found, started) = (compacted(settings, collection), Instant::now());
        while found != wanted && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(50));
            found = compacted(settings, collection);
        }
        assert_eq!(found, wanted, "{}", collection.name);
    }
}

fn progress(incarnation: u64, frontier: Time) -> Progress {
    let mark = Mark { next_offset: frontier, largest_at: 5, watermark: u64::MAX, ceiling: 1 << 60 };
    let trail = Trail::from([(Partition { topic: "orders".into(), number: 3 }, vec![mark])]);
    Progress { incarnation, frontier, committed_by: incarnation, trail, complete_since: 0 }
}

#[test]
fn changelogs_are_what_the_changes_come_to() {
    let Some(settings) = settings() else { return };
    hold_what_the_changes_come_to(&settings);
}

#[test]
fn so_are_those_in_avro() {
    let Some(mut settings) = settings() else { return };
    settings.kafka.format = Format::Avro;
    hold_what_the_changes_come_to(&settings);
}

fn hold_what_the_changes_come_to(settings: &ChangelogSettings) {
    let mut kafka = Kafka::connect(settings).unwrap();
    assert_eq!(kafka.fence(7), Some(Progress { incarnation: 7, ..Progress::default() }));
    let (mut wanted, mut chance) = (Wanted::default(), Chance(1));
    for frontier in 0..80 {
        let count = chance.below(100);
        let updates: Vec<(Change, Time)> = (0..count).map(|_| (wanted.change(&mut chance, 40), frontier)).collect();
        assert_eq!(kafka.commit(frontier, &progress(7, frontier + 1), &updates), Outcome::Done);
    }
    assert_holds(settings, &wanted);
    assert_eq!(Kafka::connect(settings).unwrap().fence(7), Some(progress(7, 80)), "another process reads it, too");
}

#[test]
fn no_text_of_a_record_is_too_long_or_too_strange_for_a_key() {
    let Some(settings) = settings() else { return };
    let mut kafka = Kafka::connect(&settings).unwrap();
    kafka.fence(1).unwrap();
    let mut wanted = Wanted::default();
    for number in 0..5 {
        let frontier = number as Time;
        let updates: Vec<_> = wanted.categories(number).into_iter().map(|change| (change, frontier)).collect();
        assert_eq!(kafka.commit(frontier, &progress(1, frontier + 1), &updates), Outcome::Done);
    }
    assert_holds(&settings, &wanted);
}

#[test]
fn how_long_a_transaction_may_be_open_is_for_the_user_to_say() {
    let Some(mut settings) = settings() else { return };
    let mut fenced = |timeout_ms: &str| {
        settings.kafka.client.insert("transaction.timeout.ms".to_owned(), timeout_ms.to_owned());
        Kafka::connect(&settings).unwrap().fence(1)
    };
    assert_eq!(fenced("900001"), None, "longer than brokers allow");
    assert!(fenced("30000").is_some(), "shorter than answers are waited for by default");
}

#[test]
fn nobody_but_the_newest_incarnation_commits() {
    let Some(settings) = settings() else { return };
    let (mut old, mut new) = (Kafka::connect(&settings).unwrap(), Kafka::connect(&settings).unwrap());
    let (mut wanted, mut chance) = (Wanted::default(), Chance(2));
    assert_eq!(old.commit(0, &progress(1, 9), &[]), Outcome::Unknown, "the progress was not read");
    old.fence(1).unwrap();
    let change = wanted.change(&mut chance, 40);
    assert_eq!(old.commit(0, &progress(1, 5), &[(change, 1)]), Outcome::Done);
    assert_eq!(new.fence(2), Some(Progress { incarnation: 2, ..progress(1, 5) }));
    let lost = (Wanted::default().change(&mut chance, 40), 6);
    assert_eq!(old.commit(5, &progress(1, 9), std::slice::from_ref(&lost)), Outcome::Unknown);
    assert_eq!(old.fence(1), Some(Progress { incarnation: 2, ..progress(1, 5) }), "an older one changes nothing");
    assert_holds(&settings, &wanted);
    let change = wanted.change(&mut chance, 40);
    assert_eq!(new.commit(5, &progress(2, 9), &[(change, 6)]), Outcome::Done);
    assert_holds(&settings, &wanted);
}

#[test]
fn what_a_process_began_that_is_gone_is_given_up() {
    let Some(settings) = settings() else { return };
    let mut kafka = Kafka::connect(&settings).unwrap();
    kafka.fence(1).unwrap();
    // One that is cut off with a transaction open: it has the identity of the job.
    let id = &settings.job;
    let zombie: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &settings.kafka.brokers)
        .set("transactional.id", id)
        .create()
        .unwrap();
    zombie.init_transactions(PATIENCE).unwrap();
    zombie.begin_transaction().unwrap();
    let topic = format!("{}.orders", settings.job);
    zombie.send(BaseRecord::<str, str>::to(&topic).key("{}").payload("{}")).unwrap();
    zombie.flush(PATIENCE).unwrap();
    // The newer producer has fenced us off, though it is no newer incarnation: the progress says so.
    let mut wanted = Wanted::default();
    let updates = [(wanted.change(&mut Chance(3), 40), 1)];
    assert_eq!(kafka.commit(0, &progress(1, 2), &updates), Outcome::Unknown);
    assert_eq!(kafka.fence(1), Some(Progress { incarnation: 1, ..Progress::default() }));
    assert_eq!(kafka.commit(0, &progress(1, 2), &updates), Outcome::Done);
    assert!(zombie.commit_transaction(PATIENCE).is_err());
    assert_holds(&settings, &wanted);
}

/// Commits a record to a topic of the job, as whoever is not the job would.
fn put(settings: &ChangelogSettings, name: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", &settings.kafka.brokers).create().unwrap();
    let topic = format!("{}.{name}", settings.job);
    producer.send(BaseRecord::<str, str>::to(&topic).key("{}").payload("{}")).unwrap();
    producer.flush(PATIENCE).unwrap();
}

#[track_caller]
fn assert_refused(settings: &ChangelogSettings, what: &str, name: &str) {
    let error = Kafka::connect(settings).map(drop).unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let error = error.to_string();
    let topic = format!("topic {}.{name}, Kafka at {}", settings.job, settings.kafka.brokers);
    assert!(error.contains(what) && error.contains(&topic) && error.contains("--job"), "{error}");
}

#[test]
fn changelogs_that_cannot_be_gone_on_with_are_refused_and_stay() {
    let (Some(foreign), Some(gone)) = (settings(), settings()) else { return };
    let mut kafka = Kafka::connect(&foreign).unwrap();
    kafka.fence(1).unwrap();
    put(&foreign, "progress");
    for _ in 0..2 {
        assert_refused(&foreign, "not written as this version writes it", "progress");
        assert_eq!(kafka.fence(2), None, "it is not overwritten");
    }
    // Topics that are there and empty are taken.
    drop(Kafka::connect(&gone).unwrap());
    let mut kafka = Kafka::connect(&gone).unwrap();
    put(&gone, "orders");
    assert_refused(&gone, "nothing says how far they are", "orders");
    assert_eq!(kafka.fence(1), None);
}

#[test]
fn a_broker_that_is_killed_has_everything_once() {
    let Some(own) = OwnBroker::start() else { return };
    let settings = settings_at(own.brokers.clone());
    let mut kafka = Kafka::connect(&settings).unwrap();
    let found = kafka.fence(1).unwrap();
    let sink =
        SinkConfig { memory_bytes: 64 << 20, spill_bytes: 64 << 20, circuit_failures: 3, circuit_probe_after_ms: 500 };
    let committer_settings = CommitterSettings { job: "shop".into(), sink };
    let committer = Committer::start("kafka", found, &Trail::new(), Box::new(kafka), committer_settings).unwrap();
    let (mut wanted, mut chance, mut time) = (Wanted::default(), Chance(5), 0);
    let wait_for = |frontier| {
        let started = Instant::now();
        while committer.frontier() < frontier {
            assert!(started.elapsed() < 2 * PATIENCE && committer.failure().is_none(), "{:?}", committer.failure());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    for _ in 0..2 {
        for _ in 0..300 {
            time += 1;
            committer.give((0..10).map(|_| (wanted.change(&mut chance, 100), time)).collect());
            committer.commit(time + 1);
        }
        wait_for(time / 2);
        own.kill();
        own.restart();
        wait_for(time + 1);
        assert_holds(&settings, &wanted);
    }
    committer.drain(PATIENCE).unwrap();
}

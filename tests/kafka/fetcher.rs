//! The reader of a live job: order, ends, transactions, and what it refuses to read on from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orderwatch::clock::partitions::{Backlog, Partition};
use orderwatch::error::JobError;
use orderwatch::kafka::KafkaSettings;
use orderwatch::source::kafka::{Fetcher, Record, offsets_at, partitions};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::broker::*;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// Key and value of a record.
type Form<'f> = (Option<&'f [u8]>, Option<&'f [u8]>);

pub fn partition(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.to_owned(), number }
}

/// Reads until `enough` says so; the records of each partition.
pub fn read_until(
    fetcher: &mut Fetcher,
    mut enough: impl FnMut(&Fetcher, &BTreeMap<Partition, Vec<Record>>) -> bool,
) -> Result<BTreeMap<Partition, Vec<Record>>, JobError> {
    let (mut read, until) = (BTreeMap::<_, Vec<Record>>::new(), Instant::now() + PATIENCE);
    loop {
        match fetcher.poll()? {
            Some(fetched) => read.entry(fetched.partition).or_default().extend(fetched.records),
            None if enough(fetcher, &read) => return Ok(read),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(Instant::now() < until, "nothing more comes: {:?}", read.values().map(Vec::len).collect::<Vec<_>>());
    }
}

pub fn is_caught_up(fetcher: &Fetcher, partition: &Partition, next_offset: u64) -> bool {
    fetcher.backlog(partition, next_offset) == Backlog::None
}

fn numbers(records: &[Record]) -> Vec<u64> {
    let number = |record: &Record| std::str::from_utf8(record.value.as_deref().unwrap()).unwrap().parse().unwrap();
    records.iter().map(number).collect()
}

#[test]
fn every_record_comes_once_and_in_order_whatever_the_partitions() {
    let Some(brokers) = broker() else { return };
    let topics = [create_topic(&brokers, "one", 1), create_topic(&brokers, "three", 3)];
    let producer = producer(&brokers, None);
    for number in 0..30_000_u64 {
        let (topic, count) = if number % 4 == 0 { (&topics[0], 1) } else { (&topics[1], 3) };
        send(&producer, topic, (number % count) as i32, number.to_string().as_bytes());
    }
    flush(&producer);
    let settings = settings(&brokers, &[&topics[0], "no-such-topic", &topics[1]]);
    let found = partitions(&settings, PATIENCE).unwrap();
    assert_eq!(found.len(), 4, "a topic that is missing is passed over");
    assert_eq!(found.iter().map(|found| found.end - found.earliest).sum::<u64>(), 30_000);

    let mut fetcher = Fetcher::start(&settings).unwrap();
    assert_eq!(fetcher.poll().unwrap(), None);
    let skipped = 100;
    found.iter().for_each(|found| fetcher.read(found.partition.clone(), found.earliest + skipped));
    let read = read_until(&mut fetcher, |fetcher, _| {
        found.iter().all(|found| is_caught_up(fetcher, &found.partition, found.end))
    })
    .unwrap();
    for found in &found {
        let records = &read[&found.partition];
        let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, (found.earliest + skipped..found.end).collect::<Vec<_>>());
        let values = numbers(records);
        assert!(
            values.is_sorted() && values.iter().all(|value| (value % 4 == 0) == (found.partition.topic == topics[0]))
        );
        assert_eq!(fetcher.end_position(&found.partition), Some(found.end));
        assert_eq!(fetcher.high_watermark(&found.partition), Some(found.end));
        assert!(!is_caught_up(&fetcher, &found.partition, found.end - 1), "what was not worked off is backlog");
    }
    fetcher.publish(&found.iter().map(|found| (found.partition.clone(), found.end)).collect());
    await_published(&settings, &found[1].partition, found[1].end);

    // A partition that is caught up has a backlog again as soon as more is known of, and then has none.
    let (late, end) = (&found[0].partition, found[0].end);
    send(&producer, &late.topic, late.number, b"30000");
    flush(&producer);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, late, end + 1)).unwrap();
    assert_eq!(numbers(&read[late]), [30_000]);
}

/// Waits until tools that show lag see this offset.
fn await_published(settings: &KafkaSettings, partition: &Partition, offset: u64) {
    let tool: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", &settings.client["group.id"])
        .create()
        .unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&partition.topic, partition.number);
        let committed = tool.committed_offsets(asked, PATIENCE).unwrap();
        if committed.elements()[0].offset() == Offset::Offset(offset as i64) {
            return;
        }
        assert!(Instant::now() < until, "{:?} is published", committed.elements()[0].offset());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_is_in_a_record_comes_as_it_is() {
    let Some(brokers) = broker() else { return };
    let topic = unique("forms");
    create_topic_with(&brokers, &topic, 1, &[("max.message.bytes", "8000000")]);
    let producer = producer(&brokers, None);
    let large = vec![b'x'; 3 << 20];
    let forms: [Form<'_>; 5] = [
        (Some(b"k"), Some(b"v")),
        (Some(b"k"), None),
        (None, Some(b"")),
        (None, Some(&large)),
        (Some(b"\xff"), Some(b"\x00\xff")),
    ];
    for (key, value) in forms {
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic).partition(0).timestamp(1_500);
        (record.key, record.payload) = (key, value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    flush(&producer);
    let mut fetcher = Fetcher::start(&settings(&brokers, &[&topic])).unwrap();
    fetcher.read(partition(&topic, 0), 0);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &partition(&topic, 0), 5)).unwrap();
    let records = &read[&partition(&topic, 0)];
    let read: Vec<_> = records.iter().map(|record| (record.key.as_deref(), record.value.as_deref())).collect();
    assert!(
        read == forms,
        "{:?}",
        records.iter().map(|record| record.value.as_ref().map(|value| value.len())).collect::<Vec<_>>()
    );
    assert!(records.iter().all(|record| record.timestamp_ms == Some(1_500)));

    let at =
        |at| offsets_at(&settings(&brokers, &[]), &[partition(&topic, 0)], at, PATIENCE).unwrap().into_values().next();
    assert_eq!([at(0), at(1_500), at(1_501)], [Some(0), Some(0), Some(5)]);
}

#[test]
fn only_what_was_committed_is_read_and_markers_are_passed() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "transactions", 1);
    let transactional = producer(&brokers, Some(&unique("id")));
    let in_transaction = |values: &[&str]| {
        transactional.begin_transaction().unwrap();
        values.iter().for_each(|value| send(&transactional, &topic, 0, value.as_bytes()));
        flush(&transactional);
    };
    in_transaction(&["1", "2"]);
    transactional.commit_transaction(PATIENCE).unwrap();
    in_transaction(&["3"]);
    transactional.abort_transaction(PATIENCE).unwrap();
    let settings = settings(&brokers, &[&topic]);
    // Two records, a marker, one that was given up, a marker: which is put there after the broker has said so.
    let (only, asked) = (partition(&topic, 0), Instant::now());
    while partitions(&settings, PATIENCE).unwrap()[0].end != 5 {
        assert!(asked.elapsed() < PATIENCE, "{:?}", partitions(&settings, PATIENCE));
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut fetcher = Fetcher::start(&settings).unwrap();
    fetcher.read(only.clone(), 0);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 2)).unwrap();
    assert_eq!(numbers(&read[&only]), [1, 2]);
    assert_eq!(fetcher.end_position(&only), Some(5));

    in_transaction(&["4"]);
    std::thread::sleep(Duration::from_millis(600));
    let open = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &only, 5)).unwrap();
    assert!(open.is_empty(), "nothing of an open transaction is read, and nobody waits for it");
    transactional.commit_transaction(PATIENCE).unwrap();
    let read = read_until(&mut fetcher, |fetcher, _| fetcher.end_position(&only) == Some(7)).unwrap();
    assert_eq!(numbers(&read[&only]), [4]);
    // Whoever comes back stands behind the marker.
    let mut back = Fetcher::start(&settings).unwrap();
    back.read(only.clone(), 6);
    let none = read_until(&mut back, |fetcher, _| is_caught_up(fetcher, &only, 6)).unwrap();
    assert!(none.is_empty());
}

#[test]
fn a_paused_partition_holds_up_no_other() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "paused", 2);
    let producer = producer(&brokers, None);
    let filler = "7".repeat(10_000);
    for _ in 0..4_000 {
        (0..2).for_each(|number| send(&producer, &topic, number, filler.as_bytes()));
    }
    flush(&producer);
    let mut fetcher = Fetcher::start(&settings(&brokers, &[&topic])).unwrap();
    let [paused, other] = [partition(&topic, 0), partition(&topic, 1)];
    fetcher.read(paused.clone(), 0);
    fetcher.read(other.clone(), 0);
    fetcher.pause(&other);
    fetcher.poll().unwrap();
    fetcher.pause(&paused);
    fetcher.resume(&other);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &other, 4_000)).unwrap();
    assert_eq!(read[&other].len(), 4_000);
    let begun = read.get(&paused).map_or(0, Vec::len);
    assert!(begun < 4_000 && !is_caught_up(&fetcher, &paused, begun as u64));
    fetcher.resume(&paused);
    let rest = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &paused, 4_000)).unwrap();
    assert_eq!(rest[&paused].len() + begun, 4_000);
    assert_eq!(rest[&paused].last().unwrap().offset, 3_999);
}

#[test]
fn a_partition_added_while_reading_is_read_as_well() {
    let Some(brokers) = broker() else { return };
    let [first, second] = [create_topic(&brokers, "first", 1), create_topic(&brokers, "second", 1)];
    let producer = producer(&brokers, None);
    let mut fetcher = Fetcher::start(&settings(&brokers, &[&first, &second])).unwrap();
    let [first, second] = [partition(&first, 0), partition(&second, 0)];
    fetcher.read(first.clone(), 0);
    send(&producer, &first.topic, 0, b"1");
    flush(&producer);
    read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &first, 1)).unwrap();
    fetcher.read(second.clone(), 0);
    for topic in [&first.topic, &second.topic, &first.topic] {
        send(&producer, topic, 0, b"2");
    }
    flush(&producer);
    let both =
        |fetcher: &Fetcher, _: &BTreeMap<_, _>| is_caught_up(fetcher, &first, 3) && is_caught_up(fetcher, &second, 1);
    let read = read_until(&mut fetcher, both).unwrap();
    assert_eq!((numbers(&read[&first]), numbers(&read[&second])), (vec![2, 2], vec![2]));
}

#[test]
fn offsets_that_are_not_there_end_the_job_with_what_there_is() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "gone", 2);
    let producer = producer(&brokers, None);
    (0..10).for_each(|_| (0..2).for_each(|number| send(&producer, &topic, number, b"1")));
    flush(&producer);
    delete_records(&brokers, &topic, 1, 7);
    let refused = |number, offset| {
        let mut fetcher = Fetcher::start(&settings(&brokers, &[&topic])).unwrap();
        fetcher.read(partition(&topic, number), offset);
        let error = read_until(&mut fetcher, |_, read| !read.is_empty()).unwrap_err();
        assert!(
            error.location().unwrap().contains(&brokers) && error.remedy_text().is_some() && error.exit_code() == 1
        );
        error.what().to_owned()
    };
    assert_eq!(refused(1, 5), format!("the broker no longer has offset 5 of {topic}/1: the earliest is 7"));
    assert_eq!(refused(0, 12), format!("the broker has no offset 12 of {topic}/0: it ends at 10"));
}

#[test]
fn a_topic_that_is_deleted_ends_the_job() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "deleted", 1);
    let mut fetcher = Fetcher::start(&settings(&brokers, &[&topic])).unwrap();
    fetcher.read(partition(&topic, 0), 0);
    read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &partition(&topic, 0), 0)).unwrap();
    delete_topic(&brokers, &topic);
    let error = read_until(&mut fetcher, |_, _| false).unwrap_err();
    assert_eq!(error.what(), format!("{topic}/0 was deleted"));
}

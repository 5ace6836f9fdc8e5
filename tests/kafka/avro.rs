//! Avro through topics, with a real broker and a real schema registry: the same files, and each poisonous record refused.

use std::time::{Duration, Instant};

use orderwatch::clock::partitions::Backlog;
use orderwatch::decode::avro::TOPIC_RECORD;
use orderwatch::kafka::KafkaSettings;
use orderwatch::kafka::avro::Writer;
use orderwatch::registry::{Registry, RegistryAddress};
use orderwatch::source::kafka::Fetcher;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};

use crate::broker::*;
use crate::fetcher::{is_caught_up, partition, read_until};
use crate::inputs::sample;
use crate::round_trip::{Shop, assert_same, files};
use crate::run::{replay, run};
use crate::topics::with_variables;

/// Says for a minute that a registry is to be asked again: one that has just been started may be slow.
fn for_a_minute() -> impl Fn() -> bool {
    let until = Instant::now() + Duration::from_secs(60);
    move || Instant::now() < until
}

#[test]
fn the_sample_in_avro_gives_the_same_files() {
    let (Some(brokers), Some(registry)) = (broker(), registry()) else { return };
    let expected = files(sample().to_str().unwrap(), &[]).0;
    for form in [&["--avro"][..], &["--avro", "--schema-registry", &registry]] {
        let shop = Shop::create(&brokers);
        shop.produce(sample().to_str().unwrap(), form);
        for workers in ["1", "3"] {
            let got = files(&shop.address(), &[form, &["-w", workers]].concat()).0;
            assert_same(&expected, &got, &format!("{form:?} -w {workers}"));
        }
        let checked = with_variables(&[&["check", &shop.address()], form].concat(), &[]);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

#[test]
fn what_is_poisonous_is_refused_where_it_stands_and_nothing_else() {
    let (Some(brokers), Some(address)) = (broker(), registry()) else { return };
    let topic = unique("poisoned");
    create_topic_with(&brokers, &topic, 1, &[("max.message.bytes", "8000000")]);
    let registry = Some(RegistryAddress::parse(&address).unwrap());
    let settings = KafkaSettings { registry, ..KafkaSettings::default() };
    let writer = Writer::of(&settings, &topic, TOPIC_RECORD, for_a_minute()).unwrap();
    let event = |order: &str, kind: &str| {
        format!(r#"{{"event_type":"{kind}","order_id":"{order}","timestamp":"2024-01-01T00:00:00Z"}}"#)
    };
    let good = |order| writer.write_json(event(order, "ORDER_PLACED").as_bytes()).unwrap();
    let with_head = |head: [u8; 5]| [&head[..], &good("x")[5..]].concat();
    let mut large = good("large");
    large.resize((1 << 20) + 1, 0);
    let json = event("c", "ORDER_PLACED").into_bytes();
    let text = unique("text");
    let unreadable = Registry::new(&RegistryAddress::parse(&address).unwrap())
        .ask(|registry| registry.register(&text, r#"{"type":"string"}"#), for_a_minute())
        .unwrap()
        .to_be_bytes();
    let values: Vec<(Option<Vec<u8>>, &str)> = vec![
        (Some(good("a")), ""),
        (Some(with_head([1, 0, 0, 0, 1])), "malformed"),
        (Some(with_head([0, 0x7f, 0, 0, 1])), "unknown_schema_version"),
        (Some(good("cut")[..12].to_vec()), "malformed"),
        (Some([&good("more")[..], &[0]].concat()), "malformed"),
        (Some(vec![0, 0, 0]), "malformed"),
        (Some(vec![]), "malformed"),
        (Some(with_head([0, unreadable[0], unreadable[1], unreadable[2], unreadable[3]])), "malformed"),
        (None, ""),
        (Some(large), "too_large"),
        (Some(writer.write_json(event("b", "ORDER_LOST").as_bytes()).unwrap()), "unknown_event_type"),
        (Some(json), ""),
        (Some(good("d")), ""),
    ];
    let producer = producer(&brokers, None);
    for (number, (value, _)) in values.iter().enumerate() {
        // Keys and headers say nothing, there or not.
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic).partition(0);
        if number % 2 == 0 {
            let header = Header { key: "content-type", value: Some("no/thing") };
            record = record.key(b"\xFFno text").headers(OwnedHeaders::new().insert(header));
        }
        record.payload = value.as_deref();
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();

    let wanted: Vec<(String, String)> = (0..)
        .zip(&values)
        .filter(|(_, (_, reason))| !reason.is_empty())
        .map(|(offset, (_, reason))| (format!("0/{offset}"), (*reason).to_owned()))
        .collect();
    for workers in ["1", "2"] {
        let out = tempfile::tempdir().unwrap();
        let input = format!("kafka://{brokers}/{topic}");
        let flags =
            ["--no-console", "--schema-registry", &address, "-w", workers, "--out", out.path().to_str().unwrap()];
        let ended = run(&mut replay(&[&[&*input], &flags[..]].concat()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let rows = |name: &str| -> Vec<csv::StringRecord> {
            let file = csv::Reader::from_path(out.path().join(name)).unwrap();
            file.into_records().map(Result::unwrap).collect()
        };
        let mut letters: Vec<(String, String)> =
            rows("dead_letters.csv").iter().map(|row| (row[1].to_owned(), row[2].to_owned())).collect();
        letters.sort_by_key(|(position, _)| position[2..].parse::<u32>().unwrap());
        assert_eq!(letters, wanted);
        let orders: Vec<String> = rows("orders.csv").iter().map(|row| row[0].to_owned()).collect();
        assert_eq!(orders, ["a", "c", "d"]);
        let read: u64 = rows("data_quality_metrics.csv").iter().map(|row| row[2].parse::<u64>().unwrap()).sum();
        assert_eq!(read, values.len() as u64 - 1, "a tombstone is no record");
    }
}

#[test]
fn a_registry_that_says_no_ends_the_job_and_no_password_is_shown() {
    let (Some(brokers), Some(address)) = (broker(), registry()) else { return };
    let topic = create_topic(&brokers, "elsewhere", 1);
    let producer = producer(&brokers, None);
    send(&producer, &topic, 0, &[0, 0, 0, 0, 1, 0]);
    flush(&producer);
    let (scheme, rest) = address.split_once("://").unwrap();
    let elsewhere = format!("{scheme}://shop:hunter2@{}/nowhere", rest.split('/').next().unwrap());
    let away = "http://shop:hunter2@127.0.0.1:1";
    for (arguments, what) in [
        (vec![format!("kafka://{brokers}/{topic}"), "--schema-registry".into(), elsewhere], "404 Not Found"),
        (
            vec![
                "data/sample".into(),
                "--produce".into(),
                brokers.clone(),
                "--avro".into(),
                "--schema-registry".into(),
                away.into(),
            ],
            "the schema registry gives no answer",
        ),
        (
            vec!["data/sample".into(), "--schema-registry".into(), "shop:hunter2@registry".into()],
            "is no address of a schema registry",
        ),
    ] {
        let ended = run(replay(&arguments).env("ORDERWATCH__KAFKA__TOPICS", &topic));
        assert!(ended.code != Some(0) && ended.stderr.contains(what), "{arguments:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}

#[test]
fn a_partition_waits_for_a_registry_that_is_away_and_the_others_go_on() {
    let (Some(brokers), Some(own)) = (broker(), OwnRegistry::start()) else { return };
    let topic = create_topic(&brokers, "waiting", 2);
    let registry = RegistryAddress::parse(&own.address);
    let settings = KafkaSettings { registry, ..settings(&brokers, &[&topic]) };
    let value = |name: &str| {
        let schema = TOPIC_RECORD.replace("TopicRecord", name);
        let writer = Writer::of(&settings, &topic, &schema, for_a_minute()).unwrap();
        writer.write_json(br#"{"event_type":"ORDER_PLACED","order_id":"a","timestamp":0}"#).unwrap()
    };
    let (known, unknown) = (value("Known"), value("Unknown"));
    let producer = producer(&brokers, None);
    send(&producer, &topic, 0, &known);
    flush(&producer);
    let [first, second] = [0, 1].map(|number| partition(&topic, number));
    let mut fetcher = Fetcher::start(&settings).unwrap();
    [&first, &second].into_iter().for_each(|partition| fetcher.read(partition.clone(), 0));
    read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &first, 1)).unwrap();
    own.kill();
    [&known, &unknown, &known].into_iter().for_each(|value| send(&producer, &topic, 0, value));
    (0..100).for_each(|_| send(&producer, &topic, 1, b"{}"));
    flush(&producer);
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &second, 100)).unwrap();
    assert_eq!((read[&first].len(), read[&second].len()), (1, 100));
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert!(fetcher.poll().unwrap().is_none());
        assert_eq!(fetcher.backlog(&first, 2), Backlog::Some, "nobody has read what waits");
        assert_eq!(fetcher.position(&first), Some(2));
        assert!(fetcher.end_position(&first).is_none_or(|end| end == 2), "what waits is not passed over");
        std::thread::sleep(Duration::from_millis(5));
    }
    own.restart();
    let read = read_until(&mut fetcher, |fetcher, _| is_caught_up(fetcher, &first, 4)).unwrap();
    assert_eq!(read[&first].iter().map(|record| record.offset).collect::<Vec<_>>(), [2, 3]);
    assert!(read[&first][0].form != read[&first][1].form);
    assert_eq!(fetcher.end_position(&first), Some(4));
}

//! Into topics and back: the same files as from the inputs themselves, whatever the partitions and workers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::broker::*;
use crate::inputs::{sample, shared};
use crate::run::{Ended, cluster, replay, run, start};
use crate::topics::with_variables;

pub type Files = BTreeMap<String, Vec<u8>>;

/// The three topics of a shop, of 1, 3 and 6 partitions.
pub struct Shop {
    pub brokers: String,
    pub topics: String,
}

impl Shop {
    pub fn create(brokers: &str) -> Shop {
        let create = |(name, partitions)| create_topic(brokers, name, partitions);
        let topics = [("orders", 1), ("items", 3), ("payments", 6)].map(create).join(",");
        Shop { brokers: brokers.to_owned(), topics }
    }

    pub fn produce(&self, input: &str, more: &[&str]) -> Ended {
        let arguments = [&[input, "--produce", &self.brokers, "--output", "json"][..], more].concat();
        let ended = run(replay(&arguments).env("ORDERWATCH__KAFKA__TOPICS", &self.topics));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{}", ended.stdout);
        ended
    }

    pub fn address(&self) -> String {
        format!("kafka://{}/{}", self.brokers, self.topics)
    }
}

/// The files of a replay. Sources and positions are other ones in topics, and so is how often a row was told: dead letters
/// are held against each other without where they stood, counts of records are left to the caller.
pub fn files(input: &str, more: &[&str]) -> (Files, String) {
    let out = tempfile::tempdir().unwrap();
    let arguments = [&[input, "--no-console", "--out", out.path().to_str().unwrap()][..], more].concat();
    let ended = run(&mut replay(&arguments));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    read(out.path())
}

fn read(out: &Path) -> (Files, String) {
    let mut files: Files = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    let quality = String::from_utf8(files.remove("data_quality_metrics.csv").unwrap()).unwrap();
    let letters = String::from_utf8(files.remove("dead_letters.csv").unwrap()).unwrap();
    let mut reader = csv::Reader::from_reader(letters.as_bytes());
    let mut rows: Vec<Vec<String>> =
        reader.records().map(|row| row.unwrap().iter().skip(2).map(str::to_owned).collect()).collect();
    rows.sort();
    files.insert("dead letters".to_owned(), format!("{rows:#?}").into_bytes());
    (files, quality)
}

#[track_caller]
pub fn assert_same(left: &Files, right: &Files, what: &str) {
    assert_eq!(left.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (name, bytes) in left {
        if bytes != &right[name] {
            let [left, right] = [bytes, &right[name]].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let differing = left.lines().zip(right.lines()).find(|(left, right)| left != right);
            panic!("{what}: {name}: {} and {} lines, {differing:?}", left.lines().count(), right.lines().count());
        }
    }
}

/// The sum of a column of the quality counts.
fn sum(quality: &str, column: &str) -> u64 {
    let mut reader = csv::Reader::from_reader(quality.as_bytes());
    let place = reader.headers().unwrap().iter().position(|name| name == column).unwrap();
    reader.records().map(|row| row.unwrap()[place].parse::<u64>().unwrap()).sum()
}

#[test]
fn the_sample_through_topics_gives_the_same_files() {
    let Some(brokers) = broker() else { return };
    let shop = Shop::create(&brokers);
    let sample = sample();
    let (expected, in_files) = files(sample.to_str().unwrap(), &[]);
    let sent: Value = serde_json::from_str(&shop.produce(sample.to_str().unwrap(), &[]).stdout).unwrap();
    let records = sent["records"].as_u64().unwrap();
    assert!(records > sum(&in_files, "read") && sent["topics"].as_object().unwrap().len() == 3, "{sent}");
    for workers in ["1", "2", "4"] {
        let (got, in_topics) = files(&shop.address(), &["-w", workers]);
        assert_same(&expected, &got, &format!("-w {workers}"));
        assert_eq!((sum(&in_topics, "read"), sum(&in_topics, "invalid"), sum(&in_topics, "late")), (records, 0, 0));
    }
    let (got, _) = files(
        &shop.address(),
        &["-w", "2", "--arrival-order", "--retention", "3000d", "--max-age", "3000d", "--horizon", "3000d"],
    );
    let settings = ["--retention", "3000d", "--max-age", "3000d", "--horizon", "3000d"];
    assert_same(&files(sample.to_str().unwrap(), &settings).0, &got, "in the order of arrival");
    // Nothing was produced after this, so nothing is read.
    let (none, _) = files(&shop.address(), &["--start", "2999-01-01"]);
    assert_eq!(none["orders.csv"].iter().filter(|byte| **byte == b'\n').count(), 1);

    // A cluster shares the partitions.
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let arguments = [shop.address(), "--no-console".into(), "--out".into(), out.path().to_str().unwrap().into()];
    let processes: Vec<_> = cluster(&arguments, folder.path(), 2).iter_mut().map(start).collect();
    for process in processes {
        let ended = process.wait();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    }
    assert_same(&expected, &read(out.path()).0, "-n 2");
}

#[test]
fn events_through_topics_give_the_same_files_dead_letters_included() {
    let (Some(brokers), Some(events)) = (broker(), shared("data/events/events.jsonl.gz")) else { return };
    let shop = Shop::create(&brokers);
    let (expected, in_files) = files(events.to_str().unwrap(), &[]);
    shop.produce(events.to_str().unwrap(), &["--speed", "100000000", "--sort-memory", "1M"]);
    let (got, in_topics) = files(&shop.address(), &["-w", "2"]);
    assert_same(&expected, &got, "events");
    for column in ["read", "valid", "invalid", "duplicates"] {
        assert_eq!(sum(&in_files, column), sum(&in_topics, column), "{column}");
    }
}

#[test]
fn the_whole_data_set_through_topics_gives_the_same_files() {
    let (Some(brokers), Some(olist)) = (broker(), shared("data/olist")) else { return };
    let shop = Shop::create(&brokers);
    let (expected, _) = files(olist.to_str().unwrap(), &["-w", "2"]);
    shop.produce(olist.to_str().unwrap(), &[]);
    assert_same(&expected, &files(&shop.address(), &["-w", "2"]).0, "olist");
}

#[test]
fn what_is_not_there_is_named() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "there", 1);
    for (arguments, what) in [
        (vec![format!("kafka://{brokers}/{topic},no-such")], "there is no topic `no-such`"),
        (vec![format!("kafka://127.0.0.1:1/{topic}")], "cannot look up the topics"),
        (vec![format!("kafka:///{topic}")], "no Kafka broker is named"),
        (
            vec![format!("kafka://{brokers}/{topic}"), "--limit".into(), "3".into()],
            "--limit does not count orders in topics",
        ),
        (vec!["data/sample".into(), "--produce".into(), "127.0.0.1:1".into()], "cannot look up the topics"),
        (vec!["data/sample".into(), "--produce".into(), brokers.clone()], "there is no topic `no-such-topic`"),
    ] {
        let ended = run(replay(&arguments).env("ORDERWATCH__KAFKA__TOPICS", "no-such-topic"));
        assert!(ended.code != Some(0) && ended.stderr.contains(what), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn a_generator_fills_a_topic() {
    let Some(brokers) = broker() else { return };
    let topic = unique("generated");
    create_topic_with(&brokers, &topic, 3, &[("max.message.bytes", "8000000")]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.jsonl");
    let address = format!("kafka://{brokers}/{topic}");
    let faults = ["--late", "5%", "--duplicates", "2%", "--invalid", "1%", "--no-console"];
    let to = ["generate", "orders", "--count", "500", "--to", &address, "--to", file.to_str().unwrap()];
    let larger = [("ORDERWATCH__KAFKA__CLIENT__MESSAGE_MAX_BYTES", "8000000")];
    let made = with_variables(&[&to[..], &faults].concat(), &larger);
    assert!(made.status.success() && made.stderr.is_empty(), "{}", String::from_utf8_lossy(&made.stderr));
    let (expected, in_file) = files(file.to_str().unwrap(), &[]);
    let (got, in_topic) = files(&address, &["-w", "3"]);
    assert_same(&expected, &got, "generated");
    assert_eq!(sum(&in_file, "read"), sum(&in_topic, "read"));

    // Lines that are larger than a client may send by default are left out, and that is said.
    let other = create_topic(&brokers, "generated", 1);
    let to = ["generate", "orders", "--count", "500", "--invalid", "5%", "--to", &format!("kafka://{brokers}/{other}")];
    let made = with_variables(&to, &[]);
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success() && said.contains("records were left out: larger than message.max.bytes"), "{said}");
}

#[test]
fn topics_are_looked_at_before_a_replay() {
    let Some(brokers) = broker() else { return };
    let topics = [create_topic(&brokers, "checked", 2), create_topic(&brokers, "empty", 1)];
    let producer = producer(&brokers, None);
    for number in 0..3_000 {
        let value = format!(r#"{{"order_id":"{number}","event_type":"ORDER_PLACED","timestamp":{}}}"#, number * 1_000);
        send(&producer, &topics[0], number % 2, if number == 1_200 { b"no record" } else { value.as_bytes() });
    }
    flush(&producer);
    let checked = |topics: &str| {
        let output = with_variables(&["check", &format!("kafka://{brokers}/{topics}")], &[]);
        String::from_utf8(output.stdout).unwrap()
    };
    let both = checked(&topics.join(","));
    let (first, empty) = (&topics[0], &topics[1]);
    assert!(both.contains(&format!("{first}: ")) && both.contains("1000 records"), "{both}");
    assert!(both.contains(&format!("{empty}: it holds no record")), "{both}");
    assert!(checked("no-such").contains("there is no topic `no-such`"));
}

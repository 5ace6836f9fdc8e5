//! A shop on real servers: its topics, its job, and what the job's tables and changelogs have to hold.

#![allow(dead_code)] // every test takes what it needs

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use dataflows::time::{MINUTE_MS, Time};
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use orderwatch::clock::partitions::{Backlog, Partition};
use orderwatch::instant::format_instant;
use orderwatch::sink::kafka::avro;
use orderwatch::source::kafka::{Fetcher, partitions};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::avro_rows;
use crate::broker::{broker, create_topic, settings, unique};
use crate::read::{self, Rows};
use crate::run::{orderwatch, replay, run};
use crate::server::Database;

const DEADLINE: Duration = Duration::from_secs(100);
/// A broker shows what was committed a moment after it has said so.
const SHOWN_WITHIN: Duration = Duration::from_secs(20);

/// A shop in topics of 1, 3 and 6 partitions, its tables, and where its job keeps checkpoints.
pub struct Shop {
    pub brokers: String,
    pub topics: String,
    /// Changelogs are named after it.
    pub job: String,
    /// How values are written, in whatever is run.
    pub form: Vec<String>,
    pub database: Database,
    pub folder: tempfile::TempDir,
}

impl Shop {
    /// On the servers that the environment names.
    pub fn open() -> Option<Shop> {
        Some(Shop::on(broker()?, Database::new()?))
    }

    pub fn on(brokers: String, database: Database) -> Shop {
        let create = |(name, partitions)| create_topic(&brokers, name, partitions);
        let topics = [("orders", 1), ("items", 3), ("payments", 6)].map(create).join(",");
        let (form, folder) = (Vec::new(), tempfile::tempdir().unwrap());
        Shop { brokers, topics, job: unique("shop"), form, database, folder }
    }

    pub fn produce(&self, input: &Path) {
        let mut command = replay(&[input]);
        command.args(["--produce", &self.brokers, "--output", "json"]).args(&self.form);
        command.env("ORDERWATCH__KAFKA__TOPICS", &self.topics);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    pub fn checkpoints(&self) -> PathBuf {
        self.folder.path().join("checkpoints")
    }

    /// A process of the job.
    pub fn job(&self, workers: usize, more: &[&str]) -> Command {
        let mut command = orderwatch();
        let workers = workers.to_string();
        command.args(["run", "--kafka", &self.brokers, "--topics", &self.topics, "--clock", "event", "-w", &workers]);
        command.args(["--job", &self.job, "--to-kafka", &self.brokers, "--postgres", &self.database.url]);
        command.args(["--checkpoint-interval", "200ms", "--no-console"]).args(more).args(&self.form);
        if !more.contains(&"--serve") {
            command.args(["--serve", "none"]);
        }
        command.arg("--checkpoint").arg(self.checkpoints());
        command
    }

    /// A process that only reads and tells.
    pub fn reader(&self, more: &[&str]) -> Command {
        let mut command = orderwatch();
        command.args(["run", "--kafka", &self.brokers, "--topics", &self.topics, "--clock", "event"]);
        command.args(["--serve", "none", "--checkpoint", "none"]).args(more);
        command
    }

    /// True once the job has told the broker that it has read all there is.
    pub fn is_all_read(&self) -> bool {
        let mut config = ClientConfig::new();
        let client: BaseConsumer =
            config.set("bootstrap.servers", &self.brokers).set("group.id", &self.job).create().unwrap();
        let topics: Vec<&str> = self.topics.split(',').collect();
        let found = partitions(&settings(&self.brokers, &topics), DEADLINE).unwrap();
        let mut asked = TopicPartitionList::new();
        for info in &found {
            asked.add_partition(&info.partition.topic, info.partition.number);
        }
        let Ok(read) = client.committed_offsets(asked, Duration::from_secs(2)) else { return false };
        found.iter().all(|info| {
            let element = read.find_partition(&info.partition.topic, info.partition.number).unwrap();
            element.offset() == Offset::Offset(info.end as i64)
        })
    }

    /// How far the tables are; 0 before there are any.
    pub fn frontier(&self) -> Time {
        let found = self.database.client().query("SELECT frontier FROM orderwatch_progress", &[]).unwrap_or_default();
        found.first().map_or(0, |row| row.get::<_, i64>(0) as Time)
    }

    /// The rows of every changelog, by topic: what its records, read committed, come to when only the last of each key is
    /// kept.
    fn changelogs(&self) -> BTreeMap<String, Rows> {
        let collections: BTreeMap<String, &Collection> =
            COLLECTIONS.iter().map(|collection| (format!("{}.{}", self.job, collection.name), collection)).collect();
        let settings = settings(&self.brokers, &collections.keys().map(String::as_str).collect::<Vec<_>>());
        let mut fetcher = Fetcher::start(&settings).unwrap();
        let found = partitions(&settings, DEADLINE).unwrap();
        found.iter().for_each(|info| fetcher.read(info.partition.clone(), info.earliest));
        let mut next: BTreeMap<Partition, u64> =
            found.iter().map(|info| (info.partition.clone(), info.earliest)).collect();
        let mut rows: BTreeMap<String, BTreeMap<Box<[u8]>, Vec<String>>> =
            collections.keys().map(|topic| (topic.clone(), BTreeMap::new())).collect();
        let started = Instant::now();
        while next.iter().any(|(partition, next)| fetcher.backlog(partition, *next) == Backlog::Some) {
            assert!(started.elapsed() < DEADLINE, "the changelogs have no end");
            let Some(fetched) = fetcher.poll().unwrap() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let topic = &fetched.partition.topic;
            let kept = rows.get_mut(topic).unwrap();
            for record in fetched.records {
                next.insert(fetched.partition.clone(), record.offset + 1);
                let key = record.key.unwrap();
                match record.value {
                    None => drop(kept.remove(&key)),
                    Some(value) => drop(kept.insert(key, cells(collections[topic], &value))),
                }
            }
        }
        let sorted = |(topic, rows): (String, BTreeMap<_, Vec<String>>)| {
            let mut rows: Rows = rows.into_values().collect();
            rows.sort();
            (topic, rows)
        };
        rows.into_iter().map(sorted).collect()
    }

    /// Every table holds what a replay of the topics says as of its frontier, and every changelog what its table does.
    pub fn assert_as_replayed(&self) {
        let out = self.folder.path().join("out");
        let end = self.frontier() - 1;
        let (until, last_minute) = (format_instant(end), format_instant(end - end % MINUTE_MS));
        let mut command = replay(&[format!("kafka://{}/{}", self.brokers, self.topics)]);
        command.args(["--no-console", "--grace", "5s", "--until", &until, "--out"]).arg(&out).args(&self.form);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let tables: BTreeMap<String, Rows> = COLLECTIONS
            .iter()
            .map(|collection| {
                let mut found = self.database.rows(collection);
                found.sort();
                (format!("{}.{}", self.job, collection.name), found)
            })
            .collect();
        let (mut told, asked) = (self.changelogs(), Instant::now());
        while told != tables && asked.elapsed() < SHOWN_WITHIN {
            told = self.changelogs();
        }
        for (topic, table) in &tables {
            assert_same(&format!("the changelog {topic}, beside its table"), &told[topic], table);
        }
        for collection in &COLLECTIONS {
            let (mut expected, mut found) =
                (read::csv(&out, collection), tables[&format!("{}.{}", self.job, collection.name)].clone());
            if collection.name == "data_quality_metrics" {
                // How late something was is told by reading; copies and records are counted alike, but that a replay counts
                // what lies behind its end as well.
                let said = |rows: Vec<Vec<String>>| -> Rows {
                    rows.into_iter().filter(|row| row[1] < last_minute).map(|row| row[..6].to_vec()).collect()
                };
                (expected, found) = (said(expected), said(found));
            }
            expected.sort();
            found.sort();
            let has_rows = ["orders", "order_events", "sla_breaches", "real_time_funnel"].contains(&collection.name);
            assert!(!has_rows || !expected.is_empty(), "{}: nothing is compared", collection.name);
            assert_same(collection.name, &found, &expected);
        }
    }
}

/// Both are sorted; a row that is there twice counts twice.
fn assert_same(what: &str, found: &Rows, expected: &Rows) {
    if found != expected {
        let more: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).collect();
        let less: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).collect();
        panic!("{what}: {} rows for {}; there are {more:?}, there should be {less:?}", found.len(), expected.len());
    }
}

/// The cells of a row, in JSON or in wire format.
fn cells(collection: &Collection, row: &[u8]) -> Vec<String> {
    if let [0, _, _, _, _, datum @ ..] = row {
        return avro_rows::cells(collection, &avro::schema(collection), datum);
    }
    let row: serde_json::Value = serde_json::from_slice(row).unwrap();
    let cell = |name: &str| match &row[name] {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    collection.columns.iter().map(|column| cell(column.name)).collect()
}

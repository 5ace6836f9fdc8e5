//! The whole path with real servers: topics of Kafka in, tables of PostgreSQL out, killed on the way.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use orderwatch::clock::partitions::{Backlog, Partition};
use orderwatch::instant::format_instant;
use orderwatch::sink::kafka::avro;
use orderwatch::source::kafka::{Fetcher, partitions};

use crate::avro_rows;
use crate::broker::{OwnRegistry, broker, create_topic, settings, unique};
use crate::metrics::{ask, free_address, wait_until};
use crate::read::{self, Rows};
use crate::run::{Running, hostfile, orderwatch, replay, run, start};
use crate::server::Database;

const DEADLINE: Duration = Duration::from_secs(100);

/// A shop in topics of 1, 3 and 6 partitions, its tables, and where its job keeps checkpoints.
pub struct Shop {
    pub brokers: String,
    pub topics: String,
    /// Changelogs are named after it.
    pub job: String,
    /// How values are written, in whatever is run.
    form: Vec<String>,
    database: Database,
    folder: tempfile::TempDir,
}

impl Shop {
    pub fn open() -> Option<Shop> {
        let (brokers, database) = (broker()?, Database::new()?);
        let create = |(name, partitions)| create_topic(&brokers, name, partitions);
        let topics = [("orders", 1), ("items", 3), ("payments", 6)].map(create).join(",");
        Some(Shop {
            brokers,
            topics,
            job: unique("shop"),
            form: Vec::new(),
            database,
            folder: tempfile::tempdir().unwrap(),
        })
    }

    pub fn produce(&self, input: &Path) {
        let mut command = replay(&[input]);
        command
            .args(["--produce", &self.brokers, "--output", "json"])
            .args(&self.form)
            .env("ORDERWATCH__KAFKA__TOPICS", &self.topics);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }

    /// A process of the job.
    pub fn job(&self, workers: usize, more: &[&str]) -> Command {
        let mut command = orderwatch();
        let workers = workers.to_string();
        command.args(["run", "--kafka", &self.brokers, "--topics", &self.topics, "--clock", "event", "-w", &workers]);
        command
            .args([
                "--job",
                &self.job,
                "--to-kafka",
                &self.brokers,
                "--postgres",
                &self.database.url,
                "--checkpoint-interval",
                "200ms",
                "--no-console",
            ])
            .args(more);
        command.args(&self.form);
        if !more.contains(&"--serve") {
            command.args(["--serve", "none"]);
        }
        command.arg("--checkpoint").arg(self.folder.path().join("checkpoints"));
        command
    }

    /// A process that only reads and tells.
    fn reader(&self, more: &[&str]) -> Command {
        let mut command = orderwatch();
        command.args([
            "run",
            "--kafka",
            &self.brokers,
            "--topics",
            &self.topics,
            "--clock",
            "event",
            "--serve",
            "none",
        ]);
        command.args(["--checkpoint", "none"]).args(more);
        command
    }

    /// How far the tables are; 0 before there are any.
    fn frontier(&self) -> Time {
        let found = self.database.client().query("SELECT frontier FROM orderwatch_progress", &[]).unwrap_or_default();
        found.first().map_or(0, |row| row.get::<_, i64>(0) as Time)
    }

    pub fn wait_until(&self, running: &mut [Running], what: &str, mut is_so: impl FnMut(Time) -> bool) {
        let started = Instant::now();
        while !is_so(self.frontier()) {
            assert!(started.elapsed() < DEADLINE, "{what} never: they stand at {}", format_instant(self.frontier()));
            for process in running.iter_mut() {
                assert!(process.child.try_wait().unwrap().is_none(), "{what} never: a process ended");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The rows of a changelog: what its records, read committed, come to when only the last of each key is kept.
    fn changelog(&self, collection: &Collection) -> Rows {
        let settings = settings(&self.brokers, &[&format!("{}.{}", self.job, collection.name)]);
        let mut fetcher = Fetcher::start(&settings).unwrap();
        let found = partitions(&settings, DEADLINE).unwrap();
        found.iter().for_each(|info| fetcher.read(info.partition.clone(), info.earliest));
        let mut next: BTreeMap<Partition, u64> =
            found.iter().map(|info| (info.partition.clone(), info.earliest)).collect();
        let mut rows: BTreeMap<Box<[u8]>, Vec<String>> = BTreeMap::new();
        let started = Instant::now();
        while next.iter().any(|(partition, next)| fetcher.backlog(partition, *next) == Backlog::Some) {
            assert!(started.elapsed() < DEADLINE, "the changelog has no end");
            let Some(fetched) = fetcher.poll().unwrap() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            for record in fetched.records {
                next.insert(fetched.partition.clone(), record.offset + 1);
                let key = record.key.unwrap();
                match record.value {
                    None => drop(rows.remove(&key)),
                    Some(value) => drop(rows.insert(key, cells(collection, &value))),
                }
            }
        }
        let mut rows: Rows = rows.into_values().collect();
        rows.sort();
        rows
    }

    /// Every table holds what a replay of the topics says as of its frontier.
    fn assert_as_replayed(&self) {
        let out = self.folder.path().join("out");
        let until = format_instant(self.frontier() - 1);
        let mut command = replay(&[format!("kafka://{}/{}", self.brokers, self.topics)]);
        command.args(["--no-console", "--grace", "5s", "--until", &until, "--out"]).arg(&out).args(&self.form);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        for collection in &COLLECTIONS {
            let (mut expected, mut found) = (read::csv(&out, collection), self.database.rows(collection));
            found.sort();
            // A broker shows what was committed a moment after it has said so.
            let (mut told, asked) = (self.changelog(collection), Instant::now());
            while told != found && asked.elapsed() < Duration::from_secs(20) {
                told = self.changelog(collection);
            }
            assert_eq!(told, found, "the changelog of {}", collection.name);
            if collection.name == "data_quality_metrics" {
                // How late something was is told by reading; copies and records are counted alike.
                let said = |rows: Vec<Vec<String>>| rows.into_iter().map(|row| row[..6].to_vec()).collect::<Vec<_>>();
                (expected, found) = (said(expected), said(found));
            }
            expected.sort();
            found.sort();
            let has_rows = ["orders", "order_events", "sla_breaches", "real_time_funnel"].contains(&collection.name);
            assert!(!has_rows || !expected.is_empty(), "{}: nothing is compared", collection.name);
            let more: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).collect();
            let less: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).collect();
            assert!(
                more.is_empty() && less.is_empty(),
                "{}: there are {more:?}, there should be {less:?}",
                collection.name
            );
        }
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

fn kill(running: Running) {
    drop(running);
}

fn terminate(running: &Running) {
    let pid = running.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

#[test]
fn a_job_that_is_killed_leaves_tables_as_a_replay_says() {
    let Some(shop) = Shop::open() else { return };
    shop.produce(Path::new("data/sample"));
    // Killed as soon as it has begun, in the middle, and once more at another number of workers.
    let mut last = 0;
    for workers in [2, 1, 4] {
        let mut job = [start(&mut shop.job(workers, &[]))];
        shop.wait_until(&mut job, "the tables move on", |frontier| frontier > last);
        last = shop.frontier();
        job.into_iter().for_each(kill);
    }
    let mut job = [start(&mut shop.job(2, &[]))];
    // The last record of the sample but for the one that stays at the frontier.
    shop.wait_until(&mut job, "the end", |frontier| frontier >= 1_538_158_318_000);
    terminate(&job[0]);
    let [job] = job;
    let ended = job.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped: "), "{}", ended.stderr);
    shop.assert_as_replayed();
    // Started once more it finds nothing to do, and is told to stop at once.
    let address = free_address();
    let stopped = start(&mut shop.job(3, &["--serve", &address]));
    wait_until("its workers turn", || ask(&address, "/healthz").filter(|(status, _)| *status == 200));
    terminate(&stopped);
    assert_eq!(stopped.wait().code, Some(0));
    shop.assert_as_replayed();
}

#[test]
fn processes_share_a_job_that_is_killed_and_resumed() {
    let Some(shop) = Shop::open() else { return };
    shop.produce(Path::new("data/sample"));
    let cluster = |processes: usize| -> Vec<Running> {
        let hosts = hostfile(shop.folder.path(), processes);
        let (hosts, count) = (hosts.to_str().unwrap(), processes.to_string());
        let process = |index: usize| {
            let index = index.to_string();
            start(&mut shop.job(2, &["-n", &count, "-p", &index, "--hostfile", hosts]))
        };
        (0..processes).map(process).collect()
    };
    let mut first = cluster(2);
    shop.wait_until(&mut first, "the tables move on", |frontier| frontier > 0);
    // One is killed: the other one ends by itself, and says whom it lost.
    let (killed, other) = (first.remove(1), first.remove(0));
    kill(killed);
    let ended = other.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("process 1 was lost"), "{}", ended.stderr);
    let mut three = cluster(3);
    shop.wait_until(&mut three, "the end", |frontier| frontier >= 1_538_158_318_000);
    // One that is asked to stop stops all.
    terminate(&three[2]);
    for running in three {
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    shop.assert_as_replayed();
}

#[test]
fn a_registry_that_is_away_is_waited_for_and_changelogs_in_avro_hold_the_tables() {
    let (Some(mut shop), Some(registry)) = (Shop::open(), OwnRegistry::start()) else { return };
    shop.form = ["--avro", "--schema-registry", &registry.address].map(str::to_owned).into();
    shop.produce(Path::new("data/sample"));
    // Killed in the middle; then the registry is gone before another job can read its first record.
    let mut first = [start(&mut shop.job(1, &[]))];
    shop.wait_until(&mut first, "the tables move on", |frontier| frontier > 0);
    first.into_iter().for_each(kill);
    registry.kill();
    let reader = ["--avro=json", "--schema-registry", &registry.address, "--job", "reader"];
    let mut waiting = start(&mut shop.reader(&reader));
    waiting.wait_until_it_says("waiting for the schema registry at");
    assert!(waiting.child.try_wait().unwrap().is_none());
    registry.restart();
    waiting.wait_until_it_prints("SLA BREACH");
    drop(waiting);
    let mut job = [start(&mut shop.job(2, &[]))];
    shop.wait_until(&mut job, "the end", |frontier| frontier >= 1_538_158_318_000);
    terminate(&job[0]);
    let [job] = job;
    assert_eq!(job.wait().code, Some(0));
    shop.assert_as_replayed();
}

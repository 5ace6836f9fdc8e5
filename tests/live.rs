//! The live job against a log and a sink in memory: whatever befalls it, its sink comes to hold what a replay says.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "live/added.rs"]
mod added;
#[path = "support/avro_rows.rs"]
mod avro_rows;
#[path = "live/away.rs"]
mod away;
#[path = "support/broker.rs"]
mod broker;
#[path = "live/clocks.rs"]
mod clocks;
#[path = "live/deployed.rs"]
mod deployed;
#[path = "live/memory.rs"]
mod memory;
#[path = "live/metrics.rs"]
mod metrics;
#[path = "sinks/read.rs"]
#[allow(dead_code)]
mod read;
#[path = "support/run.rs"]
#[allow(dead_code)]
mod run;
#[path = "postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "live/servers.rs"]
mod servers;
#[path = "support/shop.rs"]
mod shop;
#[path = "live/sqlite.rs"]
mod sqlite;
#[path = "live/survives.rs"]
mod survives;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::model::{Money, Rules};
use dataflows::time::Time;
use memory::{MemoryLog, MemorySink, Records, Tables};
use orderwatch::clock::partitions::{Partition, TimeMode};
use orderwatch::clock::wall_clock_ms;
use orderwatch::config::{self, Cluster, Flag, JobConfig, Kind};
use orderwatch::error::JobError;
use orderwatch::instant::format_instant;
use orderwatch::live::discovery::Start;
use orderwatch::live::job::{Lead, LiveJob, Shared};
use orderwatch::live::reading::Topics;
use orderwatch::live::{self, LiveSink};
use orderwatch::sink::committer::{Committer, CommitterSettings};
use orderwatch::validate::Limits;

const TOPICS: [&str; 2] = ["orders", "payments"];
/// So long a test waits for what has to come.
const DEADLINE: Duration = Duration::from_secs(60);

fn partition(topic: &str, number: i32) -> Partition {
    Partition { topic: topic.to_owned(), number }
}

/// Order events with every fault there is, dealt out to partitions.
struct Shop {
    folder: tempfile::TempDir,
    records: Arc<Records>,
    flags: Vec<(&'static str, &'static str)>,
    largest: Time,
    mode: TimeMode,
}

impl Shop {
    fn open(orders: u32, seed: u32, flags: &[(&'static str, &'static str)]) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (orders, seed, to) = (orders.to_string(), seed.to_string(), path.display().to_string());
        let faults = ["--late", "5%", "--duplicates", "2%", "--invalid", "1%", "--disorder", "10m"];
        let mut command = run::orderwatch();
        command.args(["generate", "orders", "--count", &orders, "--seed", &seed, "--to", &to, "--no-console"]);
        let ended = run::run(command.args(faults).args(["--time-scale", "400"]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let text = std::fs::read(&path).unwrap();
        let mut records: Records = BTreeMap::new();
        let mut largest = 0;
        for (topic, partitions) in TOPICS.iter().zip([3, 2]) {
            (0..partitions).for_each(|number| drop(records.insert(partition(topic, number), Vec::new())));
        }
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
            let hash = value["order_id"].as_str().unwrap_or("").bytes().map(u32::from).sum::<u32>() as i32;
            let (topic, of) = if value["event_type"] == "PAYMENT_RECEIVED" { (TOPICS[1], 2) } else { (TOPICS[0], 3) };
            records.get_mut(&partition(topic, hash % of)).unwrap().push(line.to_vec());
            let limits = Limits { now_ms: wall_clock_ms(), max_future_skew_ms: 0, max_price: Money(i128::MAX / 2) };
            if let Ok(facts) = orderwatch::decode::decode_line(line, &limits) {
                largest = facts.at().max(largest);
            }
        }
        Shop { folder, records: Arc::new(records), flags: flags.to_vec(), largest, mode: TimeMode::Event }
    }

    fn config(&self) -> JobConfig {
        let flag = |(key, text): &(&'static str, &str)| Flag { key, flag: "--flag", text: (*text).to_owned() };
        let mut flags: Vec<Flag> = self.flags.iter().map(flag).collect();
        flags.push(Flag { key: "checkpoint.interval", flag: "--flag", text: "30ms".to_owned() });
        config::load(Kind::Bounded, None, [], &flags, |_| Ok(Rules::default())).unwrap()
    }

    /// What a replay of all records says as of `until`, by collection: the rows, each its cells.
    fn expected(&self, until: Time) -> BTreeMap<String, Vec<Vec<String>>> {
        let inputs: Vec<String> = self
            .records
            .iter()
            .map(|(name, lines)| {
                let path = self.folder.path().join(format!("{}-{}.jsonl", name.topic, name.number));
                std::fs::write(&path, lines.join(&b'\n')).unwrap();
                path.display().to_string()
            })
            .collect();
        let out = self.folder.path().join("out");
        let mut command = run::replay(&inputs);
        command.args(["--as", "order-events", "--no-console", "--until", &format_instant(until), "--out"]).arg(&out);
        for (key, text) in &self.flags {
            command.env(format!("ORDERWATCH__{}", key.replace('.', "__").to_uppercase()), text);
        }
        let ended = run::run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let mut collections = BTreeMap::new();
        for entry in std::fs::read_dir(&out).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let mut reader = csv::Reader::from_path(&path).unwrap();
            let rows = reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
            collections.insert(name, rows);
        }
        collections
    }
}

/// How an incarnation ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// When all has been read and committed.
    Complete,
    /// It is killed once so many commits have been done.
    Killed(usize),
    /// It is asked to stop then.
    Stopped(usize),
}

/// A process of a job, but for what the first one finds when it starts.
fn joining(shop: &Shop, store: &str) -> LiveJob {
    let config = shop.config();
    let topics = Topics(TOPICS.map(str::to_owned).to_vec());
    let records = Arc::clone(&shop.records);
    let open = Box::new(move || Ok(Box::new(MemoryLog::new(&records, 20)) as _));
    let mut job = LiveJob::new(&config, topics, shop.mode, open);
    job.store = Some(store.to_owned());
    *job.partitions.lock().unwrap() = shop.records.keys().map(|name| (name.clone(), Start::default())).collect();
    job
}

/// An incarnation that is ready to run.
fn prepare(shop: &Shop, store: &str, sinks: &[&MemorySink]) -> Arc<LiveJob> {
    let (config, mut job) = (shop.config(), joining(shop, store));
    let mut sinks: Vec<LiveSink> = sinks.iter().map(|sink| Box::new((*sink).clone()) as LiveSink).collect();
    let names = vec!["memory"; sinks.len()];
    let found = live::start(store, &config.name, job.fingerprint, &names, &mut sinks, &config.settings).unwrap();
    let history = &found.shared.beginning.trail;
    let committers = sinks.into_iter().zip(&found.sinks).map(|(sink, progress)| {
        let settings = CommitterSettings { job: config.name.clone(), sink: config.sink.clone() };
        Committer::start("memory", progress.clone(), history, sink, settings).unwrap()
    });
    let committers = committers.collect();
    job.found = Some(found.shared);
    job.lead = Mutex::new(Some(Lead { committers, told: Box::new(|_| {}) }));
    Arc::new(job)
}

/// Runs a job in this process.
fn execute(job: &Arc<LiveJob>, workers: usize) -> Result<(), JobError> {
    live::execute(&Cluster { workers, processes: 1, ..Cluster::default() }, job)
}

/// Runs one incarnation; true where it was killed.
fn incarnation(shop: &Shop, store: &str, sinks: &[&MemorySink], workers: usize, end: End) -> bool {
    let job = prepare(shop, store, sinks);
    let watched = Arc::clone(&job);
    let tables: Vec<Arc<Mutex<Tables>>> = sinks.iter().map(|sink| Arc::clone(&sink.tables)).collect();
    let (last, largest) = (Arc::clone(&tables[tables.len() - 1]), shop.largest);
    let begun = last.lock().unwrap().commits;
    let watch = std::thread::spawn(move || {
        let started = Instant::now();
        loop {
            let commits = last.lock().unwrap().commits - begun;
            let frontier = tables.iter().map(|tables| tables.lock().unwrap().progress.frontier).min().unwrap_or(0);
            match end {
                _ if started.elapsed() > DEADLINE => {
                    return watched
                        .fail(JobError::job(format!("it stands at {frontier} of {largest}: {:?}", watched.counters)));
                }
                _ if frontier >= largest => return watched.stop(),
                End::Killed(after) if commits >= after => return watched.fail(JobError::job("killed")),
                End::Stopped(after) if commits >= after => return watched.stop(),
                _ if watched.failed.load(Ordering::Relaxed) => return,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    let ended = execute(&job, workers);
    watch.join().unwrap();
    match (end, ended) {
        (End::Killed(_), Err(error)) => {
            assert!(error.to_string().contains("killed"), "{error}");
            true
        }
        // It may be through before it is killed.
        (_, ended) => ended.map(|()| false).unwrap(),
    }
}

/// The rows of a sink are those of a replay; of what reading alone says those that do not tell where it was read.
fn assert_as_replayed(shop: &Shop, sink: &MemorySink, what: &str) {
    let tables = sink.tables.lock().unwrap();
    assert!(tables.progress.frontier >= shop.largest, "{what}: it stands at {}", tables.progress.frontier);
    let expected = shop.expected(tables.progress.frontier - 1);
    for (collection, expected) in expected {
        let mut found = tables.rows(&collection);
        let mut expected = expected;
        match collection.as_str() {
            // The positions are those of the log.
            "dead_letters" => {
                let said = |rows: Vec<Vec<String>>| rows.into_iter().map(|row| row[2..].to_vec()).collect::<Vec<_>>();
                (found, expected) = (said(found), said(expected));
            }
            // The sources are others, and how late something was is told by reading.
            "data_quality_metrics" => continue,
            _ => {}
        }
        let found: BTreeSet<Vec<String>> = found.into_iter().collect();
        let expected: BTreeSet<Vec<String>> = expected.into_iter().collect();
        let (more, less): (Vec<_>, Vec<_>) =
            (found.difference(&expected).take(3).collect(), expected.difference(&found).take(3).collect());
        assert!(
            more.is_empty() && less.is_empty(),
            "{what}, {collection}: there are {more:?}, there should be {less:?}"
        );
    }
}

#[test]
fn an_undisturbed_job_comes_to_what_a_replay_says() {
    let shop = Shop::open(300, 1, &[]);
    for workers in [1, 2, 4] {
        let (store, sink) = (tempfile::tempdir().unwrap(), MemorySink::default());
        incarnation(&shop, &store.path().display().to_string(), &[&sink], workers, End::Complete);
        assert_as_replayed(&shop, &sink, &format!("{workers} workers"));
    }
}

#[test]
fn what_one_worker_has_yet_to_read_is_told_as_it_is_read() {
    let mut shop = Shop::open(3_000, 1, &[]);
    shop.mode = TimeMode::Wall;
    let all = Arc::make_mut(&mut shop.records);
    // Those of the first of two workers, which promises the wall clock then.
    for partition in [partition(TOPICS[0], 0), partition(TOPICS[0], 2), partition(TOPICS[1], 1)] {
        all.insert(partition, Vec::new());
    }
    let (store, sink) = (tempfile::tempdir().unwrap(), MemorySink::default());
    incarnation(&shop, &store.path().display().to_string(), &[&sink], 2, End::Complete);
    let on_the_way = sink.tables.lock().unwrap().frontiers.iter().filter(|time| **time < shop.largest).count();
    assert!(on_the_way >= 3, "{on_the_way}");
    assert_as_replayed(&shop, &sink, "one worker without records");
}

#[test]
fn a_job_without_a_store_stops_wherever_its_workers_are() {
    let mut shop = Shop::open(8_000, 1, &[]);
    let all = Arc::make_mut(&mut shop.records);
    // Those of the second of two workers, which follows the first, a tick later.
    for partition in [partition(TOPICS[0], 1), partition(TOPICS[1], 0)] {
        all.insert(partition, Vec::new());
    }
    // An epoch lasts two or three ticks by then.
    for after in (205..285).step_by(5) {
        let mut job = prepare(&shop, &tempfile::tempdir().unwrap().path().display().to_string(), &[]);
        let unshared = Arc::get_mut(&mut job).unwrap();
        (unshared.store, unshared.found) = (None, Some(Shared::default()));
        let watched = Arc::clone(&job);
        let watch = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(after));
            watched.stop();
            let asked = Instant::now();
            while Arc::strong_count(&watched) > 2 && asked.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(1));
            }
            watched.fail(JobError::job("it does not stop"));
        });
        execute(&job, 2).unwrap();
        drop(watch);
    }
}

#[test]
fn a_job_that_is_killed_and_stopped_comes_to_the_same() {
    let mut kills = 0;
    for seed in 1..4 {
        let shop = Shop::open(300, seed, &[]);
        let (store, sink) = (tempfile::tempdir().unwrap(), MemorySink { loses_one_in: 5, ..MemorySink::default() });
        let store = store.path().display().to_string();
        let ends = [End::Killed(3), End::Stopped(4), End::Killed(1), End::Killed(9), End::Stopped(2), End::Complete];
        for (number, end) in ends.into_iter().enumerate() {
            kills += usize::from(incarnation(&shop, &store, &[&sink], [1, 3, 2][(number + seed as usize) % 3], end));
        }
        assert_as_replayed(&shop, &sink, &format!("seed {seed}"));
    }
    assert!(kills > 0, "each was through before it was killed");
}

//! What a live job says of itself: numbers that agree with what it read and wrote, documented one by one, as a real
//! Prometheus takes them; and whether it is alive and ready.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use orderwatch::error::JobError;
use orderwatch::live::job::LiveJob;
use orderwatch::serve;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::memory::MemorySink;
use crate::run::{lacks, orderwatch, run, start};
use crate::{DEADLINE, Shop, execute, prepare, shop};

pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The status and the body of an answer; none where nobody answers.
pub fn ask(address: &str, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < DEADLINE, "{what}: never");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Samples by name and labels, as they stand in the text.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    samples.filter_map(sample).collect()
}

fn scrape(address: &str) -> BTreeMap<String, f64> {
    let (status, text) = ask(address, "/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    samples(&text)
}

/// A job over a log and a sink in memory that has read and committed all, and is watched.
pub struct Watched {
    shop: Shop,
    sink: MemorySink,
    job: Arc<LiveJob>,
    pub address: String,
    running: Option<JoinHandle<Result<(), JobError>>>,
    _store: tempfile::TempDir,
}

impl Watched {
    pub fn start() -> Watched {
        let (shop, sink, store) = (Shop::open(300, 7, &[]), MemorySink::default(), tempfile::tempdir().unwrap());
        let job = prepare(&shop, &store.path().display().to_string(), &[&sink]);
        let address = free_address();
        serve::start(&address, Arc::clone(&job.counters)).unwrap();
        for path in ["/healthz", "/readyz"] {
            let (status, why) = ask(&address, path).unwrap();
            assert!(status == 503 && why.contains("waits for its sinks"), "{status} {why}");
        }
        let runs = Arc::clone(&job);
        let running = Some(std::thread::spawn(move || execute(&runs, 2)));
        wait_until("all is read and committed", || {
            let frontier = sink.tables.lock().unwrap().progress.frontier;
            (frontier >= shop.largest && scrape(&address)["orderwatch_checkpoints_written_total"] >= 1.0).then_some(())
        });
        Watched { shop, sink, job, address, running, _store: store }
    }

    fn records(&self) -> f64 {
        self.shop.records.values().map(Vec::len).sum::<usize>() as f64
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.job.stop();
        self.running.take().unwrap().join().unwrap().unwrap();
    }
}

#[test]
fn numbers_agree_with_what_was_read_and_written() {
    let mut watched = Watched::start();
    // Nothing is on its way any more once two looks say the same.
    let stable = |name: &str| name.contains("_commits") || name.contains("_rows") || name.contains("records");
    let mut before = BTreeMap::new();
    let found = wait_until("the numbers stand still", || {
        let now = scrape(&watched.address);
        let same = now.iter().filter(|(name, _)| stable(name)).all(|(name, value)| before.get(name) == Some(value));
        before = now.clone();
        same.then_some(now)
    });
    assert_eq!(found["orderwatch_records_read_total"], watched.records());
    for (partition, records) in watched.shop.records.iter() {
        let labels = format!("{{topic=\"{}\",partition=\"{}\"}}", partition.topic, partition.number);
        for name in ["partition_next_offset", "partition_end_offset"] {
            assert_eq!(found[&format!("orderwatch_{name}{labels}")], records.len() as f64, "{name}{labels}");
        }
        assert_eq!(found[&format!("orderwatch_consumer_lag_records{labels}")], 0.0);
        assert!(found[&format!("orderwatch_consumer_lag_seconds{labels}")] > 0.0);
    }
    let tables = watched.sink.tables.lock().unwrap();
    let commits = found["orderwatch_sink_commits_total{sink=\"memory\"}"];
    assert_eq!(commits, tables.commits as f64);
    assert_eq!(found["orderwatch_sink_waiting_bytes{sink=\"memory\"}"], 0.0);
    assert_eq!(found["orderwatch_sink_spilled_bytes{sink=\"memory\"}"], 0.0);
    assert_eq!(found["orderwatch_sink_circuit_state{sink=\"memory\"}"], 0.0);
    let of = |family: &str| -> BTreeMap<String, f64> {
        let prefix = format!("{family}{{");
        let samples = found.iter().filter(|(name, _)| name.starts_with(&prefix));
        samples.map(|(name, value)| (name.split('"').nth(1).unwrap().to_owned(), *value)).collect()
    };
    let published: f64 = of("orderwatch_changes_published_total").values().sum();
    assert_eq!(found["orderwatch_output_delay_seconds_count"], published);
    let rows = found["orderwatch_sink_rows_total{sink=\"memory\"}"];
    assert_eq!(found["orderwatch_sink_delay_seconds_count{sink=\"memory\"}"], rows);
    // What is shown of the collections is what the tables hold.
    let mut reasons: BTreeMap<String, f64> = BTreeMap::new();
    for row in tables.rows("dead_letters") {
        row[2].split(';').for_each(|reason| *reasons.entry(reason.to_owned()).or_default() += 1.0);
    }
    assert_eq!(of("orderwatch_dead_letters_total"), reasons);
    let sum_of = |collection: &str, column: usize| -> BTreeMap<String, f64> {
        let rows = tables.rows(collection).into_iter().filter(|row| row[0] == "*");
        rows.map(|row| (row[1].clone(), row[column].parse().unwrap())).collect()
    };
    let said =
        |numbers: BTreeMap<String, f64>| numbers.into_iter().filter(|(_, n)| *n > 0.0).collect::<BTreeMap<_, _>>();
    assert_eq!(said(of("orderwatch_orders")), said(sum_of("orders_by_status", 2)));
    assert_eq!(said(of("orderwatch_breaches_open")), said(sum_of("sla_summary", 5)));
    let quality = tables.rows("data_quality_metrics");
    let added = |column: usize| quality.iter().map(|row| row[column].parse::<f64>().unwrap()).sum::<f64>();
    let facts = of("orderwatch_facts_total");
    assert_eq!((facts["duplicate"], found["orderwatch_late_facts_total"]), (added(5), added(6)));
    // What counts at the frontier or later is still to be published.
    let (valid_and_invalid, records) = (added(2), watched.records());
    assert!(valid_and_invalid <= records && valid_and_invalid > records * 0.9, "{valid_and_invalid} of {records}");
    assert!(facts["accepted"] > added(3) * 0.9, "{facts:?}");
    let orders = found["orderwatch_live_orders"] + found["orderwatch_tombstones"];
    assert_eq!(orders, tables.rows("orders").len() as f64);
    assert!(found["orderwatch_checkpoint_bytes"] > 0.0 && found["orderwatch_resident_memory_bytes"] > 1e6);
    drop(tables);

    for path in ["/healthz", "/readyz"] {
        assert_eq!(ask(&watched.address, path), Some((200, "ok\n".to_owned())), "{path}");
    }
    assert_eq!(ask(&watched.address, "/").unwrap().0, 404);
    watched.job.stop();
    let running = watched.running.take().unwrap();
    wait_until("it says that it stops", || {
        let (status, why) = ask(&watched.address, "/readyz")?;
        (status == 503 && why.contains("stopping")).then_some(())
    });
    assert_eq!(ask(&watched.address, "/healthz").unwrap().0, 200);
    watched.running = Some(running);
}

#[test]
fn every_metric_is_documented_and_promtool_has_nothing_to_say() {
    let watched = Watched::start();
    let (_, text) = ask(&watched.address, "/metrics").unwrap();
    let mut rows = BTreeSet::new();
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, help) = help.split_once(' ').unwrap();
        let kind = text.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} "))).unwrap();
        let one = if kind == "histogram" { format!("{name}_count") } else { name.to_owned() };
        let sample = text.lines().find_map(|line| line.strip_prefix(&format!("{one}{{")));
        assert!(sample.is_some() || text.contains(&format!("\n{one} ")), "nothing is said of {name}");
        let labels = sample.and_then(|sample| sample.split_once("} ")).map_or("", |(labels, _)| labels);
        let labels: Vec<&str> = labels.split('"').step_by(2).map(|name| name.trim_matches([',', '='])).collect();
        let labels: Vec<String> =
            labels.iter().filter(|name| !name.is_empty()).map(|name| format!("`{name}`")).collect();
        rows.insert(format!("| `{name}` | {kind} | {} | {help} |", labels.join(", ")));
    }
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md")).unwrap();
    let documented: BTreeSet<String> = document
        .lines()
        .filter(|line| line.matches("|").count() == 5 && line.contains("orderwatch_"))
        .map(str::to_owned)
        .collect();
    let lines = |rows: &BTreeSet<String>| rows.iter().cloned().collect::<Vec<_>>().join("\n");
    assert!(rows == documented, "docs/metrics.md should say:\n{}\n\nit says:\n{}", lines(&rows), lines(&documented));

    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else {
        lacks("promtool (Debian, Ubuntu: apt-get install prometheus)");
        return;
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaints.is_empty(), "{complaints}");
}

/// A Prometheus that scrapes one address.
pub struct Prometheus {
    folder: tempfile::TempDir,
    address: String,
}

fn services(folder: &tempfile::TempDir, arguments: &[&str], scraped: &str) -> std::process::Output {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services"));
    command.args(arguments).env("CARGO_TARGET_DIR", folder.path()).env("ORDERWATCH_SCRAPE", scraped);
    command.env_remove("ORDERWATCH_PROMETHEUS").output().unwrap()
}

impl Prometheus {
    pub fn scraping(address: &str) -> Option<Prometheus> {
        let folder = tempfile::tempdir().unwrap();
        let output = services(&folder, &["up", "prometheus"], address);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim());
            lacks("Prometheus (scripts/services up prometheus)");
            return None;
        }
        let address = String::from_utf8(output.stdout).unwrap().trim().rsplit('=').next().unwrap().to_owned();
        Some(Prometheus { folder, address })
    }

    /// The values of an expression.
    pub fn values(&self, expression: &str) -> Option<Vec<f64>> {
        let (_, text) = ask(&self.address, &format!("/api/v1/query?query={expression}"))?;
        let answer: serde_json::Value = serde_json::from_str(&text).ok()?;
        let values = answer["data"]["result"].as_array()?.iter();
        values.map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        services(&self.folder, &["down", "prometheus"], "");
    }
}

#[test]
fn a_real_prometheus_takes_the_numbers() {
    let watched = Watched::start();
    let Some(prometheus) = Prometheus::scraping(&watched.address) else { return };
    wait_until("it has scraped", || prometheus.values("up").filter(|values| values == &[1.0]));
    let read = prometheus.values("orderwatch_records_read_total").unwrap();
    assert_eq!(read, [watched.records()]);
    assert_eq!(prometheus.values("sum(orderwatch_consumer_lag_records)").unwrap(), [0.0]);
    let partitions = watched.shop.records.len();
    assert_eq!(prometheus.values("orderwatch_partition_next_offset").unwrap().len(), partitions);
    assert_eq!(prometheus.values("orderwatch_build_info").unwrap(), [1.0]);
}

#[test]
fn an_address_that_cannot_be_had_is_an_error_that_names_the_flag() {
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap().to_string();
    for (address, code) in [(&*taken, 1), ("8080", 2)] {
        let mut command = orderwatch();
        let ended = run(command.args(["run", "--kafka", "127.0.0.1:1", "--checkpoint", "none", "--serve", address]));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let says = |what: &str| assert!(ended.stderr.contains(what), "{address}: {}", ended.stderr);
        [&format!("cannot serve at {address}"), "flag --serve", "none"].into_iter().for_each(says);
    }
}

#[test]
fn a_job_between_real_servers_is_caught_up_and_tells_the_broker_so() {
    let Some(shop) = shop::Shop::open() else { return };
    shop.produce(std::path::Path::new("data/sample"));
    let (address, group) = (free_address(), &shop.job);
    let mut job = [start(&mut shop.job(2, &["--serve", &address]))];
    shop.wait_until(&mut job, "it is ready", |_| ask(&address, "/readyz").is_some_and(|(status, _)| status == 200));
    shop.wait_until(&mut job, "it is caught up", |_| {
        let found = scrape(&address);
        let mut lags = found.iter().filter(|(name, _)| name.starts_with("orderwatch_consumer_lag_records"));
        lags.clone().count() == 10 && lags.all(|(_, lag)| *lag == 0.0)
    });
    let found = scrape(&address);
    let ends: f64 = found.iter().filter(|(name, _)| name.contains("partition_end_offset")).map(|(_, end)| end).sum();
    // Nothing but records is in these topics.
    assert_eq!(found["orderwatch_records_read_total"], ends);
    assert_eq!(found["orderwatch_sink_failures_total{sink=\"postgres\"}"], 0.0);
    assert_eq!(ask(&address, "/healthz"), Some((200, "ok\n".to_owned())));
    // A tool that shows lag asks the broker what the group of this job has read.
    let mut config = ClientConfig::new();
    let client: BaseConsumer = config.set("bootstrap.servers", &shop.brokers).set("group.id", group).create().unwrap();
    let mut asked = TopicPartitionList::new();
    for (topic, partitions) in shop.topics.split(',').zip([1, 3, 6]) {
        asked.add_partition_range(topic, 0, partitions - 1);
    }
    wait_until("the broker was told all offsets", || {
        let committed = client.committed_offsets(asked.clone(), Duration::from_secs(5)).ok()?;
        let told: i64 = committed.elements().iter().filter_map(|element| element.offset().to_raw()).sum();
        (told as f64 == ends).then_some(())
    });
}

/// Two orders in forty hours.
const STORY: &str = r#"{"order_id":"a","event_type":"ORDER_PLACED","timestamp":"2024-03-01T00:00:00Z"}
{"order_id":"b","event_type":"ORDER_PLACED","timestamp":"2024-03-02T16:00:00Z"}
"#;

#[test]
fn a_replay_serves_how_far_it_is_if_it_is_asked_to() {
    let (folder, address) = (tempfile::tempdir().unwrap(), free_address());
    std::fs::write(folder.path().join("story.jsonl"), STORY).unwrap();
    let mut command = orderwatch();
    command.args(["replay", "story.jsonl", "-w", "2", "--speed", "4000", "--serve", &address]);
    let mut running = start(command.current_dir(folder.path()));
    let ready = |path: &str| ask(&address, path).filter(|(status, _)| *status == 200);
    wait_until("it is ready", || ready("/readyz"));
    assert_eq!(ready("/healthz"), Some((200, "ok\n".to_owned())));
    let frontier = |found: &BTreeMap<String, f64>| found["orderwatch_frontier_timestamp_seconds"];
    let first = scrape(&address);
    assert_eq!(first["orderwatch_records_read_total"], 2.0);
    // Time passes, and has not passed yet.
    let placed = [1_709_251_200.0, 1_709_395_200.0];
    wait_until("time has passed", || Some(frontier(&scrape(&address))).filter(|now| *now > frontier(&first)));
    assert!((placed[0]..placed[1]).contains(&frontier(&first)), "{first:?}");
    // What is not known before the end is not said to be nothing.
    assert!(!first.keys().any(|name| name.contains("facts") || name.contains("live_orders")), "{first:?}");
    running.child.kill().unwrap();
    // Where it cannot be had, and where it is not wanted.
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    for (address, code) in [(&*busy.local_addr().unwrap().to_string(), 1), ("8080", 2), ("none", 0)] {
        let mut command = orderwatch();
        let ended = run(command.args(["replay", "story.jsonl", "--serve", address]).current_dir(folder.path()));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(code != 0, ended.stderr.contains("flag --serve"), "{}", ended.stderr);
        let checked = run(orderwatch().args(["check", "story.jsonl", "--serve", address]).current_dir(folder.path()));
        assert_eq!(code != 0, checked.stdout.contains(&format!("failed   output, --serve {address}: cannot serve")));
    }
}

//! What checkpoints survive: a change of configuration as the table in docs/operations.md says, and the next version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dataflows::orders::Rows;
use dataflows::orders::keeper::Keeper;
use orderwatch::checkpoint::{Manifest, read_parts};
use orderwatch::config::{self, Flag, JobConfig, Kind};
use orderwatch::live::job::LiveJob;
use orderwatch::live::publisher::{Publisher, Update};
use orderwatch::live::reading::Topics;
use orderwatch::live::rows::rows_that_stood;
use orderwatch::sink::text_row::TextRow;
use orderwatch::store::Objects;

use super::memory::{MemoryLog, MemorySink};
use super::{End, Shop, TOPICS, TimeMode, incarnation};

/// Another value for each key that a table of the documents names.
const OTHERWISE: [(&str, &str); 36] = [
    ("job.workers", "3"),
    ("cluster.processes", "2"),
    ("cluster.process", "0"),
    ("cluster.hostfile", ""),
    ("cluster.secret", "s3cret"),
    ("input.sort_memory", "2G"),
    ("time.max_read_ahead", "2h"),
    ("sink.memory", "1G"),
    ("sink.spill", "0"),
    ("sink.circuit_failures", "7"),
    ("sink.circuit_probe_after", "7s"),
    ("sink.postgres", "postgresql://shop@other/shop"),
    ("sink.sqlite", "other.sqlite"),
    ("sink.kafka", "other:9092"),
    ("checkpoint.interval", "7s"),
    ("checkpoint.store", "other"),
    ("serve.address", "127.0.0.1:7"),
    ("kafka.brokers", "other:9092"),
    ("kafka.client", ""),
    ("watch.max_files_per_tick", "7"),
    ("kafka.format", "avro"),
    ("kafka.schema_registry", "http://other:8081"),
    ("job.plan", "relational"),
    ("job.transitions", "strict"),
    ("job.windows", "hour"),
    ("job.sla_rules", "rules.toml"),
    ("time.grace", "7s"),
    ("time.tick", "7s"),
    ("time.late_arrival", "7s"),
    ("time.max_future_skew", "7s"),
    ("time.out_of_orderness", "7s"),
    ("orders.abandon_after", "7h"),
    ("orders.expect_payments", "false"),
    ("orders.retention", "7d"),
    ("orders.max_age", "77d"),
    ("validation.max_price", "77.00"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn configured(changed: Option<(&'static str, &str)>) -> JobConfig {
    let changed = changed.filter(|(_, text)| !text.is_empty());
    let flags: Vec<Flag> =
        changed.map(|(key, text)| Flag { key, flag: "--flag", text: text.to_owned() }).into_iter().collect();
    let rule = "[[rule]]\nsla = \"delivery\"\nwithin = \"77h\"\n";
    config::load(Kind::Live, None, [], &flags, |_| Ok(orderwatch::rules::parse(rule).unwrap())).unwrap()
}

fn fingerprint(config: &JobConfig, mode: TimeMode) -> u64 {
    let open = Box::new(|| Ok(Box::new(MemoryLog::new(&Default::default(), 1)) as _));
    LiveJob::new(config, Topics(config.kafka.topics.clone()), mode, open).fingerprint
}

/// The keys that the table of the documents names, by what becomes of checkpoints.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| change of configuration |")).skip(2);
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let outcome = cells[2].split([':', ',']).next().unwrap().to_owned();
        let named = cells[1].split('`').skip(1).step_by(2).filter(|name| name.contains('.'));
        keys.entry(outcome).or_default().extend(named.map(str::to_owned));
    }
    keys
}

#[test]
fn what_may_be_changed_is_what_the_documents_say() {
    let documented = documented();
    let before = fingerprint(&configured(None), TimeMode::Wall);
    assert_ne!(before, fingerprint(&configured(None), TimeMode::Event), "--clock");
    for (outcome, survives) in [("taken up", true), ("refused", false)] {
        for key in &documented[outcome] {
            let (key, other) = match key.as_str() {
                "kafka.topics" => ("kafka.topics", "other"),
                "orders.horizon" => ("orders.horizon", "400d"),
                key => *OTHERWISE.iter().find(|(known, _)| *known == key).unwrap_or_else(|| panic!("{key}")),
            };
            let after = fingerprint(&configured(Some((key, other))), TimeMode::Wall);
            assert_eq!(before == after, survives, "{key}");
        }
    }
    // No key is left out.
    let defaults: toml::Table = fs::read_to_string(root().join("config/default.toml")).unwrap().parse().unwrap();
    let all: BTreeSet<String> = defaults
        .iter()
        .flat_map(|(section, keys)| keys.as_table().unwrap().keys().map(move |key| format!("{section}.{key}")))
        .collect();
    let named: BTreeSet<String> = documented.into_values().flatten().collect();
    assert_eq!(all, named);
}

fn fixture() -> PathBuf {
    root().join("tests/fixtures/checkpoint-format-3")
}

/// Where a checkpoint is taken up from without the job that wrote it.
fn newest(store: &Path) -> Manifest {
    let manifests = store.join("orderwatch/manifests");
    let mut names: Vec<PathBuf> = fs::read_dir(manifests).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    serde_json::from_slice(&fs::read(names.pop().unwrap()).unwrap()).unwrap()
}

/// Every row that stands in a checkpoint, as keepers of so many workers and the publisher take it up.
fn rows(store: &Path, workers: u64) -> Vec<String> {
    let manifest = newest(store);
    let (frontier, cut) = (manifest.frontier, manifest.cut.clone());
    let restored = read_parts(&Objects::open(&store.display().to_string()).unwrap(), manifest).unwrap();
    let config = configured(None);
    let topics = Topics(TOPICS.map(str::to_owned).to_vec());
    let open = Box::new(|| Ok(Box::new(MemoryLog::new(&Default::default(), 1)) as _));
    let job = LiveJob::new(&config, topics.clone(), TimeMode::Event, open);
    let place = topics.clone();
    let mut publisher = Publisher::new(&config.settings, Rows::All, Box::new(move |position| place.place(position)));
    publisher.restore(frontier, &restored.parts[0], |position| topics.is_before(&cut, position)).unwrap();
    publisher.show_stood();
    for worker in 0..workers {
        let mut keeper = Keeper::live(Rc::new(job.law.clone()), Box::new(|_| Box::new(drop)), Rows::All);
        for part in &restored.parts[1..] {
            let taken = keeper.take_up(
                frontier,
                part,
                |key| key as u64 % workers == worker,
                worker == 0,
                |position| topics.is_before(&cut, position),
            );
            taken.unwrap();
        }
        let rows: Vec<Update> = rows_that_stood(keeper.standing(frontier));
        rows.into_iter().for_each(|update| publisher.take(update));
    }
    let shown = publisher.take_stood().into_iter().map(|(change, _)| {
        let text = [change.key, change.row.unwrap()].concat();
        let cells: Vec<String> = TextRow::new(&text).cells().map(|cell| cell.into_owned()).collect();
        format!("{}: {}", change.collection.name, cells.join("|"))
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

#[test]
fn a_checkpoint_of_this_format_is_read_by_whoever_says_so() {
    let expected = fs::read_to_string(fixture().join("rows.txt")).unwrap();
    for workers in [1, 3] {
        let rows = rows(&fixture(), workers);
        let differs = rows.iter().map(String::as_str).zip(expected.lines()).find(|(row, expected)| row != expected);
        assert_eq!(differs, None, "{workers} workers");
        assert_eq!(rows.len(), expected.lines().count());
    }
}

/// Writes the fixture anew, by hand where the format has changed:
/// `ORDERWATCH_WRITE_FIXTURE=1 cargo test --test live write_the`.
#[test]
fn write_the_fixture() {
    if std::env::var_os("ORDERWATCH_WRITE_FIXTURE").is_none() {
        return;
    }
    let _ = fs::remove_dir_all(fixture());
    let (shop, sink) = (Shop::open(30, 7, &[]), MemorySink::default());
    let store = tempfile::tempdir().unwrap();
    incarnation(&shop, &store.path().display().to_string(), &[&sink], 2, End::Stopped(12));
    let manifest = newest(store.path());
    let name = format!("orderwatch/manifests/{:020}-{:010}.json", manifest.frontier, manifest.incarnation);
    for name in manifest.parts.iter().map(|part| &part.name).chain([&name]) {
        let to = fixture().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(store.path().join(name), to).unwrap();
    }
    fs::write(fixture().join("rows.txt"), rows(&fixture(), 1).join("\n") + "\n").unwrap();
}

//! Golden inputs into every sink: the same rows, and the same bytes whatever the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use dataflows::views::COLLECTIONS;
use rusqlite::Connection;
use serde_json::Value;

use super::golden_sets::{EVENTS, GoldenSet, MIXED, OLIST};
use super::inputs::{sample, shared};
use super::read;
use super::run::{lacks, replay, run};

/// What a replay wrote.
pub struct Written {
    _folder: tempfile::TempDir,
    pub csv: PathBuf,
    pub jsonl: PathBuf,
    pub parquet: PathBuf,
    pub sqlite: PathBuf,
    /// What it said on standard output.
    pub stdout: String,
}

/// Replays into every sink, from within `folder`; each run has two sinks at once.
pub fn written(folder: &Path, arguments: &[&str]) -> Written {
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name);
    let mut said = Vec::new();
    for format in ["csv", "jsonl", "parquet"] {
        let mut command = replay(arguments);
        command.arg("--out").arg(path(format)).args(["--format", format, "--output", "json"]);
        // The content of the file is replaced twice.
        let ended = run(command.arg("--sqlite").arg(path("results.sqlite")).current_dir(folder));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        said.push(ended.stdout);
    }
    let (csv, jsonl, parquet, sqlite) = (path("csv"), path("jsonl"), path("parquet"), path("results.sqlite"));
    Written { _folder: out, csv, jsonl, parquet, sqlite, stdout: said.pop().unwrap() }
}

fn assert_agree(written: &Written) {
    let connection = Connection::open(&written.sqlite).unwrap();
    let json: Value = serde_json::from_str(&written.stdout).unwrap();
    let mut rows = 0;
    for collection in &COLLECTIONS {
        let name = collection.name;
        let csv = read::csv(&written.csv, collection);
        assert_eq!(csv, read::jsonl(&written.jsonl, collection), "{name} as JSON lines");
        assert_eq!(csv, read::parquet(&written.parquet, collection), "{name} as Parquet");
        assert_eq!(csv, read::sqlite(&connection, name), "{name} in SQLite");
        assert_eq!(json["collections"][name], csv.len(), "{name} on the console");
        rows += csv.len();
    }
    assert!(rows > 1_000, "only {rows} rows");
    assert_eq!(json["nothing_vanished"], true);
    for (directory, format) in [(&written.csv, "csv"), (&written.jsonl, "jsonl"), (&written.parquet, "parquet")] {
        let names: Vec<String> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.len() == COLLECTIONS.len() && names.iter().all(|name| name.ends_with(format)), "{names:?}");
    }
    drop(connection);
    let beside = fs::read_dir(written.sqlite.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 4, "something is left beside the SQLite file");
    read_back(written);
}

/// Has Python read everything back.
fn read_back(written: &Written) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sinks/read_back.py");
    let program = std::env::var_os("ORDERWATCH_PYTHON").unwrap_or_else(|| "python3".into());
    let mut python = Command::new(program);
    python.arg(script).args([&written.csv, &written.sqlite, &written.jsonl, &written.parquet]);
    match python.output() {
        Err(error) => lacks(&format!("Python: {error}")),
        Ok(output) => {
            let said =
                [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            assert!(output.status.success(), "{said}");
            if !["DuckDB", "pyarrow"].iter().any(|tool| said.contains(tool)) {
                lacks("a Python that reads Parquet (eval \"$(scripts/services tools)\")");
            }
        }
    }
}

#[test]
fn every_sink_holds_the_rows_of_the_sample() {
    let sample = sample();
    let written = written(sample.parent().unwrap(), &["sample"]);
    assert_agree(&written);
    // The same bytes, whatever the workers.
    let again = self::written(sample.parent().unwrap(), &["sample", "-w", "2"]);
    for (one, other) in [(&written.jsonl, &again.jsonl), (&written.parquet, &again.parquet)] {
        assert!(bytes(one) == bytes(other), "{} differs with -w 2", one.display());
    }
}

/// Every sink holds the rows of these golden sets.
fn check(sets: &[GoldenSet]) {
    let (Some(folder), scratch) = (shared(""), tempfile::tempdir().unwrap()) else { return };
    for set in sets {
        // That of a set that fails is shown last.
        println!("{}", set.name);
        if let Some(arguments) = set.arguments(scratch.path()) {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["-w", "2"]).collect();
            assert_agree(&written(&folder, &arguments));
        }
    }
}

#[test]
fn every_sink_holds_the_rows_of_golden_olist() {
    check(OLIST);
}

#[test]
fn every_sink_holds_the_rows_of_mixed_and_dirty_goldens() {
    check(MIXED);
}

#[test]
fn every_sink_holds_the_rows_of_golden_events() {
    check(EVENTS);
}

#[test]
fn no_golden_set_is_left_out() {
    let Some(folder) = shared("golden") else { return };
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
    let there: BTreeSet<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    let known: BTreeSet<String> = [OLIST, MIXED, EVENTS].into_iter().flatten().map(|set| set.name.to_owned()).collect();
    assert_eq!(known, there);
}

fn bytes(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

#[test]
fn views_say_what_tables_say() {
    let sample = sample();
    let written = written(sample.parent().unwrap(), &["sample"]);
    let connection = Connection::open(&written.sqlite).unwrap();
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, f64>(0)).unwrap();
    let same = |view: &str, table: &str| {
        let (view, table) = (number(view), number(table));
        assert!(table > 0.0 && (view - table).abs() < 0.005, "{view} and {table}");
    };
    same("SELECT COUNT(*) FROM hourly_funnel_summary", "SELECT COUNT(*) FROM real_time_funnel WHERE window = 'hour'");
    same(
        "SELECT SUM(delivered) FROM complete_funnel WHERE tenant = '*'",
        "SELECT delivered FROM real_time_funnel WHERE window = 'total' AND tenant = '*'",
    );
    same(
        "SELECT SUM(gmv) FROM complete_funnel WHERE tenant = '*'",
        "SELECT CAST(gmv AS REAL) FROM gmv_metrics WHERE window = 'total' AND tenant = '*'",
    );
    same(
        "SELECT SUM(payment_value) FROM complete_funnel WHERE tenant = '*'",
        "SELECT SUM(CAST(total_value AS REAL)) FROM payment_metrics WHERE window = 'total' AND tenant = '*'",
    );
    same("SELECT SUM(orders) FROM breach_summary", "SELECT COUNT(*) FROM sla_breaches");
    same("SELECT MAX(max_overdue_seconds) FROM breach_summary", "SELECT MAX(overdue_seconds) FROM sla_breaches");
    same("SELECT SUM(valid) FROM v_data_quality_dashboard", "SELECT SUM(valid) FROM data_quality_metrics");
    assert_eq!(read::sqlite(&connection, "dead_letter_events"), read::sqlite(&connection, "dead_letters"));
    // No hour is there twice, though payments may come in hours without orders.
    assert_eq!(number("SELECT COUNT(*) - COUNT(DISTINCT hour || tenant) FROM complete_funnel"), 0.0);
    let plan: String = connection
        .query_row("EXPLAIN QUERY PLAN SELECT * FROM order_events ORDER BY at DESC LIMIT 3", [], |row| row.get(3))
        .unwrap();
    assert!(plan.contains("order_events_by_at"), "{plan}");
}

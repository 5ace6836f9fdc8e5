//! Streams of orders and sales: the same bytes for the same flags, and statistics that a replay comes to as well.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use orderwatch::cli::GenerateStream;
use orderwatch::generate::{OlistOptions, StreamKind, StreamStatistics, generate_olist, generate_stream};
use orderwatch::kafka::KafkaSettings;
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::run::{replay, run};

/// Faults by default: none.
pub fn options(count: u64, to: &[PathBuf]) -> GenerateStream {
    GenerateStream {
        count,
        rate: None,
        duration: None,
        seed: 7,
        time_scale: 1_440 * 10_000,
        late: 0,
        duplicates: 0,
        invalid: 0,
        disorder: 0,
        to: to.to_vec(),
        no_console: true,
    }
}

fn faulty(count: u64, to: &[PathBuf]) -> GenerateStream {
    GenerateStream { late: 5_000, duplicates: 3_000, invalid: 2_000, disorder: 600_000, ..options(count, to) }
}

/// XXH3-64 of 300 orders and sales with every fault. A change here means that everyone's streams change.
const PINNED: [(StreamKind, &str); 2] =
    [(StreamKind::Orders, "763adf08948958c3"), (StreamKind::Sales, "41057e1b2c90725d")];

#[test]
fn the_same_flags_give_these_bytes_whatever_the_target() {
    let place = TempDir::new().unwrap();
    for (kind, pinned) in PINNED {
        let targets = ["a.jsonl", "b.jsonl.gz", "c.jsonl.zst"].map(|name| place.path().join(name));
        let statistics = generate_stream(kind, &faulty(300, &targets), &KafkaSettings::default()).unwrap();
        let plain = fs::read(&targets[0]).unwrap();
        assert_eq!(format!("{:016x}", xxh3_64(&plain)), pinned, "{kind:?}");
        let (mut gzip, mut zstd) = (Vec::new(), Vec::new());
        flate2::read::GzDecoder::new(File::open(&targets[1]).unwrap()).read_to_end(&mut gzip).unwrap();
        zstd::stream::read::Decoder::new(File::open(&targets[2]).unwrap()).unwrap().read_to_end(&mut zstd).unwrap();
        assert!(gzip == plain && zstd == plain);
        assert_eq!(statistics.bytes, plain.len() as u64);
        assert_eq!(statistics.lines, plain.iter().filter(|byte| **byte == b'\n').count() as u64);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "nothing unfinished is left");
    }
}

#[test]
fn in_a_directory_the_file_has_the_name_of_what_the_lines_are() {
    let place = TempDir::new().unwrap();
    fs::create_dir(place.path().join("there")).unwrap();
    for (kind, name) in [(StreamKind::Orders, "orders.jsonl"), (StreamKind::Sales, "sales.jsonl")] {
        // One that is not there is made, where its name says that it is one.
        let targets = ["there", "made/within/", "plain.jsonl"].map(|name| place.path().join(name));
        generate_stream(kind, &options(20, &targets), &KafkaSettings::default()).unwrap();
        let plain = fs::read(&targets[2]).unwrap();
        assert!(!plain.is_empty() && targets[..2].iter().all(|place| fs::read(place.join(name)).unwrap() == plain));
    }
    let files = |name: &str| fs::read_dir(place.path().join(name)).unwrap().count();
    assert_eq!(["there", "made", "made/within"].map(files), [2, 1, 2], "nothing unfinished is left");
}

/// A replay's files, and the numbers of its record law: read, decoded, refused; facts, accepted, duplicates, refused.
struct Replayed {
    files: BTreeMap<String, String>,
    law: Vec<u64>,
}

impl Replayed {
    /// Rows of a file, each by the names of its columns.
    fn rows(&self, name: &str) -> Vec<BTreeMap<String, String>> {
        csv::Reader::from_reader(self.files[name].as_bytes()).deserialize().map(|row| row.unwrap()).collect()
    }

    /// The sum of a column over rows where another one is as wanted.
    fn sum(&self, name: &str, column: &str, is_counted: impl Fn(&BTreeMap<String, String>) -> bool) -> u64 {
        let rows = self.rows(name);
        rows.iter().filter(|row| is_counted(row)).map(|row| row[column].parse::<u64>().unwrap()).sum()
    }
}

fn replayed(input: &Path, more: &[&str]) -> Replayed {
    let out = TempDir::new().unwrap();
    let ended = run(replay(more).arg(input).arg("--out").arg(out.path()).args(["--windows", "day,total"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
    let files = fs::read_dir(out.path()).unwrap().map(|entry| file(entry.unwrap())).collect();
    let sums = ended.stdout.lines().filter(|line| line.starts_with("records: ") || line.starts_with("facts: "));
    let number = |word: &str| word.replace(',', "").parse::<u64>().ok();
    let law = sums.flat_map(|line| line.split(' ').filter_map(number).collect::<Vec<_>>()).collect();
    Replayed { files, law }
}

fn law_of(statistics: &StreamStatistics) -> Vec<u64> {
    let StreamStatistics { lines, invalid_lines, facts, duplicate_facts, .. } = *statistics;
    vec![lines, lines - invalid_lines, invalid_lines, facts, facts - duplicate_facts, duplicate_facts, 0]
}

fn assert_agrees(replayed: &Replayed, statistics: &StreamStatistics) {
    assert_eq!(replayed.law, law_of(statistics));
    let with_status = |status: &'static str| {
        replayed.sum("orders_by_status.csv", "orders", |row| row["tenant"] != "*" && row["status"] == status)
    };
    assert_eq!(with_status("DELIVERED"), statistics.completed);
    assert_eq!(with_status("CANCELLED"), statistics.cancelled);
    let active = with_status("ORDER") + with_status("PROCESSING") + with_status("SHIPPED");
    assert_eq!((active, with_status("UNPLACED")), (statistics.still_active(), 0));
    assert_eq!(replayed.rows("orders.csv").len() as u64, statistics.orders);
    assert_eq!(replayed.rows("violations.csv").len(), 0, "lives are in turn");
}

#[test]
fn a_replay_comes_to_the_statistics_and_faults_change_no_result() {
    let place = TempDir::new().unwrap();
    for kind in [StreamKind::Orders, StreamKind::Sales] {
        let [clean, bad] = ["clean.jsonl", "bad.jsonl.gz"].map(|name| place.path().join(name));
        let clean_statistics =
            generate_stream(kind, &options(1_000, std::slice::from_ref(&clean)), &KafkaSettings::default()).unwrap();
        let statistics =
            generate_stream(kind, &faulty(1_000, std::slice::from_ref(&bad)), &KafkaSettings::default()).unwrap();
        assert_eq!(clean_statistics.orders, 1_000);
        assert_eq!(clean_statistics.late_lines + clean_statistics.invalid_lines + clean_statistics.duplicate_lines, 0);
        assert_eq!(statistics.transitions, clean_statistics.transitions);
        let share = |count: u64| 1_000 * count / statistics.lines;
        assert!((20..40).contains(&share(statistics.duplicate_lines)), "{statistics:?}");
        assert!((10..30).contains(&share(statistics.invalid_lines)), "{statistics:?}");
        assert!((40..400).contains(&share(statistics.late_lines)), "{statistics:?}");

        let [clean, bad] = [replayed(&clean, &[]), replayed(&bad, &[])];
        assert_agrees(&clean, &clean_statistics);
        assert_agrees(&bad, &statistics);
        assert!(clean.rows("sla_breaches.csv").len() > 50, "some orders of real length are late");
        assert_eq!(bad.rows("dead_letters.csv").len() as u64, statistics.invalid_lines);
        for (name, text) in &clean.files {
            if name != "dead_letters.csv" && name != "data_quality_metrics.csv" {
                assert!(bad.files[name] == *text, "{kind:?}: faults changed {name}");
            }
        }
    }
}

#[test]
fn as_many_lines_are_late_as_are_asked_for() {
    let place = TempDir::new().unwrap();
    let file = [place.path().join("a.jsonl")];
    // Hundreds of lines within the time that a late one waits, and one or two.
    for time_scale in [10_000, 1_440 * 10_000] {
        let late_percent = |percent: u64| {
            let options = GenerateStream { late: percent * 1_000, time_scale, ..options(3_000, &file) };
            let statistics = generate_stream(StreamKind::Orders, &options, &KafkaSettings::default()).unwrap();
            let found = 100.0 * statistics.late_lines as f64 / statistics.lines as f64;
            // By chance, and what goes before the others is on time.
            assert!((found - percent as f64).abs() < 1.5, "{percent}% at {time_scale}: {found}%");
            found
        };
        let found = [5, 25, 50, 60, 75, 90, 95, 99, 100].map(late_percent);
        assert!(found.is_sorted(), "{found:?}");
    }
    // However few there are.
    let options = GenerateStream { late: 100_000, ..options(10, &file) };
    let statistics = generate_stream(StreamKind::Sales, &options, &KafkaSettings::default()).unwrap();
    assert_eq!(statistics.late_lines, statistics.lines - 1);
}

#[test]
fn late_facts_are_those_that_a_replay_in_arrival_order_counts() {
    let place = TempDir::new().unwrap();
    let file = [place.path().join("a.jsonl")];
    let late_of = |replayed: &Replayed| replayed.sum("data_quality_metrics.csv", "late", |_| true);
    for kind in [StreamKind::Orders, StreamKind::Sales] {
        let statistics = generate_stream(kind, &faulty(1_000, &file), &KafkaSettings::default()).unwrap();
        let arrived = replayed(&file[0], &["--arrival-order"]);
        assert_eq!(late_of(&arrived), statistics.late_facts);
        assert_agrees(&arrived, &statistics);
        // Lines that were only asked to be late are; a shuffle keeps within its bound.
        let late = GenerateStream { late: 5_000, ..options(1_000, &file) };
        let statistics = generate_stream(kind, &late, &KafkaSettings::default()).unwrap();
        let share = 1_000 * statistics.late_lines / statistics.lines;
        assert!((40..60).contains(&share), "{share} in 1,000 lines are late");
        let shuffled = GenerateStream { disorder: 24 * 3_600_000, ..options(1_000, &file) };
        assert!(generate_stream(kind, &shuffled, &KafkaSettings::default()).unwrap().late_lines > 1_000);
        assert!(late_of(&replayed(&file[0], &["--arrival-order"])) > 0);
        assert_eq!(late_of(&replayed(&file[0], &["--arrival-order", "--out-of-orderness", "24h"])), 0);
    }
}

#[test]
fn faults_of_a_directory_are_counted_and_change_no_result() {
    let place = TempDir::new().unwrap();
    let clean_options = OlistOptions { count: 2_000, seed: 5, ..OlistOptions::default() };
    let bad_options = OlistOptions { duplicates: 4_000, invalid: 2_000, ..clean_options };
    let [clean, bad] = [("clean", clean_options), ("bad", bad_options)].map(|(name, options)| {
        let directory = place.path().join(name);
        let statistics = generate_olist(&options, &[&directory]).unwrap();
        let (rows, invalid, facts) = (statistics.rows(), statistics.invalid_rows, statistics.facts);
        let duplicates = statistics.duplicate_facts;
        for more in [&[][..], &["--arrival-order"], &["-w", "2"]] {
            let law = replayed(&directory, more).law;
            assert_eq!(
                law,
                [rows, rows - invalid, invalid, facts, facts - duplicates, duplicates, 0],
                "{name} {more:?}"
            );
        }
        (replayed(&directory, &[]), statistics)
    });
    assert_eq!(
        (clean.1.invalid_rows, clean.1.duplicate_rows, clean.1.facts),
        (0, 0, bad.1.facts - bad.1.duplicate_facts)
    );
    let share = |count: u64| 1_000 * count / clean.1.rows();
    assert!(
        (30..50).contains(&share(bad.1.duplicate_rows)) && (13..27).contains(&share(bad.1.invalid_rows)),
        "{}",
        bad.1
    );
    for (name, text) in &clean.0.files {
        if name != "dead_letters.csv" && name != "data_quality_metrics.csv" {
            assert!(bad.0.files[name] == *text, "faults changed {name}");
        }
    }
}

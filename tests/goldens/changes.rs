//! `--changes`: added up they are the files, and up to a time the files of a replay until then; the same bytes always.

use std::collections::BTreeMap;
use std::path::Path;

use super::bounded::shop;
use super::compare::{assert_golden, assert_same, files};
use super::golden_sets::{EVENTS, GoldenSet, MIXED, NASTY, OLIST};
use super::inputs::{Chance, sample, shared};
use super::run::{replay, run};
use super::same::{on_a_cluster, replayed};
use super::sets::replay_into;

type Row = Vec<String>;

/// The rows of a CSV file.
fn rows(text: &[u8]) -> Vec<Row> {
    let records = csv::Reader::from_reader(text).into_records();
    records.map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Every file of a directory by name: its rows.
fn tables(directory: &Path) -> BTreeMap<String, Vec<Row>> {
    let of_directory = files(directory).into_iter().filter(|(name, _)| !name.contains('/'));
    of_directory.map(|(name, text)| (name, rows(&text))).collect()
}

/// Changes by file: of each its rows, in the order of time, key and diff.
fn changes(out: &Path) -> BTreeMap<String, Vec<Row>> {
    let changes = tables(&out.join("changes"));
    assert_eq!(changes.len(), 14);
    for (name, changes) in &changes {
        let mut last: Option<&Row> = None;
        for change in changes {
            // A row never comes and goes at one time, and never twice.
            let same = last.is_some_and(|last| last[0] == change[0] && last[2..] == change[2..]);
            assert!(!same && last.is_none_or(|last| last[0] <= change[0]), "{name}: {last:?} before {change:?}");
            if let Some(last) = last.filter(|last| last[0] == change[0] && last[2] == change[2] && last[3] == change[3])
                && name == "orders.csv"
            {
                assert_eq!([&last[1], &change[1]], ["-1", "1"], "{name}: {change:?}");
            }
            last = Some(change);
        }
    }
    changes
}

/// The rows that stand at `time` by these changes, sorted as a file is; all of them without a time.
fn accumulated(changes: &[Row], time: Option<&str>) -> Vec<Row> {
    let mut standing: BTreeMap<&[String], i64> = BTreeMap::new();
    for change in changes.iter().filter(|change| time.is_none_or(|time| change[0].as_str() <= time)) {
        *standing.entry(&change[2..]).or_default() += change[1].parse::<i64>().unwrap();
    }
    let rows = standing.into_iter().flat_map(|(row, count)| {
        assert!(count >= 0, "deleted and never there: {row:?}");
        std::iter::repeat_n(row.to_vec(), count as usize)
    });
    rows.collect()
}

fn assert_add_up(changes: &BTreeMap<String, Vec<Row>>, time: Option<&str>, out: &Path, what: &str) {
    for (name, mut wanted) in tables(out) {
        wanted.sort();
        let got = accumulated(&changes[&name], time);
        let odd = got.iter().zip(&wanted).find(|(got, wanted)| got != wanted);
        let numbers = (got.len(), wanted.len());
        assert!(got == wanted, "{what}: {name} at {time:?}: rows and those wanted {numbers:?}, {odd:?}");
    }
}

/// Changes of golden sets: they add up to the files.
fn check(sets: &[GoldenSet]) {
    let (Some(folder), scratch) = (shared(""), tempfile::tempdir().unwrap()) else { return };
    for set in sets {
        let golden = shared(&format!("golden/{}", set.name));
        let (Some(golden), Some(arguments)) = (golden, set.arguments(scratch.path())) else { continue };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let out = tempfile::tempdir().unwrap();
        replay_into(&folder, &arguments, &["--changes", "--no-console", "-w", "2"], out.path());
        assert_golden(out.path(), &golden, None);
        assert_add_up(&changes(out.path()), None, out.path(), set.name);
    }
}

#[test]
fn changes_of_golden_olist_add_up_to_the_files() {
    check(OLIST);
}

#[test]
fn changes_of_mixed_and_dirty_goldens_add_up_to_the_files() {
    check(MIXED);
}

#[test]
fn changes_of_golden_events_add_up_to_the_files() {
    check(EVENTS);
}

/// At boundaries of windows, the changes up to then are the files of a replay until then.
fn check_boundaries(folder: &Path, input: &str, options: &[&str], seed: u64) {
    let out = tempfile::tempdir().unwrap();
    replay_into(folder, &[input], &[options, &["--changes", "--no-console"]].concat(), out.path());
    let changes = changes(out.path());
    let mut times: Vec<&str> = changes["order_events.csv"].iter().map(|change| change[0].as_str()).collect();
    times.dedup();
    let mut chance = Chance(seed);
    for (kept, rest) in [(17, ":00.000Z"), (14, "00:00.000Z"), (11, "00:00:00.000Z")].into_iter().cycle().take(9) {
        let time = times[chance.below(times.len())];
        let boundary = format!("{}{rest}", &time[..kept - usize::from(kept == 17)]);
        let until = tempfile::tempdir().unwrap();
        replay_into(
            folder,
            &[input],
            &[options, &["--until", &boundary, "--no-console", "-w", "2"]].concat(),
            until.path(),
        );
        assert_add_up(&changes, Some(&boundary), until.path(), &format!("{input} {options:?}"));
    }
}

#[test]
fn changes_up_to_a_boundary_are_a_replay_until_then() {
    let sample = sample();
    check_boundaries(sample.parent().unwrap(), "sample", &[], 1);
    check_boundaries(sample.parent().unwrap(), "sample", &["--plan", "relational"], 2);
    let temporary = tempfile::tempdir().unwrap();
    shop(temporary.path(), "1500");
    check_boundaries(temporary.path(), "shop", &["--retention", "5d"], 3);
    let Some(folder) = shared("") else { return };
    check_boundaries(&folder, "data/events/events.jsonl.gz", &[], 4);
    check_boundaries(&folder, "data/nasty/nasty.jsonl", NASTY, 5);
}

#[test]
fn changes_are_the_same_bytes_always() {
    let same = |folder: &Path, input: &str, options: &[&str]| {
        let with = |more: &[&'static str]| [options, &["--changes"], more].concat();
        let under = |more: &[&'static str]| {
            let out = tempfile::tempdir().unwrap();
            replay_into(folder, &[input], &with(more), out.path());
            files(out.path())
        };
        let alone = under(&[]);
        for workers in ["2", "4"] {
            assert_same(&alone, &under(&["-w", workers, "--sort-memory", "1M"]), &format!("{input} -w {workers}"));
        }
        assert_same(&alone, &under(&["--plan", "relational", "-w", "2"]), &format!("{input} --plan relational"));
        let of_cluster = on_a_cluster(folder, &[input], &with(&["--sort-memory", "1M"]));
        assert_same(&alone, &of_cluster, &format!("{input} -n 2 -w 2"));
    };
    let sample = sample();
    same(sample.parent().unwrap(), "sample", &[]);
    let temporary = tempfile::tempdir().unwrap();
    shop(temporary.path(), "2000");
    same(temporary.path(), "shop", &[]);
    let Some(folder) = shared("") else { return };
    let nasty = [NASTY, &["--horizon", "22d"]].concat();
    same(&folder, "data/nasty/nasty.jsonl", &nasty);
}

#[test]
fn every_format_holds_the_same_changes() {
    let sample = sample();
    let out = tempfile::tempdir().unwrap();
    let under = |format: &'static str| {
        let out = out.path().join(format);
        replay_into(sample.parent().unwrap(), &["sample"], &["--changes", "--format", format], &out);
        files(&out.join("changes"))
    };
    let (csv, jsonl) = (under("csv"), under("jsonl"));
    for (name, text) in &csv {
        let name = name.replace("csv", "jsonl");
        let lines = String::from_utf8(jsonl[&name].clone()).unwrap();
        let got: Vec<[String; 2]> = lines
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                [object["time"].as_str().unwrap().to_owned(), object["diff"].to_string()]
            })
            .collect();
        let wanted: Vec<[String; 2]> = rows(text).into_iter().map(|row| [row[0].clone(), row[1].clone()]).collect();
        assert_eq!(got, wanted, "{name}");
    }
    assert_eq!(under("parquet").len(), csv.len());
}

#[test]
fn changes_without_a_place_are_refused() {
    let ended = run(replay(&["data/sample", "--changes"]).current_dir(env!("CARGO_MANIFEST_DIR")));
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for part in ["--changes has nowhere to write to", "add --out DIR"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    assert!(replayed(sample().parent().unwrap(), &["sample"], &[]).len() == 14);
}

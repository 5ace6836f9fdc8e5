//! The program against itself: clusters, shuffled input, fewer windows, arrival order, plans, dirty data.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::compare::{assert_golden, assert_same, files, without_column};
use super::golden_sets::NASTY;
use super::inputs::{dirty, lines, sample, shared, shuffled_directory, shuffled_file};
use super::run::{cluster, run, start};
use super::sets::replay_into;

/// No order retires, nothing is refused for its lateness.
pub const NOTHING_RETIRES: &[&str] = &["--retention", "3000d", "--max-age", "3000d", "--horizon", "3000d"];

type Files = BTreeMap<String, Vec<u8>>;

/// The files of a replay.
pub fn replayed(folder: &Path, inputs: &[&str], options: &[&str]) -> Files {
    let out = tempfile::tempdir().unwrap();
    replay_into(folder, inputs, options, out.path());
    files(out.path())
}

/// Two processes of two workers each; process 0 alone writes and prints.
pub fn on_a_cluster(folder: &Path, inputs: &[&str], options: &[&str]) -> Files {
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("out");
    let mut arguments: Vec<String> =
        [inputs, options, &["-w", "2", "--out"]].concat().iter().map(|a| (*a).into()).collect();
    arguments.push(out.to_str().unwrap().to_owned());
    let mut commands = cluster(&arguments, temporary.path(), 2);
    let started: Vec<_> = commands.iter_mut().map(|command| start(command.current_dir(folder))).collect();
    for (process, running) in started.into_iter().enumerate() {
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "process {process}: {}", ended.stderr);
        assert_eq!(ended.stdout.is_empty(), process > 0, "process {process}: {}", ended.stdout);
    }
    files(&out)
}

#[test]
fn the_sample_is_the_same_on_any_workers_and_processes() {
    let sample = sample();
    let (folder, name) = (sample.parent().unwrap(), ["sample"]);
    let alone = replayed(folder, &name, &["-w", "1"]);
    assert_eq!(alone.len(), 14, "{:?}", alone.keys());
    for workers in ["2", "4"] {
        assert_same(&alone, &replayed(folder, &name, &["-w", workers]), &format!("-w {workers}"));
    }
    assert_same(&alone, &on_a_cluster(folder, &name, &[]), "-n 2 -w 2");
    let until = ["--from", "2017-03-01", "--until", "2018-01-01"];
    assert_same(&replayed(folder, &name, &until), &on_a_cluster(folder, &name, &until), "--from --until -n 2 -w 2");
    let limit = ["--limit", "50"];
    let limited = replayed(folder, &name, &limit);
    assert_eq!(lines_in(&limited["orders.csv"]), 51);
    assert_same(&limited, &on_a_cluster(folder, &name, &limit), "--limit -n 2 -w 2");
}

#[test]
fn the_sample_is_the_same_in_any_order_and_plan() {
    let sample = sample();
    let (folder, name) = (sample.parent().unwrap(), ["sample"]);
    let options = |more: &[&'static str]| [NOTHING_RETIRES, more].concat();
    let sorted = replayed(folder, &name, &options(&[]));
    let arrived = replayed(folder, &name, &options(&["--arrival-order", "-w", "2"]));
    assert_same(&without_column(&sorted, "late"), &without_column(&arrived, "late"), "--arrival-order");
    assert_same(&sorted, &replayed(folder, &name, &options(&["--plan", "relational", "-w", "2"])), "--plan relational");
    let temporary = tempfile::tempdir().unwrap();
    shuffled_directory(&sample, &temporary.path().join("sample"), 7);
    assert_same(&sorted, &replayed(temporary.path(), &name, &options(&["-w", "2"])), "shuffled");
}

#[test]
fn a_larger_co_ordered_directory_is_read_on_any_workers() {
    let temporary = tempfile::tempdir().unwrap();
    let mut generate = std::process::Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    let made = run(generate.args(["generate", "olist", "--count", "20000", "--to"]).arg(temporary.path().join("shop")));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let alone = replayed(temporary.path(), &["shop"], &["-w", "1"]);
    assert_same(&alone, &replayed(temporary.path(), &["shop"], &["-w", "2"]), "-w 2");
    assert_same(&alone, &on_a_cluster(temporary.path(), &["shop"], &[]), "-n 2 -w 2");
    // Most of what is read is cut off: time must move nevertheless.
    let from = ["--from", "2018-07-01"];
    assert_same(
        &replayed(temporary.path(), &["shop"], &from),
        &replayed(temporary.path(), &["shop"], &[&from[..], &["-w", "2"]].concat()),
        "--from -w 2",
    );
}

#[test]
fn clusters_agree_with_the_goldens() {
    let Some(folder) = shared("") else { return };
    for (set, input, options) in [
        ("olist", "data/olist", &[][..]),
        ("events", "data/events/events.jsonl.gz", &[]),
        ("nasty", "data/nasty/nasty.jsonl", NASTY),
    ] {
        let (Some(golden), Some(_)) = (shared(&format!("golden/{set}")), shared(input)) else { continue };
        let out = tempfile::tempdir().unwrap();
        replay_into(&folder, &[input], options, out.path());
        assert_golden(out.path(), &golden, None);
        assert_same(&files(out.path()), &on_a_cluster(&folder, &[input], options), &format!("{set} on -n 2 -w 2"));
    }
}

#[test]
fn fewer_windows_show_the_same_rows() {
    let Some(folder) = shared("") else { return };
    for (set, input) in [("olist", "data/olist"), ("events", "data/events/events.jsonl.gz")] {
        let (Some(golden), Some(_)) = (shared(&format!("golden/{set}")), shared(input)) else { continue };
        let out = tempfile::tempdir().unwrap();
        replay_into(&folder, &[input], &["--windows", "hour,day", "-w", "2"], out.path());
        assert_golden(out.path(), &golden, Some(&["hour", "day"]));
    }
}

#[test]
fn shuffled_olist_rows_make_the_same_files() {
    let Some(olist) = shared("data/olist") else { return };
    let temporary = tempfile::tempdir().unwrap();
    shuffled_directory(&olist, &temporary.path().join("olist"), 3);
    let straight = replayed(olist.parent().unwrap(), &["olist"], &["-w", "2"]);
    assert_same(&straight, &replayed(temporary.path(), &["olist"], &["-w", "2"]), "shuffled olist");
}

#[test]
fn shuffled_lines_make_the_same_files() {
    let rules = shared("data/nasty/sla-rules.toml").map(|path| path.display().to_string()).unwrap_or_default();
    let nasty = ["--sla-rules", &rules, "--grace", "6h", "--retention", "60h", "--max-age", "22d"];
    for (path, options) in [("data/events/events.jsonl.gz", &[][..]), ("data/nasty/nasty.jsonl", &nasty)] {
        let Some(from) = shared(path) else { continue };
        let temporary = tempfile::tempdir().unwrap();
        let straight = temporary.path().join("straight");
        let shuffled = temporary.path().join("shuffled");
        for folder in [&straight, &shuffled] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(straight.join("x.jsonl"), lines(&from)).unwrap();
        let one = replayed(&straight, &["x.jsonl"], &[options, &["-w", "2"]].concat());
        for seed in [5, 6] {
            shuffled_file(&from, &shuffled.join("x.jsonl"), seed);
            let other = replayed(&shuffled, &["x.jsonl"], &[options, &["-w", "2"]].concat());
            // Positions are of the arrival itself.
            assert_same(&unplaced(&one), &unplaced(&other), &format!("{path} shuffled by {seed}"));
        }
    }
}

/// Dead letters without what depends on positions: of records that say the same one stands for all, so facts refused
/// after decoding are taken one by one, without the event ids of their records.
fn unplaced(files: &Files) -> Files {
    let mut files = files.clone();
    let letters = files.get_mut("dead_letters.csv").unwrap();
    let mut lines = Vec::new();
    for row in csv::Reader::from_reader(letters.as_slice()).records() {
        let row = row.unwrap();
        match serde_json::from_str::<Vec<serde_json::Value>>(&row[5]) {
            Ok(facts) => lines.extend(facts.iter().map(|fact| format!("{} {fact}", &row[2]))),
            Err(_) => lines.push(format!("{} {} {}", &row[2], &row[3], &row[5])),
        }
    }
    lines.sort();
    *letters = lines.join("\n").into_bytes();
    files
}

#[test]
fn arrival_order_makes_the_same_files_where_nothing_is_refused_for_lateness() {
    let Some(folder) = shared("") else { return };
    for input in ["data/olist", "data/events/events.jsonl.gz", "data/nasty/nasty.jsonl"] {
        if shared(input).is_none() {
            continue;
        }
        let sorted = replayed(&folder, &[input], &[NOTHING_RETIRES, &["-w", "2"]].concat());
        let arrived = replayed(&folder, &[input], &[NOTHING_RETIRES, &["-w", "2", "--arrival-order"]].concat());
        assert_same(&without_column(&sorted, "late"), &without_column(&arrived, "late"), input);
    }
}

#[test]
fn plans_make_the_same_files() {
    // Of many orders a row is several lives: the times in it are further apart than an order lives.
    let sample = sample();
    let of_plan = |plan| {
        let options = ["--max-age", "8d", "--horizon", "1d", "--changes", "-w", "2", "--plan", plan];
        replayed(sample.parent().unwrap(), &["sample"], &options)
    };
    assert_same(&of_plan("fused"), &of_plan("relational"), "sample: plans");
    let Some(folder) = shared("") else { return };
    for (input, rules) in [
        ("data/events/events.jsonl.gz", "data/events/sla-rules.toml"),
        ("data/nasty/nasty.jsonl", "data/nasty/sla-rules.toml"),
    ] {
        if shared(input).is_none() || shared(rules).is_none() {
            continue;
        }
        let retiring = ["--retention", "60h", "--max-age", "22d", "--horizon", "22d"];
        for (kept, more) in [
            (NOTHING_RETIRES, &["--transitions", "strict"][..]),
            (NOTHING_RETIRES, &["--sla-rules", rules, "--grace", "6h"]),
            (&retiring, &[]),
            (&retiring, &["--sla-rules", rules, "--grace", "6h"]),
        ] {
            let options = [kept, &["-w", "2"], more].concat();
            let fused = replayed(&folder, &[input], &options);
            let relational = replayed(&folder, &[input], &[&options[..], &["--plan", "relational"]].concat());
            assert_same(&fused, &relational, &format!("{input} {kept:?} {more:?}: plans"));
        }
    }
}

#[test]
fn dirty_directories_are_the_same_on_any_workers() {
    for seed in 2..=4 {
        let temporary = tempfile::tempdir().unwrap();
        let Some(directory) = dirty(seed, temporary.path()) else { return };
        let name = directory.file_name().unwrap().to_str().unwrap();
        let alone = replayed(temporary.path(), &[name], &["-w", "1"]);
        assert!(lines_in(&alone["dead_letters.csv"]) > 100);
        assert_same(&alone, &replayed(temporary.path(), &[name], &["-w", "2"]), &format!("seed {seed}"));
    }
}

fn lines_in(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

//! Files are the same bytes however little memory there is to sort them in, and little memory is what they take.

use std::path::Path;
use std::process::Command;

use super::compare::{assert_same, files};
use super::golden_sets::NASTY;
use super::inputs::{sample, shared};
use super::run::run;
use super::same::{NOTHING_RETIRES, on_a_cluster, replayed};
use super::sets::replay_into;

/// Makes a shop of so many orders in the folder.
pub fn shop(folder: &Path, count: &str) {
    let mut generate = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    let made = run(generate.args(["generate", "olist", "--count", count, "--to"]).arg(folder.join("shop")));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
}

/// With hardly any memory, on any workers and processes, the files are those of a run with plenty.
fn check(folder: &Path, input: &str, options: &[&str]) {
    let with = |more: &[&'static str]| [options, more].concat();
    let plenty = replayed(folder, &[input], &with(&["--sort-memory", "8G"]));
    for workers in ["1", "2", "4"] {
        let tight = replayed(folder, &[input], &with(&["--sort-memory", "1M", "-w", workers]));
        assert_same(&plenty, &tight, &format!("{input} {options:?} --sort-memory 1M -w {workers}"));
    }
    let tight = on_a_cluster(folder, &[input], &with(&["--sort-memory", "1M"]));
    assert_same(&plenty, &tight, &format!("{input} {options:?} --sort-memory 1M on -n 2 -w 2"));
}

#[test]
fn a_shop_is_the_same_however_little_memory_there_is() {
    let temporary = tempfile::tempdir().unwrap();
    shop(temporary.path(), "4000");
    check(temporary.path(), "shop", &["--format", "csv"]);
    check(temporary.path(), "shop", &["--format", "parquet", "--windows", "total"]);
    // Most orders are told only in the end.
    check(temporary.path(), "shop", &[NOTHING_RETIRES, &["--format", "jsonl", "--windows", "total"]].concat());
}

#[test]
fn duplicates_refusals_and_ids_that_are_used_again_are_the_same_however_little_memory_there_is() {
    let Some(folder) = shared("") else { return };
    let options = [NASTY, &["--horizon", "22d"]].concat();
    check(&folder, "data/nasty/nasty.jsonl", &options);
    check(&folder, "data/events/events.jsonl.gz", &["--retention", "2d", "--windows", "day"]);
}

#[test]
fn both_plans_are_the_same_however_little_memory_there_is() {
    let sample = sample();
    let options = [NOTHING_RETIRES, &["--plan", "relational"]].concat();
    check(sample.parent().unwrap(), "sample", &options);
    let fused = replayed(sample.parent().unwrap(), &["sample"], NOTHING_RETIRES);
    let tight = replayed(sample.parent().unwrap(), &["sample"], &[&options[..], &["--sort-memory", "1M"]].concat());
    assert_same(&fused, &tight, "--plan relational --sort-memory 1M");
}

/// The peak memory that the console tells, in MiB.
fn peak(stdout: &str) -> u64 {
    let told = stdout.trim_end().rsplit_once("peak memory ").unwrap().1;
    told.strip_suffix(" MiB").unwrap().replace(',', "").parse().unwrap()
}

#[test]
fn files_take_little_memory_however_large_they_are() {
    let temporary = tempfile::tempdir().unwrap();
    shop(temporary.path(), "60000");
    // All rows of orders that live are told in the end: there is no help from retirement.
    let options = [NOTHING_RETIRES, &["--windows", "total", "--sort-memory", "8M"]].concat();
    let without = replay_without(temporary.path(), &options);
    let out = temporary.path().join("out");
    let with = peak(&replay_into(temporary.path(), &["shop"], &options, &out));
    let written: usize = files(&out).values().map(Vec::len).sum();
    assert!(written > 90 << 20, "only {written} bytes were written");
    assert!(with < without + 40, "{with} MiB with files, {without} MiB without");
}

fn replay_without(folder: &Path, options: &[&str]) -> u64 {
    let ended = run(super::run::replay(&["shop"]).current_dir(folder).args(options));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    peak(&ended.stdout)
}

#[test]
fn a_temporary_directory_that_fails_is_named_and_earlier_files_stay() {
    let temporary = tempfile::tempdir().unwrap();
    shop(temporary.path(), "3000");
    let out = temporary.path().join("out");
    replay_into(temporary.path(), &["shop"], &["--limit", "5"], &out);
    let before = files(&out);
    let mut command = super::run::replay(&["shop", "--out", "out", "--sort-memory", "1M"]);
    let ended = run(command.current_dir(temporary.path()).env("TMPDIR", temporary.path().join("none")));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in ["cannot write the temporary file of rows being sorted", "/none\n", "set TMPDIR", "--sort-memory"] {
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    assert_same(&before, &files(&out), "after a replay that failed");
}

//! The golden sets, each by the command that its README gives, on any number of workers.

use std::path::Path;

use super::compare::{assert_golden, assert_same, files};
use super::inputs::{dirty, shared};
use super::run::{replay, run};

/// A rule file and the settings of the nasty sets.
pub const NASTY: &[&str] = &["--sla-rules", "data/nasty/sla-rules.toml", "--grace", "6h", "--retention", "60h"];

/// Replays into `out` from the shared folder, where golden commands are meant; the files hold every record.
pub fn replay_into(folder: &Path, inputs: &[&str], options: &[&str], out: &Path) -> String {
    let mut command = replay(inputs);
    let ended = run(command.current_dir(folder).args(options).arg("--out").arg(out));
    assert_eq!(ended.code, Some(0), "{inputs:?} {options:?}: {}", ended.stderr);
    assert_eq!(ended.stderr, "", "{inputs:?} {options:?}");
    assert!(!ended.stdout.contains("vanished"), "{}", ended.stdout);
    ended.stdout
}

/// Runs a golden set on each of these numbers of workers: equal to the golden, and the same bytes.
fn check(set: &str, inputs: &[&str], options: &[&str], workers: &[&str]) {
    let (Some(golden), Some(folder)) = (shared(&format!("golden/{set}")), shared("")) else { return };
    // A made input has a path of its own.
    if inputs.iter().any(|input| !Path::new(input).is_absolute() && shared(input).is_none()) {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let mut first = None;
    for workers in workers {
        let out = temporary.path().join(workers);
        replay_into(&folder, inputs, &[options, &["-w", workers]].concat(), &out);
        match &first {
            None => {
                assert_golden(&out, &golden, None);
                first = Some(files(&out));
            }
            Some(first) => assert_same(first, &files(&out), &format!("{set} on {workers} workers")),
        }
        std::fs::remove_dir_all(&out).unwrap();
    }
}

const OLIST: &[&str] = &["data/olist"];
const EVENTS: &[&str] = &["data/events/events.jsonl.gz"];
const FEW: &[&str] = &["1", "2"];
const MANY: &[&str] = &["1", "2", "4"];

#[test]
fn olist() {
    check("olist", OLIST, &[], FEW);
}

#[test]
fn olist_strict() {
    check("olist-strict", OLIST, &["--transitions", "strict"], FEW);
}

#[test]
fn olist_until() {
    check("olist-until-2018-01-01", OLIST, &["--until", "2018-01-01T00:00:00Z"], FEW);
}

#[test]
fn olist_and_events() {
    check("olist-and-events", &[OLIST, EVENTS].concat(), &[], FEW);
}

#[test]
fn olist_dirty() {
    let temporary = tempfile::tempdir().unwrap();
    if let Some(directory) = dirty(1, temporary.path()) {
        check("olist-dirty-1", &[directory.to_str().unwrap()], &[], FEW);
    }
}

#[test]
fn events() {
    check("events", EVENTS, &[], MANY);
    check("events-strict", EVENTS, &["--transitions", "strict"], MANY);
    let rules = ["--sla-rules", "data/events/sla-rules.toml", "--grace", "6h", "--until", "2024-03-21T00:00:00Z"];
    check("events-rules", EVENTS, &rules, MANY);
    check("events-retention-2d", EVENTS, &["--retention", "2d"], MANY);
}

#[test]
fn nasty() {
    let options = [NASTY, &["--max-age", "22d"]].concat();
    check("nasty", &["data/nasty/nasty.jsonl"], &options, MANY);
    check("nasty-strict", &["data/nasty/nasty.jsonl"], &[&options[..], &["--transitions", "strict"]].concat(), MANY);
}

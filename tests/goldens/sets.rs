//! The golden sets, each by the command that its README gives, on any number of workers.

use std::path::Path;

use super::compare::{assert_golden, assert_same, files};
use super::golden_sets::{EVENTS, GoldenSet, MIXED, OLIST};
use super::inputs::shared;
use super::run::{replay, run};

/// Replays into `out` from the shared folder, where golden commands are meant; the files hold every record.
pub fn replay_into(folder: &Path, inputs: &[&str], options: &[&str], out: &Path) -> String {
    let mut command = replay(inputs);
    let ended = run(command.current_dir(folder).args(options).arg("--out").arg(out));
    assert_eq!(ended.code, Some(0), "{inputs:?} {options:?}: {}", ended.stderr);
    assert_eq!(ended.stderr, "", "{inputs:?} {options:?}");
    assert!(!ended.stdout.contains("vanished"), "{}", ended.stdout);
    ended.stdout
}

/// Runs golden sets on each of these numbers of workers: equal to the golden, and the same bytes.
fn check(sets: &[GoldenSet], workers: &[&str]) {
    let (Some(folder), scratch) = (shared(""), tempfile::tempdir().unwrap()) else { return };
    for set in sets {
        let golden = shared(&format!("golden/{}", set.name));
        let (Some(golden), Some(arguments)) = (golden, set.arguments(scratch.path())) else { continue };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut first = None;
        for workers in workers {
            let out = tempfile::tempdir().unwrap();
            replay_into(&folder, &arguments, &["-w", workers], out.path());
            match &first {
                None => {
                    assert_golden(out.path(), &golden, None);
                    first = Some(files(out.path()));
                }
                Some(first) => assert_same(first, &files(out.path()), &format!("{} on {workers} workers", set.name)),
            }
        }
    }
}

#[test]
fn olist() {
    check(OLIST, &["1", "2"]);
}

#[test]
fn olist_and_more() {
    check(MIXED, &["1", "2"]);
}

#[test]
fn events() {
    check(EVENTS, &["1", "2", "4"]);
}

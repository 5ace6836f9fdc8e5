//! Sorting within little memory: the same files whatever `--sort-memory` is, nothing left behind, a full disk said.

use std::fs;
use std::path::Path;

use super::compare::{assert_golden, assert_same, files};
use super::forms::{events, replayed};
use super::inputs::{dirty, sample, shared, shuffled_directory};
use super::run::{cluster, replay, run, start};

const LITTLE: [&str; 2] = ["--sort-memory", "1M"];

pub fn on_a_cluster(folder: &Path, arguments: &[&str]) -> super::forms::Files {
    let (out, hosts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut all: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    all.extend(["--out".to_owned(), out.path().display().to_string()]);
    let mut commands = cluster(&all, hosts.path(), 2);
    let started: Vec<_> = commands.iter_mut().map(|command| start(command.current_dir(folder))).collect();
    for running in started {
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    files(out.path())
}

#[test]
fn files_are_the_same_however_little_memory_there_is() {
    let folder = tempfile::tempdir().unwrap();
    shuffled_directory(&sample(), &folder.path().join("sample"), 11);
    fs::write(folder.path().join("events"), events(20_000)).unwrap();
    let inputs = ["sample", "events"];
    let (straight, _) = replayed(folder.path(), &inputs, None);
    for workers in ["1", "2", "4"] {
        let little = [&inputs[..], &LITTLE, &["-w", workers]].concat();
        assert_same(&straight, &replayed(folder.path(), &little, None).0, &format!("-w {workers}"));
    }
    let little = [&inputs[..], &LITTLE, &["-w", "2"]].concat();
    assert_same(&straight, &on_a_cluster(folder.path(), &little), "-n 2");
}

#[test]
fn goldens_hold_within_little_memory() {
    let Some(folder) = shared("") else { return };
    for (set, input) in [("events", "data/events/events.jsonl.gz"), ("olist", "data/olist")] {
        let (Some(golden), Some(_)) = (shared(&format!("golden/{set}")), shared(input)) else { continue };
        let out = tempfile::tempdir().unwrap();
        let ended =
            run(replay(&[&[input, "-w", "2"], &LITTLE[..]].concat()).current_dir(&folder).arg("--out").arg(out.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_golden(out.path(), &golden, None);
    }
    let temporary = tempfile::tempdir().unwrap();
    let Some(directory) = dirty(5, temporary.path()) else { return };
    let name = directory.file_name().unwrap().to_str().unwrap();
    let (straight, _) = replayed(temporary.path(), &[name], None);
    assert_same(&straight, &replayed(temporary.path(), &[&[name], &LITTLE[..]].concat(), None).0, "dirty");
}

/// Lines by time; those without one stay with the line before.
fn by_time(text: &[u8]) -> Vec<u8> {
    let (mut at, mut lines) = (0_u64, Vec::new());
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let digits = String::from_utf8_lossy(line).split("\"timestamp\":").nth(1).map(|rest| rest[..13].to_owned());
        at = digits.map_or(at, |digits| digits.parse().unwrap());
        lines.push((at, line));
    }
    lines.sort_by_key(|(at, _)| *at);
    lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().concat()
}

#[test]
fn a_file_in_order_or_nearly_needs_neither_memory_nor_files_to_be_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let sorted = by_time(&events(50_000));
    // Every hundred lines the other way round.
    let lines: Vec<&[u8]> = sorted.split_inclusive(|byte| *byte == b'\n').collect();
    let nearly = lines.chunks(100).flat_map(|lines| lines.iter().rev().copied()).collect::<Vec<_>>().concat();
    for (name, text) in [("events", &sorted), ("nearly", &nearly)] {
        let place = folder.path().join(name);
        fs::create_dir(&place).unwrap();
        fs::write(place.join("lines"), text).unwrap();
        let (piped, _) = replayed(&place, &["--as", "order-events", "-"], Some(text));
        let replayed_without_files = |arguments: &[&str]| {
            // Rows for files would be sorted there, too: nothing is written in the run that has no such directory. What is
            // refused fits into its share of the memory, all facts together would not.
            let arguments = [&["lines"], arguments, &["--sort-memory", "8M"]].concat();
            let mut command = replay(&arguments);
            let ended = run(command.current_dir(&place).env("TMPDIR", folder.path().join("none")));
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            replayed(&place, &arguments, None).0
        };
        let straight = replayed_without_files(&[]);
        for table in ["orders.csv", "order_events.csv", "sla_breaches.csv", "real_time_funnel.csv"] {
            assert_eq!(straight[table], piped[table], "{name}: {table}");
        }
        for arguments in [&["-w", "2"][..], &["-w", "4"], &["--speed", "100000000"]] {
            assert_same(&straight, &replayed_without_files(arguments), &format!("{name} {arguments:?}"));
        }
        assert_same(&straight, &on_a_cluster(&place, &["lines", "-w", "2"]), "-n 2");
        // Beside an input that has to be sorted, and cut at both ends.
        let cut = ["lines", "-", "--from", "2024-01-03", "--until", "2024-01-20"];
        let (both, _) = replayed(&place, &[&cut[..], &["--as", "order-events"]].concat(), Some(&events(3_000)));
        let (again, _) = replayed(&place, &[&cut[..], &LITTLE, &["-w", "2"]].concat(), Some(&events(3_000)));
        assert_same(&both, &again, name);
    }
}

#[test]
fn temporary_files_that_cannot_be_made_are_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), events(20_000)).unwrap();
    let mut command = replay(&["events", "--sort-memory", "1M", "--out", "out"]);
    let ended = run(command.current_dir(folder.path()).env("TMPDIR", folder.path().join("none")));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for says in ["temporary file of facts being sorted", "/none", "set TMPDIR", "--sort-memory", "records before that"]
    {
        assert!(ended.stderr.contains(says), "{says}: {}", ended.stderr);
    }
    assert_eq!(fs::read_dir(folder.path().join("out")).unwrap().count(), 0);
    // Enough memory needs no file.
    let mut command = replay(&["events"]);
    assert_eq!(run(command.current_dir(folder.path()).env("TMPDIR", folder.path().join("none"))).code, Some(0));
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    fs::write(folder.path().join("events"), events(30_000)).unwrap();
    for kill in [false, true] {
        let mut command = replay(&["events", "--sort-memory", "1M"]);
        let mut running = start(command.current_dir(folder.path()).env("TMPDIR", &temporary));
        if kill {
            std::thread::sleep(std::time::Duration::from_millis(150));
            running.child.kill().unwrap();
        }
        running.wait();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
    }
}

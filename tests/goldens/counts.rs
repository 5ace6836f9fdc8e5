//! What the console says where rows are only counted: the tables and the numbers of rows of a run that writes them.

use std::path::Path;

use super::inputs::{sample, shared};
use super::run::{cluster, replay, run, start};
use super::sets::replay_into;

/// Windows kept: all, few, none but `total`, all but it.
const WINDOWS: [&str; 4] = ["minute,hour,day,total", "hour,total", "total", "minute,day"];

/// What is printed, but for the line of time and memory.
fn lasting(stdout: &str) -> &str {
    stdout.trim_end().rsplit_once('\n').unwrap().0
}

/// Runs with and without files say the same, and say how many rows the files have.
fn check(folder: &Path, input: &str, options: &[&str]) {
    for windows in WINDOWS {
        for workers in ["1", "2", "4"] {
            let options = [options, &["--windows", windows, "-w", workers]].concat();
            let out = tempfile::tempdir().unwrap();
            let written = replay_into(folder, &[input], &options, out.path());
            let counted = run(replay(&[input]).current_dir(folder).args(&options));
            assert_eq!((counted.code, counted.stderr.as_str()), (Some(0), ""), "{input} {options:?}");
            assert_eq!(lasting(&written), lasting(&counted.stdout), "{input} {options:?}");
            let mut collections = 0;
            for line in counted.stdout.lines().skip_while(|line| !line.starts_with("Collections")).skip(2) {
                let [name, rows] = line.split_whitespace().collect::<Vec<_>>()[..] else { break };
                let rows: usize = rows.replace(',', "").parse().unwrap();
                let file = csv::Reader::from_path(out.path().join(format!("{name}.csv")));
                assert_eq!(file.unwrap().into_records().count(), rows, "{input} {options:?}: {name}");
                collections += 1;
            }
            assert_eq!(collections, 14, "{}", counted.stdout);
        }
    }
}

#[test]
fn rows_of_the_sample_are_counted_as_they_are_written() {
    check(sample().parent().unwrap(), "sample", &[]);
}

#[test]
fn rows_of_copies_refusals_and_closed_windows_are_counted_as_they_are_written() {
    let Some(folder) = shared("") else { return };
    let options = ["--grace", "6h", "--retention", "60h", "--max-age", "22d", "--horizon", "22d"];
    for input in ["data/events/events.jsonl.gz", "data/nasty/nasty.jsonl"] {
        if shared(input).is_some() {
            check(&folder, input, &options);
        }
    }
}

#[test]
fn clusters_count_the_same_rows() {
    let sample = sample();
    let (folder, temporary) = (sample.parent().unwrap(), tempfile::tempdir().unwrap());
    let alone = run(replay(&["sample"]).current_dir(folder));
    let mut commands = cluster(&["sample".to_owned(), "-w".to_owned(), "2".to_owned()], temporary.path(), 2);
    // Who shows nothing works for those who do.
    commands[1].arg("--no-console");
    let started: Vec<_> = commands.iter_mut().map(|command| start(command.current_dir(folder))).collect();
    let ended: Vec<_> = started.into_iter().map(super::run::Running::wait).collect();
    assert_eq!((ended[0].code, ended[1].code), (Some(0), Some(0)), "{} {}", ended[0].stderr, ended[1].stderr);
    assert_eq!(lasting(&ended[0].stdout), lasting(&alone.stdout));
    assert_eq!(ended[1].stdout, "");
}

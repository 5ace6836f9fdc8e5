//! Pipes as inputs: standard input and named pipes, endless lines, writers that leave early.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::{Command, Stdio};

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::rows::{PAYMENTS, shop};
use super::run::{Running, replay, run, start};

pub fn make_pipe(place: &Place, name: &str) {
    assert!(Command::new("mkfifo").arg(place.path(name)).status().unwrap().success(), "mkfifo is needed");
}

fn started(place: &Place, arguments: &[&str]) -> Running {
    start(replay(arguments).arg("--out").arg(place.out()).current_dir(place.folder.path()).stdin(Stdio::piped()))
}

/// The most memory the process ever held, in MiB.
fn peak_mebibytes(running: &Running) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

#[test]
fn an_endless_line_is_one_dead_letter_in_little_memory() {
    let place = Place::new();
    let mut running = started(&place, &["-"]);
    let mut pipe = running.child.stdin.take().unwrap();
    writeln!(pipe, "{}", placed("a", 1)).unwrap();
    let stretch = vec![b'x'; 1 << 20];
    for _ in 0..1_000 {
        pipe.write_all(&stretch).unwrap();
    }
    let peak = peak_mebibytes(&running);
    writeln!(pipe, "\n{}", placed("b", 2)).unwrap();
    drop(pipe);
    let outcome = place.outcome(&running.wait());
    assert!(peak < 100, "{peak} MiB for a line of 1 GB");
    assert_eq!(outcome.letters[0][..2], ["-:2".to_owned(), "too_large".to_owned()]);
    assert_eq!(outcome.letters[0][3].len(), 64 << 10);
    assert_eq!((outcome.records, outcome.facts), ([3, 2, 1], [2, 2, 0, 0]));
}

#[test]
fn a_writer_that_leaves_early_leaves_half_a_line() {
    let place = Place::new();
    let mut running = started(&place, &["-", "-w", "2"]);
    let mut pipe = running.child.stdin.take().unwrap();
    write!(pipe, "{}\n{}", placed("a", 1), &placed("b", 2)[..30]).unwrap();
    drop(pipe);
    let outcome = place.outcome(&running.wait());
    assert_eq!(outcome.letters[0][..2], ["-:2".to_owned(), "malformed".to_owned()]);
    // No input at all is no error.
    let outcome = place.outcome(&run(replay(&["-"]).arg("--out").arg(place.out())));
    assert_eq!(outcome.records, [0, 0, 0]);
    assert_eq!(fs::read(place.out().join("orders.csv")).unwrap().split(|byte| *byte == b'\n').count(), 2);
}

#[test]
fn the_first_orders_of_a_pipe() {
    let place = Place::new();
    let text = [placed("a", 1), placed("b", 2), "{".into(), placed("a", 3), placed("c", 3)].join("\n");
    let mut running = started(&place, &["-", "--limit", "2"]);
    running.child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let on_standard_input = place.outcome(&running.wait());
    assert_eq!(on_standard_input.orders.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(on_standard_input.records, [5, 4, 1]);
    make_pipe(&place, "p.jsonl");
    for arguments in [&["p.jsonl"][..], &["p.jsonl", "--limit", "2"]] {
        let running = started(&place, arguments);
        OpenOptions::new().write(true).open(place.path("p.jsonl")).unwrap().write_all(text.as_bytes()).unwrap();
        let outcome = place.outcome(&running.wait());
        assert_eq!(outcome.orders.len(), if arguments.len() > 1 { 2 } else { 3 });
        assert_eq!(outcome.letters[0][0], "p.jsonl:3");
    }
}

#[test]
fn a_pipe_is_no_file_of_a_directory() {
    let place = Place::new();
    shop(&place, b"", b"", b"");
    fs::remove_file(place.path(&format!("shop/{PAYMENTS}"))).unwrap();
    make_pipe(&place, &format!("shop/{PAYMENTS}"));
    let ended = run(replay(&["shop"]).current_dir(place.folder.path()));
    assert_failed(&ended, 1, &["it is no file", PAYMENTS]);
}

/// Sends a signal by name.
fn signal(running: &Running, name: &str) {
    // It may have ended just now.
    let _ = Command::new("kill").args([&format!("-{name}"), &running.child.id().to_string()]).output().unwrap();
}

#[test]
fn an_interrupted_job_that_writes_leaves_all_files_or_none() {
    let place = Place::new();
    let mut text = String::new();
    for number in 0..240_000 {
        text += &placed(&format!("order-{number}"), 1 + number % 28);
        text.push('\n');
    }
    place.write("x.jsonl", text);
    let names = || -> Vec<String> {
        let entries = fs::read_dir(place.out()).into_iter().flatten();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let is_whole = |left: &[String]| left.len() == 14 && left.iter().all(|name| !name.starts_with('.'));
    // Where this test is left standing by the system the job may be through before it is interrupted.
    for _ in 0..20 {
        let _ = fs::remove_dir_all(place.out());
        let mut running = started(&place, &["x.jsonl"]);
        // Until the first file is being written.
        while !names().iter().any(|name| name.starts_with(".order_events")) {
            if running.child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        // All has been read: once alone it lets the job finish.
        signal(&running, "INT");
        // What comes sooner is taken for the same signal.
        std::thread::sleep(std::time::Duration::from_millis(105));
        signal(&running, "INT");
        let ended = running.wait();
        let left = names();
        match ended.code {
            Some(0) => assert!(is_whole(&left), "{left:?}"),
            Some(130) => return assert!(left.is_empty() || is_whole(&left), "{left:?}"),
            _ => panic!("{}", ended.stderr),
        }
    }
    panic!("it was too quick to be interrupted");
}

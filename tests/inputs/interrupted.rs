//! Ctrl-C: what has been read is finished, a second one stops at once, and nothing half-written is left.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::compare::{assert_same, files};
use super::forms::{events, replayed};
use super::run::{Running, cluster, replay, start};

fn signal(running: &Running, name: &str) {
    // It may have ended just now.
    let _ = Command::new("kill").args([&format!("-{name}"), &running.child.id().to_string()]).output().unwrap();
}

/// Waits until there is such a directory: from then on signals are watched.
fn wait_for(directory: &Path) {
    let started = Instant::now();
    while !directory.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Records read, as the last line on standard error says.
fn records_read(stderr: &str) -> usize {
    let line = stderr.lines().last().unwrap();
    let count = line.strip_prefix("interrupted: ").and_then(|line| line.split(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{stderr}"))
}

#[test]
fn an_interrupted_replay_is_the_replay_of_what_it_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = events(60_000);
    fs::write(folder.path().join("events"), &text).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').filter(|line| *line != b"\n").collect();
    let (mut cut_short, mut cut_before_end) = (0, 0);
    let sorted = ["-w", "1", "--sort-memory", "1M"];
    // An end that was asked for and not reached is not the end of the results.
    let ends = [["-w", "1", "--until", "2031-01-01"], ["-w", "2", "--until", "2031-01-01"]];
    for (attempt, arguments) in
        [&["-w", "1"][..], &["-w", "2"], &sorted, &["-w", "2"], &ends[0], &ends[1], &ends[0]].iter().enumerate()
    {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("out");
        let mut command = replay(&[&["events"], *arguments].concat());
        let running = start(command.current_dir(folder.path()).arg("--out").arg(&out));
        wait_for(&out);
        std::thread::sleep(Duration::from_millis(40 + 60 * (attempt as u64 % 4)));
        signal(&running, "INT");
        let ended = running.wait();
        if ended.code == Some(0) {
            continue;
        }
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        // Before there was anything to finish it ends at once.
        let left = files(&out);
        if left.is_empty() {
            assert_eq!(ended.stderr, "interrupted\n");
            continue;
        }
        let read = records_read(&ended.stderr);
        cut_short += usize::from(read < lines.len());
        if arguments.contains(&"--until") {
            if read == lines.len() {
                continue;
            }
            cut_before_end += 1;
        }
        let prefix = tempfile::tempdir().unwrap();
        fs::write(prefix.path().join("events"), lines[..read].concat()).unwrap();
        let (of_prefix, _) = replayed(prefix.path(), &["events"], None);
        let without_positions = |files: &super::forms::Files| {
            let mut files = files.clone();
            // Blank lines are no records, so lines have other numbers.
            files.remove("dead_letters.csv");
            files
        };
        assert_same(
            &without_positions(&of_prefix),
            &without_positions(&left),
            &format!("{read} records {arguments:?}"),
        );
    }
    assert!(cut_short > 0 && cut_before_end > 0, "{cut_short} were cut short, {cut_before_end} of them before --until");
}

#[test]
fn a_pipe_that_stands_still_is_finished_with_what_has_come() {
    for name in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = replay(&["-", "--out", "out", "-w", "2"]);
        let mut running = start(command.current_dir(folder.path()).stdin(Stdio::piped()));
        let mut pipe = running.child.stdin.take().unwrap();
        let text = events(100);
        pipe.write_all(&text).unwrap();
        pipe.write_all(b"{\"order_id\":\"half a li").unwrap();
        running.wait_until_it_listens();
        std::thread::sleep(Duration::from_secs(3));
        // As `timeout` does: the process is told, and then its group.
        let twice = format!("kill -{name} {0}; kill -{name} {0}", running.child.id());
        assert!(Command::new("sh").args(["-c", &twice]).status().unwrap().success());
        let ended = running.wait();
        assert_eq!(ended.code, Some(130), "{}", ended.stderr);
        assert_eq!(records_read(&ended.stderr), 301, "{}", ended.stderr);
        assert!(ended.stderr.contains("once more to stop at once") && ended.stderr.contains("results as of 2024-01-"));
        let (whole, _) = replayed(folder.path(), &["-"], Some(&text));
        assert_same(&whole, &files(&folder.path().join("out")), "what came whole");
    }
}

#[test]
fn a_second_signal_stops_at_once_and_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), events(60_000)).unwrap();
    let mut command = replay(&["events", "--out", "out"]);
    let running = start(command.current_dir(folder.path()));
    let out = folder.path().join("out");
    wait_for(&out);
    std::thread::sleep(Duration::from_millis(150));
    signal(&running, "INT");
    std::thread::sleep(Duration::from_millis(120));
    signal(&running, "INT");
    let ended = running.wait();
    // A quick machine had read all.
    assert!(matches!(ended.code, Some(0 | 130)), "{}", ended.stderr);
    let left = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = left.collect();
    assert!(left.is_empty() || left.len() == 14 && left.iter().all(|name| !name.starts_with('.')), "{left:?}");
}

/// True where results are being written there, false where the program has ended before.
fn writes_results(running: &mut Running, out: &Path) -> bool {
    while running.child.try_wait().unwrap().is_none() {
        let mut files = fs::read_dir(out).into_iter().flatten().flatten();
        if files.any(|file| file.file_name().to_string_lossy().ends_with(".unfinished")) {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

#[test]
fn a_signal_while_results_are_written_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), events(20_000)).unwrap();
    let (whole, _) = replayed(folder.path(), &["events"], None);
    let is_heard = (0..5).any(|attempt| {
        let out = folder.path().join(format!("out-{attempt}"));
        let mut command =
            replay(&["events", "--speed", "1000000000000", "--checkpoint", "kept", "--sqlite", "results"]);
        let mut running = start(command.current_dir(folder.path()).arg("--out").arg(&out));
        if writes_results(&mut running, &out) {
            signal(&running, "INT");
        }
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(!ended.stderr.contains("records read"), "{}", ended.stderr);
        assert_same(&whole, &files(&out), "all was read");
        let kept = fs::read_dir(folder.path().join("kept")).unwrap().map(|entry| entry.unwrap().path());
        let mut manifests = kept.filter_map(|job| fs::read_dir(job.join("manifests")).ok()).flatten();
        assert!(manifests.next().is_none(), "one that has come to its end begins anew");
        ended.stderr.contains("finishing all that there is")
    });
    assert!(is_heard, "it was too quick, five times");
}

#[test]
fn a_process_that_is_interrupted_tells_the_others() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("events"), events(500)).unwrap();
    for told in [0, 1] {
        let out = format!("out-{told}");
        // As slow as life: without a signal it would take days.
        let arguments = ["events", "--speed", "2", "-v", "--out", &out].map(str::to_owned);
        let mut commands = cluster(&arguments, folder.path(), 2);
        let mut started: Vec<_> =
            commands.iter_mut().map(|command| start(command.current_dir(folder.path()))).collect();
        started.iter_mut().for_each(|running| running.wait_until_it_says("all 2 processes are connected"));
        std::thread::sleep(Duration::from_secs(1));
        signal(&started[told], "TERM");
        for running in started {
            let ended = running.wait();
            assert_eq!(ended.code, Some(130), "{}", ended.stderr);
            assert!(ended.stderr.contains("records read"), "{}", ended.stderr);
        }
        assert_eq!(files(&folder.path().join(out)).len(), 14);
    }
}

#[test]
fn breaches_are_told_once_and_none_for_nothing_where_time_passed_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    // Every other order is processed too late. Long names: what is read at once is a small part of the file.
    let name = "x".repeat(3_000);
    let mut lines = Vec::new();
    for number in 0..2_000 {
        let (placed, processed) = (1_709_251_200 + number, 1_709_251_200 + number + 300 + number % 2 * 1_500);
        let line = |at: i64, rest: &str| {
            let line = format!(r#"{{"order_id":"o-{number}","timestamp":{at}000,"event_type":{rest}}}"#);
            (at, line + "\n")
        };
        lines.push(line(placed, &format!(r#""ORDER_PLACED","item_name":"{name}","price":1"#)));
        lines.push(line(processed, r#""PROCESSING_STARTED""#));
    }
    lines.sort();
    fs::write(folder.path().join("events"), lines.into_iter().map(|(_, line)| line).collect::<String>()).unwrap();
    fs::write(folder.path().join("rules"), "[[rule]]\nsla = \"processing\"\nwithin = \"10m\"\n").unwrap();
    // Half an hour in 1.8 s.
    let arguments = [
        "events",
        "--sla-rules",
        "rules",
        "--until",
        "2024-03-01T00:30:00Z",
        "--speed",
        "1000",
        "--checkpoint",
        "kept",
    ];
    let told = |said: &str| -> Vec<String> {
        let breaches = said.lines().filter_map(|line| line.split_once("SLA BREACH: order ")?.1.split(' ').next());
        breaches.map(str::to_owned).collect()
    };
    let began = |running: &mut Running| running.wait_until_it_prints("SLA BREACH");
    for workers in ["1", "2"] {
        let command = [&arguments[..], &["--checkpoint-interval", "50ms", "-w", workers, "--out", "out"]].concat();
        let mut running = start(replay(&command).current_dir(folder.path()));
        began(&mut running);
        signal(&running, "STOP");
        // Time is over meanwhile, and most of the file has not been read.
        std::thread::sleep(Duration::from_secs(2));
        signal(&running, "INT");
        signal(&running, "CONT");
        let first = running.wait();
        let second = start(replay(&command).current_dir(folder.path())).wait();
        assert_eq!(second.code, Some(0), "{}", second.stderr);
        let mut all = [told(&first.stdout), told(&second.stdout)].concat();
        assert!(first.code == Some(0) || all.len() > told(&first.stdout).len(), "{}", first.stderr);
        all.sort();
        let breaches = fs::read_to_string(folder.path().join("out/sla_breaches.csv")).unwrap();
        let mut due: Vec<String> =
            breaches.lines().skip(1).filter_map(|row| Some(row.split(',').next()?.to_owned())).collect();
        due.sort();
        assert!(due.len() > 400 && all == due, "-w {workers}: {} told, {} due", all.len(), due.len());
    }
}

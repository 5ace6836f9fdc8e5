//! How a stream ends: in its time, when it is interrupted, when nobody reads it any more, when it cannot be written.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::run::{Ended, Running, run, start};

fn generate(arguments: &[&str], place: &TempDir) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().current_dir(place.path()).arg("generate").args(arguments).stdin(Stdio::null());
    command
}

/// A number of the statistics.
fn statistic(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_else(|| panic!("{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

fn interrupt(running: &Running) {
    let status = Command::new("kill").args(["-INT", &running.child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn lines_of(path: &std::path::Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'), "the last line is whole");
    let is_whole = |line: &str| line.starts_with('{') && line.ends_with('}');
    assert!(text.lines().all(is_whole));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_rate_is_kept_as_time_passes() {
    let place = TempDir::new().unwrap();
    let started = Instant::now();
    let flags = ["orders", "--rate", "50", "--duration", "2s", "--time-scale", "0.01", "--to", "-", "--to", "a.jsonl"];
    let ended = run(&mut generate(&flags, &place));
    let took = started.elapsed();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(took > Duration::from_millis(1_900), "{took:?}");
    assert_eq!(lines_of(&place.path().join("a.jsonl")).join("\n") + "\n", ended.stdout);
    let orders = statistic(&ended.stderr, "orders created");
    assert!((95..=100).contains(&orders), "{orders}");
    // Lives of a few seconds: some have ended, some have not.
    assert!(statistic(&ended.stderr, "still active") > 0 && statistic(&ended.stderr, "transitions") > 50);
}

#[test]
fn lines_are_written_when_they_happen() {
    let place = TempDir::new().unwrap();
    let mut running = generate(&["sales", "--rate", "20", "--to", "-"], &place);
    let mut child = running.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..20 {
        let line = lines.next().unwrap().unwrap();
        let at = line.split("\"timestamp\":\"").nth(1).unwrap().split('"').next().unwrap();
        let at = orderwatch::instant::parse_instant(at).unwrap();
        let behind_ms = orderwatch::clock::wall_clock_ms() as i64 - at as i64;
        assert!((0..30_000).contains(&behind_ms), "a line is {behind_ms} ms old when it is read");
    }
    // Whoever has read enough leaves, and the stream ends well.
    drop(lines);
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{stderr}");
    assert!(statistic(&stderr, "lines") >= 20);
}

fn interrupted(flags: &[&str], place: &TempDir, after: Duration) -> Ended {
    let mut running = start(&mut generate(flags, place));
    running.wait_until_it_listens();
    std::thread::sleep(after);
    interrupt(&running);
    let asked = Instant::now();
    let ended = running.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    ended
}

#[test]
fn an_interruption_leaves_whole_lines_and_statistics() {
    let place = TempDir::new().unwrap();
    let live = ["orders", "--rate", "500", "--disorder", "1m", "--to", "live.jsonl", "--to", "live.jsonl.gz"];
    let ended = interrupted(&live, &place, Duration::from_millis(1_500));
    let lines = lines_of(&place.path().join("live.jsonl"));
    assert_eq!(statistic(&ended.stdout, "lines"), lines.len() as u64);
    assert!(lines.len() > 100, "what has happened is told, shuffled or not: {} lines", lines.len());
    let mut text = String::new();
    let file = fs::File::open(place.path().join("live.jsonl.gz")).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), lines.len());

    let ended =
        interrupted(&["orders", "--count", "100000000", "--to", "big.jsonl"], &place, Duration::from_millis(1_500));
    assert_eq!(statistic(&ended.stdout, "lines"), lines_of(&place.path().join("big.jsonl")).len() as u64);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 3, "nothing unfinished is left");
}

#[test]
fn what_cannot_be_written_is_said_at_once() {
    let place = TempDir::new().unwrap();
    fs::create_dir_all(place.path().join("folder.jsonl/orders.jsonl")).unwrap();
    fs::write(place.path().join("kept.jsonl"), "as it was\n").unwrap();
    let device = fs::exists("/dev/full").unwrap_or(false).then_some((&["--to", "/dev/full"][..], 1, "No space left"));
    let refused = [
        (&["--to", "kafka://127.0.0.1:1/a"][..], 1, "cannot look up the topics"),
        (&["--to", "folder.jsonl"], 2, "name a file that ends in .jsonl"),
        (&["--to", "orders.csv"], 2, "name a file that ends in .jsonl"),
        (&["--to", "a.jsonl", "--to", "a.jsonl"], 2, "named twice"),
        (&["--to", "a.jsonl", "--to", "./a.jsonl"], 2, "named twice"),
        (&["--to", "./", "--to", "orders.jsonl"], 2, "named twice"),
        (&["--to", "kept.jsonl/"], 1, "cannot write the stream"),
        (&["--to", "folder.jsonl/../a.jsonl", "--to", "-", "--to", "a.jsonl"], 2, "named twice"),
        (&["--to", "no/such/folder/a.jsonl"], 1, "cannot write the stream"),
        (&["--to", "a.jsonl", "--late", "5"], 2, "is no percentage"),
        (&["--to", "a.jsonl", "--rate", "0"], 2, "is no rate"),
        (&["--to", "a.jsonl", "--rate", "5", "--count", "5"], 2, "cannot be used with"),
        (&["--to", "a.jsonl", "--duration", "5s"], 2, "--rate"),
        (&["--to", "kept.jsonl", "--to", "no/such/folder/a.jsonl"], 1, "cannot write the stream"),
    ];
    for (flags, code, says) in refused.into_iter().chain(device) {
        let ended = run(generate(&["orders"], &place).args(flags));
        assert_eq!(ended.code, Some(code), "{flags:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{flags:?}: {}", ended.stderr);
    }
    let ended = run(&mut generate(&["olist", "--to", "shop", "--to", "./shop/"], &place));
    assert!(ended.code == Some(2) && ended.stderr.contains("named twice"), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(place.path().join("kept.jsonl")).unwrap(), "as it was\n");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 2, "nothing unfinished is left");
}

//! `run --watch`: files are read once, whole, in order, and again alike; what is wrong with them is said.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orderwatch::clock::partitions::{Backlog, Partition};
use orderwatch::clock::wall_clock_ms;
use orderwatch::error::JobError;
use orderwatch::source::log::Log;
use orderwatch::source::watch::journal::Journal;
use orderwatch::source::watch::{Watch, Watched, topic_of};
use orderwatch::validate::Limits;

use crate::run::{run, start};
use crate::{Job, drop_in};

/// Lines with every fault there is.
fn events(folder: &Path) -> Vec<String> {
    let path = folder.join("events.jsonl");
    let mut command = crate::orderwatch();
    command.args(["generate", "orders", "--count", "1500", "--seed", "5", "--time-scale", "400", "--no-console"]);
    command.args(["--late", "5%", "--duplicates", "2%", "--invalid", "1%", "--disorder", "10m", "--to"]).arg(&path);
    let ended = run(&mut command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    String::from_utf8_lossy(&std::fs::read(&path).unwrap()).lines().map(str::to_owned).collect()
}

/// The lines that are events as rows, in an order of columns that no line has.
fn as_csv(lines: &[String]) -> (String, Vec<u8>) {
    const COLUMNS: [&str; 18] = [
        "timestamp",
        "event_type",
        "order_id",
        "tenant",
        "event_id",
        "customer_id",
        "product_id",
        "item_name",
        "item_category",
        "item_no",
        "quantity",
        "price",
        "freight",
        "payment_seq",
        "payment_type",
        "installments",
        "value",
        "total",
    ];
    let limits = Limits::at(wall_clock_ms());
    let is_event = |line: &&String| orderwatch::decode::decode_line(line.as_bytes(), &limits).is_ok();
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS).unwrap();
    let mut twin = String::new();
    for line in lines.iter().filter(is_event) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        let cell = |name: &str| match &object[name] {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writer.write_record(COLUMNS.map(cell)).unwrap();
        twin += &format!("{line}\n");
    }
    (twin, writer.into_inner().unwrap())
}

#[test]
fn files_that_are_renamed_into_a_directory_come_to_what_a_replay_says() {
    let Some(job) = Job::new() else { return };
    let (incoming, twins) = (job.folder.path().join("incoming"), job.folder.path().join("twins"));
    [&incoming, &twins].into_iter().for_each(|directory| std::fs::create_dir(directory).unwrap());
    let lines = events(job.folder.path());
    let mut replayed: Vec<PathBuf> = Vec::new();
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for (number, lines) in lines.chunks(lines.len().div_ceil(40)).enumerate() {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (name, bytes) = match number % 3 {
            0 => (format!("{number:03}.jsonl"), text.into_bytes()),
            1 => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(text.as_bytes()).unwrap();
                (format!("{number:03}.jsonl.gz"), gzip.finish().unwrap())
            }
            _ => {
                let (twin, csv) = as_csv(lines);
                let path = twins.join(format!("{number:03}.jsonl"));
                std::fs::write(&path, twin).unwrap();
                replayed.push(path);
                (format!("{number:03}.csv"), csv)
            }
        };
        if number % 3 < 2 {
            replayed.push(incoming.join(&name));
        }
        files.push((name, bytes));
    }
    let directory = incoming.display().to_string();
    let arguments = ["--watch", &directory, "--clock", "event"];
    let original = files[0].1.clone();
    let (mut last, mut rest) = (0, files.into_iter());
    for workers in [2, 1, 4] {
        let mut running = start(&mut job.command(workers, &arguments));
        rest.by_ref().take(10).for_each(|(name, bytes)| drop_in(&incoming, &name, &bytes));
        job.wait_until(&mut running, "the tables move on", |frontier| frontier > last);
        last = job.frontier();
        // Killed in the middle of it, and more comes while it is away.
        drop(running);
        rest.by_ref().take(2).for_each(|(name, bytes)| drop_in(&incoming, &name, &bytes));
    }
    let mut running = start(&mut job.command(2, &arguments));
    rest.for_each(|(name, bytes)| drop_in(&incoming, &name, &bytes));
    drop_in(&incoming, "notes.txt", b"no input");
    // The last record stays at the frontier, so it is one of its own.
    let placed = br#"{"event_type":"ORDER_PLACED","order_id":"last","timestamp":"2020-02-01T00:00:00Z"}"#;
    drop_in(&incoming, "999.jsonl", placed);
    job.wait_until(&mut running, "all is read", |frontier| frontier >= 1_580_515_200_000);
    drop_in(&incoming, "000.jsonl", b"{\"something\":\"else\"}\n");
    running.wait_until_it_says("000.jsonl was picked up before: what it says now is ignored");
    job.stop(running);
    drop_in(&incoming, "000.jsonl", &original);
    job.assert_as_replayed(&replayed, true);
}

/// What a log tells of a directory from an offset on, until it has no more.
fn told(folder: &Path, from: u64) -> Result<Vec<(u64, String)>, JobError> {
    let (incoming, store) = (folder.join("incoming"), folder.join("store").display().to_string());
    let journal = Journal::open(Some(&store), "job", &topic_of(&incoming)).unwrap();
    let partition = Partition { topic: topic_of(&incoming), number: 0 };
    let mut log = Watch::new(&Arc::new(Watched::new(incoming, 2, journal)));
    log.read(partition.clone(), from);
    let (mut records, started) = (Vec::new(), Instant::now());
    while log.backlog(&partition, log.end_position(&partition).unwrap()) == Backlog::Some {
        assert!(started.elapsed() < Duration::from_secs(20), "there is no end: {records:?}");
        if let Some(fetched) = log.poll()? {
            let shown = |value: &Option<Box<[u8]>>| String::from_utf8_lossy(value.as_ref().unwrap()).into_owned();
            records.extend(fetched.records.iter().map(|record| (record.offset, shown(&record.value))));
        }
    }
    assert_eq!(log.high_watermark(&partition), log.end_position(&partition));
    Ok(records)
}

#[test]
fn a_directory_is_a_log_that_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    std::fs::create_dir(&incoming).unwrap();
    let rows = b"order_id,status,timestamp\n3,,\n\xFF,,\n4,,\n\n";
    let files = [("c.jsonl", &b"5\n6"[..]), ("a.jsonl", b"1\n\n2\n"), ("b.csv", rows), ("d.jsonl", b"")];
    files.into_iter().for_each(|(name, bytes)| drop_in(&incoming, name, bytes));
    for (name, text) in [(".e.jsonl", "hidden"), ("f.txt", "no input"), ("g.jsonl.gz", "not compressed")] {
        std::fs::write(incoming.join(name), text).unwrap();
    }
    let all = told(folder.path(), 0).unwrap();
    let offsets: Vec<u64> = all.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets, [0, 2, 4, 5, 6, 8, 9], "{all:?}");
    assert_eq!((all[2].1.as_str(), all[6].1.as_str()), ("3,,", "6"));
    // One without a line is picked up as others are, once.
    drop_in(&incoming, "empty.jsonl", b"");
    assert_eq!(told(folder.path(), 0).unwrap(), all);
    // Later files come later, whatever their names are; what is appended is no part of a file.
    drop_in(&incoming, "0.jsonl", b"7\n");
    let mut appended = std::fs::OpenOptions::new().append(true).open(incoming.join("c.jsonl")).unwrap();
    appended.write_all(b"6 and more\n").unwrap();
    let (again, rest) = (told(folder.path(), 0).unwrap(), told(folder.path(), 6).unwrap());
    assert_eq!(again[..7], all[..]);
    assert_eq!(again[7], (10, "7".to_owned()));
    assert_eq!(rest[..], again[4..]);
    // What is read no more may go.
    std::fs::remove_file(incoming.join("a.jsonl")).unwrap();
    assert_eq!(told(folder.path(), 6).unwrap(), rest);
    for from in [0, 2] {
        let error = told(folder.path(), from).unwrap_err().to_string();
        assert!(error.contains("is not what it was") && error.contains("a.jsonl"), "{error}");
    }
    drop_in(&incoming, "a.jsonl", b"1\n");
    let error = told(folder.path(), 0).unwrap_err().to_string();
    assert!(error.contains("shorter"), "{error}");
    drop_in(&incoming, "a.jsonl", b"1\n2\n3\n");
    let error = told(folder.path(), 0).unwrap_err().to_string();
    assert!(error.contains("says something else"), "{error}");
}

#[test]
fn nothing_to_read_and_no_directory_are_said() {
    let start = |arguments: &[&str]| run(crate::orderwatch().arg("run").args(arguments).args(["--checkpoint", "none"]));
    for (arguments, what) in [
        (&[][..], "nothing to read is named"),
        (&["--watch", "no/such"], "there is no directory to watch"),
        (&["--generate", "0"], "`0` is no rate"),
        (&["--generate", "20000"], "from 0.0001 to 10000"),
    ] {
        let ended = start(arguments);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(what), "{}", ended.stderr);
    }
}

//! A job that keeps a SQLite file up to date and is killed again and again: whoever reads sees whole states alone, and in
//! the end the file holds what a replay of the same files writes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use dataflows::time::{HOUR_MS, Time};
use dataflows::views::COLLECTIONS;
use orderwatch::instant::format_instant;
use orderwatch::sink::sql::Dialect;
use rusqlite::{Connection, OpenFlags};

use super::metrics::wait_until;
use super::{Shop, read};
use crate::run::{Running, orderwatch, replay, run, start};

/// A process of the job, which keeps this file.
fn command(shop: &Shop, file: &str, workers: usize) -> Command {
    let mut command = orderwatch();
    command.args(["run", "--clock", "event", "--checkpoint-interval", "200ms", "--serve", "none", "--no-console"]);
    // Sums are compared as of the frontier, not as of the last tick before it.
    command.args(["--tick", "1ms", "-w", &workers.to_string()]);
    for (flag, name) in [("--watch", "incoming"), ("--checkpoint", "checkpoints"), ("--sqlite", file)] {
        command.arg(flag).arg(shop.folder.path().join(name));
    }
    command
}

fn reader(path: &Path) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn frontier(connection: &Connection) -> rusqlite::Result<Time> {
    connection.query_row("SELECT frontier FROM orderwatch_progress", [], |row| Ok(row.get::<_, i64>(0)? as Time))
}

fn orders(connection: &Connection) -> i64 {
    connection.query_row("SELECT COUNT(*) FROM orders", [], |row| row.get(0)).unwrap()
}

/// Waits until the file is so far; how far it is then.
fn wait_for(running: &mut Running, path: &Path, is_so: impl Fn(Time) -> bool) -> Time {
    wait_until("the file moves on", || {
        let ended = running.child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {}", running.said_so_far());
        // Before there is one it is at 0.
        let found = reader(path).and_then(|connection| frontier(&connection)).unwrap_or(0);
        is_so(found).then_some(found)
    })
}

/// Files as those should write them that drop files: aside, then renamed.
fn drop_in((path, bytes): &(PathBuf, Vec<u8>)) {
    let aside = path.with_file_name(".part");
    std::fs::write(&aside, bytes).unwrap();
    std::fs::rename(aside, path).unwrap();
}

/// Waits less than so long, and says how long.
fn wait_by_chance(below_ms: u64) {
    let wait = Duration::from_millis(RandomState::new().build_hasher().finish() % below_ms);
    eprintln!("killed after {wait:?}");
    sleep(wait);
}

/// Reads until it is told to end. Every state is whole, and none is older than the one before; how many there were.
fn read_on(path: &Path, ends: &AtomicBool) -> usize {
    let connection = reader(path).unwrap();
    let (mut last, mut states) = (0, 0);
    while !ends.load(Ordering::Relaxed) {
        let transaction = connection.unchecked_transaction().unwrap();
        let now = frontier(&transaction).unwrap();
        assert!(now >= last, "{now} after {last}");
        let rows = |sql: &str| {
            let mut rows = read::sqlite(&transaction, &format!("({sql})"));
            rows.sort();
            rows
        };
        let counted = rows("SELECT status, COUNT(*) FROM orders GROUP BY status");
        let sums = rows("SELECT status, orders FROM orders_by_status WHERE tenant = '*' AND orders > 0");
        assert_eq!(counted, sums, "at {now}");
        let newest = rows("SELECT MAX(last_event_at) FROM orders").concat().concat();
        assert!(newest < format_instant(now), "rows of {newest} at {now}");
        states += usize::from(now > last);
        last = now;
        drop(transaction);
        sleep(Duration::from_millis(2));
    }
    states
}

#[test]
fn a_file_is_whole_whenever_it_is_read_and_comes_to_what_a_replay_writes() {
    let shop = Shop::open(1_500, 5, &[]);
    let [incoming, path] = ["incoming", "shop.sqlite"].map(|name| shop.folder.path().join(name));
    std::fs::create_dir(&incoming).unwrap();
    let events = std::fs::read(shop.folder.path().join("events.jsonl")).unwrap();
    let lines: Vec<&[u8]> = events.split_inclusive(|byte| *byte == b'\n').collect();
    let chunks = lines.chunks(lines.len().div_ceil(40)).enumerate();
    let mut files: Vec<(PathBuf, Vec<u8>)> =
        chunks.map(|(number, lines)| (incoming.join(format!("{number:03}.jsonl")), lines.concat())).collect();
    // The last record stays at the frontier, so it is one of its own.
    let end = shop.largest + HOUR_MS;
    let placed = r#"{"event_type":"ORDER_PLACED","order_id":"last","timestamp":"END"}"#;
    files.push((incoming.join("999.jsonl"), placed.replace("END", &format_instant(end)).into_bytes()));
    // However far its making has come, the next process goes on.
    for _ in 0..5 {
        let running = start(&mut command(&shop, "shop.sqlite", 1));
        wait_by_chance(200);
        drop(running);
    }
    let (mut rest, mut last, ends) = (files.iter(), 0, Arc::new(AtomicBool::new(false)));
    let mut readers = None;
    for workers in [1, 2, 4] {
        let mut running = start(&mut command(&shop, "shop.sqlite", workers));
        rest.by_ref().take(5).for_each(drop_in);
        last = wait_for(&mut running, &path, move |found| found > last);
        // One reads on, another stays in its transaction.
        readers.get_or_insert_with(|| {
            let stays = reader(&path).unwrap();
            stays.execute_batch("BEGIN").unwrap();
            let stood = orders(&stays);
            let (path, ends) = (path.clone(), Arc::clone(&ends));
            (std::thread::spawn(move || read_on(&path, &ends)), stays, stood)
        });
        // Killed in the middle of it, and more comes while it is away.
        rest.by_ref().take(5).for_each(drop_in);
        wait_by_chance(150);
        drop(running);
        rest.by_ref().take(2).for_each(drop_in);
    }
    let mut running = start(&mut command(&shop, "shop.sqlite", 2));
    rest.for_each(drop_in);
    let until = format_instant(wait_for(&mut running, &path, |found| found >= end) - 1);
    let shown = run(orderwatch().args(["query", "orders", "--limit", "3"]).arg(&path));
    assert!(shown.code == Some(0) && shown.stdout.lines().count() == 6, "{shown:?}");
    let replayed_into = |name: &str| {
        let mut command = replay(&files.iter().map(|(path, _)| path).collect::<Vec<_>>());
        command.args(["--no-console", "--as", "order-events", "--grace", "5s", "--until", &until, "--sqlite"]);
        run(command.arg(shop.folder.path().join(name)))
    };
    for ended in [replayed_into("shop.sqlite"), run(command(&shop, "shop.sqlite", 1).args(["--job", "other"]))] {
        let is_refused = ended.stderr.contains("the job orderwatch keeps these tables up to date, nobody else may");
        assert!(ended.code == Some(2) && is_refused, "{ended:?}");
    }
    running.terminate();
    let ended = running.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ends.store(true, Ordering::Relaxed);
    let (reads, stays, stood) = readers.unwrap();
    let states = reads.join().unwrap();
    assert!(states > 3, "{states} states were read");
    assert_eq!(orders(&stays), stood, "a transaction sees one state");
    let ended = replayed_into("replayed.sqlite");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_same(&path, &shop.folder.path().join("replayed.sqlite"));
    let ended = run(&mut command(&shop, "replayed.sqlite", 1));
    assert!(ended.code == Some(2) && ended.stderr.contains("the table orders holds what a replay wrote"), "{ended:?}");
}

/// Tables and views hold the same.
fn assert_same(kept: &Path, replayed: &Path) {
    let [kept, replayed] = [kept, replayed].map(|path| Connection::open(path).unwrap());
    let views = Dialect::Sqlite.views();
    let names = COLLECTIONS.iter().map(|collection| collection.name).chain(views.iter().map(|(name, _)| *name));
    // The source is the log, not the file.
    for name in names.filter(|name| !["data_quality_metrics", "v_data_quality_dashboard"].contains(name)) {
        let [found, expected] = [&kept, &replayed].map(|connection| {
            let mut rows = read::sqlite(connection, name);
            rows.sort();
            rows
        });
        let has_rows = ["orders", "order_events", "real_time_funnel", "dead_letters"].contains(&name);
        assert!(!has_rows || !expected.is_empty(), "{name}: nothing is compared");
        let more: Vec<_> = found.iter().filter(|row| !expected.contains(row)).take(3).collect();
        let less: Vec<_> = expected.iter().filter(|row| !found.contains(row)).take(3).collect();
        assert!(found == expected, "{name}: there are {more:?}, there should be {less:?}");
    }
}

//! What cannot be written, or must not be, is refused before anything is read where that can be known; an earlier result
//! stays as it was.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::outcome::{Place, assert_failed};
use super::run::{Ended, lacks, orderwatch, replay, run};

/// A line that places an order.
pub fn placed(order: &str) -> String {
    format!("{{\"order_id\":\"{order}\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-01T00:00:00Z\"}}\n")
}

fn into_sqlite(place: &Place, arguments: &[&str]) -> Ended {
    run(replay(arguments).args(["--no-console", "--sqlite"]).current_dir(place.folder.path()).arg("r.sqlite"))
}

fn orders(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT order_id FROM orders").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Files of the folder, hidden ones too.
fn names(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.folder.path()).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    for (bytes, says) in [
        (&b"my diary"[..], "the file is no SQLite file"),
        (b"SQLite format 3\0", "the file was not written by orderwatch"),
    ] {
        place.write("r.sqlite", bytes);
        assert_failed(&into_sqlite(&place, &["x.jsonl"]), 2, &["overwrite", says, "r.sqlite"]);
        assert_eq!(fs::read(place.path("r.sqlite")).unwrap(), bytes);
    }
    fs::remove_file(place.path("r.sqlite")).unwrap();
    Connection::open(place.path("r.sqlite")).unwrap().execute_batch("CREATE TABLE orders (mine)").unwrap();
    let before = fs::read(place.path("r.sqlite")).unwrap();
    assert_failed(&into_sqlite(&place, &["x.jsonl"]), 2, &["was not written by orderwatch", "name another file"]);
    assert_eq!(fs::read(place.path("r.sqlite")).unwrap(), before);
    fs::remove_file(place.path("r.sqlite")).unwrap();
    fs::create_dir(place.path("r.sqlite")).unwrap();
    assert_failed(&into_sqlite(&place, &["x.jsonl"]), 2, &["is a directory", "r.sqlite"]);
    assert_eq!(names(&place), ["r.sqlite", "x.jsonl"]);
}

#[test]
fn what_is_no_regular_file_is_neither_replaced_nor_waited_for() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success(), "mkfifo is needed");
    // By a link, so that a program that is wrong replaces that alone.
    symlink("/dev/null", place.path("device")).unwrap();
    symlink("gone", place.path("dangling")).unwrap();
    for (name, what) in [
        ("pipe", "the file is no regular file"),
        ("device", "the file is no regular file"),
        ("dangling", "the file is a link to nothing"),
    ] {
        let ended = run(replay(&["x.jsonl", "--sqlite", name]).current_dir(place.folder.path()));
        let says = ["--sqlite would overwrite what is not its own", what, name, "move this one away"];
        assert_failed(&ended, 2, &says);
        let ended = run(orderwatch().args(["query", "orders", name]).current_dir(place.folder.path()));
        assert_failed(&ended, 1, &["these are no results of orderwatch", what, name, "--sqlite FILE"]);
    }
    assert_eq!(names(&place), ["dangling", "device", "pipe", "x.jsonl"]);
    assert!(place.path("device").is_symlink() && place.path("dangling").is_symlink());
    let device = fs::metadata(place.path("device")).unwrap();
    assert!(device.file_type().is_char_device());
}

#[test]
fn a_link_stays_and_the_file_it_leads_to_is_replaced() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    // First an empty file, then one of ours.
    place.write("elsewhere/real.sqlite", "");
    symlink("elsewhere/real.sqlite", place.path("r.sqlite")).unwrap();
    for _ in 0..2 {
        assert_eq!(into_sqlite(&place, &["x.jsonl"]).code, Some(0));
        assert!(place.path("r.sqlite").is_symlink());
        assert_eq!(orders(&place.path("elsewhere/real.sqlite")), ["a"]);
    }
    assert_eq!(names(&place), ["elsewhere", "r.sqlite", "x.jsonl"]);
}

#[test]
fn a_place_that_cannot_be_written_to() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    for file in ["none/r.sqlite", "x.jsonl/r.sqlite", "/proc/r.sqlite"] {
        let ended = run(replay(&["x.jsonl", "--sqlite", file]).current_dir(place.folder.path()));
        assert_failed(&ended, 1, &["cannot write the SQLite file", file, "--sqlite"]);
    }
    // An empty file, as mktemp makes one, is nothing yet.
    place.write("r.sqlite", "");
    assert_eq!(into_sqlite(&place, &["x.jsonl"]).code, Some(0));
    assert_eq!(orders(&place.path("r.sqlite")), ["a"]);
    let mode = fs::metadata(place.path("r.sqlite")).unwrap().permissions().mode();
    assert_eq!(mode & 0o444, 0o444, "readable as files made by hand are");
}

#[test]
fn a_job_that_fails_leaves_what_was_there() {
    let place = Place::new();
    let (good, cut) = (placed("a"), b"\x1f\x8b\x08");
    place.write("x.jsonl", good);
    place.write("cut.jsonl.gz", cut);
    assert_eq!(into_sqlite(&place, &["cut.jsonl.gz"]).code, Some(1));
    assert_eq!(names(&place), ["cut.jsonl.gz", "x.jsonl"], "a new file is not there before it is complete");
    assert_eq!(into_sqlite(&place, &["x.jsonl"]).code, Some(0));
    assert_eq!(into_sqlite(&place, &["cut.jsonl.gz"]).code, Some(1));
    assert_eq!(orders(&place.path("r.sqlite")), ["a"]);
    assert_eq!(names(&place), ["cut.jsonl.gz", "r.sqlite", "x.jsonl"]);
}

#[test]
fn readers_see_the_old_content_until_all_of_the_new_is_there() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    place.write("y.jsonl", placed("b") + &placed("c"));
    assert_eq!(into_sqlite(&place, &["x.jsonl"]).code, Some(0));
    let reader = Connection::open(place.path("r.sqlite")).unwrap();
    let count = || reader.query_row("SELECT COUNT(*) FROM orders", [], |row| row.get::<_, i64>(0)).unwrap();
    reader.execute_batch("CREATE TABLE mine (note); BEGIN").unwrap();
    assert_eq!(count(), 1);
    assert_eq!(into_sqlite(&place, &["y.jsonl"]).code, Some(0));
    assert_eq!(count(), 1, "a transaction sees one state");
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 2);
    reader.execute_batch("SELECT * FROM mine").unwrap();
    // Whoever writes to it holds us up, and is named.
    reader.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_failed(&into_sqlite(&place, &["x.jsonl"]), 1, &["database is locked", "another program writes to it"]);
    reader.execute_batch("ROLLBACK").unwrap();
    assert_eq!(count(), 2);
}

#[test]
fn rows_that_stand_at_one_place_make_one_dead_letter() {
    let place = Place::new();
    // Rows that CR alone divides all stand on one line.
    for (name, text) in [
        ("orders", "order_id,order_status,order_purchase_timestamp\nbroken\rother\r"),
        ("order_items", "order_id,order_item_id,price,freight_value\n"),
        ("order_payments", "order_id,payment_sequential,payment_type,payment_value\n"),
    ] {
        place.write(&format!("shop/olist_{name}_dataset.csv"), text);
    }
    assert_eq!(into_sqlite(&place, &["shop"]).code, Some(0));
    let connection = Connection::open(place.path("r.sqlite")).unwrap();
    assert_eq!(super::read::sqlite(&connection, "dead_letters").len(), 1);
}

#[test]
fn a_full_disk_leaves_nothing_or_what_was_there() {
    let place = Place::new();
    let mut many = String::new();
    for number in 1..=20_000_u128 {
        // Nothing compresses these.
        many += &placed(&format!("{:032x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835)));
    }
    place.write("many.jsonl", many);
    place.write("x.jsonl", placed("a"));
    let disk = place.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&disk).stderr(Stdio::null());
    if !mount.status().is_ok_and(|status| status.success()) {
        lacks("`mount -t tmpfs` (it takes root)");
        return;
    }
    let replay = |input: &str, options: &[&str]| {
        let mut command = replay(&[&[input, "--windows", "day", "--no-console"], options].concat());
        run(command.current_dir(place.folder.path()))
    };
    let files = || fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let sqlite = ["--sqlite", "disk/r.sqlite"];
    let checked = std::panic::catch_unwind(|| {
        assert_failed(&replay("many.jsonl", &sqlite), 1, &["database or disk is full", "free some space"]);
        assert!(files().is_empty(), "{:?}", files());
        assert_eq!(replay("x.jsonl", &sqlite).code, Some(0));
        assert_failed(&replay("many.jsonl", &sqlite), 1, &["database or disk is full", "an earlier file is as it was"]);
        assert_eq!(orders(&disk.join("r.sqlite")), ["a"]);
        for format in ["jsonl", "parquet"] {
            let options = ["--out", "disk/out", "--format", format];
            assert_failed(&replay("many.jsonl", &options), 1, &["No space left on device", "free some space"]);
            assert_eq!(fs::read_dir(disk.join("out")).unwrap().count(), 0);
        }
        assert_eq!(files().len(), 2, "{:?}", files());
    });
    let _ = Command::new("umount").arg(&disk).status();
    checked.unwrap();
}

//! The directory of `--out`: what is no result there is never touched, what is one is of one replay, and what a replay
//! left that was killed goes with the next one.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dataflows::views::COLLECTIONS;

use super::outcome::{Place, assert_failed};
use super::refused::placed;
use super::run::{Ended, orderwatch, replay, run, start};

/// Replays into `out`.
fn replayed(place: &Place, arguments: &[&str]) -> Ended {
    run(replay(arguments).args(["--no-console", "--out", "out"]).current_dir(place.folder.path()))
}

#[track_caller]
fn assert_replayed(place: &Place, arguments: &[&str]) {
    let ended = replayed(place, arguments);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

/// What is in a directory, hidden ones too.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files of a replay in this format, and what is there besides.
fn files(format: &str, besides: &[&str]) -> Vec<String> {
    let files = COLLECTIONS.iter().map(|collection| format!("{}.{format}", collection.name));
    let mut names: Vec<String> = files.chain(besides.iter().map(|name| (*name).to_owned())).collect();
    names.sort();
    names
}

fn hidden(place: &Place) -> Vec<String> {
    names(&place.out()).into_iter().filter(|name| name.starts_with('.')).collect()
}

/// A line of JSON with this collection's columns.
fn row(collection: usize) -> String {
    let columns = COLLECTIONS[collection].columns.iter().map(|column| format!("\"{}\":null", column.name));
    format!("{{{}}}\n", columns.collect::<Vec<_>>().join(","))
}

fn header(collection: usize) -> String {
    COLLECTIONS[collection].columns.iter().map(|column| column.name).collect::<Vec<_>>().join(",")
}

#[test]
fn what_is_no_result_is_refused_before_anything_is_read() {
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    let [jsonl, parquet] = ["jsonl", "parquet"].map(|format| ["--format", format]);
    let of_orders = header(0);
    for (file, text, options) in [
        // The input itself.
        ("out/orders.jsonl", placed("a"), &jsonl[..]),
        ("out/orders.jsonl", "\n".into(), &jsonl),
        ("out/orders.jsonl", "null\n".into(), &jsonl),
        ("out/orders.jsonl", row(0).replace('}', ",\"mine\":1}"), &jsonl),
        ("out/orders.jsonl", row(0).replace("\"order_id\":null,", ""), &jsonl),
        ("out/orders.jsonl", row(0).repeat(3).replace('\n', " "), &jsonl),
        ("out/gmv_metrics.jsonl", row(0), &jsonl),
        ("out/orders.csv", String::new(), &[]),
        ("out/orders.csv", of_orders.clone(), &[]),
        ("out/orders.csv", format!("{of_orders}\r\n"), &[]),
        ("out/orders.csv", format!("{of_orders},mine\n"), &[]),
        ("out/orders.csv", format!("\u{feff}{of_orders}\n"), &[]),
        ("out/dead_letters.csv", format!("{of_orders}\n"), &[]),
        ("out/orders.parquet", "PAR1".into(), &parquet),
        ("out/orders.parquet", String::new(), &parquet),
        // Changes have other columns than what stands.
        ("out/changes/orders.csv", format!("{of_orders}\n"), &["--changes"]),
        ("out/orders.csv", format!("time,diff,{of_orders}\n"), &["--changes"]),
    ] {
        place.write(file, &text);
        let input = if file == "out/orders.jsonl" { file } else { "none.jsonl" };
        let says = ["--out would overwrite what is not its own", "the file is no result of orderwatch", file];
        assert_failed(&replayed(&place, &[&[input], options].concat()), 2, &[&says[..], &["move this one"]].concat());
        let mut check = orderwatch();
        check.args(["check", "x.jsonl", "--out", "out"]).args(options).current_dir(place.folder.path());
        let ended = run(&mut check);
        assert_eq!(ended.code, Some(1), "{}", ended.stdout);
        assert!(says.iter().all(|words| ended.stdout.contains(words)), "{file}: {}", ended.stdout);
        assert_eq!(fs::read_to_string(place.path(file)).unwrap(), text, "{file} is as it was");
        let left = names(&place.out());
        assert_eq!(left.len(), 1, "{left:?}");
        fs::remove_dir_all(place.out()).unwrap();
    }
    // Nobody waits for a pipe, and a directory is none of ours.
    fs::create_dir_all(place.out()).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("out/orders.csv")).status().unwrap().success());
    assert_failed(&replayed(&place, &["x.jsonl"]), 2, &["is no result of orderwatch", "orders.csv"]);
    fs::remove_file(place.path("out/orders.csv")).unwrap();
    fs::create_dir(place.path("out/orders.csv")).unwrap();
    assert_failed(&replayed(&place, &["x.jsonl"]), 2, &["the file is a directory", "orders.csv"]);
    let ended = run(orderwatch().args(["check", "x.jsonl", "--out", "out"]).current_dir(place.folder.path()));
    assert!(ended.code == Some(1) && ended.stdout.contains("the file is a directory"), "{}", ended.stdout);
    // What is no result may be there under any other name, and what is one may be replaced.
    fs::remove_dir_all(place.out()).unwrap();
    place.write("out/orders.tsv", "mine");
    place.write("out/orders.jsonl", "");
    for format in ["jsonl", "parquet", "csv"] {
        for _ in 0..2 {
            assert_replayed(&place, &["x.jsonl", "--format", format, "--changes"]);
        }
    }
    assert_eq!(names(&place.out()), files("csv", &["changes", "orders.tsv"]));
}

#[test]
fn a_directory_holds_the_results_of_one_replay() {
    let place = Place::new();
    place.write("x.jsonl", placed("a") + "broken\n");
    let (out, changes) = (place.out(), place.path("out/changes"));
    assert_replayed(&place, &["x.jsonl", "--changes"]);
    assert_eq!((names(&out), names(&changes)), (files("csv", &["changes"]), files("csv", &[])));
    // A replay that fails takes nothing away.
    assert_eq!(replayed(&place, &["none.jsonl", "--format", "jsonl"]).code, Some(1));
    assert_eq!((names(&out), names(&changes)), (files("csv", &["changes"]), files("csv", &[])));
    let mine = [("out/mine.csv", "mine"), ("out/orders.jsonl", "{\"mine\":1}\n"), ("out/changes/notes", "mine")];
    mine.iter().for_each(|(name, text)| drop(place.write(name, text)));
    assert_replayed(&place, &["x.jsonl", "--format", "parquet"]);
    assert_eq!(names(&out), files("parquet", &["changes", "mine.csv", "orders.jsonl"]));
    assert_eq!(names(&changes), ["notes"]);
    assert!(mine.iter().all(|(name, text)| fs::read_to_string(place.path(name)).unwrap() == *text));
    assert_replayed(&place, &["x.jsonl", "--format", "parquet", "--changes"]);
    assert_eq!(names(&changes), files("parquet", &["notes"]));
    fs::remove_file(place.path("out/orders.jsonl")).unwrap();
    fs::remove_file(place.path("out/changes/notes")).unwrap();
    assert_replayed(&place, &["x.jsonl", "--format", "jsonl", "--changes"]);
    assert_eq!((names(&out), names(&changes)), (files("jsonl", &["changes", "mine.csv"]), files("jsonl", &[])));
    assert_replayed(&place, &["x.jsonl", "--format", "csv"]);
    assert_eq!(names(&out), files("csv", &["mine.csv"]), "changes of another replay are gone, and their directory");
}

#[test]
fn of_two_replays_at_once_the_results_of_one_stand() {
    let place = Place::new();
    place.write("x.jsonl", placed("a") + "broken\n");
    for _ in 0..6 {
        let started = ["csv", "jsonl", "parquet"].map(|format| {
            let options: &[&str] = if format == "csv" { &["--changes"] } else { &[] };
            let mut command = replay(&["x.jsonl", "--no-console", "--out", "out", "--format", format]);
            start(command.args(options).current_dir(place.folder.path()))
        });
        for running in started {
            let ended = running.wait();
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        }
        let left = names(&place.out());
        let whole = [files("csv", &["changes"]), files("jsonl", &[]), files("parquet", &[])];
        assert!(whole.contains(&left), "{left:?}");
    }
}

#[test]
fn what_a_killed_replay_left_goes_with_the_next_one() {
    let place = Place::new();
    place.write("many.jsonl", (0..60_000).map(|number| placed(&format!("order-{number}"))).collect::<String>());
    place.write("x.jsonl", placed("a"));
    // Where this test is left standing by the system the job may be through before it is killed.
    for _ in 0..20 {
        let mut command = replay(&["many.jsonl", "--no-console", "--changes", "--out", "out"]);
        let mut running = start(command.current_dir(place.folder.path()));
        while hidden(&place).is_empty() && running.child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_micros(200));
        }
        running.child.kill().unwrap();
        running.wait();
        if !hidden(&place).is_empty() {
            break;
        }
    }
    assert!(!hidden(&place).is_empty(), "it was too quick to be killed");
    // What another process is writing is locked; and who knows what else there is.
    let living = place.write("out/.orders.csv.living.unfinished", "");
    let held = File::open(living).unwrap();
    held.lock().unwrap();
    place.write("out/.orders.csv.backup", "mine");
    assert_replayed(&place, &["x.jsonl", "--format", "jsonl"]);
    assert_eq!(hidden(&place), [".orders.csv.backup", ".orders.csv.living.unfinished"]);
    assert_eq!(names(&place.out()).len(), 16, "changes are gone");
    drop(held);
    for name in [".orders.csv.dead.unfinished", "changes/.orders.csv.dead.unfinished"] {
        place.write(&format!("out/{name}"), "");
    }
    // Of these nobody holds a lock, so only what is old is known to be dead.
    place.write(".r.sqlite.new.unfinished", "");
    let old = File::create(place.path(".r.sqlite.dead.unfinished")).unwrap();
    old.set_modified(std::time::SystemTime::now() - Duration::from_secs(25 * 60 * 60)).unwrap();
    place.write(".made.jsonl.dead.unfinished", "");
    assert_replayed(&place, &["x.jsonl", "--sqlite", "r.sqlite"]);
    assert_eq!(names(&place.out()), files("csv", &[".orders.csv.backup"]));
    let made = run(orderwatch().args(["generate", "sales", "--to", "made.jsonl"]).current_dir(place.folder.path()));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(
        names(place.folder.path()),
        [".r.sqlite.new.unfinished", "made.jsonl", "many.jsonl", "out", "r.sqlite", "x.jsonl"]
    );
}

//! `run --watch`: what is said of files that are not dropped in as they should be, and what becomes of them.

use std::fs::{OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use orderwatch::source::watch::journal::Journal;
use orderwatch::source::watch::topic_of;

use crate::run::{Running, orderwatch, start};
use crate::{DEADLINE, drop_in};

const PLACED: &str = r#"{"event_type":"ORDER_PLACED","order_id":"A","timestamp":"2024-03-01T09:00:00Z"}"#;

/// A job that watches a directory, and its journal.
struct Watching {
    running: Running,
    folder: tempfile::TempDir,
    incoming: PathBuf,
}

impl Watching {
    fn start() -> Watching {
        let folder = tempfile::tempdir().unwrap();
        let incoming = folder.path().join("incoming");
        std::fs::create_dir(&incoming).unwrap();
        let mut command = orderwatch();
        command.args(["run", "--serve", "none", "--no-console", "--watch"]).arg(&incoming);
        command.arg("--checkpoint").arg(folder.path().join("checkpoints"));
        Watching { running: start(&mut command), folder, incoming }
    }

    /// The names of the files that were picked up, and how many lines they have together.
    fn picked_up(&self) -> (Vec<String>, u64) {
        let store = self.folder.path().join("checkpoints").display().to_string();
        let journal = Journal::open(Some(&store), "orderwatch", &topic_of(&self.incoming)).unwrap();
        let files = journal.files();
        (files.all().map(|file| file.name.clone()).collect(), files.end())
    }

    fn wait_until_picked_up(&mut self, names: &[&str]) {
        let started = Instant::now();
        while self.picked_up().0 != names {
            let is_running = self.running.child.try_wait().unwrap().is_none();
            assert!(is_running && started.elapsed() < DEADLINE, "{names:?} never: {:?}", self.picked_up());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn times_said(&self, text: &str) -> usize {
        self.running.said_so_far().matches(text).count()
    }
}

#[test]
fn a_file_that_grows_after_it_was_picked_up_is_told_of_once() {
    let mut watching = Watching::start();
    // As far as a slow copy has come: a line and a half.
    let (begun, rest) = PLACED.split_at(40);
    drop_in(&watching.incoming, "slow.jsonl", format!("{PLACED}\n{begun}").as_bytes());
    watching.wait_until_picked_up(&["slow.jsonl"]);
    let mut copying = OpenOptions::new().append(true).open(watching.incoming.join("slow.jsonl")).unwrap();
    writeln!(copying, "{rest}\n{PLACED}").unwrap();
    watching.running.wait_until_it_says("slow.jsonl was written to after it was picked up (");
    watching.running.wait_until_it_says("which is not read: write files elsewhere and rename them in");
    writeln!(copying, "{PLACED}").unwrap();
    // Whoever finds another file has looked at this one again.
    for name in ["t.jsonl", "u.jsonl"] {
        drop_in(&watching.incoming, name, PLACED.as_bytes());
    }
    watching.wait_until_picked_up(&["slow.jsonl", "t.jsonl", "u.jsonl"]);
    assert_eq!((watching.picked_up().1, watching.times_said("slow.jsonl was")), (4, 1));
}

#[test]
fn a_csv_file_whose_header_is_wrong_is_picked_up_once_it_is_mended() {
    let mut watching = Watching::start();
    let row = "A,2024-03-01T09:00:00Z,ORDER_PLACED,\n";
    for (name, header, fault) in [
        ("capitals.csv", "ORDER_ID,TIMESTAMP,EVENT_TYPE,NOTE", "has no column `order_id`; it has to name each column"),
        ("doubled.csv", "order_id,timestamp,event_type,timestamp", "has the column `timestamp` twice; it has to name"),
        ("semicolons.csv", "order_id;timestamp;event_type;note", "has no column `order_id`; it has to name"),
    ] {
        drop_in(&watching.incoming, name, format!("{header}\n{row}").as_bytes());
        let said = format!("{name} is not picked up before it has changed: the header {fault}");
        watching.running.wait_until_it_says(&said);
    }
    let mended = format!("order_id,timestamp,event_type,note\n{row}");
    drop_in(&watching.incoming, "doubled.csv", mended.as_bytes());
    watching.wait_until_picked_up(&["doubled.csv"]);
    assert_eq!((watching.picked_up().1, watching.times_said("is not picked up")), (2, 3));
}

#[test]
fn a_file_is_tried_again_when_its_permissions_have_changed() {
    let mut watching = Watching::start();
    let (damaged, secret) = (watching.incoming.join("damaged.jsonl.gz"), watching.incoming.join("secret.jsonl"));
    // The superuser may read any file, so what they cannot read is one that is damaged.
    drop_in(&watching.incoming, "damaged.jsonl.gz", b"no gzip");
    let said = "damaged.jsonl.gz is not picked up before it has changed";
    watching.running.wait_until_it_says(said);
    let aside = watching.folder.path().join("secret.jsonl");
    std::fs::write(&aside, PLACED).unwrap();
    std::fs::set_permissions(&aside, Permissions::from_mode(0o000)).unwrap();
    let is_superuser = std::fs::read(&aside).is_ok();
    std::fs::rename(&aside, &secret).unwrap();
    if !is_superuser {
        watching.running.wait_until_it_says("secret.jsonl is not picked up yet, which is tried again: ");
        std::fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
    }
    watching.wait_until_picked_up(&["secret.jsonl"]);
    std::fs::set_permissions(&damaged, Permissions::from_mode(0o640)).unwrap();
    let started = Instant::now();
    while watching.times_said(said) < 2 {
        assert!(started.elapsed() < DEADLINE, "it was not tried again: {}", watching.running.said_so_far());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_file_whose_name_is_no_text_is_told_once() {
    let mut watching = Watching::start();
    let name = std::ffi::OsStr::from_bytes(b"ao\xfbt.jsonl");
    std::fs::write(watching.incoming.join(name), b"{}\n").unwrap();
    watching.running.wait_until_it_says("is not picked up before it has changed: its name is not in UTF-8");
    drop_in(&watching.incoming, "later.txt", b"");
    watching.running.wait_until_it_says("later.txt is not picked up before");
    assert_eq!(watching.times_said("its name is not in UTF-8"), 1);
}

#[test]
fn a_name_writes_no_line_into_the_log() {
    let mut watching = Watching::start();
    for (name, shown) in [("nl\nfake WARN.txt", "nl\\x0Afake WARN.txt"), ("red\u{1b}[31m.csv", "red\\x1B[31m.csv")] {
        drop_in(&watching.incoming, name, b"");
        watching.running.wait_until_it_says(&format!("{shown} is not picked up before it has changed: "));
    }
    let said = watching.running.said_so_far();
    assert!(!said.lines().any(|line| line.starts_with("fake")) && !said.contains("\u{1b}[31m"), "{said}");
}

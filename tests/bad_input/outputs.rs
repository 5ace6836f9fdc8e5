//! Outputs that cannot be written.

use std::fs;
use std::process::{Command, Stdio};

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::run::{replay, run};

#[test]
fn a_file_where_a_directory_is_needed() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    place.write("taken", "mine");
    for out in ["taken", "taken/below", "/proc/orderwatch"] {
        let ended = run(replay(&["x.jsonl", "--out", out]).current_dir(place.folder.path()));
        assert_failed(&ended, 1, &["output directory", out, "--out"]);
    }
    assert_eq!(fs::read(place.path("taken")).unwrap(), b"mine");
}

#[test]
fn a_directory_where_a_file_is_needed_keeps_the_others_as_they_were() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    place.replay(&["x.jsonl"]);
    let before = fs::read(place.out().join("orders.csv")).unwrap();
    fs::remove_file(place.out().join("sla_summary.csv")).unwrap();
    fs::create_dir(place.out().join("sla_summary.csv")).unwrap();
    place.write("x.jsonl", placed("b", 2));
    let ended = run(replay(&["x.jsonl", "--out", "out"]).current_dir(place.folder.path()));
    assert_failed(&ended, 1, &["a directory stands where a file is to be written", "sla_summary.csv"]);
    assert_eq!(fs::read(place.out().join("orders.csv")).unwrap(), before);
    assert_eq!(fs::read_dir(place.out()).unwrap().count(), 14);
}

/// A file system that ends with the test.
struct Mounted<'p>(&'p std::path::Path);

impl<'p> Mounted<'p> {
    /// None, and a word about it, where this machine does not let us.
    fn new(at: &'p std::path::Path, options: &str) -> Option<Mounted<'p>> {
        fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("not checked: `mount -t tmpfs` is not possible here");
        }
        mounted.then_some(Mounted(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_leaves_files_of_an_earlier_run() {
    let place = Place::new();
    let out = place.out();
    let Some(_mounted) = Mounted::new(&out, "size=1m") else { return };
    let mut orders = String::new();
    for number in 0..20_000 {
        orders += &placed(&format!("order-{number}"), 1 + number % 28);
        orders.push('\n');
    }
    place.write("x.jsonl", orders);
    place.refused(&["x.jsonl"], 1, &["No space left on device", "free some space"]);
}

#[test]
fn a_read_only_disk_is_refused_before_anything_is_read() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let out = place.out();
    let Some(_mounted) = Mounted::new(&out, "ro") else { return };
    let ended = run(replay(&["x.jsonl", "--out", "out"]).current_dir(place.folder.path()));
    assert_failed(&ended, 1, &["Read-only file system", "that you may write to"]);
}

#[test]
fn whoever_reads_the_totals_may_leave() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let mut command = replay(&["x.jsonl", "--out", "out"]);
    let mut child =
        command.current_dir(place.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(fs::read_dir(place.out()).unwrap().count(), 14);
    // A terminal that is gone on both sides: the files are what counts.
    let shell =
        format!("{} replay x.jsonl --out again >&- 2>&-", assert_cmd::cargo::cargo_bin!("orderwatch").display());
    let ended = Command::new("sh").args(["-c", &shell]).current_dir(place.folder.path()).status().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert_eq!(fs::read_dir(place.path("again")).unwrap().count(), 14);
    let ended = run(replay(&["x.jsonl"]).current_dir(place.folder.path()).stdin(Stdio::null()));
    assert_eq!(ended.code, Some(0));
    let full = format!("{} replay x.jsonl > /dev/full", assert_cmd::cargo::cargo_bin!("orderwatch").display());
    let ended = run(Command::new("sh").args(["-c", &full]).current_dir(place.folder.path()));
    assert_failed(&ended, 1, &["cannot write the totals"]);
}

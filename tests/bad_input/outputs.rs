//! Outputs that cannot be written.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use super::lines::placed;
use super::outcome::{Place, assert_failed};
use super::rows::shop;
use super::run::{Ended, lacks, orderwatch, replay, run};

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
    assert_failed(&ended, 2, &["--out would overwrite", "the file is a directory", "sla_summary.csv"]);
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
            lacks("`mount -t tmpfs` (it takes root)");
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
}

/// What a shell makes of the program with these arguments, in this folder.
fn by_shell(place: &Place, before: &str, arguments: &str) -> Ended {
    let program = assert_cmd::cargo::cargo_bin!("orderwatch");
    let line = format!("{before} exec {} {arguments}", program.display());
    run(Command::new("sh").args(["-c", &line]).current_dir(place.folder.path()))
}

#[test]
fn an_answer_that_cannot_be_written_is_an_error_whatever_was_asked() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    for (arguments, says) in [
        ("replay x.jsonl", "cannot write the totals"),
        ("check x.jsonl", "cannot write the findings"),
        ("check none.jsonl", "cannot write the findings"),
        ("check x.jsonl --output json", "cannot write the findings"),
        ("completions bash", "cannot write the completions"),
        ("explain a --input x.jsonl", "cannot write the report"),
        ("generate orders --count 5 --to made.jsonl", "cannot write the statistics"),
        ("generate olist --count 5 --to made", "cannot write the statistics"),
    ] {
        assert_failed(&by_shell(&place, "", &format!("{arguments} > /dev/full")), 1, &[says, "standard output"]);
        // Whoever closes it, or does not read on, has read enough.
        if arguments != "check none.jsonl" {
            let ended = by_shell(&place, "", &format!("{arguments} >&-"));
            assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments}");
            let mut command = orderwatch();
            command.args(arguments.split(' ')).current_dir(place.folder.path());
            let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stdout.take());
            let ended = child.wait_with_output().unwrap();
            assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]), "{arguments}");
        }
    }
}

#[test]
fn a_limit_of_file_sizes_is_an_error_as_a_full_disk_is() {
    let place = Place::new();
    let orders: Vec<String> = (0..20_000).map(|number| placed(&format!("order-{number}"), 1 + number % 28)).collect();
    place.write("x.jsonl", orders.join("\n"));
    // In blocks of 512 or 1,024 bytes, as the shell has it.
    for (arguments, says) in [
        ("replay x.jsonl --out out", &["cannot write: File too large", "ulimit -f"][..]),
        ("replay x.jsonl --out out --changes --format jsonl", &["cannot write: File too large", "ulimit -f"]),
        ("replay x.jsonl --sqlite r.sqlite", &["cannot write the SQLite file", "ulimit -f"]),
        ("generate orders --count 20000 --to made.jsonl", &["cannot write the stream: File too large"]),
        ("replay x.jsonl --sort-memory 1M --no-console", &["File too large", "set TMPDIR"]),
    ] {
        // What has to be sorted comes in no order.
        if arguments.contains("--sort-memory") {
            let backwards: Vec<String> =
                (0..60_000).map(|number| placed(&format!("order-{number}"), 28 - number % 28)).collect();
            place.write("x.jsonl", backwards.join("\n"));
        }
        assert_failed(&by_shell(&place, "ulimit -f 100;", arguments), 1, says);
        let left = fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name != "x.jsonl" && name != "out").collect();
        assert!(left.is_empty(), "{arguments} leaves {left:?}");
        let mut written = fs::read_dir(place.out()).into_iter().flatten().map(|entry| entry.unwrap().file_name());
        assert!(written.all(|name| name == "changes"), "{arguments}");
    }
}

#[test]
fn a_check_tries_whether_there_can_be_temporary_files() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    let checked = |folder: &str| {
        run(orderwatch().args(["check", "x.jsonl"]).env("TMPDIR", folder).current_dir(place.folder.path()))
    };
    let ended = checked("none");
    // Not every input needs any.
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    for words in ["warning  output, temporary files in none: cannot write a temporary file: ", "do: set TMPDIR"] {
        assert!(ended.stdout.contains(words), "`{words}` is missing in:\n{}", ended.stdout);
    }
    let ended = checked(".");
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert!(ended.stdout.contains("ok       output, temporary files in .: can be written\n"), "{}", ended.stdout);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1);
}

#[test]
fn too_few_open_files_are_no_fault_of_the_directory() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    // How many are needed beside results depends on the system.
    let ended = (8..64)
        .step_by(3)
        .map(|limit| by_shell(&place, &format!("ulimit -n {limit};"), "replay x.jsonl --out out -w 1"));
    let failed: Vec<Ended> = ended.filter(|ended| ended.stderr.contains("cannot write: Too many open files")).collect();
    assert!(!failed.is_empty());
    failed.iter().for_each(|ended| assert_failed(ended, 1, &["cannot write: Too many open files", "ulimit -n"]));
}

#[test]
fn a_log_is_written_into_no_input_and_no_result() {
    let place = Place::new();
    place.write("x.jsonl", placed("a", 1));
    shop(&place, b"", b"", b"");
    fs::hard_link(place.path("x.jsonl"), place.path("hard")).unwrap();
    symlink("x.jsonl", place.path("link")).unwrap();
    let input = "an input would be written into by --log-file";
    let inputs =
        ["x.jsonl", "shop/../x.jsonl", "hard", "link", "shop/olist_orders_dataset.csv"].map(|log| (log, input));
    let results = [
        ("r.sqlite", "--sqlite needs the same place as --log-file"),
        ("out/orders.csv", "--out needs the same place as --log-file"),
        ("out", "--out needs the same place as --log-file"),
    ];
    for (log, says) in inputs.into_iter().chain(results) {
        let says = [says, &format!("where: {log}\n"), "name another file with --log-file"];
        for command in ["replay", "check"] {
            let arguments = [command, "x.jsonl", "shop", "--sqlite", "r.sqlite", "--out", "out", "--log-file", log];
            assert_failed(&run(orderwatch().args(arguments).current_dir(place.folder.path())), 2, &says);
        }
        if says[0] == input {
            let arguments = ["explain", "a", "--input", "x.jsonl", "shop", "--log-file", log];
            assert_failed(&run(orderwatch().args(arguments).current_dir(place.folder.path())), 2, &says);
        }
    }
    assert_eq!(fs::read_to_string(place.path("x.jsonl")).unwrap(), placed("a", 1));
    assert!(!place.out().exists() && !place.path("r.sqlite").exists());
    // Beside them it does no harm.
    place.replay(&["x.jsonl", "shop", "--log-file", "shop/log"]);
    let arguments = ["replay", "x.jsonl", "shop", "--out", "out", "--log-file", "out/log"];
    assert_eq!(run(orderwatch().args(arguments).current_dir(place.folder.path())).code, Some(0));
}

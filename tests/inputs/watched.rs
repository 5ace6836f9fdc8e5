//! A directory that a live job watches: what is no input of it is told before it is read.

use std::fs;

use super::run::{orderwatch, run, start};

#[test]
fn a_log_is_written_into_no_directory_that_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    fs::create_dir(&incoming).unwrap();
    std::os::unix::fs::symlink("incoming", folder.path().join("link")).unwrap();
    for command in ["run", "check"] {
        for log in ["incoming/log.jsonl", "./incoming/log", "link/log.csv", "incoming/../link/log.jsonl"] {
            let arguments = [command, "--watch", "incoming", "--serve", "none", "--checkpoint", "none"];
            let mut command = orderwatch();
            let ended = run(command.args(arguments).args(["--log-file", log]).current_dir(folder.path()));
            let says = format!("error: an input would be written into by --log-file\n  where: {log}\n  do: name");
            assert_eq!(ended.code, Some(2), "{}", ended.stderr);
            assert!(ended.stderr.starts_with(&says) && ended.stdout.is_empty(), "{}", ended.stderr);
        }
    }
    assert_eq!(fs::read_dir(&incoming).unwrap().count(), 0, "nothing is made there");
    // Elsewhere it does no harm, be it that it is below.
    fs::create_dir(incoming.join("logs")).unwrap();
    for log in ["log.jsonl", "incoming/logs/log"] {
        let arguments = ["check", "--watch", "incoming", "--serve", "none", "--checkpoint", "none", "--log-file", log];
        let ended = run(orderwatch().args(arguments).current_dir(folder.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn a_database_is_written_into_no_directory_that_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("incoming")).unwrap();
    for (command, code) in [("run", 2), ("check", 1)] {
        let arguments = [command, "--watch", "incoming", "--serve", "none", "--checkpoint", "kept"];
        let mut command = orderwatch();
        let ended = run(command.args(arguments).args(["--sqlite", "incoming/x.jsonl"]).current_dir(folder.path()));
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(code), "{said}");
        assert!(said.contains("an input would be written into by --sqlite"), "{said}");
        assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    }
}

#[test]
fn text_in_utf_16_is_told_as_that_once_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("incoming");
    fs::create_dir(&incoming).unwrap();
    let line = "{\"order_id\":\"A\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-01T09:00:00Z\"}\n";
    let row = "order_id,event_type,timestamp\nA,ORDER_PLACED,2024-03-01T09:00:00Z\n";
    // With the mark that says which byte of a character comes first.
    let little = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let mut command = orderwatch();
    command.args(["run", "--watch", "incoming", "--serve", "none", "--checkpoint", "none", "--no-console"]);
    let mut running = start(command.current_dir(folder.path()));
    let said = |name: &str| format!("{name} is not picked up before it has changed: it is text in UTF-16, not in");
    for (name, bytes) in
        [("a.jsonl", little(line)), ("b.jsonl", big(line)), ("c.csv", little(row)), ("d.csv", big(row))]
    {
        let aside = incoming.join(".part");
        fs::write(&aside, bytes).unwrap();
        fs::rename(aside, incoming.join(name)).unwrap();
        // Whoever finds the next one has looked at those before it again.
        running.wait_until_it_says(&said(name));
    }
    let log = running.said_so_far();
    assert_eq!(log.matches("UTF-8; convert it: iconv -f UTF-16 -t UTF-8").count(), 4, "{log}");
}

//! A live job before it runs: whether it has a checkpoint to go on from, and what `orderwatch check` says of what it needs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;

use super::broker::{broker, create_topic, flush, producer, send};
use super::{orderwatch, run};

#[test]
fn a_job_that_is_to_go_on_from_a_checkpoint_has_to_have_one() {
    let folder = tempfile::tempdir().unwrap();
    let shop = ["run", "--generate", "20", "--serve", "none", "--checkpoint-interval", "50ms", "-v"];
    for store in ["kept", "none"] {
        let arguments = [&shop[..], &["--start", "checkpoint", "--checkpoint", store]].concat();
        let what = format!("job orderwatch has no checkpoint to go on from\n  where: --checkpoint {store}\n");
        let says = contains(what).and(contains("leave --start out, or name earliest, latest or a TIME"));
        orderwatch(&arguments).current_dir(folder.path()).assert().code(2).stderr(says);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is kept of that");
    for start in ["latest", "checkpoint"] {
        let mut command = run::orderwatch();
        command.args(shop).args(["--start", start, "--checkpoint", "kept"]).current_dir(folder.path());
        let mut job = run::start(&mut command);
        job.wait_until_it_says("written in");
        job.terminate();
        let ended = job.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

fn checked(folder: &Path, arguments: &[&str]) -> Assert {
    orderwatch(&[&["check"][..], arguments].concat()).current_dir(folder).assert()
}

#[test]
fn a_check_of_a_live_job_names_what_is_not_there_and_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    let nothing_else = ["--serve", "none", "--checkpoint", "none"];
    let started = Instant::now();
    let broker = contains("failed   input, --kafka 127.0.0.1:1: cannot look up the topics: ")
        .and(contains(" (Kafka at 127.0.0.1:1)\n         do: check that a broker listens there"));
    checked(folder.path(), &[&["--kafka", "127.0.0.1:1"][..], &nothing_else].concat()).code(1).stdout(broker);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let directory = contains("failed   input, --watch none: cannot watch the directory: No such file or directory")
        .and(contains("do: make it, or name another one with --watch\n"));
    checked(folder.path(), &[&["--watch", "none"][..], &nothing_else].concat()).code(1).stdout(directory);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = busy.local_addr().unwrap().to_string();
    let address =
        contains(format!("failed   output, --serve {taken}: cannot serve at {taken}: Address already in use"))
            .and(contains("do: give this process an address of its own"));
    checked(folder.path(), &["--generate", "2", "--checkpoint", "none", "--serve", &taken]).code(1).stdout(address);
    let brokers = contains("failed   input, --kafka: no Kafka broker is named (kafka.brokers)\n")
        .and(contains("failed   output, --to-kafka 127.0.0.1:1: cannot list the topics: "));
    checked(folder.path(), &["--to-kafka", "127.0.0.1:1", "--serve", "none"]).code(1).stdout(brokers);
    let kept = contains("failed   configuration, all layers: without checkpoints a sink cannot be kept up to date");
    let unkept = [&["--generate", "2", "--sqlite", "shop.sqlite"][..], &nothing_else].concat();
    checked(folder.path(), &unkept).code(1).stdout(kept);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a check makes nothing");
}

#[test]
fn a_check_of_a_live_job_that_has_all_it_needs_passes() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("incoming")).unwrap();
    let reads = ["--watch", "incoming", "--generate", "0.5", "--clock", "event", "--grace", "2s"];
    let writes = ["--sqlite", "shop.sqlite", "--checkpoint", "kept", "--checkpoint-interval", "1s"];
    let lines = contains("ok       input, --watch incoming: can be read\n")
        .and(contains("ok       input, --generate 0.5: is made up as time passes\n"))
        .and(contains("ok       output, --sqlite shop.sqlite: can be written\n"))
        .and(contains("ok       checkpoint, orderwatch: there is none yet, so the job begins where --start says\n"))
        .and(contains("ok       output, --checkpoint kept: can be written\n"))
        .and(contains("ok       output, --serve 127.0.0.1:0: nobody else answers there\n"));
    let arguments = [&reads[..], &writes, &["--serve", "127.0.0.1:0", "--no-console"]].concat();
    checked(folder.path(), &arguments).success().stdout(lines).stderr("");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a check leaves nothing behind");
}

/// Files of a folder and of those in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    files.sort();
    files
}

#[test]
fn a_check_of_a_live_job_says_from_which_checkpoint_it_would_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let shop = ["--generate", "20", "--serve", "none", "--checkpoint", "kept"];
    let mut command = run::orderwatch();
    command.args(["run", "-v", "--checkpoint-interval", "50ms"]).args(shop).current_dir(folder.path());
    let mut job = run::start(&mut command);
    job.wait_until_it_says("written in");
    job.terminate();
    let ended = job.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let kept = folder.path().join("kept/orderwatch");
    let before = files(&kept);
    let whole = contains("ok       checkpoint, orderwatch: the newest that is whole is as of ").and(contains("Z, "));
    checked(folder.path(), &shop).success().stdout(whole.and(contains("s ago\n")));
    let other = contains("failed   checkpoint, orderwatch: ")
        .and(contains(
            ": it was written with another configuration\n         do: start it with the configuration it had",
        ))
        .and(contains("or begin anew: `orderwatch checkpoint reset`, and empty the sinks\n"));
    checked(folder.path(), &[&shop[..], &["--tick", "1s"]].concat()).code(1).stdout(other);
    let manifests = files(&kept.join("manifests"));
    assert!(manifests.len() > 1, "{manifests:?}");
    fs::write(manifests.last().unwrap(), "{}").unwrap();
    let passed_over = contains("warning  checkpoint, orderwatch: the newest that is whole is as of ")
        .and(contains("; 1 cannot be taken up, the newest of them, ").and(contains(": it is damaged: the manifest: ")))
        .and(contains("do: what came since is read again; see `orderwatch checkpoint list`\n"));
    checked(folder.path(), &shop).success().stdout(passed_over);
    files(&kept.join("parts")).iter().for_each(|part| fs::write(part, "not what was written").unwrap());
    let damaged = contains(format!("{} cannot be taken up, the newest of them, ", manifests.len()))
        .and(contains(": it is damaged: ").and(contains("do: put the store back as it was, or begin anew: ")));
    checked(folder.path(), &shop).code(1).stdout(contains("failed   checkpoint, orderwatch: ").and(damaged));
    assert_eq!(files(&kept), before, "a check makes nothing and claims nothing");
    // The job does not start either: what another configuration wrote waits for that one, what is damaged may be put back.
    for (more, code) in [(&["--tick", "1s"][..], 2), (&[], 1)] {
        let mut start = orderwatch(&[&["run"][..], &shop, more].concat());
        let says = contains("error: job orderwatch cannot start: no checkpoint fits the results that are there");
        start.current_dir(folder.path()).assert().code(code).stderr(says);
    }
    manifests.iter().for_each(|manifest| fs::remove_file(manifest).unwrap());
    let gone = contains("warning  checkpoint, orderwatch: there is none any more, though the job ran before\n");
    checked(folder.path(), &shop).success().stdout(gone);
    let mut reset = orderwatch(&["checkpoint", "reset", "--yes", "--checkpoint", "kept"]);
    reset.current_dir(folder.path()).assert().success();
    let none = contains("ok       checkpoint, orderwatch: there is none yet, so the job begins where --start says\n");
    checked(folder.path(), &shop).success().stdout(none);
}

#[test]
fn brokers_of_the_configuration_make_a_check_that_of_a_live_job() {
    let folder = tempfile::tempdir().unwrap();
    let settings = "[kafka]\nbrokers = \"127.0.0.1:1\"\n[checkpoint]\nstore = \"none\"\n[serve]\naddress = \"none\"\n";
    fs::write(folder.path().join("job.toml"), settings).unwrap();
    let is_live = || contains("failed   input, --kafka 127.0.0.1:1: cannot look up the topics: ");
    checked(folder.path(), &["-c", "job.toml", "--no-console"]).code(1).stdout(is_live());
    let mut of_environment = orderwatch(&["check", "--serve", "none"]);
    of_environment.current_dir(folder.path()).env("ORDERWATCH__KAFKA__BROKERS", "127.0.0.1:1");
    of_environment.assert().code(1).stdout(is_live());
    // Whoever names an input means a replay.
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample");
    let is_replay = contains("olist_orders_dataset.csv: the first 1000 records can be used\n").and(is_live().not());
    checked(folder.path(), &["-c", "job.toml", sample]).success().stdout(is_replay);
}

#[test]
fn a_check_of_a_live_job_asks_the_broker_for_its_topics() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "checked", 3);
    let producer = producer(&brokers, None);
    (0..7).for_each(|number| send(&producer, &topic, number % 3, b"{}"));
    flush(&producer);
    let topics = format!("{topic},no-such-topic");
    let lines = contains(format!("ok       input, topic {topic}: 3 partitions, 7 records\n"))
        .and(contains("warning  input, topic no-such-topic: there is no such topic"))
        .and(contains(format!("do: create it: orderwatch topics create --kafka {brokers} --topics no-such-topic\n")))
        .and(contains(format!("ok       output, --to-kafka {brokers}: it answers\n")));
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--kafka", &brokers, "--topics", &topics, "--to-kafka", &brokers, "--serve", "none"];
    checked(folder.path(), &arguments).success().stdout(lines);
}

#[test]
fn a_job_does_not_read_the_changelogs_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = ["--kafka", "127.0.0.1:1", "--to-kafka", "127.0.0.1:1", "--serve", "none", "--checkpoint", "kept"];
    let says = || {
        let what = contains("topic shop.orders would be read, and written into by --to-kafka");
        what.and(contains("--topics, and --job shop")).and(contains("another name with --job"))
    };
    let arguments = [&["--job", "shop", "--topics", "sales,shop.orders"][..], &brokers].concat();
    let refused = orderwatch(&[&["run"][..], &arguments].concat()).current_dir(folder.path()).assert().code(2);
    refused.stderr(says());
    checked(folder.path(), &arguments).code(1).stdout(says());
    // Where no broker is read the topics are nobody's.
    let arguments = ["check", "--watch", ".", "--job", "olist", "--to-kafka", "127.0.0.1:1", "--serve", "none"];
    let checked = orderwatch(&arguments).current_dir(folder.path()).assert().code(1);
    checked.stdout(contains("would be read").not());
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_is_told_and_does_not_keep_a_job_from_ending() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("postgresql://postgres@{}/postgres", silent.local_addr().unwrap());
    let shop = ["--generate", "1", "--serve", "none", "--checkpoint", "kept", "--postgres", &server];
    let started = Instant::now();
    checked(folder.path(), &shop).code(1).stdout(contains("it takes the connection and does not answer"));
    let mut job = run::start(run::orderwatch().arg("run").args(shop).current_dir(folder.path()));
    job.wait_until_it_says("it takes the connection and does not answer");
    job.terminate();
    let ended = job.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the program was asked to end"), "{}", ended.stderr);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

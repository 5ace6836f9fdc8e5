//! Where a job writes and keeps checkpoints, as a file, the environment or a flag says it.

use std::fs;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use tempfile::TempDir;

use super::orderwatch;

/// A folder with one line of input, and a configuration file.
fn folder(configuration: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = r#"{"order_id":"A","event_type":"ITEM_SHIPPED","timestamp":"2024-03-01T09:00:00Z"}"#;
    fs::write(folder.path().join("x.jsonl"), line).unwrap();
    fs::write(folder.path().join("job.toml"), configuration).unwrap();
    folder
}

fn within(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = orderwatch(arguments);
    command.current_dir(folder.path());
    command
}

#[test]
fn every_layer_says_where_results_go() {
    let folder = folder("[sink]\nsqlite = \"of-file\"\n");
    let of_file = ["-c", "job.toml", "replay", "x.jsonl", "--no-console"];
    within(&folder, &of_file).assert().success();
    within(&folder, &of_file).env("ORDERWATCH__SINK__SQLITE", "of-environment").assert().success();
    let of_flag = [&of_file[..], &["--sqlite", "of-flag"]].concat();
    within(&folder, &of_flag).env("ORDERWATCH__SINK__SQLITE", "nowhere").assert().success();
    let explained = ["explain", "A", "--input", "x.jsonl"];
    within(&folder, &explained).env("ORDERWATCH__SINK__SQLITE", "nowhere").assert().success();
    let there = ["of-file", "of-environment", "of-flag", "nowhere"].map(|name| folder.path().join(name).exists());
    assert_eq!(there, [true, true, true, false]);
}

#[test]
fn what_is_sent_into_topics_is_written_nowhere_else() {
    let folder = folder("[sink]\nsqlite = \"a\"\n[checkpoint]\nstore = \"b\"\n[serve]\naddress = \"c\"\n");
    let mut sent = within(&folder, &["-c", "job.toml", "replay", "x.jsonl", "--produce", "127.0.0.1:1"]);
    sent.assert().code(1).stderr(contains("cannot look up the topics"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn a_password_of_the_environment_is_shown_nowhere() {
    let folder = folder("");
    let (variable, away) = ("ORDERWATCH__SINK__POSTGRES", "postgresql://me:hunter2@127.0.0.1:1/shop");
    let probed = "--postgres postgresql://me@127.0.0.1:1/shop: cannot connect";
    for (command, url, named) in [
        (&["replay", "x.jsonl"][..], "postgresql://me:hunter2@db:x/shop", variable),
        (&["run", "--generate", "1"], "me:hunter2@db", variable),
        (&["topics", "list"], "postgresql://me@db?sslmode=hunter2", variable),
        (&["check", "x.jsonl"], away, probed),
        (&["check", "--generate", "1", "--serve", "none"], away, probed),
    ] {
        let mut command = within(&folder, &[&["-vvv"][..], command].concat());
        let assert = command.env(variable, url).assert().failure();
        let said = [assert.get_output().stdout.as_slice(), &assert.get_output().stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(said.contains(named) && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_replay_without_a_speed_says_that_it_keeps_nothing() {
    let folder = folder("");
    let replay = ["replay", "x.jsonl", "--no-console", "--checkpoint", "kept"];
    let says = || contains("--checkpoint keeps nothing of a replay without a --speed");
    within(&folder, &replay).assert().success().stderr(says());
    assert!(!folder.path().join("kept").exists());
    within(&folder, &[&replay[..], &["--speed", "1000000"]].concat()).assert().success().stderr(says().not());
    // A store of the configuration is for `run` as well.
    let mut configured = within(&folder, &replay[..3]);
    configured.env("ORDERWATCH__CHECKPOINT__STORE", "kept").assert().success().stderr("");
    let mut interval = within(&folder, &[&replay[..3], &["--checkpoint-interval", "1s"]].concat());
    interval.env("ORDERWATCH__CHECKPOINT__STORE", "kept").assert().success().stderr(says());
    // Nor does one that cannot be used fail a replay, or the check of one, that has no use for it.
    for command in [&replay[..3], &["check", "x.jsonl"]] {
        let mut unused = within(&folder, command);
        unused.env("ORDERWATCH__CHECKPOINT__STORE", "ftp://x/y").assert().success().stdout(contains("ftp").not());
    }
}

#[test]
fn an_error_names_the_layer_that_said_the_value() {
    let folder = folder("[job]\nplan = \"relational\"\n");
    let shop = ["--generate", "1", "--serve", "none", "--checkpoint", "kept"];
    let run = [&["-c", "job.toml", "run"][..], &shop].concat();
    let placed = contains("--plan relational forgets nothing").and(contains("\n  where: job.plan, job.toml:2\n"));
    within(&folder, &run).assert().code(2).stderr(placed);
    let of_flag = contains("--plan relational forgets nothing").and(contains("\n  where: flag --plan\n"));
    within(&folder, &[&run[..], &["--plan", "relational"]].concat()).assert().code(2).stderr(of_flag);
    let check = [&["-c", "job.toml", "check"][..], &shop].concat();
    within(&folder, &check).assert().code(1).stdout(contains("checkpoints (job.plan, job.toml:2)\n"));
    for (key, value, what) in [
        ("serve.address", "8080", "cannot serve at 8080"),
        ("checkpoint.store", "ftp://x/y", "--checkpoint ftp://x/y is neither a directory nor s3://BUCKET/PREFIX"),
    ] {
        let variable = format!("ORDERWATCH__{}", key.replace('.', "__").to_uppercase());
        let place = format!("{key}, environment variable {variable}");
        let arguments = ["x.jsonl", "--speed", "1000000"];
        let mut replay = within(&folder, &[&["replay"][..], &arguments].concat());
        let says = contains(format!("error: {what}")).and(contains(format!("\n  where: {place}\n")));
        replay.env(&variable, value).assert().code(2).stderr(says);
        let mut check = within(&folder, &[&["check"][..], &arguments].concat());
        check.env(&variable, value).assert().code(1).stdout(contains(what).and(contains(format!("({place})\n"))));
    }
}

#[test]
fn a_configuration_that_is_broken_is_an_error_of_each_command_but_completions() {
    let folder = folder("[job]\nnam = \"shop\"\n");
    within(&folder, &["replay", "x.jsonl", "--no-console", "--out", "results"]).assert().success();
    for command in [
        &["query", "orders", "results"][..],
        &["generate", "orders", "--count", "1", "--to", "new.jsonl"],
        &["generate", "olist", "--count", "1", "--to", "shop"],
    ] {
        for (file, says) in [("job.toml", "unknown configuration key `job.nam`"), ("none.toml", "none.toml")] {
            within(&folder, &[&["-c", file][..], command].concat()).assert().code(2).stdout("").stderr(contains(says));
        }
        let mut of_environment = within(&folder, command);
        of_environment.env("ORDERWATCH__TIME__TICK", "0s").assert().code(2).stderr(contains("give at least 1ms"));
    }
    let there = ["new.jsonl", "shop"].map(|name| folder.path().join(name).exists());
    assert_eq!(there, [false, false]);
    within(&folder, &["-c", "job.toml", "completions", "bash"]).assert().success().stderr("");
    within(&folder, &["query", "orders", "results"]).assert().success();
}

#[test]
fn checkpoints_are_looked_for_where_the_configuration_says() {
    let folder = folder("[job]\nname = \"shop\"\n[checkpoint]\nstore = \"kept\"\n");
    fs::create_dir(folder.path().join("kept")).unwrap();
    let reset = ["-c", "job.toml", "checkpoint", "reset"];
    let says = |job: &str| contains(format!("0 checkpoints of job {job} would be removed for good\n  where: kept\n"));
    within(&folder, &reset).assert().code(2).stderr(says("shop"));
    within(&folder, &[&reset[..], &["--job", "other"]].concat()).assert().code(2).stderr(says("other"));
    let nowhere = |store: &str| contains(format!("there is no store of checkpoints\n  where: {store}\n"));
    let mut elsewhere = within(&folder, &reset);
    elsewhere.env("ORDERWATCH__CHECKPOINT__STORE", "elsewhere").assert().code(2).stderr(nowhere("elsewhere"));
    let none = [&reset[..], &["--checkpoint", "none"]].concat();
    within(&folder, &none).assert().code(2).stderr(nowhere("none"));
    within(&folder, &["checkpoint", "list"]).assert().code(2).stderr(nowhere("orderwatch-checkpoints"));
    fs::write(folder.path().join("job.toml"), "[checkpoint]\nstor = \"kept\"\n").unwrap();
    let slip = contains("unknown configuration key `checkpoint.stor`").and(contains("did you mean `store`"));
    within(&folder, &reset).assert().code(2).stderr(slip);
}

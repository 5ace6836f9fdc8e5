//! `orderwatch check`, completions, the log file and YAML settings, from outside.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use assert_cmd::assert::Assert;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

use super::orderwatch;

#[test]
fn a_check_names_what_is_wrong_and_what_to_do_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let good = r#"{"order_id":"A","event_type":"ITEM_SHIPPED","timestamp":"2024-03-01T09:00:00Z"}"#;
    fs::write(path("good.jsonl"), format!("{good}\n\n{good}\n")).unwrap();
    fs::write(path("mixed.jsonl"), format!("{good}\n{{\"order_id\":\"A\"}}\n")).unwrap();
    fs::write(path("bad.jsonl"), "nothing\n").unwrap();
    fs::write(path("empty.jsonl"), "").unwrap();
    fs::write(path("cut.jsonl.gz"), [0x1f, 0x8b, 8, 0]).unwrap();
    let inputs = ["good.jsonl", "mixed.jsonl", "bad.jsonl", "empty.jsonl", "cut.jsonl.gz", "none.jsonl"].map(path);
    let mut arguments = vec!["check", "--output", "json", "-", "--out"];
    let out = path("good.jsonl");
    arguments.push(&out);
    arguments.extend(inputs.iter().map(String::as_str));
    let checked = orderwatch(&arguments).assert().code(1).stderr(contains("4 of "));
    let report: Value = serde_json::from_slice(&checked.get_output().stdout).unwrap();
    assert_eq!(report["ok"], false);
    let finding = |target: &str| {
        let checks = report["checks"].as_array().unwrap();
        let found = checks.iter().find(|check| check["target"].as_str().unwrap().contains(target));
        let found = found.unwrap_or_else(|| panic!("no check of {target} in {report}"));
        let [state, detail] = ["state", "detail"].map(|name| found[name].as_str().unwrap().to_owned());
        assert_eq!(state == "ok", found["remedy"].is_null(), "{found}");
        (state, detail)
    };
    let once = report["checks"].as_array().unwrap().iter().find(|check| check["target"] == "-").unwrap();
    assert!(once["state"] == "warning" && once["detail"].as_str().unwrap().contains("once only"), "{once}");
    for (target, state, detail) in [
        ("good.jsonl: good.jsonl", "ok", "the first 2 records can be used"),
        ("mixed.jsonl", "warning", "of the first 2 records 1 can be used; line 2: missing_field:event_type: a field"),
        ("bad.jsonl", "failed", "of the first 1 records 0 can be used; line 1: malformed: it is no JSON object"),
        ("empty.jsonl", "warning", "it holds no record"),
        ("cut.jsonl.gz", "failed", "cannot read the input"),
        ("none.jsonl", "failed", "cannot open the input"),
        ("--out ", "failed", "cannot write to the output directory"),
    ] {
        let (found, says) = finding(target);
        assert_eq!(found, state, "{target}: {says}");
        assert!(says.contains(detail), "{target}: {says}");
    }
}

#[test]
fn a_check_of_the_sample_passes_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let [out, kept] = ["new/results", "new/kept"].map(|name| folder.path().join(name).display().to_string());
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample");
    let interval = ["--checkpoint", &kept, "--checkpoint-interval", "1s"];
    let mut command = orderwatch(&[&["check", sample, "--out", &out][..], &interval].concat());
    let lines = contains("ok       configuration, orderwatch: every value is as it may be\n")
        .and(contains(format!("ok       output, --checkpoint {kept}: can be written\n")))
        .and(contains("olist_order_payments_dataset.csv: the first 1000 records can be used\n"))
        .and(contains("free space, ").and(contains("open files, limit: ")));
    command.assert().success().stdout(lines).stderr("");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "a check makes no directory");
    let wrong = ["check", sample, "--tick", "0s", "--from", "2024-01-01"];
    let lines =
        contains("failed   configuration, all layers: time.tick is \"0s\"").and(contains("do: give at least 1ms\n"));
    orderwatch(&wrong).assert().code(1).stdout(lines.and(contains("the first 1000 records can be used")));
}

/// A folder with one good line of input, and a check of it.
fn checked(folder: &Path, arguments: &[&str]) -> Assert {
    let line = r#"{"order_id":"A","event_type":"ITEM_SHIPPED","timestamp":"2024-03-01T09:00:00Z"}"#;
    fs::write(folder.join("x.jsonl"), line).unwrap();
    orderwatch(&[&["check", "x.jsonl"], arguments].concat()).current_dir(folder).assert()
}

#[test]
fn a_check_reads_the_address_of_a_store_as_a_replay_does() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("taken"), "mine").unwrap();
    let unusable = "cannot use the store of checkpoints: Not a directory (os error 20) (taken)";
    let with_checkpoint = "name a directory that you may write to with --checkpoint, or s3://BUCKET/PREFIX";
    for (store, detail, remedy) in [
        (
            "http://x/y",
            "--checkpoint http://x/y is neither a directory nor s3://BUCKET/PREFIX (flag --checkpoint)",
            "name one of them",
        ),
        ("taken", unusable, with_checkpoint),
        ("taken/below", unusable, with_checkpoint),
        ("file://taken", unusable, with_checkpoint),
    ] {
        let lines = format!("failed   output, --checkpoint {store}: {detail}\n         do: {remedy}\n");
        checked(folder.path(), &["--checkpoint", store]).code(1).stdout(contains(lines));
    }
    checked(folder.path(), &["--checkpoint", "file://new/kept"]).success().stdout(contains("kept: can be written\n"));
}

#[test]
fn a_check_finds_outputs_that_need_the_same_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("made")).unwrap();
    symlink(".", folder.path().join("here")).unwrap();
    for (sqlite, other) in [
        ("x", ["--out", "x"]),
        ("./x", ["--out", "x/y"]),
        ("here/x", ["--out", "x"]),
        ("made/orders.csv", ["--out", "./made"]),
        ("x", ["--checkpoint", "file://x"]),
    ] {
        let outputs = [&["--sqlite", sqlite][..], &other].concat();
        let what = format!("{} needs the same place as --sqlite", other[0]);
        let cure = "do: name another file with --sqlite\n";
        let says = contains(format!("failed   output, --sqlite {sqlite}: {what} ({sqlite})\n")).and(contains(cure));
        checked(folder.path(), &outputs).code(1).stdout(says);
        // A replay asks before it reads anything, and makes nothing either.
        let mut replay = orderwatch(&[&["replay", "none.jsonl"], &outputs[..]].concat());
        let says = contains(format!("error: {what}\n  where: {sqlite}\n")).and(contains(cure));
        replay.current_dir(folder.path()).assert().code(2).stdout("").stderr(says);
    }
    let apart = ["--sqlite", "made/r.sqlite", "--out", "made", "--checkpoint", "kept"];
    checked(folder.path(), &apart).success();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "a check makes nothing");
}

#[test]
fn a_check_shows_where_a_file_is_wrong_and_nothing_of_its_text() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, wrong) in [
        ("bad.yaml", "job: [1\n", "YAML: unclosed bracket '[' (bad.yaml, line 1, column 6)\n"),
        ("bad.toml", "[time\u{1b}[2J\n", "TOML: unclosed table, expected `]` (bad.toml, line 1, column 7)\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
        let shown = contains(format!("failed   configuration, all layers: the configuration file is no {wrong}"));
        let shown = shown.and(contains("job: [").or(contains("[2J")).or(contains("\u{1b}")).not());
        checked(folder.path(), &["-c", name]).code(1).stdout(shown);
    }
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let completions = contains("explain").and(contains("arrival-order"));
        orderwatch(&["completions", shell]).assert().success().stdout(completions).stderr("");
    }
    orderwatch(&["completions", "tcl"]).assert().code(2).stderr(contains("possible values: bash"));
}

#[test]
fn a_log_file_takes_the_log_and_standard_error_keeps_the_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = path.to_str().unwrap();
    for run in 1..=2 {
        let arguments = ["-v", "--log-file", log, "--log-format", "json", "replay", "no/such.jsonl"];
        let error = "error: cannot open the input: No such file or directory (os error 2)\n  where: no/such.jsonl";
        orderwatch(&arguments).assert().code(1).stderr(predicates::str::starts_with(error)).stdout("");
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let levels: Vec<&str> = lines.iter().map(|line| line["level"].as_str().unwrap()).collect();
        assert_eq!(levels, ["INFO", "ERROR"].repeat(run), "the second run appends");
        assert!(lines[1]["fields"]["message"].as_str().unwrap().starts_with("cannot open the input"));
    }
    orderwatch(&["--log-file", folder.path().to_str().unwrap(), "replay"])
        .assert()
        .code(1)
        .stderr(contains("cannot open the log file").and(contains("--log-file")));
}

#[test]
fn settings_in_yaml_are_those_in_toml_with_the_same_errors() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.yaml");
    let settings = settings.to_str().unwrap();
    for (text, messages) in [
        (
            "orders:\n  retention: 3d\n  retentoin: 3d\n",
            &[
                "unknown configuration key `orders.retentoin`",
                "settings.yaml:3",
                "did you mean `retention` in section [orders]?",
            ][..],
        ),
        ("ordres:\n", &["unknown configuration key `ordres`", "settings.yaml:1", "did you mean the section [orders]?"]),
        ("time: 5\n", &["unknown configuration key `time`", "settings.yaml:1"]),
        ("# grid\ntime:\n  tick: 0s\n", &["time.tick is \"0s\"", "settings.yaml:3", "give at least 1ms"]),
        ("job:\n  workers: many\n", &["job.workers is \"many\": not a whole number", "settings.yaml:2"]),
        (
            "job:\n  windows: [day]\n  windows: [hour]\n",
            &["the configuration file is no YAML: duplicate mapping key\n", "settings.yaml, line 3, column 3"],
        ),
        ("job: [1\n", &["the configuration file is no YAML", "line 1"]),
        ("time: {tick: 1m}\n---\ntime: {tick: 2m}\n", &["no YAML: a second document begins", "line 3"]),
        ("time.tick: 1m\n", &["settings.yaml:1", "do: write it as section `time` with the key `tick`"]),
        ("time:\n  tick: 30\n", &["do: write it like its default, tick: \"1m\""]),
        ("cluster:\n  secret: geheim\n  process: @\n", &["the configuration file is no YAML", "line 3, column 12"]),
        ("cluster:\n  secret: @geheim\n", &["the configuration file is no YAML", "line 2, column 11"]),
        ("cluster:\n  secret: {geheim: 1, geheim: 2}\n", &["no YAML: duplicate mapping key\n", "line 2, column 23"]),
        ("cluster:\n  secret: 1e9999\n", &["no YAML: no finite number\n", "line 2, column 11"]),
        ("kafka:\n  client: geheim\n", &["kafka.client is not shown: not a map", "settings.yaml:2"]),
        ("kafka:\n  schema_registry: [http://u:geheim@h]\n", &["kafka.schema_registry is not shown: not a string"]),
        ("a: &a [1,1]\nb: &b [*a,*a,*a]\nc: [*b,*b,*b]\n", &["unknown configuration key"]),
    ] {
        fs::write(settings, text).unwrap();
        let mut assert = orderwatch(&["-c", settings, "replay"]).assert().code(2);
        for message in messages {
            assert = assert.stderr(contains(*message));
        }
        assert.stderr(contains("geheim").or(contains("1e9999")).not());
    }
    fs::write(
        settings,
        "# a comment\njob:\n  windows:\n    - total\n  name: yaml\norders:\n  expect_payments: false\ntime:\n",
    )
    .unwrap();
    let input = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample");
    let checked = orderwatch(&["-c", settings, "check", input]).assert().success();
    checked.stdout(contains("configuration, yaml: every value is as it may be"));
}

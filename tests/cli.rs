//! The command line from outside: help names every flag, and wrong usage ends with code 2 and a message that says what
//! to do.

// A test that cannot read its data must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/broker.rs"]
mod broker;
#[path = "cli/check.rs"]
mod check;
#[path = "cli/layers.rs"]
mod layers;
#[path = "cli/live.rs"]
mod live;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use assert_cmd::Command;
use orderwatch::cli::Cli;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;

fn orderwatch(arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().args(arguments);
    command
}

/// Commands as the words that reach them, with their definitions.
fn commands() -> Vec<(Vec<String>, clap::Command)> {
    let mut root = Cli::definition();
    root.build();
    let mut found = Vec::new();
    let mut open = vec![(Vec::new(), root)];
    while let Some((words, command)) = open.pop() {
        for next in command.get_subcommands() {
            let mut words: Vec<String> = words.clone();
            words.push(next.get_name().to_owned());
            open.push((words, next.clone()));
        }
        found.push((words, command));
    }
    found
}

#[test]
fn help_mentions_and_explains_every_flag() {
    let mut flags = 0;
    for (words, command) in commands() {
        for help in ["--help", "-h"] {
            let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
            arguments.push(help);
            let output = orderwatch(&arguments).assert().success();
            let text = String::from_utf8_lossy(&output.get_output().stdout).into_owned();
            for argument in command.get_arguments() {
                if let Some(name) = argument.get_long() {
                    assert!(text.contains(&format!("--{name}")), "{words:?} {help}: --{name} is missing in\n{text}");
                    assert!(argument.get_help().is_some(), "{words:?}: --{name} has no help");
                    flags += 1;
                }
            }
            assert!(!text.contains('\u{1b}'), "control characters outside a terminal");
        }
    }
    assert!(flags > 60, "only {flags} flags seen");
}

#[test]
fn help_teaches_by_example_under_headings() {
    orderwatch(&["--help"]).assert().success().stdout(contains("Examples:").and(contains("orderwatch replay")));
    let mut help = orderwatch(&["replay", "--help"]).assert().success();
    for heading in ["Job:", "Cluster:", "Time:", "Orders:", "Input:", "Output:", "General:", "Examples:"] {
        help = help.stdout(contains(format!("\n{heading}\n")));
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    orderwatch(&["--version"]).assert().success().stdout(format!("orderwatch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_to_do() {
    for (arguments, message) in [
        (&["replay", "-w", "0"][..], "give 1 to 1024 threads (-w)"),
        (&["replay", "-w", "many"], "flag --workers"),
        (&["replay", "-n", "2", "-p", "2"], "give each process its own number (-p) from 0 to 1"),
        (&["replay", "-p", "1"], "say with -n how many processes there are"),
        (&["replay", "-n", "0"], "give 1 to 1024 processes (-n)"),
        (&["replay", "-n", "2", "--hostfile", "no/such"], "name a file with the host:port of each process"),
        (&["replay", "--tick", "0s"], "give at least 1ms"),
        (&["replay", "--grace", "5"], "as in 500ms, 90s, 15m, 36h or 7d"),
        (&["replay", "--windows", "week"], "choose of minute, hour, day, total"),
        (&["replay", "--max-age", "1d"], "raise it (--max-age) to at least 7d"),
        (&["replay", "--job", "a b"], "A-Z a-z 0-9"),
        (&["replay", "--plan", "fusd"], "fused"),
        (&["replay", "--transitions", "lax"], "possible values: lenient, strict"),
        (&["replay", "--until", "soon"], "`soon` is no time"),
        (&["replay", "--from", "2018-01-02", "--until", "2018-01-01"], "exchange the two"),
        (&["replay", "--limit", "0"], "--limit"),
        (&["replay", "--speed", "0"], "write max, or how many times faster"),
        (&["replay", "--sort-memory", "12"], "as in 256M or 2G"),
        (&["replay", "--sort-memory", "4K"], "give at least 1M"),
        (&["replay", "--as", "csv"], "possible values: olist, order-events, sales"),
        (&["replay", "-", "-"], "name `-` once"),
        (&["replay", "--checkpoint", ""], "a value is required for '--checkpoint <DIR|URL>'"),
        (&["run", "--checkpoint", ""], "a value is required for '--checkpoint <DIR|URL>'"),
        (&["replay", "--checkpoint", "x", "--checkpoint-interval", "0s"], "give at least 1ms"),
        (&["run", "--checkpoint-interval", "0s"], "give at least 1ms"),
        (&["replay", "--checkpoint-interval", "1s"], "add --checkpoint DIR"),
        (&["run", "--serve", ""], "a value is required for '--serve <ADDR>'"),
        (&["run", "--postgres", "db"], "flag --postgres"),
        (&["run", "--start", "soon"], "`soon` is no time"),
        (&["replay", "--produce", "b:1", "--sqlite", "x"], "cannot be used with"),
        (&["replay", "--produce", "b:1", "--checkpoint", "x"], "cannot be used with"),
        (&["check", "x.jsonl", "--kafka", "b:1"], "cannot be used with"),
        (&["replay", "-c", "no/such.toml"], "name a TOML or YAML file with -c"),
        (&["replay", "-v", "-q"], "cannot be used with"),
        (&["replay", "--wokers", "2"], "--workers"),
        (&["repaly"], "replay"),
        (&["generate", "olist"], "--to <DIR>"),
        (&["generate", "olist", "--to", "x", "--count", "0"], "--count"),
        (&["generate", "orders", "--to", "x.jsonl", "--count", "5", "--duration", "1s"], "cannot be used with"),
        (&["generate", "orders", "--to", "x.jsonl", "--duration", "1s"], "--rate <N>"),
        (&["generate", "olist", "--to", "-"], "name a directory; one that is called `-` is ./-"),
        (&["generate"], "Usage"),
        (&[], "Usage"),
    ] {
        orderwatch(arguments).assert().code(2).stdout("").stderr(contains(message));
    }
}

#[test]
fn the_environment_is_a_layer_below_flags() {
    let mut command = orderwatch(&["replay"]);
    let wrong = "environment variable ORDERWATCH__JOB__WORKERS";
    command.env("ORDERWATCH__JOB__WORKERS", "0").assert().code(2).stderr(contains(wrong));
    let mut command = orderwatch(&["replay", "-w", "-1"]);
    command.env("ORDERWATCH__JOB__WORKERS", "2").assert().code(2);
    let mut command = orderwatch(&["replay", "--workers=x"]);
    command.env("ORDERWATCH__JOB__WORKERS", "0").assert().code(2).stderr(contains("flag --workers"));
    let mut command = orderwatch(&["replay"]);
    command.env("ORDERWATCH__TIME", "5").assert().code(2).stderr(contains("`time` is a section"));
}

#[test]
fn what_is_no_text_in_the_environment_is_refused_where_it_is_ours() {
    let odd = OsStr::from_bytes(b"hunter\xFF");
    for command in [&["replay"][..], &["run"], &["topics", "list"], &["check"]] {
        let says = contains("a setting in the environment is not UTF-8").and(contains("ORDERWATCH__CLUSTER__SECRET"));
        let assert = orderwatch(command).env("ORDERWATCH__CLUSTER__SECRET", odd).assert().failure();
        let output = assert.get_output();
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(says.eval(&said) && !said.contains("hunter"), "{command:?}: {said}");
    }
    let mut ours = orderwatch(&["replay", "-w", "0"]);
    ours.env(OsStr::from_bytes(b"ORDERWATCH__\xFF"), "1").assert().code(2).stderr(contains("is not UTF-8"));
    let mut others = orderwatch(&["replay", "-w", "0"]);
    others.env(OsStr::from_bytes(b"OTHER\xFF"), odd).assert().code(2).stderr(contains("job.workers is 0"));
}

#[test]
fn each_v_makes_the_log_say_more() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample");
    let lines = |verbose: &str| {
        let assert = orderwatch(&["replay", sample, "--no-console", verbose]).assert().success();
        String::from_utf8_lossy(&assert.get_output().stderr).lines().count()
    };
    let lines = ["-q", "-v", "-vv", "-vvv"].map(lines);
    assert!(lines[0] == 0 && lines.is_sorted_by(|less, more| less < more), "{lines:?}");
}

#[test]
fn totals_that_are_not_kept_are_said_to_be_left_out() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample");
    let left_out = || contains("Funnel\n  left out: the window `total` is not kept (--windows)\n\n");
    orderwatch(&["replay", sample, "--windows", "hour"]).assert().success().stdout(left_out());
    orderwatch(&["replay", sample, "--windows", "total"]).assert().success().stdout(left_out().not());
}

#[test]
fn errors_are_coloured_only_when_asked() {
    orderwatch(&["replay", "-w", "0"]).assert().stderr(contains("\u{1b}").not());
    orderwatch(&["replay", "-w", "0", "--color", "always"]).assert().stderr(contains("\u{1b}"));
    let mut never = orderwatch(&["replay", "-w", "0", "--color", "never"]);
    never.assert().stderr(predicates::str::starts_with("error: job.workers is 0"));
}

#[test]
fn a_log_in_json_says_how_the_program_ends() {
    let message = |arguments: &[&str]| {
        let assert = orderwatch(&[arguments, &["--log-format", "json"]].concat()).assert().failure().stdout("");
        let stderr = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
        let lines: Vec<Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [line] = lines.as_slice() else { panic!("{stderr}") };
        assert!(line["timestamp"].as_str().is_some_and(|timestamp| timestamp.ends_with('Z')), "{line}");
        let [level, target] = ["level", "target"].map(|name| line[name].as_str().unwrap());
        assert_eq!((level, target), ("ERROR", "orderwatch::outcome"));
        line["fields"]["message"].as_str().unwrap().to_owned()
    };
    let missing = "cannot open the input: No such file or directory (os error 2)\n  where: no/such.jsonl\n  do: ";
    for quiet in [&[] as &[&str], &["-q"]] {
        assert!(message(&[&["replay", "no/such.jsonl"][..], quiet].concat()).starts_with(missing), "{quiet:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let unopened = message(&["replay", "--log-file", folder.path().to_str().unwrap()]);
    assert!(unopened.starts_with("cannot open the log file"), "{unopened}");
}

#[test]
fn control_characters_of_inputs_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for (name, header) in [
        ("orders", "order_id,order_status,order_purchase_timestamp,\u{1b}[31mX,\u{1b}[31mX"),
        ("order_items", "order_id,order_item_id,price,freight_value"),
        ("order_payments", "order_id,payment_sequential,payment_type,payment_value"),
    ] {
        fs::write(folder.path().join(format!("olist_{name}_dataset.csv")), format!("{header}\n")).unwrap();
    }
    let shown = contains("error: the header has the column `\\x1B[31mX` twice\n  where: ");
    let mut replay = orderwatch(&["replay", folder.path().to_str().unwrap()]);
    replay.assert().code(1).stderr(shown.and(contains("\u{1b}").not()));
}

#[test]
fn a_wrong_rule_names_its_line_and_where_rules_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.toml");
    fs::write(&rules, "[[rule]]\nsla = \"delivery\"\nwithin = \"9d\"\nvalid_from = 2024-03-10T00:00:60Z\n").unwrap();
    let says = contains("minutes and seconds to 59").and(contains("rules.toml, line 4")).and(contains("README.md"));
    orderwatch(&["replay", "--sla-rules", rules.to_str().unwrap()]).assert().code(2).stderr(says);
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("\n## SLA rules\n"));
}

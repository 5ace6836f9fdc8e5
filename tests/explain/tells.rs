//! What a person is told: the answer first, the arithmetic, what late facts changed, and what to do where there is no
//! such order.

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::contains;
use serde_json::Value;
use tempfile::TempDir;

const LIVES: &str = r#"{"order_id":"A-1","event_type":"ORDER_PLACED","timestamp":"2024-03-01T09:00:00Z","customer_id":"c1","item_name":"Jeans","quantity":2,"price":"79.99"}
{"order_id":"A-1","event_type":"PAYMENT_RECEIVED","payment_seq":1,"payment_type":"credit_card","value":"159.98","timestamp":"2024-03-01T09:00:05Z"}
{"order_id":"A-1","event_type":"PAYMENT_RECEIVED","payment_seq":1,"payment_type":"voucher","value":"1.00","timestamp":"2024-03-01T09:30:00Z"}
{"order_id":"A-1","event_type":"ORDER_HELD","timestamp":"2024-03-01T21:00:00Z"}
{"order_id":"A-1","event_type":"ORDER_RELEASED","timestamp":"2024-03-02T09:00:00Z"}
{"order_id":"A-1","event_type":"PROCESSING_STARTED","timestamp":"2024-03-02T11:00:00Z"}
{"order_id":"A-1","event_type":"PROCESSING_STARTED","timestamp":"2024-03-02T11:00:00Z"}
{"order_id":"A-1","event_type":"ITEM_DELIVERED","timestamp":"2024-03-10T23:00:00Z"}
{"order_id":"A-1","event_type":"ITEM_LOST","timestamp":"yesterday"}
{"order_id":"A-2","event_type":"ORDER_PLACED","timestamp":"2024-03-09T09:00:00Z"}
{"order_id":"A-2","tenant":"acme","event_type":"ORDER_PLACED","timestamp":"2024-03-09T09:00:00Z"}
{"order_id":"A-3","event_type":"ORDER_PLACED","timestamp":"2024-03-01T09:00:00Z"}
{"order_id":"A-3","event_type":"PROCESSING_STARTED","timestamp":"2024-03-04T09:00:00Z"}
{"order_id":"A-3","event_type":"ITEM_SHIPPED","timestamp":"2024-03-01T12:00:00Z"}
{"order_id":"A-4","event_type":"ORDER_PLACED","timestamp":"2024-03-01T09:00:00Z"}
{"order_id":"A-4","event_type":"ORDER_CANCELLED","timestamp":"2024-03-01T10:30:00Z"}
"#;

fn explain(arguments: &[&str], lines: &str) -> (TempDir, Command) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("lives.jsonl"), lines).unwrap();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().current_dir(folder.path()).arg("explain").args(arguments);
    command.args(["--input", "lives.jsonl"]);
    (folder, command)
}

fn shown(arguments: &[&str]) -> String {
    shown_of(arguments, LIVES)
}

fn shown_of(arguments: &[&str], lines: &str) -> String {
    let (_folder, mut command) = explain(arguments, lines);
    String::from_utf8(command.assert().success().stderr("").get_output().stdout.clone()).unwrap()
}

#[test]
fn a_late_order_is_answered_in_a_sentence_and_proved_line_by_line() {
    let text = shown(&["A-1"]);
    let answer = "Order A-1 was delivered late: delivery was promised by 2024-03-08 21:00:00 UTC; it was delivered at \
                  2024-03-10 23:00:00 UTC, 2 d 2 h later. Shipping was 5 d 12 h late. One record of it was refused. \
                  One record of it was overruled by another one.";
    assert_eq!(text.lines().next(), Some(answer));
    for line in [
        "  2024-03-01 09:00:00      ORDER_PLACED        as it should",
        "                           status ORDER, lives.jsonl:1",
        "  2024-03-10 23:00:00      ITEM_DELIVERED      skipped_stage: a stage before it is missing",
        "  item 1: 2 × Jeans at 79.99, freight 0.00  (lives.jsonl:1)",
        "  payment 1: 159.98 by credit_card  (lives.jsonl:2)",
        "  processing: kept, 10 h before it was due",
        "    2024-03-01 09:00:00 UTC + 24 h + 12 h on hold = 2024-03-02 21:00:00 UTC",
        "  delivery: broken, done 2 d 2 h late",
        "    rule: within 7 d, for all orders: decides",
        "    bad_timestamp:timestamp: a time is not written in a form that is known, or lies before 1970",
        "    unknown_event_type: its event type is none that is known",
        "  payment 1: 1.00 by voucher  (lives.jsonl:3)",
        "    counts instead: payment 1: 159.98 by credit_card  (lives.jsonl:2): that one happened earlier",
        "  PROCESSING_STARTED at 2024-03-02 11:00:00 UTC  (lives.jsonl:7): the same as lives.jsonl:6",
    ] {
        assert!(text.lines().any(|shown| shown == line), "lacks `{line}`:\n{text}");
    }
    assert!(!text.contains('\u{1b}'));
}

#[test]
fn a_late_fact_says_what_it_changed() {
    let lines = r#"{"order_id":"A-3","event_type":"ORDER_PLACED","timestamp":"2024-03-01T09:00:00Z"}
{"order_id":"A-3","event_type":"PROCESSING_STARTED","timestamp":"2024-03-04T09:00:00Z"}
{"order_id":"A-1","event_type":"ITEM_DELIVERED","timestamp":"2024-03-10T23:00:00Z"}
{"order_id":"A-3","event_type":"ITEM_SHIPPED","timestamp":"2024-03-01T12:00:00Z"}
"#;
    let text = shown_of(&["A-3", "--arrival-order"], lines);
    let late = "  ITEM_SHIPPED at 2024-03-01 12:00:00 UTC  came at 2024-03-10 23:00:00 (lives.jsonl:4)";
    let changed =
        "    orders: shipped_at: none -> 2024-03-01T12:00:00.000Z, status: PROCESSING -> SHIPPED, violations: 0 -> 2";
    // Shipped within a day of placement: processing was reached in time.
    for line in [late, changed, "    sla_breaches processing: withdrawn", "    sla_breaches shipping: withdrawn"] {
        assert!(text.lines().any(|shown| shown == line), "lacks `{line}`:\n{text}");
    }
    assert!(!shown_of(&["A-3"], lines).contains("came at"), "in the order of time nothing is late");
}

#[test]
fn every_kind_of_answer_reads_well() {
    for (arguments, answer) in [
        (&["A-4"][..], "Order A-4 was cancelled at 2024-03-01 10:30:00 UTC, 1 h 30 min after it was placed."),
        (
            &["A-3", "--until", "2024-03-03"],
            "Order A-3 is with the carrier: delivery is promised by 2024-03-08 09:00:00 UTC, 5 d 9 h after the end of what is \
             known, 2024-03-03 00:00:00 UTC.",
        ),
        (
            &["A-1", "--until", "2024-03-02 00:00:00"],
            "Order A-1 is placed and waits to be processed, on hold since 2024-03-01 21:00:00 UTC: its deadlines stand still. \
             One record of it was refused. One record of it was overruled by another one.",
        ),
        (
            &["A-2", "--tenant", "acme"],
            "Order A-2 is late: processing was promised by 2024-03-10 09:00:00 UTC; at 2024-03-10 23:00:00 UTC, 14 h later, it \
             has not been processed, and is placed and waits to be processed.",
        ),
    ] {
        assert_eq!(shown(arguments).lines().next(), Some(answer), "{arguments:?}");
    }
}

#[test]
fn json_says_the_same_under_stable_names() {
    let report: Value = serde_json::from_str(&shown(&["A-1", "--output", "json"])).unwrap();
    assert_eq!(report["order"]["status"], "DELIVERED");
    assert_eq!(report["order"]["paid_value"], "159.98");
    assert_eq!(report["events"][0]["position"], "lives.jsonl:1");
    assert_eq!(report["slas"][0]["holds_skipped"][0]["skipped_seconds"], 43_200.0);
    assert_eq!(report["slas"][2]["spare_seconds"], -180_000.0);
    assert_eq!(report["breaches"][0]["overdue_seconds"], 180_000);
    assert_eq!(report["conflicts"][0]["counts_instead_position"], "lives.jsonl:2");
    assert_eq!(report["duplicates"][0]["same_as"], "lives.jsonl:6");
    assert_eq!(report["refused"][1]["reasons"][0], "conflicting_duplicate");
    assert_eq!(report["as_of"], "2024-03-10T23:00:00.000Z");
}

#[test]
fn an_order_that_is_not_there_or_there_twice_ends_with_what_to_do() {
    for (arguments, code, message) in [
        (&["A-9"][..], 1, "there is no order `A-9` in these inputs\n  do: did you mean `A-1` or "),
        (&["unlike"], 1, "check the id and --input"),
        (
            &["A-2"],
            2,
            "order `A-2` exists for several tenants: `acme`, `default`\n  do: name one of them with --tenant",
        ),
        (
            &["A-2", "--tenant", "zeta"],
            1,
            "there is no order `A-2` of tenant `zeta` in these inputs\n  do: it exists for `acme`",
        ),
    ] {
        let (_folder, mut command) = explain(arguments, LIVES);
        command.assert().code(code).stdout("").stderr(contains(message).and(contains("error: ")));
    }
}

#[test]
fn files_of_one_name_are_told_apart() {
    let lines: Vec<&str> = LIVES.lines().collect();
    let (folder, mut command) = explain(&["A-1", "--input", "./b/lives.jsonl", "--input", "other.jsonl"], lines[0]);
    std::fs::create_dir(folder.path().join("b")).unwrap();
    std::fs::write(folder.path().join("b/lives.jsonl"), [lines[1], lines[8], lines[2]].join("\n")).unwrap();
    std::fs::write(folder.path().join("other.jsonl"), lines[3]).unwrap();
    let text = String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap();
    for said in [
        ", lives.jsonl:1\n",
        ", other.jsonl:1\n",
        "payment 1: 159.98 by credit_card  (./b/lives.jsonl:1)\n",
        "payment 1: 1.00 by voucher  (./b/lives.jsonl:3)\n",
        "counts instead: payment 1: 159.98 by credit_card  (./b/lives.jsonl:1)",
        "  (./b/lives.jsonl:2)\n    bad_timestamp:timestamp:",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
}

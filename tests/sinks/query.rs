//! `orderwatch query`: the same answer from every store, and what it cannot answer is said.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::agree::written;
use super::inputs::sample;
use super::outcome::{Place, assert_failed};
use super::refused::placed;
use super::run::{Ended, replay, run};

fn query(results: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    run(command.env_clear().args(["query", arguments[0]]).arg(results).args(&arguments[1..]))
}

fn json(results: &Path, arguments: &[&str]) -> Vec<Value> {
    let ended = query(results, &[arguments, &["--output", "json"]].concat());
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

#[test]
fn every_store_gives_the_same_answer() {
    let sample = sample();
    let written = written(sample.parent().unwrap(), &["sample"]);
    let order = json(&written.sqlite, &["breaches", "--limit", "1"])[0]["order_id"].as_str().unwrap().to_owned();
    for arguments in [
        &["latest"][..],
        &["latest", "--order", &order],
        &["latest", "--limit", "5000", "--status", "delivered"],
        &["breaches", "--limit", "3"],
        &["breaches", "--open", "--tenant", "default"],
        &["breaches", "--order", &order, "--status", "processing"],
        &["funnel"],
        &["funnel", "--window", "hour", "--tenant", "*"],
        &["gmv", "--window", "day", "--limit", "2"],
        &["payments", "--window", "minute"],
        &["orders", "--status", "SHIPPED"],
        &["orders", "--order", &order],
    ] {
        let rows = json(&written.sqlite, arguments);
        assert!(!rows.is_empty(), "{arguments:?}");
        for store in [&written.csv, &written.jsonl, &written.parquet] {
            assert_eq!(json(store, arguments), rows, "{arguments:?} of {}", store.display());
        }
        let shown = query(&written.sqlite, arguments).stdout;
        assert_eq!(shown.lines().count(), rows.len() + 3, "a title, a header, the rows, an empty line:\n{shown}");
    }
    let latest = json(&written.sqlite, &["latest", "--limit", "50"]);
    assert!(latest.is_sorted_by(|one, other| one["at"].as_str() >= other["at"].as_str()));
    let open = json(&written.sqlite, &["breaches", "--open"]);
    assert!(open.iter().all(|breach| breach["resolved_at"].is_null() && breach["message"].is_string()));
    let types = &json(&written.sqlite, &["orders", "--limit", "1"])[0];
    assert!(types["items"].is_number() && types["item_value"].is_string());
    assert!(latest[0]["sla_breach"].is_boolean());
    assert!(json(&written.csv, &["orders", "--tenant", "nobody"]).is_empty());
    assert!(query(&written.csv, &["orders", "--tenant", "nobody"]).stdout.contains("none"));
    let beside = written.sqlite.parent().unwrap().read_dir().unwrap().count();
    assert_eq!(beside, 4, "something is left beside the SQLite file");
    // Of an earlier run in another format the later one counts.
    std::fs::write(written.parquet.join("orders.jsonl"), "").unwrap();
    assert!(json(&written.parquet, &["orders"]).is_empty());
}

#[test]
fn a_damaged_parquet_file_is_told_and_nothing_else() {
    let place = Place::new();
    place.write("x.jsonl", (0..50).map(|number| placed(&format!("o{number}"))).collect::<String>());
    let ended = run(replay(&["x.jsonl", "--out", "out", "--format", "parquet"]).current_dir(place.folder.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (path, results) = (place.path("out/orders.parquet"), place.path("out"));
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(json(&results, &["orders", "--limit", "99"]).len(), 50);
    let asked = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        query(&results, &["orders"])
    };
    let says = ["cannot read the results: ", "orders.parquet", "replay again"];
    for length in (0..whole.len()).step_by(whole.len() / 25) {
        assert_failed(&asked(&whole[..length]), 1, &says);
    }
    let mut refused = 0;
    for place in (0..whole.len()).step_by(whole.len() / 150) {
        let mut damaged = whole.clone();
        damaged[place] = !damaged[place];
        let ended = asked(&damaged);
        // A value may be another one now, and statistics are not read.
        if ended.code != Some(0) {
            assert_failed(&ended, 1, &says);
            refused += 1;
        }
    }
    assert!(refused > 20, "only {refused} of 150 were noticed");
    std::fs::copy(place.path("out/stalled_orders.parquet"), &path).unwrap();
    assert_failed(&query(&results, &["orders"]), 1, &["its columns are not those", "orders.parquet"]);
}

#[test]
fn what_cannot_be_answered_is_said() {
    let place = Place::new();
    place.write("diary", "dear diary");
    place.write("out/orders.csv", "order_id,tenant\n");
    place.write("lines/orders.jsonl", "{\"order_id\":\"a\"}\n{");
    std::fs::create_dir(place.path("pipes")).unwrap();
    assert!(Command::new("mkfifo").arg(place.path("pipes/orders.csv")).status().unwrap().success());
    for (results, says) in [
        ("none", "there are no results"),
        ("diary", "the file is no SQLite file"),
        (".", "the directory has no orders.csv"),
        ("out", "its columns are not those"),
        ("lines", "cannot read the results"),
        ("pipes", "the file is no regular file"),
    ] {
        assert_failed(&query(&place.path(results), &["orders"]), 1, &[says]);
    }
    for arguments in [&["orders", "--window", "hour"][..], &["funnel", "--order", "a"], &["gmv", "--open"]] {
        assert_failed(&query(&place.path("none"), arguments), 2, &["chooses nothing here", arguments[1]]);
    }
}

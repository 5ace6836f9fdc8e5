//! Explanations against the files of a replay of the same inputs: every row of every order asked for, in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Parser;
use dataflows::model::Text;
use orderwatch::cli::{Cli, Command, OutputFormat};
use orderwatch::config;
use orderwatch::console::Style;
use orderwatch::explain::gather::gather;
use orderwatch::explain::report::{LifeReport, Object, Report, Reporter};
use orderwatch::{replay, rules};
use serde_json::Value;

use super::inputs::{dirty, shared};

type Row = BTreeMap<String, String>;

fn rows(out: &Path, collection: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(out.join(format!("{collection}.csv"))).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The columns of `like` in an object of the report, as the file shows them.
fn as_in_file(object: &Object, like: &[&str]) -> Row {
    like.iter().map(|column| ((*column).to_owned(), object.get(*column).map(cell).unwrap())).collect()
}

/// What the report says of a collection; of rows with one key those of the later life stand.
fn told<'r>(report: &'r Report, key: &[&str], of: impl Fn(&'r LifeReport) -> Vec<&'r Object>) -> Vec<&'r Object> {
    let mut told = BTreeMap::new();
    for life in report.earlier_lives.iter().chain(&report.life) {
        for object in of(life) {
            told.insert(key.iter().map(|column| cell(&object[*column])).collect::<Vec<_>>(), object);
        }
    }
    told.into_values().collect()
}

/// What was compared, so that a test cannot pass by comparing nothing.
#[derive(Debug, Default)]
struct Compared {
    orders: usize,
    breaches: usize,
    violations: usize,
    stalled: usize,
    refused: usize,
    duplicates: usize,
    earlier_lives: usize,
    corrections: usize,
    changes: usize,
}

/// Replays into files and explains about `wanted` orders of them, and those that dead letters name.
fn compare(arguments: &[&str], wanted: usize) -> Compared {
    let folder = shared("").unwrap();
    std::env::set_current_dir(&folder).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let out = temporary.path().join("out");
    let command = [&["orderwatch", "replay", "--no-console", "--out", out.to_str().unwrap()], arguments].concat();
    let Command::Replay(replay) = Cli::try_parse_from(command).unwrap().command else { unreachable!() };
    let read_rules = |path: &Path| Ok(rules::parse(&std::fs::read_to_string(path).unwrap()).unwrap());
    let config = config::load(config::Kind::Bounded, None, [], &replay.job.layer(), read_rules).unwrap();
    replay::run(&config, &replay.options, OutputFormat::Text, Style::PLAIN).unwrap();

    let orders = rows(&out, "orders");
    let ids: BTreeSet<&str> = orders.iter().map(|order| order["order_id"].as_str()).collect();
    let step = (ids.len() / wanted).max(1);
    let asked: Vec<Text> = ids.iter().step_by(step).map(|id| Text::new(id)).collect();
    let job = replay::prepare(&config, &replay.options).unwrap();
    let gathered = gather(&job, &asked, |_| {}).unwrap();
    let law = Rc::new(job.law.clone());
    let reporter = Reporter { law: &law, inputs: &job.inputs, end: gathered.end };
    let reports: Vec<Report> =
        gathered.orders.into_iter().map(|(order, story)| reporter.report(&order, story)).collect();

    let mut compared = Compared::default();
    let is_asked = |row: &Row| asked.contains(&Text::new(&row["order_id"]));
    let collection = |name: &str, key: &[&str], of: fn(&LifeReport) -> Vec<&Object>| {
        let in_files: BTreeSet<Row> = rows(&out, name).into_iter().filter(is_asked).collect();
        let columns: Vec<String> = in_files.first().map(|row| row.keys().cloned().collect()).unwrap_or_default();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        let told = reports.iter().flat_map(|report| told(report, key, of));
        let told: BTreeSet<Row> = told.map(|object| as_in_file(object, &columns)).collect();
        let difference: Vec<_> = in_files.symmetric_difference(&told).take(4).collect();
        assert!(difference.is_empty(), "{arguments:?} {name}: {difference:#?}");
        told.len()
    };
    compared.orders = collection("orders", &[], |life| vec![&life.order]);
    collection("order_events", &["at", "event_type", "event_id"], |life| life.events.iter().collect());
    compared.violations =
        collection("violations", &["at", "event_type", "event_id"], |life| life.violations.iter().collect());
    compared.breaches = collection("sla_breaches", &["sla"], |life| life.breaches.iter().collect());
    compared.stalled = collection("stalled_orders", &[], |life| life.stalled.iter().collect());

    let letters = rows(&out, "dead_letters");
    let letters: BTreeMap<(&str, &str), (&str, &str)> =
        letters.iter().map(|row| ((&*row["source"], &*row["position"]), (&*row["reasons"], &*row["raw"]))).collect();
    let mut explained = BTreeSet::new();
    for report in &reports {
        for refused in &report.refused {
            let key = (refused.source.as_str(), refused.position.as_str());
            assert_eq!(letters[&key], (refused.reasons.join(";").as_str(), refused.raw.as_str()), "{key:?}");
            assert!(refused.meanings.iter().all(|meaning| !meaning.is_empty()), "{refused:?}");
            explained.insert(key);
        }
        for sla in report.life.iter().flat_map(|life| &life.slas) {
            let breach = report.life.iter().flat_map(|life| &life.breaches).find(|row| cell(&row["sla"]) == sla.sla);
            let is_breach = ["met_late", "breached_open", "breached_cancelled"].contains(&sla.outcome);
            assert_eq!(breach.is_some(), is_breach, "{} {sla:?}", report.order_id);
            if let Some(breach) = breach {
                assert_eq!(sla.deadline_at.as_deref(), breach["deadline_at"].as_str());
                assert_eq!(sla.started_at.as_deref(), breach["started_at"].as_str());
            }
            let decides = sla.rules.iter().filter(|rule| rule["decides"] == true).count();
            assert!(decides > 0 || sla.outcome == "not_started", "{} {sla:?}", report.order_id);
        }
        compared.earlier_lives += report.earlier_lives.len();
        compared.duplicates += report.duplicates.len();
        compared.corrections += report.corrections.len();
        compared.changes += report.corrections.iter().map(|correction| correction.changes.len()).sum::<usize>();
    }
    compared.refused = explained.len();
    if step == 1 {
        // All orders were asked for: every fact that was refused after decoding and every copy belongs to one of them.
        let facts = letters.iter().filter(|(_, (_, raw))| raw.starts_with("[{"));
        let missing: Vec<_> = facts.filter(|(key, _)| !explained.contains(*key)).take(4).collect();
        assert!(missing.is_empty(), "{arguments:?}: not explained: {missing:?}");
        let copies: usize =
            rows(&out, "data_quality_metrics").iter().map(|row| row["duplicates"].parse::<usize>().unwrap()).sum();
        assert_eq!(compared.duplicates, copies, "{arguments:?}");
    }
    compared
}

const NASTY: &[&str] =
    &["data/nasty/nasty.jsonl", "--sla-rules", "data/nasty/sla-rules.toml", "--grace", "6h", "--max-age", "22d"];

/// One test, because inputs are named from the shared folder, which becomes the working directory.
#[test]
fn explanations_agree_with_the_files_for_every_order() {
    if shared("data/events").is_none() || shared("data/olist").is_none() {
        return;
    }
    let events = "data/events/events.jsonl.gz";
    let rules = ["--sla-rules", "data/events/sla-rules.toml", "--grace", "6h", "--until", "2024-03-21T00:00:00Z"];
    let compared = compare(&[&[events][..], &rules].concat(), 300);
    assert!(compared.orders >= 300 && compared.breaches > 100, "{compared:?}");
    let compared = compare(&[events, "--retention", "2d", "--transitions", "strict"], 300);
    assert!(compared.orders >= 300 && compared.violations > 20 && compared.refused > 0, "{compared:?}");
    let compared = compare(&[events, "--arrival-order", "--out-of-orderness", "10m"], 200);
    assert!(compared.corrections > 30 && compared.changes > 30, "{compared:?}");

    let compared = compare(&[NASTY, &["--retention", "60h"]].concat(), usize::MAX);
    assert!(compared.orders > 40 && compared.refused > 500 && compared.duplicates > 100, "{compared:?}");
    let compared = compare(&[NASTY, &["--retention", "12h", "--horizon", "1d"]].concat(), usize::MAX);
    assert!(compared.earlier_lives > 10, "{compared:?}");
    let compared = compare(&[NASTY, &["--retention", "60h", "--arrival-order"]].concat(), usize::MAX);
    assert!(compared.corrections > 100 && compared.changes > 100, "{compared:?}");

    let compared = compare(&["data/olist"], 300);
    assert!(compared.orders >= 300 && compared.breaches > 100, "{compared:?}");
    let temporary = tempfile::tempdir().unwrap();
    if let Some(directory) = dirty(1, temporary.path()) {
        let directory: PathBuf = directory;
        let compared = compare(&[directory.to_str().unwrap(), events, "--max-age", "30d"], 400);
        assert!(compared.orders >= 400 && compared.stalled > 10, "{compared:?}");
    }
}

//! The reference against the goldens of an independent implementation, where the shared folder is at hand.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use dataflows::model::{Fact, Position, Rules, Sla, SlaRule, Text, Within};
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{Time, Window};

use super::event_reader::{self, time};
use super::law::{Answer, Arrival, answer};
use super::olist_reader;
use super::run::lacks;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

/// The defaults of the text.
fn defaults() -> Settings {
    Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: 60_000,
        abandon_after_ms: DAY,
        expect_payments: true,
        retention_ms: 30 * DAY,
        max_age_ms: 365 * DAY,
        horizon_ms: 365 * DAY,
        windows: Window::ALL.to_vec(),
    }
}

fn strict() -> Settings {
    Settings { transitions: Transitions::Strict, ..defaults() }
}

/// The folder of data and goldens beside the work tree; none on other machines.
fn shared() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    if !path.exists() {
        lacks("../shared");
        return None;
    }
    Some(path)
}

fn unzipped(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

type Row = Vec<String>;

fn golden(set: &Path, collection: &str) -> Vec<Row> {
    let bytes = unzipped(&set.join(format!("{collection}.csv.gz")));
    csv::Reader::from_reader(bytes.as_slice()).deserialize().map(|row| row.unwrap()).collect()
}

/// Bounded replay: input is in order of `at`, so t = at.
fn replayed(facts: impl IntoIterator<Item = (u64, Fact)>) -> Vec<Arrival> {
    let arrival =
        |(line, fact): (u64, Fact)| Arrival { t: fact.at, too_late: false, position: Position::new(0, line), fact };
    facts.into_iter().map(arrival).collect()
}

fn olist(shared: &Path) -> Vec<Arrival> {
    replayed((1..).zip(olist_reader::facts(&shared.join("data/olist"))))
}

/// The facts of the lines that `set` does not call broken.
fn events(text: &[u8], set: &Path) -> Vec<Arrival> {
    let mut broken = BTreeSet::new();
    for row in golden(set, "dead_letters") {
        if !row[1].contains("order_retired") && !row[1].contains("too_late") {
            broken.insert(row[0].rsplit(':').next().unwrap().parse::<u64>().unwrap());
        }
    }
    let mut facts = Vec::new();
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        if !line.trim_ascii().is_empty() && !broken.contains(&number) {
            let line = str::from_utf8(line).unwrap();
            facts.extend(event_reader::facts(line).into_iter().map(|fact| (number, fact)));
        }
    }
    replayed(facts)
}

fn rules(path: &Path) -> Rules {
    let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    let rule = |rule: &toml::Value| {
        let text = |name: &str| rule.get(name).and_then(toml::Value::as_str);
        let within = text("within").unwrap();
        let units = [("s", 1000), ("m", 60_000), ("h", HOUR), ("d", DAY)];
        let allowed =
            units.into_iter().find_map(|(unit, ms)| Some(within.strip_suffix(unit)?.parse::<u64>().ok()? * ms));
        SlaRule {
            sla: Sla::ALL.into_iter().find(|sla| text("sla") == Some(sla.name())).unwrap(),
            within: allowed.map_or(Within::Off, Within::Allowed),
            tenant: text("tenant").map(Text::new),
            category: text("category").map(Text::new),
            valid_from: rule.get("valid_from").map(|from| time(&from.to_string().into()).unwrap()),
            applies_to_open: text("apply") == Some("open"),
        }
    };
    Rules::with(table["rule"].as_array().unwrap().iter().map(rule))
}

/// Compares all collections but dead letters, of which only the facts refused for the order's retirement.
fn compare(answer: &Answer, set: &Path, named: &str) {
    let mut differences = Vec::new();
    for (collection, rows) in answer.tables.iter().filter(|(collection, _)| **collection != "refusals") {
        let expected = golden(set, collection);
        if *rows == expected {
            eprintln!("{collection}: {} rows equal", rows.len());
            continue;
        }
        let (have, want): (BTreeSet<_>, BTreeSet<_>) = (rows.iter().collect(), expected.iter().collect());
        differences.push(format!("{collection}: {} rows, want {}", rows.len(), expected.len()));
        differences.extend(have.difference(&want).take(4).map(|row| format!("   not wanted: {}", row.join(","))));
        differences.extend(want.difference(&have).take(4).map(|row| format!("   lacking: {}", row.join(","))));
    }

    let retired = |reasons: &str| reasons.contains("order_retired") || reasons.contains("too_late");
    let mut have: BTreeMap<String, String> = BTreeMap::new();
    for row in answer.tables["refusals"].iter().filter(|row| retired(&row[1])) {
        have.insert(format!("{named}:{}", Position(row[0].parse().unwrap()).line()), row[1].clone());
    }
    let want = golden(set, "dead_letters").into_iter().filter(|row| retired(&row[1]));
    let want: BTreeMap<String, String> = want.map(|row| (row[0].clone(), row[1].clone())).collect();
    if have != want {
        differences.push(format!("dead_letters: {} retired records, want {}", have.len(), want.len()));
        differences.extend(
            have.iter()
                .filter(|(key, _)| !want.contains_key(*key))
                .take(4)
                .map(|row| format!("   not wanted: {row:?}")),
        );
        differences.extend(
            want.iter().filter(|(key, _)| !have.contains_key(*key)).take(4).map(|row| format!("   lacking: {row:?}")),
        );
    }
    eprintln!("accepted {} duplicates {} refused {}", answer.accepted, answer.duplicates, answer.refused);
    assert!(differences.is_empty(), "{}:\n{}", set.display(), differences.join("\n"));
}

fn olist_golden(set: &str, settings: &Settings, until: Option<Time>) {
    let Some(shared) = shared() else { return };
    let answer = answer(&olist(&shared), &Rules::default(), settings, until);
    compare(&answer, &shared.join("golden").join(set), "");
}

fn events_golden(set: &str, settings: &Settings, rules_file: Option<&str>, until: Option<Time>) {
    let Some(shared) = shared() else { return };
    let set = shared.join("golden").join(set);
    let arrivals = events(&unzipped(&shared.join("data/events/events.jsonl.gz")), &set);
    let rules = rules_file.map_or_else(Rules::default, |file| rules(&shared.join("data/events").join(file)));
    compare(&answer(&arrivals, &rules, settings, until), &set, "events.jsonl.gz");
}

fn nasty_golden(set: &str, settings: Settings) {
    let Some(shared) = shared() else { return };
    let set = shared.join("golden").join(set);
    let arrivals = events(&std::fs::read(shared.join("data/nasty/nasty.jsonl")).unwrap(), &set);
    let settings = Settings { grace_ms: 6 * HOUR, retention_ms: 60 * HOUR, max_age_ms: 22 * DAY, ..settings };
    let rules = rules(&shared.join("data/nasty/sla-rules.toml"));
    compare(&answer(&arrivals, &rules, &settings, None), &set, "nasty.jsonl");
}

#[test]
fn olist_as_recorded() {
    olist_golden("olist", &defaults(), None);
}

#[test]
fn olist_strict() {
    olist_golden("olist-strict", &strict(), None);
}

#[test]
fn olist_until_2018() {
    olist_golden("olist-until-2018-01-01", &defaults(), time(&"2018-01-01T00:00:00Z".into()));
}

#[test]
fn events_as_recorded() {
    events_golden("events", &defaults(), None, None);
}

#[test]
fn events_strict() {
    events_golden("events-strict", &strict(), None, None);
}

#[test]
fn events_with_rules() {
    let settings = Settings { grace_ms: 6 * HOUR, ..defaults() };
    events_golden("events-rules", &settings, Some("sla-rules.toml"), time(&"2024-03-21T00:00:00Z".into()));
}

#[test]
fn events_with_short_retention() {
    let settings = Settings { retention_ms: 2 * DAY, ..defaults() };
    events_golden("events-retention-2d", &settings, None, None);
}

#[test]
fn nasty() {
    nasty_golden("nasty", defaults());
}

#[test]
fn nasty_strict() {
    nasty_golden("nasty-strict", strict());
}

#[test]
fn olist_and_events_together() {
    let Some(shared) = shared() else { return };
    let set = shared.join("golden/olist-and-events");
    let mut arrivals = olist(&shared);
    arrivals.extend(events(&unzipped(&shared.join("data/events/events.jsonl.gz")), &set));
    compare(&answer(&arrivals, &Rules::default(), &defaults(), None), &set, "events.jsonl.gz");
}

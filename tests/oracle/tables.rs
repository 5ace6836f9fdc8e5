//! What was gathered, as the reference's tables of text: by the job's own results, through a sink that collects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use dataflows::orders::Detail;
use dataflows::orders::outlook::Law;
use dataflows::time::{Diff, Time};
use dataflows::views::collection::{Collection, Row};
use dataflows::views::dead_letters::RefusedFact;
use orderwatch::error::JobResult;
use orderwatch::gathered;
use orderwatch::results::Results;
use orderwatch::sink::text_row::TextRow;
use orderwatch::sink::{Sink, Writer};

use super::harness::Gathered;
use super::law::Answer;

pub type Cells = Vec<String>;
pub type Tables = BTreeMap<&'static str, Vec<Cells>>;

/// Collections that change at exact times; the others change at ticks.
pub const ROW_COLLECTIONS: [&str; 6] =
    ["orders", "order_events", "violations", "sla_breaches", "stalled_orders", "refusals"];

/// Results as text.
#[derive(Debug)]
pub struct Outcome {
    pub tables: Tables,
    pub accepted: u64,
    pub duplicates: u64,
    pub refused: u64,
    pub as_of: Option<Time>,
}

/// The results by all updates up to and at `time`, gathered in this detail.
pub fn as_of(
    gathered: &Gathered,
    time: Time,
    law: &Law,
    detail: Detail,
    until: Option<Time>,
) -> Result<Outcome, String> {
    let refused_facts = accumulated(&gathered.refused_facts, time)?;
    let mut kept = gathered::Gathered::new(1 << 20, Arc::default());
    kept.largest_accepted = until.or(gathered.largest_accepted);
    take(&mut kept, &gathered.orders, time)?;
    take(&mut kept, &gathered.order_events, time)?;
    take(&mut kept, &gathered.violations, time)?;
    take(&mut kept, &gathered.sla_breaches, time)?;
    take(&mut kept, &gathered.stalled_orders, time)?;
    kept.take_standing(&mut accumulated(&gathered.standing, time)?).map_err(|error| error.to_string())?;
    for (key, _, measures) in gathered.measures.iter().filter(|(_, at, _)| *at <= time) {
        kept.measures.add(*key, *measures);
    }
    for (key, _, lines) in gathered.lines.iter().filter(|(_, at, _)| *at <= time) {
        kept.lines.add(*key, *lines);
    }
    for (key, _, counts) in gathered.quality.iter().filter(|(_, at, _)| *at <= time) {
        kept.quality.add(*key, *counts);
    }
    kept.sort();
    let results = Results::new(vec![kept], law, detail, 1 << 20);
    let collector = Collector::default();
    results.write_to(&[&collector], 1, |_| {}).map_err(|error| format!("{error:?}"))?;
    let law = results.record_law();
    let mut tables = collector.0.into_inner().unwrap();
    tables.insert("refusals", refusals(&refused_facts));
    Ok(Outcome {
        tables,
        accepted: law.accepted as u64,
        duplicates: law.duplicates as u64,
        refused: law.refused_facts as u64,
        as_of: results.as_of(),
    })
}

/// Gathers the rows of a collection that stand at `time`.
fn take<R: Row + Ord + std::fmt::Debug>(
    kept: &mut gathered::Gathered,
    updates: &[(R, Time, Diff)],
    time: Time,
) -> Result<(), String> {
    kept.take_rows(&mut accumulated(updates, time)?).map_err(|error| error.to_string())
}

/// Updates up to and at `time` added up: each row that stands, with the time of its last insertion. A row stands once,
/// or once for each life of its order.
fn accumulated<D: Ord + Clone + std::fmt::Debug>(
    updates: &[(D, Time, Diff)],
    time: Time,
) -> Result<Vec<(D, Time, Diff)>, String> {
    let mut sums: BTreeMap<&D, (Time, Diff)> = BTreeMap::new();
    for (row, at, diff) in updates.iter().filter(|(_, at, _)| *at <= time) {
        let (last, sum) = sums.entry(row).or_default();
        *sum += diff;
        if *diff > 0 {
            *last = at.max(last).to_owned();
        }
    }
    let negative = sums.iter().find(|(_, (_, sum))| *sum < 0);
    if let Some((row, _)) = negative {
        return Err(format!("retracted and never there as of {time}: {row:?}"));
    }
    let standing = sums.into_iter().filter(|(_, (_, sum))| *sum > 0);
    Ok(standing.map(|(row, (last, _))| (row.clone(), last, 1)).collect())
}

fn refusals(refused: &[(RefusedFact, Time, Diff)]) -> Vec<Cells> {
    let mut reasons: BTreeMap<(u64, String), BTreeSet<&str>> = BTreeMap::new();
    for (fact, _, _) in refused {
        reasons.entry((fact.position.0, fact.content.clone())).or_default().insert(fact.reason.code());
    }
    let row = |((position, content), reasons): ((u64, String), BTreeSet<&str>)| {
        vec![position.to_string(), reasons.into_iter().collect::<Vec<_>>().join(";"), content]
    };
    reasons.into_iter().map(row).collect()
}

/// Keeps every collection as text, without the sentences.
#[derive(Default)]
struct Collector(Mutex<Tables>);

/// Keeps one.
struct Collects<'c> {
    collector: &'c Collector,
    collection: Collection,
    rows: Vec<Cells>,
}

impl Sink for Collector {
    fn begin(&self, collection: Collection) -> JobResult<Box<dyn Writer + '_>> {
        Ok(Box::new(Collects { collector: self, collection, rows: Vec::new() }))
    }

    fn commit(&self) -> JobResult<()> {
        Ok(())
    }
}

impl Writer for Collects<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        let kept = row.cells().zip(self.collection.columns).filter(|(_, column)| column.name != "message");
        self.rows.push(kept.map(|(cell, _)| cell.into_owned()).collect());
        Ok(())
    }

    fn finish(self: Box<Self>) -> JobResult<()> {
        self.collector.0.lock().unwrap().insert(self.collection.name, self.rows);
        Ok(())
    }
}

/// Complains of every difference in the tables `of`, and in the counts.
pub fn compare(expected: &Answer, actual: &Outcome, of: impl Fn(&str) -> bool) -> Result<(), String> {
    let mut complaint = String::new();
    for (name, rows) in expected.tables.iter().filter(|(name, _)| of(name)) {
        let actual = actual.tables.get(name).ok_or_else(|| format!("{name} is not written"))?;
        complaint += &difference(name, rows, actual);
    }
    let counts = |of: &str, expected: u64, actual: u64| match expected == actual {
        true => String::new(),
        false => format!("\n{of}: {expected} expected, {actual} counted"),
    };
    if of("counts") {
        complaint += &counts("accepted", expected.accepted, actual.accepted);
        complaint += &counts("duplicates", expected.duplicates, actual.duplicates);
        complaint += &counts("refused", expected.refused, actual.refused);
    }
    if complaint.is_empty() { Ok(()) } else { Err(complaint) }
}

/// Rows of one side alone, as a complaint.
pub fn difference(name: &str, expected: &[Cells], actual: &[Cells]) -> String {
    let lacking = |these: &[Cells], those: &[Cells], sign: char| -> String {
        let alone = these.iter().filter(|row| !those.contains(row));
        alone.map(|row| format!("\n{sign} {name}: {}", row.join(" | "))).collect()
    };
    let complaint = lacking(expected, actual, '-') + &lacking(actual, expected, '+');
    if complaint.is_empty() && expected.len() != actual.len() {
        return format!("\n{name}: {} rows expected, {} written", expected.len(), actual.len());
    }
    complaint
}

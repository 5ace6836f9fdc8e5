//! Results: the collections of a replay as of its last frontier, ready for any sink.
//!
//! Rows come in the order of their keys. Where a retired order's key is used again, the rows of the newer order replace
//! those of the older one (semantics.md, section 8).

use std::collections::BTreeSet;

use dataflows::orders::Detail;
use dataflows::time::{Diff, Time, Window};
use dataflows::views::collection::{Cell, Row};
use dataflows::views::dead_letters::{DeadLetterRow, RefusedFacts, RefusedRecord};
use dataflows::views::measures::{Aggregate, Measures, Sums};
use dataflows::views::{
    categories, drop_off, funnel, gmv, payments, quality, record_law, row_counts, sla_summary, status,
};

use crate::error::JobResult;
use crate::sink::Sink;
use crate::source::inputs::Inputs;
use crate::source::intake::{FACTS_GIVEN, RECORDS_READ};
use crate::worker::Gathered;

/// What a replay came to.
pub struct Results {
    gathered: Gathered,
    sums: Sums,
    windows: Vec<Window>,
    as_of: Option<Time>,
}

impl Results {
    /// Takes what worker 0 gathered.
    pub fn new(mut gathered: Gathered, windows: &[Window], until: Option<Time>) -> Results {
        let mut sums = Sums::default();
        gathered.measures.drain(..).for_each(|(key, _, measures)| sums.add(key, &measures));
        let accepted = record_law::of(&sums).accepted > 0;
        let as_of = if accepted { until.or(gathered.largest_accepted) } else { None };
        replace_by_key(&mut gathered.orders);
        replace_by_key(&mut gathered.stalled_orders);
        replace_by_key(&mut gathered.sla_breaches);
        replace_by_key(&mut gathered.order_events);
        replace_by_key(&mut gathered.violations);
        Results { gathered, sums, windows: windows.to_vec(), as_of }
    }

    /// The logical time of the results; none where no fact was accepted.
    pub fn as_of(&self) -> Option<Time> {
        self.as_of
    }

    /// What came of every record and fact.
    pub fn record_law(&self) -> record_law::RecordLaw {
        record_law::of(&self.sums)
    }

    /// Records that were read and facts that decoding yielded, counted apart from what became of them.
    pub fn read_and_given(&self) -> (i64, i64) {
        let mut total = Measures::default();
        self.sums.of(Aggregate::RecordLaw).for_each(|(_, measures)| total.add(measures, 1));
        (total.counts[RECORDS_READ], total.counts[FACTS_GIVEN])
    }

    /// Writes every collection to a sink. Row collections are only counted where `detail` kept no rows.
    pub fn write_to(&self, inputs: &Inputs, detail: Detail, sink: &mut dyn Sink) -> JobResult<()> {
        let (all, sums, windows) = (&self.gathered, &self.sums, &self.windows);
        let counts = (detail == Detail::Counts).then(|| row_counts::of(sums));
        write_rows(sink, all.orders.iter().map(|(row, _, _)| row), counts.map(|counts| counts.orders))?;
        write_rows(sink, all.order_events.iter().map(|(row, _, _)| row), counts.map(|counts| counts.order_events))?;
        write_rows(sink, all.violations.iter().map(|(row, _, _)| row), counts.map(|counts| counts.violations))?;
        write_rows(sink, all.sla_breaches.iter().map(|(row, _, _)| row), counts.map(|counts| counts.sla_breaches))?;
        write_sorted(sink, sla_summary::rows(sums))?;
        write_rows(sink, all.stalled_orders.iter().map(|(row, _, _)| row), counts.map(|counts| counts.stalled_orders))?;
        write_sorted(sink, status::rows(sums))?;
        write_sorted(sink, funnel::rows(sums, windows))?;
        write_sorted(sink, gmv::rows(sums, windows))?;
        write_sorted(sink, categories::rows(sums, windows))?;
        write_sorted(sink, drop_off::rows(sums))?;
        write_sorted(sink, payments::rows(sums, windows))?;
        write_sorted(sink, self.dead_letters(inputs))?;
        write_sorted(sink, quality::rows(sums))
    }

    fn dead_letters(&self, inputs: &Inputs) -> Vec<DeadLetterRow> {
        let mut facts = RefusedFacts::default();
        for (fact, _, diff) in &self.gathered.refused_facts {
            facts.add(fact.clone(), *diff);
        }
        let row = |record: &RefusedRecord| {
            let (source, position) = inputs.place(record.position);
            let reasons: BTreeSet<&str> = record.reasons.iter().map(String::as_str).collect();
            DeadLetterRow {
                source,
                position,
                reasons: reasons.into_iter().collect::<Vec<_>>().join(";"),
                event_id: record.event_id.clone(),
                schema_version: None,
                raw: record.raw.clone(),
            }
        };
        let records = self.gathered.refused_records.iter().map(|(record, _, _)| row(record));
        records.chain(facts.records().map(|record| row(&record))).collect()
    }
}

/// Sorts rows by key and keeps the latest of each.
fn replace_by_key<R: Row + Ord>(rows: &mut Vec<(R, Time, Diff)>) {
    if rows.iter().any(|(_, _, diff)| *diff < 0) {
        accumulate(rows);
    }
    rows.sort_by(|(left, earlier, _), (right, later, _)| left.key_order(right).then(later.cmp(earlier)));
    rows.dedup_by(|(later, _, _), (kept, _, _)| later.key_order(kept).is_eq());
    rows.shrink_to_fit();
}

/// Adds up the updates of each row; what stands keeps the time of its last update.
fn accumulate<R: Row + Ord>(rows: &mut Vec<(R, Time, Diff)>) {
    rows.sort_by(|(left, earlier, _), (right, later, _)| left.cmp(right).then(earlier.cmp(later)));
    rows.dedup_by(|(row, time, diff), (kept, kept_time, kept_diff)| {
        let same = row == kept;
        if same {
            *kept_time = *time;
            *kept_diff += *diff;
        }
        same
    });
    rows.retain(|(_, _, diff)| *diff > 0);
}

fn write_sorted<R: Row>(sink: &mut dyn Sink, mut rows: Vec<R>) -> JobResult<()> {
    if sink.needs_order() {
        rows.sort_by(R::key_order);
    }
    write_rows(sink, rows.iter(), None)
}

/// Writes rows, or as many empty ones as were counted to a sink that only counts.
fn write_rows<'r, R: Row + 'r>(
    sink: &mut dyn Sink,
    rows: impl Iterator<Item = &'r R>,
    counted: Option<i64>,
) -> JobResult<()> {
    let cells = |row: &R| -> Vec<Cell> { row.cells() };
    match counted {
        None => sink.write(R::NAME, R::COLUMNS, &mut rows.map(cells)),
        Some(count) => sink.write(R::NAME, R::COLUMNS, &mut (0..count).map(|_| Vec::new())),
    }
}

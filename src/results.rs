//! Results: the collections of a replay as of its last frontier, ready for any sink.
//!
//! Rows come in the order of their keys. Where a retired order's key is used again, the rows of the newer order replace
//! those of the older one (semantics.md, section 8).

use std::collections::BTreeSet;

use dataflows::time::{Diff, Time, Window};
use dataflows::views::collection::Row;
use dataflows::views::dead_letters::{DeadLetterRow, RefusedFacts, RefusedRecord};
use dataflows::views::measures::{Aggregate, Measures};
use dataflows::views::roll_up::sums_of;
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
    windows: Vec<Window>,
    as_of: Option<Time>,
}

impl Results {
    /// Takes what worker 0 gathered.
    pub fn new(mut gathered: Gathered, windows: &[Window], until: Option<Time>) -> Results {
        let accepted = record_law::of(&gathered.measures).accepted > 0;
        let as_of = if accepted { until.or(gathered.largest_accepted) } else { None };
        replace_by_key(&mut gathered.orders);
        replace_by_key(&mut gathered.stalled_orders);
        replace_by_key(&mut gathered.sla_breaches);
        replace_by_key(&mut gathered.order_events);
        replace_by_key(&mut gathered.violations);
        Results { gathered, windows: windows.to_vec(), as_of }
    }

    /// The logical time of the results; none where no fact was accepted.
    pub fn as_of(&self) -> Option<Time> {
        self.as_of
    }

    /// What came of every record and fact.
    pub fn record_law(&self) -> record_law::RecordLaw {
        record_law::of(&self.gathered.measures)
    }

    /// Records that were read and facts that decoding yielded, counted apart from what became of them.
    pub fn read_and_given(&self) -> (i64, i64) {
        let mut total = Measures::default();
        sums_of(&self.gathered.measures, Aggregate::RecordLaw).for_each(|(_, measures)| total.add(measures));
        (total.counts[RECORDS_READ], total.counts[FACTS_GIVEN])
    }

    /// Writes every collection to all sinks. Of rows that are kept nowhere sinks get as many empty ones as were counted.
    pub fn write_to(&self, inputs: &Inputs, sinks: &mut [&mut dyn Sink]) -> JobResult<()> {
        let (all, sums, lines, windows) =
            (&self.gathered, &self.gathered.measures, &self.gathered.lines, &self.windows);
        let counted = row_counts::of(sums, lines);
        write_updates(sinks, &all.orders, counted.orders)?;
        write_updates(sinks, &all.order_events, counted.order_events)?;
        write_updates(sinks, &all.violations, counted.violations)?;
        write_updates(sinks, &all.sla_breaches, counted.sla_breaches)?;
        write_unsorted(sinks, sla_summary::rows(sums), 0)?;
        write_updates(sinks, &all.stalled_orders, counted.stalled_orders)?;
        write_unsorted(sinks, status::rows(sums), 0)?;
        write_unsorted(sinks, funnel::rows(sums, windows), counted.real_time_funnel)?;
        write_unsorted(sinks, gmv::rows(sums, windows), counted.gmv_metrics)?;
        write_unsorted(sinks, categories::rows(lines, windows), counted.category_metrics)?;
        write_unsorted(sinks, drop_off::rows(sums), counted.drop_off_analysis)?;
        write_unsorted(sinks, payments::rows(lines, windows), counted.payment_metrics)?;
        write_unsorted(sinks, self.dead_letters(inputs), 0)?;
        write_unsorted(sinks, quality::rows(&all.quality), counted.data_quality_metrics)
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

fn write_unsorted<R: Row>(sinks: &mut [&mut dyn Sink], mut rows: Vec<R>, counted: i64) -> JobResult<()> {
    if sinks.iter().any(|sink| sink.needs_order()) {
        rows.sort_by(R::key_order);
    }
    write_rows(sinks, rows.iter(), counted)
}

fn write_updates<R: Row>(sinks: &mut [&mut dyn Sink], rows: &[(R, Time, Diff)], counted: i64) -> JobResult<()> {
    write_rows(sinks, rows.iter().map(|(row, _, _)| row), counted)
}

/// Writes rows, and an empty one for each that was only `counted`.
fn write_rows<'r, R: Row + 'r>(
    sinks: &mut [&mut dyn Sink],
    rows: impl Iterator<Item = &'r R> + Clone,
    counted: i64,
) -> JobResult<()> {
    for sink in sinks {
        let empty = (0..counted).map(|_| Vec::new());
        sink.write(R::NAME, R::COLUMNS, &mut rows.clone().map(R::cells).chain(empty))?;
    }
    Ok(())
}

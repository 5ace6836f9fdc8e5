//! What a worker gathers for the sinks: rows as text, sorted within bounded memory, and sums.
//!
//! Rows of orders stay with the worker that made them until they are written; those of other processes come to a worker of
//! the first one. A gathered row is its key, the time of the update and the rest of it, so byte strings in order are
//! updates by key and time ([`crate::runs`]). Where the end alone is wanted, orders are gathered in the same way and no row
//! of theirs: those are made when they are written. Limits: sums are held in memory; they are as many as there are windows.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::model::{OrderId, Position};
use dataflows::orders::standing::Standing;
use dataflows::time::{Diff, Time, Window};
use dataflows::views::categories::CategoryRow;
use dataflows::views::collection::Row;
use dataflows::views::dead_letters::{DeadLetterRow, Refusal, RefusedFact, RefusedRecord};
use dataflows::views::drop_off::DropOffRow;
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;
use dataflows::views::measures::{LineMeasures, LineSums, MeasureKey, Measures, Sums};
use dataflows::views::payments::PaymentRow;
use dataflows::views::quality::{self, QualityCounts, QualityKey, QualitySums};
use dataflows::views::roll_up::{AggregateRow, rolled_changes};
use dataflows::views::sla_breaches::SlaBreachRow;
use dataflows::views::sla_summary::SlaSummaryRow;
use dataflows::views::status::StatusRow;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{JobError, JobResult};
use crate::runs::Runs;
use crate::sink::text_row;

/// A breach that has come due, and the logical time at which it did.
pub type Due = (Time, SlaBreachRow);

/// Under which name orders as they stand are gathered among the collections.
pub const STANDING: &str = "orders as they stand";

/// What a worker gathered; sums, at the first worker alone.
#[derive(Debug, Default)]
#[allow(missing_docs)] // named as the collections
pub struct Gathered {
    /// Rows by collection.
    pub rows: BTreeMap<&'static str, Runs>,
    pub measures: Sums,
    pub lines: LineSums,
    pub quality: QualitySums,
    /// What the watch of a paced replay tells, until it is shown.
    pub watched: Vec<(SlaBreachRow, Time, Diff)>,
    /// How far it knows results to reach at least; none where there is no watch.
    pub watched_until: Option<Time>,
    /// The largest event time accepted; none where there was no fact, or all ended before a given time.
    pub largest_accepted: Option<Time>,
    memory_bytes: usize,
    spilled_bytes: Arc<AtomicU64>,
    text: String,
}

/// What was refused, in the rest of a gathered row of `dead_letters`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Refused {
    /// A record.
    Record(RefusedRecord),
    /// A fact.
    Fact(RefusedFact),
}

impl Refused {
    /// True where no time has a part in it: it stands from the beginning, and no `--until` leaves it out.
    fn is_told_by_reading(&self) -> bool {
        match self {
            Refused::Record(_) => true,
            Refused::Fact(fact) => fact.reason == Refusal::UnknownOrder,
        }
    }
}

impl Gathered {
    /// Nothing yet; rows wait in about this much memory. `spilled_bytes` counts those that do not.
    pub fn new(memory_bytes: usize, spilled_bytes: Arc<AtomicU64>) -> Gathered {
        Gathered { memory_bytes, spilled_bytes, ..Gathered::default() }
    }

    /// Takes in rows of a collection.
    pub fn take_rows<R: Row>(&mut self, updates: &mut Vec<(R, Time, Diff)>) -> JobResult<()> {
        let runs = self.rows.entry(R::NAME).or_default();
        for (row, time, diff) in updates.drain(..) {
            self.text.clear();
            let key_bytes = text_row::write(&row, &mut self.text);
            let (key, rest) = self.text.as_bytes().split_at(key_bytes);
            runs.push(&[key, &time.to_be_bytes(), rest], diff);
        }
        self.keep_within_memory()
    }

    /// Takes in orders as they stand.
    pub fn take_standing(&mut self, updates: &mut Vec<((OrderId, Standing), Time, Diff)>) -> JobResult<()> {
        let runs = self.rows.entry(STANDING).or_default();
        let mut rest = Vec::new();
        for ((order, standing), time, diff) in updates.drain(..) {
            self.text.clear();
            // The key with which all rows of an order begin.
            text_row::write_order(&order, &mut self.text);
            rest = packed_into(&standing, rest)?;
            runs.push(&[self.text.as_bytes(), &time.to_be_bytes(), &rest], diff);
        }
        self.keep_within_memory()
    }

    /// Takes in differences of sums of orders, as changes of the rows that these make in `windows`.
    pub fn take_measures(&mut self, updates: &[(MeasureKey, Time, Measures)], windows: &[Window]) -> JobResult<()> {
        self.take_changes::<FunnelRow>(updates, windows)?;
        self.take_changes::<GmvRow>(updates, windows)?;
        self.take_changes::<DropOffRow>(updates, windows)?;
        self.take_changes::<SlaSummaryRow>(updates, windows)?;
        self.take_changes::<StatusRow>(updates, windows)?;
        self.keep_within_memory()
    }

    /// Takes in differences of sums of items and payments in the same way.
    pub fn take_lines(&mut self, updates: &[(MeasureKey, Time, LineMeasures)], windows: &[Window]) -> JobResult<()> {
        self.take_changes::<CategoryRow>(updates, windows)?;
        self.take_changes::<PaymentRow>(updates, windows)?;
        self.keep_within_memory()
    }

    fn take_changes<R: AggregateRow<Sums: Serialize>>(
        &mut self,
        updates: &[(MeasureKey, Time, R::Sums)],
        windows: &[Window],
    ) -> JobResult<()> {
        let mut changes = rolled_changes::<R>(updates, windows);
        changes.try_for_each(|(key, time, sums)| self.take_change(&R::of(key, sums), time, &(key, sums)))
    }

    /// Takes in counts of records and facts, as changes. Whatever reading alone says stands from the beginning.
    pub fn take_quality(&mut self, updates: &[(QualityKey, Time, QualityCounts)]) -> JobResult<()> {
        for (key, time, counts) in updates {
            let of_facts = QualityCounts { duplicates: counts.duplicates, ..QualityCounts::default() };
            let of_records = QualityCounts { duplicates: 0, ..*counts };
            for (time, counts) in [(0, of_records), (*time, of_facts)] {
                if counts != QualityCounts::default() {
                    self.take_change(&quality::row(key, &counts), time, &(*key, counts))?;
                }
            }
        }
        self.keep_within_memory()
    }

    /// Takes in a difference of what makes a row; of the row itself the key counts.
    fn take_change<R: Row>(&mut self, row: &R, time: Time, difference: &impl Serialize) -> JobResult<()> {
        self.text.clear();
        let key_bytes = text_row::write(row, &mut self.text);
        let rest = packed(difference)?;
        let runs = self.rows.entry(R::NAME).or_default();
        runs.push(&[&self.text.as_bytes()[..key_bytes], &time.to_be_bytes(), &rest], 1);
        Ok(())
    }

    /// Takes in what was refused; `place` says where a position is: its source, and a file and line.
    pub fn take_refused<D>(
        &mut self,
        updates: &mut Vec<(D, Time, Diff)>,
        refused: impl Fn(D) -> (Position, Refused),
        place: impl Fn(Position) -> [String; 2],
    ) -> JobResult<()> {
        let runs = self.rows.entry(DeadLetterRow::NAME).or_default();
        for (data, time, diff) in updates.drain(..) {
            let (position, refused) = refused(data);
            let time = if refused.is_told_by_reading() { 0 } else { time };
            self.text.clear();
            place(position).into_iter().for_each(|text| text_row::write_text(&text, &mut self.text));
            let rest = packed(&refused)?;
            runs.push(&[self.text.as_bytes(), &time.to_be_bytes(), &rest], diff);
        }
        self.keep_within_memory()
    }

    /// Sorts what waits in memory: nothing more comes.
    pub fn sort(&mut self) {
        self.rows.values_mut().for_each(Runs::sort);
    }

    /// Writes the largest of the collections to disk where all of them take more memory than they may.
    fn keep_within_memory(&mut self) -> JobResult<()> {
        while self.rows.values().map(Runs::bytes).sum::<usize>() > self.memory_bytes
            && let Some(largest) = self.rows.values_mut().max_by_key(|runs| runs.bytes())
        {
            let spilled = largest.spill().map_err(|error| cannot("write", &error))?;
            self.spilled_bytes.fetch_add(spilled, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The breaches that came due before a time to which the watch has come, in the order in which they did.
    pub fn take_due(&mut self, before: Time) -> Vec<Due> {
        let mut told: Vec<_> = self.watched.extract_if(.., |(_, time, _)| *time < before).collect();
        told.sort_by_key(|(_, time, _)| *time);
        // A change of an order may retract rows and tell them anew: that opens nothing. What a late fact takes back later was
        // due nevertheless.
        let key = |(row, time, _): &(SlaBreachRow, Time, Diff)| {
            (*time, row.tenant.clone(), row.order_id.clone(), row.sla, row.deadline_at)
        };
        let mut opened: BTreeMap<_, Diff> = BTreeMap::new();
        for update in &told {
            *opened.entry(key(update)).or_default() += update.2;
        }
        told.retain(|update| update.2 > 0 && opened.remove(&key(update)).is_some_and(|opened| opened > 0));
        told.into_iter().map(|(row, time, _)| (time, row)).collect()
    }
}

/// What a row is made of, as bytes. What could not be written or read back is an error, never a row less.
fn packed(value: &impl Serialize) -> JobResult<Vec<u8>> {
    packed_into(value, Vec::new())
}

/// The same, in memory that is used again.
fn packed_into(value: &impl Serialize, mut space: Vec<u8>) -> JobResult<Vec<u8>> {
    space.clear();
    postcard::to_io(value, space).map_err(|error| cannot("write", &io::Error::other(error.to_string())))
}

/// What was packed.
pub fn unpacked<T: DeserializeOwned>(bytes: &[u8]) -> JobResult<T> {
    postcard::from_bytes(bytes).map_err(|error| cannot("read", &io::Error::other(error.to_string())))
}

/// The text of a gathered row.
pub fn text_of(bytes: &[u8]) -> JobResult<&str> {
    std::str::from_utf8(bytes).map_err(|error| cannot("read", &io::Error::other(error)))
}

/// A temporary file of rows failed; `doing` completes "cannot …".
pub fn cannot(doing: &str, error: &io::Error) -> JobError {
    JobError::sorting(doing, "rows", error)
}

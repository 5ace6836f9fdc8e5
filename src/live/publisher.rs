//! The publisher: from updates of the graph to changes of rows, kept at one worker for all sinks.
//!
//! Rows of orders pass as they are. Sums add up here; when time has come to a frontier, the rows that changed before it
//! are told once, at the last tick at which there was a difference. Invariant: what the rows it has told up to a frontier
//! come to is a function of the updates before that frontier, so a publisher that is restored there goes on alike; an
//! update that comes of reading and waits for its time belongs to a checkpoint only where it stood before the cut. Limits:
//! sums of windows that are still open, and facts that were refused of orders that may live, are held in memory.

mod standing;

use std::collections::BTreeMap;

use dataflows::model::{Position, Text};
use dataflows::operators::pieces::{Piece, Pieces};
use dataflows::orders::Rows;
use dataflows::settings::Settings;
use dataflows::time::{Diff, HOUR_MS, Time, Window, tick_at_or_after};
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Row;
use dataflows::views::dead_letters::{DeadLetterRow, RefusedFact, RefusedRecord};
use dataflows::views::measures::{Aggregate, LineMeasures, MeasureKey, Measures};
use dataflows::views::quality::{self, QualityCounts, QualityKey, QualityMinute};
use serde::{Deserialize, Serialize};

use super::counters::Tally;
use super::rows::change;
use crate::sink::change::Change;
use standing::Standing;

/// An update on its way to the publisher.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Update {
    /// A row of an order is there from now on, or no longer: collection by its place among [`COLLECTIONS`], key, rest.
    Row(u8, Time, Box<str>, Option<Box<str>>),
    /// Differences of sums of orders.
    Orders(Vec<(MeasureKey, Time, Measures)>),
    /// Differences of sums of items and payments.
    Lines(Vec<(MeasureKey, Time, LineMeasures)>),
    /// Differences of counts of facts.
    Quality(Vec<(QualityKey, Time, QualityCounts)>),
    /// Facts that were refused, or no longer.
    Refused(Vec<(RefusedFact, Time, Diff)>),
    /// What reading alone says. It is read again from the cut on, so it tells where it stood.
    Read(Vec<(Position, Time, Reading)>),
}

impl Update {
    /// How many rows or differences it is.
    #[allow(clippy::len_without_is_empty)] // none is
    pub fn len(&self) -> usize {
        match self {
            Update::Row(..) => 1,
            Update::Orders(batch) => batch.len(),
            Update::Lines(batch) => batch.len(),
            Update::Quality(batch) => batch.len(),
            Update::Refused(batch) => batch.len(),
            Update::Read(batch) => batch.len(),
        }
    }
}

/// What reading says of records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reading {
    /// So many were read from here up to the next mark.
    Quality(QualityKey, QualityCounts),
    /// This one was refused. There are few of these.
    Refused(Box<RefusedRecord>),
}

/// Where a position is, as dead letters say it: its source, its place there.
pub type Place = Box<dyn Fn(Position) -> (Text, Text) + Send>;

/// Updates as they came.
type Batches<K, V> = Vec<Vec<(K, Time, V)>>;

/// Updates that wait for their time.
#[derive(Default)]
struct Waiting {
    orders: Batches<MeasureKey, Measures>,
    lines: Batches<MeasureKey, LineMeasures>,
    quality: Batches<QualityKey, QualityCounts>,
    refused: Batches<RefusedFact, Diff>,
    read: Batches<Position, Reading>,
}

/// When windows close.
#[derive(Clone, Copy)]
struct Closing {
    /// How long after its end a window does, in milliseconds.
    stays_ms: u64,
    tick_ms: u64,
}

impl Closing {
    /// True where what changes at `time` still changes this window.
    fn is_open(self, window: Window, start: Time, time: Time) -> bool {
        // What the last change still changes comes at its tick.
        window.closes(start, self.stays_ms).is_none_or(|closes| tick_at_or_after(closes, self.tick_ms) >= time)
    }

    /// The same of a minute of data quality. What has no minute counts at any time.
    fn is_open_minute(self, minute: QualityMinute, time: Time) -> bool {
        minute.window_start().is_none_or(|start| self.is_open(Window::Minute, start.0, time))
    }
}

/// Changes of rows.
struct Changes {
    rows: Rows,
    all: Vec<(Change, Time)>,
}

impl Changes {
    /// A row that is made here stands from now on, or no longer; it is made where somebody wants it.
    fn add<R: Row>(&mut self, time: Time, stands: bool, row: impl FnOnce() -> R) {
        if self.rows == Rows::All {
            self.all.push((change(&row(), stands), time));
        }
    }
}

/// See the head of this file.
pub struct Publisher {
    windows: Vec<Window>,
    closing: Closing,
    place: Place,
    standing: Standing,
    waiting: Waiting,
    /// Changes of rows of orders, and the others as they are found.
    changes: Changes,
    /// The frontier it was restored at, and rows that stood there.
    begun: Time,
    stood: Vec<(Change, Time)>,
    /// What was counted since it was asked last.
    tally: Tally,
}

impl Publisher {
    /// Nothing published yet; of what is made here, rows are made where all are wanted.
    pub fn new(settings: &Settings, rows: Rows, place: Place) -> Publisher {
        Publisher {
            windows: settings.windows.clone(),
            closing: Closing { stays_ms: settings.stays_ms(), tick_ms: settings.tick_ms },
            place,
            standing: Standing::new(rows),
            waiting: Waiting::default(),
            changes: Changes { rows, all: Vec::new() },
            begun: 0,
            stood: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Takes an update in. Rows of before the frontier it was restored at are those that stood there.
    pub fn take(&mut self, update: Update) {
        let waiting = &mut self.waiting;
        match update {
            Update::Row(collection, time, key, row) => {
                if let Some(collection) = COLLECTIONS.get(usize::from(collection)) {
                    let changes = if time < self.begun { &mut self.stood } else { &mut self.changes.all };
                    changes.push((Change { collection, key, row }, time));
                }
            }
            Update::Orders(batch) => waiting.orders.push(batch),
            Update::Lines(batch) => waiting.lines.push(batch),
            Update::Quality(batch) => waiting.quality.push(batch),
            Update::Refused(batch) => waiting.refused.push(batch),
            Update::Read(batch) => waiting.read.push(batch),
        }
    }

    /// All updates before `frontier` have been taken in: the changes of rows that they make, with the times at which they
    /// do. Rows of orders may be told of later times, too.
    pub fn publish(&mut self, frontier: Time) -> Vec<(Change, Time)> {
        let Publisher { windows, closing, standing, changes, place, tally, waiting, .. } = self;
        let orders = before(&mut waiting.orders, frontier);
        for (_, _, sums) in orders.iter().flatten().filter(|(key, ..)| key.aggregate == Aggregate::RecordLaw) {
            let [_, _, accepted, duplicates, refused, ..] = sums.counts;
            tally.add(Tally { accepted, duplicates, refused, ..Tally::default() });
        }
        standing.add_orders(&orders, windows, changes);
        let lines = before(&mut waiting.lines, frontier);
        standing.add_lines(&lines, windows, changes);
        let is_told = changes.rows == Rows::All;
        let mut add_quality = |QualityKey { source, minute }, counts: &QualityCounts, time| {
            let sums = standing.quality.entry(source).or_default();
            if is_told { sums.add(minute, counts, time) } else { sums.add_untold(minute, counts) }
        };
        for (key, time, counts) in before(&mut waiting.quality, frontier).into_iter().flatten() {
            add_quality(key, &counts, time);
        }
        for (position, time, reading) in before(&mut waiting.read, frontier).into_iter().flatten() {
            match reading {
                Reading::Quality(key, counts) => {
                    tally.late += counts.late;
                    if closing.is_open_minute(key.minute, time) {
                        add_quality(key, &counts, time);
                    }
                }
                Reading::Refused(record) => {
                    for reason in &record.reasons {
                        *tally.dead_letters.entry(reason.clone()).or_default() += 1;
                    }
                    changes.add(time, true, || {
                        let (source, at) = place(position);
                        DeadLetterRow::of(source, at, &record)
                    });
                }
            }
        }
        for (source, sums) in &mut standing.quality {
            sums.tell_changed(|minute, counts, time| {
                let key = QualityKey { source: *source, minute };
                changes.add(time, counts != QualityCounts::default(), || quality::row(&key, &counts));
            });
        }
        let mut refused = BTreeMap::new();
        for (fact, time, diff) in before(&mut waiting.refused, frontier).into_iter().flatten() {
            let last: &mut Time = refused.entry(fact.position).or_default();
            *last = time.max(*last);
            standing.refused_at.entry(time).or_default().push(fact.position);
            if diff > 0 {
                *tally.dead_letters.entry(fact.reason.code().to_owned()).or_default() += diff.unsigned_abs() as u64;
            }
            standing.refused.add(fact, diff);
        }
        for (at, time) in refused {
            let record = standing.refused.record_at(at);
            let nothing = || RefusedRecord { position: at, reasons: Vec::new(), event_id: None, raw: String::new() };
            changes.add(time, record.is_some(), || {
                let (source, position) = place(at);
                DeadLetterRow::of(source, position, record.as_ref().unwrap_or(&nothing()))
            });
        }
        self.sweep(frontier);
        // There will be about as many.
        let next = Vec::with_capacity(self.changes.all.len());
        std::mem::replace(&mut self.changes.all, next)
    }

    /// What stood at the frontier it was restored at, with times before that: for sinks that are new, as the others have
    /// it. Once, and whole once time has come to that frontier.
    pub fn take_stood(&mut self) -> Vec<(Change, Time)> {
        std::mem::take(&mut self.stood)
    }

    /// Has [`Publisher::take_stood`] give the rows that are kept here, of sums and of refused facts.
    pub fn show_stood(&mut self) {
        let Publisher { standing, stood, begun, place, .. } = self;
        let time = begun.saturating_sub(1);
        standing.give_rows(time, stood);
        for (source, sums) in &standing.quality {
            let row = |minute, counts| quality::row(&QualityKey { source: *source, minute }, &counts);
            stood.extend(sums.iter().map(|(minute, counts)| (change(&row(minute, counts), true), time)));
        }
        stood.extend(standing.refused.records().map(|record| {
            let (source, position) = place(record.position);
            (change(&DeadLetterRow::of(source, position, &record), true), time)
        }));
    }

    /// What came of facts since this was asked last.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Orders of all tenants that are overdue, by SLA.
    pub fn breaches_open(&self) -> BTreeMap<&'static str, i64> {
        self.standing.breaches_open()
    }

    /// Orders of all tenants, by status.
    pub fn orders(&self) -> BTreeMap<&'static str, i64> {
        self.standing.orders()
    }

    /// Bytes that sums take.
    pub fn sum_bytes(&self) -> usize {
        self.standing.sum_bytes()
    }

    /// Forgets sums of windows that have closed, and refused facts of orders that have retired since: their rows stay and
    /// change no more.
    fn sweep(&mut self, frontier: Time) {
        let Publisher { standing, windows, closing, .. } = self;
        let (closing, stays_ms) = (*closing, closing.stays_ms);
        // While history is caught up with an hour passes in no time, and all that there is would be looked at again and again.
        let pause_ms = HOUR_MS.min(stays_ms).max(stays_ms / 8);
        if frontier < standing.swept.saturating_add(pause_ms) || frontier == Time::MAX {
            return;
        }
        standing.swept = frontier;
        let later = standing.refused_at.split_off(&frontier.saturating_sub(stays_ms));
        let earlier = std::mem::replace(&mut standing.refused_at, later);
        earlier.into_values().flatten().for_each(|position| standing.refused.forget(position));
        for sums in standing.quality.values_mut() {
            sums.retain(|minute| closing.is_open_minute(minute, frontier), |_, _| {});
        }
        standing.close(windows, |window, start| closing.is_open(window, start, frontier));
    }

    /// What a checkpoint as of `frontier`, up to which all has been published, holds of this.
    pub fn snapshot(&self, give: &mut dyn FnMut(Piece)) {
        let waiting: Vec<(Time, &Position, &Reading)> =
            self.waiting.read.iter().flatten().map(|(position, time, reading)| (*time, position, reading)).collect();
        let mut pieces = Pieces::new(give);
        pieces.put(&(&self.standing, waiting));
        pieces.end();
    }

    /// Goes on from a snapshot as of a frontier; what stood at or after the cut is read again.
    pub fn restore(
        &mut self,
        frontier: Time,
        bytes: &[u8],
        is_before_cut: impl Fn(Position) -> bool,
    ) -> Result<(), postcard::Error> {
        let (standing, waiting): (Standing, Vec<(Time, Position, Reading)>) = postcard::from_bytes(bytes)?;
        (self.standing, self.begun) = (standing, frontier);
        if self.changes.rows == Rows::All {
            self.standing.roll_up(&self.windows);
        }
        let waiting = waiting.into_iter().filter(|(_, position, _)| is_before_cut(*position));
        self.waiting.read.extend(waiting.map(|(time, position, reading)| vec![(position, time, reading)]));
        Ok(())
    }
}

/// Takes what is of before `frontier` from batches.
fn before<K, V>(batches: &mut Batches<K, V>, frontier: Time) -> Batches<K, V> {
    // What reading says of records may wait for long: it is left where it is.
    let mut ready: Batches<K, V> =
        batches.extract_if(.., |batch| batch.iter().any(|(_, time, _)| *time < frontier)).collect();
    for batch in &mut ready {
        let later: Vec<(K, Time, V)> = batch.extract_if(.., |(_, time, _)| *time >= frontier).collect();
        if !later.is_empty() {
            batches.push(later);
        }
    }
    ready
}

#[cfg(test)]
pub(crate) mod tests;

//! Results: the collections of a replay as of its last frontier, written to every sink.
//!
//! Rows come in the order of their keys. Where a retired order's key is used again, the rows of the newer order replace
//! those of the older one (semantics.md, section 8). Invariant: no collection of rows is held in memory; each is read
//! through and given to all sinks row by row, several collections at a time; for changes once more. Rows of orders are
//! made here and now of how these stand, unless their changes were asked for.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use dataflows::operators::bundles::Bundles;
use dataflows::orders::Detail;
use dataflows::orders::outlook::Law;
use dataflows::time::Time;
use dataflows::views::categories::CategoryRow;
use dataflows::views::collection::{Collection, Row};
use dataflows::views::dead_letters::DeadLetterRow;
use dataflows::views::drop_off::DropOffRow;
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;
use dataflows::views::measures::{Aggregate, MeasureKey, Measures};
use dataflows::views::order_events::OrderEventRow;
use dataflows::views::orders::OrderRow;
use dataflows::views::payments::PaymentRow;
use dataflows::views::quality::{self, QualityRow, QualitySums};
use dataflows::views::roll_up::{AggregateRow, rolled_up, sums_of};
use dataflows::views::sla_breaches::SlaBreachRow;
use dataflows::views::sla_summary::SlaSummaryRow;
use dataflows::views::stalled_orders::StalledOrderRow;
use dataflows::views::status::StatusRow;
use dataflows::views::violations::ViolationRow;
use dataflows::views::{record_law, row_counts};
use serde::de::DeserializeOwned;

use crate::error::JobResult;
use crate::gathered::{Gathered, cannot, text_of};
use crate::sink::text_row::{self, TextRow};
use crate::sink::{Sink, Writer};
use crate::source::intake::{FACTS_GIVEN, RECORDS_READ};

mod changes;
mod lives;
mod orders;
mod standing;

use changes::changes_of;
use orders::Orders;
use standing::{Counts, Groups, Latest, Refusals, Standing, Sum};

/// How often whoever waits is told how many rows have been written.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Rows are counted for that in portions.
const ROWS_AT_ONCE: u64 = 1 << 12;

/// What a replay came to.
pub struct Results {
    gathered: Vec<Gathered>,
    law: Law,
    detail: Detail,
    as_of: Option<Time>,
    memory_bytes: usize,
}

/// Writes one collection.
type Task<'r> = Box<dyn Fn(&Output<'_>) -> JobResult<()> + Sync + 'r>;

impl Results {
    /// Takes what the workers of this process gathered; sums are the first one's. Changes are sorted in about this much
    /// memory.
    pub fn new(gathered: Vec<Gathered>, law: &Law, detail: Detail, memory_bytes: usize) -> Results {
        let mut results = Results { gathered, law: law.clone(), detail, as_of: None, memory_bytes };
        if results.record_law().accepted > 0 {
            results.as_of = results.gathered.first().and_then(|first| first.largest_accepted);
        }
        results
    }

    /// The logical time of the results; none where no fact was accepted.
    pub fn as_of(&self) -> Option<Time> {
        self.as_of
    }

    /// What came of every record and fact.
    pub fn record_law(&self) -> record_law::RecordLaw {
        self.gathered.first().map(|first| record_law::of(&first.measures)).unwrap_or_default()
    }

    /// Records that were read and facts that decoding yielded, counted apart from what became of them.
    pub fn read_and_given(&self) -> (i64, i64) {
        let mut total = Measures::default();
        if let Some(first) = self.gathered.first() {
            sums_of(&first.measures, Aggregate::RecordLaw).for_each(|(_, measures)| total.add(measures));
        }
        (total.counts[RECORDS_READ], total.counts[FACTS_GIVEN])
    }

    /// Writes every collection to all sinks, so many at a time. Of rows that are kept nowhere sinks get as many empty ones
    /// as were counted. `progress` is told now and then how many rows have been written.
    pub fn write_to(&self, sinks: &[&dyn Sink], at_once: usize, mut progress: impl FnMut(u64)) -> JobResult<()> {
        let tasks = self.tasks();
        let (next, rows) = (AtomicUsize::new(0), AtomicU64::new(0));
        let memory_bytes = self.memory_bytes / at_once.max(1);
        let output = Output { sinks, rows: &rows, memory_bytes };
        let orders = match self.detail {
            Detail::Final if !tasks.is_empty() => Some(Orders::begin(self, &output)?),
            Detail::Final | Detail::Changes | Detail::Counts => None,
        };
        std::thread::scope(|scope| {
            let (done, waits) = channel();
            for _ in 0..at_once {
                let done = done.clone();
                let (tasks, next, output, orders) = (&tasks, &next, &output, &orders);
                scope.spawn(move || {
                    let written = orders.as_ref().map_or(Ok(()), Orders::write);
                    if written.is_err() {
                        next.store(tasks.len(), Ordering::Relaxed);
                    }
                    let _ = done.send(written);
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let written = task(output);
                        if written.is_err() {
                            // Nobody begins another one.
                            next.store(tasks.len(), Ordering::Relaxed);
                        }
                        // Whoever waits stays until all have ended.
                        let _ = done.send(written);
                    }
                });
            }
            drop(done);
            let mut result = Ok(());
            loop {
                match waits.recv_timeout(TELL_EVERY) {
                    Ok(written) => result = result.and(written),
                    Err(RecvTimeoutError::Timeout) => progress(rows.load(Ordering::Relaxed)),
                    Err(RecvTimeoutError::Disconnected) => return result,
                }
            }
        })?;
        orders.map_or(Ok(()), Orders::finish)
    }

    /// How each collection is written but those of orders that are made when they are written, those first that take longest.
    fn tasks(&self) -> Vec<Task<'_>> {
        let Some(first) = self.gathered.first() else { return Vec::new() };
        let counted = row_counts::of(&first.measures, &first.lines);
        let (sums, lines) = (&first.measures, &first.lines);
        let mut tasks = match self.detail {
            Detail::Final => Vec::new(),
            Detail::Changes | Detail::Counts => vec![
                self.rows::<OrderEventRow, Latest>(counted.order_events),
                self.rows::<SlaBreachRow, Latest>(counted.sla_breaches),
                self.rows::<OrderRow, Latest>(counted.orders),
                self.rows::<ViolationRow, Latest>(counted.violations),
                self.rows::<StalledOrderRow, Latest>(counted.stalled_orders),
            ],
        };
        tasks.extend([
            self.quality(&first.quality, counted.data_quality_metrics),
            self.aggregate::<CategoryRow>(lines, counted.category_metrics),
            self.aggregate::<PaymentRow>(lines, counted.payment_metrics),
            self.aggregate::<FunnelRow>(sums, counted.real_time_funnel),
            self.aggregate::<GmvRow>(sums, counted.gmv_metrics),
            self.aggregate::<DropOffRow>(sums, counted.drop_off_analysis),
            self.aggregate::<SlaSummaryRow>(sums, 0),
            self.aggregate::<StatusRow>(sums, 0),
            self.rows::<DeadLetterRow, Refusals>(0),
        ]);
        tasks
    }

    /// Writes the rows that stand in the end.
    fn rows<R: Row, S: Standing>(&self, counted: i64) -> Task<'_> {
        Box::new(move |output| {
            output.write::<R>(counted, |table| {
                let (mut groups, mut standing, mut text) = (self.groups::<R>()?, S::default(), Vec::new());
                while groups.begin() {
                    standing.clear();
                    groups.updates(|time, rest, diff| standing.add(time, rest, diff))?;
                    let key = groups.key();
                    standing.rows(key, &mut |rest| {
                        text.clear();
                        text.extend_from_slice(key);
                        text.extend_from_slice(rest);
                        table.write(text_of(&text)?)
                    })?;
                }
                Ok(())
            })?;
            self.write_changes::<R>(output, S::default())
        })
    }

    /// Writes the changes of a collection to the sinks that want them.
    fn write_changes<R: Row>(&self, output: &Output<'_>, standing: impl Standing) -> JobResult<()> {
        let mut writers = output.begin_changes(Collection::of::<R>())?;
        if writers.is_empty() {
            return Ok(());
        }
        let end = self.as_of.unwrap_or(Time::MAX);
        let changes = changes_of(self.groups::<R>()?, standing, end, output.memory_bytes)?;
        changes.each(key_columns::<R>(), |text| {
            let row = TextRow::new(text_of(text)?);
            writers.iter_mut().try_for_each(|writer| writer.write(row))
        })?;
        writers.into_iter().try_for_each(|writer| writer.finish())
    }

    /// Writes rows that are made of sums.
    fn aggregate<'r, R: AggregateRow<Sums: DeserializeOwned>>(
        &'r self,
        sums: &'r Bundles<MeasureKey, R::Sums>,
        counted: i64,
    ) -> Task<'r>
    where
        Bundles<MeasureKey, R::Sums>: Sync,
    {
        Box::new(move |output| {
            output.write::<R>(counted, |table| {
                let (mut texts, mut rows) = (String::new(), Vec::new());
                for portion in rolled_up(sums, R::AGGREGATE, &self.law.settings.windows) {
                    texts.clear();
                    rows.clear();
                    for (key, sums) in portion {
                        let start = texts.len();
                        text_row::write(&R::of(key, sums), &mut texts);
                        rows.push(start..texts.len());
                    }
                    rows.sort_unstable_by(|left, right| texts[left.clone()].cmp(&texts[right.clone()]));
                    rows.iter().try_for_each(|row| table.write(&texts[row.clone()]))?;
                }
                Ok(())
            })?;
            self.write_changes::<R>(output, Sum::<R>::default())
        })
    }

    /// Writes the rows that counts of records and facts make.
    fn quality<'r>(&'r self, sums: &'r QualitySums, counted: i64) -> Task<'r> {
        Box::new(move |output| {
            output
                .write::<QualityRow>(counted, |table| quality::rows(sums).try_for_each(|row| table.write_row(&row)))?;
            self.write_changes::<QualityRow>(output, Counts::default())
        })
    }

    fn groups<R: Row>(&self) -> JobResult<Groups<'_>> {
        let runs = self.gathered.iter().filter_map(|gathered| gathered.rows.get(R::NAME));
        Groups::of(runs, key_columns::<R>()).map_err(|error| cannot("read", &error))
    }
}

fn key_columns<R: Row>() -> usize {
    R::COLUMNS.iter().filter(|column| column.is_key).count()
}

/// Where all collections go.
struct Output<'o> {
    sinks: &'o [&'o dyn Sink],
    rows: &'o AtomicU64,
    memory_bytes: usize,
}

/// Where one collection goes: to all sinks at once.
struct Table<'o> {
    writers: Vec<Box<dyn Writer + 'o>>,
    rows: u64,
    all_rows: &'o AtomicU64,
    text: String,
}

impl<'o> Output<'o> {
    fn begin_changes(&self, collection: Collection) -> JobResult<Vec<Box<dyn Writer + 'o>>> {
        self.sinks.iter().filter_map(|sink| sink.begin_changes(collection).transpose()).collect()
    }

    /// Writes a collection: the rows that `give` gives, and an empty one for each that was only `counted`.
    fn write<R: Row>(&self, counted: i64, give: impl FnOnce(&mut Table<'_>) -> JobResult<()>) -> JobResult<()> {
        let mut table = self.begin::<R>()?;
        give(&mut table)?;
        (0..counted).try_for_each(|_| table.write(""))?;
        table.finish()
    }

    /// Begins a collection.
    fn begin<R: Row>(&self) -> JobResult<Table<'o>> {
        let writers = self.sinks.iter().map(|sink| sink.begin(Collection::of::<R>())).collect::<JobResult<Vec<_>>>()?;
        Ok(Table { writers, rows: 0, all_rows: self.rows, text: String::new() })
    }
}

impl Table<'_> {
    fn write_row<R: Row>(&mut self, row: &R) -> JobResult<()> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text_row::write(row, &mut text);
        self.write(&text)?;
        self.text = text;
        Ok(())
    }

    /// Writes a row's text.
    fn write(&mut self, text: &str) -> JobResult<()> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_AT_ONCE) {
            self.all_rows.fetch_add(ROWS_AT_ONCE, Ordering::Relaxed);
        }
        let row = TextRow::new(text);
        self.writers.iter_mut().try_for_each(|writer| writer.write(row))
    }

    /// All rows are written.
    fn finish(self) -> JobResult<()> {
        self.writers.into_iter().try_for_each(|writer| writer.finish())
    }
}

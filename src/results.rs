//! Results: the collections of a replay as of its last frontier, written to every sink.
//!
//! Rows come in the order of their keys. Where a retired order's key is used again, the rows of the newer order replace
//! those of the older one (semantics.md, section 8). Invariant: no collection of rows is held in memory; each is read
//! through once and given to all sinks, row by row, several collections at a time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use dataflows::model::Text;
use dataflows::operators::bundles::Bundles;
use dataflows::time::{Time, Window};
use dataflows::views::categories::CategoryRow;
use dataflows::views::collection::{Collection, Row};
use dataflows::views::dead_letters::{DeadLetterRow, RefusedFacts, RefusedRecord};
use dataflows::views::drop_off::DropOffRow;
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;
use dataflows::views::measures::{Aggregate, MeasureKey, Measures};
use dataflows::views::order_events::OrderEventRow;
use dataflows::views::orders::OrderRow;
use dataflows::views::payments::PaymentRow;
use dataflows::views::quality::{self, QualityRow};
use dataflows::views::roll_up::{AggregateRow, rolled_up, sums_of};
use dataflows::views::sla_breaches::SlaBreachRow;
use dataflows::views::sla_summary::SlaSummaryRow;
use dataflows::views::stalled_orders::StalledOrderRow;
use dataflows::views::status::StatusRow;
use dataflows::views::violations::ViolationRow;
use dataflows::views::{record_law, row_counts};

use crate::error::JobResult;
use crate::gathered::{Gathered, Refused, cannot};
use crate::sink::text_row::{self, TextRow};
use crate::sink::{Sink, Writer};
use crate::source::intake::{FACTS_GIVEN, RECORDS_READ};

mod standing;

use standing::{Groups, Standing};

/// How often whoever waits is told how many rows have been written.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Rows are counted for that in portions.
const ROWS_AT_ONCE: u64 = 1 << 12;

/// What a replay came to.
pub struct Results {
    gathered: Vec<Gathered>,
    windows: Vec<Window>,
    as_of: Option<Time>,
}

/// Writes one collection.
type Task<'r> = Box<dyn Fn(&Output<'_>) -> JobResult<()> + Sync + 'r>;

impl Results {
    /// Takes what the workers of this process gathered; sums are the first one's.
    pub fn new(gathered: Vec<Gathered>, windows: &[Window], until: Option<Time>) -> Results {
        let mut results = Results { gathered, windows: windows.to_vec(), as_of: None };
        if results.record_law().accepted > 0 {
            results.as_of = until.or(results.gathered.first().and_then(|first| first.largest_accepted));
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
        let output = Output { sinks, rows: &rows };
        std::thread::scope(|scope| {
            let (done, waits) = channel();
            for _ in 0..at_once {
                let done = done.clone();
                let (tasks, next, output) = (&tasks, &next, &output);
                scope.spawn(move || {
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
        })
    }

    /// How each collection is written, those first that take longest.
    fn tasks(&self) -> Vec<Task<'_>> {
        let Some(first) = self.gathered.first() else { return Vec::new() };
        let counted = row_counts::of(&first.measures, &first.lines);
        let (sums, lines) = (&first.measures, &first.lines);
        vec![
            self.rows::<OrderEventRow>(counted.order_events),
            self.rows::<SlaBreachRow>(counted.sla_breaches),
            self.aggregate::<CategoryRow>(lines, counted.category_metrics),
            self.aggregate::<PaymentRow>(lines, counted.payment_metrics),
            self.aggregate::<FunnelRow>(sums, counted.real_time_funnel),
            self.aggregate::<GmvRow>(sums, counted.gmv_metrics),
            self.rows::<OrderRow>(counted.orders),
            Box::new(move |output| {
                output.write::<QualityRow>(counted.data_quality_metrics, |table| {
                    quality::rows(&first.quality).try_for_each(|row| table.write_row(&row))
                })
            }),
            self.rows::<ViolationRow>(counted.violations),
            self.rows::<StalledOrderRow>(counted.stalled_orders),
            self.aggregate::<DropOffRow>(sums, counted.drop_off_analysis),
            self.aggregate::<SlaSummaryRow>(sums, 0),
            self.aggregate::<StatusRow>(sums, 0),
            Box::new(|output| output.write::<DeadLetterRow>(0, |table| self.write_dead_letters(table))),
        ]
    }

    /// Writes rows of orders: of each key the latest.
    fn rows<R: Row>(&self, counted: i64) -> Task<'_> {
        Box::new(move |output| {
            output.write::<R>(counted, |table| {
                let (mut groups, mut standing, mut text) = (self.groups::<R>()?, Standing::default(), Vec::new());
                while groups.begin() {
                    standing.clear();
                    groups.updates(|time, rest, diff| standing.add(time, rest, diff))?;
                    if let Some(rest) = standing.latest() {
                        text.clear();
                        text.extend_from_slice(groups.key());
                        text.extend_from_slice(rest);
                        table.write(&text)?;
                    }
                }
                Ok(())
            })
        })
    }

    /// Writes rows that are made of sums.
    fn aggregate<'r, R: AggregateRow>(&'r self, sums: &'r Bundles<MeasureKey, R::Sums>, counted: i64) -> Task<'r>
    where
        Bundles<MeasureKey, R::Sums>: Sync,
    {
        Box::new(move |output| {
            output.write::<R>(counted, |table| {
                let (mut texts, mut rows) = (String::new(), Vec::new());
                for portion in rolled_up(sums, R::AGGREGATE, &self.windows) {
                    texts.clear();
                    rows.clear();
                    for (key, sums) in portion {
                        let start = texts.len();
                        text_row::write(&R::of(key, sums), &mut texts);
                        rows.push(start..texts.len());
                    }
                    rows.sort_unstable_by(|left, right| texts[left.clone()].cmp(&texts[right.clone()]));
                    rows.iter().try_for_each(|row| table.write(texts[row.clone()].as_bytes()))?;
                }
                Ok(())
            })
        })
    }

    fn write_dead_letters(&self, table: &mut Table<'_>) -> JobResult<()> {
        let mut groups = self.groups::<DeadLetterRow>()?;
        while groups.begin() {
            let (mut records, mut facts) = (Vec::new(), RefusedFacts::default());
            groups.updates(|_, rest, diff| match postcard::from_bytes(rest) {
                Ok(Refused::Record(record)) => records.push(record),
                Ok(Refused::Fact(fact)) => facts.add(fact, diff),
                // Of types that are all ours: it can be read.
                Err(_) => {}
            })?;
            records.extend(facts.records());
            let key = String::from_utf8_lossy(groups.key()).into_owned();
            records.iter().try_for_each(|record| table.write_row(&dead_letter(&key, record)))?;
        }
        Ok(())
    }

    fn groups<R: Row>(&self) -> JobResult<Groups<'_>> {
        let key_columns = R::COLUMNS.iter().filter(|column| column.is_key).count();
        let runs = self.gathered.iter().filter_map(|gathered| gathered.rows.get(R::NAME));
        Groups::of(runs, key_columns).map_err(|error| cannot("read", &error))
    }
}

fn dead_letter(key: &str, record: &RefusedRecord) -> DeadLetterRow {
    let mut key = TextRow::new(key).cells().map(|cell| Text::new(&cell));
    let reasons: BTreeSet<&str> = record.reasons.iter().map(String::as_str).collect();
    DeadLetterRow {
        source: key.next().unwrap_or_default(),
        position: key.next().unwrap_or_default(),
        reasons: reasons.into_iter().collect::<Vec<_>>().join(";"),
        event_id: record.event_id.clone(),
        schema_version: None,
        raw: record.raw.clone(),
    }
}

/// Where all collections go.
struct Output<'o> {
    sinks: &'o [&'o dyn Sink],
    rows: &'o AtomicU64,
}

/// Where one collection goes: to all sinks at once.
struct Table<'o> {
    writers: Vec<Box<dyn Writer + 'o>>,
    rows: u64,
    all_rows: &'o AtomicU64,
    text: String,
}

impl Output<'_> {
    /// Writes a collection: the rows that `give` gives, and an empty one for each that was only `counted`.
    fn write<R: Row>(&self, counted: i64, give: impl FnOnce(&mut Table<'_>) -> JobResult<()>) -> JobResult<()> {
        let writers = self.sinks.iter().map(|sink| sink.begin(Collection::of::<R>())).collect::<JobResult<Vec<_>>>()?;
        let mut table = Table { writers, rows: 0, all_rows: self.rows, text: String::new() };
        give(&mut table)?;
        (0..counted).try_for_each(|_| table.write(b""))?;
        table.writers.into_iter().try_for_each(|writer| writer.finish())
    }
}

impl Table<'_> {
    fn write_row<R: Row>(&mut self, row: &R) -> JobResult<()> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        text_row::write(row, &mut text);
        self.write(text.as_bytes())?;
        self.text = text;
        Ok(())
    }

    /// Writes a row's text, of which all parts were text.
    fn write(&mut self, text: &[u8]) -> JobResult<()> {
        self.rows += 1;
        if self.rows.is_multiple_of(ROWS_AT_ONCE) {
            self.all_rows.fetch_add(ROWS_AT_ONCE, Ordering::Relaxed);
        }
        let row = TextRow::new(std::str::from_utf8(text).unwrap_or_default());
        self.writers.iter_mut().try_for_each(|writer| writer.write(row))
    }
}

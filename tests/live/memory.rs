//! A log and a sink in memory, which outlive the jobs that use them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use orderwatch::clock::partitions::{Backlog, Partition};
use orderwatch::error::JobResult;
use orderwatch::sink::change::Change;
use orderwatch::sink::commits::{Outcome, Progress, Transactions};
use orderwatch::sink::text_row::TextRow;
use orderwatch::source::log::{Fetched, Log, Record};

/// Records by partition.
pub type Records = BTreeMap<Partition, Vec<Vec<u8>>>;

/// How often a log hands something on: a job that had read everything at once could not be killed before.
const PACE: Duration = Duration::from_millis(10);

/// A log that hands on a few records at a time.
pub struct MemoryLog {
    records: Arc<Records>,
    next: BTreeMap<Partition, (u64, bool)>,
    turn: usize,
    at_once: usize,
    polled: Instant,
}

impl MemoryLog {
    pub fn new(records: &Arc<Records>, at_once: usize) -> MemoryLog {
        MemoryLog { records: Arc::clone(records), next: BTreeMap::new(), turn: 0, at_once, polled: Instant::now() }
    }
}

impl Log for MemoryLog {
    fn read(&mut self, partition: Partition, next_offset: u64) {
        self.next.insert(partition, (next_offset, false));
    }

    fn hold(&mut self, partition: &Partition, holds: bool) {
        self.next.get_mut(partition).unwrap().1 = holds;
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        if self.polled.elapsed() < PACE {
            return Ok(None);
        }
        self.polled = Instant::now();
        self.turn += 1;
        let count = self.next.len().max(1);
        let Some((partition, (next, false))) = self.next.iter_mut().nth(self.turn % count) else { return Ok(None) };
        let all = &self.records[partition];
        let records: Vec<Record> = all
            .iter()
            .enumerate()
            .skip(*next as usize)
            .take(1 + (self.turn * 7) % self.at_once)
            .map(|(offset, text)| Record {
                offset: offset as u64,
                value: Some(text.as_slice().into()),
                ..Record::default()
            })
            .collect();
        *next += records.len() as u64;
        Ok((!records.is_empty()).then(|| Fetched { partition: partition.clone(), records }))
    }

    fn backlog(&self, partition: &Partition, next_offset: u64) -> Backlog {
        if next_offset >= self.records[partition].len() as u64 { Backlog::None } else { Backlog::Some }
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        None
    }

    fn high_watermark(&self, partition: &Partition) -> Option<u64> {
        Some(self.records[partition].len() as u64)
    }
}

/// Rows by collection, each its cells, and how far they are.
#[derive(Default)]
pub struct Tables {
    pub progress: Progress,
    rows: BTreeMap<&'static str, BTreeMap<Box<str>, Box<str>>>,
    /// So many commits were done.
    pub commits: usize,
    /// How far the sink was after each.
    pub frontiers: Vec<Time>,
}

impl Tables {
    /// The rows of a collection, each its cells.
    pub fn rows(&self, collection: &str) -> Vec<Vec<String>> {
        let rows = self.rows.get(collection).into_iter().flatten();
        let cells = |text: &str| TextRow::new(text).cells().map(|cell| cell.into_owned()).collect::<Vec<_>>();
        rows.map(|(key, rest)| [cells(key), cells(rest)].concat()).collect()
    }
}

/// A sink in memory. It loses answers where it is told to.
#[derive(Clone, Default)]
pub struct MemorySink {
    pub tables: Arc<Mutex<Tables>>,
    /// Of so many commits the answer to one is lost; 0: of none.
    pub loses_one_in: usize,
    /// Nothing is committed.
    pub is_away: Arc<AtomicBool>,
}

impl Transactions<Change> for MemorySink {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        let mut tables = self.tables.lock().unwrap();
        tables.progress.incarnation = tables.progress.incarnation.max(incarnation);
        Some(tables.progress.clone())
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        if self.is_away.load(Ordering::Relaxed) {
            return Outcome::Failed;
        }
        let mut tables = self.tables.lock().unwrap();
        if (tables.progress.incarnation, tables.progress.frontier) != (to.incarnation, from) {
            return Outcome::Fenced;
        }
        tables.commits += 1;
        let is_odd = self.loses_one_in > 0 && tables.commits.is_multiple_of(self.loses_one_in);
        if is_odd && tables.commits.is_multiple_of(2) {
            return Outcome::Unknown;
        }
        for (change, _) in updates {
            let rows = tables.rows.entry(change.collection.name).or_default();
            match &change.row {
                Some(row) => drop(rows.insert(change.key.clone(), row.clone())),
                None => drop(rows.remove(&change.key)),
            }
        }
        tables.progress = to.clone();
        tables.frontiers.push(to.frontier);
        if is_odd { Outcome::Unknown } else { Outcome::Done }
    }
}

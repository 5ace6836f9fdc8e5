//! Reading: a worker's partitions of a log, from records to facts with logical times.
//!
//! Invariant: what it hands on depends on records and marks alone (decision 10). What reading says of records is handed
//! on by stretches that lie between two marks, so a cut never goes through one. Limits: what waits for the slowest
//! partition is a share of [`RECORDS_AHEAD`] records, at least 1,000, or, where that is more, those of as much event time as
//! the settings say, but not ten shares of them. What the slowest one has read waits for a tick, or for a thousand records.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError};

use dataflows::model::{Position, Symbol, Text};
use dataflows::orders::parcel::{Parcel, order_key};
use dataflows::time::Time;
use serde::{Deserialize, Serialize};

use super::counters::Lag;
use super::discovery::Start;
use super::publisher::{Reading as Said, Update};
use crate::clock::partitions::{Backlog, Cut, Partition, PartitionClock, Standing, TimeMode, Trail};
use crate::clock::{Lateness, wall_clock_ms};
use crate::error::JobResult;
use crate::source::intake::{Decoded, Intake, Selection};
use crate::source::log::{Fetched, Log, Record};
use crate::source::watch::journal::SharedFiles;
use crate::validate::Limits;

/// Partitions of a topic have numbers below this; more are refused.
pub const PARTITIONS_MAX: i32 = 1 << 10;
/// So many records of a worker's partitions, each its share, may always wait for the time that all have reached. In a
/// small shop an hour is a few records, and to wait for a tick after each few would make catching up slow.
pub const RECORDS_AHEAD: usize = 100_000;
/// The least share of a partition.
const RECORDS_AHEAD_MIN: usize = 1_000;
/// So many shares wait at most: a partition may have any number of records in no event time at all.
const SHARES_MAX: usize = 10;

/// The topics of a job: positions and sources by their places in this list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics(pub Vec<String>);

impl Topics {
    /// The position of a record.
    pub fn position(&self, partition: &Partition, offset: u64) -> Position {
        Position::new(self.number(partition), offset)
    }

    /// The partition that a position is in.
    pub fn partition(&self, position: Position) -> Option<Partition> {
        let file = position.file() as i32;
        let topic = self.0.get((file / PARTITIONS_MAX) as usize)?.clone();
        Some(Partition { topic, number: file % PARTITIONS_MAX })
    }

    /// Where a position is, as dead letters say it: the topic, and partition and offset.
    pub fn place(&self, position: Position) -> (Text, Text) {
        let partition = self.partition(position);
        let topic = partition.as_ref().map_or_else(Text::default, |partition| Text::new(&partition.topic));
        let number = partition.map_or(0, |partition| partition.number);
        (topic, Text::new(&format!("{number}/{}", position.line())))
    }

    /// The same, where a topic may be a directory with these files: of a file its name and the line.
    pub fn place_in(&self, files: Option<&SharedFiles>, position: Position) -> (Text, Text) {
        let in_file = || {
            let directory = self.partition(position)?.topic;
            let files = files.filter(|_| directory.ends_with('/'))?.lock().unwrap_or_else(PoisonError::into_inner);
            let (name, line) = files.place(position.line())?;
            Some((Text::new(&format!("{directory}{name}")), Text::new(&format!("{name}:{line}"))))
        };
        in_file().unwrap_or_else(|| self.place(position))
    }

    /// The source of every position, by the number of its file.
    pub fn sources(&self) -> Vec<Symbol> {
        let of = |topic: &String| vec![Symbol::new(&Text::new(topic)); PARTITIONS_MAX as usize];
        self.0.iter().flat_map(of).collect()
    }

    /// True where a record at this position was read before the cut.
    pub fn is_before(&self, cut: &Cut, position: Position) -> bool {
        let mark = self.partition(position).and_then(|partition| cut.get(&partition).copied());
        mark.is_some_and(|mark| position.line() < mark.next_offset)
    }

    fn number(&self, partition: &Partition) -> u32 {
        let topic = self.0.iter().position(|topic| *topic == partition.topic).unwrap_or_default();
        (topic as i32 * PARTITIONS_MAX + partition.number) as u32
    }
}

/// Where partitions are begun: what an earlier reading left, and offsets for those that it did not know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Beginning {
    /// Where each partition is to be read on.
    pub cut: Cut,
    /// The marks to follow.
    pub trail: Trail,
    /// The time before which nothing counts.
    pub frontier: Time,
    /// Where the marks end.
    pub followed_until: Time,
}

/// What reading needs to know.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What validation needs to know; its wall clock is that of the partition.
    pub limits: Limits,
    /// What is late.
    pub lateness: Lateness,
    /// What moves time.
    pub mode: TimeMode,
    /// How far the watermark stays behind the largest timestamp read, in milliseconds.
    pub out_of_orderness_ms: u64,
    /// How far a partition may be ahead of the time that all have reached, in milliseconds.
    pub max_read_ahead_ms: u64,
    /// Grid on which aggregates change, in milliseconds.
    pub tick_ms: u64,
    /// The topics.
    pub topics: Topics,
}

/// What was read of a partition and waits for the time that all have reached.
#[derive(Default)]
struct Ahead {
    is_held: bool,
    records: usize,
    /// Portions of them: where the watermark was after each, and how many records it had.
    portions: VecDeque<(Time, usize)>,
}

impl Ahead {
    fn read(&mut self, watermark: Time, records: usize) {
        self.records += records;
        match self.portions.back_mut() {
            Some((last, count)) if *last == watermark => *count += records,
            _ => self.portions.push_back((watermark, records)),
        }
    }

    fn reach(&mut self, reached: Time) {
        while let Some((_, count)) = self.portions.pop_front_if(|(watermark, _)| *watermark <= reached) {
            self.records -= count;
        }
    }
}

/// A worker's share of a log.
pub struct Reading {
    log: Box<dyn Log>,
    clock: PartitionClock,
    intake: Intake,
    terms: Terms,
    /// What an earlier reading left, by partition, until it is taken up.
    cut: Cut,
    trail: Trail,
    ahead: BTreeMap<Partition, Ahead>,
    /// True where nothing was read before.
    is_first: bool,
    updates: Vec<Update>,
    /// Records read so far.
    pub records_read: u64,
}

impl Reading {
    /// Nothing read yet.
    pub fn new(log: Box<dyn Log>, terms: Terms, beginning: &Beginning, peers: usize) -> Reading {
        let Beginning { cut, trail, frontier, followed_until } = beginning.clone();
        let is_first = cut.is_empty() && trail.is_empty() && frontier == 0;
        let selection = Selection { from: 0, until: Time::MAX, orders: None };
        let sources = Arc::new(terms.topics.sources());
        Reading {
            log,
            clock: PartitionClock::new(terms.mode, terms.out_of_orderness_ms, frontier, followed_until),
            intake: Intake::new(terms.limits, selection, terms.lateness, sources, peers, terms.tick_ms),
            terms,
            cut,
            trail,
            ahead: BTreeMap::new(),
            is_first,
            updates: Vec::new(),
            records_read: 0,
        }
    }

    /// Begins to read a partition: where an earlier reading left it, or else where `start` says: of a job that has read
    /// before, at its beginning, for it was made since. One that is read already goes on.
    pub fn begin(&mut self, partition: &Partition, start: Start) {
        if self.clock.next_offset(partition).is_some() {
            return;
        }
        let start = if self.is_first { start.chosen } else { start.earliest };
        let (from, trail) = (self.cut.remove(partition), self.trail.remove(partition).unwrap_or_default());
        if !self.clock.resume(partition.clone(), from, &trail) {
            self.clock.enter(partition.clone(), start);
        }
        let next_offset = self.clock.next_offset(partition).unwrap_or(start);
        self.ahead.insert(partition.clone(), Ahead::default());
        self.log.read(partition.clone(), next_offset);
    }

    /// Takes in what has come: false where that is nothing. `reached` is the time that all partitions have reached.
    pub fn read(&mut self, reached: Time) -> JobResult<bool> {
        let Reading { clock, log, ahead, terms, .. } = self;
        let share = (RECORDS_AHEAD / ahead.len().max(1)).max(RECORDS_AHEAD_MIN);
        for (partition, ahead) in ahead.iter_mut() {
            ahead.reach(reached);
            let is_far = || !clock.may_read(partition, reached, terms.max_read_ahead_ms);
            let holds = ahead.records >= share * SHARES_MAX || ahead.records >= share && is_far();
            if holds != ahead.is_held {
                ahead.is_held = holds;
                log.hold(partition, holds);
            }
        }
        let Some(fetched) = log.poll()? else { return Ok(false) };
        self.take(&fetched);
        let watermark = self.clock.watermark(&fetched.partition).unwrap_or_default();
        if let Some(ahead) = self.ahead.get_mut(&fetched.partition) {
            ahead.read(watermark, fetched.records.len());
        }
        Ok(true)
    }

    fn take(&mut self, Fetched { partition, records }: &Fetched) {
        let mut first = None;
        for record in records {
            let Some(watermark) = self.clock.begin(partition, record.offset) else { continue };
            self.intake.limits.now_ms = self.clock.wall_clock_of(partition).unwrap_or_else(wall_clock_ms);
            self.intake.advance(watermark);
            self.take_record(partition, record, watermark);
            first.get_or_insert(record.offset);
            // A mark may come before the next record.
            first.take_if(|_| self.clock.follows(partition)).inspect(|first| self.close_stretch(partition, *first));
        }
        first.inspect(|first| self.close_stretch(partition, *first));
    }

    fn take_record(&mut self, partition: &Partition, record: &Record, watermark: Time) {
        // What deletes its key says nothing of an order.
        let Some(value) = record.value.as_deref() else { return };
        self.records_read += 1;
        let position = self.terms.topics.position(partition, record.offset);
        match record.form.record(value, &self.intake.limits) {
            Ok(facts) => {
                let key = order_key(facts.order());
                let decoded = Decoded { key, position, record_at: facts.at(), watermark };
                self.intake.count_decoded(decoded);
                facts.iter().for_each(|fact| self.intake.fact(fact, decoded));
                self.clock.observe(partition, facts.latest());
            }
            Err(broken) => self.intake.refuse(position, &broken, value),
        }
    }

    /// Puts down what was said of the records from `first` on, of which nothing has been put down yet.
    fn close_stretch(&mut self, partition: &Partition, first: u64) {
        let position = self.terms.topics.position(partition, first);
        let counts = self.intake.quality();
        let mut said: Vec<(Position, Time, Said)> =
            counts.map(|(key, time, counts)| (position, time, Said::Quality(key, counts))).collect();
        let refused = self.intake.refused_records().into_iter();
        said.extend(refused.map(|(record, time)| (record.position, time, Said::Refused(Box::new(record)))));
        if !said.is_empty() {
            self.updates.push(Update::Read(said));
        }
        // Records are counted by source and minute; nobody adds them up a second time.
        let _ = self.intake.law();
    }

    /// The facts that were read, in a parcel for each worker.
    pub fn parcels(&mut self) -> impl Iterator<Item = Parcel> + '_ {
        self.intake.parcels()
    }

    /// What reading says of records.
    pub fn updates(&mut self) -> impl Iterator<Item = Update> + '_ {
        self.updates.drain(..)
    }

    /// It is `now` by the wall clock: the marks to be put down, and how far this worker's partitions are. `elsewhere` is how
    /// far those of the others are.
    pub fn tick(&mut self, now: Time, elsewhere: Standing) -> (Trail, Standing) {
        let ends: Vec<(Partition, u64)> = self
            .clock
            .partitions()
            .filter_map(|partition| Some((partition.clone(), self.log.end_position(partition)?)))
            .collect();
        ends.iter().for_each(|(partition, end)| self.clock.skip_to(partition, *end));
        let positions = self.positions();
        let log = &self.log;
        let backlog = |partition: &Partition| {
            positions.get(partition).map_or(Backlog::Some, |next_offset| log.backlog(partition, *next_offset))
        };
        self.clock.tick(now, elsewhere, backlog)
    }

    /// The time before which nothing more comes.
    pub fn promise(&self) -> Time {
        self.clock.promise()
    }

    /// How far a promise is behind what it would be if all were read, in milliseconds.
    pub fn behind_ms(&self, promised: Time) -> u64 {
        wall_clock_ms().saturating_sub(self.terms.out_of_orderness_ms).saturating_sub(promised)
    }

    /// How far each partition is, and how far it has to go.
    pub fn lags(&self) -> BTreeMap<Partition, Lag> {
        let lag = |(partition, next_offset): (Partition, u64)| {
            let (high_watermark, watermark) = (self.log.high_watermark(&partition), self.clock.watermark(&partition));
            let lag = Lag { next_offset, high_watermark, watermark: watermark.unwrap_or(0) };
            (partition, lag)
        };
        self.positions().into_iter().map(lag).collect()
    }

    /// Tells the log how far each partition has been read, for tools that show it.
    pub fn publish(&self) {
        self.log.publish(&self.positions());
    }

    /// How far each partition has been read.
    pub fn positions(&self) -> BTreeMap<Partition, u64> {
        let next = |partition: &Partition| Some((partition.clone(), self.clock.next_offset(partition)?));
        self.clock.partitions().filter_map(next).collect()
    }
}

#[cfg(test)]
mod tests;

//! The clock of the partitions that a worker reads live: when each record counts, and up to where nothing more comes.
//!
//! A watermark is moved by the records of its partition and, at ticks, by everything else, which is put down as a mark.
//! Invariant: the logical time of a record depends on its partition's records and marks alone, so whoever reads the same
//! records and follows the same marks gives the same times. A watermark never moves backwards, and after a tick no record
//! gets a time before its promise. Limits: a watermark that many records in a row leave where it is, broken or late ones,
//! goes on by a millisecond at a tick, for all of them count there and wait in memory. Source: semantics.md, section 1;
//! decision 10.

use std::collections::{BTreeMap, VecDeque};

use clap::ValueEnum;
use dataflows::time::Time;
use serde::{Deserialize, Serialize};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    /// The topic.
    pub topic: String,
    /// The number within the topic.
    pub number: i32,
}

/// What happened to a watermark otherwise than by records: from an offset on it is at least so far, and records are judged
/// by this clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Offset of the first record that it is about.
    pub next_offset: u64,
    /// The largest event time read before it.
    pub largest_at: Time,
    /// Where the watermark stands.
    pub watermark: Time,
    /// The wall clock that records are judged by, less what may come out of order: where it moves time, they move the
    /// watermark no further.
    pub ceiling: Time,
}

/// The marks of each partition, in order.
pub type Trail = BTreeMap<Partition, Vec<Mark>>;
/// For each partition the mark from which on nothing counts before some time.
pub type Cut = BTreeMap<Partition, Mark>;

/// The cut at `frontier`: of each partition the first mark that is as far; none where a partition has none.
pub fn cut_at(trail: &Trail, frontier: Time) -> Option<Cut> {
    let first = |marks: &Vec<Mark>| marks.iter().find(|mark| mark.watermark >= frontier).copied();
    trail.iter().map(|(partition, marks)| Some((partition.clone(), first(marks)?))).collect()
}

/// Puts down a mark behind the others. Of marks at one offset the last says all: no record was read between them, so each
/// record after them counts no earlier than it says, whichever of them a cut has.
pub fn put_down(marks: &mut Vec<Mark>, mark: Mark) {
    marks.pop_if(|last| last.next_offset == mark.next_offset);
    marks.push(mark);
}

/// Forgets the marks that lead to a cut, by their offsets: see [`PartitionClock::resume`].
pub fn trim(trail: &mut Trail, cut: &Cut) {
    for (partition, marks) in trail {
        if let Some(from) = cut.get(partition) {
            marks.retain(|mark| mark.next_offset >= from.next_offset);
        }
    }
}

/// So many records in a row may leave a watermark where it is that time waits for.
const UNMOVING_RECORDS: u64 = 1_000;

/// What moves time. With the wall clock goes what is caught up with, and nothing runs ahead of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TimeMode {
    /// The wall clock.
    #[default]
    Wall,
    /// Data alone.
    Event,
}

/// What a broker last said of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// There is more to be read, or nobody knows.
    Some,
    /// All that there is has been read, and the broker said so a moment ago.
    None,
}

/// How far the watermarks of some partitions are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The least of those that hold time back; none where none does.
    pub least: Option<Time>,
    /// The largest of all.
    pub largest: Time,
}

impl Standing {
    /// That of both together.
    pub fn and(self, other: Standing) -> Standing {
        Standing { least: self.least.into_iter().chain(other.least).min(), largest: self.largest.max(other.largest) }
    }
}

/// One partition as it is read.
#[derive(Debug)]
struct Reading {
    mode: TimeMode,
    now: Mark,
    /// Where the watermark was before the last record, and before how many in a row.
    stood: (Time, u64),
    /// The mark that was put down last.
    marked: Mark,
    /// Marks of an earlier reading that this one follows, and those it has passed since the last tick.
    follows: VecDeque<Mark>,
    passed: Vec<Mark>,
}

impl Reading {
    fn new(mode: TimeMode, from: Mark, follows: VecDeque<Mark>) -> Reading {
        Reading { mode, now: from, stood: (0, 0), marked: from, follows, passed: Vec::new() }
    }

    /// Nothing takes the watermark further.
    fn limit(&self) -> Time {
        if self.mode == TimeMode::Wall { self.now.ceiling } else { Time::MAX }
    }

    /// The watermark goes as far as what was read takes it.
    fn rise(&mut self, out_of_orderness_ms: u64) {
        let by_records = self.now.largest_at.saturating_sub(out_of_orderness_ms);
        self.now.watermark = self.now.watermark.max(by_records.min(self.limit()));
    }

    /// Where so many records have left the watermark where it is, it goes on without them: they all count there.
    fn go_on(&mut self, unmoving_records: u64) {
        let (stood_at, records) = self.stood;
        if stood_at == self.now.watermark && records >= unmoving_records && stood_at < self.limit() {
            self.now.watermark += 1;
        }
    }

    /// Does what marks of the earlier reading say of records from here on. Behind the last of them this reading goes on by
    /// itself, up to `ceiling`: the last mark may be hours old, and what comes next must not be judged by its clock.
    fn follow(&mut self, out_of_orderness_ms: u64, ceiling: Time) {
        while let Some(mark) = self.follows.pop_front_if(|mark| mark.next_offset <= self.now.next_offset) {
            self.now.ceiling = self.now.ceiling.max(mark.ceiling);
            self.now.watermark = self.now.watermark.max(mark.watermark);
            self.rise(out_of_orderness_ms);
            self.passed.push(mark);
            if self.follows.is_empty() && ceiling > self.now.ceiling {
                self.now.ceiling = ceiling;
                self.rise(out_of_orderness_ms);
                self.passed.push(self.now);
            }
        }
    }
}

/// The clock of a worker's partitions.
#[derive(Debug)]
pub struct PartitionClock {
    /// So many records in a row may leave a watermark where it is; whoever tries the clock may want fewer.
    pub unmoving_records: u64,
    mode: TimeMode,
    out_of_orderness_ms: u64,
    readings: BTreeMap<Partition, Reading>,
    promise: Time,
    /// See [`Mark::ceiling`], as of the last tick.
    ceiling: Time,
    /// Up to here an earlier reading is followed: what it did not know of counts later.
    followed_until: Time,
}

impl PartitionClock {
    /// No partitions yet. Nothing counts before `promised`, and an earlier reading is followed until `followed_until`.
    pub fn new(mode: TimeMode, out_of_orderness_ms: u64, promised: Time, followed_until: Time) -> PartitionClock {
        PartitionClock {
            unmoving_records: UNMOVING_RECORDS,
            mode,
            out_of_orderness_ms,
            readings: BTreeMap::new(),
            promise: promised,
            ceiling: 0,
            followed_until,
        }
    }

    /// Begins to read a partition that nobody has read, from `next_offset` on; nothing of it counts before what has been
    /// promised, by this reading or the one it follows.
    pub fn enter(&mut self, partition: Partition, next_offset: u64) {
        let (mode, earliest) = (self.mode, self.promise.max(self.followed_until));
        let now = Mark { next_offset, largest_at: 0, watermark: earliest, ceiling: earliest };
        // Where it began is put down, too: a record before the first tick counts no earlier than this.
        self.readings
            .entry(partition)
            .or_insert_with(|| Reading { passed: vec![now], ..Reading::new(mode, now, VecDeque::new()) });
    }

    /// Reads a partition on from a mark, as an earlier reading did that left these marks; from the first of them where
    /// there is no other. False where there is none at all.
    pub fn resume(&mut self, partition: Partition, from: Option<Mark>, trail: &[Mark]) -> bool {
        // Of a checkpoint's mark only the offset is sure: whoever wrote it may have gone on, to a tick that was left again.
        let left = trail.iter().find(|mark| from.is_none_or(|from| mark.next_offset == from.next_offset)).copied();
        let Some(mut from) = left.or(from) else { return false };
        if trail.is_empty() {
            // Whoever wrote the checkpoint had found it, and the reading that is followed had not.
            from.watermark = from.watermark.max(self.followed_until);
            from.ceiling = from.ceiling.max(self.followed_until);
        }
        let follows = trail.iter().filter(|mark| **mark > from).copied().collect();
        // Whoever is told of the partition by this reading alone has to learn where it began.
        self.readings.insert(partition, Reading { passed: vec![from], ..Reading::new(self.mode, from, follows) });
        true
    }

    /// Offset of the record that is to be read next.
    pub fn next_offset(&self, partition: &Partition) -> Option<u64> {
        self.readings.get(partition).map(|reading| reading.now.next_offset)
    }

    /// Before this nothing of a partition counts any more.
    pub fn watermark(&self, partition: &Partition) -> Option<Time> {
        self.readings.get(partition).map(|reading| reading.now.watermark)
    }

    /// True where a partition may be read: it is not so far ahead of the time that all have `reached`.
    pub fn may_read(&self, partition: &Partition, reached: Time, max_read_ahead_ms: u64) -> bool {
        let limit = reached.saturating_add(max_read_ahead_ms);
        self.readings.get(partition).is_some_and(|reading| reading.now.watermark <= limit)
    }

    /// The wall clock as far as a partition's records may know: the one of its last tick, whoever reads it again.
    pub fn wall_clock_of(&self, partition: &Partition) -> Option<Time> {
        Some(self.readings.get(partition)?.now.ceiling.saturating_add(self.out_of_orderness_ms))
    }

    /// The partitions that are read.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.readings.keys()
    }

    /// True while a partition follows the marks of an earlier reading.
    pub fn follows(&self, partition: &Partition) -> bool {
        self.readings.get(partition).is_some_and(|reading| !reading.follows.is_empty())
    }

    /// There is no record from where the partition stands up to `offset`: markers of transactions, records compacted away.
    pub fn skip_to(&mut self, partition: &Partition, offset: u64) {
        if let Some(reading) = self.readings.get_mut(partition).filter(|reading| offset > reading.now.next_offset) {
            reading.now.next_offset = offset;
            reading.follow(self.out_of_orderness_ms, self.ceiling);
        }
    }

    /// The watermark before the record at `offset`, which its facts' times are no less than; none where the record was
    /// read before, or the partition is not read here. Told first, before [`PartitionClock::observe`].
    pub fn begin(&mut self, partition: &Partition, offset: u64) -> Option<Time> {
        let reading = self.readings.get_mut(partition).filter(|reading| offset >= reading.now.next_offset)?;
        // Offsets may be missing: markers of transactions, records that were compacted away.
        reading.now.next_offset = offset;
        reading.follow(self.out_of_orderness_ms, self.ceiling);
        reading.now.next_offset = offset + 1;
        let (watermark, (stood_at, records)) = (reading.now.watermark, reading.stood);
        reading.stood = (watermark, if stood_at == watermark { records + 1 } else { 1 });
        Some(watermark)
    }

    /// A record was decoded whose largest event time is `at`: it moves the watermark, after its facts got their times.
    pub fn observe(&mut self, partition: &Partition, at: Time) {
        if let Some(reading) = self.readings.get_mut(partition) {
            reading.now.largest_at = reading.now.largest_at.max(at);
            reading.rise(self.out_of_orderness_ms);
        }
    }

    /// A tick: time has passed. What is to be put down, and how far the partitions of this clock are. `now` is the wall
    /// clock, `backlog` what brokers last said, `elsewhere` how far the partitions of other clocks are. The marks have to
    /// be sent before the [`PartitionClock::promise`] is.
    pub fn tick(
        &mut self,
        now: Time,
        elsewhere: Standing,
        backlog: impl Fn(&Partition) -> Backlog,
    ) -> (Trail, Standing) {
        let out_of_orderness_ms = self.out_of_orderness_ms;
        let wall = now.saturating_sub(out_of_orderness_ms);
        let mut standing = Standing::default();
        self.ceiling = self.ceiling.max(wall);
        for (partition, reading) in &mut self.readings {
            reading.follow(out_of_orderness_ms, self.ceiling);
            let follows = !reading.follows.is_empty();
            let is_caught_up = !follows && backlog(partition) == Backlog::None;
            if !follows {
                reading.now.ceiling = reading.now.ceiling.max(self.ceiling);
                reading.rise(out_of_orderness_ms);
                if is_caught_up && self.mode == TimeMode::Wall {
                    reading.now.watermark = reading.now.watermark.max(wall);
                } else if reading.now.watermark <= self.promise {
                    // Time waits for it. One that is ahead can be held instead.
                    reading.go_on(self.unmoving_records);
                }
            }
            let watermark = reading.now.watermark;
            let holds_back = !(is_caught_up && self.mode == TimeMode::Event);
            standing = standing.and(Standing { least: holds_back.then_some(watermark), largest: watermark });
        }
        // Where nothing here holds time back it is where the others are; where all are caught up and data alone moves
        // time, where the furthest is.
        let all = standing.and(elsewhere);
        self.promise = self.promise.max(standing.least.or(elsewhere.least).unwrap_or(all.largest));
        let mut trail = Trail::new();
        for (partition, reading) in &mut self.readings {
            // What was left out comes back where the others are.
            reading.now.watermark = reading.now.watermark.max(self.promise);
            let mut marks = std::mem::take(&mut reading.passed);
            if *marks.last().unwrap_or(&reading.marked) != reading.now {
                marks.push(reading.now);
            }
            reading.marked = reading.now;
            if !marks.is_empty() {
                trail.insert(partition.clone(), marks);
            }
        }
        (trail, standing)
    }

    /// The time before which no record counts any more.
    pub fn promise(&self) -> Time {
        self.promise
    }
}

#[cfg(test)]
mod tests;

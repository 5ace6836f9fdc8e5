//! Supply: what a worker reads, in the order and at the pace in which the graph is to have it.
//!
//! Without a pace every stretch is handed on as it is read. With one, facts are held until the replay clock has passed
//! their time, and no more is read than a stretch beyond what the clock has passed: so results move as smoothly as time
//! does, with or without facts. The watch has them as they are read, to know what time will come to; where it does not know
//! beyond the clock some more is read. The clock starts from the first time of all, which the graph's own frontier tells, once no
//! worker promises less. Asked to stop, a supply reads no more: with a pace it cuts time where the clock stands, without
//! one it hands on all that was read. What was read and is not handed on is as if it lay behind `--until`.

use std::sync::Arc;

use dataflows::operators::stash::Stash;
use dataflows::orders::parcel::Parcel;
use dataflows::time::{DAY_MS, Time};

use super::intake::{Intake, Selection};
use super::{Polled, Source};
use crate::clock::ReplayClock;
use crate::error::JobResult;
use crate::interrupt;

/// Facts are held in buckets of so much of the wall clock, in milliseconds.
const BUCKET_WALL_MS: u64 = 20;
/// So many stretches more are read for the watch at most: those that follow may all be refused.
const FOR_WATCH: usize = 4;

/// What a worker reads.
pub struct Supply {
    /// What is to be handed to the graph.
    pub intake: Intake,
    readers: Vec<Box<dyn Source>>,
    pace: Option<Pace>,
    promised: Time,
    until: Time,
    is_cut: bool,
}

/// What came of asking for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supplied {
    /// Something was read.
    Read,
    /// Time has to pass first.
    Waits,
    /// Nothing more comes.
    Ended,
}

impl Supply {
    /// What `readers` read into `intake`, paced by `clock` where there is one.
    pub fn new(
        readers: Vec<Box<dyn Source>>,
        intake: Intake,
        selection: &Selection,
        clock: Option<Arc<ReplayClock>>,
    ) -> Supply {
        let pace = clock.map(|clock| Pace {
            held: Stash::new((clock.speed().saturating_mul(BUCKET_WALL_MS)).min(DAY_MS)),
            clock,
            from: selection.from,
            until: selection.until,
            first_held: Time::MAX,
            unseen: Vec::new(),
            watched: None,
            read_for_watch: 0,
        });
        Supply { intake, readers, pace, promised: 0, until: selection.until, is_cut: false }
    }

    /// Nothing with a logical time before this comes any more.
    pub fn promise(&self) -> Time {
        self.promised
    }

    /// Reads a stretch of the source that is furthest behind, where it is time to. `reached` is how far the graph is.
    pub fn poll(&mut self, reached: Option<Time>) -> JobResult<Supplied> {
        let now = self.pace.as_ref().map_or(Some(Time::MAX), |pace| pace.now(reached));
        // Where nothing is held back, stopping is to read no more.
        if now == Some(Time::MAX) && interrupt::is_requested() {
            // Of what lies behind the end that was asked for nothing is missing.
            self.is_cut |= self.least() <= self.until;
            self.readers.iter_mut().for_each(|reader| reader.stop());
        }
        let least = self.least();
        let is_due = self.pace.as_mut().is_none_or(|pace| pace.reads_on(least, now.unwrap_or(pace.from)));
        let reads = !self.readers.is_empty() && is_due;
        if reads
            && let Some((place, reader)) =
                self.readers.iter_mut().enumerate().min_by_key(|(_, reader)| reader.promise())
            && reader.poll(&mut self.intake)? == Polled::Done
        {
            // It may have been told to stop before this was. Nothing is missing of what lies behind the end.
            self.is_cut |= interrupt::is_requested() && least <= self.until;
            self.readers.remove(place);
        }
        let least = self.least();
        let mut is_over = self.readers.is_empty();
        let mut promise = least;
        if let Some(pace) = &mut self.pace {
            pace.hold(self.intake.withdraw());
            pace.release(now.unwrap_or(0), &mut self.intake);
            promise = promise.min(now.unwrap_or(pace.first_held));
            let end = pace.end(self.intake.event_time_read());
            if let (true, Some(end)) = (is_over, end) {
                // Time stops at the end.
                promise = promise.min(end.saturating_add(1));
            }
            let is_cut = interrupt::is_requested() && now.is_some_and(|now| least > now);
            self.is_cut |= is_cut;
            is_over = is_cut || is_over && end.is_none_or(|end| now.is_some_and(|now| now > end));
        }
        // Of what holds no time it is not known when it is read: until then it is no later than it is.
        if is_over || promise < Time::MAX {
            self.promised = self.promised.max(promise);
        }
        Ok(match (is_over, reads) {
            (true, _) => Supplied::Ended,
            (_, true) => Supplied::Read,
            (_, false) => Supplied::Waits,
        })
    }

    /// For the watch, which has come to a time: what was read since this was asked last, and before when nothing is to be
    /// read any more; none where that is all.
    pub fn read_ahead(&mut self, watched: Option<Time>) -> (Vec<Parcel>, Option<Time>) {
        let promise = (!self.readers.is_empty()).then(|| self.least());
        let Some(pace) = &mut self.pace else { return (Vec::new(), promise) };
        pace.watched = watched;
        (std::mem::take(&mut pace.unseen), promise)
    }

    /// True where it was asked to stop before it had handed on all there is.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The clock follows the graph, which has `reached` this time, also where this worker has nothing more to read.
    pub fn follow(&self, reached: Option<Time>) {
        if let Some(pace) = &self.pace {
            pace.now(reached);
        }
    }

    fn least(&self) -> Time {
        self.readers.iter().map(|reader| reader.promise()).min().unwrap_or(Time::MAX)
    }
}

/// What a paced supply waits for.
struct Pace {
    clock: Arc<ReplayClock>,
    from: Time,
    until: Time,
    /// Facts whose time has not come, by the worker they are for.
    held: Stash,
    /// The first time of all facts ever held.
    first_held: Time,
    /// What the watch has not had.
    unseen: Vec<Parcel>,
    /// How far the watch knows what time comes to; none where it has seen all.
    watched: Option<Time>,
    read_for_watch: usize,
}

impl Pace {
    /// What the clock shows; none before it starts, which it does as soon as it can. Beyond `--until` records are only
    /// counted, which takes no time.
    fn now(&self, reached: Option<Time>) -> Option<Time> {
        if interrupt::is_requested() {
            self.clock.stop();
        }
        // A graph that is at 0 may have promised nothing yet, or hold what is of that instant. What lies before `--from` is
        // passed over first, which may take longer than what lies behind it.
        let may_start = |reached: &Time| *reached >= self.from && (*reached > 0 || self.first_held == 0);
        if let Some(reached) = reached.filter(may_start) {
            self.clock.start(Some(self.from).filter(|from| *from > 0), reached);
        }
        self.clock.now().map(|now| if now > self.until { Time::MAX } else { now })
    }

    /// True where it is time to read a stretch of what has nothing before `least`.
    fn reads_on(&mut self, least: Time, now: Time) -> bool {
        // Where nothing is held more is read at once, whenever that is: it may all be refused, and that waits for no time.
        let is_due = self.held.is_empty() || least <= now;
        let is_unknown = self.watched.is_some_and(|watched| watched <= now) && self.read_for_watch < FOR_WATCH;
        self.read_for_watch = if is_due { 0 } else { self.read_for_watch + usize::from(is_unknown) };
        is_due || is_unknown
    }

    fn hold(&mut self, parcels: Vec<Parcel>) {
        for parcel in &parcels {
            let mut rest = &*parcel.bytes;
            while let Some((time, fact)) = Parcel::first_of(rest) {
                self.held.push(time, parcel.to as u32, fact);
                self.first_held = self.first_held.min(time);
                rest = &rest[fact.len()..];
            }
        }
        self.unseen.extend(parcels);
    }

    fn release(&mut self, now: Time, intake: &mut Intake) {
        while let Some(batch) = self.held.take_before(now) {
            for entry in batch.entries() {
                intake.release(u64::from(entry.group()), batch.record(entry));
            }
            self.held.recycle(batch);
        }
    }

    /// The last time that is to pass: `--until`, or the largest one read. Where nothing was read there is none.
    fn end(&self, largest_read: Time) -> Option<Time> {
        let end = if self.until < Time::MAX { self.until } else { largest_read };
        (self.first_held < Time::MAX || largest_read > 0).then_some(end)
    }
}

//! Sorting: a source whose facts come in any order, brought into the order of time within bounded memory.
//!
//! The source is read to its end first; packed facts wait in the parcels they were packed into. Where these take more
//! than their share of `--sort-memory`, they are written, sorted, as a run into a temporary file that has no name and is
//! gone with the program. In the end runs are merged by time, which time then follows. Invariant: nothing is changed,
//! lost or told twice; refused records and counts do not wait. Limits: merging takes another 8 KiB for each run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::orders::parcel::Parcel;
use dataflows::time::Time;

use super::intake::Intake;
use super::{Polled, Source};
use crate::error::{JobError, JobResult};

/// What the sorters of a process hold, for the progress line.
#[derive(Debug, Default)]
pub struct Sorting {
    /// Facts that wait.
    pub facts: AtomicU64,
    /// Bytes written into temporary files.
    pub spilled_bytes: AtomicU64,
}

/// A fact that waits: its time, its parcel, where it stands there.
type Entry = (Time, u32, u32);

/// Where a fact of a run goes to stands in front of it.
const TO_BYTES: usize = 4;
/// Facts that are let go at once.
const FACTS_AT_ONCE: usize = 1 << 13;
/// How much of each run is read at once, at least and at most.
const RUN_BUFFER_BYTES: Range<usize> = 8 << 10..1 << 20;

/// A source in the order of time.
pub struct Sorted {
    source: Box<dyn Source>,
    memory_bytes: usize,
    sorting: Arc<Sorting>,
    waiting: Waiting,
    file: Option<Arc<File>>,
    /// The runs in the temporary file.
    spilled: Vec<Range<u64>>,
    merge: Option<Merge>,
}

impl Sorted {
    /// Sorts what `source` reads in about this much memory.
    pub fn new(source: Box<dyn Source>, memory_bytes: usize, sorting: Arc<Sorting>) -> Sorted {
        let (waiting, spilled) = (Waiting::default(), Vec::new());
        Sorted { source, memory_bytes, sorting, waiting, file: None, spilled, merge: None }
    }

    /// Writes what waits as a run.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(self.file.insert(Arc::new(tempfile::tempfile()?))),
        };
        let start = self.spilled.last().map_or(0, |run| run.end);
        let mut end = start;
        let mut out = BufWriter::with_capacity(1 << 18, &*file);
        self.waiting.entries.sort_unstable();
        for entry in &self.waiting.entries {
            let (to, fact) = self.waiting.fact(entry);
            out.write_all(&(to as u32).to_le_bytes())?;
            out.write_all(fact)?;
            end += (TO_BYTES + fact.len()) as u64;
        }
        out.flush()?;
        self.sorting.spilled_bytes.fetch_add(end - start, Ordering::Relaxed);
        tracing::debug!(run = self.spilled.len(), bytes = end - start, "facts were sorted into a temporary file");
        self.spilled.push(start..end);
        self.waiting = Waiting::default();
        Ok(())
    }

    /// The source has ended: what has been read, ready to be let go.
    fn sorted(&mut self) -> io::Result<Merge> {
        let mut runs = Vec::new();
        if let Some(file) = &self.file {
            let buffer_bytes = self.memory_bytes / self.spilled.len().max(1);
            let buffer_bytes = buffer_bytes.clamp(RUN_BUFFER_BYTES.start, RUN_BUFFER_BYTES.end);
            let run =
                |rest: Range<u64>| SpilledRun { file: Arc::clone(file), rest, buffer_bytes, buffer: Vec::new(), at: 0 };
            runs.extend(self.spilled.drain(..).map(|rest| Run::Spilled(run(rest))));
        }
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.entries.sort_unstable();
        runs.push(Run::Waiting { waiting, next: 0 });
        tracing::debug!(runs = runs.len(), "an input was read to its end, and is merged");
        Merge::new(runs)
    }
}

impl Source for Sorted {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        let Some(merge) = &mut self.merge else {
            let polled = self.source.poll(intake)?;
            let facts = self.waiting.take(intake.withdraw());
            self.sorting.facts.fetch_add(facts, Ordering::Relaxed);
            if self.waiting.bytes > self.memory_bytes {
                self.spill().map_err(|error| cannot("write", &error))?;
            }
            if polled == Polled::Done {
                self.merge = Some(self.sorted().map_err(|error| cannot("read", &error))?);
            }
            return Ok(Polled::Read);
        };
        let released = merge.release(FACTS_AT_ONCE, intake).map_err(|error| cannot("read", &error))?;
        self.sorting.facts.fetch_sub(released, Ordering::Relaxed);
        Ok(if merge.next_time() == Time::MAX { Polled::Done } else { Polled::Read })
    }

    fn promise(&self) -> Time {
        self.merge.as_ref().map_or(0, Merge::next_time)
    }

    fn stop(&mut self) {
        if self.merge.is_none() {
            self.source.stop();
        }
    }
}

fn cannot(doing: &str, error: &io::Error) -> JobError {
    JobError::sorting(doing, "facts", error)
}

/// Facts that wait in memory.
#[derive(Default)]
struct Waiting {
    parcels: Vec<Parcel>,
    entries: Vec<Entry>,
    bytes: usize,
}

impl Waiting {
    /// Takes parcels in; how many facts they hold.
    fn take(&mut self, parcels: Vec<Parcel>) -> u64 {
        let before = self.entries.len();
        for mut parcel in parcels {
            // The last parcels of a stretch are far from full.
            parcel.bytes.shrink_to_fit();
            let number = self.parcels.len() as u32;
            let mut offset = 0;
            while let Some((time, fact)) = Parcel::first_of(&parcel.bytes[offset..]) {
                self.entries.push((time, number, offset as u32));
                offset += fact.len();
            }
            self.bytes += parcel.bytes.len();
            self.parcels.push(parcel);
        }
        let facts = self.entries.len() - before;
        self.bytes += facts * size_of::<Entry>();
        facts as u64
    }

    /// The worker that owns a fact's order, and its bytes.
    fn fact(&self, (_, parcel, offset): &Entry) -> (u64, &[u8]) {
        let parcel = &self.parcels[*parcel as usize];
        (parcel.to, Parcel::first_of(&parcel.bytes[*offset as usize..]).map_or(&[], |(_, fact)| fact))
    }
}

/// Sorted facts.
enum Run {
    Waiting { waiting: Waiting, next: usize },
    Spilled(SpilledRun),
}

impl Run {
    /// The time of its first fact; none where there is none left.
    fn first_time(&mut self) -> io::Result<Option<Time>> {
        match self {
            Run::Waiting { waiting, next } => Ok(waiting.entries.get(*next).map(|(time, _, _)| *time)),
            Run::Spilled(run) => run.first_time(),
        }
    }

    /// Lets its first fact go, which it has.
    fn release(&mut self, intake: &mut Intake) {
        match self {
            Run::Waiting { waiting, next } => {
                let (to, fact) = waiting.fact(&waiting.entries[*next]);
                intake.release(to, fact);
                *next += 1;
            }
            Run::Spilled(run) => run.release(intake),
        }
    }
}

/// A run in the temporary file.
struct SpilledRun {
    file: Arc<File>,
    /// What is not in the buffer yet.
    rest: Range<u64>,
    buffer_bytes: usize,
    buffer: Vec<u8>,
    at: usize,
}

impl SpilledRun {
    fn first_time(&mut self) -> io::Result<Option<Time>> {
        loop {
            let fact = self.buffer.get(self.at + TO_BYTES..).and_then(Parcel::first_of);
            if let Some((time, _)) = fact {
                return Ok(Some(time));
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let kept = self.buffer.len();
            let wanted = (self.rest.end - self.rest.start).min(self.buffer_bytes as u64);
            self.buffer.resize(kept + wanted as usize, 0);
            self.file.read_exact_at(&mut self.buffer[kept..], self.rest.start)?;
            self.rest.start += wanted;
        }
    }

    fn release(&mut self, intake: &mut Intake) {
        let Some((to, rest)) = self.buffer[self.at..].split_first_chunk::<TO_BYTES>() else { return };
        if let Some((_, fact)) = Parcel::first_of(rest) {
            intake.release(u64::from(u32::from_le_bytes(*to)), fact);
            self.at += TO_BYTES + fact.len();
        }
    }
}

/// Runs being merged.
struct Merge {
    runs: Vec<Run>,
    /// The first time of each run that has facts left.
    firsts: BinaryHeap<Reverse<(Time, usize)>>,
}

impl Merge {
    fn new(mut runs: Vec<Run>) -> io::Result<Merge> {
        let mut firsts = BinaryHeap::new();
        for (number, run) in runs.iter_mut().enumerate() {
            firsts.extend(run.first_time()?.map(|time| Reverse((time, number))));
        }
        Ok(Merge { runs, firsts })
    }

    fn next_time(&self) -> Time {
        self.firsts.peek().map_or(Time::MAX, |Reverse((time, _))| *time)
    }

    /// Lets the earliest facts go, this many at most; how many they were.
    fn release(&mut self, most: usize, intake: &mut Intake) -> io::Result<u64> {
        let mut released = 0;
        while released < most as u64
            && let Some(Reverse((_, number))) = self.firsts.pop()
        {
            let run = &mut self.runs[number];
            run.release(intake);
            self.firsts.extend(run.first_time()?.map(|time| Reverse((time, number))));
            released += 1;
        }
        Ok(released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Lateness;
    use crate::source::intake::{Decoded, Selection};
    use crate::validate::Limits;
    use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, Position};
    use proptest::prelude::*;

    /// Gives these times, a few at a poll.
    struct Times(Vec<Vec<Time>>);

    impl Source for Times {
        fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
            let Some(times) = self.0.pop() else { return Ok(Polled::Done) };
            for at in times {
                let order = OrderId { tenant: "default".into(), order_id: format!("order-{}", at % 7).as_str().into() };
                let body = Body::Lifecycle { kind: EventKind::Placed, origin: Origin::Row, customer_id: None };
                let key = u128::from(at);
                let record = Decoded { key, position: Position::new(0, at), record_at: at, watermark: 0 };
                intake.fact(&Fact { order, at, event_id: None, body }, record);
            }
            Ok(Polled::Read)
        }

        fn promise(&self) -> Time {
            0
        }
    }

    /// What comes out poll by poll: the promise made before it, and the worker and time of each fact.
    fn sort(times: Vec<Vec<Time>>, memory_bytes: usize) -> Vec<(Time, Vec<(u64, Time)>)> {
        let limits = Limits { now_ms: 0, max_future_skew_ms: 0, max_price: Money::ZERO };
        let selection = Selection { from: 0, until: Time::MAX, orders: None };
        let lateness = Lateness { late_arrival_ms: 0, horizon_ms: 0 };
        let mut intake = Intake::new(limits, selection, lateness, Arc::default(), 3, 1_000);
        let sorting = Arc::new(Sorting::default());
        let mut source = Sorted::new(Box::new(Times(times)), memory_bytes, Arc::clone(&sorting));
        let mut polls = Vec::new();
        loop {
            let promise = source.promise();
            let polled = source.poll(&mut intake).unwrap();
            let mut facts = Vec::new();
            for parcel in intake.parcels() {
                facts.extend(parcel.records().map(|(_, time, _)| (parcel.to, time)));
            }
            polls.push((promise, facts));
            if polled == Polled::Done {
                assert_eq!((source.promise(), sorting.facts.load(Ordering::Relaxed)), (Time::MAX, 0));
                return polls;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn nothing_is_lost_and_no_promise_broken_in_any_memory(
            times in prop::collection::vec(prop::collection::vec(0_u64..5_000, 0..400), 0..30),
            memory_bytes in prop_oneof![Just(0), 1_usize..100_000, Just(1 << 30)],
        ) {
            let mut wanted: Vec<(u64, Time)> = times.iter().flatten().map(|at| (at % 3, *at)).collect();
            let mut got = Vec::new();
            for (promise, facts) in sort(times, memory_bytes) {
                prop_assert!(facts.iter().all(|(_, time)| *time >= promise));
                prop_assert!(got.iter().all(|(_, time)| *time <= promise));
                got.extend(facts);
            }
            wanted.sort_unstable();
            got.sort_unstable();
            prop_assert_eq!(got, wanted);
        }
    }
}

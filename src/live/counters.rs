//! What is counted of a live job in this process, for whoever watches it.
//!
//! Workers put their numbers down at ticks, the head those of what it publishes; whoever asks gets a copy. Invariant: the
//! lock is held only as long as a few numbers take, so nobody who asks slows a worker down. Counts begin with the process.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataflows::orders::keeper::Census;
use dataflows::time::Time;

use crate::clock::partitions::Partition;
use crate::delays::Delays;
use crate::sink::committer::Watched;
use crate::sink::committer::circuit::State;

/// A worker that has not turned for so long stands still.
const TURNS_WITHIN: Duration = Duration::from_secs(10);

/// The numbers of a process.
#[derive(Debug, Default)]
pub struct Counters(Mutex<Numbers>);

impl Counters {
    /// Puts numbers down.
    pub fn note(&self, put: impl FnOnce(&mut Numbers)) {
        put(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The numbers as they are now.
    pub fn numbers(&self) -> Numbers {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// See [`Counters`].
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// True of a replay, which publishes nothing before it is over.
    pub is_replay: bool,
    /// How many workers this process is to have.
    pub workers_wanted: usize,
    /// Those that read.
    pub workers: BTreeMap<usize, Turn>,
    /// True once it is known which partitions there are.
    pub knows_partitions: bool,
    /// The partitions that this process reads.
    pub partitions: BTreeMap<Partition, Lag>,
    /// Everything before this has been published, by the whole job; 0: nothing.
    pub frontier: Time,
    /// True once the job was asked to stop.
    pub is_stopping: bool,
    /// What came of facts, of the whole job; like all that follows in process 0 alone.
    pub tally: Tally,
    /// From when a change holds to when it is published.
    pub output_delays: Arc<Delays>,
    /// Changes of rows that were published, by collection.
    pub changes: BTreeMap<&'static str, u64>,
    /// Promises that are broken and not yet kept, by SLA.
    pub breaches_open: BTreeMap<&'static str, i64>,
    /// Orders by status.
    pub orders: BTreeMap<&'static str, i64>,
    /// Bytes that sums take.
    pub sum_bytes: usize,
    /// Checkpoints that were completed.
    pub checkpoints_written: u64,
    /// Checkpoints that were given up.
    pub checkpoints_failed: u64,
    /// The newest one; none for a job without a store.
    pub newest_checkpoint: Option<Newest>,
    /// The sinks that are kept up to date.
    pub sinks: Vec<Watched>,
}

/// A worker at its last tick.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// When that was.
    pub at: Instant,
    /// Records that it has read.
    pub records_read: u64,
    /// Its orders.
    pub census: Census,
}

/// How far a partition is, and how far it has to go.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// Offset of the record that is to be read next.
    pub next_offset: u64,
    /// Its end, as the log last said it; none before it did.
    pub high_watermark: Option<u64>,
    /// Before this nothing of it counts any more.
    pub watermark: Time,
}

/// What came of facts; a difference may be negative where a later fact displaced one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Facts that stand.
    pub accepted: i64,
    /// Facts that were copies.
    pub duplicates: i64,
    /// Facts refused after decoding.
    pub refused: i64,
    /// Facts that came late.
    pub late: i64,
    /// Records and facts refused, by reason.
    pub dead_letters: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds `other`.
    pub fn add(&mut self, other: Tally) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.late += other.late;
        for (reason, count) in other.dead_letters {
            *self.dead_letters.entry(reason).or_default() += count;
        }
    }
}

/// The newest checkpoint.
#[derive(Clone, Copy, Debug)]
pub struct Newest {
    /// The state is the one as of here.
    pub frontier: Time,
    /// Its size.
    pub bytes: u64,
    /// How long it took; none where it was taken up.
    pub took: Option<Duration>,
    /// When it was written or taken up.
    pub at: Instant,
}

impl Numbers {
    /// Records that this process has read.
    pub fn records_read(&self) -> u64 {
        self.workers.values().map(|turn| turn.records_read).sum()
    }

    /// Why this process is not alive: a worker does not turn. One that stops has other things to do.
    pub fn not_alive(&self) -> Option<String> {
        if self.is_stopping {
            return None;
        }
        if self.workers_wanted == 0 {
            return Some("the job waits for its sinks, or for other processes".to_owned());
        }
        // A worker of a replay may wait for its input, as long as that takes.
        let stands = self.workers.iter().find(|(_, turn)| !self.is_replay && turn.at.elapsed() > TURNS_WITHIN);
        if let Some((worker, turn)) = stands {
            return Some(format!("worker {worker} has not turned for {} s", turn.at.elapsed().as_secs()));
        }
        let (begun, wanted) = (self.workers.len(), self.workers_wanted);
        (begun < wanted).then(|| format!("{begun} of {wanted} workers have taken up their state"))
    }

    /// Why what this job shows is not to be relied on yet, or for the moment.
    pub fn not_ready(&self) -> Option<String> {
        if self.is_stopping {
            return Some("the job is stopping".to_owned());
        }
        if let Some(why) = self.not_alive() {
            return Some(why);
        }
        if !self.knows_partitions {
            return Some("the partitions of the topics are not known yet: no broker has answered".to_owned());
        }
        let unknown = self.partitions.iter().find(|(_, lag)| lag.high_watermark.is_none());
        if let Some((Partition { topic, number }, _)) = unknown {
            return Some(format!("no broker has said where {topic}/{number} ends"));
        }
        if self.frontier == 0 {
            return Some("nothing has been published yet: no partition has come to a time".to_owned());
        }
        let open = self.sinks.iter().find(|sink| sink.counters.circuit() != State::Closed)?;
        let waiting = [&open.counters.waiting_bytes, &open.counters.spilled_bytes];
        let waiting: u64 = waiting.map(|bytes| bytes.load(Ordering::Relaxed)).iter().sum();
        Some(format!("sink {} has failed too often and is left alone: {waiting} bytes wait", open.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_becomes_alive_and_ready_step_by_step_and_says_what_it_lacks() {
        let mut numbers = Numbers::default();
        let lacks = |numbers: &Numbers, what: &str| {
            let why = numbers.not_ready().unwrap_or_default();
            assert!(why.contains(what) && !what.is_empty(), "{why}");
        };
        lacks(&numbers, "waits for its sinks");
        numbers.workers_wanted = 2;
        let turn = Turn { at: Instant::now(), records_read: 1, census: Census::default() };
        numbers.workers.insert(4, turn);
        lacks(&numbers, "1 of 2 workers");
        numbers.workers.insert(5, Turn { records_read: 2, ..turn });
        assert_eq!((numbers.not_alive(), numbers.records_read()), (None, 3));
        lacks(&numbers, "no broker has answered");
        numbers.knows_partitions = true;
        let partition = Partition { topic: "orders".to_owned(), number: 3 };
        let lag = Lag { next_offset: 0, high_watermark: None, watermark: 0 };
        numbers.partitions.insert(partition.clone(), lag);
        lacks(&numbers, "orders/3");
        numbers.partitions.insert(partition, Lag { high_watermark: Some(0), ..lag });
        lacks(&numbers, "nothing has been published");
        numbers.frontier = 1;
        assert_eq!(numbers.not_ready(), None);
        let sink = Watched { name: "postgres".to_owned(), counters: Default::default(), frontier: Default::default() };
        numbers.sinks.push(sink.clone());
        assert_eq!(numbers.not_ready(), None);
        sink.counters.set_circuit(State::Open);
        lacks(&numbers, "sink postgres has failed too often");
        if let Some(long_ago) = Instant::now().checked_sub(TURNS_WITHIN * 2) {
            numbers.workers.insert(5, Turn { at: long_ago, ..turn });
            assert!(numbers.not_alive().unwrap().contains("worker 5 has not turned for 20 s"));
            let replay = Numbers { is_replay: true, ..numbers.clone() };
            assert_eq!(replay.not_alive(), None, "its input may be quiet");
        }
        // One that drains is left alone until it is done.
        numbers.is_stopping = true;
        assert_eq!(numbers.not_alive(), None);
        lacks(&numbers, "stopping");
    }
}

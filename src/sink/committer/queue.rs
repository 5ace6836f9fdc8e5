//! The work of a committer without its thread: what was given, what is to be committed, and what came of each attempt.
//!
//! Invariant: nothing that was given is dropped before the sink says that it has it; of several frontiers to commit only the
//! newest is, so transactions grow where a sink is slow. But after one that failed they hold an eighth of the memory, after
//! each further one half as much, down to what changed up to one frontier: none is too large for a sink for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use serde::{Deserialize, Serialize};

use super::circuit::{Circuit, State};
use super::counters::CommitterCounters;
use super::lock;
use super::overflow::Overflow;
use crate::clock::partitions::{Cut, Trail};
use crate::clock::wall_clock_ms;
use crate::config::SinkConfig;
use crate::error::JobResult;
use crate::sink::change::Change;
use crate::sink::commits::{Commits, Outcome, Progress, Transactions};

/// Where it cannot all be one transaction, one holds about this share of the memory: it is small enough to be done soon.
const PIECES: u64 = 8;

/// What a committer is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    Give(Vec<(Change, Time)>),
    Commit(Time),
    #[serde(skip)]
    Mark(Trail),
    #[serde(skip)]
    Trim(Cut),
    /// There is something in the overflow.
    #[serde(skip)]
    Spilled,
    /// Finish until then.
    #[serde(skip)]
    Drain(Instant),
}

impl Message {
    pub(super) fn changes(&self) -> &[(Change, Time)] {
        if let Message::Give(changes) = self { changes } else { &[] }
    }

    /// What its changes take in memory, about.
    pub(super) fn bytes(&self) -> u64 {
        self.changes().iter().map(|(change, _)| bytes(change)).sum()
    }
}

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    /// What was tried is committed, or nothing is to be.
    Done,
    /// There is to be another one after that long.
    Again(Duration),
    /// Another incarnation has taken over.
    Fenced,
}

pub(super) struct Queue {
    commits: Commits<Change>,
    /// Frontiers to commit, all of them beyond the sink's; of those between which nothing changes the newest.
    told: BTreeSet<Time>,
    /// What the next transaction is to hold, about, in bytes of memory, and what one that is a piece holds.
    bytes_at_once: u64,
    piece_bytes: u64,
    /// Number and bytes of changes that wait, by time.
    waiting: BTreeMap<Time, (u64, u64)>,
    circuit: Circuit,
    counters: Arc<CommitterCounters>,
    frontier: Arc<AtomicU64>,
    is_retry: bool,
}

impl Queue {
    pub(super) fn new(
        progress: Progress,
        history: &Trail,
        sink: &SinkConfig,
        counters: Arc<CommitterCounters>,
        frontier: Arc<AtomicU64>,
    ) -> Queue {
        Queue {
            commits: Commits::new(progress, history),
            told: BTreeSet::new(),
            bytes_at_once: u64::MAX,
            piece_bytes: (sink.memory_bytes / PIECES).max(1),
            waiting: BTreeMap::new(),
            circuit: Circuit::of(sink),
            counters,
            frontier,
            is_retry: false,
        }
    }

    /// Takes a message; until when to finish, where it says so.
    pub(super) fn take(&mut self, message: Message) -> Option<Instant> {
        match message {
            Message::Give(changes) => changes.into_iter().for_each(|(change, time)| self.give(change, time)),
            Message::Mark(trail) => self.commits.mark(&trail),
            Message::Commit(frontier) => self.tell(frontier),
            Message::Trim(cut) => self.commits.trim(&cut),
            Message::Spilled => {}
            Message::Drain(until) => return Some(until),
        }
        None
    }

    /// Takes messages that were set aside, the next transaction: up to the first frontier behind so much that it is worth
    /// one, or all that there is.
    pub(super) fn refill(&mut self, overflow: &Mutex<Overflow>) -> JobResult<()> {
        let mut bytes = 0;
        loop {
            // Whoever gives waits for one message at most.
            let Some(message) = lock(overflow).take()? else { return Ok(()) };
            bytes += message.bytes();
            let is_enough = bytes >= self.piece_bytes && matches!(message, Message::Commit(_));
            self.take(message);
            if is_enough {
                return Ok(());
            }
        }
    }

    fn tell(&mut self, frontier: Time) {
        let newest = self.told.last().copied();
        if !self.commits.progress().may_come_to(frontier) || newest.is_some_and(|newest| frontier <= newest) {
            return;
        }
        if let Some(newest) = newest.filter(|newest| self.waiting.range(*newest..frontier).next().is_none()) {
            self.told.remove(&newest);
        }
        self.told.insert(frontier);
    }

    fn give(&mut self, change: Change, time: Time) {
        let bytes = bytes(&change);
        if time < self.commits.progress().frontier {
            // It is in the sink.
            self.counters.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return;
        }
        let waiting = self.waiting.entry(time).or_default();
        *waiting = (waiting.0 + 1, waiting.1 + bytes);
        self.commits.give(change, time);
    }

    /// Changes that wait in memory.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.values().map(|(count, _)| count).sum()
    }

    /// How far the sink is.
    pub(super) fn frontier(&self) -> Time {
        self.commits.progress().frontier
    }

    /// True where there is something to commit.
    pub(super) fn is_behind(&self) -> bool {
        !self.told.is_empty()
    }

    /// Up to where to commit next: the first frontier behind as much as is wanted at once, or the newest.
    fn target(&self) -> Option<Time> {
        let mut bytes = 0;
        let last = self.waiting.iter().find(|(_, (_, more))| {
            bytes += more;
            bytes >= self.bytes_at_once
        });
        last.and_then(|(time, _)| self.told.range((Excluded(*time), Unbounded)).next()).or(self.told.last()).copied()
    }

    /// Tries to commit what is to be committed, or a piece of it.
    pub(super) fn attempt(&mut self, sink: &mut Box<dyn Transactions<Change> + Send>) -> Attempt {
        let Some(target) = self.target() else { return Attempt::Done };
        self.circuit.attempt();
        self.counters.set_circuit(self.circuit.state());
        self.counters.retries.fetch_add(u64::from(self.is_retry), Ordering::Relaxed);
        let started = Instant::now();
        let outcome = self.commits.commit(target, sink);
        // Of a lost answer the next attempt may learn that it was done.
        self.settle();
        let attempt = match outcome {
            Outcome::Done => {
                let took_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.counters.last_commit_us.store(took_us, Ordering::Relaxed);
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.circuit.succeed();
                self.bytes_at_once = match self.told.is_empty() {
                    true => u64::MAX,
                    false => self.bytes_at_once.saturating_mul(2).min(self.piece_bytes),
                };
                Attempt::Done
            }
            Outcome::Failed | Outcome::Unknown => {
                self.counters.failures.fetch_add(1, Ordering::Relaxed);
                self.bytes_at_once = (self.bytes_at_once / 2).clamp(1, self.piece_bytes);
                let wait = self.circuit.fail();
                if self.circuit.state() == State::Open {
                    let seconds = wait.as_secs_f32();
                    tracing::warn!(
                        "the sink has failed too often: it is left alone for {seconds} s, {} changes wait in memory",
                        self.waiting()
                    );
                }
                Attempt::Again(wait)
            }
            Outcome::Fenced => Attempt::Fenced,
        };
        self.is_retry = matches!(attempt, Attempt::Again(_));
        self.counters.set_circuit(self.circuit.state());
        attempt
    }

    /// What the sink has does not wait any longer.
    fn settle(&mut self) {
        let progress = self.commits.progress();
        let frontier = progress.frontier;
        self.told.retain(|told| progress.may_come_to(*told));
        let rest = self.waiting.split_off(&frontier);
        let now = wall_clock_ms();
        for (time, (count, bytes)) in std::mem::replace(&mut self.waiting, rest) {
            self.counters.delays.note(now.saturating_sub(time), count);
            self.counters.rows.fetch_add(count, Ordering::Relaxed);
            self.counters.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.frontier.store(frontier, Ordering::Release);
    }
}

/// What a change takes in memory, about.
pub(super) fn bytes(change: &Change) -> u64 {
    (size_of::<(Change, Time)>() + change.key.len() + change.row.as_ref().map_or(0, |row| row.len())) as u64
}

//! The head of a live job: what its first worker does beside its share of the orders.
//!
//! It has what changed published and committed (`publishing.rs`), and completes checkpoints, each as of a frontier. Invariant: what
//! is committed up to a frontier was published up to it, with all marks that lead there; a checkpoint holds what was
//! published before its frontier, and no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use dataflows::time::Time;

use super::archive::{Archive, Report};
use super::counters::{Counters, Newest};
use super::publisher::Update;
use super::publishing::Publishing;
use crate::checkpoint::Part;
use crate::clock::partitions::{Cut, Trail, cut_at, put_down, trim};
use crate::error::{JobError, JobResult};
use crate::sink::committer::Committer;

/// How long checkpoints may take once all workers have stopped: whoever stops a job does not wait for long.
const LAST_WITHIN: Duration = Duration::from_secs(20);

/// A checkpoint that is being written.
struct Unfinished {
    frontier: Time,
    asked: Instant,
    is_published: bool,
    parts: BTreeMap<usize, Part>,
    /// Of all parts, once they are there.
    bytes: u64,
    is_complete: bool,
}

/// See the head of this file.
pub struct Head {
    publishing: Publishing,
    archive: Option<Archive>,
    reply: Sender<Report>,
    counters: Arc<Counters>,
    peers: usize,
    /// Marks from the newest checkpoint on.
    trail: Trail,
    /// Up to here the publisher was told that time has come.
    published: Time,
    /// The checkpoint that this incarnation went on from, and the newest one.
    began: Time,
    kept: Time,
    unfinished: Option<Unfinished>,
    next_checkpoint: Instant,
    checkpoint_interval: Duration,
    /// How far each worker was when it stopped reading.
    stopped: BTreeMap<usize, Time>,
    /// When the last of them said so.
    stopped_at: Instant,
}

impl Head {
    /// Goes on from `kept`, the newest checkpoint; `reply` is where the archive answers.
    pub fn new(
        publishing: Publishing,
        archive: Option<Archive>,
        reply: Sender<Report>,
        counters: Arc<Counters>,
        peers: usize,
        kept: Time,
        checkpoint_interval: Duration,
    ) -> Head {
        Head {
            publishing,
            archive,
            reply,
            counters,
            peers,
            trail: Trail::new(),
            // It is told of the checkpoint's own time, too: what stood then is there, and a new sink is to get it at once.
            published: kept.saturating_sub(1),
            began: kept,
            kept,
            unfinished: None,
            next_checkpoint: Instant::now() + checkpoint_interval,
            checkpoint_interval,
            stopped: BTreeMap::new(),
            stopped_at: Instant::now(),
        }
    }

    /// Takes updates of the graph.
    pub fn take(&mut self, updates: Vec<Update>) {
        self.publishing.take(updates);
    }

    /// Takes marks, as they were put down.
    pub fn mark(&mut self, trail: &Trail) {
        self.publishing.sinks().for_each(|sink| sink.mark(trail.clone()));
        if self.archive.is_none() {
            return;
        }
        for (partition, marks) in trail {
            let known = self.trail.entry(partition.clone()).or_default();
            marks.iter().for_each(|mark| put_down(known, *mark));
        }
    }

    /// Time has come to `frontier`, and all before it has been taken in.
    pub fn advance(&mut self, frontier: Time) {
        if let Some(unfinished) =
            self.unfinished.take_if(|unfinished| !unfinished.is_published && unfinished.frontier <= frontier)
        {
            self.publish(unfinished.frontier);
            if let Some(archive) = &self.archive {
                self.publishing.keep(unfinished.frontier, archive.clone(), self.reply.clone());
                self.unfinished = Some(Unfinished { is_published: true, ..unfinished });
            }
        }
        self.publish(frontier);
        self.complete();
        let unfinished = self.unfinished.as_ref().map(|unfinished| unfinished.frontier);
        unfinished
            .filter(|_| self.has_waited())
            .inspect(|frontier| self.give_up(*frontier, "it took too long after the job was stopped"));
    }

    fn publish(&mut self, until: Time) {
        if until > self.published {
            self.published = until;
            self.publishing.publish(until);
        }
    }

    /// Gives up the checkpoint that is being written; of one that was given up before nothing more is to be known.
    fn give_up(&mut self, frontier: Time, why: &str) {
        if self.unfinished.take_if(|unfinished| unfinished.frontier == frontier).is_none() {
            return;
        }
        self.counters.note(|numbers| numbers.checkpoints_failed += 1);
        if self.stands() == Some(frontier) || self.has_waited() {
            // There will be no better one.
            self.archive = None;
            tracing::warn!("the job ends without its last checkpoint: {why}; it will go on from the one before");
        } else {
            tracing::warn!("no checkpoint could be written: {why}; the job goes on from the one before if it has to");
        }
    }

    /// Where all workers stand, once they have stopped.
    fn stands(&self) -> Option<Time> {
        self.stopped.values().copied().min().filter(|_| self.stopped.len() == self.peers)
    }

    /// True where nobody waits any longer for a checkpoint.
    fn has_waited(&self) -> bool {
        self.stands().is_some() && self.stopped_at.elapsed() >= LAST_WITHIN
    }

    /// The time as of which workers are to put down their state, where it is time for a checkpoint: the one that this
    /// worker has just promised. Everyone is asked at that time, so nobody is beyond it.
    pub fn ask(&mut self, promise: Time) -> Option<Time> {
        let is_due = self.stopped.is_empty() && Instant::now() >= self.next_checkpoint && promise > self.kept;
        (is_due && self.begin(promise)).then_some(promise)
    }

    /// The same for the last one, once all workers have stopped: as of where they stand, and whether there is to be a
    /// checkpoint of it.
    pub fn ask_last(&mut self) -> Option<(Time, bool)> {
        let least = self.stands()?;
        // Time will not come to one that was begun when this worker was ahead of another.
        self.unfinished.take_if(|unfinished| unfinished.frontier > least);
        Some((least, least > self.kept && self.begin(least)))
    }

    fn begin(&mut self, frontier: Time) -> bool {
        if self.archive.is_none() || self.unfinished.is_some() {
            return false;
        }
        self.next_checkpoint = Instant::now() + self.checkpoint_interval;
        let (asked, parts) = (Instant::now(), BTreeMap::new());
        self.unfinished =
            Some(Unfinished { frontier, asked, is_published: false, parts, bytes: 0, is_complete: false });
        true
    }

    /// True once all workers have stopped and nothing is left to be written down.
    pub fn is_over(&self) -> bool {
        self.stands().is_some_and(|least| match self.archive {
            Some(_) => self.unfinished.is_none() && self.kept >= least,
            None => self.published >= least,
        })
    }

    /// Hears what became of a request, or that a worker has stopped.
    pub fn hear(&mut self, report: Report) {
        match report {
            Report::Part { frontier, number, part } => {
                if let Some(unfinished) = self.unfinished.as_mut().filter(|unfinished| unfinished.frontier == frontier)
                {
                    unfinished.parts.insert(number, part);
                }
                self.complete();
            }
            Report::Failed { frontier, why } => self.give_up(frontier, &why),
            Report::Completed { frontier, oldest } => {
                let finished = self.unfinished.take_if(|unfinished| unfinished.frontier == frontier);
                self.kept = self.kept.max(frontier);
                if let Some(cut) = cut_at(&self.trail, frontier) {
                    trim(&mut self.trail, &cut);
                }
                if let Some(oldest) = oldest {
                    let cut: Cut = oldest.into_iter().collect();
                    self.publishing.sinks().for_each(|sink| sink.trim(cut.clone()));
                }
                if let Some(finished) = finished {
                    let (took, bytes) = (Some(finished.asked.elapsed()), finished.bytes);
                    tracing::info!("checkpoint as of {frontier} written in {:?}", finished.asked.elapsed());
                    self.counters.note(|numbers| {
                        numbers.checkpoints_written += 1;
                        numbers.newest_checkpoint = Some(Newest { frontier, bytes, took, at: Instant::now() });
                    });
                }
            }
            Report::Stopped { worker, promise } => {
                self.stopped.insert(worker, promise);
                self.stopped_at = Instant::now();
            }
        }
    }

    /// Makes the parts a checkpoint once all of them are there, with the marks up to its cut.
    fn complete(&mut self) {
        let Head { unfinished: Some(unfinished), archive: Some(archive), trail, publishing, .. } = self else { return };
        if unfinished.is_complete || unfinished.parts.len() <= self.peers {
            return;
        }
        let Some(cut) = cut_at(trail, unfinished.frontier) else { return };
        unfinished.is_complete = true;
        // One that is new needs nothing from before where this incarnation began.
        let slowest = publishing.sinks().map(Committer::frontier).min().unwrap_or(Time::MAX).max(self.began);
        unfinished.bytes = unfinished.parts.values().map(|part| part.bytes).sum();
        let parts = std::mem::take(&mut unfinished.parts).into_values().collect();
        archive.complete(unfinished.frontier, cut, parts, slowest, &self.reply);
    }

    /// True while the publisher or sinks cannot take more: no more is to be read.
    pub fn is_full(&self) -> bool {
        self.publishing.is_full() || self.publishing.sinks().any(Committer::is_full)
    }

    /// Why the job cannot go on, where the publisher or a sink says so.
    pub fn failure(&self) -> Option<JobError> {
        self.publishing.failure().or_else(|| self.publishing.sinks().find_map(Committer::failure))
    }

    /// Waits until all that was read is published, and the sinks have it.
    pub fn drain(self, within: Duration) -> JobResult<()> {
        self.publishing.drain(Instant::now() + within)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use dataflows::orders::Rows;

    use super::super::publisher::tests::publisher;
    use super::*;
    use crate::checkpoint::Checkpoints;
    use crate::store::Objects;

    /// The head of two workers, without sinks, that keeps checkpoints there; and what the archive answers.
    fn head(store: &str) -> (Head, Receiver<Report>) {
        let (counters, (reply, replies)) = (Arc::<Counters>::default(), channel());
        let publisher = publisher(Rows::All);
        let publishing = Publishing::start(publisher, Vec::new(), Box::new(|_| {}), Arc::clone(&counters), 0).unwrap();
        let archive = Archive::start(Objects::open(store).unwrap(), Checkpoints::joined("job", 7, 1)).unwrap();
        (Head::new(publishing, Some(archive), reply, counters, 2, 0, Duration::ZERO), replies)
    }

    #[test]
    fn what_fails_while_workers_stop_does_not_cancel_the_last_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let (mut head, replies) = head(&directory.path().display().to_string());
        let failed = |frontier| Report::Failed { frontier, why: "the store is away".to_owned() };
        assert_eq!(head.ask(5), Some(5));
        head.hear(Report::Stopped { worker: 0, promise: 8 });
        head.hear(failed(5));
        head.hear(Report::Stopped { worker: 1, promise: 7 });
        assert_eq!(head.ask_last(), Some((7, true)), "the last one is tried");
        // That the others of the one that was given up fail, too, says nothing of the last one.
        head.hear(failed(5));
        head.advance(7);
        assert!(matches!(replies.recv().unwrap(), Report::Part { frontier: 7, number: 0, .. }));
        assert!(!head.is_over());
        head.hear(Report::Completed { frontier: 7, oldest: None });
        assert!(head.is_over());
        assert_eq!(head.counters.numbers().checkpoints_failed, 1);
    }

    #[test]
    fn a_job_whose_last_checkpoint_fails_ends_without_it() {
        let directory = tempfile::tempdir().unwrap();
        let (mut head, replies) = head(&directory.path().display().to_string());
        (0..2).for_each(|worker| head.hear(Report::Stopped { worker, promise: 7 }));
        assert_eq!(head.ask_last(), Some((7, true)));
        head.advance(7);
        assert!(matches!(replies.recv().unwrap(), Report::Part { frontier: 7, number: 0, .. }));
        head.hear(Report::Failed { frontier: 7, why: "the store is away".to_owned() });
        assert_eq!((head.is_over(), head.ask_last()), (true, Some((7, false))));
    }

    #[test]
    fn a_job_that_was_stopped_does_not_wait_for_long_for_checkpoints() {
        let directory = tempfile::tempdir().unwrap();
        for earlier in [None, Some(5)] {
            let (mut head, _replies) = head(&directory.path().display().to_string());
            assert_eq!(earlier.and_then(|earlier| head.ask(earlier)), earlier);
            let wait = |head: &mut Head| {
                head.stopped_at -= LAST_WITHIN;
                head.advance(9);
            };
            wait(&mut head);
            assert_eq!(head.unfinished.is_some(), earlier.is_some(), "one may take its time while the job runs");
            (0..2).for_each(|worker| head.hear(Report::Stopped { worker, promise: 9 }));
            assert_eq!(head.ask_last(), Some((9, earlier.is_none())));
            head.advance(9);
            assert!(!head.is_over());
            wait(&mut head);
            assert!(head.is_over());
            assert_eq!((head.ask_last(), head.counters.numbers().checkpoints_failed), (Some((9, false)), 1));
        }
    }
}

//! Milestones: how far a paced replay has come, for one that is stopped and started again.
//!
//! History is read again faster than the state of it would be written down and restored, so a time is all that is kept
//! (decision 18): a replay that is started again passes over what lies before it at full speed, and goes on from there at
//! its own. Invariant: no result depends on it, and no failure to keep it ends a replay. Limits: a replay without a pace
//! has nothing to keep.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use dataflows::time::Time;

use super::what_it_computes;
use crate::checkpoint::{Checkpoints, StoreError, forget};
use crate::cli::ReplayOptions;
use crate::clock::Speed;
use crate::config::JobConfig;
use crate::error::{JobError, JobResult};
use crate::live::archive::{Archive, Report};
use crate::store::Objects;

/// How long the last one may take to be written.
const LAST_WITHIN: Duration = Duration::from_secs(60);

/// Where milestones of a replay are kept.
#[derive(Clone, Debug)]
pub struct Milestones {
    store: String,
    /// Its name there: no live job, and no replay of something else, has the same.
    pub name: String,
    fingerprint: u64,
}

impl Milestones {
    /// Where the configuration says; none where it does not, or where time does not pass at a speed.
    pub fn of(config: &JobConfig, options: &ReplayOptions) -> Option<Milestones> {
        let store = config.outputs.store.clone().filter(|_| options.speed != Speed::Max)?;
        // Wherever it is started, and whatever a relative path is.
        let inputs = options.inputs.iter().map(|input| std::path::absolute(input).unwrap_or_else(|_| input.clone()));
        let what = format!("{:?} {}", inputs.collect::<Vec<_>>(), what_it_computes(config, options));
        let fingerprint = xxhash_rust::xxh3::xxh3_64(what.as_bytes());
        Some(Milestones { store, name: format!("{}.replay-{:08x}", config.name, fingerprint as u32), fingerprint })
    }

    /// How far the replay came that was stopped; none where none was.
    pub fn found(&self) -> JobResult<Option<Time>> {
        let seen = Checkpoints::joined(&self.name, self.fingerprint, 0);
        let found = seen.newest(&Objects::open(&self.store)?, Time::MAX);
        let (newest, passed_over) = found.map_err(|error| self.failed(&error))?;
        for (checkpoint, unfit) in passed_over {
            tracing::warn!("checkpoint {checkpoint} is passed over: {unfit}");
        }
        Ok(newest.map(|restored| restored.manifest.frontier))
    }

    /// Begins to note how far this one is, from `passed` on.
    pub fn survey(&self, passed: Time, interval: Duration) -> JobResult<Surveyor> {
        let mut store = Objects::open(&self.store)?;
        let begun = Checkpoints::begin(&mut store, &self.name, self.fingerprint);
        let checkpoints = begun.map_err(|error| self.failed(&error))?;
        checkpoints.leave_at(&mut store, passed).map_err(|error| self.failed(&error))?;
        let (reply, replies) = channel();
        let archive = Archive::start(store, checkpoints)?;
        let asked = Instant::now();
        Ok(Surveyor { archive, reply, replies, interval, asked, is_asked: false, reached: passed, written: passed })
    }

    /// The replay is over: one that is started again begins anew.
    pub fn forget(&self) {
        let forgotten = Objects::open(&self.store)
            .and_then(|mut store| forget(&mut store, &self.name).map_err(|error| self.failed(&error)));
        if let Err(error) = forgotten {
            let remedy = format!("orderwatch checkpoint reset --job {} --checkpoint {}", self.name, self.store);
            tracing::warn!("the next replay will pass over this one, unless you say `{remedy}`: {error}");
        }
    }

    fn failed(&self, error: &StoreError) -> JobError {
        JobError::job(format!("the store of checkpoints failed: {error}")).at(self.store.clone())
    }
}

/// How far a replay is, written down every now and then by a thread that may wait for a store.
#[derive(Debug)]
pub struct Surveyor {
    archive: Archive,
    reply: Sender<Report>,
    replies: Receiver<Report>,
    interval: Duration,
    asked: Instant,
    /// The answer to the last request is still to come.
    is_asked: bool,
    reached: Time,
    /// The last one that was asked to be written.
    written: Time,
}

impl Surveyor {
    /// Everything before `reached` is done and told.
    pub fn note(&mut self, reached: Time) {
        self.reached = reached.max(self.reached);
        if self.asked.elapsed() < self.interval {
            return;
        }
        self.asked = Instant::now();
        for report in self.replies.try_iter() {
            self.is_asked = false;
            warn_of(&report);
        }
        self.write();
    }

    /// Writes down how far it came, and waits until that is done.
    pub fn finish(mut self) {
        self.is_asked = false;
        self.write();
        drop(self.reply);
        drop(self.archive);
        let until = Instant::now() + LAST_WITHIN;
        loop {
            match self.replies.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(report) => warn_of(&report),
                // All has been answered.
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => return warn_because("the store does not answer"),
            }
        }
    }

    fn write(&mut self) {
        if self.reached > self.written && !self.is_asked {
            (self.written, self.is_asked) = (self.reached, true);
            self.archive.complete(self.reached, Default::default(), Vec::new(), Time::MAX, &self.reply);
        }
    }
}

fn warn_of(report: &Report) {
    if let Report::Failed { why, .. } = report {
        warn_because(why);
    }
}

fn warn_because(why: &str) {
    tracing::warn!("how far the replay is could not be written down: {why}; started again, it goes on from before");
}

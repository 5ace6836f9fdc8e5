//! How far a paced replay has come, for one that is stopped and started again.
//!
//! History is read again faster than the state of it would be written down and restored, so a time is all that is kept
//! (decision 18): a replay that is started again passes over what lies before it at full speed, and goes on from there at
//! its own. Invariant: no result depends on it. Limits: a replay without a pace has nothing to keep.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use dataflows::time::Time;

use crate::checkpoint::{Checkpoints, StoreError, forget};
use crate::cli::ReplayOptions;
use crate::config::JobConfig;
use crate::error::{JobError, JobResult};
use crate::live::archive::{Archive, Report};
use crate::store::Objects;

/// How long the last one may take to be written.
const LAST_WITHIN: Duration = Duration::from_secs(60);

/// Where positions of a replay are kept.
#[derive(Clone, Debug)]
pub struct Place {
    store: String,
    job: String,
    fingerprint: u64,
}

impl Place {
    /// Where `options` say; none where they do not.
    pub fn of(config: &JobConfig, options: &ReplayOptions) -> Option<Place> {
        let store = options.checkpoint.clone()?;
        // Whoever reads something else is not as far.
        let reads = format!("{:?} {:?} {:?}", options.inputs, options.reading, options.limit);
        // A live job of the same name is another one.
        let job = format!("{}.replay", config.name);
        Some(Place { store, job, fingerprint: xxhash_rust::xxh3::xxh3_64(reads.as_bytes()) })
    }

    /// How far the replay came that was stopped; none where none was.
    pub fn found(&self) -> JobResult<Option<Time>> {
        let seen = Checkpoints::joined(&self.job, self.fingerprint, 0);
        let found = seen.newest(&Objects::open(&self.store)?, Time::MAX);
        let (newest, passed_over) = found.map_err(|error| self.failed(&error))?;
        for (checkpoint, unfit) in passed_over {
            tracing::warn!("checkpoint {checkpoint} is passed over: {unfit}");
        }
        Ok(newest.map(|restored| restored.manifest.frontier))
    }

    /// Begins to keep how far this one is, from `found` on.
    pub fn keep(&self, found: Option<Time>, interval: Duration) -> JobResult<Kept> {
        let mut store = Objects::open(&self.store)?;
        let begun = Checkpoints::begin(&mut store, &self.job, self.fingerprint);
        let checkpoints = begun.map_err(|error| self.failed(&error))?;
        let written = found.unwrap_or(0);
        checkpoints.leave_at(&mut store, written).map_err(|error| self.failed(&error))?;
        let (reply, replies) = channel();
        let archive = Archive::start(store, checkpoints)?;
        Ok(Kept { archive, reply, replies, interval, asked: Instant::now(), reached: written, written })
    }

    /// The replay is over: one that is started again begins anew.
    pub fn forget(&self) -> JobResult<()> {
        let mut store = Objects::open(&self.store)?;
        forget(&mut store, &self.job).map(drop).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &StoreError) -> JobError {
        JobError::job(format!("the store of checkpoints failed: {error}")).at(self.store.clone())
    }
}

/// How far a replay is, written down every now and then by a thread that may wait for a store.
#[derive(Debug)]
pub struct Kept {
    archive: Archive,
    reply: Sender<Report>,
    replies: Receiver<Report>,
    interval: Duration,
    asked: Instant,
    reached: Time,
    /// The last one that was asked to be written.
    written: Time,
}

impl Kept {
    /// Everything before `reached` is done.
    pub fn note(&mut self, reached: Time) {
        self.reached = reached.max(self.reached);
        if self.asked.elapsed() >= self.interval {
            self.asked = Instant::now();
            self.write();
            self.replies.try_iter().for_each(|report| warn_of(&report));
        }
    }

    /// Writes down how far it came, the replay being cut short.
    pub fn stop(mut self) {
        self.write();
        drop(self.reply);
        drop(self.archive);
        let until = Instant::now() + LAST_WITHIN;
        // It ends once all has been answered.
        while let Ok(report) = self.replies.recv_timeout(until.saturating_duration_since(Instant::now())) {
            warn_of(&report);
        }
    }

    fn write(&mut self) {
        if self.reached > self.written {
            self.written = self.reached;
            self.archive.complete(self.reached, Default::default(), Vec::new(), Time::MAX, &self.reply);
        }
    }
}

fn warn_of(report: &Report) {
    if let Report::Failed { why, .. } = report {
        tracing::warn!("how far the replay is could not be written down: {why}; it goes on, and tries again");
    }
}

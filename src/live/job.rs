//! A live job: what its workers share, and what process 0 finds when it starts.
//!
//! Invariant: process 0 alone takes an incarnation and fences sinks; what it found is told to the others by the graph.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dataflows::orders::Rows;
use dataflows::orders::keeper::Census;
use dataflows::orders::outlook::Law;
use dataflows::orders::sla::RuleBook;
use dataflows::time::Time;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::archive::{Archive, Report};
use super::counters::{Counters, Newest, Turn};
use super::discovery::{Known, Start};
use super::head::Head;
use super::publisher::Publisher;
use super::publishing::{Publishing, Told};
use super::reading::{Beginning, Reading, Terms, Topics};
use crate::checkpoint::{Checkpoints, Manifest, read_parts};
use crate::clock::Lateness;
use crate::clock::partitions::{Partition, TimeMode};
use crate::config::JobConfig;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::sink::committer::Committer;
use crate::source::log::Log;
use crate::source::watch::journal::SharedFiles;
use crate::store::Objects;

/// What all processes have to know of the start.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shared {
    /// Where reading begins.
    pub beginning: Beginning,
    /// The checkpoint that is taken up; none for a job without a store.
    pub manifest: Option<Manifest>,
    /// Which incarnation this is.
    pub incarnation: u64,
    /// True where a sink is new: it wants to know what stands there.
    pub has_new_sink: bool,
    /// Where the sinks stand, each of them.
    pub sinks_at: Vec<Time>,
    /// The rows that somebody wants.
    pub rows: Rows,
}

/// What process 0 prepared for its first worker.
pub struct Lead {
    /// The sinks.
    pub committers: Vec<Committer>,
    /// Is told what has changed.
    pub told: Told,
}

/// The parts of a checkpoint, shared by the workers of a process.
pub type Parts = Arc<Vec<Vec<u8>>>;

/// Opens the log for a worker.
pub type OpenLog = Box<dyn Fn() -> JobResult<Box<dyn Log>> + Send + Sync>;

/// Begins to look for partitions; it is told whether nothing was read before.
pub type Discover = Box<dyn FnOnce(bool) -> JobResult<()> + Send>;

/// What every worker of a process shares.
pub struct LiveJob {
    /// Identity of the job.
    pub name: String,
    /// Stands for the configuration that results depend on.
    pub fingerprint: u64,
    /// What reading needs to know.
    pub terms: Terms,
    /// Settings, rules and sources of the graph.
    pub law: Law,
    /// Opens the log.
    pub open: OpenLog,
    /// The partitions that are known, each with where to begin it unless an earlier reading did.
    pub partitions: Known,
    /// True once all partitions that there are at the start are known. Until then nothing is promised, nor said to others: an
    /// earlier reading may have marks of them that come before what would be.
    pub discovered: Arc<AtomicBool>,
    /// Taken once it is known what was read before; none where there is nothing to look for.
    pub discover: Mutex<Option<Discover>>,
    /// The files of a watched directory, where this process watches it.
    pub files: Option<SharedFiles>,
    /// Where checkpoints are kept; none: nowhere.
    pub store: Option<String>,
    /// How often they are written.
    pub checkpoint_interval: Duration,
    /// What process 0 found; none in the others.
    pub found: Option<Shared>,
    /// See [`Lead`]; taken by the first worker.
    pub lead: Mutex<Option<Lead>>,
    /// See [`LiveJob::parts`].
    pub parts: Mutex<Option<Parts>>,
    /// Workers of this process that have yet to take up their share of them.
    pub untaken: AtomicUsize,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// The first error.
    pub error: Mutex<Option<JobError>>,
    /// True once there is an error.
    pub failed: AtomicBool,
    /// True while the publisher or sinks cannot take more.
    pub full: AtomicBool,
    /// True once the job was asked to stop.
    pub stops: AtomicBool,
}

impl LiveJob {
    /// A job of this configuration that reads these topics; nothing is found or prepared yet.
    pub fn new(config: &JobConfig, topics: Topics, mode: TimeMode, open: OpenLog) -> LiveJob {
        let terms = Terms {
            limits: config.limits(),
            lateness: Lateness { late_arrival_ms: config.late_arrival_ms, horizon_ms: config.settings.horizon_ms },
            mode,
            out_of_orderness_ms: config.out_of_orderness_ms,
            max_read_ahead_ms: config.max_read_ahead_ms,
            tick_ms: config.settings.tick_ms,
            topics,
        };
        let rules = RuleBook::new(&config.rules);
        let law = Law { settings: config.settings.clone(), rules, sources: terms.topics.sources() };
        LiveJob {
            name: config.name.clone(),
            fingerprint: fingerprint(config, &terms),
            terms,
            law,
            open,
            partitions: Arc::default(),
            discovered: Arc::new(AtomicBool::new(true)),
            discover: Mutex::default(),
            files: None,
            store: None,
            checkpoint_interval: Duration::from_millis(config.checkpoint_interval_ms),
            found: None,
            lead: Mutex::default(),
            parts: Mutex::default(),
            untaken: AtomicUsize::new(config.cluster.workers),
            counters: Arc::default(),
            error: Mutex::default(),
            failed: AtomicBool::new(false),
            full: AtomicBool::new(false),
            stops: AtomicBool::new(false),
        }
    }

    /// Notes an error; every worker of the process stops.
    pub fn fail(&self, error: JobError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.failed.store(true, Ordering::Release);
    }

    /// True once there is an error.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// True while no more is to be read.
    pub fn holds_back(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Reads no more while the publisher or sinks are full.
    pub fn hold_back(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }

    /// Asks the job to stop: it reads no more, commits, and writes a checkpoint.
    pub fn stop(&self) {
        self.stops.store(true, Ordering::Relaxed);
    }

    /// True once the job was asked to stop, by whatever.
    pub fn is_stopping(&self) -> bool {
        interrupt::is_requested() || self.stops.load(Ordering::Relaxed)
    }

    /// See [`LiveJob::discovered`].
    pub fn knows_partitions(&self) -> bool {
        self.discovered.load(Ordering::Acquire)
    }

    /// What process 0 found; none in the others.
    pub fn shared(&self) -> Option<Shared> {
        self.found.clone()
    }

    /// The partitions that a worker is to read, of `peers`: those of one topic are dealt out in turn, and topics with few
    /// of them begin with different workers.
    pub fn partitions_of(&self, worker: usize, peers: usize) -> Vec<(Partition, Start)> {
        let topics = &self.terms.topics.0;
        let is_mine = |partition: &Partition| {
            let topic = topics.iter().position(|topic| *topic == partition.topic).unwrap_or_default();
            (topic + partition.number.max(0) as usize) % peers.max(1) == worker
        };
        let known = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(partition, _)| is_mine(partition)).map(|(name, start)| (name.clone(), *start)).collect()
    }

    /// What an earlier reading read is there to be read on, whatever brokers say: one that has just started may not know all
    /// of it, and where something is gone, whoever reads it finds out. Others are looked for from here on.
    pub fn know(&self, beginning: &Beginning) {
        let followed = beginning.trail.iter().filter(|(_, marks)| !marks.is_empty()).map(|(partition, _)| partition);
        for partition in beginning.cut.keys().chain(followed) {
            self.partitions.lock().unwrap_or_else(PoisonError::into_inner).entry(partition.clone()).or_default();
        }
        let is_first = beginning.frontier == 0 && beginning.trail.is_empty();
        let discover = self.discover.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = discover.map(|discover| discover(is_first)) {
            self.fail(error);
        }
    }

    /// The parts of the checkpoint that is taken up; read once a process, and kept until [`LiveJob::has_taken_up`].
    pub fn parts(&self, shared: &Shared) -> JobResult<Parts> {
        let (Some(manifest), Some(store)) = (&shared.manifest, &self.store) else { return Ok(Parts::default()) };
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = &*parts {
            return Ok(Arc::clone(parts));
        }
        let restored = read_parts(&Objects::open(store)?, manifest.clone()).map_err(|unfit| {
            JobError::job(format!("cannot read the checkpoint as of {}: {unfit}", manifest.frontier))
                .at(store.clone())
                .remedy("give all processes the same --checkpoint; see what `orderwatch checkpoint list` says")
        })?;
        Ok(Arc::clone(parts.insert(Arc::new(restored.parts))))
    }

    /// A worker has its share of the checkpoint: after the last one its bytes leave memory.
    pub fn has_taken_up(&self) {
        if self.untaken.fetch_sub(1, Ordering::AcqRel) == 1 {
            *self.parts.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// A thread that writes parts of checkpoints; none where there is no store.
    pub fn archive(&self, shared: &Shared) -> JobResult<Option<Archive>> {
        let Some(store) = &self.store else { return Ok(None) };
        let checkpoints = Checkpoints::joined(&self.name, self.fingerprint, shared.incarnation);
        Archive::start(Objects::open(store)?, checkpoints).map(Some)
    }

    /// What the first worker leads with.
    pub fn head(&self, shared: &Shared, reply: Sender<Report>, peers: usize) -> JobResult<Head> {
        let lead = self.lead.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Lead { committers, told } = lead.ok_or_else(|| JobError::job("the first worker was started twice"))?;
        let (topics, cut) = (self.terms.topics.clone(), &shared.beginning.cut);
        let (place, files) = (self.terms.topics.clone(), self.files.clone());
        let place = move |position| place.place_in(files.as_ref(), position);
        let mut publisher = Publisher::new(&self.law.settings, shared.rows, Box::new(place));
        if let Some(bytes) = self.parts(shared)?.first() {
            publisher
                .restore(shared.beginning.frontier, bytes, |position| topics.is_before(cut, position))
                .map_err(|error| JobError::job(format!("cannot read the checkpoint: {error}")))?;
        }
        if shared.has_new_sink {
            publisher.show_stood();
        }
        let (kept, counters) = (shared.beginning.frontier, Arc::clone(&self.counters));
        counters.note(|numbers| {
            numbers.sinks = committers.iter().map(Committer::watched).collect();
            numbers.newest_checkpoint = shared.manifest.as_ref().map(|manifest| {
                let bytes = manifest.parts.iter().map(|part| part.bytes).sum();
                Newest { frontier: manifest.frontier, bytes, took: None, at: Instant::now() }
            });
        });
        let publishing = Publishing::start(publisher, committers, told, Arc::clone(&counters), kept)?;
        Ok(Head::new(publishing, self.archive(shared)?, reply, counters, peers, kept, self.checkpoint_interval))
    }

    /// Notes how far a worker is, how many orders it has, and how far all have been published.
    pub fn note(&self, worker: usize, reading: &Reading, census: Census, published: Time) {
        let turn = Turn { at: Instant::now(), records_read: reading.records_read, census };
        let lags = reading.lags();
        let knows_partitions = self.knows_partitions();
        self.counters.note(|numbers| {
            numbers.workers.insert(worker, turn);
            numbers.partitions.extend(lags);
            numbers.knows_partitions = knows_partitions;
            if self.found.is_none() {
                // Where there is a publisher, it says how far it is.
                numbers.frontier = numbers.frontier.max(published);
            }
            numbers.is_stopping = self.is_stopping();
        });
    }

    /// Records that this process has read.
    pub fn records_read(&self) -> u64 {
        self.counters.numbers().records_read()
    }

    /// What ended the job, if an error did.
    pub fn failure(&self) -> Option<JobError> {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).take();
        error.map(|error| error.after(self.records_read()))
    }
}

/// Stands for all of a configuration that results depend on: a checkpoint is taken up by such a job only.
fn fingerprint(config: &JobConfig, terms: &Terms) -> u64 {
    let JobConfig {
        settings, rules, late_arrival_ms, max_price, out_of_orderness_ms, max_future_skew_ms, kafka, ..
    } = config;
    let (format, has_schemas) = (kafka.format, kafka.registry.is_some());
    let Terms { mode, topics, .. } = terms;
    xxh3_64(format!("{settings:?} {rules:?} {late_arrival_ms} {max_price:?} {mode:?} {topics:?} {out_of_orderness_ms} {max_future_skew_ms} {format:?} {has_schemas}").as_bytes())
}

//! A directory as it is read live: files are renamed into it, and each is picked up once, whole, as part of one log.
//!
//! ```text
//!  directory ─► rounds ─► journal, in the store of checkpoints: which files, in which order
//!                 └─────► records ─► a channel of a few blocks ─► Watch::poll, on the worker's thread
//! ```
//!
//! Invariant: a directory is one partition, whose offsets are lines of its files one after another; so it is the same log
//! whoever reads it again. "No backlog" is said only of a round that found nothing within the last second. Limits: one
//! worker reads, that of the process which has the journal; files have to stay until a checkpoint is beyond them.

pub mod journal;
mod rounds;
mod rows;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::log::{Fetched, Log};
use super::moment::Moment;
use crate::clock::partitions::{Backlog, Partition};
use crate::error::{JobError, JobResult};
use journal::{Journal, SharedFiles};
use rounds::{Chunk, Nothing, Rounds};

/// Blocks that wait to be taken.
const CHUNKS_AHEAD: usize = 2;
/// For so long a round that found nothing says that there is nothing.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// What is watched.
#[derive(Debug)]
pub struct Watched {
    directory: PathBuf,
    files_at_once: usize,
    /// Until somebody reads.
    journal: Mutex<Option<Journal>>,
    files: SharedFiles,
}

impl Watched {
    /// A directory with its journal, of which so many files at once are picked up.
    pub fn new(directory: PathBuf, files_at_once: usize, journal: Journal) -> Watched {
        let files = journal.shared_files();
        Watched { directory, files_at_once, journal: Mutex::new(Some(journal)), files }
    }

    /// Which files were picked up.
    pub fn files(&self) -> SharedFiles {
        Arc::clone(&self.files)
    }
}

/// The log of a directory.
pub struct Watch {
    watched: Arc<Watched>,
    chunks: Option<Receiver<JobResult<Chunk>>>,
    /// Everything before it has been handed over or is no record.
    position: u64,
    is_held: bool,
    nothing: Nothing,
    failure: Option<JobError>,
}

impl Watch {
    /// Nothing is read yet.
    pub fn new(watched: &Arc<Watched>) -> Watch {
        let watched = Arc::clone(watched);
        Watch { watched, chunks: None, position: 0, is_held: false, nothing: Nothing::default(), failure: None }
    }
}

impl Log for Watch {
    fn read(&mut self, _: Partition, next_offset: u64) {
        self.position = next_offset;
        let Some(journal) = self.watched.journal.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (sender, chunks) = sync_channel(CHUNKS_AHEAD);
        let Watched { directory, files_at_once, .. } = &*self.watched;
        let rounds = Rounds::new(directory.clone(), *files_at_once, journal, sender, &self.nothing);
        let spawned = std::thread::Builder::new().name("watch".to_owned()).spawn(move || rounds.run(next_offset));
        self.failure = spawned.err().map(|error| JobError::job(format!("cannot start a thread: {error}")));
        self.chunks = Some(chunks);
    }

    fn hold(&mut self, _: &Partition, holds: bool) {
        self.is_held = holds;
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let Some(chunks) = self.chunks.as_ref().filter(|_| !self.is_held) else { return Ok(None) };
        match chunks.try_recv() {
            Ok(chunk) => {
                let Chunk { records, next } = chunk?;
                self.position = self.position.max(next);
                let partition = Partition { topic: topic_of(&self.watched.directory), number: 0 };
                Ok((!records.is_empty()).then_some(Fetched { partition, records }))
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => Ok(None),
        }
    }

    fn backlog(&self, _: &Partition, next_offset: u64) -> Backlog {
        match *self.nothing.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, end)) if at.is_within(FRESH_FOR, Moment::now()) && self.position >= end && next_offset >= end => {
                Backlog::None
            }
            _ => Backlog::Some,
        }
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        Some(self.position)
    }

    fn high_watermark(&self, _: &Partition) -> Option<u64> {
        Some(self.watched.files.lock().unwrap_or_else(PoisonError::into_inner).end())
    }
}

/// The topic that a directory is: no topic of a broker has a `/` in its name.
pub fn topic_of(directory: &Path) -> String {
    format!("{}/", directory.display().to_string().trim_end_matches('/'))
}

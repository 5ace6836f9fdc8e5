//! Rounds through a watched directory: a thread picks files up, writes them into the journal, and reads them.
//!
//! Invariant: records come in the order of the journal, from the offset that was asked for on, and none before its file is
//! in the journal. A directory or a store that is away is tried again; a file that was picked up and is not what it was
//! ends the job, for its records could not be repeated. Limits: a file is read twice, once for its lines to be counted.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::journal::{Journal, PickedUp};
use super::rows::{Rows, framing_of};
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::source::bytes;
use crate::source::log::Record;

/// How long a round waits after one that found nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it waits where something failed.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Records, and the offset from which on those that come next are.
#[derive(Debug)]
pub struct Chunk {
    pub records: Vec<Record>,
    pub next: u64,
}

/// When the last round began that found nothing new, and where the log ended then.
pub type Nothing = Arc<Mutex<Option<(Instant, u64)>>>;

/// A file as it was seen last.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    changed_at: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Seen {
        let changed_at = (metadata.mtime(), metadata.mtime_nsec());
        Seen { inode: metadata.ino(), bytes: metadata.len(), changed_at }
    }
}

/// See the head of this file.
pub struct Rounds {
    directory: PathBuf,
    files_at_once: usize,
    journal: Journal,
    sender: SyncSender<JobResult<Chunk>>,
    nothing: Weak<Mutex<Option<(Instant, u64)>>>,
    /// What was picked up: how long it was, and which file that is, once it was seen.
    picked_up: HashMap<String, (u64, Option<u64>)>,
    /// What cannot be read, until it changes.
    refused: HashMap<String, Option<Seen>>,
    /// What was said last, not to repeat it.
    complaint: String,
}

impl Rounds {
    /// Before the first round.
    pub fn new(
        directory: PathBuf,
        files_at_once: usize,
        journal: Journal,
        sender: SyncSender<JobResult<Chunk>>,
        nothing: &Nothing,
    ) -> Rounds {
        let picked_up = journal.files().all().map(seen_never).collect();
        Rounds {
            directory,
            files_at_once,
            journal,
            sender,
            nothing: Arc::downgrade(nothing),
            picked_up,
            refused: HashMap::new(),
            complaint: String::new(),
        }
    }

    /// Reads from an offset on, and goes its rounds, for as long as somebody listens.
    pub fn run(mut self, mut next: u64) {
        loop {
            match self.read_from(next) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => return drop(self.sender.send(Err(error))),
            }
            let begun = Instant::now();
            next = next.max(self.journal.files().end());
            let wait = match self.look() {
                Ok(true) => Duration::ZERO,
                Ok(false) => {
                    self.complaint.clear();
                    let Some(nothing) = self.nothing.upgrade() else { return };
                    *nothing.lock().unwrap_or_else(PoisonError::into_inner) = Some((begun, next));
                    LOOK_EVERY
                }
                Err(why) => {
                    if self.complaint != why {
                        tracing::warn!("{} cannot be watched, which is tried again: {why}", self.directory.display());
                        self.complaint = why;
                    }
                    AGAIN_AFTER
                }
            };
            if self.nothing.strong_count() == 0 || interrupt::is_requested() {
                return;
            }
            std::thread::sleep(wait);
        }
    }

    /// Hands on what the journal has from an offset on; false where nobody listens any more.
    fn read_from(&self, next: u64) -> JobResult<bool> {
        let files = self.journal.files().from(next).to_vec();
        for (first, file) in files {
            let path = self.directory.join(&file.name);
            let failed = |what: String| {
                let error = JobError::job(format!("a file that was picked up is not what it was: {what}"));
                error
                    .at(path.display().to_string())
                    .remedy("put it back as it was; or begin anew: `orderwatch checkpoint reset`, and empty the sinks")
            };
            let mut rows = open(&path, &file.name, file.bytes).map_err(|error| failed(error.to_string()))?;
            while let Some(block) = rows.next_block().map_err(|error| failed(error.to_string()))? {
                let end = (first + rows.lines).min(first + file.lines);
                if end <= next {
                    continue;
                }
                let record = |(line, value): (u64, Vec<u8>)| Record {
                    offset: first + line - 1,
                    timestamp_ms: None,
                    value: Some(value.into()),
                    key: None,
                };
                let records = rows.records(&block).into_iter().map(record);
                let records = records.filter(|record| (next..end).contains(&record.offset)).collect();
                if self.sender.send(Ok(Chunk { records, next: end })).is_err() {
                    return Ok(false);
                }
            }
            if interrupt::is_requested() {
                return Ok(false);
            }
            if (rows.lines, rows.checksum()) != (file.lines, file.checksum) {
                return Err(failed("it says something else".to_owned()));
            }
            // Lines without records, at its end, are passed as well.
            if self.sender.send(Ok(Chunk { records: Vec::new(), next: first + file.lines })).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Looks for new files and adds those that come first to the journal; true where there were some.
    fn look(&mut self) -> Result<bool, String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(|error| error.to_string())? {
            let entry = entry.map_err(|error| error.to_string())?;
            let name = entry.file_name();
            // Whose name is no text cannot be told by name.
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            found.push((name.to_owned(), entry.ino()));
        }
        found.sort();
        let mut new = Vec::new();
        for (name, inode) in found {
            if self.was_picked_up(&name, inode) {
                continue;
            }
            new.extend(self.survey(name));
            if new.len() == self.files_at_once {
                break;
            }
        }
        if new.is_empty() || interrupt::is_requested() {
            return Ok(false);
        }
        let added = self.journal.add(new).map_err(|error| format!("the store of checkpoints failed: {error}"))?;
        self.picked_up.extend(added.iter().map(seen_never));
        Ok(true)
    }

    /// True for a name that was picked up; says so where another file has it now.
    fn was_picked_up(&mut self, name: &str, inode: u64) -> bool {
        let Some((bytes, known)) = self.picked_up.get_mut(name) else { return false };
        if *known != Some(inode) {
            let is_other = match known.replace(inode) {
                Some(_) => true,
                None => fs::metadata(self.directory.join(name)).is_ok_and(|metadata| metadata.len() != *bytes),
            };
            if is_other {
                tracing::warn!("{name} was picked up before: what it says now is ignored, give it another name");
            }
        }
        true
    }

    /// Counts the lines of a new file; none where it is no input or cannot be read, which is said once.
    fn survey(&mut self, name: String) -> Option<PickedUp> {
        let path = self.directory.join(&name);
        let is_input = |metadata: &Metadata| metadata.is_file() && framing_of(&name).is_some();
        let seen = fs::metadata(&path).ok().filter(is_input).map(|metadata| Seen::of(&metadata));
        if self.refused.get(&name) == Some(&seen) {
            return None;
        }
        let counted = match seen {
            Some(seen) => count(&path, &name, seen.bytes),
            None => Err(io::Error::other("it is no file .jsonl or .csv")),
        };
        match counted {
            Ok(file) => Some(file),
            Err(error) => {
                tracing::warn!("{name} is not picked up before it has changed: {error}");
                self.refused.insert(name, seen);
                None
            }
        }
    }
}

/// A file that was picked up, not yet seen in the directory since.
fn seen_never(file: &PickedUp) -> (String, (u64, Option<u64>)) {
    (file.name.clone(), (file.bytes, None))
}

fn open(path: &Path, name: &str, length: u64) -> io::Result<Rows> {
    let bytes = bytes::open_as_it_was(path, Some(length)).map_err(|error| io::Error::other(error.what().to_owned()))?;
    Rows::open(bytes, framing_of(name).ok_or_else(|| io::Error::other("it is no file .jsonl or .csv"))?)
}

fn count(path: &Path, name: &str, bytes: u64) -> io::Result<PickedUp> {
    let mut rows = open(path, name, bytes)?;
    while rows.next_block()?.is_some() {}
    Ok(PickedUp { name: name.to_owned(), lines: rows.lines, bytes, checksum: rows.checksum() })
}

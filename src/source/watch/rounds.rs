//! Rounds through a watched directory: a thread picks files up, writes them into the journal, and reads them.
//!
//! Invariant: records come in the order of the journal, from the offset that was asked for on, and none before its file
//! is in the journal. A directory, a store or a new file that is away is tried again; a file that was picked up and is
//! not what it was ends the job, for its records could not be repeated. Limits: a file is read twice, once to count its
//! lines; while a new file cannot be read time passes all the same, or one would keep the job from going on.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::journal::{Journal, PickedUp};
use super::rows::{Line, Rows, framing_of};
use crate::console::visible;
use crate::error::{JobError, JobResult};
use crate::interrupt;
use crate::source::bytes;
use crate::source::log::Record;
use crate::source::moment::Moment;

/// How long a round waits after one that found nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long it waits where something failed, and a file that the system did not let it read.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// What is wrong with what is none of these files.
const NO_INPUT: &str = "it is no file .jsonl or .csv";
/// What is wrong with a file whose name is no text.
const NO_TEXT: &str = "its name is not in UTF-8; rename it";
/// What is wrong with a file of which no line could be read, and what to do.
const UTF_16: &str = "it is text in UTF-16, not in UTF-8; convert it: iconv -f UTF-16 -t UTF-8";

/// Records, and the offset from which on those that come next are.
#[derive(Debug)]
pub struct Chunk {
    pub records: Vec<Record>,
    pub next: u64,
}

/// When the last round began that found nothing new, and where the log ended then.
pub type Nothing = Arc<Mutex<Option<(Moment, u64)>>>;

/// A file as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    bytes: u64,
    modified_at: (i64, i64),
    /// When the file or its permissions changed: who may read it is no part of what it says.
    changed_at: (i64, i64),
}

impl Seen {
    fn of(metadata: &Metadata) -> Seen {
        let modified_at = (metadata.mtime(), metadata.mtime_nsec());
        let changed_at = (metadata.ctime(), metadata.ctime_nsec());
        Seen { inode: metadata.ino(), bytes: metadata.len(), modified_at, changed_at }
    }
}

/// A file that was picked up, as it is in the directory.
struct Known {
    /// How long it was.
    bytes: u64,
    /// Which file that is, once it was seen.
    inode: Option<u64>,
    /// It was said that it is not what it was.
    is_told: bool,
}

impl Known {
    /// One that was not seen in the directory since.
    fn of(file: &PickedUp) -> (String, Known) {
        (file.name.clone(), Known { bytes: file.bytes, inode: None, is_told: false })
    }
}

/// What keeps a file from being picked up.
#[derive(Debug)]
struct Obstacle {
    why: String,
    /// It may be gone without the file having changed.
    may_pass: bool,
}

impl Obstacle {
    fn of_file(why: impl Into<String>) -> Obstacle {
        Obstacle { why: why.into(), may_pass: false }
    }
}

impl From<io::Error> for Obstacle {
    /// What the system says may pass; what a decompressor says is so until the file changes.
    fn from(error: io::Error) -> Obstacle {
        Obstacle { why: error.to_string(), may_pass: error.raw_os_error().is_some() }
    }
}

impl From<JobError> for Obstacle {
    /// It is the system that does not open a file.
    fn from(error: JobError) -> Obstacle {
        Obstacle { why: error.what().to_owned(), may_pass: true }
    }
}

/// A file that is not picked up.
struct Refused {
    seen: Option<Seen>,
    why: String,
    /// When it is tried again, where it need not change.
    again_at: Option<Instant>,
}

impl Refused {
    /// True for a file that is not to be tried `now`.
    fn stands(&self, seen: Option<Seen>, now: Instant) -> bool {
        self.seen == seen && self.again_at.is_none_or(|at| now < at)
    }
}

/// See the head of this file.
pub struct Rounds {
    directory: PathBuf,
    files_at_once: usize,
    journal: Journal,
    sender: SyncSender<JobResult<Chunk>>,
    nothing: Weak<Mutex<Option<(Moment, u64)>>>,
    picked_up: HashMap<String, Known>,
    refused: HashMap<String, Refused>,
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
        let picked_up = journal.files().all().map(Known::of).collect();
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
            let begun = Moment::now();
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
                    .at(visible(&path.display().to_string()))
                    .remedy("put it back as it was; or begin anew: `orderwatch checkpoint reset`, and empty the sinks")
            };
            let mut rows = open(&path, &file.name, file.bytes).map_err(|obstacle| failed(obstacle.why))?;
            while let Some(block) = rows.next_block().map_err(|error| failed(error.to_string()))? {
                let end = (first + rows.lines).min(first + file.lines);
                if end <= next {
                    continue;
                }
                let record = |(line, value, form): Line| Record {
                    offset: first + line - 1,
                    value: Some(value.into()),
                    form,
                    ..Record::default()
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
            match name.to_str() {
                Some(name) if name.starts_with('.') => {}
                Some(name) => found.push((name.to_owned(), entry.ino())),
                None => self.pass_over(name.to_string_lossy().into_owned()),
            }
        }
        found.sort();
        let mut new = Vec::new();
        for (name, inode) in found {
            if self.was_picked_up(&name, inode) {
                continue;
            }
            new.extend(self.survey(&name));
            if new.len() == self.files_at_once {
                break;
            }
        }
        if new.is_empty() || interrupt::is_requested() {
            return Ok(false);
        }
        let added = self.journal.add(new).map_err(|error| format!("the store of checkpoints failed: {error}"))?;
        self.picked_up.extend(added.iter().map(Known::of));
        Ok(true)
    }

    /// Says once of a file, whose name is no text, that it is not read: the journal knows files by their names.
    fn pass_over(&mut self, shown: String) {
        let is_input = !shown.starts_with('.') && framing_of(&shown).is_some();
        if is_input && !self.refused.contains_key(&shown) {
            tracing::warn!("{} is not picked up before it has changed: {NO_TEXT}", visible(&shown));
            self.refused.insert(shown, Refused { seen: None, why: NO_TEXT.to_owned(), again_at: None });
        }
    }

    /// True for a name that was picked up; says so where another file has it now, or that file was written to since.
    fn was_picked_up(&mut self, name: &str, inode: u64) -> bool {
        let Some(known) = self.picked_up.get_mut(name) else { return false };
        if known.inode.replace(inode).is_some_and(|before| before != inode) {
            known.is_told = true;
            let name = visible(name);
            tracing::warn!("{name} was picked up before: what it says now is ignored, give it another name");
        } else if !known.is_told
            && let Ok(metadata) = fs::metadata(self.directory.join(name))
            && metadata.len() != known.bytes
        {
            known.is_told = true;
            let (name, then, now) = (visible(name), known.bytes, metadata.len());
            tracing::warn!(
                "{name} was written to after it was picked up ({then} bytes then, {now} now), which is not read: write \
                 files elsewhere and rename them in; lines that are missing can be dropped in as a file of their own"
            );
        }
        true
    }

    /// Counts the lines of a new file; none where it is no input or cannot be read, which is said once.
    fn survey(&mut self, name: &str) -> Option<PickedUp> {
        let path = self.directory.join(name);
        let looked = match framing_of(name) {
            Some(_) => fs::metadata(&path).map(|metadata| metadata.is_file().then(|| Seen::of(&metadata))),
            None => Ok(None),
        };
        let (seen, now) = (looked.as_ref().ok().copied().flatten(), Instant::now());
        let refused = self.refused.get(name);
        if refused.is_some_and(|refused| refused.stands(seen, now)) {
            return None;
        }
        let counted = match looked {
            Ok(Some(seen)) => count(&path, name, seen.bytes),
            Ok(None) => Err(Obstacle::of_file(NO_INPUT)),
            Err(error) => Err(Obstacle::from(error)),
        };
        let Obstacle { why, may_pass } = match counted {
            Ok(file) => {
                self.refused.remove(name);
                return Some(file);
            }
            Err(obstacle) => obstacle,
        };
        if refused.is_none_or(|refused| refused.seen != seen || refused.why != why) {
            let until = if may_pass { "yet, which is tried again" } else { "before it has changed" };
            tracing::warn!("{} is not picked up {until}: {}", visible(name), visible(&why));
        }
        let again_at = may_pass.then(|| now + AGAIN_AFTER);
        self.refused.insert(name.to_owned(), Refused { seen, why, again_at });
        None
    }
}

fn open(path: &Path, name: &str, length: u64) -> Result<Rows, Obstacle> {
    let framing = framing_of(name).ok_or_else(|| Obstacle::of_file(NO_INPUT))?;
    Ok(Rows::open(bytes::open_as_it_was(path, Some(length))?, framing)?)
}

fn count(path: &Path, name: &str, bytes: u64) -> Result<PickedUp, Obstacle> {
    // What is in the journal has passed this.
    if bytes::is_utf_16(path)? {
        return Err(Obstacle::of_file(UTF_16));
    }
    let mut rows = open(path, name, bytes)?;
    if let Some(why) = rows.header_fault() {
        return Err(Obstacle::of_file(why));
    }
    while rows.next_block()?.is_some() {}
    Ok(PickedUp { name: name.to_owned(), lines: rows.lines, bytes, checksum: rows.checksum() })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn permissions_that_change_are_a_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let seen = || Seen::of(&file.as_file().metadata().unwrap());
        let before = seen();
        assert_eq!(before, seen());
        // The clock of a file system may stand still for some milliseconds.
        std::thread::sleep(Duration::from_millis(50));
        file.as_file().set_permissions(Permissions::from_mode(0o644)).unwrap();
        assert_ne!(before, seen());
    }

    #[test]
    fn what_the_system_refused_is_tried_again_and_a_broken_file_once_it_has_changed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (seen, now) = (Some(Seen::of(&file.as_file().metadata().unwrap())), Instant::now());
        let broken = Refused { seen, why: String::new(), again_at: None };
        assert!(broken.stands(seen, now + AGAIN_AFTER) && !broken.stands(None, now));
        let away = Refused { again_at: Some(now + AGAIN_AFTER), ..broken };
        assert!(away.stands(seen, now) && !away.stands(None, now) && !away.stands(seen, now + AGAIN_AFTER));

        let too_many_open_files = io::Error::from_raw_os_error(24);
        assert!(Obstacle::from(too_many_open_files).may_pass);
        let (folder, name) = (tempfile::tempdir().unwrap(), "damaged.jsonl.gz");
        let path = folder.path().join(name);
        assert!(count(&path, name, 7).unwrap_err().may_pass, "it is not there yet");
        std::fs::write(&path, "no gzip").unwrap();
        assert!(!count(&path, name, 7).unwrap_err().may_pass);
    }
}

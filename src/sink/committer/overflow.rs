//! The overflow of a committer: what a sink is to get and memory has no room for, in temporary files.
//!
//! Invariant: messages come out in the order in which they were set aside, each once. From the first one on until its
//! reader has found nothing more it is in use, and as long all that is given goes behind it. What cannot be written stays
//! in memory, behind what was: nothing is lost, and whoever gives is told to stop. Limits: whoever gives waits for the disk
//! while it takes what is written; a file is removed when all of it has been read, so the space taken may exceed what
//! waits by a sixteenth of what may. Files have no names and are gone with the program.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use xxhash_rust::xxh3::xxh3_64;

use super::counters::CommitterCounters;
use super::queue::Message;
use crate::config::SinkConfig;
use crate::error::{JobError, JobResult};

/// Before each message: its length and its checksum.
type Header = [[u8; size_of::<u64>()]; 2];
/// So many files hold what may wait.
const VOLUMES: u64 = 16;

/// See the head of this file.
pub(super) struct Overflow {
    name: String,
    is_in_use: bool,
    /// Each of them holds something that is to be read.
    volumes: VecDeque<Volume>,
    /// What could not be written.
    unwritten: VecDeque<Vec<u8>>,
    volume_bytes: u64,
    /// Changes that wait.
    changes: u64,
    counters: Arc<CommitterCounters>,
    open: fn() -> io::Result<File>,
    /// Nothing could be written the last time.
    has_failed: bool,
}

/// A temporary file, and up to where it has been read and written.
struct Volume {
    file: File,
    read: u64,
    written: u64,
}

impl Overflow {
    /// That of the sink `name`, with nothing in it.
    pub(super) fn new(name: &str, sink: &SinkConfig, counters: Arc<CommitterCounters>) -> Overflow {
        Overflow {
            name: name.to_owned(),
            is_in_use: false,
            volumes: VecDeque::new(),
            unwritten: VecDeque::new(),
            volume_bytes: sink.spill_bytes / VOLUMES,
            changes: 0,
            counters,
            open: tempfile::tempfile,
            has_failed: false,
        }
    }

    /// True while all that is given goes behind what is here.
    pub(super) fn is_in_use(&self) -> bool {
        self.is_in_use
    }

    /// Changes that wait.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// Sets a message aside; true where it is the first one, of which the reader does not know.
    pub(super) fn push(&mut self, message: &Message) -> bool {
        // Nothing keeps a message from becoming bytes; where something did it would be missed when they are read.
        let bytes = postcard::to_stdvec(message).unwrap_or_default();
        self.counters.spilled_bytes.fetch_add(size_of_frame(&bytes), Ordering::Relaxed);
        self.changes += message.changes().len() as u64;
        self.unwritten.push_back(bytes);
        self.write();
        !std::mem::replace(&mut self.is_in_use, true)
    }

    /// Writes what could not be written so far, as much as can be.
    pub(super) fn write(&mut self) {
        while let Some(bytes) = self.unwritten.front() {
            if let Err(error) = append(&mut self.volumes, self.volume_bytes, self.open, bytes) {
                self.warn(&error);
                break;
            }
            self.unwritten.pop_front();
            self.has_failed = false;
        }
        self.counters.is_stuck.store(!self.unwritten.is_empty(), Ordering::Relaxed);
    }

    fn warn(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(
                "cannot write the temporary file of changes for the sink {}: {error}. Nothing is lost, but the job reads no \
                 more until the sink is back or there is space in {}: free some, or name another directory with TMPDIR",
                self.name,
                std::env::temp_dir().display()
            );
        }
    }

    /// The next message, which waits in memory from now on. Where there is none what is given goes elsewhere from now on.
    pub(super) fn take(&mut self) -> JobResult<Option<Message>> {
        let bytes = match self.volumes.front_mut() {
            Some(volume) => volume.next().map_err(|error| self.unreadable(&error))?,
            None => match self.unwritten.pop_front() {
                Some(bytes) => bytes,
                None => {
                    self.is_in_use = false;
                    return Ok(None);
                }
            },
        };
        self.volumes.pop_front_if(|volume| volume.read == volume.written);
        self.counters.is_stuck.store(!self.unwritten.is_empty(), Ordering::Relaxed);
        self.counters.spilled_bytes.fetch_sub(size_of_frame(&bytes), Ordering::Relaxed);
        let message: Message =
            postcard::from_bytes(&bytes).map_err(|error| self.unreadable(&io::Error::other(error.to_string())))?;
        self.changes = self.changes.saturating_sub(message.changes().len() as u64);
        self.counters.waiting_bytes.fetch_add(message.bytes(), Ordering::Relaxed);
        Ok(Some(message))
    }

    fn unreadable(&self, error: &io::Error) -> JobError {
        JobError::job(format!("cannot read the temporary file of changes for the sink {}: {error}", self.name))
            .at(std::env::temp_dir().display().to_string())
            .remedy("see to the disk, then start the job again: it goes on from where the sink is")
    }
}

fn size_of_frame(bytes: &[u8]) -> u64 {
    (size_of::<Header>() + bytes.len()) as u64
}

/// Writes a message behind all others. What was written of one that failed is written over by the next.
fn append(
    volumes: &mut VecDeque<Volume>,
    volume_bytes: u64,
    open: fn() -> io::Result<File>,
    bytes: &[u8],
) -> io::Result<()> {
    let header: Header = [bytes.len() as u64, xxh3_64(bytes)].map(u64::to_le_bytes);
    let write = |file: &File, at: u64| {
        file.write_all_at(header.as_flattened(), at)?;
        file.write_all_at(bytes, at + size_of::<Header>() as u64)
    };
    match volumes.back_mut().filter(|volume| volume.written < volume_bytes) {
        Some(volume) => {
            write(&volume.file, volume.written)?;
            volume.written += size_of_frame(bytes);
        }
        None => {
            let file = open()?;
            write(&file, 0)?;
            volumes.push_back(Volume { file, read: 0, written: size_of_frame(bytes) });
        }
    }
    Ok(())
}

impl Volume {
    /// The bytes of the next message, of which there is one.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
        let mut header = Header::default();
        self.file.read_exact_at(header.as_flattened_mut(), self.read)?;
        let [length, checksum] = header.map(u64::from_le_bytes);
        let start = self.read + size_of::<Header>() as u64;
        let end = start.checked_add(length).filter(|end| *end <= self.written).ok_or_else(damaged)?;
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, start)?;
        if xxh3_64(&bytes) != checksum {
            return Err(damaged());
        }
        self.read = end;
        Ok(bytes)
    }
}

//! The archive: writes checkpoints on a thread of its own, for workers never wait for a store.
//!
//! A part is written while its worker still puts it down, piece by piece, so that it is never in memory as a whole unless
//! the store is slow; each worker has an archive, and the head one. Invariant: it answers every request once, in the order
//! in which they came. A checkpoint that could not be written is given up, and the job goes on: the next one may fare
//! better. Why old ones cannot be removed is said once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use dataflows::operators::pieces::Piece;
use dataflows::orders::keeper::Snapshots;
use dataflows::time::Time;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Checkpoints, Part, StoreError, Successors};
use crate::clock::partitions::{Cut, Mark, Partition};
use crate::error::{JobError, JobResult};
use crate::store::Objects;

/// What became of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Report {
    /// A part was written.
    Part {
        /// Of the checkpoint as of here.
        frontier: Time,
        /// Which one.
        number: usize,
        /// As its manifest is to know it.
        part: Part,
    },
    /// The checkpoint as of `frontier` cannot be written.
    Failed {
        /// Which one.
        frontier: Time,
        /// Why.
        why: String,
    },
    /// The checkpoint is complete.
    Completed {
        /// Which one.
        frontier: Time,
        /// From where the oldest one that may be restored is read on.
        oldest: Option<Vec<(Partition, Mark)>>,
    },
    /// A worker reads no more, and promises nothing beyond this.
    Stopped {
        /// Which one.
        worker: usize,
        /// What it has promised.
        promise: Time,
    },
}

enum Request {
    Put { frontier: Time, number: usize, pieces: Receiver<Piece>, reply: Sender<Report> },
    Complete { frontier: Time, cut: Cut, parts: Vec<Part>, slowest: Time, reply: Sender<Report> },
}

/// The thread that writes, as workers see it.
#[derive(Clone, Debug)]
pub struct Archive(Sender<Request>);

impl Archive {
    /// Starts the thread.
    pub fn start(store: Objects, checkpoints: Checkpoints) -> JobResult<Archive> {
        let (sender, requests) = channel();
        let spawned =
            std::thread::Builder::new().name("archive".to_owned()).spawn(move || work(store, &checkpoints, &requests));
        spawned.map_err(|error| JobError::job(format!("cannot start a thread for checkpoints: {error}")))?;
        Ok(Archive(sender))
    }

    /// Writes a part, of the pieces that are sent.
    pub fn put(&self, frontier: Time, number: usize, reply: &Sender<Report>) -> Sender<Piece> {
        let (sender, pieces) = channel();
        // The thread ends with the job only.
        let _ = self.0.send(Request::Put { frontier, number, pieces, reply: reply.clone() });
        sender
    }

    /// Has this part of each checkpoint written, of what a worker puts down.
    pub fn snapshots(self, number: usize, reply: Sender<Report>) -> Snapshots {
        Box::new(move |frontier| {
            let pieces = self.put(frontier, number, &reply);
            // Where that fails the answer says so.
            Box::new(move |piece| _ = pieces.send(piece))
        })
    }

    /// Makes parts a checkpoint, and removes those that are no longer needed. `slowest` is how far the sinks are.
    pub fn complete(&self, frontier: Time, cut: Cut, parts: Vec<Part>, slowest: Time, reply: &Sender<Report>) {
        let _ = self.0.send(Request::Complete { frontier, cut, parts, slowest, reply: reply.clone() });
    }
}

fn work(mut store: Objects, checkpoints: &Checkpoints, requests: &Receiver<Request>) {
    let (mut successors, mut complaint) = (Successors::default(), String::new());
    for (attempt, request) in (1..).zip(requests) {
        let (report, reply) = match request {
            Request::Put { frontier, number, pieces, reply } => {
                let put = checkpoints.put_part(&mut store, frontier, number, attempt, whole(pieces));
                (
                    put.map_or_else(|error| failed(frontier, &error), |part| Report::Part { frontier, number, part }),
                    reply,
                )
            }
            Request::Complete { frontier, cut, parts, slowest, reply } => {
                let started = Instant::now();
                // It may have been there, unheard of: it stands, whatever becomes of those before it.
                let done = checkpoints.complete(&mut store, frontier, &cut, parts).map(|_| {
                    let pruned = checkpoints.prune(&mut store, slowest, &mut successors);
                    pruned.inspect(|_| complaint.clear()).unwrap_or_else(|StoreError(why)| {
                        if complaint != why {
                            tracing::warn!("checkpoints that are no longer needed cannot be removed: {why}");
                            complaint = why;
                        }
                        None
                    })
                });
                tracing::debug!("checkpoint at {frontier} completed in {:?}", started.elapsed());
                let completed = |oldest: Option<Cut>| Report::Completed {
                    frontier,
                    oldest: oldest.map(|cut| cut.into_iter().collect()),
                };
                (done.map_or_else(|error| failed(frontier, &error), completed), reply)
            }
        };
        // A worker that has ended does not want to know.
        let _ = reply.send(report);
    }
}

/// The pieces up to the last one; an error where that does not come.
fn whole(pieces: Receiver<Piece>) -> impl Iterator<Item = Result<Vec<u8>, StoreError>> {
    let mut pieces = Some(pieces);
    std::iter::from_fn(move || {
        let ended = Piece { bytes: Err("its worker has ended".to_owned()), is_last: true };
        let Piece { bytes, is_last } = pieces.as_ref()?.recv().unwrap_or(ended);
        pieces.take_if(|_| is_last);
        Some(bytes.map_err(StoreError))
    })
}

fn failed(frontier: Time, error: &StoreError) -> Report {
    Report::Failed { frontier, why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Store;

    #[test]
    fn a_part_is_written_once_its_last_piece_has_come() {
        let directory = tempfile::tempdir().unwrap();
        let open = || Objects::open(&directory.path().display().to_string()).unwrap();
        let (reply, replies) = channel();
        let archive = Archive::start(open(), Checkpoints::joined("job", 7, 1)).unwrap();
        let piece = |text: &str, is_last| Piece { bytes: Ok(text.as_bytes().to_vec()), is_last };
        let broken = Piece { bytes: Err("no room".to_owned()), is_last: true };
        // These end before their last piece.
        archive.put(5, 0, &reply).send(piece("a", false)).unwrap();
        drop(archive.put(5, 0, &reply));
        let mut put_down = archive.snapshots(1, reply);
        for pieces in [vec![piece("a", false), broken], vec![piece("a", false), piece("b", false), piece("c", true)]] {
            pieces.into_iter().for_each(put_down(5));
        }
        drop(put_down);
        let (mut failed, mut parts) = (Vec::new(), Vec::new());
        replies.iter().for_each(|report| match report {
            Report::Failed { why, .. } => failed.push(why),
            Report::Part { part, .. } => parts.push(part),
            _ => {}
        });
        assert_eq!(failed, ["its worker has ended", "its worker has ended", "no room"]);
        assert_eq!(parts.len(), 1);
        let part = parts.remove(0);
        assert_eq!((open().list("job/").unwrap(), part.bytes), (vec![part.name.clone()], 3));
        assert_eq!(open().get(&part.name), Ok(Some(b"abc".to_vec())));
    }
}

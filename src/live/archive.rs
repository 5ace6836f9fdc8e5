//! The archive: writes checkpoints on a thread of its own, for workers never wait for a store.
//!
//! Invariant: it answers every request once, in the order in which they came. A checkpoint that could not be written is
//! given up, and the job goes on: the next one may fare better. Why old ones cannot be removed is said once.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

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
    Put { frontier: Time, number: usize, bytes: Vec<u8>, reply: Sender<Report> },
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

    /// Writes a part.
    pub fn put(&self, frontier: Time, number: usize, bytes: Vec<u8>, reply: &Sender<Report>) {
        // The thread ends with the job only.
        let _ = self.0.send(Request::Put { frontier, number, bytes, reply: reply.clone() });
    }

    /// Makes parts a checkpoint, and removes those that are no longer needed. `slowest` is how far the sinks are.
    pub fn complete(&self, frontier: Time, cut: Cut, parts: Vec<Part>, slowest: Time, reply: &Sender<Report>) {
        let _ = self.0.send(Request::Complete { frontier, cut, parts, slowest, reply: reply.clone() });
    }
}

fn work(mut store: Objects, checkpoints: &Checkpoints, requests: &Receiver<Request>) {
    let (mut successors, mut complaint) = (Successors::default(), String::new());
    for request in requests {
        let (report, reply) = match request {
            Request::Put { frontier, number, bytes, reply } => {
                let put = checkpoints.put_part(&mut store, frontier, number, bytes);
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

fn failed(frontier: Time, error: &StoreError) -> Report {
    Report::Failed { frontier, why: error.to_string() }
}

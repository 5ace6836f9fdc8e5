//! What a replay says of itself over HTTP while it runs: how much was read, and how far results have come.
//!
//! Invariant: workers put numbers down every now and then and wait for nobody. Limits: what has come of facts is known when
//! a replay is over, and is in its results.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::orders::keeper::Census;
use dataflows::time::Time;

use crate::error::JobResult;
use crate::live::counters::{Counters, Turn};
use crate::serve;

/// How often a worker puts its numbers down.
const NOTE_EVERY: Duration = Duration::from_millis(20);

/// Where the numbers of a process are served, if they are.
#[derive(Clone, Debug)]
pub struct Served(Option<Arc<Counters>>);

impl Served {
    /// Begins to answer at `address`.
    pub fn start(address: Option<&str>) -> JobResult<Served> {
        let Some(address) = address else { return Ok(Served(None)) };
        let counters = Arc::<Counters>::default();
        counters.note(|numbers| (numbers.is_replay, numbers.knows_partitions) = (true, true));
        serve::start(address, Arc::clone(&counters))?;
        Ok(Served(Some(counters)))
    }

    /// So many workers of this process begin to read.
    pub fn begin(&self, workers: usize) {
        self.note(|counters| counters.note(|numbers| numbers.workers_wanted = workers));
    }

    /// The numbers of one worker; records of a process are counted together, and its first worker tells them.
    pub fn worker(&self, index: usize, is_first: bool) -> ServedWorker {
        ServedWorker { served: self.clone(), index, is_first, noted: None }
    }

    /// All has been read: what is left is to write results.
    pub fn finish(&self) {
        self.note(|counters| counters.note(|numbers| numbers.is_stopping = true));
    }

    fn note(&self, put: impl FnOnce(&Counters)) {
        if let Some(counters) = &self.0 {
            put(counters);
        }
    }
}

/// A worker that puts its numbers down.
pub struct ServedWorker {
    served: Served,
    index: usize,
    is_first: bool,
    noted: Option<Instant>,
}

impl ServedWorker {
    /// The worker has turned: all of this process have read so many records, and all before `reached` is done.
    pub fn turn(&mut self, records_read: u64, reached: Option<Time>) {
        if self.noted.is_some_and(|noted| noted.elapsed() < NOTE_EVERY) {
            return;
        }
        let at = *self.noted.insert(Instant::now());
        let records_read = if self.is_first { records_read } else { 0 };
        let turn = Turn { at, records_read, census: Census::default() };
        self.served.note(|counters| {
            counters.note(|numbers| {
                numbers.workers.insert(self.index, turn);
                numbers.frontier = numbers.frontier.max(reached.filter(|time| *time < Time::MAX).unwrap_or(0));
            });
        });
    }
}

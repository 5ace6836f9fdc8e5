//! Claims: which incarnations of a job there are, and which of them may still be at work.
//!
//! A start takes the next number by conditional creation, and no number is ever free again: one that fails notes beside
//! its claim that nobody goes on under it. Invariant: whoever is replaced finds a later claim that stands. Limits: one
//! that was killed while it started stands, too, until whoever it would have replaced has waited long enough and rules it
//! out.

use std::collections::BTreeMap;
use std::iter::empty;
use std::time::{Duration, Instant};

use super::{Store, StoreError, number_in};

/// What is put behind the name of a claim that is withdrawn.
const WITHDRAWN: &str = "-withdrawn";
/// So long after its claim was found a start that has not said where it goes on is taken for killed. No result hangs on
/// it: one that takes longer has to be started again.
const START_WITHIN: Duration = Duration::from_secs(600);

/// The claims that a process has found behind its own, and since when it knows them.
#[derive(Debug)]
pub struct Successors {
    found: BTreeMap<u64, Instant>,
    start_within: Duration,
}

impl Default for Successors {
    fn default() -> Successors {
        Successors::that_start_within(START_WITHIN)
    }
}

impl Successors {
    /// None found yet; those that take longer to start are taken for killed.
    pub fn that_start_within(start_within: Duration) -> Successors {
        Successors { found: BTreeMap::new(), start_within }
    }

    /// Finds a claim, again or for the first time; true where its start has had its time.
    pub(super) fn is_late(&mut self, later: u64) -> bool {
        self.found.entry(later).or_insert_with(Instant::now).elapsed() >= self.start_within
    }
}

/// Takes the next number. Of several that try at once each gets another one.
pub(super) fn take(store: &mut impl Store, job: &str) -> Result<u64, StoreError> {
    let names = store.list(&prefix(job))?;
    let newest = names.iter().filter_map(|name| number_in(name, &prefix(job))).max().unwrap_or(0);
    for incarnation in newest + 1.. {
        if store.create(&claim(job, incarnation), b"")? {
            return Ok(incarnation);
        }
    }
    Err(StoreError("there is no number left for an incarnation".to_owned()))
}

/// Notes that nobody goes on under this number, nor ever wrote a checkpoint: the start failed, or was ruled out.
pub(super) fn withdraw(store: &mut impl Store, job: &str, incarnation: u64) -> Result<(), StoreError> {
    store.put(&withdrawn(&claim(job, incarnation)), empty())
}

/// Those behind `incarnation` that stand, in their order.
pub(super) fn standing_after(store: &impl Store, job: &str, incarnation: u64) -> Result<Vec<u64>, StoreError> {
    let names = store.list(&prefix(job))?;
    let standing = names.iter().filter(|name| names.binary_search(&withdrawn(name)).is_err());
    Ok(standing.filter_map(|name| number_in(name, &prefix(job))).filter(|later| *later > incarnation).collect())
}

fn prefix(job: &str) -> String {
    format!("{job}/incarnations/")
}

fn claim(job: &str, incarnation: u64) -> String {
    format!("{}{incarnation:010}", prefix(job))
}

fn withdrawn(claim: &str) -> String {
    format!("{claim}{WITHDRAWN}")
}

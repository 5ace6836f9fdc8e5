//! The start of an incarnation: who may write from now on, and where the job goes on.
//!
//! Invariant: when a start has succeeded no older incarnation can commit to any sink, and what they had committed lies on
//! one history, which this one follows to its end. Source: decision 10.

use std::fmt;

use dataflows::time::Time;

use crate::checkpoint::{Checkpoints, Restored, Store, StoreError, Unfit};
use crate::clock::partitions::Trail;
use crate::sink::commits::{Progress, Transactions};

#[cfg(test)]
mod tests;

/// Where an incarnation goes on.
#[derive(Debug)]
pub struct Start {
    /// The checkpoints, as this incarnation sees them.
    pub checkpoints: Checkpoints,
    /// The state to go on from; none for a job that never ran.
    pub restored: Option<Restored>,
    /// The checkpoints that were passed over, and why.
    pub passed_over: Vec<(String, Unfit)>,
    /// The marks to follow, of the sink that is furthest.
    pub trail: Trail,
    /// Where that history ends.
    pub followed_until: Time,
    /// How far each sink is, in the order in which they were given; one that is new is to begin with what stands at the
    /// state that was restored.
    pub sinks: Vec<Progress>,
}

/// Why an incarnation cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// The store of checkpoints could not be used.
    Store(StoreError),
    /// This sink cannot be reached.
    Unreachable(usize),
    /// A newer incarnation has taken this sink over.
    Replaced(usize),
    /// What these sinks hold came of a reading that was given up while they were left out.
    GivenUp(Vec<usize>),
    /// There is a checkpoint from which the job could go on without these sinks.
    Behind(Vec<usize>),
    /// There are results but no checkpoint from which they could be continued; and why each was passed over.
    NothingFits(Vec<(String, Unfit)>),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Store(error) => write!(formatter, "the store of checkpoints failed: {error}"),
            StartError::Unreachable(sink) => write!(formatter, "sink {sink} cannot be reached"),
            StartError::Replaced(sink) => write!(formatter, "a newer incarnation of the job writes to sink {sink}"),
            StartError::GivenUp(_) => write!(formatter, "what a sink holds came of a reading that was given up"),
            StartError::Behind(_) => write!(formatter, "a sink is behind the checkpoints that are kept"),
            StartError::NothingFits(passed_over) => {
                write!(formatter, "no checkpoint fits the results that are there ({} tried)", passed_over.len())
            }
        }
    }
}

impl From<StoreError> for StartError {
    fn from(error: StoreError) -> StartError {
        StartError::Store(error)
    }
}

/// Starts the next incarnation of a job.
pub fn start<U>(
    store: &mut impl Store,
    job: &str,
    fingerprint: u64,
    sinks: &mut [impl Transactions<U>],
) -> Result<Start, StartError> {
    let checkpoints = Checkpoints::begin(store, job, fingerprint)?;
    let started = go_on(store, checkpoints.clone(), sinks);
    if started.is_err() {
        // Where the store is away whoever runs finds the claim, and says so.
        let _ = checkpoints.withdraw(store);
    }
    started
}

fn go_on<U>(
    store: &mut impl Store,
    checkpoints: Checkpoints,
    sinks: &mut [impl Transactions<U>],
) -> Result<Start, StartError> {
    let incarnation = checkpoints.incarnation();
    let (mut progress, mut given_up) = (Vec::with_capacity(sinks.len()), Vec::new());
    for (number, sink) in sinks.iter_mut().enumerate() {
        let found = sink.fence(incarnation).ok_or(StartError::Unreachable(number))?;
        if found.incarnation != incarnation {
            return Err(StartError::Replaced(number));
        }
        if checkpoints.left_at(store, found.committed_by)?.is_some_and(|left_at| left_at < found.frontier) {
            given_up.push(number);
        }
        progress.push(found);
    }
    if !given_up.is_empty() {
        return Err(StartError::GivenUp(given_up));
    }
    let (mut restored, mut passed_over) = checkpoints.newest(store, slowest(&progress, 0))?;
    if restored.is_none() {
        // There is no way back to the beginning: what is new does not hold the others back.
        (restored, passed_over) = checkpoints.newest(store, slowest(&progress, 1))?;
        let frontier = restored.as_ref().map_or(0, |restored| restored.manifest.frontier);
        let new = progress.iter_mut().filter(|progress| progress.frontier == 0);
        new.for_each(|progress| progress.complete_since = frontier);
    }
    let furthest = progress.iter().max_by_key(|progress| progress.frontier);
    let has_results = furthest.is_some_and(|furthest| furthest.frontier > 0);
    if restored.is_none() && (has_results || !passed_over.is_empty()) {
        checkpoints.check_counts(store)?;
        for (_, unfit) in &passed_over {
            // It may be the one that all sinks can go on from.
            if let Unfit::Unreadable(error) = unfit {
                return Err(error.clone().into());
            }
        }
        let behind = behind(store, &checkpoints, &progress)?;
        return Err(if behind.is_empty() { StartError::NothingFits(passed_over) } else { StartError::Behind(behind) });
    }
    let trail = furthest.map_or_else(Trail::new, |furthest| furthest.trail.clone());
    let at = restored.as_ref().map_or(0, |restored| restored.manifest.frontier);
    let followed_until = furthest.map_or(at, |furthest| furthest.frontier.max(at));
    // A start that was too slow, and was ruled out, ends here: the checkpoint may be gone, but nothing was written.
    checkpoints.leave_at(store, followed_until)?;
    if let Some(restored) = restored.as_ref().filter(|_| at > 0 && furthest.is_some() && !has_results) {
        // All are new: marks from before are with sinks that were left out, if with any.
        checkpoints.begin_at(store, &restored.manifest)?;
    }
    Ok(Start { checkpoints, restored, passed_over, trail, followed_until, sinks: progress })
}

/// How far the slowest sink is of those that are as far as `least`; the end of time where none is.
fn slowest(progress: &[Progress], least: Time) -> Time {
    let frontiers = progress.iter().map(|found| found.frontier).filter(|frontier| *frontier >= least);
    frontiers.min().unwrap_or(Time::MAX)
}

/// The sinks without which there is a checkpoint to go on from: the least far, as few as will do; none where that is no
/// help.
fn behind(store: &impl Store, checkpoints: &Checkpoints, progress: &[Progress]) -> Result<Vec<usize>, StoreError> {
    let mut frontier = slowest(progress, 1);
    while frontier < Time::MAX {
        let next = slowest(progress, frontier + 1);
        if checkpoints.newest(store, next)?.0.is_some() {
            let numbered = progress.iter().enumerate();
            let behind = numbered.filter(|(_, found)| (1..=frontier).contains(&found.frontier));
            return Ok(behind.map(|(number, _)| number).collect());
        }
        frontier = next;
    }
    Ok(Vec::new())
}

//! Commits: what a sink that can do several things at once or not at all is given, from one frontier to the next.
//!
//! A transaction holds the updates from the sink's frontier to a later one, the trail up to the cut there, and moves the
//! sink's progress, on the condition that it stands where this incarnation left it. Invariant: whatever answer is lost,
//! every update is in exactly one transaction that was done. Source: architecture.md, section 4; decision 10.

pub mod owner;

use std::collections::BTreeMap;

use dataflows::time::Time;
use serde::{Deserialize, Serialize};

use crate::clock::partitions::{Cut, Trail, cut_at, put_down, trim};

/// What a sink says of itself, in the same transactions as its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Who may commit.
    pub incarnation: u64,
    /// Updates before this are in the sink.
    pub frontier: Time,
    /// Which incarnation moved the frontier last: what is here came of its reading. Whoever may commit may have started in
    /// vain.
    pub committed_by: u64,
    /// The marks from the oldest checkpoint that may be restored to the cut at the frontier.
    #[serde(with = "crate::clock::trail")]
    pub trail: Trail,
    /// Where it was added to a job that ran already: it began with what stood here, and lacks the orders that had retired
    /// and the windows that had closed before; 0 where it lacks nothing.
    pub complete_since: Time,
}

impl Progress {
    /// Before this there is nothing to commit: one that is new begins with what stands at a later time.
    pub fn begins(&self) -> Time {
        self.frontier.max(self.complete_since)
    }

    /// True where there may be something to commit up to `frontier`: of one that is new, too, what stood where it begins.
    pub fn may_come_to(&self, frontier: Time) -> bool {
        frontier > self.frontier && frontier >= self.begins()
    }
}

/// How a transaction went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not done, and may be tried again.
    Failed,
    /// Nobody knows.
    Unknown,
    /// Another incarnation has taken over, or the sink was put back to an earlier state: this one must stop.
    Fenced,
}

/// A store of rows with transactions.
pub trait Transactions<U> {
    /// Lets nobody but `incarnation` commit from now on; how far the sink is. None where it cannot be reached. An
    /// incarnation that is older than the one that may commit gets that one's progress and changes nothing.
    fn fence(&mut self, incarnation: u64) -> Option<Progress>;

    /// Adds `updates` and replaces the progress, where it stands at `from` and may be moved by the incarnation of `to`.
    fn commit(&mut self, from: Time, to: &Progress, updates: &[(U, Time)]) -> Outcome;

    /// Nothing is to be committed: sees to what else there may be, every second or so.
    fn tend(&mut self) {}
}

impl<U> Transactions<U> for Box<dyn Transactions<U> + Send> {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        (**self).fence(incarnation)
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(U, Time)]) -> Outcome {
        (**self).commit(from, to, updates)
    }

    fn tend(&mut self) {
        (**self).tend();
    }
}

/// What waits to be committed to one sink.
#[derive(Debug)]
pub struct Commits<U> {
    progress: Progress,
    /// Updates by time, none of them before the sink's frontier.
    waiting: BTreeMap<Time, Vec<U>>,
    /// Marks beyond those of the progress.
    marks: Trail,
    /// Whether the last transaction was done is to be asked first.
    is_unknown: bool,
}

impl<U> Commits<U> {
    /// A sink that was fenced and is as far as `progress`, in a job that follows `history`. The sink's own trail may end
    /// with marks that no other sink has seen and that the history, which went on from another sink, does not know.
    pub fn new(progress: Progress, history: &Trail) -> Commits<U> {
        let (trail, marks) = split(history.clone(), progress.frontier);
        Commits { progress: Progress { trail, ..progress }, waiting: BTreeMap::new(), marks, is_unknown: false }
    }

    /// How far the sink is.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Takes an update; one before the sink's frontier is there already.
    pub fn give(&mut self, update: U, time: Time) {
        if time >= self.progress.frontier {
            self.waiting.entry(time).or_default().push(update);
        }
    }

    /// Takes marks, as they were put down.
    pub fn mark(&mut self, trail: &Trail) {
        for (partition, marks) in trail {
            let known = [&self.marks, &self.progress.trail].into_iter().find_map(|trail| trail.get(partition)?.last());
            let known = known.copied();
            let new = marks.iter().filter(|mark| known.is_none_or(|known| **mark > known));
            let waiting = self.marks.entry(partition.clone()).or_default();
            new.for_each(|mark| put_down(waiting, *mark));
        }
    }

    /// Forgets the marks that lead to `cut`, where the oldest checkpoint begins that may be restored.
    pub fn trim(&mut self, cut: &Cut) {
        trim(&mut self.progress.trail, cut);
    }

    /// Commits what lies before `frontier`, all of which has been given, with all marks that lead there. `Done` where
    /// there was nothing to do.
    pub fn commit(&mut self, frontier: Time, sink: &mut impl Transactions<U>) -> Outcome
    where
        U: Clone,
    {
        if self.is_unknown {
            match sink.fence(self.progress.incarnation) {
                None => return Outcome::Unknown,
                Some(found) if found.incarnation != self.progress.incarnation => return Outcome::Fenced,
                // Restored from a backup, or a replica that had not heard of all: what it lost waits here no longer.
                Some(found) if found.frontier < self.progress.frontier => return Outcome::Fenced,
                // It was not done. What the sink holds may lack marks that came from the history, so that of here stands.
                Some(found) if found.frontier == self.progress.frontier => self.is_unknown = false,
                Some(found) => self.settle(found),
            }
        }
        if !self.progress.may_come_to(frontier) {
            return Outcome::Done;
        }
        let updates: Vec<(U, Time)> = self
            .waiting
            .range(..frontier)
            .flat_map(|(time, updates)| updates.iter().map(|update| (update.clone(), *time)))
            .collect();
        let to = self.up_to(frontier);
        let outcome = sink.commit(self.progress.frontier, &to, &updates);
        match outcome {
            Outcome::Done => self.settle(to),
            Outcome::Unknown => self.is_unknown = true,
            Outcome::Failed | Outcome::Fenced => {}
        }
        outcome
    }

    /// The progress at a later frontier: its trail ends with the cut there. A partition without records gets a mark with
    /// every commit, all at one offset, by which trails are trimmed: of these, too, the last alone stays.
    fn up_to(&self, frontier: Time) -> Progress {
        let mut trail = Trail::new();
        for (partition, marks) in self.progress.trail.iter().chain(&self.marks) {
            let all = trail.entry(partition.clone()).or_default();
            marks.iter().for_each(|mark| put_down(all, *mark));
        }
        let (trail, _) = split(trail, frontier);
        Progress { frontier, committed_by: self.progress.incarnation, trail, ..self.progress }
    }

    /// The sink is as far as `found`: what is there waits no longer.
    fn settle(&mut self, found: Progress) {
        self.is_unknown = false;
        self.waiting = self.waiting.split_off(&found.frontier);
        for (partition, marks) in &mut self.marks {
            let known = found.trail.get(partition).and_then(|marks| marks.last()).copied();
            marks.retain(|mark| known.is_none_or(|known| *mark > known));
        }
        self.marks.retain(|_, marks| !marks.is_empty());
        // A sink that has nothing yet does not know where it is to begin.
        let complete_since = self.progress.complete_since.max(found.complete_since);
        self.progress = Progress { complete_since, ..found };
    }
}

/// The marks up to the cut at `frontier`, and those beyond. All are kept where a partition is not as far.
fn split(mut trail: Trail, frontier: Time) -> (Trail, Trail) {
    let mut beyond = Trail::new();
    for (partition, last) in cut_at(&trail, frontier).unwrap_or_default() {
        if let Some(marks) = trail.get_mut(&partition) {
            let rest = marks.split_off(marks.partition_point(|mark| *mark <= last));
            beyond.insert(partition, rest);
        }
    }
    beyond.retain(|_, marks| !marks.is_empty());
    (trail, beyond)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::clock::partitions::{Mark, Partition};

    /// A sink that keeps how far it is.
    #[derive(Default)]
    pub(crate) struct Kept(pub(crate) Progress);

    impl Transactions<()> for Kept {
        fn fence(&mut self, incarnation: u64) -> Option<Progress> {
            self.0.incarnation = incarnation;
            Some(self.0.clone())
        }

        fn commit(&mut self, from: Time, to: &Progress, _: &[((), Time)]) -> Outcome {
            assert_eq!(from, self.0.frontier);
            self.0 = to.clone();
            Outcome::Done
        }
    }

    #[test]
    fn a_partition_that_is_idle_leaves_no_more_than_its_last_mark() {
        let partition = |number| Partition { topic: "orders".to_owned(), number };
        let mark = |next_offset, time| Mark { next_offset, largest_at: 0, watermark: time, ceiling: time };
        let mut sink = Kept::default();
        let mut commits = Commits::<()>::new(sink.fence(1).unwrap(), &Trail::new());
        for time in 1..1_000 {
            let busy = mark(time, time);
            commits.mark(&[(partition(0), vec![mark(5, time)]), (partition(1), vec![busy])].into());
            assert_eq!(commits.commit(time, &mut sink), Outcome::Done);
            assert_eq!(sink.0.trail[&partition(0)], [mark(5, time)]);
            // A checkpoint is written now and then.
            if time % 50 == 0 {
                commits.trim(&[(partition(0), mark(5, time)), (partition(1), busy)].into());
            }
            assert!(sink.0.trail[&partition(1)].len() <= 51, "all marks of records that were read, and no more");
        }
        // What an earlier version put down is put right.
        let history: Trail = [(partition(0), vec![mark(5, 998), mark(5, 999)])].into();
        let mut commits = Commits::<()>::new(sink.fence(2).unwrap(), &history);
        commits.mark(&[(partition(0), vec![mark(5, 1_000), mark(6, 1_001)])].into());
        assert_eq!(commits.commit(1_001, &mut sink), Outcome::Done);
        assert_eq!(sink.0.trail[&partition(0)], [mark(5, 1_000), mark(6, 1_001)]);
    }
}

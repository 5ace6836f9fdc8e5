//! Publishing: the publisher on a thread of its own, for no worker waits for rows to be made of sums, nor for their
//! snapshot.
//!
//! Invariant: it does what it is told in the order in which it is told; what is committed to sinks before a frontier was
//! given to them before. Limits: what waits is held in memory, so whoever tells it has to look at [`Publishing::is_full`]
//! and read no more while it says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::time::Time;

use super::archive::{Archive, Report};
use super::counters::Counters;
use super::publisher::{Publisher, Update};
use crate::clock::wall_clock_ms;
use crate::delays::Delays;
use crate::error::{JobError, JobResult};
use crate::sink::change::Change;
use crate::sink::committer::Committer;

/// A sink of a job in which nothing changes is told so often how far time is.
const COMMIT_AT_LEAST_EVERY: Duration = Duration::from_secs(1);
/// So many rows and differences may wait, some 300 bytes each.
const WAITING_MAX: u64 = 500_000;

/// Is told what has changed for good, before sinks are. It waits for nobody for long, for they wait for it.
pub type Told = Box<dyn FnMut(&[(Change, Time)]) + Send>;

/// What the thread is told.
enum Message {
    Take(Vec<Update>),
    Publish(Time),
    Keep(Time, Archive, Sender<Report>),
}

/// The thread, as the head sees it.
pub struct Publishing {
    messages: Sender<Message>,
    sinks: Arc<Vec<Committer>>,
    thread: JoinHandle<()>,
    /// Rows and differences that wait to be taken in.
    waiting: Arc<AtomicU64>,
}

impl Publishing {
    /// Starts the thread, which goes on from `published`.
    pub fn start(
        publisher: Publisher,
        sinks: Vec<Committer>,
        told: Told,
        counters: Arc<Counters>,
        published: Time,
    ) -> JobResult<Publishing> {
        let (messages, received) = channel();
        let (sinks, delays) = (Arc::new(sinks), counters.numbers().output_delays);
        let waiting = Arc::<AtomicU64>::default();
        let (taken, shared, last_commit) = (Arc::clone(&waiting), Arc::clone(&sinks), Instant::now());
        let mut work =
            Work { publisher, sinks: shared, told, counters, delays, published, committed: published, last_commit };
        let thread =
            std::thread::Builder::new().name("publisher".to_owned()).spawn(move || work.run(&received, &taken));
        let thread = thread.map_err(|error| JobError::job(format!("cannot start the publisher's thread: {error}")))?;
        Ok(Publishing { messages, sinks, thread, waiting })
    }

    /// Takes updates in.
    pub fn take(&self, updates: Vec<Update>) {
        self.waiting.fetch_add(count(&updates), Ordering::Relaxed);
        self.tell(Message::Take(updates));
    }

    /// Time has come to `frontier`: what changed before it is told, given to the sinks and committed.
    pub fn publish(&self, frontier: Time) {
        self.tell(Message::Publish(frontier));
    }

    /// Writes down what has been published before `frontier`, the one that was published last.
    pub fn keep(&self, frontier: Time, archive: Archive, reply: Sender<Report>) {
        self.tell(Message::Keep(frontier, archive, reply));
    }

    /// True where so much waits that no more should be read.
    pub fn is_full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > WAITING_MAX
    }

    /// Why it cannot go on, where it has ended before it was told to.
    pub fn failure(&self) -> Option<JobError> {
        self.thread.is_finished().then(has_ended)
    }

    /// The sinks that it gives to.
    pub fn sinks(&self) -> impl Iterator<Item = &Committer> {
        self.sinks.iter()
    }

    /// Does all that it was told, has the sinks commit it and ends, or until then as much as it can. An error says what is
    /// left: sinks do not know of what they were not given.
    pub fn drain(self, until: Instant) -> JobResult<()> {
        drop(self.messages);
        while !self.thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut result = match self.thread.is_finished() {
            true => self.thread.join().map_err(|_| has_ended()),
            false => Err(JobError::job("the job ended before all that it had read was published")
                .remedy("start it again: it goes on from its last checkpoint, and nothing is lost")),
        };
        for sink in self.sinks.iter() {
            result = result.and(sink.drain(until.saturating_duration_since(Instant::now())));
        }
        result
    }

    fn tell(&self, message: Message) {
        // The head sees where the thread has ended.
        let _ = self.messages.send(message);
    }
}

fn has_ended() -> JobError {
    JobError::job("the publisher's thread has ended: its message stands before this")
}

/// Rows and differences.
fn count(updates: &[Update]) -> u64 {
    updates.iter().map(|update| update.len() as u64).sum()
}

/// What the thread works with.
struct Work {
    publisher: Publisher,
    sinks: Arc<Vec<Committer>>,
    told: Told,
    counters: Arc<Counters>,
    delays: Arc<Delays>,
    published: Time,
    /// Up to here sinks were told to commit, and when.
    committed: Time,
    last_commit: Instant,
}

impl Work {
    fn run(&mut self, messages: &Receiver<Message>, waiting: &AtomicU64) {
        self.count(&[]);
        loop {
            match messages.recv_timeout(COMMIT_AT_LEAST_EVERY) {
                Ok(Message::Take(updates)) => {
                    waiting.fetch_sub(count(&updates), Ordering::Relaxed);
                    updates.into_iter().for_each(|update| self.publisher.take(update));
                }
                Ok(Message::Publish(frontier)) => self.publish(frontier),
                Ok(Message::Keep(frontier, archive, reply)) => {
                    let pieces = archive.put(frontier, 0, &reply);
                    // Whoever has ended wants no more of them.
                    self.publisher.snapshot(&mut |piece| _ = pieces.send(piece));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.committed < self.published && self.last_commit.elapsed() >= COMMIT_AT_LEAST_EVERY {
                self.commit();
            }
        }
        // A sink that is new would take what it has for all that stood, if it was told so before it was given that.
        if self.committed < self.published {
            self.commit();
        }
    }

    fn publish(&mut self, until: Time) {
        self.published = until;
        let changes = self.publisher.publish(until);
        self.count(&changes);
        (self.told)(&changes);
        let stood = self.publisher.take_stood();
        let has_changed = !(changes.is_empty() && stood.is_empty());
        if !stood.is_empty() {
            // Sinks that have it take no notice.
            self.sinks.iter().for_each(|sink| sink.give(stood.clone()));
        }
        if let Some((last, others)) = self.sinks.split_last() {
            others.iter().for_each(|sink| sink.give(changes.clone()));
            last.give(changes);
        }
        if has_changed {
            self.commit();
        }
    }

    fn commit(&mut self) {
        (self.committed, self.last_commit) = (self.published, Instant::now());
        self.sinks.iter().for_each(|sink| sink.commit(self.published));
    }

    /// Counts what has just been published.
    fn count(&mut self, changes: &[(Change, Time)]) {
        let (mut by_collection, now) = (BTreeMap::<&'static str, u64>::new(), wall_clock_ms());
        let are_alike = |(left, at): &(Change, Time), (right, time): &(Change, Time)| {
            at == time && left.collection.name == right.collection.name
        };
        for alike in changes.chunk_by(are_alike) {
            if let [(change, time), ..] = alike {
                *by_collection.entry(change.collection.name).or_default() += alike.len() as u64;
                self.delays.note(now.saturating_sub(*time), alike.len() as u64);
            }
        }
        let tally = self.publisher.take_tally();
        let (breaches_open, orders, published) =
            (self.publisher.breaches_open(), self.publisher.orders(), self.published);
        let sum_bytes = self.publisher.sum_bytes();
        self.counters.note(|numbers| {
            numbers.tally.add(tally);
            by_collection.into_iter().for_each(|(name, count)| *numbers.changes.entry(name).or_default() += count);
            (numbers.breaches_open, numbers.orders, numbers.sum_bytes) = (breaches_open, orders, sum_bytes);
            numbers.frontier = numbers.frontier.max(published);
        });
    }
}

#[cfg(test)]
mod tests {
    use dataflows::orders::Rows;

    use super::super::publisher::tests::publisher;
    use super::*;

    /// What a publisher without sinks says in the end that tells `told` one thing.
    fn drained(told: Told, within: Duration) -> String {
        let publishing = Publishing::start(publisher(Rows::All), Vec::new(), told, Arc::default(), 0).unwrap();
        publishing.publish(5);
        publishing.drain(Instant::now() + within).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_was_not_published_in_the_end_is_an_error() {
        let long = Duration::from_secs(30);
        assert_eq!(drained(Box::new(|_| {}), long), "");
        let waits = Box::new(|_: &[(Change, Time)]| std::thread::sleep(Duration::from_secs(1)));
        let says = drained(waits, Duration::from_millis(1));
        assert!(says.contains("before all that it had read was published") && says.contains("do: start it"), "{says}");
        let fails = Box::new(|changes: &[(Change, Time)]| drop(changes.first().unwrap().clone()));
        assert!(drained(fails, long).contains("the publisher's thread has ended"));
    }
}

//! The ends of partitions: what a broker last said of them, and when it was asked.
//!
//! A thread asks again and again, with a client of its own: an answer would have to wait for those to requests for records,
//! which a broker takes its time with. It ends with its fetcher. Invariant: an answer counts from when it was asked for,
//! by the wall clock, too, so whatever it says was true no longer ago than that, even where the machine slept since; and a
//! partition is gone once brokers have said so for a while and nothing else.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::topic_partition_list::Offset;

use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::kafka::{Inquirer, KafkaSettings, hear, is_unknown, known_offsets_of, partitions_of};
use crate::source::moment::Moment;

/// A partition is caught up no longer than this after the broker said so (semantics.md, section 1).
pub const CAUGHT_UP_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a broker is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// An answer that takes longer would be worth nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// A partition is gone when brokers have not known it for so long: one that has just started may not know all of them.
const MISSING_TIMEOUT: Duration = Duration::from_secs(5);

/// Fetchers of this process that wait for a broker: of all of them the log says it once.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// An end offset and when it was asked for.
#[derive(Clone, Copy, Debug)]
struct End {
    offset: u64,
    asked_at: Moment,
}

/// What a broker last said of the partitions that are watched.
#[derive(Debug, Default)]
pub struct Ends {
    known: Mutex<Known>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Known {
    ends: BTreeMap<Partition, Option<End>>,
    /// A partition that brokers do not know any more, and when they said so first and last, and nothing else in between.
    missing: Option<(Partition, Instant, Instant)>,
    has_stopped: bool,
}

impl Known {
    /// Brokers said that they do not know this partition; or, where there is none, that they know all, or nothing.
    fn miss(&mut self, missing: Option<Partition>, at: Instant) {
        self.missing = missing.map(|missing| match self.missing.take() {
            Some((partition, since, _)) if partition == missing => (missing, since, at),
            _ => (missing, at, at),
        });
    }

    fn gone(&self) -> Option<&Partition> {
        let (partition, since, last) = self.missing.as_ref()?;
        (last.duration_since(*since) >= MISSING_TIMEOUT).then_some(partition)
    }
}

impl Ends {
    /// Asks for a partition's end from now on.
    pub fn watch(&self, partition: Partition) {
        self.known().ends.entry(partition).or_default();
        self.changed.notify_all();
    }

    /// Asks no more.
    pub fn stop(&self) {
        self.known().has_stopped = true;
        self.changed.notify_all();
    }

    /// The end of a partition as the broker last said it.
    pub fn last(&self, partition: &Partition) -> Option<u64> {
        Some(self.end(partition)?.offset)
    }

    /// The end of a partition, where the broker said it a moment ago.
    pub fn fresh(&self, partition: &Partition) -> Option<u64> {
        self.fresh_at(partition, Moment::now())
    }

    fn fresh_at(&self, partition: &Partition, now: Moment) -> Option<u64> {
        let end = self.end(partition)?;
        end.asked_at.is_within(CAUGHT_UP_TIMEOUT, now).then_some(end.offset)
    }

    fn end(&self, partition: &Partition) -> Option<End> {
        self.known().ends.get(partition).copied().flatten()
    }

    /// A partition that is gone.
    pub fn gone(&self) -> Option<Partition> {
        self.known().gone().cloned()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is time to ask again; what to ask for, and nothing once it is over.
    fn next(&self, pause: Duration) -> Option<Vec<Partition>> {
        let wait = |known| self.changed.wait_timeout_while(known, pause, |known: &mut Known| !known.has_stopped);
        let (known, _) = wait(self.known()).unwrap_or_else(PoisonError::into_inner);
        (!known.has_stopped).then(|| known.ends.keys().cloned().collect())
    }

    fn learn(&self, ends: BTreeMap<Partition, u64>, asked_at: Moment) {
        let mut known = self.known();
        for (partition, offset) in ends {
            known.ends.insert(partition, Some(End { offset, asked_at }));
        }
        known.missing = None;
    }

    /// Brokers do not know one of these any more.
    fn miss(&self, client: &Inquirer, partitions: Vec<Partition>) {
        let is_there = |Partition { topic, number }: &Partition| {
            partitions_of(client, topic, ANSWER_TIMEOUT)
                .map_or(true, |found| found.is_some_and(|found| found.contains(number)))
        };
        let missing = partitions.into_iter().find(|partition| !is_there(partition));
        self.known().miss(missing, Instant::now());
    }
}

/// Starts to ask.
pub fn ask(settings: &KafkaSettings, ends: &Arc<Ends>) -> JobResult<()> {
    let (client, ends, brokers) = (settings.inquirer()?, Arc::clone(ends), settings.brokers.clone());
    let asker = move || {
        let mut waiting = Waiting { brokers, since: None };
        let mut pause = Duration::ZERO;
        while let Some(partitions) = ends.next(pause) {
            let asked_at = Moment::now();
            match known_offsets_of(&client, &partitions, Offset::End, ANSWER_TIMEOUT) {
                Ok(answer) => {
                    ends.learn(answer, asked_at);
                    waiting.end();
                }
                Err(error) if error.rdkafka_error_code().is_some_and(is_unknown) => ends.miss(&client, partitions),
                Err(error) => {
                    // It may be away, and not know all of them at first when it is back.
                    ends.known().missing = None;
                    hear(&client);
                    let cause = client.context().cause().map_or_else(|| error.to_string(), |(_, cause)| cause);
                    waiting.begin(asked_at.counted, &cause);
                }
            }
            pause = ASK_EVERY.saturating_sub(asked_at.counted.elapsed());
        }
    };
    let started = std::thread::Builder::new().name("kafka ends".to_owned()).spawn(asker);
    started.map(|_| ()).map_err(|error| {
        JobError::job(format!("cannot start a thread: {error}")).remedy("allow this user more threads (ulimit -u)")
    })
}

/// Since when nobody has answered, and whether that was said.
struct Waiting {
    brokers: String,
    since: Option<(Instant, bool)>,
}

impl Waiting {
    fn begin(&mut self, asked_at: Instant, cause: &str) {
        let (since, is_counted) = *self.since.get_or_insert((asked_at, false));
        // One answer that is lost is not worth a word.
        if !is_counted && since.elapsed() >= CAUGHT_UP_TIMEOUT {
            self.since = Some((since, true));
            if WAITING.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!("Kafka at {} does not answer ({cause}): it is tried until it does", self.brokers);
            }
        }
    }

    fn end(&mut self) {
        if let Some((since, true)) = self.since.take()
            && WAITING.fetch_sub(1, Ordering::Relaxed) == 1
        {
            tracing::warn!("Kafka at {} answers again, after {} s", self.brokers, since.elapsed().as_secs());
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some((_, true)) = self.since {
            WAITING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "orders".to_owned(), number }
    }

    #[test]
    fn an_answer_from_before_the_machine_slept_says_nothing_of_now() {
        let (ends, asked_at, little) = (Ends::default(), Moment::now(), Duration::from_millis(100));
        ends.learn([(partition(0), 7)].into(), asked_at);
        assert_eq!(ends.fresh_at(&partition(0), asked_at.after(little, 100)), Some(7));
        assert_eq!(ends.fresh_at(&partition(0), asked_at.after(little, 3_600_000)), None);
        assert_eq!(ends.last(&partition(0)), Some(7));
    }

    #[test]
    fn a_partition_is_gone_once_brokers_have_said_nothing_else_for_a_while() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut known = Known::default();
        known.miss(Some(partition(0)), at(0));
        known.miss(Some(partition(0)), at(4_900));
        // However long ago that is: whoever asked has not heard since.
        assert_eq!(known.gone(), None);
        known.miss(Some(partition(0)), at(5_000));
        assert_eq!(known.gone(), Some(&partition(0)));
        // It was away, and knew not all at first again.
        known.miss(None, at(6_000));
        known.miss(Some(partition(0)), at(12_000));
        assert_eq!(known.gone(), None);
        // Another one is missing.
        known.miss(Some(partition(1)), at(17_000));
        assert_eq!(known.gone(), None);
    }
}

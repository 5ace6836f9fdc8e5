//! A committer over a sink that loses answers, fails, cannot be reached and is taken over, by seed; time is what the attempts
//! say, so nothing waits.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use dataflows::views::COLLECTIONS;

use super::circuit::State;
use super::*;
use crate::clock::partitions::cut_at;
use crate::sink::commits::Outcome;

/// A table, its progress, and what happens at each step, in turn; nothing where all has happened.
#[derive(Default)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<Box<str>, Box<str>>,
    /// How often each update was written.
    pub(super) written: BTreeMap<(Time, Box<str>), u32>,
    pub(super) progress: Progress,
    pub(super) happens: Vec<Happens>,
    /// More updates in one transaction fail.
    updates_max: Option<usize>,
    /// Of each transaction how many updates it held, and how far it went.
    pub(super) transactions: Vec<usize>,
    pub(super) frontiers: Vec<Time>,
    /// Frontiers to which no marks led.
    pub(super) without_cut: Vec<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happens {
    Nothing,
    Fails,
    DoneAndLost,
    Lost,
    Unreachable,
}

#[derive(Clone, Default)]
pub(super) struct Fake(Arc<Mutex<Table>>);

impl Fake {
    pub(super) fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap()
    }
}

impl Transactions<Change> for Fake {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        let mut table = self.table();
        if table.happens.pop() == Some(Happens::Unreachable) {
            return None;
        }
        table.progress.incarnation = table.progress.incarnation.max(incarnation);
        Some(table.progress.clone())
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Change, Time)]) -> Outcome {
        let mut table = self.table();
        let happens = table.happens.pop().unwrap_or(Happens::Nothing);
        match happens {
            Happens::Fails => return Outcome::Failed,
            Happens::Lost | Happens::Unreachable => return Outcome::Unknown,
            Happens::Nothing | Happens::DoneAndLost => {}
        }
        if table.updates_max.is_some_and(|most| updates.len() > most) {
            return Outcome::Failed;
        }
        if table.progress.incarnation != to.incarnation || table.progress.frontier != from {
            return Outcome::Fenced;
        }
        for (change, time) in updates {
            *table.written.entry((*time, change.key.clone())).or_default() += 1;
            match &change.row {
                Some(row) => drop(table.rows.insert(change.key.clone(), row.clone())),
                None => drop(table.rows.remove(&change.key)),
            }
        }
        table.transactions.push(updates.len());
        table.frontiers.push(to.frontier);
        if cut_at(&to.trail, to.frontier).is_none() {
            table.without_cut.push(to.frontier);
        }
        table.progress = to.clone();
        if happens == Happens::DoneAndLost { Outcome::Unknown } else { Outcome::Done }
    }
}

pub(super) fn change(key: u64, row: Option<u64>) -> Change {
    Change {
        collection: &COLLECTIONS[0],
        key: format!("{key}\0").into(),
        row: row.map(|row| format!("{row}\0").into()),
    }
}

fn settings() -> CommitterSettings {
    let sink =
        SinkConfig { memory_bytes: 1 << 20, spill_bytes: 0, circuit_failures: 5, circuit_probe_after_ms: 30_000 };
    CommitterSettings { job: "shop".into(), sink }
}

fn queue(progress: Progress) -> (Queue, Arc<CommitterCounters>) {
    let counters = Arc::<CommitterCounters>::default();
    (Queue::new(progress, &Trail::new(), &settings().sink, Arc::clone(&counters), Arc::default()), counters)
}

/// A number below `bound`, by seed.
pub(super) fn random(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

#[test]
fn a_sink_that_is_new_takes_what_stood_as_of_the_very_time_at_which_it_begins() {
    let fake = Fake::default();
    let mut sink: Box<dyn Transactions<Change> + Send> = Box::new(fake.clone());
    let (mut queue, _) = queue(Progress { complete_since: 40, ..sink.fence(1).unwrap() });
    queue.take(Message::Give(vec![(change(1, Some(1)), 39)]));
    for (frontier, reached) in [(39, 0), (40, 40), (40, 40), (41, 41)] {
        queue.take(Message::Commit(frontier));
        assert_eq!(queue.attempt(&mut sink), Attempt::Done);
        assert_eq!(fake.table().progress.frontier, reached);
    }
    assert_eq!(fake.table().transactions, [1, 0]);
}

#[test]
fn whatever_goes_wrong_every_change_is_written_once() {
    for seed in 0..500 {
        let mut numbers = seed;
        let fake = Fake::default();
        let mut sink: Box<dyn Transactions<Change> + Send> = Box::new(fake.clone());
        let (mut queue, counters) = queue(sink.fence(1).unwrap());
        let (mut wanted, mut given, mut opened) = (BTreeMap::new(), 0, false);
        for time in 0..60 {
            for _ in 0..random(&mut numbers, 4) {
                let key = random(&mut numbers, 8);
                let row = (random(&mut numbers, 4) > 0).then_some(time);
                let change = change(key, row);
                // At one time a key changes once.
                if wanted.get(&key).is_some_and(|(at, _)| *at == time) {
                    continue;
                }
                wanted.insert(key, (time, row));
                counters.waiting_bytes.fetch_add(super::queue::bytes(&change), Ordering::Relaxed);
                queue.take(Message::Give(vec![(change, time)]));
                given += 1;
            }
            queue.take(Message::Commit(time + 1));
            let happens = [Happens::Fails, Happens::DoneAndLost, Happens::Lost, Happens::Unreachable];
            let count = random(&mut numbers, 7);
            fake.table().happens = (0..count).map(|_| happens[random(&mut numbers, 4) as usize]).collect();
            // Some frontiers are never tried alone.
            while random(&mut numbers, 3) > 0 && matches!(queue.attempt(&mut sink), Attempt::Again(_)) {
                opened |= counters.circuit() == State::Open;
            }
        }
        fake.table().happens.clear();
        while queue.is_behind() {
            assert_ne!(queue.attempt(&mut sink), Attempt::Fenced, "seed {seed}");
        }
        let table = fake.table();
        assert!(table.written.values().all(|times| *times == 1), "seed {seed}: {:?}", table.written);
        assert_eq!(table.written.len(), given, "seed {seed}");
        let standing =
            wanted.into_iter().filter_map(|(key, (_, row))| Some((change(key, row).key, change(key, row).row?)));
        assert_eq!(table.rows, standing.collect(), "seed {seed}");
        assert_eq!(counters.waiting_bytes.load(Ordering::Relaxed), 0, "seed {seed}");
        assert_eq!(counters.rows.load(Ordering::Relaxed), given as u64, "seed {seed}");
        assert!(counters.circuit() == State::Closed && (seed > 0 || counters.failures.load(Ordering::Relaxed) > 0));
        assert!(opened || counters.failures.load(Ordering::Relaxed) < 300, "seed {seed}: the circuit never opened");
    }
}

#[test]
fn only_the_newest_frontier_is_committed() {
    let fake = Fake::default();
    let mut sink: Box<dyn Transactions<Change> + Send> = Box::new(fake.clone());
    let (mut queue, counters) = queue(sink.fence(1).unwrap());
    for time in 0..10 {
        queue.take(Message::Give(vec![(change(time, Some(time)), time)]));
        queue.take(Message::Commit(time + 1));
    }
    assert_eq!(queue.attempt(&mut sink), Attempt::Done);
    assert_eq!(fake.table().transactions, [10]);
    assert_eq!(queue.attempt(&mut sink), Attempt::Done);
    assert_eq!(counters.commits.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_too_large_for_a_sink_arrives_in_pieces() {
    for updates_max in [1, 7, 100] {
        let fake = Fake::default();
        fake.table().updates_max = Some(updates_max);
        let mut sink: Box<dyn Transactions<Change> + Send> = Box::new(fake.clone());
        let (mut queue, counters) = queue(sink.fence(1).unwrap());
        let give = |queue: &mut Queue, time: Time| {
            let change = change(time % 40, Some(time));
            counters.waiting_bytes.fetch_add(super::queue::bytes(&change), Ordering::Relaxed);
            queue.take(Message::Give(vec![(change, time)]));
        };
        for time in 0..500 {
            give(&mut queue, time);
            queue.take(Message::Commit(time + 1));
        }
        let mut failures = 0;
        while queue.is_behind() {
            assert!(failures < 1_000, "it never gets through");
            failures += usize::from(queue.attempt(&mut sink) != Attempt::Done);
        }
        {
            let table = fake.table();
            assert!(table.written.len() == 500 && table.written.values().all(|times| *times == 1));
            assert!(table.transactions.iter().all(|count| *count <= updates_max), "{:?}", table.transactions);
            assert!(table.frontiers.is_sorted() && table.progress.frontier == 500, "{:?}", table.frontiers);
            let standing = (460..500).map(|time| change(time % 40, Some(time))).map(|it| (it.key, it.row.unwrap()));
            assert_eq!(table.rows, standing.collect());
            assert!(failures > 0 && failures <= 20 + table.transactions.len(), "{failures} of {updates_max}");
        }
        assert_eq!((queue.frontier(), counters.waiting_bytes.load(Ordering::Relaxed)), (500, 0));
        // From then on as before: all that there is at once.
        fake.table().updates_max = None;
        for time in 500..700 {
            give(&mut queue, time);
            queue.take(Message::Commit(time + 1));
        }
        assert_eq!((queue.attempt(&mut sink), queue.is_behind()), (Attempt::Done, false));
        assert_eq!(fake.table().transactions.last(), Some(&200));
    }
}

/// Waits until something is so.
pub(super) fn wait_until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never was");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn started(fake: &Fake) -> Committer {
    started_with(fake, settings())
}

pub(super) fn started_with(fake: &Fake, settings: CommitterSettings) -> Committer {
    let progress = fake.clone().fence(1).unwrap();
    Committer::start("fake", progress, &Trail::new(), Box::new(fake.clone()), settings).unwrap()
}

#[test]
fn the_thread_commits_says_how_far_it_is_and_ends_when_all_is_done() {
    let fake = Fake::default();
    fake.table().happens = vec![Happens::Fails, Happens::DoneAndLost, Happens::Nothing];
    let committer = started(&fake);
    committer.give(vec![(change(1, Some(1)), 4), (change(2, None), 5), (change(3, Some(3)), 9)]);
    committer.commit(9);
    wait_until(|| committer.frontier() == 9);
    assert!(committer.counters().waiting_bytes.load(Ordering::Relaxed) > 0 && !committer.is_full());
    assert!(committer.failure().is_none() && committer.counters().retries.load(Ordering::Relaxed) >= 1);
    committer.commit(10);
    committer.drain(Duration::from_secs(60)).unwrap();
    let table = fake.table();
    assert_eq!((table.rows.len(), table.progress.frontier), (2, 10));
}

#[test]
fn a_sink_that_fails_all_the_time_fills_memory_and_a_drain_says_what_is_left() {
    let fake = Fake::default();
    fake.table().happens = vec![Happens::Fails; 100_000];
    let committer = started(&fake);
    for time in 0..2_000 {
        let row = Some("x".repeat(1_000).into_boxed_str());
        committer.give(vec![(Change { row, ..change(time, None) }, time)]);
        committer.commit(time + 1);
    }
    assert!(committer.is_full() && committer.frontier() == 0);
    assert_eq!(committer.counters().spilled_bytes.load(Ordering::Relaxed), 0, "it may write nothing to files");
    assert!(committer.drain(Duration::from_millis(100)).is_err());
    // Its thread says what is left, be it after whoever waited for it has gone.
    wait_until(|| committer.failure().is_some());
    let error = committer.failure().unwrap().to_string();
    assert!(error.contains("2000 changes") && error.contains("complete before anything"), "{error}");
    assert!(fake.table().rows.is_empty());
}

#[test]
fn a_sink_is_not_full_of_what_it_may_not_commit_yet() {
    let fake = Fake::default();
    let committer = started(&fake);
    for time in 100..2_100 {
        let row = Some("x".repeat(1_000).into_boxed_str());
        committer.give(vec![(Change { row, ..change(time, None) }, time)]);
    }
    committer.commit(50);
    wait_until(|| committer.frontier() == 50);
    assert!(!committer.is_full());
    fake.table().happens = vec![Happens::Fails; 100_000];
    committer.commit(3_000);
    assert!(committer.is_full());
}

#[test]
fn a_sink_that_was_put_back_is_not_gone_on_with() {
    let fake = Fake::default();
    let mut sink: Box<dyn Transactions<Change> + Send> = Box::new(fake.clone());
    let (mut queue, _) = queue(sink.fence(1).unwrap());
    for time in [1, 2] {
        queue.take(Message::Give(vec![(change(time, Some(time)), time)]));
        queue.take(Message::Commit(time + 1));
        assert_eq!(queue.attempt(&mut sink), Attempt::Done);
    }
    fake.table().progress.frontier = 2;
    fake.table().happens = vec![Happens::Nothing, Happens::Lost];
    queue.take(Message::Commit(9));
    assert!(matches!(queue.attempt(&mut sink), Attempt::Again(_)));
    assert_eq!(queue.attempt(&mut sink), Attempt::Fenced, "what was given at 2 is not here any more");
}

#[test]
fn whoever_was_replaced_stops() {
    let fake = Fake::default();
    let committer = started(&fake);
    fake.clone().fence(2).unwrap();
    committer.give(vec![(change(1, Some(1)), 4)]);
    committer.commit(5);
    wait_until(|| committer.failure().is_some());
    let error = committer.failure().unwrap();
    assert_eq!((error.what(), error.exit_code()), ("another incarnation of job shop has taken over this sink", 1));
    assert_eq!(committer.drain(Duration::from_secs(60)).unwrap_err(), error);
    assert!(fake.table().rows.is_empty());
}

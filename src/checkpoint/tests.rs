//! Which checkpoints are kept, and what becomes of starts and checkpoints that fail.

use std::collections::BTreeMap;
use std::time::Duration;

use super::pruning::KEPT;
use super::*;
use crate::incarnation::{self, StartError};
use crate::sink::commits::{Outcome, Progress, Transactions};

/// A store in memory, which does what it is told and does not say so where it is to lose its next answer.
#[derive(Default)]
struct Memory {
    objects: BTreeMap<String, Vec<u8>>,
    loses_next: bool,
}

impl Memory {
    fn answer<T>(&mut self, answer: T) -> Result<T, StoreError> {
        if std::mem::take(&mut self.loses_next) { Err(StoreError("it was lost".to_owned())) } else { Ok(answer) }
    }

    /// The frontiers of what is in a folder of the job.
    fn frontiers(&self, folder: &str) -> Vec<Time> {
        let names = self.list(&format!("job/{folder}/")).unwrap();
        names.iter().map(|name| name.split('/').nth(2).unwrap()[..20].parse().unwrap()).collect()
    }
}

impl Store for Memory {
    fn put(&mut self, name: &str, pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>) -> Result<(), StoreError> {
        self.objects.insert(name.to_owned(), pieces.collect::<Result<Vec<_>, _>>()?.concat());
        self.answer(())
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        let is_new = !self.objects.contains_key(name);
        self.objects.entry(name.to_owned()).or_insert_with(|| bytes.to_vec());
        self.answer(is_new)
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.objects.get(name).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        self.objects.remove(name);
        self.answer(())
    }

    fn sweep(&mut self, _: &str, _: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A sink that nothing ever comes to; where it is away it cannot even be fenced.
#[derive(Default)]
struct Empty {
    progress: Progress,
    is_away: bool,
}

impl Transactions<()> for Empty {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        self.progress.incarnation = incarnation;
        (!self.is_away).then(|| self.progress.clone())
    }

    fn commit(&mut self, _: Time, _: &Progress, _: &[((), Time)]) -> Outcome {
        Outcome::Failed
    }
}

/// Removes what is not needed, by a process that has found no other start before.
fn prune(store: &mut Memory, checkpoints: &Checkpoints, slowest: Time) -> Result<Option<Cut>, StoreError> {
    checkpoints.prune(store, slowest, &mut Successors::default())
}

/// Writes a checkpoint and removes those that are not needed; which there are then.
fn write(store: &mut Memory, checkpoints: &Checkpoints, frontier: Time, slowest: Time) -> Vec<Time> {
    let part = checkpoints.put_part(store, frontier, 0, 1, once(Ok(b"state".to_vec()))).unwrap();
    checkpoints.complete(store, frontier, &Cut::new(), vec![part]).unwrap();
    prune(store, checkpoints, slowest).unwrap();
    assert_eq!(store.frontiers("parts"), store.frontiers("manifests"));
    store.frontiers("manifests")
}

#[test]
fn while_a_sink_is_away_checkpoints_do_not_pile_up() {
    let mut store = Memory::default();
    let checkpoints = Checkpoints::begin(&mut store, "job", 7).unwrap();
    let mut write = |frontier, slowest| write(&mut store, &checkpoints, frontier, slowest);
    for frontier in 1..=5 {
        write(frontier, frontier);
    }
    for frontier in 6..20 {
        write(frontier, 5);
    }
    assert_eq!(write(20, 5), [3, 4, 5, 18, 19, 20], "those that the sink needs, and the newest for when it is back");
    assert_eq!(write(21, 18), [4, 5, 18, 19, 20, 21]);
    assert_eq!(write(22, 22), [20, 21, 22]);
}

#[test]
fn while_a_new_sink_has_nothing_yet_checkpoints_do_not_pile_up() {
    let mut store = Memory::default();
    let first = Checkpoints::begin(&mut store, "job", 7).unwrap();
    for frontier in 0..=40 {
        write(&mut store, &first, frontier, Time::MAX);
    }
    let mut sinks = [Empty::default()];
    let started = incarnation::start(&mut store, "job", 7, &mut sinks).unwrap();
    // The head knows where it began; what sinks say of themselves comes to the same.
    let slowest = started.restored.unwrap().manifest.frontier;
    assert_eq!((started.sinks[0].begins(), slowest), (40, 40));
    for frontier in 41..60 {
        assert!(write(&mut store, &started.checkpoints, frontier, slowest).len() <= 2 * KEPT);
    }
    assert_eq!(write(&mut store, &started.checkpoints, 60, slowest), [38, 39, 40, 58, 59, 60]);
    // The next start goes on from the newest, where the sink begins then.
    let again = incarnation::start(&mut store, "job", 7, &mut sinks).unwrap();
    assert_eq!((again.restored.unwrap().manifest.frontier, again.sinks[0].begins()), (60, 60));
}

#[test]
fn a_checkpoint_whose_answer_was_lost_stays_whole_when_it_is_tried_again() {
    let mut store = Memory::default();
    let checkpoints = Checkpoints::begin(&mut store, "job", 7).unwrap();
    let part = checkpoints.put_part(&mut store, 5, 0, 1, once(Ok(b"as it was".to_vec()))).unwrap();
    store.loses_next = true;
    checkpoints.complete(&mut store, 5, &Cut::new(), vec![part]).unwrap_err();
    // More has been read since, so the state is another one.
    let part = checkpoints.put_part(&mut store, 5, 0, 2, once(Ok(b"as it is".to_vec()))).unwrap();
    assert_eq!(checkpoints.complete(&mut store, 5, &Cut::new(), vec![part]), Ok(false));
    let (restored, passed_over) = checkpoints.newest(&store, Time::MAX).unwrap();
    assert_eq!((restored.unwrap().parts, passed_over), (vec![b"as it was".to_vec()], Vec::new()));
    for frontier in 6..=7 {
        let part = checkpoints.put_part(&mut store, frontier, 0, 1, once(Ok(b"state".to_vec()))).unwrap();
        checkpoints.complete(&mut store, frontier, &Cut::new(), vec![part]).unwrap();
    }
    assert_eq!(write(&mut store, &checkpoints, 8, Time::MAX), [6, 7, 8], "parts of both tries are gone");
}

#[test]
fn a_start_that_fails_does_not_keep_the_one_before_from_removing_checkpoints() {
    let mut store = Memory::default();
    let start =
        |store: &mut Memory, is_away| incarnation::start(store, "job", 7, &mut [Empty { is_away, ..Empty::default() }]);
    let running = start(&mut store, false).unwrap().checkpoints;
    for frontier in 0..=5 {
        write(&mut store, &running, frontier, Time::MAX);
    }
    assert_eq!(start(&mut store, true).unwrap_err(), StartError::Unreachable(0));
    assert_eq!(write(&mut store, &running, 6, Time::MAX), [4, 5, 6]);
    // One that was killed while it started cannot say so, and may be at work: nothing is removed, and it is told why.
    let killed = Checkpoints::begin(&mut store, "job", 7).unwrap();
    assert_eq!(killed.incarnation(), 3, "no number is taken twice");
    let refused = prune(&mut store, &running, Time::MAX).unwrap_err();
    assert!(refused.0.contains("incarnation 3") && refused.0.contains("stop one of the two"), "{refused}");
    killed.withdraw(&mut store).unwrap();
    prune(&mut store, &running, Time::MAX).unwrap();
    // Of one that went on and one after it that failed the first still counts.
    let successor = start(&mut store, false).unwrap().checkpoints;
    start(&mut store, true).unwrap_err();
    prune(&mut store, &running, Time::MAX).unwrap_err();
    prune(&mut store, &successor, Time::MAX).unwrap();
}

#[test]
fn a_start_that_was_killed_is_ruled_out_after_a_while_and_one_that_is_slow_fails() {
    let mut store = Memory::default();
    let start = |store: &mut Memory| incarnation::start(store, "job", 7, &mut [Empty::default()]).unwrap().checkpoints;
    let running = start(&mut store);
    write(&mut store, &running, 1, Time::MAX);
    let slow = Checkpoints::begin(&mut store, "job", 7).unwrap();
    prune(&mut store, &running, Time::MAX).unwrap_err();
    slow.check_counts(&store).unwrap();
    let mut found = Successors::that_start_within(Duration::ZERO);
    // That it is ruled out is not known for sure, and found out the next time.
    store.loses_next = true;
    running.prune(&mut store, Time::MAX, &mut found).unwrap_err();
    running.prune(&mut store, Time::MAX, &mut found).unwrap();
    // Checkpoints that it may have gone on from go; so it must not go on, and what is written since is not abandoned.
    for frontier in 2..=5 {
        write(&mut store, &running, frontier, Time::MAX);
    }
    slow.check_counts(&store).unwrap_err();
    let late = slow.leave_at(&mut store, 1).unwrap_err();
    assert!(late.0.contains("incarnation 2") && late.0.contains("start this one again"), "{late}");
    slow.withdraw(&mut store).unwrap();
    assert_eq!(running.newest(&store, Time::MAX).unwrap().0.unwrap().manifest.frontier, 5);
    // One that has said where it goes on is at work, however long that takes, and so may be one behind it.
    start(&mut store);
    let behind = Checkpoints::begin(&mut store, "job", 7).unwrap();
    running.prune(&mut store, Time::MAX, &mut found).unwrap_err();
    behind.leave_at(&mut store, 5).unwrap();
}

#[test]
fn a_departure_whose_answer_was_lost_is_found_when_it_is_tried_again() {
    let mut store = Memory::default();
    let checkpoints = Checkpoints::begin(&mut store, "job", 7).unwrap();
    store.loses_next = true;
    checkpoints.leave_at(&mut store, 3).unwrap_err();
    checkpoints.leave_at(&mut store, 3).unwrap();
    checkpoints.leave_at(&mut store, 4).unwrap_err();
}

#[test]
fn parts_that_never_became_a_checkpoint_are_removed() {
    let mut store = Memory::default();
    let put = |store: &mut Memory, checkpoints: &Checkpoints, frontier| {
        checkpoints.put_part(store, frontier, 1, 1, once(Ok(b"state".to_vec()))).unwrap();
    };
    let killed = Checkpoints::begin(&mut store, "job", 7).unwrap();
    put(&mut store, &killed, 4);
    let running = Checkpoints::begin(&mut store, "job", 7).unwrap();
    // Of one that was given up, of one that is being written, and of a start that is found the next time.
    put(&mut store, &running, 5);
    put(&mut store, &running, 12);
    put(&mut store, &Checkpoints::joined("job", 7, 3), 5);
    let complete = |store: &mut Memory, frontier| {
        let part = running.put_part(store, frontier, 0, 1, once(Ok(b"state".to_vec()))).unwrap();
        running.complete(store, frontier, &Cut::new(), vec![part]).unwrap();
        prune(store, &running, Time::MAX).unwrap();
    };
    complete(&mut store, 3);
    assert_eq!(store.frontiers("parts"), [3, 4, 5, 5, 12], "none is kept that is beyond them");
    (6..=8).for_each(|frontier| complete(&mut store, frontier));
    assert_eq!(store.frontiers("parts"), [5, 6, 7, 8, 12]);
    assert!(store.list("job/parts/").unwrap()[0].contains("-0000000003/"), "the later incarnation's");
    // A removal that broke off behind the manifest is made up for.
    store.objects.retain(|name, _| !name.contains("/manifests/00000000000000000006-"));
    (9..=10).for_each(|frontier| complete(&mut store, frontier));
    assert_eq!(store.frontiers("parts"), [5, 8, 9, 10, 12]);
}

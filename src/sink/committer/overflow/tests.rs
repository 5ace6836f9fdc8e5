//! A committer whose memory is tiny, over a sink that is away, slow or loses answers, and files that cannot be written or
//! read: what arrives is what arrives with all the memory there is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use dataflows::time::Time;
use proptest::prelude::*;

use super::*;
use crate::clock::partitions::{Mark, Partition, Trail, cut_at};
use crate::sink::change::Change;
use crate::sink::committer::tests::{Fake, Happens, change, random, started_with, wait_until};
use crate::sink::committer::{Committer, CommitterSettings, lock};

/// A change of these tests takes about so much memory.
const CHANGE_BYTES: u64 = 1_100;

fn settings(memory_bytes: u64, spill_bytes: u64) -> CommitterSettings {
    let sink = SinkConfig { memory_bytes, spill_bytes, circuit_failures: 1, circuit_probe_after_ms: 1 };
    CommitterSettings { job: "shop".into(), sink }
}

fn sized(key: u64, time: Time) -> (Change, Time) {
    let row = Some(format!("{time}{}", "x".repeat(1_000)).into_boxed_str());
    (Change { row, ..change(key, None) }, time)
}

/// No disk could be fuller.
fn full() -> io::Result<File> {
    File::options().write(true).open("/dev/full")
}

fn waiting(committer: &Committer) -> u64 {
    committer.counters().waiting_bytes.load(Ordering::Relaxed)
}

fn spilled(committer: &Committer) -> u64 {
    committer.counters().spilled_bytes.load(Ordering::Relaxed)
}

/// Everything was written once, by transactions that end where somebody said, one after the other.
fn assert_arrived(fake: &Fake, changes: usize, told: &BTreeSet<Time>) {
    let table = fake.table();
    assert!(table.written.values().all(|times| *times == 1), "{:?}", table.written);
    assert_eq!(table.written.len(), changes);
    assert!(table.frontiers.is_sorted() && table.frontiers.iter().all(|frontier| told.contains(frontier)));
    assert_eq!(table.frontiers.last(), told.last());
}

#[test]
fn what_a_sink_that_was_away_is_to_get_arrives_once_in_pieces() {
    let fake = Fake::default();
    fake.table().happens = vec![Happens::Fails; 1_000_000];
    let committer = started_with(&fake, settings(40 * CHANGE_BYTES, 1 << 30));
    let mut told = BTreeSet::new();
    for time in 0..3_000 {
        committer.give(vec![sized(time, time)]);
        // Most things are given in between.
        if time % 3 == 2 {
            committer.commit(time + 1);
            told.insert(time + 1);
        }
    }
    assert!(!committer.is_full() && waiting(&committer) <= 40 * CHANGE_BYTES, "{}", waiting(&committer));
    assert!(spilled(&committer) > 2_900_000 && fake.table().written.is_empty());
    wait_until(|| committer.counters().failures.load(Ordering::Relaxed) > 0);
    fake.table().happens.clear();
    wait_until(|| committer.frontier() == 3_000);
    assert_arrived(&fake, 3_000, &told);
    // Each is a fraction of the memory, and what was given before the next frontier.
    let transactions = fake.table().transactions.clone();
    assert!(transactions.iter().all(|count| *count <= 9), "{transactions:?}");
    wait_until(|| (waiting(&committer), spilled(&committer)) == (0, 0));
    wait_until(|| !lock(&committer.overflow).is_in_use());
    assert!(lock(&committer.overflow).volumes.is_empty(), "no file is left");
}

#[test]
fn whatever_goes_wrong_the_sink_holds_what_it_would_with_all_the_memory_there_is() {
    for seed in 0..150 {
        let mut numbers = seed;
        let (fake, other) = (Fake::default(), Fake::default());
        // Some begin where the sink is beyond what is given first, as after a restart.
        let begins = random(&mut numbers, 2) * random(&mut numbers, 100);
        for fake in [&fake, &other] {
            fake.table().progress.frontier = begins;
        }
        let memory_bytes = random(&mut numbers, 20) * CHANGE_BYTES;
        let spilling = started_with(&fake, settings(memory_bytes, 1 << 30));
        let plain = started_with(&other, settings(1 << 40, 0));
        // A file for each message, or for some.
        lock(&spilling.overflow).volume_bytes = random(&mut numbers, 4) * CHANGE_BYTES;
        let partition = |number| Partition { topic: "orders".to_owned(), number };
        let (mut trail, mut now, mut changes, mut has_spilled) = (Trail::new(), 0, 0, 0);
        let mut told = BTreeSet::new();
        for _ in 0..200 {
            match random(&mut numbers, 8) {
                0..3 => {
                    let count = random(&mut numbers, 4);
                    // Some are of a later time than the next frontier.
                    let given: Vec<_> = (0..count).map(|key| sized(key, now + random(&mut numbers, 9))).collect();
                    changes += given.iter().filter(|(_, time)| *time >= begins).count();
                    [&spilling, &plain].iter().for_each(|committer| committer.give(given.clone()));
                    now += 9;
                }
                3 | 4 => {
                    let mark = Mark { next_offset: now, largest_at: now, watermark: now, ceiling: now };
                    let marks: Trail = (0..2).map(|number| (partition(number), vec![mark])).collect();
                    for (partition, marks) in &marks {
                        trail.entry(partition.clone()).or_default().extend(marks);
                    }
                    [&spilling, &plain].iter().for_each(|committer| committer.mark(marks.clone()));
                    [&spilling, &plain].iter().for_each(|committer| committer.commit(now));
                    told.insert(now);
                }
                5 => {
                    // No checkpoint begins beyond any sink.
                    let slowest = spilling.frontier().min(plain.frontier());
                    if let Some(cut) = cut_at(&trail, slowest) {
                        [&spilling, &plain].iter().for_each(|committer| committer.trim(cut.clone()));
                    }
                }
                6 => {
                    let happens = [Happens::Fails, Happens::DoneAndLost, Happens::Lost, Happens::Unreachable];
                    let count = random(&mut numbers, 12);
                    for fake in [&fake, &other] {
                        fake.table().happens = (0..count).map(|_| happens[random(&mut numbers, 4) as usize]).collect();
                    }
                }
                _ if random(&mut numbers, 4) > 0 => {
                    let open = [full as fn() -> io::Result<File>, tempfile::tempfile];
                    lock(&spilling.overflow).open = open[random(&mut numbers, 2) as usize];
                }
                _ => std::thread::sleep(Duration::from_millis(3)),
            }
            has_spilled = has_spilled.max(spilled(&spilling));
        }
        now += 1;
        let mark = Mark { next_offset: now, largest_at: now, watermark: now.max(begins), ceiling: now };
        let marks: Trail = (0..2).map(|number| (partition(number), vec![mark])).collect();
        let cut = cut_at(&marks, now).unwrap();
        told.extend([now, now + 1]);
        for committer in [&spilling, &plain] {
            committer.mark(marks.clone());
            committer.commit(now);
            wait_until(|| committer.frontier() >= now);
            committer.trim(cut.clone());
            committer
                .mark(marks.keys().map(|name| (name.clone(), vec![Mark { watermark: now + 1, ..mark }])).collect());
            committer.commit(now + 1);
            committer.drain(Duration::from_secs(60)).unwrap();
        }
        assert_eq!((waiting(&spilling), spilled(&spilling)), (0, 0), "seed {seed}");
        assert!(has_spilled > 0 && !spilling.is_full(), "seed {seed}");
        assert_arrived(&fake, changes, &told);
        let (table, other) = (fake.table(), other.table());
        assert_eq!((&table.rows, &table.written), (&other.rows, &other.written), "seed {seed}");
        assert_eq!(table.progress, other.progress, "seed {seed}");
        assert_eq!((&table.without_cut, &other.without_cut), (&vec![], &vec![]), "seed {seed}");
    }
}

#[test]
fn a_sink_that_is_there_gets_each_frontier_at_once_however_little_memory_there_is() {
    let fake = Fake::default();
    let committer = started_with(&fake, settings(CHANGE_BYTES / 2, 1 << 30));
    let started = Instant::now();
    for time in 0..1_500 {
        committer.give(vec![sized(time, time), sized(time + 1, time)]);
        committer.commit(time + 1);
        wait_until(|| committer.frontier() == time + 1);
        // Whoever was not woken would look again after a second.
        assert!(started.elapsed() < Duration::from_secs(60), "at {time}");
    }
    assert_eq!(fake.table().transactions, vec![2; 1_500]);
}

#[test]
fn nothing_overtakes_what_was_set_aside() {
    // Memory is full and free again all the time.
    for memory in [1, 2, 3, 5] {
        let fake = Fake::default();
        let committer = started_with(&fake, settings(memory * CHANGE_BYTES, 1 << 30));
        for time in 0..10_000 {
            committer.give(vec![sized(time, time)]);
            committer.commit(time + 1);
        }
        committer.drain(Duration::from_secs(60)).unwrap();
        assert_arrived(&fake, 10_000, &(1..=10_000).collect());
    }
}

#[test]
fn a_job_reads_no_more_once_memory_and_files_are_full() {
    let fake = Fake::default();
    fake.table().happens = vec![Happens::Fails; 1_000_000];
    let (memory_bytes, spill_bytes) = (20 * CHANGE_BYTES, 200 * CHANGE_BYTES);
    let committer = started_with(&fake, settings(memory_bytes, spill_bytes));
    let mut time = 0;
    while !committer.is_full() {
        assert!(spilled(&committer) <= spill_bytes && waiting(&committer) <= memory_bytes);
        committer.give(vec![sized(time, time)]);
        committer.commit(time + 1);
        time += 1;
    }
    assert!(spilled(&committer) > spill_bytes && time > 200, "{time}");
    fake.table().happens.clear();
    wait_until(|| !committer.is_full());
    committer.drain(Duration::from_secs(60)).unwrap();
    assert_arrived(&fake, time as usize, &(1..=time).collect());
}

#[test]
fn a_drain_goes_through_what_was_set_aside_and_says_what_is_left_of_it() {
    for comes_back in [true, false] {
        let fake = Fake::default();
        fake.table().happens = vec![Happens::Fails; 1_000_000];
        let committer = started_with(&fake, settings(20 * CHANGE_BYTES, 1 << 30));
        for time in 0..500 {
            committer.give(vec![sized(time, time)]);
            committer.commit(time + 1);
        }
        if comes_back {
            fake.table().happens.clear();
            committer.drain(Duration::from_secs(60)).unwrap();
            assert_arrived(&fake, 500, &(1..=500).collect());
        } else {
            assert!(committer.drain(Duration::from_millis(100)).is_err());
            wait_until(|| committer.failure().is_some());
            let error = committer.failure().unwrap().to_string();
            assert!(error.contains("500 changes") && error.contains("complete before anything"), "{error}");
        }
    }
}

#[test]
fn what_cannot_be_written_waits_in_memory_until_it_can_be() {
    let fake = Fake::default();
    fake.table().happens = vec![Happens::Fails; 1_000_000];
    let committer = started_with(&fake, settings(20 * CHANGE_BYTES, 1 << 30));
    let give = |times: std::ops::Range<Time>| {
        for time in times {
            committer.give(vec![sized(time, time)]);
            committer.commit(time + 1);
        }
    };
    give(0..100);
    assert!(!committer.is_full() && spilled(&committer) > 0);
    {
        // The file that is there is full, and so would be another.
        let mut overflow = lock(&committer.overflow);
        (overflow.open, overflow.volume_bytes) = (full, 0);
    }
    give(100..200);
    assert!(committer.is_full() && lock(&committer.overflow).has_failed);
    assert!(spilled(&committer) < 1 << 20, "no limit was reached");
    // The sink is still away when there is space again.
    lock(&committer.overflow).open = tempfile::tempfile;
    wait_until(|| !committer.is_full());
    assert!(lock(&committer.overflow).unwritten.is_empty() && committer.frontier() == 0);
    lock(&committer.overflow).open = full;
    give(200..300);
    assert!(committer.is_full());
    // It is back, and there is no space.
    fake.table().happens.clear();
    wait_until(|| committer.frontier() == 300);
    wait_until(|| !committer.is_full());
    give(300..400);
    committer.drain(Duration::from_secs(60)).unwrap();
    assert_arrived(&fake, 400, &(1..=400).collect());
}

#[test]
fn a_file_that_is_damaged_or_cut_off_ends_the_job() {
    type Damage = fn(&File);
    let damages: [(Damage, &str); 3] = [
        (|file| file.write_all_at(b"y", 700).unwrap(), "it is damaged"),
        (|file| file.write_all_at(&[0xFF], 6).unwrap(), "it is damaged"),
        (|file| file.set_len(100).unwrap(), "failed to fill whole buffer"),
    ];
    for (damage, why) in damages {
        let fake = Fake::default();
        fake.table().happens = vec![Happens::Fails; 1_000_000];
        let committer = started_with(&fake, settings(2 * CHANGE_BYTES, 1 << 30));
        for time in 0..20 {
            committer.give(vec![sized(time, time)]);
            committer.commit(time + 1);
        }
        damage(&lock(&committer.overflow).volumes[0].file);
        fake.table().happens.clear();
        wait_until(|| committer.failure().is_some());
        let error = committer.failure().unwrap();
        assert_eq!(error.what(), format!("cannot read the temporary file of changes for the sink fake: {why}"));
        assert_eq!(fake.table().written.len(), committer.frontier() as usize, "what is there is whole");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn messages_come_out_as_they_were_set_aside(
        steps in prop::collection::vec((0..6_u8, 0..4_u64), 1..120),
        volume_bytes in prop_oneof![Just(0), 100..5_000_u64],
    ) {
        let sink = settings(CHANGE_BYTES, 1 << 30).sink;
        let mut overflow = Overflow::new("fake", &sink, Arc::default());
        overflow.volume_bytes = volume_bytes;
        let mut model = VecDeque::new();
        for (time, (step, count)) in steps.into_iter().enumerate() {
            let time = time as Time;
            match step {
                0 | 1 => {
                    let message = match count {
                        0 => Message::Commit(time),
                        count => Message::Give((0..count).map(|key| (change(key, (key > 0).then_some(key)), time)).collect()),
                    };
                    let was_in_use = overflow.is_in_use();
                    prop_assert_eq!(overflow.push(&message), !was_in_use);
                    model.push_back(format!("{message:?}"));
                }
                2 | 3 => {
                    let taken = overflow.take().unwrap();
                    // Until nothing was found, for what is given after the last message that is here comes after it.
                    prop_assert_eq!(overflow.is_in_use(), taken.is_some());
                    prop_assert_eq!(taken.map(|message| format!("{message:?}")), model.pop_front());
                }
                4 => overflow.open = full,
                _ => overflow.open = tempfile::tempfile,
            }
            overflow.write();
            prop_assert!(overflow.is_in_use() || model.is_empty());
        }
        while let Some(message) = overflow.take().unwrap() {
            prop_assert_eq!(Some(format!("{message:?}")), model.pop_front());
        }
        prop_assert!(model.is_empty() && !overflow.is_in_use() && overflow.volumes.is_empty());
        prop_assert_eq!((overflow.changes(), overflow.counters.spilled_bytes.load(Ordering::Relaxed)), (0, 0));
    }
}

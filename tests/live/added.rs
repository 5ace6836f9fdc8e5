//! A sink that is added to a job: it gets what stands, at once, and then what changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::views::COLLECTIONS;

use super::memory::MemorySink;
use super::{DEADLINE, End, Shop, execute, incarnation, prepare};

/// True while a checkpoint of the beginning is left.
fn may_begin_anew(store: &str) -> bool {
    let manifests = std::fs::read_dir(format!("{store}/orderwatch/manifests")).unwrap();
    let mut names = manifests.map(|name| name.unwrap().file_name().into_string().unwrap());
    names.any(|name| name.starts_with(&"0".repeat(20)))
}

#[test]
fn the_first_sink_of_a_job_that_had_none_gets_what_stands() {
    let shop = Shop::open(400, 7, &[]);
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [store, of_other] = folders.each_ref().map(|folder| folder.path().display().to_string());
    loop {
        let job = prepare(&shop, &store, &[]);
        let watched = Arc::clone(&job);
        let watch = std::thread::spawn(move || {
            let started = Instant::now();
            while watched.counters.numbers().checkpoints_written < 2 && started.elapsed() < DEADLINE {
                std::thread::sleep(Duration::from_millis(1));
            }
            watched.stop();
        });
        execute(&job, 2).unwrap();
        watch.join().unwrap();
        if !may_begin_anew(&store) {
            break;
        }
    }
    let (every, added) = (MemorySink::default(), MemorySink::default());
    incarnation(&shop, &of_other, &[&every], 2, End::Complete);
    incarnation(&shop, &store, &[&added], 3, End::Complete);
    let (every, added) = (every.tables.lock().unwrap(), added.tables.lock().unwrap());
    assert!((1..shop.largest).contains(&added.progress.complete_since), "{}", added.progress.complete_since);
    // Records that were refused before are history.
    for collection in COLLECTIONS.iter().filter(|collection| collection.name != "dead_letters") {
        let [every, added] = [&every, &added].map(|tables| tables.rows(collection.name));
        let differs = every.iter().zip(&added).find(|(left, right)| left != right);
        assert!(every == added, "{}: {differs:?}", collection.name);
    }
}

#[test]
fn a_sink_that_is_added_gets_what_stands() {
    let mut kills = 0;
    for seed in 1..3 {
        let shop = Shop::open(400, seed, &[]);
        let (store, first, second) = (tempfile::tempdir().unwrap(), MemorySink::default(), MemorySink::default());
        let store = store.path().display().to_string();
        // Until there is no way back to the beginning.
        incarnation(&shop, &store, &[&first], 2, End::Stopped(2));
        while may_begin_anew(&store) {
            incarnation(&shop, &store, &[&first], 2, End::Stopped(2));
        }
        assert!(first.tables.lock().unwrap().progress.frontier < shop.largest, "all was read before");
        let both = [&first, &second];
        // It is new until it has committed something.
        let job = prepare(&shop, &store, &both);
        assert!(job.shared().unwrap().has_new_sink);
        drop(job);
        for end in [End::Killed(1), End::Stopped(1), End::Complete] {
            kills += usize::from(incarnation(&shop, &store, &both, 3, end));
        }
        let job = prepare(&shop, &store, &both);
        assert!(!job.shared().unwrap().has_new_sink);
        let (first, second) = (first.tables.lock().unwrap(), second.tables.lock().unwrap());
        assert_eq!(first.progress.complete_since, 0);
        assert!((1..shop.largest).contains(&second.progress.complete_since));
        for collection in &COLLECTIONS {
            // Records that were refused before are history.
            if collection.name != "dead_letters" {
                let [first, second] = [&first, &second].map(|tables| tables.rows(collection.name));
                let differs = first.iter().zip(&second).find(|(left, right)| left != right);
                assert!(first == second, "{}, seed {seed}: {differs:?}", collection.name);
            }
        }
    }
    assert!(kills > 0, "each was through before it was killed");
}

#[test]
fn a_sink_that_is_added_need_not_wait_for_time_to_go_on() {
    let shop = Shop::open(400, 9, &[]);
    let (store, first, second) = (tempfile::tempdir().unwrap(), MemorySink::default(), MemorySink::default());
    let store = store.path().display().to_string();
    incarnation(&shop, &store, &[&first], 2, End::Stopped(2));
    while may_begin_anew(&store) {
        incarnation(&shop, &store, &[&first], 2, End::Stopped(2));
    }
    incarnation(&shop, &store, &[&first], 2, End::Complete);
    // All has been read, and data alone moves time: it stands still.
    let job = prepare(&shop, &store, &[&first, &second]);
    assert!(job.shared().unwrap().has_new_sink);
    let (watched, added) = (Arc::clone(&job), second.clone());
    let watch = std::thread::spawn(move || {
        let started = Instant::now();
        while added.tables.lock().unwrap().commits == 0 && started.elapsed() < DEADLINE {
            std::thread::sleep(Duration::from_millis(1));
        }
        watched.stop();
    });
    execute(&job, 3).unwrap();
    watch.join().unwrap();
    let (first, second) = (first.tables.lock().unwrap(), second.tables.lock().unwrap());
    let progress = &second.progress;
    assert!(progress.complete_since > 0 && progress.frontier >= progress.complete_since, "{progress:?}");
    // Orders may have retired, and windows closed.
    for collection in COLLECTIONS.iter().filter(|collection| collection.name != "dead_letters") {
        let [first, second] = [&first, &second].map(|tables| tables.rows(collection.name));
        let more: Vec<_> = second.iter().filter(|row| !first.contains(row)).take(3).collect();
        assert!(more.is_empty(), "{}: {more:?}", collection.name);
        let has_rows = ["orders", "order_events", "real_time_funnel"].contains(&collection.name);
        assert!(!has_rows || !second.is_empty(), "{} is empty", collection.name);
    }
    assert_eq!(first.rows("orders_by_status"), second.rows("orders_by_status"));
}

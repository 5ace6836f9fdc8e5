//! A job whose sink is away reads on until memory and files are full, and whatever becomes of it then the sink comes to
//! hold what a replay says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use orderwatch::config::Cluster;
use orderwatch::error::JobError;
use orderwatch::live;
use orderwatch::live::job::LiveJob;

use super::memory::MemorySink;
use super::metrics::wait_until;
use super::{End, Shop, assert_as_replayed, execute, incarnation, joining, prepare};

/// Bytes that wait for the sink: in memory, and in files.
fn waiting(job: &LiveJob) -> [u64; 2] {
    let numbers = job.counters.numbers();
    let of_sink = |sink: &orderwatch::sink::committer::Watched| {
        [&sink.counters.waiting_bytes, &sink.counters.spilled_bytes].map(|bytes| bytes.load(Ordering::Relaxed))
    };
    numbers.sinks.first().map_or([0, 0], of_sink)
}

/// Reads while the sink is away until `is_enough`, then does what there is to be done.
fn while_away(
    shop: &Shop,
    store: &str,
    is_enough: impl Fn(&LiveJob) -> bool + Send + 'static,
    then: impl FnOnce(&LiveJob, &MemorySink) + Send + 'static,
) -> MemorySink {
    let sink = MemorySink::default();
    sink.is_away.store(true, Ordering::Relaxed);
    let job = prepare(shop, store, &[&sink]);
    let (watched, away) = (Arc::clone(&job), sink.clone());
    let watch = std::thread::spawn(move || {
        wait_until("enough was read", || is_enough(&watched).then_some(()));
        assert_eq!(away.tables.lock().unwrap().commits, 0);
        away.is_away.store(false, Ordering::Relaxed);
        then(&watched, &away);
    });
    let ended = execute(&job, 2);
    watch.join().unwrap();
    assert!(ended.is_ok() || ended.unwrap_err().to_string().contains("killed"));
    sink
}

fn flags(spill: &'static str) -> [(&'static str, &'static str); 3] {
    [("sink.memory", "1M"), ("sink.spill", spill), ("sink.circuit_probe_after", "20ms")]
}

#[test]
fn all_is_read_while_a_sink_is_away_and_arrives_once_it_is_back() {
    let shop = Shop::open(700, 5, &flags("1G"));
    let largest = shop.largest;
    let has_read_all = move |job: &LiveJob| job.counters.numbers().frontier >= largest && waiting(job)[1] > 1 << 20;
    // It is killed when it has come back, asked to stop, or goes on.
    for ends in ["killed", "stopped", "complete"] {
        let store = tempfile::tempdir().unwrap();
        let store = store.path().display().to_string();
        let sink = while_away(&shop, &store, has_read_all, move |job, sink| {
            assert!(waiting(job)[0] <= 1 << 20, "{:?}", waiting(job));
            let frontier = || sink.tables.lock().unwrap().progress.frontier;
            match ends {
                "killed" => {
                    wait_until("it has committed something", || (frontier() > 0).then_some(()));
                    job.fail(JobError::job("killed"));
                }
                "stopped" => job.stop(),
                _ => {
                    wait_until("it has committed all", || (frontier() >= largest).then_some(()));
                    assert!(sink.tables.lock().unwrap().commits > 8, "in pieces");
                    job.stop();
                }
            }
        });
        if ends == "killed" {
            incarnation(&shop, &store, &[&sink], 1, End::Complete);
        }
        assert_as_replayed(&shop, &sink, ends);
    }
}

/// True where nothing has been read for half a second, and something before.
fn stands_still(job: &LiveJob) -> bool {
    let read = job.counters.numbers().records_read();
    let since = Instant::now();
    while since.elapsed() < Duration::from_millis(500) && job.counters.numbers().records_read() == read {
        std::thread::sleep(Duration::from_millis(20));
    }
    read > 0 && since.elapsed() >= Duration::from_millis(500)
}

#[test]
fn no_more_is_read_once_memory_and_files_are_full() {
    let shop = Shop::open(700, 6, &flags("1M"));
    let (largest, all) = (shop.largest, shop.records.values().map(|records| records.len() as u64).sum::<u64>());
    let store = tempfile::tempdir().unwrap();
    let sink = while_away(&shop, &store.path().display().to_string(), stands_still, move |job, sink| {
        let frontier = || sink.tables.lock().unwrap().progress.frontier;
        let read = job.counters.numbers().records_read();
        eprintln!("{read} of {all}, {:?}", waiting(job));
        wait_until("it has committed all", || (frontier() >= largest).then_some(()));
        assert!(read < all, "all {all} were read");
        job.stop();
    });
    assert_as_replayed(&shop, &sink, "it stood still");
}

#[test]
fn a_sink_that_is_full_holds_back_every_process() {
    let shop = Shop::open(700, 6, &flags("1M"));
    let (folder, sink) = (tempfile::tempdir().unwrap(), MemorySink::default());
    let store = folder.path().display().to_string();
    sink.is_away.store(true, Ordering::Relaxed);
    let jobs = [prepare(&shop, &store, &[&sink]), Arc::new(joining(&shop, &store))];
    let addresses = || -> Vec<String> {
        let free = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        free.map(|listener| listener.local_addr().unwrap().to_string()).to_vec()
    };
    let cluster = Cluster { workers: 1, processes: 2, addresses: addresses(), ..Cluster::default() };
    let running = [0, 1].map(|process| {
        let (cluster, job) = (Cluster { process, ..cluster.clone() }, Arc::clone(&jobs[process]));
        std::thread::spawn(move || live::execute(&cluster, &job))
    });
    wait_until("both stand still", || jobs.iter().all(|job| stands_still(job)).then_some(()));
    let of_other =
        jobs[1].partitions_of(1, 2).into_iter().map(|(name, _)| shop.records[&name].len() as u64).sum::<u64>();
    let read = jobs[1].counters.numbers().records_read();
    assert!(read < of_other, "all {of_other} were read");
    sink.is_away.store(false, Ordering::Relaxed);
    let frontier = || sink.tables.lock().unwrap().progress.frontier;
    wait_until("it has committed all", || (frontier() >= shop.largest).then_some(()));
    jobs[0].stop();
    running.into_iter().for_each(|process| process.join().unwrap().unwrap());
    assert_as_replayed(&shop, &sink, "two processes");
}

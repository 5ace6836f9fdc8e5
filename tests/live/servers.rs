//! The whole path with real servers: topics of Kafka in, tables of PostgreSQL out, killed on the way.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dataflows::time::Time;
use orderwatch::instant::{format_instant, parse_instant};

use crate::broker::OwnRegistry;
use crate::metrics::{ask, free_address, wait_until};
use crate::run::{Running, hostfile, orderwatch, replay, run, start};
use crate::shop::Shop;

const DEADLINE: Duration = Duration::from_secs(100);

impl Shop {
    pub fn wait_until(&self, running: &mut [Running], what: &str, mut is_so: impl FnMut(Time) -> bool) {
        let started = Instant::now();
        while !is_so(self.frontier()) {
            assert!(started.elapsed() < DEADLINE, "{what} never: they stand at {}", format_instant(self.frontier()));
            for process in running.iter_mut() {
                assert!(process.child.try_wait().unwrap().is_none(), "{what} never: a process ended");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn kill(running: Running) {
    drop(running);
}

/// A history that no job has read to its end when it first commits; and the time at which it ends.
fn long_history(folder: &Path) -> (PathBuf, Time) {
    let history = folder.join("history");
    let generated =
        run(orderwatch().args(["generate", "olist", "--count", "20000", "--seed", "7", "--to"]).arg(&history));
    assert_eq!(generated.code, Some(0), "{}", generated.stderr);
    let replayed = run(replay(&[&history]).args(["--output", "json"]));
    let said: serde_json::Value = serde_json::from_str(replayed.stdout.trim()).unwrap();
    (history, parse_instant(said["as_of"].as_str().unwrap()).unwrap())
}

#[test]
fn a_job_that_is_killed_leaves_tables_as_a_replay_says() {
    let Some(shop) = Shop::open() else { return };
    let (history, end) = long_history(shop.folder.path());
    shop.produce(&history);
    // Killed as soon as it has begun, in the middle, and once more at another number of workers.
    let mut last = 0;
    for workers in [2, 1, 4] {
        let mut job = [start(&mut shop.job(workers, &[]))];
        shop.wait_until(&mut job, "the tables move on", |frontier| frontier > last);
        last = shop.frontier();
        job.into_iter().for_each(kill);
    }
    assert!(last < end, "all was read before");
    let mut job = [start(&mut shop.job(2, &[]))];
    shop.wait_until(&mut job, "the end", |frontier| frontier >= end);
    job[0].terminate();
    let [job] = job;
    let ended = job.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped: "), "{}", ended.stderr);
    shop.assert_as_replayed();
    // Started once more it finds nothing to do, and is told to stop at once.
    let address = free_address();
    let stopped = start(&mut shop.job(3, &["--serve", &address]));
    wait_until("its workers turn", || ask(&address, "/healthz").filter(|(status, _)| *status == 200));
    stopped.terminate();
    assert_eq!(stopped.wait().code, Some(0));
    shop.assert_as_replayed();
}

#[test]
fn processes_share_a_job_that_is_killed_and_resumed() {
    let Some(shop) = Shop::open() else { return };
    shop.produce(Path::new("data/sample"));
    let cluster = |processes: usize| -> Vec<Running> {
        let hosts = hostfile(shop.folder.path(), processes);
        let (hosts, count) = (hosts.to_str().unwrap(), processes.to_string());
        let process = |index: usize| {
            let index = index.to_string();
            start(&mut shop.job(2, &["-n", &count, "-p", &index, "--hostfile", hosts, "-v"]))
        };
        (0..processes).map(process).collect()
    };
    let mut first = cluster(2);
    shop.wait_until(&mut first, "the tables move on", |frontier| frontier > 0);
    // One is killed: the other one ends by itself, and says whom it lost.
    let (killed, other) = (first.remove(1), first.remove(0));
    kill(killed);
    let ended = other.wait();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("process 1 was lost"), "{}", ended.stderr);
    let mut three = cluster(3);
    // The tables may have been complete before: one that is asked to stop before it can hear it would be missed for ever.
    three[2].wait_until_it_says("all 3 processes are connected");
    shop.wait_until(&mut three, "the end", |frontier| frontier >= 1_538_158_318_000);
    // One that is asked to stop stops all.
    three[2].terminate();
    for running in three {
        let ended = running.wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
    shop.assert_as_replayed();
}

#[test]
fn a_registry_that_is_away_is_waited_for_and_changelogs_in_avro_hold_the_tables() {
    let (Some(mut shop), Some(registry)) = (Shop::open(), OwnRegistry::start()) else { return };
    shop.form = ["--avro", "--schema-registry", &registry.address].map(str::to_owned).into();
    shop.produce(Path::new("data/sample"));
    // Killed in the middle; then the registry is gone before another job can read its first record.
    let mut first = [start(&mut shop.job(1, &[]))];
    shop.wait_until(&mut first, "the tables move on", |frontier| frontier > 0);
    first.into_iter().for_each(kill);
    registry.kill();
    let reader = ["--avro=json", "--schema-registry", &registry.address, "--job", "reader"];
    let mut waiting = start(&mut shop.reader(&reader));
    waiting.wait_until_it_says("waiting for the schema registry at");
    assert!(waiting.child.try_wait().unwrap().is_none());
    registry.restart();
    waiting.wait_until_it_prints("SLA BREACH");
    drop(waiting);
    let mut job = [start(&mut shop.job(2, &[]))];
    shop.wait_until(&mut job, "the end", |frontier| frontier >= 1_538_158_318_000);
    job[0].terminate();
    let [job] = job;
    assert_eq!(job.wait().code, Some(0));
    shop.assert_as_replayed();
}

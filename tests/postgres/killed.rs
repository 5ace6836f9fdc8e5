//! A committer whose server is killed and started again, at any moment: in the end the tables are what was given.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orderwatch::clock::partitions::Trail;
use orderwatch::config::SinkConfig;
use orderwatch::sink::commits::Transactions;
use orderwatch::sink::committer::circuit::State;
use orderwatch::sink::committer::{Committer, CommitterSettings};

use super::committed::assert_holds;
use super::inputs::Chance;
use super::refused::connect;
use super::server::{Database, Server, wait_until};
use super::wanted::Wanted;

#[test]
fn a_server_that_is_killed_again_and_again_has_everything_once() {
    let Some(server) = Server::start() else { return };
    let database = Database::on(&server.url);
    let mut postgres = connect(&database.url, "shop").unwrap();
    let progress = postgres.fence(1).unwrap();
    let sink =
        SinkConfig { memory_bytes: 64 << 20, spill_bytes: 64 << 20, circuit_failures: 3, circuit_probe_after_ms: 200 };
    let settings = CommitterSettings { job: "shop".into(), sink };
    let committer = Committer::start("postgres", progress, &Trail::new(), Box::new(postgres), settings).unwrap();
    let (mut wanted, mut chance, mut time) = (Wanted::default(), Chance(5), 0);
    let mut give = |count: usize, wanted: &mut Wanted| {
        for _ in 0..count {
            time += 1;
            committer.give((0..20).map(|_| (wanted.change(&mut chance, 200), time)).collect());
            committer.commit(time + 1);
        }
        time + 1
    };
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    for _ in 0..3 {
        let commits = count(&committer.counters().commits);
        let given = give(2_000, &mut wanted);
        wait_until("it commits", || count(&committer.counters().commits) > commits || committer.frontier() == given);
        server.kill();
        let given = give(200, &mut wanted);
        wait_until("the circuit opens", || committer.counters().circuit() == State::Open);
        server.restart();
        wait_until("all is there", || committer.frontier() == given);
        assert!(committer.failure().is_none());
        assert_holds(&database, &wanted);
    }
    assert!(count(&committer.counters().failures) >= 9 && count(&committer.counters().waiting_bytes) == 0);
    let given = give(10, &mut wanted);
    committer.drain(Duration::from_secs(60)).unwrap();
    assert_holds(&database, &wanted);
    let mut again = connect(&database.url, "shop").unwrap();
    assert_eq!(again.fence(2).map(|found| found.frontier), Some(given));
}

//! Chaos: a live job between real servers, something that goes wrong in every round, and results as if nothing had.
//!
//! A round is a shop of its own: records come while its job runs in one to three processes, with a supervisor that
//! starts all of them again when one fails, and in another shape when all of them were killed. Then one thing is done to
//! it, the kind of which its seed says. In the end every table and every changelog holds what a replay of the topics
//! says, and no transaction is left open. `scripts/chaos` runs as many rounds as you like; ORDERWATCH_CHAOS_ROUNDS and
//! ORDERWATCH_CHAOS_SEED say how many, and from which seed on. All of it happens in namespaces of its own, so it takes
//! root, Kafka and PostgreSQL; what is missing is said by name.

// A test that cannot set up its case must fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "support/avro_rows.rs"]
mod avro_rows;
#[path = "support/broker.rs"]
mod broker;
#[path = "goldens/inputs.rs"]
#[allow(dead_code)] // shared with goldens.rs
mod inputs;
#[path = "chaos/job.rs"]
mod job;
#[path = "chaos/kinds.rs"]
mod kinds;
#[path = "support/network.rs"]
mod network;
#[path = "sinks/read.rs"]
#[allow(dead_code)]
mod read;
#[path = "chaos/records.rs"]
mod records;
#[path = "support/run.rs"]
#[allow(dead_code)]
mod run;
#[path = "postgres/server.rs"]
#[allow(dead_code)]
mod server;
#[path = "support/shop.rs"]
mod shop;
#[path = "chaos/stack.rs"]
mod stack;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use inputs::Chance;
use job::{Job, Shape};
use kinds::Kind;
use records::Records;
use stack::Stack;

/// So long a job may take to come to the end of its records once it is left in peace.
const PEACE: Duration = Duration::from_secs(60);

#[test]
fn chaos() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is {text}")))
    };
    let (rounds, seed) =
        (number("ORDERWATCH_CHAOS_ROUNDS", Kind::ALL.len() as u64), number("ORDERWATCH_CHAOS_SEED", 1));
    if std::env::var_os("ORDERWATCH_KAFKA").is_none() || std::env::var_os("ORDERWATCH_POSTGRES").is_none() {
        run::lacks("Kafka or PostgreSQL (eval \"$(scripts/services up kafka postgres)\")");
        return;
    }
    if !network::is_inside("chaos") {
        return;
    }
    let Some(stack) = Stack::start() else { return };
    let mut failed = Vec::new();
    for (round, seed) in (1..=rounds).zip(seed..) {
        let (kind, started) = (Kind::ALL[seed as usize % Kind::ALL.len()], Instant::now());
        let outcome = catch_unwind(AssertUnwindSafe(|| run_round(&stack, kind, seed)));
        stack.mend();
        let said = outcome.as_ref().map_or("FAILED", String::as_str);
        println!(
            "round {round:3}  seed {seed:4}  {:20}  {:5.1} s  {said}",
            kind.name(),
            started.elapsed().as_secs_f64()
        );
        if outcome.is_err() {
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "rounds of these seeds failed: {failed:?}");
}

/// One round; what there is to be said of it.
fn run_round(stack: &Stack, kind: Kind, seed: u64) -> String {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut shape = Shape::by(&mut chance);
    if kind.wants_three() {
        shape.processes = 3;
    }
    let shop = stack.shop();
    if kind == Kind::DiskFull {
        let disk = shop.checkpoints();
        std::fs::create_dir(&disk).unwrap();
        network::sh(&format!("mount -t tmpfs -o size=8m none {}", disk.display()));
    }
    let records = Records::generate(&shop, seed);
    let mut job = Job::start(stack, &shop, shape);
    let producing = records.produce(&shop);
    job.pass(Duration::from_millis(200 + chance.below(4_000) as u64));
    kind.strike(stack, &shop, &mut job, &mut chance);
    job.until("all is produced", PEACE, |_| producing.is_finished());
    producing.join().unwrap();
    job.until("all is in the tables", PEACE, |_| {
        std::thread::sleep(Duration::from_millis(20));
        shop.frontier() >= records.closing
    });
    job.until("all is read", PEACE, |_| {
        std::thread::sleep(Duration::from_millis(50));
        shop.is_all_read()
    });
    let closing = records.close_again(&shop);
    job.until("what came late is in the tables", PEACE, |_| {
        std::thread::sleep(Duration::from_millis(20));
        shop.frontier() >= closing
    });
    job.stop();
    shop.assert_as_replayed();
    stack.assert_no_transaction_hangs(&shop);
    let starts: usize = job.starts.iter().sum();
    let shapes = job.shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", ");
    drop(job);
    stack.forget(&shop);
    if kind == Kind::DiskFull {
        network::sh(&format!("umount {}", shop.checkpoints().display()));
    }
    format!("equal; {shapes}; starts {starts}")
}

//! Time as a live job has it, with real servers: what is due is told when it is due, and nothing else is. While the
//! broker is away: `tests/kafka/unreachable.rs`.

use std::time::{Duration, Instant};

use dataflows::time::{HOUR_MS, Time};
use orderwatch::clock::wall_clock_ms;

use crate::broker::{broker, create_topic, flush, order_event, producer, send};
use crate::run::{orderwatch, start};
use crate::server::Database;

const DEADLINE: Duration = Duration::from_secs(60);
/// So many breaches are told while nothing comes, at such intervals.
const BREACHES: u64 = 10;
const EVERY_MS: Time = 300;
const GRACE_MS: Time = 500;
/// How late the quickest of them is told at most: a tick and 50 ms, and half of that for a machine with other things to
/// do, which may keep any of them waiting.
const QUICKEST_WITHIN_MS: Time = 150;
const HALF_OF_THEM_WITHIN_MS: Time = 1_000;

#[test]
fn what_is_due_is_told_in_time_and_what_is_refuted_never() {
    let (Some(brokers), Some(database)) = (broker(), Database::new()) else { return };
    // Two of three partitions are silent, and hold nothing back.
    let topic = create_topic(&brokers, "clock", 3);
    let producer = producer(&brokers, None);
    let tell_in = |partition: i32, record: String| {
        send(&producer, &topic, partition, record.as_bytes());
        flush(&producer);
    };
    let tell = |record: String| tell_in(1, record);
    let now = wall_clock_ms();
    // The job was away for hours: what it has yet to read refutes what would seem to be due.
    tell(order_event("refuted", "ORDER_PLACED", now - 30 * HOUR_MS));
    tell(order_event("refuted", "PROCESSING_STARTED", now - 29 * HOUR_MS));
    // A clock that is wrong stops nothing.
    tell(order_event("wrong", "ORDER_PLACED", 4_070_908_800_000));
    let folder = tempfile::tempdir().unwrap();
    let mut command = orderwatch();
    command.args(["run", "--kafka", &brokers, "--topics", &topic, "--grace", "0s", "--postgres", &database.url]);
    command.args(["--serve", "none"]);
    command.arg("--checkpoint").arg(folder.path());
    let mut job = start(&mut command);
    let rows = |sql: &str| database.client().query_one(sql, &[]).map_or(-1, |row| row.get::<_, i64>(0));
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < DEADLINE, "{what} never");
            std::thread::sleep(Duration::from_millis(2));
        }
    };
    let future = "SELECT count(*) FROM dead_letters WHERE reasons LIKE 'future_timestamp%'";
    wait_until("the history is there", &|| rows("SELECT count(*) FROM orders") == 1 && rows(future) == 1);
    // However long it took to begin.
    let due_at = wall_clock_ms() + 8_000;
    for order in ["due", "slow", "kept"] {
        tell(order_event(order, "ORDER_PLACED", due_at - 24 * HOUR_MS));
    }
    wait_until("the orders are there", &|| rows("SELECT count(*) FROM orders") == 4);
    tell(order_event("kept", "PROCESSING_STARTED", due_at - 3_000));
    job.wait_until_it_prints("order due not processed");
    let told_at = wall_clock_ms();
    assert!(told_at >= due_at, "it was told {} ms too early", due_at - told_at);
    // A machine may be busy.
    assert!(told_at < due_at + 15_000, "it was told {} ms late", told_at - due_at);
    let open = "SELECT count(*) FROM sla_breaches WHERE order_id IN ('due', 'slow') AND resolved_at IS NULL";
    wait_until("the breaches are in their table", &|| rows(open) == 2);
    assert_eq!(rows("SELECT count(*) FROM sla_breaches"), 2);
    // What silent partitions come to say, late, amends it: it takes one back and resolves the other.
    tell_in(0, order_event("due", "PROCESSING_STARTED", due_at - 1));
    tell_in(2, order_event("slow", "PROCESSING_STARTED", due_at + 1_000));
    let resolved = "SELECT count(*) FROM sla_breaches WHERE order_id = 'slow' AND resolution = 'met_late'
                    AND overdue_seconds = 1";
    wait_until("the breaches are amended", &|| rows("SELECT count(*) FROM sla_breaches") == 1 && rows(resolved) == 1);
    assert_eq!(rows("SELECT count(*) FROM orders WHERE order_id = 'due' AND status = 'PROCESSING'"), 1);
}

#[test]
fn breaches_are_told_when_they_are_due_while_nothing_comes() {
    let Some(brokers) = broker() else { return };
    let topic = create_topic(&brokers, "quiet", 2);
    let producer = producer(&brokers, None);
    let place = |order: &str, due_at: Time| {
        send(&producer, &topic, 0, order_event(order, "ORDER_PLACED", due_at - 24 * HOUR_MS).as_bytes());
        flush(&producer);
    };
    let (folder, grace) = (tempfile::tempdir().unwrap(), format!("{GRACE_MS}ms"));
    let mut command = orderwatch();
    command.args(["run", "--kafka", &brokers, "--topics", &topic, "--grace", &grace, "--serve", "none"]);
    command.arg("--checkpoint").arg(folder.path());
    let mut job = start(&mut command);
    // It is under way once it tells something.
    place("known", wall_clock_ms() - HOUR_MS);
    job.wait_until_it_prints("order known not processed");
    let first_due_at = wall_clock_ms() + 2_000;
    let due_at = |number: u64| first_due_at + number * EVERY_MS;
    (0..BREACHES).for_each(|number| place(&format!("quiet-{number}"), due_at(number)));
    let told = (0..BREACHES).map(|number| {
        job.wait_until_it_prints(&format!("order quiet-{number} not processed"));
        let (told_at, may_be_told_at) = (wall_clock_ms(), due_at(number) + GRACE_MS);
        assert!(told_at >= may_be_told_at, "quiet-{number} was told {} ms too early", may_be_told_at - told_at);
        told_at - may_be_told_at
    });
    let mut late: Vec<Time> = told.collect();
    late.sort_unstable();
    let is_quick = late[0] <= QUICKEST_WITHIN_MS && late[late.len() / 2] <= HALF_OF_THEM_WITHIN_MS;
    assert!(is_quick, "they were told so many milliseconds late: {late:?}");
}

//! Time as a live job has it, with real servers: what is due is told when it is due, and nothing else is.

use std::time::{Duration, Instant};

use dataflows::time::{HOUR_MS, Time};
use orderwatch::clock::wall_clock_ms;
use orderwatch::instant::format_instant;

use crate::broker::{broker, create_topic, flush, producer, send};
use crate::run::{orderwatch, start};
use crate::server::Database;

const DEADLINE: Duration = Duration::from_secs(60);

fn event(order: &str, kind: &str, at: Time) -> String {
    format!(r#"{{"event_type":"{kind}","order_id":"{order}","timestamp":"{}"}}"#, format_instant(at))
}

#[test]
fn what_is_due_is_told_in_time_and_what_is_refuted_never() {
    let (Some(brokers), Some(database)) = (broker(), Database::new()) else { return };
    // Two of three partitions are silent for ever.
    let topic = create_topic(&brokers, "clock", 3);
    let producer = producer(&brokers, None);
    let tell = |record: String| {
        send(&producer, &topic, 1, record.as_bytes());
        flush(&producer);
    };
    let now = wall_clock_ms();
    // The job was away for hours: what it has yet to read refutes what would seem to be due.
    tell(event("refuted", "ORDER_PLACED", now - 30 * HOUR_MS));
    tell(event("refuted", "PROCESSING_STARTED", now - 29 * HOUR_MS));
    // A clock that is wrong stops nothing.
    tell(event("wrong", "ORDER_PLACED", 4_070_908_800_000));
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
    tell(event("due", "ORDER_PLACED", due_at - 24 * HOUR_MS));
    tell(event("kept", "ORDER_PLACED", due_at - 24 * HOUR_MS));
    wait_until("the orders are there", &|| rows("SELECT count(*) FROM orders") == 3);
    tell(event("kept", "PROCESSING_STARTED", due_at - 3_000));
    job.wait_until_it_prints("order due not processed");
    let told_at = wall_clock_ms();
    assert!(told_at >= due_at, "it was told {} ms too early", due_at - told_at);
    // A machine may be busy; how soon it is as a rule is measured elsewhere.
    assert!(told_at < due_at + 15_000, "it was told {} ms late", told_at - due_at);
    wait_until("the breach is in its table", &|| rows("SELECT count(*) FROM sla_breaches WHERE order_id = 'due'") == 1);
    assert_eq!(rows("SELECT count(*) FROM sla_breaches"), 1);
    // A fact that comes late takes it back.
    tell(event("due", "PROCESSING_STARTED", due_at - 1));
    wait_until("the breach is withdrawn", &|| rows("SELECT count(*) FROM sla_breaches") == 0);
    assert_eq!(rows("SELECT count(*) FROM orders WHERE order_id = 'due' AND status = 'PROCESSING'"), 1);
}

//! A job that cannot reach its broker for a while: what it has not read may refute what is due, so it tells no breach.

use std::time::Duration;

use dataflows::time::{HOUR_MS, Time};
use orderwatch::clock::wall_clock_ms;

use crate::broker::*;
use crate::network::{Network, is_inside};
use crate::run::{orderwatch, start};

/// A broker that said a moment ago that there was no more is believed for a second.
const BELIEVED_MS: Time = 1_000;

#[test]
fn what_was_due_while_the_broker_was_unreachable_is_told_once_all_is_read() {
    let name = "unreachable::what_was_due_while_the_broker_was_unreachable_is_told_once_all_is_read";
    if broker().is_none() || !is_inside(name) {
        return;
    }
    let network = Network::new(1);
    let Some(own) = OwnBroker::start() else { return };
    let topic = create_topic(&own.brokers, "unreachable", 1);
    let producer = producer(&own.brokers, None);
    let tell = |order: &str, kind: &str, at: Time| {
        send(&producer, &topic, 0, order_event(order, kind, at).as_bytes());
        flush(&producer);
    };
    let mut command = orderwatch();
    command.args(["run", "--kafka", &own.brokers, "--topics", &topic, "--grace", "0s"]);
    command.args(["--checkpoint", "none", "--serve", "none"]);
    let mut job = start(&mut network.at(0, &command));
    tell("known", "ORDER_PLACED", wall_clock_ms() - 25 * HOUR_MS);
    job.wait_until_it_prints("order known not processed");
    // However long it took to begin.
    let due_at = wall_clock_ms() + 16_000;
    tell("kept", "ORDER_PLACED", due_at - 24 * HOUR_MS);
    tell("open", "ORDER_PLACED", due_at + 500 - 24 * HOUR_MS);
    // It has read these when it tells of what came after them.
    tell("last", "ORDER_PLACED", wall_clock_ms() - 25 * HOUR_MS);
    job.wait_until_it_prints("order last not processed");
    network.cut(0);
    tell("kept", "PROCESSING_STARTED", due_at - 5_000);
    assert!(wall_clock_ms() + 2 * BELIEVED_MS < due_at, "this machine was too slow for this test");
    while wall_clock_ms() < due_at + 3_000 {
        std::thread::sleep(Duration::from_millis(50));
    }
    let told = job.printed_so_far();
    assert!(!told.contains("order kept") && !told.contains("order open"), "told too early: {told}");
    network.join(0);
    job.wait_until_it_prints("order open not processed");
    job.terminate();
    let ended = job.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.contains("order kept"), "a false breach: {}", ended.stdout);
}

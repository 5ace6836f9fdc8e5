//! One order with very many events: the time it takes grows with their number, not with its square.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use super::compare::files;
use super::run::{replay, run};

/// So many events, each with an id of its own; where `repeats`, every tenth comes twice and every hundredth has a rival.
fn one_order(events: u64, repeats: bool) -> String {
    let kinds = ["ITEM_SHIPPED", "ORDER_HELD", "ITEM_DELIVERED", "PROCESSING_STARTED", "ORDER_RELEASED"];
    let mut text = r#"{"order_id":"o","event_type":"ORDER_PLACED","timestamp":1709200000000}"#.to_owned() + "\n";
    for number in 0..events {
        let kind = kinds[number as usize % kinds.len()];
        let mut line = |at: u64| {
            writeln!(text, r#"{{"order_id":"o","event_id":"e{number}","event_type":"{kind}","timestamp":{at}}}"#)
                .unwrap();
        };
        let at = 1_709_200_001_000 + number * 20;
        line(at);
        if repeats && number % 10 == 0 {
            line(at);
        }
        if repeats && number % 100 == 0 {
            line(at + 10);
        }
    }
    text
}

#[test]
fn an_order_of_a_hundred_thousand_events_is_replayed_in_seconds() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("crowded"), one_order(100_000, true)).unwrap();
    for arguments in [&["-w", "1"][..], &["-w", "2", "--arrival-order"]] {
        let started = Instant::now();
        let out = tempfile::tempdir().unwrap();
        let mut command = replay(&[&["crowded"], arguments].concat());
        let ended = run(command.current_dir(folder.path()).arg("--out").arg(out.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        // A look at all events for each of them takes minutes.
        assert!(started.elapsed() < Duration::from_secs(40), "{arguments:?}: {:?}", started.elapsed());
        assert!(ended.stdout.contains("111,001 read"), "{}", ended.stdout);
        let files = files(out.path());
        let lines = |name: &str| files[name].iter().filter(|byte| **byte == b'\n').count() - 1;
        // Every event once, and the breaches of its order.
        let breaches = lines("sla_breaches.csv");
        assert_eq!((lines("order_events.csv"), lines("dead_letters.csv")), (100_001 + breaches, 1_000));
    }
}

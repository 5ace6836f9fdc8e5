//! Topics and partitions that come while a job runs: they are found, and read from their beginning, wherever the job
//! began.

use std::time::{Duration, Instant};

use dataflows::time::HOUR_MS;
use orderwatch::clock::wall_clock_ms;

use crate::broker::*;
use crate::fetcher::PATIENCE;
use crate::run::{orderwatch, start};

#[test]
fn topics_and_partitions_that_come_later_are_read_from_their_beginning() {
    let Some(brokers) = broker() else { return };
    let (first, second) = (create_topic(&brokers, "first", 1), unique("second"));
    // An order that should have been processed an hour ago: the job tells of it when it reads it.
    let placed_at = wall_clock_ms() - 25 * HOUR_MS;
    let place = |topic: &str, partition: i32, order: &str| {
        let producer = producer(&brokers, None);
        send(&producer, topic, partition, order_event(order, "ORDER_PLACED", placed_at).as_bytes());
        flush(&producer);
    };
    place(&first, 0, "before");
    let folder = tempfile::tempdir().unwrap();
    let topics = format!("{first},{second}");
    let mut command = orderwatch();
    command.args(["run", "--kafka", &brokers, "--topics", &topics, "--start", "latest", "--grace", "0s"]);
    command.args(["--serve", "none", "--checkpoint"]).arg(folder.path());
    let mut job = start(&mut command);
    job.wait_until_it_says(&format!("there is no topic `{second}`"));
    // Where it begins it tells nobody; a copy changes nothing.
    let started = Instant::now();
    while !job.printed_so_far().contains("order known not processed") {
        assert!(started.elapsed() < PATIENCE, "it reads nothing: {}", job.said_so_far());
        place(&first, 0, "known");
        std::thread::sleep(Duration::from_millis(200));
    }
    create_topic_with(&brokers, &second, 2, &[]);
    add_partitions(&brokers, &first, 3);
    for (topic, partition) in [(&second, 0), (&second, 1), (&first, 1), (&first, 2), (&first, 0)] {
        place(topic, partition, &format!("{topic}-{partition}"));
    }
    for (topic, partition) in [(&second, 0), (&second, 1), (&first, 1), (&first, 2), (&first, 0)] {
        job.wait_until_it_prints(&format!("order {topic}-{partition} not processed"));
    }
    assert!(!job.printed_so_far().contains("order before"), "it began at the end");
    job.terminate();
    let ended = job.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

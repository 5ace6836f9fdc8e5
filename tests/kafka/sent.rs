//! Sending while brokers die and people lose patience: what is in topics is what was said to be there.

use std::process::Command;
use std::time::Duration;

use orderwatch::source::kafka::partitions;
use serde_json::Value;

use crate::broker::*;
use crate::inputs::sample;
use crate::round_trip::{Shop, assert_same, files};
use crate::run::{replay, start};

/// Starts to send the sample, at such a speed that it takes some seconds.
fn begin(shop: &Shop, speed: &str) -> crate::run::Running {
    let sample = sample();
    let arguments = [sample.to_str().unwrap(), "--produce", &shop.brokers, "--output", "json", "--speed", speed];
    start(replay(&arguments).env("ORDERWATCH__KAFKA__TOPICS", &shop.topics))
}

/// Records in all topics of a shop: there are no gaps and no markers.
fn records(shop: &Shop) -> u64 {
    let topics: Vec<&str> = shop.topics.split(',').collect();
    let found = partitions(&settings(&shop.brokers, &topics), Duration::from_secs(20)).unwrap();
    found.iter().map(|found| found.end - found.earliest).sum()
}

#[test]
fn a_broker_that_dies_meanwhile_gets_every_record_once() {
    let Some(own) = OwnBroker::start() else { return };
    let shop = Shop::create(&own.brokers);
    let sending = begin(&shop, "10000000");
    std::thread::sleep(Duration::from_secs(2));
    own.kill();
    std::thread::sleep(Duration::from_secs(2));
    own.restart();
    let ended = sending.wait();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(said["records"].as_u64(), Some(records(&shop)));
    let expected = files(sample().to_str().unwrap(), &[]).0;
    assert_same(&expected, &files(&shop.address(), &["-w", "2"]).0, "after a crash");
}

#[test]
fn an_interruption_leaves_what_it_says() {
    let Some(brokers) = broker() else { return };
    let shop = Shop::create(&brokers);
    let mut sending = begin(&shop, "1000000");
    sending.wait_until_it_listens();
    std::thread::sleep(Duration::from_secs(3));
    assert!(Command::new("kill").args(["-INT", &sending.child.id().to_string()]).status().unwrap().success());
    let ended = sending.wait();
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    let said: Value = serde_json::from_str(&ended.stdout).unwrap();
    let sent = said["records"].as_u64().unwrap();
    assert!(sent == records(&shop) && sent < 10_000, "{said}");
}

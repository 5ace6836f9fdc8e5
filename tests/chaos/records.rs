//! What a round is made of: order events with every fault there is, which come while the job runs.

use std::thread::JoinHandle;
use std::time::Duration;

use dataflows::model::Money;
use dataflows::time::{DAY_MS, HOUR_MS, Time};
use orderwatch::clock::wall_clock_ms;
use orderwatch::instant::format_instant;
use orderwatch::validate::Limits;

use crate::broker::{flush, producer, send};
use crate::run::{orderwatch, run};
use crate::shop::Shop;

const ORDERS: &str = "300";
const CHUNKS: usize = 30;
const CHUNK_EVERY: Duration = Duration::from_millis(130);
const PARTITIONS: [i32; 3] = [1, 3, 6];

pub struct Records {
    lines: Vec<Vec<u8>>,
    /// When the last of them are placed, which are there so that all others count before them, however late they come, and
    /// every promise is kept or broken by then.
    pub closing: Time,
}

impl Records {
    pub fn generate(shop: &Shop, seed: u64) -> Records {
        let path = shop.folder.path().join("events.jsonl");
        let (seed, to) = (seed.to_string(), path.display().to_string());
        let mut command = orderwatch();
        command.args(["generate", "orders", "--count", ORDERS, "--seed", &seed, "--to", &to, "--no-console"]);
        command.args([
            "--late",
            "5%",
            "--duplicates",
            "2%",
            "--invalid",
            "1%",
            "--disorder",
            "10m",
            "--time-scale",
            "400",
        ]);
        let ended = run(&mut command);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let text = std::fs::read(&path).unwrap();
        let lines: Vec<Vec<u8>> =
            text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
        let limits = Limits { now_ms: wall_clock_ms(), max_future_skew_ms: 0, max_price: Money(i128::MAX / 2) };
        let times = lines.iter().filter_map(|line| orderwatch::decode::decode_line(line, &limits).ok());
        Records { closing: times.map(|facts| facts.at()).max().unwrap() + 8 * DAY_MS, lines }
    }

    /// Sends them, a chunk at a time. What is about one order goes into one partition of a topic.
    pub fn produce(&self, shop: &Shop) -> JoinHandle<()> {
        let (lines, brokers, closing) = (self.lines.clone(), shop.brokers.clone(), self.closing);
        let topics: Vec<String> = shop.topics.split(',').map(str::to_owned).collect();
        std::thread::spawn(move || {
            let producer = producer(&brokers, None);
            for chunk in lines.chunks(lines.len().div_ceil(CHUNKS)) {
                for line in chunk {
                    let value: serde_json::Value = serde_json::from_slice(line).unwrap_or_default();
                    let hash = value["order_id"].as_str().unwrap_or("").bytes().map(i32::from).sum::<i32>();
                    let place = match value["event_type"].as_str() {
                        Some("PAYMENT_RECEIVED") => 2,
                        Some(kind) if kind.contains("SHIP") || kind.contains("DELIVER") => 1,
                        _ => 0,
                    };
                    send(&producer, &topics[place], hash % PARTITIONS[place], line);
                }
                std::thread::sleep(CHUNK_EVERY);
            }
            // What had to be sent again would come after the last ones.
            flush(&producer);
            close(&brokers, &topics, closing);
        })
    }

    /// Moves time on by an hour: whatever came late by then, in a partition that for a second was taken to be caught up, is
    /// in the tables afterwards. Until when that is.
    pub fn close_again(&self, shop: &Shop) -> Time {
        let topics: Vec<String> = shop.topics.split(',').map(str::to_owned).collect();
        let at = self.closing + HOUR_MS;
        close(&shop.brokers, &topics, at);
        at
    }
}

/// Sends an order into every partition.
fn close(brokers: &str, topics: &[String], at: Time) {
    let (producer, timestamp) = (producer(brokers, None), format_instant(at));
    for (topic, partitions) in topics.iter().zip(PARTITIONS) {
        for number in 0..partitions {
            let id = format!("{topic}-{number}-{at}");
            let line = format!(
                r#"{{"order_id":"{id}","event_type":"ORDER_PLACED","timestamp":"{timestamp}","event_id":"{id}"}}"#
            );
            send(&producer, topic, number, line.as_bytes());
        }
    }
    flush(&producer);
}

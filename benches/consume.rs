//! The bare consumer: how fast this machine reads and decodes topics when nothing is done with what they say.
//!
//! `cargo bench --bench consume -- BROKERS TOPICS THREADS` reads every partition of the topics (separated by commas) from
//! its beginning to where it ends now, decodes each record as the live job does, and says records a second. Partitions are
//! dealt out to threads. It is what catching up is held against (`scripts/bench-live`).

use std::error::Error;
use std::time::{Duration, Instant};

use dataflows::model::Money;
use orderwatch::clock::wall_clock_ms;
use orderwatch::decode::topic;
use orderwatch::source::kafka::{Fetcher, KafkaSettings, PartitionInfo, partitions};
use orderwatch::validate::Limits;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [brokers, topics, threads] = arguments.as_slice() else {
        return Err("usage: consume BROKERS TOPIC,TOPIC THREADS".into());
    };
    let topics = topics.split(',').map(str::to_owned).collect();
    let client = [("group.id".to_owned(), "consume".to_owned())].into();
    let settings = KafkaSettings { brokers: brokers.clone(), topics, client, ..KafkaSettings::default() };
    let threads: usize = threads.parse()?;
    let found = partitions(&settings, Duration::from_secs(10)).map_err(|error| error.to_string())?;
    let mut shares: Vec<Vec<PartitionInfo>> = vec![Vec::new(); threads.max(1)];
    found.into_iter().enumerate().for_each(|(number, partition)| shares[number % threads.max(1)].push(partition));
    let started = Instant::now();
    let mut counts = [0; 2];
    std::thread::scope(|scope| -> Result<(), Box<dyn Error>> {
        let read = |share: &Vec<PartitionInfo>| consume(&settings, share).map_err(|error| error.to_string());
        let readers: Vec<_> = shares.iter().map(|share| scope.spawn(move || read(share))).collect();
        for reader in readers {
            let [records, broken] = reader.join().map_err(|_| "a thread failed")??;
            counts = [counts[0] + records, counts[1] + broken];
        }
        Ok(())
    })?;
    let (seconds, [records, broken]) = (started.elapsed().as_secs_f64(), counts);
    println!("{records} records, {broken} broken, {seconds:.2} s, {:.0} records/s", records as f64 / seconds);
    Ok(())
}

/// Records of these partitions, and those of them that are broken.
fn consume(settings: &KafkaSettings, share: &[PartitionInfo]) -> Result<[u64; 2], Box<dyn Error>> {
    let mut fetcher = Fetcher::start(settings).map_err(|error| error.to_string())?;
    share.iter().for_each(|known| fetcher.read(known.partition.clone(), known.earliest));
    let limits = Limits { now_ms: wall_clock_ms(), max_future_skew_ms: 300_000, max_price: Money(100_000_000) };
    let [mut records, mut broken] = [0, 0];
    let is_at_end = |fetcher: &Fetcher, known: &PartitionInfo| {
        known.end <= known.earliest || fetcher.position(&known.partition).is_some_and(|position| position >= known.end)
    };
    while !share.iter().all(|known| is_at_end(&fetcher, known)) {
        let Some(fetched) = fetcher.poll().map_err(|error| error.to_string())? else {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        };
        for value in fetched.records.iter().filter_map(|record| record.value.as_deref()) {
            records += 1;
            match topic::record(value, &limits) {
                Ok(facts) => drop(std::hint::black_box(facts.latest())),
                Err(_) => broken += 1,
            }
        }
    }
    Ok([records, broken])
}

//! Discovery: which partitions there are to be read, asked for again and again by a thread of its own.
//!
//! Invariant: a partition is known with one place to begin it. Those found first by a job that has read nothing yet begin
//! where it was told to; those that come later, with a topic that was made meanwhile or a partition added to one, begin at
//! their beginning.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::reading::PARTITIONS_MAX;
use crate::cli::LiveStart;
use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::source::kafka::{PartitionInfo, offsets_at, partitions};

/// How often it is asked, and how soon again where nobody answered.
const ASK_EVERY: Duration = Duration::from_secs(5);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where a partition may begin, by offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Where the job was told to begin, of one that was found first.
    pub chosen: u64,
    /// Its first record that is there.
    pub earliest: u64,
}

/// Partitions that are known, each with where to begin it.
pub type Known = Arc<Mutex<BTreeMap<Partition, Start>>>;

/// Starts the thread; `discovered` is true once it has had an answer.
pub fn start(settings: KafkaSettings, start: LiveStart, known: Known, discovered: Arc<AtomicBool>) -> JobResult<()> {
    let work = move || {
        let mut start = start;
        loop {
            match find(&settings, start, &known) {
                Ok(()) => {
                    start = LiveStart::Earliest;
                    discovered.store(true, Ordering::Release);
                    std::thread::sleep(ASK_EVERY);
                }
                Err(error) => {
                    tracing::warn!("partitions cannot be looked up, which is tried again: {error}");
                    std::thread::sleep(ASK_AGAIN_AFTER);
                }
            }
        }
    };
    let spawned = std::thread::Builder::new().name("discovery".to_owned()).spawn(work);
    spawned.map(drop).map_err(|error| JobError::job(format!("cannot start a thread: {error}")))
}

fn find(settings: &KafkaSettings, start: LiveStart, known: &Known) -> JobResult<()> {
    let found: Vec<PartitionInfo> = partitions(settings, ANSWER_WITHIN)?;
    let at_time = match start {
        LiveStart::At(time) => {
            let names: Vec<Partition> = found.iter().map(|info| info.partition.clone()).collect();
            offsets_at(settings, &names, time, ANSWER_WITHIN)?
        }
        LiveStart::Earliest | LiveStart::Latest => BTreeMap::new(),
    };
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(PartitionInfo { partition, .. }) = found.iter().find(|info| info.partition.number >= PARTITIONS_MAX) {
        let what = format!("topic `{}` has more than {PARTITIONS_MAX} partitions", partition.topic);
        return Err(JobError::job(what).remedy("a job reads so many of a topic: produce to a topic with fewer"));
    }
    for info in found {
        let chosen = match start {
            LiveStart::Earliest => info.earliest,
            LiveStart::Latest => info.end,
            LiveStart::At(_) => at_time.get(&info.partition).copied().unwrap_or(info.end),
        };
        known.entry(info.partition).or_insert(Start { chosen, earliest: info.earliest });
    }
    Ok(())
}

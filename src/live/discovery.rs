//! Discovery: which partitions there are to be read, asked for again and again by a thread of its own.
//!
//! Invariant: a partition is known with one place to begin it. Those found first by a job that has read nothing yet begin
//! where it was told to; those that come later, with a topic that was made meanwhile or a partition added to one, begin at
//! their beginning. Where that is the store keeps from the first start on: `latest` is another place at each, and as long
//! as nothing was committed the job would pass over what came in between. All processes go by it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::reading::PARTITIONS_MAX;
use crate::checkpoint::{Store, StoreError};
use crate::cli::LiveStart;
use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::source::kafka::{PartitionInfo, offsets_at, partitions};
use crate::store::Objects;

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

/// Where it is kept where a job began that has read nothing yet: the store, and the job's name there.
pub type Kept = Option<(String, String)>;

/// Starts the thread; `discovered` is true once it has had an answer.
pub fn start(
    settings: KafkaSettings,
    start: LiveStart,
    kept: Kept,
    known: Known,
    discovered: Arc<AtomicBool>,
) -> JobResult<()> {
    let work = move || {
        let (mut start, mut kept) = (start, kept);
        loop {
            match find(&settings, start, &kept, &known) {
                Ok(()) => {
                    (start, kept) = (LiveStart::Earliest, None);
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

fn find(settings: &KafkaSettings, start: LiveStart, kept: &Kept, known: &Known) -> JobResult<()> {
    let found: Vec<PartitionInfo> = partitions(settings, ANSWER_WITHIN)?;
    let at_time = match start {
        LiveStart::At(time) => {
            let names: Vec<Partition> = found.iter().map(|info| info.partition.clone()).collect();
            offsets_at(settings, &names, time, ANSWER_WITHIN)?
        }
        LiveStart::Earliest | LiveStart::Latest | LiveStart::Checkpoint => BTreeMap::new(),
    };
    if let Some(PartitionInfo { partition, .. }) = found.iter().find(|info| info.partition.number >= PARTITIONS_MAX) {
        let what = format!("topic `{}` has more than {PARTITIONS_MAX} partitions", partition.topic);
        return Err(JobError::job(what).remedy("a job reads so many of a topic: produce to a topic with fewer"));
    }
    let start_of = |info: PartitionInfo| {
        let chosen = match start {
            LiveStart::Earliest | LiveStart::Checkpoint => info.earliest,
            LiveStart::Latest => info.end,
            LiveStart::At(_) => at_time.get(&info.partition).copied().unwrap_or(info.end),
        };
        (info.partition, Start { chosen, earliest: info.earliest })
    };
    let mut starts: BTreeMap<Partition, Start> = found.into_iter().map(start_of).collect();
    if let Some((store, job)) = kept {
        starts = agree(&mut Objects::open(store)?, job, starts).map_err(|error| {
            let error = JobError::job(format!("cannot tell where reading begins: {error}"));
            error.at(store.clone()).remedy("see to the store; `orderwatch checkpoint reset` begins anew")
        })?;
    }
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    for (partition, start) in starts {
        known.entry(partition).or_insert(start);
    }
    Ok(())
}

/// The partitions with where whoever came first chose to begin them; those that he did not know at their beginning.
fn agree(
    store: &mut impl Store,
    job: &str,
    found: BTreeMap<Partition, Start>,
) -> Result<BTreeMap<Partition, Start>, StoreError> {
    let name = format!("{job}/beginning.json");
    let damaged = |error: serde_json::Error| StoreError(format!("{name} is damaged: {error}"));
    let chosen: Vec<(&Partition, u64)> = found.iter().map(|(partition, start)| (partition, start.chosen)).collect();
    if store.create(&name, &serde_json::to_vec(&chosen).map_err(damaged)?)? {
        return Ok(found);
    }
    let chosen: Vec<(Partition, u64)> =
        serde_json::from_slice(&store.get(&name)?.unwrap_or_default()).map_err(damaged)?;
    let at_beginning = |Start { earliest, .. }| Start { chosen: earliest, earliest };
    let mut agreed: BTreeMap<Partition, Start> =
        found.into_iter().map(|(partition, start)| (partition, at_beginning(start))).collect();
    for (partition, chosen) in chosen {
        // A broker that has just started may not know it yet.
        agreed.entry(partition).or_insert(Start { chosen, earliest: chosen }).chosen = chosen;
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_has_read_nothing_begins_where_its_first_start_chose() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Objects::open(&folder.path().display().to_string()).unwrap();
        let mut agreed = |found: &[(i32, u64, u64)]| -> Vec<(i32, u64, u64)> {
            let start = |(number, chosen, earliest): &(i32, u64, u64)| {
                let partition = Partition { topic: "orders".to_owned(), number: *number };
                (partition, Start { chosen: *chosen, earliest: *earliest })
            };
            let agreed = agree(&mut store, "job", found.iter().map(start).collect()).unwrap();
            agreed.into_iter().map(|(partition, start)| (partition.number, start.chosen, start.earliest)).collect()
        };
        // Its end, of which nothing is ever committed.
        let first = [(0, 70, 0), (1, 80, 5)];
        assert_eq!(agreed(&first), first);
        // An hour later ends are elsewhere, one was added, and one is not known to the broker.
        assert_eq!(agreed(&[(0, 90, 0), (2, 30, 2)]), [(0, 70, 0), (1, 80, 80), (2, 2, 2)]);
        assert_eq!(agreed(&[(0, 95, 60), (1, 99, 50)]), [(0, 70, 60), (1, 80, 50)], "no start changes it");
        crate::checkpoint::forget(&mut store, "job").unwrap();
        let only = Partition { topic: "orders".to_owned(), number: 0 };
        let found: BTreeMap<Partition, Start> = [(only, Start { chosen: 99, earliest: 60 })].into();
        assert_eq!(agree(&mut store, "job", found.clone()), Ok(found), "a job that begins anew");
    }
}

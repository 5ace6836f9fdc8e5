//! Topics as a bounded input of a replay: each partition from where it begins, or from a time on, up to the end that it
//! has when the replay starts. Nothing is promised before all has been read: whoever wants the order of time sorts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataflows::model::Position;
use dataflows::orders::parcel::order_key;
use dataflows::time::Time;

use super::{Fetched, Fetcher, offsets_at, partitions};
use crate::cli::Start;
use crate::clock::Watermark;
use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::kafka::{ANSWER_TIMEOUT, KafkaSettings};
use crate::source::intake::{Decoded, Intake};
use crate::source::{Polled, Source};

/// How long nothing is done where nothing has come.
const NAP: Duration = Duration::from_millis(1);

/// A stretch of a partition.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    pub(super) partition: Partition,
    file: u32,
    pub(super) from: u64,
    pub(super) end: u64,
}

/// Topics, opened.
pub struct Topics {
    pub(super) settings: KafkaSettings,
    pub(super) stretches: Vec<Stretch>,
}

impl Topics {
    /// Looks up what there is. `first_file` is the number of the first partition among the files of all inputs.
    pub fn open(settings: KafkaSettings, start: Start, first_file: u32) -> JobResult<Topics> {
        settings.check_named()?;
        let found = partitions(&settings, ANSWER_TIMEOUT)?;
        let is_there = |topic: &String| found.iter().any(|found| found.partition.topic == *topic);
        if let Some(missing) = settings.topics.iter().find(|topic| !is_there(topic)) {
            let error = JobError::job(format!("there is no topic `{missing}`"));
            let remedy = "check the name: `orderwatch topics list` shows what there is";
            return Err(error.at(format!("Kafka at {}", settings.brokers)).remedy(remedy));
        }
        let begun = match start {
            Start::Earliest => BTreeMap::new(),
            Start::At(at) => {
                let partitions: Vec<Partition> = found.iter().map(|found| found.partition.clone()).collect();
                offsets_at(&settings, &partitions, at, ANSWER_TIMEOUT)?
            }
        };
        let stretches = found.into_iter().zip(first_file..).map(|(found, file)| {
            let from = begun.get(&found.partition).copied().unwrap_or(found.earliest);
            Stretch { partition: found.partition, file, from, end: found.end }
        });
        Ok(Topics { stretches: stretches.collect(), settings })
    }

    /// The partitions, in the order of their numbers among files.
    pub fn partitions(&self) -> impl Iterator<Item = &Partition> {
        self.stretches.iter().map(|stretch| &stretch.partition)
    }
}

/// A worker's share of topics.
pub struct TopicsReader {
    topics: Arc<Topics>,
    fetcher: Option<Fetcher>,
    unread: BTreeMap<Partition, Unread>,
    done: bool,
}

/// A stretch that has not been read to its end.
struct Unread {
    stretch: Stretch,
    watermark: Option<Watermark>,
}

impl TopicsReader {
    /// Reads every partition whose number, counted over all topics, is `worker` modulo `workers`; with a watermark in the
    /// order of offsets.
    pub fn new(topics: Arc<Topics>, worker: usize, workers: usize, watermark: Option<Watermark>) -> TopicsReader {
        let mine = topics.stretches.iter().enumerate().filter(|(number, _)| number % workers == worker);
        let unread = mine
            .filter(|(_, stretch)| stretch.from < stretch.end)
            .map(|(_, stretch)| (stretch.partition.clone(), Unread { stretch: stretch.clone(), watermark }))
            .collect();
        TopicsReader { topics, fetcher: None, unread, done: false }
    }

    fn start(&self) -> JobResult<Fetcher> {
        let mut fetcher = Fetcher::start(&self.topics.settings)?;
        self.unread.iter().for_each(|(partition, unread)| fetcher.read(partition.clone(), unread.stretch.from));
        Ok(fetcher)
    }
}

impl Unread {
    fn take(&mut self, fetched: Fetched, intake: &mut Intake) {
        for record in fetched.records {
            // A tombstone says that there is nothing.
            let Some(value) = record.value.filter(|_| record.offset < self.stretch.end) else { continue };
            let position = Position::new(self.stretch.file, record.offset);
            match record.form.record(&value, &intake.limits) {
                Ok(facts) => {
                    let watermark = self.watermark.as_ref().map_or(0, Watermark::time);
                    let key = order_key(facts.order());
                    let decoded = Decoded { key, position, record_at: facts.at(), watermark };
                    intake.count_decoded(decoded);
                    facts.iter().for_each(|fact| intake.fact(fact, decoded));
                    if let Some(watermark) = &mut self.watermark {
                        watermark.observe(facts.latest());
                    }
                }
                Err(broken) => intake.refuse(position, &broken, &value),
            }
        }
    }
}

impl Source for TopicsReader {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        let mut fetcher = match self.fetcher.take() {
            Some(fetcher) => fetcher,
            None => self.start()?,
        };
        match fetcher.poll()? {
            Some(fetched) => {
                if let Some(unread) = self.unread.get_mut(&fetched.partition) {
                    unread.take(fetched, intake);
                }
            }
            None if self.unread.is_empty() => {}
            None => std::thread::sleep(NAP),
        }
        self.unread.retain(|partition, unread| {
            let is_read = fetcher.position(partition).is_some_and(|position| position >= unread.stretch.end);
            if is_read {
                fetcher.pause(partition);
            }
            !is_read
        });
        self.fetcher = Some(fetcher);
        self.done |= self.unread.is_empty();
        Ok(if self.done { Polled::Done } else { Polled::Read })
    }

    fn promise(&self) -> Time {
        if self.done {
            return Time::MAX;
        }
        let watermarks = self.unread.values().map(|unread| unread.watermark.as_ref().map_or(0, Watermark::time));
        watermarks.min().unwrap_or(0)
    }

    fn stop(&mut self) {
        self.done = true;
    }
}

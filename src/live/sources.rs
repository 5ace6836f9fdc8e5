//! What a live job reads: a directory, a generator, topics of a broker; as one log.
//!
//! Invariant: all processes name the same topics in the same order. A directory is first, so the first worker of all reads
//! it, in the process that has its journal.

use std::slice::from_ref;
use std::sync::Arc;

use dataflows::time::Time;

use super::discovery::Start;
use super::reading::Topics;
use crate::cli::{DECIMAL_UNIT, RunOptions};
use crate::clock::partitions::Partition;
use crate::config::JobConfig;
use crate::error::{JobError, JobResult};
use crate::kafka::KafkaSettings;
use crate::source::generated::{Generated, start_of};
use crate::source::joined::Joined;
use crate::source::kafka::Fetcher;
use crate::source::log::Log;
use crate::source::watch::journal::{Journal, SharedFiles};
use crate::source::watch::{Watch, Watched, topic_of};

/// What a job reads; each but the broker is one topic of one partition.
#[derive(Clone)]
pub struct Sources {
    /// Watched by the first process alone; the others know the topic.
    directory: Option<(String, Option<Arc<Watched>>)>,
    /// With its rate and since when it is.
    generator: Option<(String, u64, Time)>,
    /// None where no broker is named.
    broker: Option<KafkaSettings>,
}

impl Sources {
    /// What the options and the configuration name.
    pub fn of(config: &JobConfig, options: &RunOptions) -> JobResult<Sources> {
        let mut sources = Sources { directory: None, generator: None, broker: None };
        let store = config.outputs.store.as_deref();
        if let Some(directory) = &options.watch {
            let topic = topic_of(directory);
            let is_first = config.cluster.process == 0;
            if is_first && !directory.is_dir() {
                return Err(JobError::configuration("there is no directory to watch")
                    .at(directory.display().to_string())
                    .remedy("make it, or name another one with --watch"));
            }
            let watch = |journal| Arc::new(Watched::new(directory.clone(), config.max_files_per_tick, journal));
            let journal = is_first.then(|| Journal::open(store, &config.name, &topic)).transpose()?;
            sources.directory = Some((topic, journal.map(watch)));
        }
        if let Some(rate) = options.generate {
            let topic = format!("generate {}/s", rate as f64 / DECIMAL_UNIT as f64);
            sources.generator = Some((topic, rate, start_of(store, &config.name, rate)?));
        }
        sources.broker = Some(config.kafka.clone()).filter(|kafka| !kafka.brokers.is_empty());
        if sources.broker.is_none() && sources.own().next().is_none() {
            return Err(JobError::configuration("nothing to read is named")
                .at("flags --kafka, --watch, --generate")
                .remedy("give one of them, or set brokers in the section [kafka] of the configuration file"));
        }
        Ok(sources)
    }

    /// The topics that are no broker's.
    fn own(&self) -> impl Iterator<Item = &String> {
        let directory = self.directory.iter().map(|(topic, _)| topic);
        directory.chain(self.generator.iter().map(|(topic, ..)| topic))
    }

    /// All topics.
    pub fn topics(&self) -> Topics {
        let of_broker = self.broker.iter().flat_map(|kafka| &kafka.topics);
        Topics(self.own().chain(of_broker).cloned().collect())
    }

    /// The partitions that nobody has to be asked for, each with its beginning.
    pub fn partitions(&self) -> impl Iterator<Item = (Partition, Start)> {
        self.own().map(|topic| (Partition { topic: topic.clone(), number: 0 }, Start::default()))
    }

    /// The files of the directory, where this process watches it.
    pub fn files(&self) -> Option<SharedFiles> {
        self.directory.as_ref()?.1.as_ref().map(|watched| watched.files())
    }

    /// Where topics are that have to be asked for.
    pub fn broker(&self) -> Option<&KafkaSettings> {
        self.broker.as_ref()
    }

    /// Opens all of it for a worker.
    pub fn open(&self) -> JobResult<Box<dyn Log>> {
        let mut joined = Joined::default();
        if let Some((topic, Some(watched))) = &self.directory {
            joined.add(from_ref(topic), Box::new(Watch::new(watched)));
        }
        if let Some((topic, rate, start)) = &self.generator {
            joined.add(from_ref(topic), Box::new(Generated::new(*rate, *start)));
        }
        if let Some(kafka) = &self.broker {
            joined.add(&kafka.topics, Box::new(Fetcher::start(kafka)?));
        }
        Ok(Box::new(joined))
    }
}

//! What a live job would find: brokers and topics, a schema registry, a directory, its sinks, a checkpoint to go on from.
//!
//! Invariant: nothing is waited for for longer than an answer takes, whatever the job itself would wait for. Limits: whether
//! brokers let the job write is seen when it starts.

use std::path::Path;

use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::{Finding, State, of_output};
use crate::checkpoint::listing;
use crate::cli::{Check, DECIMAL_UNIT};
use crate::clock::partitions::Partition;
use crate::config::JobConfig;
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::kafka::{ANSWER_TIMEOUT, KafkaSettings, metadata, offsets_of, partitions_of};
use crate::registry::{Registry, RegistryAddress};
use crate::sink::postgres::{Postgres, PostgresSettings};
use crate::sink::sqlite::live::LiveSqlite;

/// Looks at what a live job reads, where it writes, and from where it would go on.
pub(super) fn look(config: &JobConfig, arguments: &Check, findings: &mut Vec<Finding>) {
    let JobConfig { name, kafka, outputs, .. } = config;
    if !kafka.brokers.is_empty() || arguments.watch.is_none() && arguments.generate.is_none() {
        let target = format!("--kafka {}", kafka.brokers);
        let found = of_topics(kafka).unwrap_or_else(|error| vec![Finding::failed("input", target.trim_end(), &error)]);
        findings.extend(found);
    }
    findings.extend(kafka.registry.iter().map(of_registry));
    findings.extend(arguments.watch.iter().map(|directory| of_directory(directory)));
    if let Some(rate) = arguments.generate {
        let target = format!("--generate {}", rate as f64 / DECIMAL_UNIT as f64);
        findings.push(Finding::ok("input", target, "is made up as time passes"));
    }
    if let Some(url) = &outputs.postgres {
        let settings = PostgresSettings { url: url.clone(), job: name.clone() };
        findings.push(of_output(format!("--postgres {url:?}"), Postgres::probe(&settings)));
    }
    if let Some(path) = &outputs.sqlite {
        findings.push(of_output(format!("--sqlite {}", path.display()), LiveSqlite::probe(path, name)));
    }
    findings.extend(outputs.kafka.iter().map(|brokers| of_brokers(brokers, kafka)));
    if let Some(store) = &outputs.store {
        let found = |detail: String| Finding::ok("checkpoint", name, detail);
        findings.push(match listing::newest(store, name) {
            Ok(Some(frontier)) => found(format!("the newest one is as of {}", format_instant(frontier))),
            Ok(None) => found("there is none, so the job begins anew".into()),
            Err(error) => Finding::failed("checkpoint", name, &error),
        });
    }
}

/// Every topic that is read; an error where brokers give no answer.
fn of_topics(kafka: &KafkaSettings) -> JobResult<Vec<Finding>> {
    kafka.check_named()?;
    let client = kafka.inquirer()?;
    let cannot = |error: KafkaError| kafka.unanswered("look up the topics", &error, &client);
    let of_topic = |topic: &String| -> JobResult<Finding> {
        let target = format!("topic {topic}");
        let Some(numbers) = partitions_of(&client, topic, ANSWER_TIMEOUT).map_err(cannot)? else {
            let create = format!("create it: orderwatch topics create --kafka {} --topics {topic}", kafka.brokers);
            let missing = Finding::ok("input", target, "there is no such topic: it is read once it is there");
            return Ok(missing.or(State::Warning, create));
        };
        let partition = |number| Partition { topic: topic.clone(), number };
        let partitions: Vec<Partition> = numbers.into_iter().map(partition).collect();
        let added = |place| -> JobResult<u64> {
            let offsets = offsets_of(&client, &partitions, place, ANSWER_TIMEOUT).map_err(cannot)?;
            Ok(offsets.values().sum())
        };
        let records = added(Offset::End)?.saturating_sub(added(Offset::Beginning)?);
        Ok(Finding::ok("input", target, format!("{} partitions, {records} records", partitions.len())))
    };
    kafka.topics.iter().map(of_topic).collect()
}

fn of_registry(address: &RegistryAddress) -> Finding {
    let target = format!("schema registry at {address:?}");
    // Whether it has one of this id is all the same.
    match Registry::new(address).ask(|registry| registry.schema(1), || false) {
        Ok(_) => Finding::ok("input", target, "it answers"),
        Err(error) => Finding::failed("input", target, &error),
    }
}

fn of_directory(directory: &Path) -> Finding {
    let target = format!("--watch {}", directory.display());
    match directory.read_dir() {
        Ok(_) => Finding::ok("input", target, "can be read"),
        Err(error) => {
            let error = JobError::io("watch the directory", directory, &error);
            Finding::failed("input", target, &error.remedy("make it, or name another one with --watch"))
        }
    }
}

/// Brokers that changelogs would be kept at.
fn of_brokers(brokers: &str, kafka: &KafkaSettings) -> Finding {
    let settings = KafkaSettings { brokers: brokers.to_owned(), ..kafka.clone() };
    let answered = settings.inquirer().and_then(|client| {
        let answered = metadata(&client, None, ANSWER_TIMEOUT);
        answered.map(drop).map_err(|error| settings.unanswered("list the topics", &error, &client))
    });
    match answered {
        Ok(()) => Finding::ok("output", format!("--to-kafka {brokers}"), "it answers"),
        Err(error) => Finding::failed("output", format!("--to-kafka {brokers}"), &error),
    }
}

//! What a live job would find: brokers and topics, a schema registry, a directory, its sinks, a checkpoint to go on from.
//!
//! Invariant: nothing is waited for for longer than an answer takes, whatever the job itself would wait for; nothing is made,
//! nothing claimed. Limits: whether brokers let the job write, and whether checkpoints fit what sinks hold, is seen when it
//! starts.

use std::path::Path;

use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Time};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::{Finding, State, of_output};
use crate::checkpoint::{Checkpoints, StoreError, Unfit};
use crate::cli::{Check, DECIMAL_UNIT};
use crate::clock::partitions::Partition;
use crate::clock::wall_clock_ms;
use crate::config::duration::format_duration;
use crate::config::{JobConfig, Outputs};
use crate::error::{JobError, JobResult};
use crate::instant::format_instant;
use crate::kafka::{ANSWER_TIMEOUT, KafkaSettings, metadata, offsets_of, partitions_of};
use crate::live::job::LiveJob;
use crate::live::sources::Sources;
use crate::registry::{Registry, RegistryAddress};
use crate::sink::postgres::{Postgres, PostgresSettings};
use crate::sink::sqlite::live::LiveSqlite;
use crate::store::{Objects, directory_of};

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
    // Where what it reads cannot be told, as was found above, nobody knows which checkpoints fit.
    if let (Some(store), Ok(fingerprint)) = (&outputs.store, fingerprint(config, arguments)) {
        let found = of_checkpoints(store, name, fingerprint);
        let failed = |error| Finding::failed("checkpoint", name, &config.origins.place(error));
        findings.push(found.unwrap_or_else(failed));
    }
}

/// Stands for what results of the job depend on, as its checkpoints know it.
fn fingerprint(config: &JobConfig, arguments: &Check) -> JobResult<u64> {
    // Without a store nothing is noted of what would be read.
    let outputs = Outputs { store: None, ..config.outputs.clone() };
    let sources = Sources::of(&JobConfig { outputs, ..config.clone() }, &arguments.run_options())?;
    let mode = arguments.clock.unwrap_or_default();
    Ok(LiveJob::new(config, sources.topics(), mode, Box::new(move || sources.open())).fingerprint)
}

/// From where a job would go on: what its start finds, but for what sinks know.
fn of_checkpoints(store: &str, job: &str, fingerprint: u64) -> JobResult<Finding> {
    let found = |detail: String| Finding::ok("checkpoint", job, detail);
    let none = || found("there is none yet, so the job begins where --start says".into());
    // To look must not make it.
    if directory_of(store).is_some_and(|directory| !directory.is_dir()) {
        return Ok(none());
    }
    let failed = |error: StoreError| JobError::job(error.to_string()).at(store.to_owned());
    let (objects, seen) = (Objects::open(store)?, Checkpoints::joined(job, fingerprint, 0));
    let (newest, mut passed_over) = seen.newest(&objects, Time::MAX).map_err(failed)?;
    let frontier = newest.map(|restored| restored.manifest.frontier);
    if frontier.is_some() {
        // Such are left behind in the course of things.
        passed_over.retain(|(_, unfit)| !matches!(unfit, Unfit::Abandoned { .. } | Unfit::Forgotten));
    }
    let whole =
        |frontier| format!("the newest that is whole is as of {}, {} ago", format_instant(frontier), age(frontier));
    let Some((path, unfit)) = passed_over.first() else {
        // `reset` removes what tells that the job ran.
        let ran = seen.left_at(&objects, 0).map_err(failed)?.is_some_and(|left_at| left_at < Time::MAX);
        return Ok(match frontier {
            Some(frontier @ 1..) => found(whole(frontier)),
            None if ran => found("there is none any more, though the job ran before".into())
                .or(State::Warning, "put the store back as it was, or empty the sinks: the job begins anew"),
            _ => none(),
        });
    };
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".json");
    let why = format!("{} cannot be taken up, the newest of them, {name}: {unfit}", passed_over.len());
    Ok(match frontier {
        Some(frontier) => found(format!("{}; {why}", whole(frontier)))
            .or(State::Warning, "what came since is read again; see `orderwatch checkpoint list`"),
        None => {
            let cure = match unfit {
                Unfit::Configuration => "start it with the configuration it had",
                Unfit::Format(_) => "start it with the version that wrote them",
                _ => "put the store back as it was",
            };
            let anew = "or begin anew: `orderwatch checkpoint reset`, and empty the sinks";
            found(why).or(State::Failed, format!("{cure}, {anew}"))
        }
    })
}

/// How long ago that was, in the longest unit of which there are two.
fn age(frontier: Time) -> String {
    let age_ms = wall_clock_ms().saturating_sub(frontier);
    let unit_ms = [DAY_MS, HOUR_MS, MINUTE_MS].into_iter().find(|unit_ms| age_ms >= 2 * unit_ms).unwrap_or(SECOND_MS);
    format_duration(age_ms - age_ms % unit_ms)
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
    Finding::of("input", target, Registry::new(address).ask(|registry| registry.schema(1), || false), "it answers")
}

fn of_directory(directory: &Path) -> Finding {
    let read = directory.read_dir().map_err(|error| {
        let error = JobError::io("watch the directory", directory, &error);
        error.remedy("make it, or name another one with --watch")
    });
    Finding::of("input", format!("--watch {}", directory.display()), read, "can be read")
}

/// Brokers that changelogs would be kept at.
fn of_brokers(brokers: &str, kafka: &KafkaSettings) -> Finding {
    let settings = KafkaSettings { brokers: brokers.to_owned(), ..kafka.clone() };
    let answered = settings.inquirer().and_then(|client| {
        let answered = metadata(&client, None, ANSWER_TIMEOUT);
        answered.map(drop).map_err(|error| settings.unanswered("list the topics", &error, &client))
    });
    Finding::of("output", format!("--to-kafka {brokers}"), answered, "it answers")
}

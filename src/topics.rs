//! `orderwatch topics`: what topics a broker has, and new ones.
//!
//! Invariant: nothing that is there is changed. A topic that exists with as many partitions is what was asked for.

use std::collections::BTreeMap;
use std::io::{self, Write};

use rdkafka::admin::{AdminClient, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::Offset;
use serde::Serialize;

use crate::cli::{CreateTopics, ListTopics, OutputFormat, Retention, Topics};
use crate::clock::partitions::Partition;
use crate::config::duration::format_duration;
use crate::console::{Style, SummaryTable, print, print_table};
use crate::error::{JobError, JobResult};
use crate::kafka::{ANSWER_TIMEOUT, KafkaSettings, Listener, admin_options, metadata, offsets_of, partitions_of, wait};

/// Topics of Kafka itself start with this.
const OF_KAFKA: &str = "__";

/// A topic as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    topic: String,
    partitions: usize,
    /// Offsets from the first to the end, of all partitions: markers of transactions and gaps included.
    #[serde(skip_serializing_if = "Option::is_none")]
    records: Option<u64>,
    /// In milliseconds; none: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compression: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
}

/// Runs `orderwatch topics`; the topics go to standard output.
pub fn run(what: &Topics, settings: &KafkaSettings, style: Style) -> JobResult<()> {
    settings.check_named()?;
    let (shown, output) = match what {
        Topics::List(arguments) => (list(arguments, settings)?, arguments.output),
        Topics::Create(arguments) => (create(arguments, settings)?, arguments.output),
    };
    print("topics", |out| match output {
        OutputFormat::Text => print_table(out, &table(shown), style),
        OutputFormat::Json => {
            serde_json::to_string_pretty(&shown).map_err(io::Error::from).and_then(|json| writeln!(out, "{json}"))
        }
    })
}

fn list(arguments: &ListTopics, settings: &KafkaSettings) -> JobResult<Vec<Shown>> {
    let client = settings.inquirer()?;
    let cannot = |error: KafkaError| settings.unanswered("list the topics", &error, &client);
    let metadata = metadata(&client, None, ANSWER_TIMEOUT).map_err(cannot)?;
    let mut partitions = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|topic| !topic.name().starts_with(OF_KAFKA)) {
        let numbers: Vec<i32> = topic.partitions().iter().map(|partition| partition.id()).collect();
        partitions.insert(topic.name().to_owned(), numbers);
    }
    if arguments.kafka.topics.is_some() {
        if let Some(missing) = settings.topics.iter().find(|topic| !partitions.contains_key(*topic)) {
            let error =
                JobError::job(format!("there is no topic `{missing}`")).at(format!("Kafka at {}", settings.brokers));
            return Err(
                error.remedy("create it with `orderwatch topics create`, or leave --topics out to see what there is")
            );
        }
        partitions.retain(|topic, _| settings.topics.contains(topic));
    }
    let all: Vec<Partition> = partitions
        .iter()
        .flat_map(|(topic, numbers)| numbers.iter().map(|number| Partition { topic: topic.clone(), number: *number }))
        .collect();
    let earliest = offsets_of(&client, &all, Offset::Beginning, ANSWER_TIMEOUT).map_err(cannot)?;
    let ends = offsets_of(&client, &all, Offset::End, ANSWER_TIMEOUT).map_err(cannot)?;
    let admin: AdminClient<Listener> = settings.create(&[], Listener::default())?;
    let resources: Vec<ResourceSpecifier<'_>> =
        partitions.keys().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    // Whoever may not read a topic's configuration may still see that it is there.
    let described = match resources.is_empty() {
        true => Vec::new(),
        false => wait(admin.describe_configs(&resources, &admin_options()))?.unwrap_or_default(),
    };
    let mut configurations = BTreeMap::new();
    for resource in described.into_iter().flatten() {
        let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
        let retention = value("retention.ms").map(|text| text.parse().map_or("unlimited".to_owned(), format_duration));
        if let rdkafka::admin::OwnedResourceSpecifier::Topic(topic) = &resource.specifier {
            configurations.insert(topic.clone(), (retention, value("compression.type")));
        }
    }
    let records = |topic: &str| {
        let of_topic = ends.iter().filter(|(partition, _)| partition.topic == topic);
        of_topic.map(|(partition, end)| end.saturating_sub(earliest.get(partition).copied().unwrap_or(0))).sum()
    };
    let shown = partitions.iter().map(|(topic, numbers)| {
        let (retention, compression) = configurations.remove(topic).unwrap_or_default();
        Shown {
            topic: topic.clone(),
            partitions: numbers.len(),
            records: Some(records(topic)),
            retention,
            compression,
            state: None,
        }
    });
    Ok(shown.collect())
}

fn create(arguments: &CreateTopics, settings: &KafkaSettings) -> JobResult<Vec<Shown>> {
    let partitions = i32::from(arguments.partitions);
    let retention = arguments.retention.map(|retention| match retention {
        Retention::For(milliseconds) => milliseconds.to_string(),
        Retention::Unlimited => "-1".to_owned(),
    });
    let new: Vec<NewTopic<'_>> = settings
        .topics
        .iter()
        .map(|topic| {
            // As many replicas as the broker makes by default.
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
            let new = retention.iter().fold(new, |new, retention| new.set("retention.ms", retention));
            arguments.compression.iter().fold(new, |new, codec| new.set("compression.type", codec))
        })
        .collect();
    let admin: AdminClient<Listener> = settings.create(&[], Listener::default())?;
    let created = wait(admin.create_topics(&new, &admin_options()))?;
    let created = created.map_err(|error| settings.failed("create topics", &error, admin.inner().context()))?;
    let mut shown = Vec::new();
    for topic in created {
        let (topic, state) = match topic {
            Ok(topic) => (topic, "created"),
            Err((topic, RDKafkaErrorCode::TopicAlreadyExists)) => {
                let client = settings.inquirer()?;
                let found = partitions_of(&client, &topic, ANSWER_TIMEOUT)
                    .map_err(|error| settings.unanswered("create topics", &error, &client))?;
                // One that was made a moment ago may not be known everywhere yet.
                let Some(found) = found.map(|found| found.len()) else {
                    let what = format!("the topic `{topic}` exists, but {} does not know it yet", settings.brokers);
                    return Err(JobError::job(what).remedy("try again in a moment"));
                };
                if found != usize::from(arguments.partitions) {
                    let what = format!("the topic `{topic}` exists with {found} partitions, not {partitions}");
                    return Err(JobError::configuration(what).at(format!("Kafka at {}", settings.brokers)).remedy(
                        "take it as it is, give --partitions as many, or name another topic: it is not changed, for the \
                         records of an order would then stand in two partitions",
                    ));
                }
                (topic, "exists")
            }
            Err((topic, code)) => {
                let error = KafkaError::AdminOp(code);
                return Err(settings.failed(&format!("create the topic `{topic}`"), &error, admin.inner().context()));
            }
        };
        let partitions = usize::from(arguments.partitions);
        shown.push(Shown { topic, partitions, records: None, retention: None, compression: None, state: Some(state) });
    }
    Ok(shown)
}

/// Topics as a table, without the columns that none of them fills.
fn table(shown: Vec<Shown>) -> SummaryTable {
    let is_new = shown.iter().any(|topic| topic.state.is_some());
    let header = if is_new {
        vec!["topic", "partitions", "state"]
    } else {
        vec!["topic", "partitions", "records", "retention", "compression"]
    };
    let row = |topic: Shown| {
        let mut cells = vec![topic.topic, topic.partitions.to_string()];
        match topic.state {
            Some(state) => cells.push(state.to_owned()),
            None => {
                cells.push(topic.records.map_or_else(String::new, |records| records.to_string()));
                cells.extend([topic.retention, topic.compression].map(Option::unwrap_or_default));
            }
        }
        cells
    };
    SummaryTable {
        title: "topics".to_owned(),
        header: header.into_iter().map(str::to_owned).collect(),
        rows: shown.into_iter().map(row).collect(),
    }
}

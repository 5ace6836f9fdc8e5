//! Clients of a Kafka broker: what all of them need, and what they say put into words of ours.
//!
//! Invariant: no value of a setting is ever shown, in the log or in an error: any of them may be a secret.

pub mod avro;
pub mod sender;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::AdminOptions;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::ProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaConfRes;
use serde::Deserialize;

use crate::clock::partitions::Partition;
use crate::error::{JobError, JobResult};
use crate::registry::RegistryAddress;

/// How long a broker may take to answer before anything is read or sent.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// What addresses in Kafka start with.
const SCHEME: &str = "kafka://";
/// How long to wait where a connection broke off before brokers are asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// So many events tell why a broker does not answer.
const EVENTS_HEARD: usize = 32;

/// What a client of a broker needs to know.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Brokers to ask first: `HOST:PORT`, separated by commas.
    pub brokers: String,
    /// Topics that are read.
    pub topics: Vec<String>,
    /// Settings of librdkafka, passed through as they are.
    pub client: BTreeMap<String, String>,
    /// How values are written, and read where they do not say it themselves.
    pub format: Format,
    /// Who keeps the schemas of values in Avro.
    pub registry: Option<RegistryAddress>,
}

/// How values of records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As JSON objects.
    #[default]
    Json,
    /// In Avro.
    Avro,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KafkaSettings { brokers, topics, client, format, registry } = self;
        write!(formatter, "Kafka({brokers} {topics:?} {:?} {format:?} {registry:?})", client.keys())
    }
}

impl KafkaSettings {
    /// The configuration of a client; `own` are settings that it could not do without, whatever the user's say.
    fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("client.id", "orderwatch");
        self.client.iter().for_each(|(key, value)| _ = config.set(key, value));
        own.iter().for_each(|(key, value)| _ = config.set(*key, *value));
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// These settings with brokers and topics of an address, `kafka://BROKERS/TOPIC,TOPIC`; none where it is no such
    /// address. What it leaves out stays as it is.
    pub fn at_address(&self, address: &Path) -> Option<KafkaSettings> {
        let address = address.to_str()?.strip_prefix(SCHEME)?;
        let (brokers, topics) = address.split_once('/').unwrap_or((address, ""));
        let topics: Vec<String> = topics.split(',').filter(|topic| !topic.is_empty()).map(str::to_owned).collect();
        let mut settings = self.clone();
        if !brokers.is_empty() {
            settings.brokers = brokers.to_owned();
        }
        if !topics.is_empty() {
            settings.topics = topics;
        }
        Some(settings)
    }

    /// These settings, and these where the user's say nothing.
    pub fn with_defaults(&self, defaults: &[(&str, &str)]) -> KafkaSettings {
        let mut settings = self.clone();
        for (key, value) in defaults {
            settings.client.entry((*key).to_owned()).or_insert_with(|| (*value).to_owned());
        }
        settings
    }

    /// An error where no broker is named.
    pub fn check_named(&self) -> JobResult<()> {
        if self.brokers.is_empty() {
            let error = JobError::configuration("no Kafka broker is named").at("kafka.brokers");
            return Err(
                error.remedy("give --kafka HOST:PORT, or set brokers in the section [kafka] of the configuration file")
            );
        }
        Ok(())
    }

    /// Checks the settings of a client without making one.
    pub fn check(&self, own: &[(&str, &str)]) -> JobResult<()> {
        self.config(own).create_native_config().map(|_| ()).map_err(|error| self.refused(&error))
    }

    /// Makes a client. It connects when it is needed, so a broker that is away is no error here.
    pub fn create<C: ClientContext, T: FromClientConfigAndContext<C>>(
        &self,
        own: &[(&str, &str)],
        listener: C,
    ) -> JobResult<T> {
        self.config(own).create_with_context(listener).map_err(|error| self.refused(&error))
    }

    /// A client that asks a broker for what there is, and reads nothing.
    pub fn inquirer(&self) -> JobResult<Inquirer> {
        let mut config = self.config(&[("isolation.level", "read_committed"), ("allow.auto.create.topics", "false")]);
        config.remove("group.id");
        config.create_with_context(Listener::default()).map_err(|error| self.refused(&error))
    }

    fn refused(&self, error: &KafkaError) -> JobError {
        let (what, key) = match error {
            KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, _, key, _) => {
                (format!("librdkafka has no setting `{key}`"), key.as_str())
            }
            // What librdkafka says of it repeats the value.
            KafkaError::ClientConfig(_, _, key, _) => {
                (format!("the value of `{key}` is none for librdkafka"), key.as_str())
            }
            other => (format!("the settings of the client do not go together: {other}"), "*"),
        };
        JobError::configuration(what)
            .at(format!("kafka.client.\"{key}\""))
            .remedy("mend it: https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md lists them all")
    }

    /// Something that an inquirer asked for failed: `doing` completes "cannot …".
    pub fn unanswered(&self, doing: &str, error: &KafkaError, client: &Inquirer) -> JobError {
        hear(client);
        self.failed(doing, error, client.context())
    }

    /// Something that a broker was asked for failed: `doing` completes "cannot …".
    pub fn failed(&self, doing: &str, error: &KafkaError, listener: &Listener) -> JobError {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code();
        let is_vague = |code| is_silence(code) || code == Code::Authentication;
        let (code, cause) = match listener.cause().filter(|_| code.is_none_or(is_vague)) {
            Some((code, cause)) => (Some(code), cause),
            None => (code, code.map_or_else(|| error.to_string(), |code| code.to_string())),
        };
        let remedy = match code {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
                "check sasl.mechanism, sasl.username and sasl.password in [kafka.client]"
            }
            Some(
                Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed,
            ) => "have this user allowed to do that (Kafka calls it ACLs)",
            Some(code) if is_unknown(code) => "check the name: `orderwatch topics list` shows what there is",
            Some(Code::MessageSizeTooLarge) => {
                "raise max.message.bytes of the topic, or message.max.bytes of the broker"
            }
            _ => {
                "check that a broker listens there, and what it asks of its clients: security.protocol and its like go \
                 into [kafka.client]"
            }
        };
        JobError::job(format!("cannot {doing}: {cause}")).at(format!("Kafka at {}", self.brokers)).remedy(remedy)
    }
}

/// A client that asks a broker for what there is.
pub type Inquirer = BaseConsumer<Listener>;

/// How long a client that administers topics may take.
pub fn admin_options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT)).operation_timeout(Some(ANSWER_TIMEOUT))
}

/// Waits for an answer of such a client, which has a thread of its own.
pub fn wait<T>(answer: impl Future<Output = T>) -> JobResult<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| JobError::job(format!("cannot wait for an answer: {error}")))?;
    Ok(runtime.block_on(answer))
}

/// Has a client that nobody polls say what it has to say.
pub fn hear(client: &Inquirer) {
    for _ in 0..EVENTS_HEARD {
        client.poll(Duration::ZERO);
    }
}

/// True where an error says no more than that nobody answered.
pub fn is_silence(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::Resolve | Code::SSL
    )
}

/// True where an error says that there is no such topic or partition.
pub fn is_unknown(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// Hears what a client says by itself: for developers into the log, and causes, which the errors of calls do not tell.
#[derive(Debug, Default)]
pub struct Listener {
    cause: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Listener {
    /// What the client complained of last.
    pub fn cause(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True where the client complained of something since this was asked last: a broker was away, it may be.
    pub fn has_complained(&self) -> bool {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    fn note(&self, code: RDKafkaErrorCode, said: &str) {
        let mut cause = self.cause.lock().unwrap_or_else(PoisonError::into_inner);
        // That a connection ended, or that all are away, says less than why.
        let says_why = said.contains("failed") || !is_silence(code);
        if says_why || cause.is_none() && code != RDKafkaErrorCode::AllBrokersDown {
            *cause = Some((code, said.to_owned()));
        }
    }
}

/// Under which librdkafka logs that a connection failed, and why.
const FAILED_CONNECTION: &str = "FAIL";

impl ClientContext for Listener {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, "librdkafka: {message}");
        if facility == FAILED_CONNECTION {
            let said = message.split_once("]: ").map_or(message, |(_, said)| said);
            self.note(RDKafkaErrorCode::BrokerTransportFailure, said);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!("Kafka client: {error}: {reason}");
        self.note(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown), reason);
    }
}

impl ConsumerContext for Listener {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!("offsets were not published: {error}");
        }
    }
}

/// Of records in transactions the end of these tells what became of them.
impl ProducerContext for Listener {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, _: ()) {}
}

/// What brokers say of a topic, or of all. Where a connection breaks off librdkafka asks once more whatever else it is asked
/// for, but not this.
pub fn metadata(client: &Inquirer, topic: Option<&str>, timeout: Duration) -> KafkaResult<Metadata> {
    let until = Instant::now() + timeout;
    loop {
        let answered = client.fetch_metadata(topic, until.saturating_duration_since(Instant::now()));
        let code = answered.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        // Where no broker is there the time is over by now.
        let is_late = Instant::now() + ASK_AGAIN_AFTER >= until;
        if code != Some(RDKafkaErrorCode::BrokerTransportFailure) || is_late {
            return answered;
        }
        std::thread::sleep(ASK_AGAIN_AFTER);
    }
}

/// The partitions of a topic, by their numbers; none where there is no such topic.
pub fn partitions_of(client: &Inquirer, topic: &str, timeout: Duration) -> KafkaResult<Option<Vec<i32>>> {
    let metadata = metadata(client, Some(topic), timeout)?;
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    match found.error().map(RDKafkaErrorCode::from) {
        None => {}
        Some(RDKafkaErrorCode::UnknownTopicOrPartition) => return Ok(None),
        Some(code) => return Err(KafkaError::MetadataFetch(code)),
    }
    let mut numbers: Vec<i32> = found.partitions().iter().map(|partition| partition.id()).collect();
    numbers.sort_unstable();
    Ok(Some(numbers))
}

/// The offset of each partition that is meant by `place`: its beginning, its end (of what was committed), or the first
/// record of a time, given as an offset; the end where there is none. An error where one is not known.
pub fn offsets_of(
    client: &Inquirer,
    partitions: &[Partition],
    place: Offset,
    timeout: Duration,
) -> KafkaResult<BTreeMap<Partition, u64>> {
    let mut offsets = known_offsets_of(client, partitions, place, timeout)?;
    let missing: Vec<Partition> =
        partitions.iter().filter(|partition| !offsets.contains_key(partition)).cloned().collect();
    match place {
        _ if missing.is_empty() => {}
        Offset::Offset(_) => offsets.extend(offsets_of(client, &missing, Offset::End, timeout)?),
        _ => return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::LeaderNotAvailable)),
    }
    Ok(offsets)
}

/// The same of those partitions whose brokers know it.
pub fn known_offsets_of(
    client: &Inquirer,
    partitions: &[Partition],
    place: Offset,
    timeout: Duration,
) -> KafkaResult<BTreeMap<Partition, u64>> {
    if partitions.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut asked = TopicPartitionList::with_capacity(partitions.len());
    for Partition { topic, number } in partitions {
        asked.add_partition_offset(topic, *number, place)?;
    }
    let answered = client.offsets_for_times(asked, timeout)?;
    let known = answered.elements().into_iter().filter_map(|element| {
        let partition = Partition { topic: element.topic().to_owned(), number: element.partition() };
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(offset)) => Some((partition, u64::try_from(offset).ok()?)),
            _ => None,
        }
    });
    Ok(known.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_a_setting_is_shown() {
        let with = |key: &str, value: &str| KafkaSettings {
            brokers: "127.0.0.1:1".to_owned(),
            topics: vec!["orders".to_owned()],
            client: [(key.to_owned(), value.to_owned())].into(),
            ..KafkaSettings::default()
        };
        for (key, what) in [
            ("sasl.passwort", "librdkafka has no setting `sasl.passwort`"),
            ("acks", "the value of `acks` is none for librdkafka"),
            ("security.protocol", "the value of `security.protocol` is none for librdkafka"),
        ] {
            let settings = with(key, "hunter2");
            let error = settings.check(&[]).unwrap_err();
            assert_eq!((error.what(), error.exit_code()), (what, 2));
            assert!(!format!("{error} {settings:?}").contains("hunter2"));
        }
        assert!(!format!("{:?}", with("sasl.password", "hunter2")).contains("hunter2"));
        assert!(with("sasl.password", "hunter2").check(&[]).is_ok());
    }

    #[test]
    fn a_broker_that_is_not_there_is_named_with_the_cause() {
        let settings = KafkaSettings { brokers: "127.0.0.1:1".to_owned(), ..KafkaSettings::default() };
        let client = settings.inquirer().unwrap();
        let error = partitions_of(&client, "orders", Duration::from_millis(500)).unwrap_err();
        let error = settings.unanswered("read", &error, &client);
        assert!(error.what().starts_with("cannot read: ") && error.what().contains("refused"), "{error}");
    }
}

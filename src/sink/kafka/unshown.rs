//! Commits that a broker forgets to show.
//!
//! Whether a transaction is committed is decided by its coordinator, which then puts a marker into every partition. One
//! that comes back from a crash puts none into partitions whose leader it does not know yet, and takes the transaction for
//! complete all the same (seen with Kafka 4.3.1; KAFKA-5202 has the code): readers of committed records stop there, until
//! the next marker of the same producer, which there may never be. So the last record of such a partition is sent once
//! more, in a transaction of its own: a changelog is the same with it, and its marker lets go of all before it.
//! Invariant: rows are only repeated. Limits: one looks after a start, after a commit that took long, and within a second or
//! so after a connection was lost.

use std::time::{Duration, Instant};

use dataflows::views::COLLECTIONS;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::Offset;

use super::progress::{self, last_record};
use super::sending::send;
use super::{ChangelogSettings, Failure, TRANSACTION_TIMEOUT, WAIT};
use crate::clock::partitions::Partition;
use crate::kafka::{ANSWER_TIMEOUT, Inquirer, Listener, offsets_of};

/// Markers take a moment: so long they are waited for.
const MARKED_WITHIN: Duration = Duration::from_secs(2);

/// Has everything shown that was committed by transactions before. `producer` is between two of them.
pub fn show(settings: &ChangelogSettings, producer: &BaseProducer<Listener>) -> Result<(), Failure> {
    let committed = settings.kafka.inquirer()?;
    let reads_all =
        [("isolation.level", "read_uncommitted"), ("enable.auto.commit", "false"), ("enable.partition.eof", "true")];
    let own = [&reads_all[..], &[("group.id", settings.job.as_str())]].concat();
    let all: Inquirer = settings.kafka.create(&own, Listener::default())?;
    let names = COLLECTIONS.iter().map(|collection| collection.name).chain([progress::NAME]);
    let partitions = settings.partitions(&committed, names)?;
    let started = Instant::now();
    let hidden = loop {
        let shown = offsets_of(&committed, &partitions, Offset::End, ANSWER_TIMEOUT)?;
        let ends = offsets_of(&all, &partitions, Offset::End, ANSWER_TIMEOUT)?;
        let hidden: Vec<(Partition, u64)> =
            shown.into_iter().filter(|(partition, shown)| ends.get(partition) > Some(shown)).collect();
        if hidden.is_empty() {
            return Ok(());
        }
        if started.elapsed() > MARKED_WITHIN {
            break hidden;
        }
        std::thread::sleep(WAIT);
    };
    tracing::warn!("the broker does not show what was committed to {} partitions: it is made to", hidden.len());
    producer.begin_transaction()?;
    for (partition, from) in &hidden {
        // Shown or not.
        if let Some(last) = last_record(&all, partition, from.cast_signed(), |record| Some(record.detach()))? {
            let mut record = BaseRecord::<[u8], [u8]>::to(&partition.topic).partition(partition.number);
            (record.key, record.payload) = (last.key(), last.payload());
            send(producer, record)?;
        }
    }
    producer.commit_transaction(TRANSACTION_TIMEOUT)?;
    Ok(())
}

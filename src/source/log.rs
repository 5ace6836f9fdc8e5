//! Logs: sources that keep what they were given, in partitions whose records have offsets, so that they can be read
//! again.
//!
//! Invariant: the records of a partition come in the order of their offsets, each once, from where it is read on.

use std::collections::BTreeMap;

use crate::clock::partitions::{Backlog, Partition};
use crate::decode::form::Form;
use crate::error::JobResult;

/// One record of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its place in the partition.
    pub offset: u64,
    /// When it was produced, in UTC milliseconds, where the log knows.
    pub timestamp_ms: Option<u64>,
    /// What it says; none where it deletes its key.
    pub value: Option<Box<[u8]>>,
    /// Its key, where it has one.
    pub key: Option<Box<[u8]>>,
    /// How its value is written.
    pub form: Form,
}

/// Records of one partition, in the order of offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The partition.
    pub partition: Partition,
    /// The records.
    pub records: Vec<Record>,
}

/// A log as one worker reads it. No call blocks.
pub trait Log {
    /// Begins to read a partition, from an offset on.
    fn read(&mut self, partition: Partition, next_offset: u64);

    /// Fetches no more of a partition for a while, or goes on.
    fn hold(&mut self, partition: &Partition, holds: bool);

    /// What has come in. An error means that the log cannot be read any more.
    fn poll(&mut self) -> JobResult<Option<Fetched>>;

    /// Whether there is more of a partition that was taken up to `next_offset`; in doubt there is.
    fn backlog(&self, partition: &Partition, next_offset: u64) -> Backlog;

    /// Where the end of a partition was seen: no record is between the last one taken and this.
    fn end_position(&self, partition: &Partition) -> Option<u64>;

    /// The end of a partition as the log last said it.
    fn high_watermark(&self, _partition: &Partition) -> Option<u64> {
        None
    }

    /// Publishes how far partitions have been taken, for tools that show how far behind a job is.
    fn publish(&self, _positions: &BTreeMap<Partition, u64>) {}
}

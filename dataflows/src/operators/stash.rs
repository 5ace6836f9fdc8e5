//! A stash: byte records that wait for their logical time.
//!
//! Records are appended to the arena of their bucket of time and sorted by (time, group) when the bucket comes up, so
//! a record costs its bytes and 24 more, and input in any order comes out in order. Records of one (time, group) come
//! out together, in the order of their arrival.

use std::collections::BTreeMap;

use crate::time::Time;

/// Byte records by time.
#[derive(Debug)]
pub struct Stash {
    bucket_ms: u64,
    buckets: BTreeMap<u64, Bucket>,
}

/// Records of one stretch of time.
#[derive(Debug, Default)]
pub struct Bucket {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

/// A record in its bucket.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// When it is due.
    pub time: Time,
    /// What it belongs to: records of one time and group are taken together.
    pub group: u64,
    offset: u32,
    length: u32,
}

impl Bucket {
    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of an entry.
    pub fn record(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.offset as usize..][..entry.length as usize]
    }
}

impl Stash {
    /// An empty stash with buckets of `bucket_ms` milliseconds (at least 1).
    pub fn new(bucket_ms: u64) -> Stash {
        Stash { bucket_ms: bucket_ms.max(1), buckets: BTreeMap::new() }
    }

    /// Adds a record that is due at `time`.
    pub fn push(&mut self, time: Time, group: u64, record: &[u8]) {
        let bucket = self.buckets.entry(time / self.bucket_ms).or_default();
        let (offset, length) = (bucket.bytes.len() as u32, record.len() as u32);
        bucket.entries.push(Entry { time, group, offset, length });
        bucket.bytes.extend_from_slice(record);
    }

    /// Takes the earliest records that are due before `time`, sorted; at most one bucket of them.
    pub fn take_before(&mut self, time: Time) -> Option<Bucket> {
        let first = self.buckets.first_entry()?;
        if first.key().saturating_mul(self.bucket_ms) >= time {
            return None;
        }
        let (number, mut bucket) = first.remove_entry();
        bucket.entries.sort_by_key(|entry| (entry.time, entry.group));
        let due = bucket.entries.partition_point(|entry| entry.time < time);
        if due < bucket.entries.len() {
            // The bucket straddles `time`: what is not due goes back.
            let mut rest = Bucket::default();
            for entry in &bucket.entries[due..] {
                let offset = rest.bytes.len() as u32;
                rest.bytes.extend_from_slice(bucket.record(entry));
                rest.entries.push(Entry { offset, ..*entry });
            }
            bucket.entries.truncate(due);
            self.buckets.insert(number, rest);
        }
        (!bucket.entries.is_empty()).then_some(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_out_by_time_and_group() {
        let mut stash = Stash::new(10);
        for (time, group, record) in [(25, 1, "e"), (3, 2, "b"), (3, 1, "a"), (12, 9, "d"), (3, 2, "c")] {
            stash.push(time, group, record.as_bytes());
        }
        let mut taken = String::new();
        for before in [3, 13, 14, 26] {
            while let Some(bucket) = stash.take_before(before) {
                for entry in bucket.entries() {
                    taken += &String::from_utf8_lossy(bucket.record(entry));
                }
            }
            taken.push('|');
        }
        assert_eq!(taken, "|abcd||e|");
    }
}

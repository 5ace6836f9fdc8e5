//! A shop that exists nowhere as a log: order events that happen as time passes, for a live job without a broker.
//!
//! Invariant: what stands at an offset follows from rate and start, and the start is kept in the store of checkpoints. So
//! the log can be read again, and goes on while nobody reads it, as a broker's does. Limits: two years.

use dataflows::time::Time;

use super::log::{Fetched, Log, Record};
use crate::checkpoint::{Store, StoreError};
use crate::clock::partitions::{Backlog, Partition};
use crate::clock::wall_clock_ms;
use crate::error::{JobError, JobResult};
use crate::generate::stream::endless::Endless;
use crate::store::Objects;

/// What is handed over at once.
const RECORDS_AT_ONCE: usize = 1024;
/// Positions of records have room for no more.
const OFFSET_MAX: u64 = 1 << 44;

/// The log of a generator.
pub struct Generated {
    endless: Endless,
    /// The offset after the last event handed over.
    position: u64,
    partition: Option<Partition>,
    is_held: bool,
}

impl Generated {
    /// So many orders a second, in ten-thousandths, from `start` on.
    pub fn new(rate: u64, start: Time) -> Generated {
        Generated { endless: Endless::new(rate, start), position: 0, partition: None, is_held: false }
    }
}

/// When the generator of a job started: now, unless the store knows better.
pub fn start_of(store: Option<&str>, job: &str, rate: u64) -> JobResult<Time> {
    let now = wall_clock_ms();
    let Some(url) = store else { return Ok(now) };
    let mut objects = Objects::open(url)?;
    let name = format!("{job}/generated/{rate}");
    let mut agree = || match objects.create(&name, now.to_string().as_bytes())? {
        true => Ok(Some(now)),
        false => Ok(objects.get(&name)?.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok())),
    };
    let agreed = agree().and_then(|start| start.ok_or_else(|| StoreError(format!("{name} is damaged"))));
    agreed.map_err(|error| {
        let error = JobError::job(format!("cannot tell since when orders are generated: {error}"));
        error.at(url.to_owned()).remedy("see that --checkpoint names a place that can be read and written")
    })
}

impl Log for Generated {
    fn read(&mut self, partition: Partition, next_offset: u64) {
        self.endless.seek(next_offset);
        (self.position, self.partition) = (next_offset, Some(partition));
    }

    fn hold(&mut self, _: &Partition, holds: bool) {
        self.is_held = holds;
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        let Some(partition) = self.partition.clone().filter(|_| !self.is_held) else { return Ok(None) };
        if !self.endless.arrives() {
            return Ok(None);
        }
        let now = wall_clock_ms();
        let due = std::iter::from_fn(|| self.endless.next_due(now)).take(RECORDS_AT_ONCE);
        let record = |(offset, line): (u64, Vec<u8>)| Record { offset, value: Some(line.into()), ..Record::default() };
        let records: Vec<Record> = due.map(record).collect();
        let Some(last) = records.last() else { return Ok(None) };
        self.position = last.offset + 1;
        if self.position >= OFFSET_MAX {
            let error = JobError::job("the generator has run for two years, and cannot number more");
            return Err(error.remedy("begin anew: `orderwatch checkpoint reset`, and empty the sinks"));
        }
        Ok(Some(Fetched { partition, records }))
    }

    fn backlog(&self, _: &Partition, next_offset: u64) -> Backlog {
        match next_offset >= self.position && !self.endless.is_due(wall_clock_ms()) {
            true => Backlog::None,
            false => Backlog::Some,
        }
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        Some(self.position)
    }

    fn high_watermark(&self, _: &Partition) -> Option<u64> {
        // How many are due is not known before they are made.
        Some(self.position + u64::from(self.endless.is_due(wall_clock_ms())))
    }
}

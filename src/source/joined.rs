//! Several logs as one, each with topics of its own.
//!
//! Invariant: a partition is that of one log, told by its topic; none waits for another.

use std::collections::BTreeMap;

use super::log::{Fetched, Log};
use crate::clock::partitions::{Backlog, Partition};
use crate::error::JobResult;

/// Logs that are read together.
#[derive(Default)]
pub struct Joined {
    logs: Vec<(Vec<String>, Box<dyn Log>)>,
    turn: usize,
}

impl Joined {
    /// Adds a log with these topics.
    pub fn add(&mut self, topics: &[String], log: Box<dyn Log>) {
        self.logs.push((topics.to_vec(), log));
    }

    fn of(&self, partition: &Partition) -> Option<&dyn Log> {
        let (_, log) = self.logs.iter().find(|(topics, _)| topics.contains(&partition.topic))?;
        Some(&**log)
    }

    fn of_mut(&mut self, partition: &Partition) -> Option<&mut Box<dyn Log>> {
        let (_, log) = self.logs.iter_mut().find(|(topics, _)| topics.contains(&partition.topic))?;
        Some(log)
    }
}

impl Log for Joined {
    fn read(&mut self, partition: Partition, next_offset: u64) {
        if let Some(log) = self.of_mut(&partition) {
            log.read(partition, next_offset);
        }
    }

    fn hold(&mut self, partition: &Partition, holds: bool) {
        if let Some(log) = self.of_mut(partition) {
            log.hold(partition, holds);
        }
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        for _ in 0..self.logs.len() {
            self.turn = (self.turn + 1) % self.logs.len();
            if let Some((_, log)) = self.logs.get_mut(self.turn)
                && let Some(fetched) = log.poll()?
            {
                return Ok(Some(fetched));
            }
        }
        Ok(None)
    }

    fn backlog(&self, partition: &Partition, next_offset: u64) -> Backlog {
        self.of(partition).map_or(Backlog::Some, |log| log.backlog(partition, next_offset))
    }

    fn end_position(&self, partition: &Partition) -> Option<u64> {
        self.of(partition)?.end_position(partition)
    }

    fn high_watermark(&self, partition: &Partition) -> Option<u64> {
        self.of(partition)?.high_watermark(partition)
    }

    fn publish(&self, positions: &BTreeMap<Partition, u64>) {
        for (topics, log) in &self.logs {
            let own = positions.iter().filter(|(partition, _)| topics.contains(&partition.topic));
            log.publish(&own.map(|(partition, position)| (partition.clone(), *position)).collect());
        }
    }
}

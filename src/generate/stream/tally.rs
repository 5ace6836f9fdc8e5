//! What a stream came to, in the words of a replay, so that one can be held against the other.

use std::fmt;
use std::time::Duration;

use dataflows::time::Time;

use super::StreamKind;
use super::faults::{Waiting, Writing};
use super::life::Step;
use super::record::facts;

/// Counts of a stream. All but `elapsed` depend on the options alone, unless it follows the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStatistics {
    /// Orders created.
    pub orders: u64,
    /// Orders delivered.
    pub completed: u64,
    /// Orders cancelled.
    pub cancelled: u64,
    /// Changes of an order after its placement: confirmed, processing, shipped, delivered, held, released, cancelled.
    pub transitions: u64,
    /// Lines written, copies and broken ones included.
    pub lines: u64,
    /// Facts that the lines come to, copies included: a placement is an item as well, a pending sale also a payment.
    pub facts: u64,
    /// Copies among the lines.
    pub duplicate_lines: u64,
    /// Facts that the copies come to.
    pub duplicate_facts: u64,
    /// Broken lines.
    pub invalid_lines: u64,
    /// Whole lines, copies among them, that come after one with a later time.
    pub late_lines: u64,
    /// Facts that these come to: what a replay counts as late with --arrival-order.
    pub late_facts: u64,
    /// The latest time of a whole line; 0 before there is one.
    pub newest: Time,
    /// Bytes of all lines, before compression; each target gets them all.
    pub bytes: u64,
    /// Wall-clock time it took.
    pub elapsed: Duration,
}

impl StreamStatistics {
    /// Orders neither delivered nor cancelled.
    pub fn still_active(&self) -> u64 {
        self.orders - self.completed - self.cancelled
    }

    /// Counts a line that is being written.
    pub fn add(&mut self, kind: StreamKind, line: &Waiting, step: Step) {
        self.lines += 1;
        if line.writing == Writing::Broken {
            self.invalid_lines += 1;
            return;
        }
        let (at, facts) = (line.moment.at, facts(kind, step));
        self.facts += facts;
        if at < self.newest {
            self.late_lines += 1;
            self.late_facts += facts;
        }
        self.newest = self.newest.max(at);
        if line.writing == Writing::Copy {
            self.duplicate_lines += 1;
            self.duplicate_facts += facts;
            return;
        }
        match step {
            Step::Placed => self.orders += 1,
            Step::ItemAdded | Step::Paid => {}
            _ => self.transitions += 1,
        }
        self.completed += u64::from(step == Step::Delivered);
        self.cancelled += u64::from(step == Step::Cancelled);
    }
}

impl fmt::Display for StreamStatistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in [
            ("orders created", self.orders),
            ("  completed", self.completed),
            ("  cancelled", self.cancelled),
            ("  still active", self.still_active()),
            ("transitions", self.transitions),
            ("lines", self.lines),
            ("  invalid", self.invalid_lines),
            ("  duplicates", self.duplicate_lines),
            ("  late", self.late_lines),
            ("facts", self.facts),
            ("  duplicates", self.duplicate_facts),
            ("  late", self.late_facts),
            ("megabytes", self.bytes / 1_000_000),
        ] {
            writeln!(formatter, "{name:<16}{count:>14}")?;
        }
        let elapsed_ms = self.elapsed.as_millis().max(1);
        let rate = |count: u64| u128::from(count) * 10_000 / elapsed_ms;
        let [orders, lines] = [self.orders, self.lines].map(rate);
        write!(
            formatter,
            "{}.{:03} s, {}.{} orders/s, {}.{} lines/s",
            self.elapsed.as_secs(),
            self.elapsed.subsec_millis(),
            orders / 10,
            orders % 10,
            lines / 10,
            lines % 10
        )
    }
}

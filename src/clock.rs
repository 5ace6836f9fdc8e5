//! Time as a job reads it: watermarks of partitions, lateness, and the wall clock, which nothing else reads.
//!
//! Invariant: a watermark never moves backwards. Replays read the wall clock once, to refuse records from the future;
//! their watermarks move by data alone (semantics.md, section 1).

use std::time::{SystemTime, UNIX_EPOCH};

use dataflows::time::Time;

/// The wall clock: UTC milliseconds since 1970.
pub fn wall_clock_ms() -> Time {
    // A clock before 1970 makes every record one from the future, which is what the user should see.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Time)
}

/// The watermark of a partition with backlog: the largest event time seen, less what may be out of order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watermark {
    largest: Time,
    out_of_orderness_ms: u64,
}

impl Watermark {
    /// Nothing seen yet.
    pub fn new(out_of_orderness_ms: u64) -> Watermark {
        Watermark { largest: 0, out_of_orderness_ms }
    }

    /// No fact below this is still on time.
    pub fn time(&self) -> Time {
        self.largest.saturating_sub(self.out_of_orderness_ms)
    }

    /// A record with this event time was read; its own facts have their logical times already.
    pub fn observe(&mut self, at: Time) {
        self.largest = self.largest.max(at);
    }
}

/// What is late.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// A fact more than this behind its watermark is counted late, in milliseconds.
    pub late_arrival_ms: u64,
    /// A fact more than this behind its watermark is refused, in milliseconds.
    pub horizon_ms: u64,
}

impl Lateness {
    /// True where a fact at `at` counts as late behind `watermark`.
    pub fn is_late(&self, at: Time, watermark: Time) -> bool {
        at.saturating_add(self.late_arrival_ms) < watermark
    }

    /// True where a fact at `at` is refused for its lateness behind `watermark`.
    pub fn is_too_late(&self, at: Time, watermark: Time) -> bool {
        at.saturating_add(self.horizon_ms) < watermark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_stays_behind_the_largest_time_and_never_moves_back() {
        let mut watermark = Watermark::new(10);
        watermark.observe(100);
        watermark.observe(50);
        assert_eq!(watermark.time(), 90);
        let lateness = Lateness { late_arrival_ms: 5, horizon_ms: 20 };
        assert!(!lateness.is_late(85, 90) && lateness.is_late(84, 90));
        assert!(!lateness.is_too_late(70, 90) && lateness.is_too_late(69, 90));
    }
}

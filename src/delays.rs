//! Delays: how long after the instant at which a change holds it was somewhere, as a histogram that is written by one thread
//! and read by anybody.
//!
//! Invariant: each observation is in one bucket, and in the sum. Limits: a scrape may find one in its bucket and not yet in
//! the sum.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets, in milliseconds; beyond the last there is one without. Close together where the promises
/// are that a job makes: 30 and 250 ms.
pub const BOUNDS_MS: [u64; 22] =
    [1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 1_000, 5_000, 30_000, 300_000];

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Delays {
    counts: [AtomicU64; BOUNDS_MS.len() + 1],
    sum_ms: AtomicU64,
}

/// Delays as they are at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bound of each bucket in seconds, and how many are in it; the last has no bound.
    pub buckets: Vec<(f64, u64)>,
    /// Their sum in seconds.
    pub sum: f64,
}

impl Delays {
    /// Notes the same delay so many times.
    pub fn note(&self, delay_ms: u64, times: u64) {
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < delay_ms);
        self.counts[bucket].fetch_add(times, Ordering::Relaxed);
        self.sum_ms.fetch_add(delay_ms.saturating_mul(times), Ordering::Relaxed);
    }

    /// All that have been noted.
    pub fn histogram(&self) -> Histogram {
        let bounds = BOUNDS_MS.iter().map(|bound| *bound as f64 / 1_000.0).chain([f64::MAX]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        Histogram { buckets: bounds.zip(counts).collect(), sum: self.sum_ms.load(Ordering::Relaxed) as f64 / 1_000.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let delays = Delays::default();
        for (delay_ms, times) in [(0, 1), (30, 2), (31, 3), (u64::MAX, 1)] {
            delays.note(delay_ms, times);
        }
        let counted: Vec<(f64, u64)> = delays.histogram().buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(0.001, 1), (0.03, 2), (0.04, 3), (f64::MAX, 1)]);
    }
}

//! Moments a few seconds ago, on a machine that may have been suspended since.
//!
//! Meanwhile the clock that only counts stands still, and the wall clock may be set at any time. Invariant: a moment counts
//! as recent only where both clocks say so.

use std::time::{Duration, Instant};

use dataflows::time::Time;

use crate::clock::wall_clock_ms;

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the one that counts.
    pub counted: Instant,
    wall_ms: Time,
}

impl Moment {
    /// This one.
    pub fn now() -> Moment {
        Moment { counted: Instant::now(), wall_ms: wall_clock_ms() }
    }

    /// True where it was less than `most` before `now`; not where the wall clock was put back since.
    pub fn is_within(self, most: Duration, now: Moment) -> bool {
        let by_wall = now.wall_ms.checked_sub(self.wall_ms).map(Duration::from_millis);
        now.counted.saturating_duration_since(self.counted) < most && by_wall.is_some_and(|passed| passed < most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Moment {
        /// The moment after this one by so much, by each clock.
        pub fn after(self, counted: Duration, wall_ms: i64) -> Moment {
            Moment { counted: self.counted + counted, wall_ms: self.wall_ms.saturating_add_signed(wall_ms) }
        }
    }

    #[test]
    fn what_was_before_a_sleep_or_before_the_clock_was_set_is_not_recent() {
        let (then, second, little) = (Moment::now(), Duration::from_secs(1), Duration::from_millis(20));
        assert!(then.is_within(second, then) && then.is_within(second, then.after(little, 20)));
        assert!(then.is_within(second, then.after(little, 999)));
        assert!(!then.is_within(second, then.after(second, 20)));
        assert!(!then.is_within(second, then.after(little, 1_000)), "it was suspended, or the clock was put forward");
        assert!(!then.is_within(second, then.after(little, -1)), "the clock was put back");
    }
}

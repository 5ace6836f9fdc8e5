//! Logical time, differences, windows and ticks.
//!
//! Time is UTC milliseconds since the Unix epoch (spec: semantics.md, section 1). Windows are tumbling and aligned to
//! the epoch; a tick is the grid on which aggregates change: a change at `t` is published at the first multiple of the
//! tick that is not before `t`.

use serde::{Deserialize, Serialize};

use crate::named;

/// Logical time and event time: UTC milliseconds since 1970.
pub type Time = u64;
/// Signed multiplicity of an update: +1 inserts, -1 retracts.
pub type Diff = isize;

/// Milliseconds in a second, a minute, an hour, a day.
pub const SECOND_MS: u64 = 1_000;
/// Milliseconds in a minute.
pub const MINUTE_MS: u64 = 60 * SECOND_MS;
/// Milliseconds in an hour.
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Milliseconds in a day.
pub const DAY_MS: u64 = 24 * HOUR_MS;

named! {
    /// A kind of tumbling window (semantics.md, section 5), finest first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[repr(u8)]
    pub enum Window {
        /// One minute.
        Minute => "minute",
        /// One hour.
        Hour => "hour",
        /// One UTC day.
        Day => "day",
        /// All of time: one window that never closes.
        Total => "total",
    }
}

impl Window {
    /// Length in milliseconds; none for `total`.
    pub fn length_ms(self) -> Option<u64> {
        match self {
            Window::Minute => Some(MINUTE_MS),
            Window::Hour => Some(HOUR_MS),
            Window::Day => Some(DAY_MS),
            Window::Total => None,
        }
    }

    /// Start of the window that holds `at`; 0 for `total`.
    pub fn start(self, at: Time) -> Time {
        self.length_ms().map_or(0, |length_ms| at - at % length_ms)
    }

    /// First instant after the window that starts at `start`; none for `total`.
    pub fn end(self, start: Time) -> Option<Time> {
        self.length_ms().map(|length_ms| start.saturating_add(length_ms))
    }

    /// The last instant at which a change still changes the window that starts at `start`, where it stays open for `stays_ms`
    /// after its end; none for `total`, which never closes (semantics.md, section 8).
    pub fn closes(self, start: Time, stays_ms: u64) -> Option<Time> {
        self.end(start).map(|end| end.saturating_add(stays_ms))
    }
}

/// The first multiple of `tick_ms` that is not before `time`.
pub fn tick_at_or_after(time: Time, tick_ms: u64) -> Time {
    time.div_ceil(tick_ms).saturating_mul(tick_ms)
}

/// True where `tick` is that multiple: quicker than asking which it is.
pub fn is_of_tick(time: Time, tick: Time, tick_ms: u64) -> bool {
    time <= tick && tick - time < tick_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_round_up_and_windows_round_down() {
        assert_eq!(tick_at_or_after(0, 50), 0);
        assert_eq!(tick_at_or_after(1, 50), 50);
        assert_eq!(tick_at_or_after(50, 50), 50);
        assert_eq!([49, 50, 51, 100, 101].map(|time| is_of_tick(time, 100, 50)), [false, false, true, true, false]);
        assert_eq!(Window::Hour.start(HOUR_MS + 1), HOUR_MS);
        assert_eq!(Window::Total.start(HOUR_MS + 1), 0);
        assert_eq!(Window::Day.end(DAY_MS), Some(2 * DAY_MS));
        // 29 February 2024 is a day like any other.
        let leap_day = 1_709_164_800_000;
        assert_eq!(Window::Day.start(leap_day + 5), leap_day);
    }
}

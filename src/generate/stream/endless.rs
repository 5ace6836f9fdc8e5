//! Order events without end, as they happen, from any place on.
//!
//! The offset of an event is when it happens and which one of its millisecond it is, so where to go on is computed, not
//! counted. Invariant: what stands at an offset is a pure function of rate and start. Limits: of more than 256 events of a
//! millisecond the rest never happens; rates are limited so that there are not nearly as many.

use dataflows::time::Time;

use super::StreamKind;
use super::life::{Lives, Schedule};
use super::record::push_line;
use crate::cli::DECIMAL_UNIT;

/// Events of a millisecond are told apart by so many bits.
const OFFSET_BITS: u32 = 8;
const SEED: u64 = 1;
/// Events that are passed over at once.
const PASSED_AT_ONCE: usize = 1 << 14;

/// See the head of this file.
pub struct Endless {
    schedule: Schedule,
    start: Time,
    lives: Lives,
    /// The offset after the last event.
    next: u64,
    /// Nothing before it is told.
    from: u64,
}

impl Endless {
    /// All events of so many orders a second, in ten-thousandths, from `start` on.
    pub fn new(rate: u64, start: Time) -> Endless {
        let schedule = Schedule::endless(SEED, DECIMAL_UNIT, rate, start);
        Endless { schedule, start, lives: Lives::new(schedule), next: 0, from: 0 }
    }

    /// Goes on with the event at this offset, or the next one after it.
    pub fn seek(&mut self, offset: u64) {
        let at = self.start.saturating_add(offset >> OFFSET_BITS);
        self.lives = Lives::from(self.schedule, self.schedule.first_alive_at(at));
        (self.next, self.from) = (0, offset);
    }

    /// Passes over some of what came before; true once there is no more of it. Of a busy shop it takes a while.
    pub fn arrives(&mut self) -> bool {
        let before = self.start.saturating_add(self.from >> OFFSET_BITS).saturating_sub(1);
        let passed = (0..PASSED_AT_ONCE).take_while(|_| self.is_due(before) && self.lives.next().is_some());
        passed.count() < PASSED_AT_ONCE
    }

    /// True where something has happened by `now` that was not told.
    pub fn is_due(&self, now: Time) -> bool {
        self.lives.next_time().is_some_and(|at| at <= now)
    }

    /// The next event that has happened by `now`, with its offset.
    pub fn next_due(&mut self, now: Time) -> Option<(u64, Vec<u8>)> {
        while !self.arrives() {}
        while self.is_due(now) {
            let moment = self.lives.next()?;
            let first = (moment.at - self.start) << OFFSET_BITS;
            let offset = self.next.max(first);
            if offset >> OFFSET_BITS != first >> OFFSET_BITS {
                continue;
            }
            self.next = offset + 1;
            if offset >= self.from {
                let mut line = Vec::new();
                push_line(StreamKind::Orders, SEED, moment, &self.schedule.life(moment.order), &mut line);
                return Some((offset, line));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_goes_on_tells_the_same() {
        // Many orders a millisecond, and a time after the first have ended.
        for (rate, until) in [(5 * DECIMAL_UNIT, 2_000_000), (2_000 * DECIMAL_UNIT, 3_000)] {
            let start = 1_700_000_000_000;
            let mut whole = Endless::new(rate, start);
            let events: Vec<_> = std::iter::from_fn(|| whole.next_due(start + until)).collect();
            assert!(events.len() > 10_000 && events.is_sorted_by(|one, other| one.0 < other.0), "{}", events.len());
            for place in [0, 1, 7_777, events.len() / 2, events.len() - 1] {
                let mut rest = Endless::new(rate, start);
                rest.seek(events[place].0);
                let told: Vec<_> = std::iter::from_fn(|| rest.next_due(start + until)).collect();
                assert_eq!(told[..], events[place..]);
                rest.seek(events[place].0 + 1);
                assert_eq!(rest.next_due(start + until).as_ref(), events.get(place + 1));
            }
        }
    }
}

//! What goes wrong with a line on its way: late, twice, out of order, broken; and the queue in which lines wait for it.
//!
//! Invariant: what becomes of a line depends on seed and moment alone, not on other lines. A line waits as its moment,
//! not as its text. Late lines are written after a newer one, where one comes soon.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dataflows::time::{MINUTE_MS, Time};

use super::draws;
use super::life::Moment;
use crate::cli::GenerateStream;
use crate::generate::random::Random;

/// How much later than its time a late line is written.
const LATE_MS: (i64, i64) = (6 * MINUTE_MS as i64, 30 * MINUTE_MS as i64);
/// So often a late line waits for a newer one: where most lines are late, those that come next may wait as well.
const PUT_OFF_MAX: u8 = 16;
/// How long after the first a copy is written, where not at once.
const COPY_MS: (i64, i64) = (0, 10 * MINUTE_MS as i64);

/// A line as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writing {
    /// As it is.
    Plain,
    /// As it is, but late; put off so often.
    Late(u8),
    /// Once more.
    Copy,
    /// With a rule broken.
    Broken,
}

/// A line that waits: until when, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// When it is to be written.
    pub due: Time,
    /// Lines of one instant are written as they came.
    number: u64,
    /// What it says.
    pub moment: Moment,
    /// How it is written.
    pub writing: Writing,
}

/// The lines that wait.
#[derive(Debug)]
pub struct Queue {
    seed: u64,
    late: u64,
    duplicates: u64,
    invalid: u64,
    disorder_ms: u64,
    waiting: BinaryHeap<Reverse<Waiting>>,
    numbered: u64,
}

impl Queue {
    /// Nothing waits.
    pub fn new(options: &GenerateStream) -> Queue {
        let GenerateStream { seed, late, duplicates, invalid, disorder, .. } = *options;
        Queue { seed, late, duplicates, invalid, disorder_ms: disorder, waiting: BinaryHeap::new(), numbered: 0 }
    }

    fn push(&mut self, due: Time, moment: Moment, writing: Writing) {
        self.waiting.push(Reverse(Waiting { due, number: self.numbered, moment, writing }));
        self.numbered += 1;
    }

    /// Takes in what happens, and decides what becomes of its line.
    pub fn take_in(&mut self, moment: Moment) {
        let random = &mut Random::of(self.seed, draws::FAULT, moment.order * 16 + u64::from(moment.step));
        let mut due = moment.at + random.below(self.disorder_ms);
        let is_late = random.chance(self.late);
        if is_late {
            due += random.between(LATE_MS.0, LATE_MS.1).unsigned_abs();
        }
        self.push(due, moment, if is_late { Writing::Late(0) } else { Writing::Plain });
        if random.chance(self.duplicates) {
            let after_ms = if random.below(2) == 0 { 0 } else { random.between(COPY_MS.0, COPY_MS.1).unsigned_abs() };
            self.push(due + after_ms, moment, Writing::Copy);
        }
        if random.chance(self.invalid) {
            self.push(due, moment, Writing::Broken);
        }
    }

    /// Takes the next line that is due before `time`, when something happens next; all are where nothing does. `newest`
    /// is the latest time that was written.
    pub fn pop_before(&mut self, time: Option<Time>, newest: Time) -> Option<Waiting> {
        loop {
            let Reverse(next) = self.waiting.peek()?;
            if time.is_some_and(|time| next.due >= time) {
                return None;
            }
            let Reverse(next) = self.waiting.pop()?;
            match (time, next.writing) {
                // Nothing newer has been written: it waits for what happens next.
                (Some(time), Writing::Late(put_off)) if put_off < PUT_OFF_MAX && next.moment.at >= newest => {
                    self.push(time + self.disorder_ms + 1, next.moment, Writing::Late(put_off + 1));
                }
                _ => return Some(next),
            }
        }
    }
}

//! What goes wrong with a line on its way: late, twice, out of order, broken; and the queue in which lines wait for it.
//!
//! Invariant: what becomes of a line depends on seed and moment alone, not on other lines, but for one in hundreds where most
//! are late. A line waits as its moment, not as its text. Late lines are written after a newer one, where one comes soon:
//! where most are late, the newest of those that wait goes before them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dataflows::time::{MINUTE_MS, Time};

use super::draws;
use super::life::Moment;
use crate::cli::GenerateStream;
use crate::generate::random::{CERTAIN, Random};

/// How much later than its time a late line is written.
const LATE_MS: (i64, i64) = (6 * MINUTE_MS as i64, 30 * MINUTE_MS as i64);
/// So often a late line waits for a newer one, which is on time as most are: those that come next may be late as well.
const PUT_OFF_MAX: u8 = 16;
/// The same where most lines are late. One in so many goes before the others, and is on time for that.
const PUT_OFF_MAX_OF_MOST: u8 = u8::MAX;
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
                (Some(time), Writing::Late(put_off)) if put_off < self.put_off_max() && next.moment.at >= newest => {
                    self.push(time + self.disorder_ms + 1, next.moment, Writing::Late(put_off + 1));
                }
                (_, Writing::Late(_)) if next.moment.at >= newest => return Some(self.first_of_late(next)),
                _ => return Some(next),
            }
        }
    }

    fn are_most_late(&self) -> bool {
        self.late > CERTAIN / 2
    }

    fn put_off_max(&self) -> u8 {
        if self.are_most_late() { PUT_OFF_MAX_OF_MOST } else { PUT_OFF_MAX }
    }

    /// Takes the newest of the late lines that wait, so that `line` and the others come after a newer one; the line itself
    /// where none is newer, and where most lines are on time.
    fn first_of_late(&mut self, line: Waiting) -> Waiting {
        if !self.are_most_late() {
            return line;
        }
        let is_newer =
            |waiting: &Waiting| matches!(waiting.writing, Writing::Late(_)) && waiting.moment.at > line.moment.at;
        let newer = self.waiting.iter().map(|Reverse(waiting)| *waiting).filter(is_newer);
        let Some(newest) = newer.max_by_key(|waiting| (waiting.moment.at, waiting.number)) else { return line };
        self.waiting.retain(|Reverse(waiting)| waiting.number != newest.number);
        self.waiting.push(Reverse(line));
        Waiting { due: line.due, ..newest }
    }
}

//! The life of an order: when it is placed and what happens to it until it ends.
//!
//! Invariant: a life is a pure function of schedule, seed and the order's number, so nothing of an order is kept between
//! two of its steps but which comes next. Steps of a life are in the order of their times. All times are whole milliseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dataflows::time::Time;

use super::{StreamKind, draws};
use crate::cli::{DECIMAL_UNIT, GenerateStream};
use crate::generate::random::Random;

/// 2020-01-01T00:00:00Z, where lives begin that are not lived in real time.
const BEGIN: Time = 1_577_836_800_000;
/// All are placed within five years of 365 days, so that nobody's wall clock is behind them.
const SPAN_US: u64 = 5 * 365 * 86_400 * 1_000_000;
const SECOND_US: u64 = 1_000_000;
/// Rates are in ten-thousandths: so many orders in so many seconds.
const RATE_PERIOD_US: u64 = SECOND_US * DECIMAL_UNIT;

/// Something that happens to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Placed,
    ItemAdded,
    Paid,
    Confirmed,
    Processing,
    Shipped,
    Delivered,
    Held,
    Released,
    Cancelled,
}

/// The stages after the placement, and how long each takes: least and most, in milliseconds.
const STAGES: [(Step, i64, i64); 4] = [
    (Step::Confirmed, 10_000, 30_000),
    (Step::Processing, 15_000, 45_000),
    (Step::Shipped, 20_000, 60_000),
    (Step::Delivered, 60_000, 300_000),
];
/// How long after the placement it is paid; before it is confirmed.
const PAID_MS: (i64, i64) = (1_000, 8_000);
const HELD_MS: (i64, i64) = (30_000, 120_000);
/// Parts of 100,000 orders that are held once.
const HELD: u64 = 5_000;

/// How lives end: delivered, cancelled in one of the first stages, never paid, lost by the carrier; with their weights.
#[derive(Clone, Copy)]
enum Fate {
    Delivered,
    Cancelled,
    Unpaid,
    Lost,
}
const FATES: [(Fate, u32); 4] = [(Fate::Delivered, 92), (Fate::Cancelled, 5), (Fate::Unpaid, 2), (Fate::Lost, 1)];

/// Lines an order may have, and how often each number comes.
const LINES: [u32; 3] = [70, 22, 8];
/// Placement, two further items, payment, hold and release, four stages.
const STEPS_MAX: usize = 10;

/// When orders are placed, and how long their stages take.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    kind: StreamKind,
    seed: u64,
    scale: u64,
    start: Time,
    /// So many orders, one after another, are placed within so long.
    orders_a_period: u64,
    period_us: u64,
    orders: u64,
    /// Nothing that happens after it is told.
    end: Time,
}

impl Schedule {
    /// What `options` ask for; `now` is where real time starts.
    pub fn of(kind: StreamKind, options: &GenerateStream, now: Time) -> Schedule {
        let (seed, scale) = (options.seed, options.time_scale);
        match options.rate {
            None => {
                let period_us = (SECOND_US * scale / DECIMAL_UNIT).min(SPAN_US / options.count).max(1);
                let (orders_a_period, orders) = (1, options.count);
                Schedule { kind, seed, scale, start: BEGIN, orders_a_period, period_us, orders, end: Time::MAX }
            }
            Some(rate) => {
                let end = options.duration.map_or(Time::MAX, |duration| now.saturating_add(duration));
                Schedule { kind, end, ..Schedule::endless(seed, scale, rate, now) }
            }
        }
    }

    /// Order events of so many orders a second, in ten-thousandths, from `start` on.
    pub fn endless(seed: u64, scale: u64, rate: u64, start: Time) -> Schedule {
        let (kind, orders_a_period, period_us) = (StreamKind::Orders, rate.max(1), RATE_PERIOD_US);
        Schedule { kind, seed, scale, start, orders_a_period, period_us, orders: u64::MAX, end: Time::MAX }
    }

    /// The first order that may still have something before it at `time`; all before it have ended.
    pub fn first_alive_at(&self, time: Time) -> u64 {
        let longest_ms: i64 = STAGES.iter().map(|(_, _, most_ms)| most_ms).sum::<i64>() + HELD_MS.1;
        let since_ms =
            time.saturating_sub(self.start).saturating_sub(longest_ms.unsigned_abs() * self.scale / DECIMAL_UNIT);
        let begun = u128::from(since_ms) * 1_000 * u128::from(self.orders_a_period) / u128::from(self.period_us);
        // The last one may have been placed at the end of its time.
        begun.saturating_sub(1) as u64
    }

    fn placed_at(&self, order: u64) -> Time {
        // What each has of the period is not rounded: the rate would be another one.
        let begins_us = u128::from(order) * u128::from(self.period_us) / u128::from(self.orders_a_period);
        let least_us = (self.period_us / self.orders_a_period).max(1);
        let within_us = Random::of(self.seed, draws::PLACEMENT, order).below(least_us);
        self.start + ((begins_us + u128::from(within_us)) / 1_000) as Time
    }

    fn scaled(&self, random: &mut Random, (least_ms, most_ms): (i64, i64)) -> u64 {
        random.between(least_ms, most_ms).unsigned_abs() * self.scale / DECIMAL_UNIT
    }

    /// The life of an order.
    pub fn life(&self, order: u64) -> Life {
        let random = &mut Random::of(self.seed, draws::LIFE, order);
        let mut life = Life { steps: [(0, Step::Placed); STEPS_MAX], length: 0, lines: 1 };
        let mut at = self.placed_at(order);
        life.push(at, Step::Placed);
        let (fate, _) = FATES[random.weighted(&FATES.map(|(_, weight)| weight))];
        let more_lines = random.weighted(&LINES);
        let paid_at = at + self.scaled(random, PAID_MS);
        let held_before = random.chance(HELD).then(|| 1 + random.below(2) as usize);
        let cancelled_before = random.below(3) as usize;
        let events = self.kind == StreamKind::Orders;
        if events {
            (0..more_lines).for_each(|_| life.push(at, Step::ItemAdded));
            life.lines += more_lines;
        }
        if matches!(fate, Fate::Unpaid) {
            return life;
        }
        if events {
            life.push(paid_at, Step::Paid);
        }
        for (stage, (step, least_ms, most_ms)) in STAGES.into_iter().enumerate() {
            let takes_ms = self.scaled(random, (least_ms, most_ms));
            match fate {
                Fate::Lost if step == Step::Delivered => break,
                Fate::Cancelled if stage == cancelled_before => {
                    life.push(at + takes_ms, Step::Cancelled);
                    break;
                }
                _ => {}
            }
            if events && held_before == Some(stage) {
                life.push(at + takes_ms / 2, Step::Held);
                at += self.scaled(random, HELD_MS);
                life.push(at + takes_ms / 2, Step::Released);
            }
            at += takes_ms;
            life.push(at, step);
        }
        life
    }
}

/// The life of an order.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    steps: [(Time, Step); STEPS_MAX],
    length: usize,
    /// Lines of the order: one at its placement, one for each item added.
    pub lines: usize,
}

impl Life {
    fn push(&mut self, at: Time, step: Step) {
        self.steps[self.length] = (at, step);
        self.length += 1;
    }

    /// Everything that happens, in order.
    pub fn steps(&self) -> &[(Time, Step)] {
        &self.steps[..self.length]
    }
}

/// A step of an order, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// When it happens.
    pub at: Time,
    /// The order, from 0.
    pub order: u64,
    /// Its step, from 0.
    pub step: u8,
}

/// All lives at once, in the order of time. Holds one moment of each order that lives, no more.
pub struct Lives {
    schedule: Schedule,
    next: BinaryHeap<Reverse<Moment>>,
}

impl Lives {
    /// Before the first order is placed.
    pub fn new(schedule: Schedule) -> Lives {
        Lives::from(schedule, 0)
    }

    /// The lives of this order and those that are placed after it.
    pub fn from(schedule: Schedule, order: u64) -> Lives {
        let mut lives = Lives { schedule, next: BinaryHeap::new() };
        lives.place(order);
        lives
    }

    fn place(&mut self, order: u64) {
        if order < self.schedule.orders {
            self.next.push(Reverse(Moment { at: self.schedule.placed_at(order), order, step: 0 }));
        }
    }

    /// When something happens next; none where nothing does before the end.
    pub fn next_time(&self) -> Option<Time> {
        self.next.peek().map(|Reverse(moment)| moment.at).filter(|at| *at <= self.schedule.end)
    }
}

impl Iterator for Lives {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        self.next_time()?;
        let Reverse(moment) = self.next.pop()?;
        if moment.step == 0 {
            self.place(moment.order + 1);
        }
        let step = moment.step + 1;
        if let Some((at, _)) = self.schedule.life(moment.order).steps().get(usize::from(step)) {
            self.next.push(Reverse(Moment { at: *at, step, ..moment }));
        }
        Some(moment)
    }
}

//! The keeper of a worker's orders: the fused plan without timely, a state machine that is told facts and frontiers and
//! says what changed.
//!
//! Invariant: what it has emitted for an order is the difference between no view and the order's view as of the time up
//! to which it has advanced; of a live job, as of the end of the last epoch. Timers fire only up to the largest accepted event
//! time that is known (of any worker), so nothing that falls due after the end of a bounded replay ever shows.

mod admission;
mod change;
mod epochs;
mod snapshot;
mod whole;

use std::cell::Cell;
use std::rc::Rc;

use super::Detail;
use super::admit::{self, Registry, Timer};
use super::contribution::Share;
use super::counting::Contributions;
use super::driver::{Emitted, Machine};
use super::order::{Order, Progress};
use super::outlook::Law;
use super::parcel::{Delivery, Parcel};
use super::view::View;
use crate::operators::calendar::Calendar;
use crate::operators::limit::Until;
use crate::operators::stash::{Batch, Entry, Stash};
use crate::operators::ticks::Ticks;
use crate::settings::Settings;
use crate::time::{DAY_MS, HOUR_MS, Time};
use crate::views::quality::{QualityCounts, QualityKey};
use change::{Before, look};
use epochs::Epochs;
pub use snapshot::{Damaged, Snapshots};

/// What a keeper is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show orders: rows and contributions (the fused plan).
    Show(Detail),
    /// To admit facts only: accepted ones come out as a collection (the relational plan goes on from there).
    Admit,
}

impl Purpose {
    /// True where no reader looks at any time but the last: what changes may then show at another time than it does.
    fn wants_end_alone(self) -> bool {
        matches!(self, Purpose::Show(Detail::Final | Detail::Counts))
    }

    /// How often aggregates change. Where only what they come to is wanted, a day's differences are added up first.
    fn tick_ms(self, settings: &Settings) -> u64 {
        if self.wants_end_alone() { DAY_MS } else { settings.tick_ms }
    }
}

/// Orders that are looked up together: as many as stay in a core's first cache until it is their turn.
const ORDERS_AT_ONCE: usize = 32;
/// Orders whose rows are given at once in the end: all rows would not fit into memory.
const ORDERS_AT_END: u32 = 1 << 12;

/// How many orders a keeper has, as of when it last advanced, and what they take up in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Orders that live.
    pub live: usize,
    /// Orders that are retired and not yet forgotten.
    pub tombstones: usize,
    /// Bytes that those take that live, their timers included, as of the end of the last epoch.
    pub order_bytes: usize,
    /// Bytes that the others take.
    pub tombstone_bytes: usize,
}

/// A worker's orders.
pub struct Keeper {
    law: Rc<Law>,
    purpose: Purpose,
    registry: Registry,
    stash: Stash,
    timers: Calendar<u32>,
    contributions: Contributions,
    quality: Ticks<QualityKey, QualityCounts>,
    emitted: Emitted,
    /// Results are known to reach at least to here.
    known_until: Time,
    /// All facts before this have been judged.
    judged_before: Time,
    announced: Time,
    /// Workers that have read their inputs to the end; see [`Parcel::input_end`].
    inputs_ended: u64,
    before: View,
    /// The order as it stands after a change; of its lines, where it is not whole, the new ones only.
    after: View,
    /// The orders of the facts that are being judged, as looked up beforehand; kept for its allocation.
    numbers: Vec<Option<u32>>,
    /// True where `after` has all lines.
    is_whole: bool,
    /// In the end: the orders before this number have given their rows.
    given_before: Option<u32>,
    /// Of a live job: what it gives together, and where it puts snapshots.
    epochs: Option<Epochs>,
    snapshots: Snapshots,
    census: Rc<Cell<Census>>,
}

impl Keeper {
    /// No orders yet.
    pub fn new(law: Rc<Law>, until: Until, purpose: Purpose) -> Keeper {
        let known_until = until.known_at_start();
        Keeper {
            contributions: Contributions::new(purpose.tick_ms(&law.settings), &law.settings),
            quality: Ticks::new(purpose.tick_ms(&law.settings)),
            law,
            purpose,
            registry: Registry::default(),
            stash: Stash::new(HOUR_MS),
            timers: Calendar::new(HOUR_MS),
            emitted: Emitted::default(),
            known_until,
            judged_before: 0,
            announced: known_until,
            inputs_ended: 0,
            before: View::default(),
            after: View::default(),
            numbers: Vec::new(),
            is_whole: false,
            given_before: None,
            epochs: None,
            snapshots: Box::new(|_| Box::new(drop)),
            census: Rc::default(),
        }
    }

    /// Where it says what orders it has, whoever owns it later.
    pub fn census(&self) -> Rc<Cell<Census>> {
        Rc::clone(&self.census)
    }

    /// Every order that lives.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.registry.iter()
    }

    /// Admits the records of a group, one time after another; `number` is that of the order they are likely of.
    fn admit_all(&mut self, batch: &Batch, entries: &[Entry], number: &mut Option<u32>) {
        for at_once in entries.chunk_by(|left, right| left.time() == right.time()) {
            if let [only] = at_once {
                *number = self.admit(&[Delivery::read(only.time(), batch.record(only))], *number);
                continue;
            }
            let mut deliveries: Vec<Delivery<'_>> =
                at_once.iter().map(|entry| Delivery::read(entry.time(), batch.record(entry))).collect();
            admit::sort(&mut deliveries);
            for of_order in deliveries.chunk_by(|left, right| left.key == right.key) {
                *number = self.admit(of_order, *number);
            }
        }
    }

    /// Publishes the ticks before `time`. A timer that fires late adds to its tick in another update.
    fn publish_before(&mut self, time: Time) {
        let Keeper { contributions, quality, emitted, .. } = self;
        contributions.publish_before(time, emitted);
        quality.publish_before(time, |tick, key, counts| emitted.quality.push((key, tick, counts)));
    }

    /// All facts before `frontier` have been judged: fires timers and publishes ticks up to there.
    fn advance_timers(&mut self, frontier: Time) {
        // A tick beyond the end that is known may turn out to be the end.
        self.fire_until(frontier.saturating_sub(1).min(self.known_until));
        self.registry.sweep(frontier, self.law.settings.horizon_ms);
        if self.epochs.is_none() {
            let done_before = self.done_before(frontier);
            self.publish_before(done_before);
        }
    }

    /// Judges all facts before `frontier`, and does what is due before it.
    fn judge_before(&mut self, frontier: Time) {
        // Orders do not depend on each other: each goes through a stretch of time alone, and has to be looked up once.
        let mut numbers = std::mem::take(&mut self.numbers);
        while let Some(batch) = self.stash.take_before(frontier) {
            let by_order: Vec<&[Entry]> =
                batch.entries().chunk_by(|left, right| left.group() == right.group()).collect();
            for orders in by_order.chunks(ORDERS_AT_ONCE) {
                let keys = orders.iter().filter_map(|entries| Some(Delivery::key_of(batch.record(entries.first()?))));
                self.registry.find_all(keys, &mut numbers);
                for (entries, number) in orders.iter().zip(&mut numbers) {
                    self.admit_all(&batch, entries, number);
                }
            }
            let end = batch.end();
            self.stash.recycle(batch);
            self.advance_timers(end);
        }
        self.numbers = numbers;
        self.advance_timers(frontier);
        self.judged_before = self.judged_before.max(frontier);
    }

    /// Fires every timer that is due at or before `time`.
    fn fire_until(&mut self, time: Time) {
        loop {
            if let Some((numbers, until)) = self.timers.newly_current() {
                self.registry.warm(numbers, until);
            }
            let Some((at, number)) = self.timers.pop_until(time) else { return };
            match self.registry.timer(number, at) {
                Timer::Stale => {}
                Timer::Due(due) => {
                    self.fire(number, due);
                    self.rest(number, due);
                }
                Timer::Later(due) => self.timers.push(due, number),
            }
        }
    }

    /// Fires what is due of one order at or before `time`, ahead of its timers and even of the known end: a late fact
    /// amends what stood until it came.
    fn fire_order_until(&mut self, number: u32, time: Time) {
        loop {
            let due = self.registry.due(number);
            if due > time {
                return;
            }
            self.fire(number, due);
        }
    }

    /// Looks at an order at the time it asked for.
    fn fire(&mut self, number: u32, time: Time) {
        let Keeper { registry, law, before, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        if time > order.bound(&law.settings) {
            return self.retire(number, time);
        }
        if let Some(epochs) = &mut self.epochs {
            epochs.touch(number, order, law, time);
        }
        let before_as = match self.purpose {
            Purpose::Show(Detail::Changes) if self.epochs.is_none() => {
                before.evaluate(order.tenant, &order.facts, law, time.saturating_sub(1));
                Before::View
            }
            _ => Before::Share(order.progress().map_or_else(Share::default, Progress::share)),
        };
        self.is_whole = look(order, law, &mut self.after, time, before_as == Before::View);
        self.emit_change(number, [time; 2], before_as);
    }

    /// Retires an order whose bound has passed; its rows stay as they are.
    fn retire(&mut self, number: u32, time: Time) {
        self.give_touched(number);
        if let (Some(order), Purpose::Show(detail)) = (self.registry.get(number), self.purpose) {
            // As of its bound: another order of its key may begin right after that, where tombstones have no time.
            let times = [order.bound(&self.law.settings), time.min(self.known_until)];
            let Keeper { law, emitted, contributions, .. } = self;
            emitted.give_accumulated(order, law, times, detail, contributions);
        }
        self.registry.retire(number, &self.law.settings);
    }

    /// Late facts took some orders beyond the end of results: takes back what was due only there.
    fn take_back(&mut self, end: Time) {
        let beyond = |(number, order): (u32, &Order)| (order.accepted_at > end).then_some(number);
        let numbers: Vec<u32> = self.registry.numbered().filter_map(beyond).collect();
        for number in numbers {
            self.wake(number, end);
            let Some(order) = self.registry.get(number) else { continue };
            let time = order.accepted_at;
            self.before.evaluate(order.tenant, &order.facts, &self.law, time);
            self.is_whole = look(order, &self.law, &mut self.after, end, true);
            self.emit_change(number, [time; 2], Before::View);
        }
    }
}

impl Machine<Parcel> for Keeper {
    fn receive(&mut self, parcel: Parcel) {
        if let (Some(epochs), Some((end, asks_snapshot))) = (&mut self.epochs, parcel.epoch_end) {
            epochs.end_at(end, asks_snapshot);
        }
        if let Some((time, workers)) = parcel.input_end {
            self.inputs_ended += 1;
            if self.inputs_ended == workers {
                self.known_until = self.known_until.max(time);
            }
        }
        if parcel.is_last_word && self.purpose.wants_end_alone() {
            return self.admit_whole(&parcel);
        }
        for (key, time, record) in parcel.records() {
            self.stash.push(time, key as u32, record);
        }
    }

    fn hear(&mut self, time: Time) {
        self.known_until = self.known_until.max(time);
        self.announced = self.announced.max(time);
    }

    fn news(&mut self) -> Option<Time> {
        (self.known_until > self.announced).then(|| {
            self.announced = self.known_until;
            self.announced
        })
    }

    fn advance(&mut self, frontier: Time) {
        let mut census = self.census.get();
        while let Some((end, asks_snapshot)) = self.epochs.as_mut().and_then(|epochs| epochs.next_end(frontier)) {
            self.judge_by_ticks(end);
            self.give_epoch(end);
            if asks_snapshot {
                self.put_snapshot(end);
            }
            census.order_bytes = self.registry.heap_bytes() + self.timers.heap_bytes();
        }
        self.judge_by_ticks(frontier);
        let tombstones = self.registry.tombstones();
        (census.live, census.tombstones) = (self.registry.count(), tombstones.count());
        census.tombstone_bytes = tombstones.heap_bytes();
        self.census.set(census);
    }

    fn done_before(&mut self, frontier: Time) -> Time {
        if let Some(epochs) = &self.epochs {
            return epochs.ended;
        }
        let timer = self.timers.next_time().unwrap_or(Time::MAX);
        frontier.min(self.known_until).min(timer)
    }

    fn finish(&mut self) -> bool {
        let end = self.known_until;
        if self.given_before.is_none() {
            self.fire_until(end);
            self.take_back(end);
        }
        if let Purpose::Show(detail @ (Detail::Final | Detail::Counts)) = self.purpose {
            let Keeper { registry, law, emitted, contributions, given_before, .. } = self;
            let first = given_before.unwrap_or(0);
            let next = first.saturating_add(ORDERS_AT_END).min(registry.end());
            for order in (first..next).filter_map(|number| registry.get(number)) {
                emitted.give_accumulated(order, law, [end, end], detail, contributions);
            }
            *given_before = Some(next);
            if next < registry.end() {
                return false;
            }
        }
        let Keeper { contributions, quality, emitted, .. } = self;
        contributions.publish_rest(end, emitted);
        quality.publish_rest(end, |tick, key, counts| emitted.quality.push((key, tick, counts)));
        true
    }

    fn emitted(&mut self) -> &mut Emitted {
        &mut self.emitted
    }
}

//! The keeper of a worker's orders: the fused plan without timely, a state machine that is told facts and frontiers and
//! says what changed.
//!
//! Invariant: what it has emitted for an order is the difference between no view and the order's view as of the time up
//! to which it has advanced. Timers fire only up to the largest accepted event time that is known (of any worker), so
//! nothing that falls due after the end of a bounded replay ever shows.

use std::rc::Rc;

use differential_dataflow::difference::IsZero;

use super::Detail;
use super::admit::{self, Judgement, Order, Place, Registry, Timer};
use super::contribution::{Change, Share, Side};
use super::driver::{Emitted, Machine};
use super::outlook::{Law, Outlook};
use super::parcel::{Delivery, Parcel};
use super::sla::Party;
use super::view::View;
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Sla};
use crate::operators::calendar::Calendar;
use crate::operators::limit::Until;
use crate::operators::stash::Stash;
use crate::operators::ticks::Ticks;
use crate::settings::Settings;
use crate::time::{DAY_MS, Diff, HOUR_MS, Time};
use crate::views::dead_letters::Refusal;
use crate::views::measures::{MeasureKey, Measures};
use crate::views::order_events;
use crate::views::orders;
use crate::views::quality::{self, QualityCounts, QualityKey};
use crate::views::sla_breaches;
use crate::views::stalled_orders;
use crate::views::violations;
use crate::views::{record_law, row_counts};

/// What a keeper is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To show orders: rows and contributions (the fused plan).
    Show(Detail),
    /// To admit facts only: accepted ones come out as a collection (the relational plan goes on from there).
    Admit,
}

impl Purpose {
    /// How often aggregates change. Where only what they come to is wanted, a day's differences are added up first.
    fn tick_ms(self, settings: &Settings) -> u64 {
        match self {
            Purpose::Show(Detail::Changes) | Purpose::Admit => settings.tick_ms,
            Purpose::Show(_) => DAY_MS,
        }
    }
}

/// How an order stood before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// What it contributed: enough where facts were only added.
    Share(Share),
    /// As the view before shows it.
    View,
}

/// Contributions on their way to the aggregates.
type Sums = Ticks<MeasureKey, Measures>;

/// A worker's orders.
pub struct Keeper {
    law: Rc<Law>,
    purpose: Purpose,
    registry: Registry,
    stash: Stash,
    timers: Calendar<u32>,
    ticks: Sums,
    quality: Ticks<QualityKey, QualityCounts>,
    emitted: Emitted,
    /// Results are known to reach at least to here.
    known_until: Time,
    announced: Time,
    /// What became of the facts of a time, not yet in the ticks.
    counted: (Time, Measures),
    before: View,
    /// The order as it stands after a change; of its lines, where it is not whole, the new ones only.
    after: View,
    /// The orders of the facts that are being judged, as looked up beforehand; kept for its allocation.
    numbers: Vec<Option<u32>>,
    /// True where `after` has all lines.
    is_whole: bool,
}

impl Keeper {
    /// No orders yet.
    pub fn new(law: Rc<Law>, until: Until, purpose: Purpose) -> Keeper {
        let known_until = until.known_at_start();
        Keeper {
            ticks: Ticks::new(purpose.tick_ms(&law.settings)),
            quality: Ticks::new(purpose.tick_ms(&law.settings)),
            law,
            purpose,
            registry: Registry::default(),
            stash: Stash::new(HOUR_MS),
            timers: Calendar::new(HOUR_MS),
            emitted: Emitted::default(),
            known_until,
            announced: known_until,
            counted: (0, Measures::default()),
            before: View::default(),
            after: View::default(),
            numbers: Vec::new(),
            is_whole: false,
        }
    }

    /// Admits deliveries of one order and one logical time; the order's number, which is `likely` the one given.
    fn admit(&mut self, deliveries: &[Delivery<'_>], likely: Option<u32>) -> Option<u32> {
        let (mut placed, mut before) = (None, None);
        for delivery in deliveries {
            let known = placed.filter(|_| !delivery.too_late);
            let Some(number) = known.or_else(|| self.place(delivery, likely)) else { continue };
            placed = Some(number);
            let Some(order) = self.registry.get(number) else { continue };
            let judgement = admit::judge(order, &delivery.outline, delivery.packed);
            if before.is_none() && matches!(judgement, Judgement::Accepted | Judgement::Displaces(_)) {
                before = Some(self.prepare_change(number, deliveries));
            }
            self.keep(number, delivery, judgement);
        }
        if let (Some(number), Some(before), Some(delivery)) = (placed, before, deliveries.first()) {
            self.change(number, delivery.time, before);
        }
        placed
    }

    /// The order that a delivery belongs to, started where it is new; none where the delivery is refused.
    fn place(&mut self, delivery: &Delivery<'_>, likely: Option<u32>) -> Option<u32> {
        let place = self.registry.place(delivery.key, likely, delivery.time, &self.law.settings);
        if place == Place::Retired || delivery.too_late {
            if place == Place::Retired {
                self.refuse(delivery, Refusal::OrderRetired);
            }
            if delivery.too_late {
                self.refuse(delivery, Refusal::TooLate);
            }
            self.count(delivery.time, record_law::REFUSED);
            return None;
        }
        match place {
            Place::Alive(number) => return Some(number),
            Place::Outlived(number) => {
                self.known_until = self.known_until.max(delivery.outline.at);
                // The last of these retires the order.
                self.fire_order_until(number, delivery.time);
            }
            Place::Absent | Place::Retired => {}
        }
        Some(self.registry.start(delivery))
    }

    /// Brings an order up to the time just before its deliveries; how it stood then.
    fn prepare_change(&mut self, number: u32, deliveries: &[Delivery<'_>]) -> Before {
        let time = deliveries.first().map_or(0, |delivery| delivery.time).saturating_sub(1);
        let earliest = deliveries.iter().map(|delivery| delivery.outline.at).min();
        self.known_until = self.known_until.max(earliest.unwrap_or(0));
        self.fire_order_until(number, time);
        self.after.clear();
        self.is_whole = false;
        let Some(order) = self.registry.get(number) else { return Before::Share(Share::default()) };
        let displaces = |delivery: &Delivery<'_>| {
            matches!(admit::judge(order, &delivery.outline, delivery.packed), Judgement::Displaces(_))
        };
        if self.purpose == Purpose::Show(Detail::Changes) || deliveries.iter().any(displaces) {
            self.before.evaluate(order.tenant, &order.facts, &self.law, time);
            return Before::View;
        }
        Before::Share(order.share())
    }

    /// Keeps a judged fact and counts it.
    fn keep(&mut self, number: u32, delivery: &Delivery<'_>, judgement: Judgement) {
        let Some(order) = self.registry.get_mut(number) else { return };
        let (accepted, counted) = match judgement {
            Judgement::Duplicate => {
                let minute = QualityKey::new(self.law.source(delivery.fact().position), Some(delivery.record_at));
                self.quality.give(delivery.time, minute, &quality::DUPLICATE);
                (false, record_law::DUPLICATE)
            }
            Judgement::Loses => {
                order.keep(&delivery.outline, delivery.packed, true);
                self.refuse(delivery, Refusal::ConflictingDuplicate);
                (false, record_law::REFUSED)
            }
            Judgement::Displaces(offset) => {
                let displaced = admit::refused(&order.facts.at(offset), Refusal::ConflictingDuplicate);
                if self.purpose == Purpose::Admit {
                    let loser = order.facts.standalone(offset);
                    self.emitted.facts.push(((order.id(), loser), delivery.time, -1));
                }
                order.facts.mark_loser(offset as usize);
                order.keep(&delivery.outline, delivery.packed, false);
                self.is_whole = true;
                self.emitted.refused.push((displaced, delivery.time, 1));
                // The displaced fact was counted as accepted: this one takes its place.
                (true, record_law::REFUSED)
            }
            Judgement::Accepted => {
                let offset = order.keep(&delivery.outline, delivery.packed, false);
                self.after.add_line(offset, &delivery.outline);
                self.is_whole |= !order.state.extend(&delivery.outline, self.law.settings.transitions);
                (true, record_law::ACCEPTED)
            }
        };
        if accepted && let Some(order) = self.registry.get_mut(number) {
            order.accepted_at = order.accepted_at.max(delivery.time);
            if self.purpose == Purpose::Admit {
                self.emitted.facts.push(((order.id(), delivery.packed.to_vec()), delivery.time, 1));
            }
            self.known_until = self.known_until.max(delivery.outline.at);
        }
        self.count(delivery.time, counted);
    }

    fn refuse(&mut self, delivery: &Delivery<'_>, reason: Refusal) {
        self.emitted.refused.push((admit::refused(&delivery.fact(), reason), delivery.time, 1));
    }

    fn count(&mut self, time: Time, counted: Measures) {
        if self.counted.0 != time {
            self.give_counted();
            self.counted.0 = time;
        }
        self.counted.1.add(&counted);
    }

    /// Brings what was counted into the ticks: facts of one time are counted together.
    fn give_counted(&mut self) {
        let (time, counted) = std::mem::take(&mut self.counted);
        if !counted.is_zero() {
            self.ticks.give(time, record_law::key(), &counted);
        }
    }

    /// Shows what deliveries at `time` changed: `after` has their lines, unless it is to be made whole.
    fn change(&mut self, number: u32, time: Time, before: Before) {
        let Keeper { registry, law, after, is_whole, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        *is_whole |= law.rules.asks_party()
            || match &before {
                Before::Share(share) => share.moves_items(&order.share()),
                Before::View => true,
            };
        if *is_whole {
            after.evaluate(order.tenant, &order.facts, law, time);
            order.state.clone_from(&after.state);
        } else {
            after.outlook = Outlook::of(&order.state, Party::nobody(), law, time);
        }
        self.emit_change(number, time, before);
    }

    /// Emits the difference that `after` makes at `time`, and sees to the order's next timer.
    fn emit_change(&mut self, number: u32, time: Time, before_as: Before) {
        let Keeper { registry, law, ticks, emitted, timers, before, after, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        let retires_at = order.bound(&law.settings).saturating_add(1);
        let mut due = retires_at;
        if let Purpose::Show(detail) = self.purpose {
            let before_side = match before_as {
                Before::View => Side::of(before),
                // No fact went away, so where all lines are there, those of before are the first ones of after.
                Before::Share(share) if self.is_whole => {
                    let (items, payments) = share.lines();
                    let items = after.items.get(..items).unwrap_or_default();
                    let payments = after.payments.get(..payments).unwrap_or_default();
                    Side { share, items, payments }
                }
                Before::Share(share) => Side { share, items: &[], payments: &[] },
            };
            order.outcomes = after.outlook.outcomes();
            let after_side = Side { share: order.share(), items: &after.items, payments: &after.payments };
            let (tenant, facts, settings) = (order.tenant, &order.facts, &law.settings);
            let change = Change { tenant, facts, before: before_side, after: after_side, time, settings };
            change.differences(|key, measures| ticks.give(time, key, &measures));
            if detail == Detail::Changes {
                emitted.give_rows(&order.id(), &order.facts, before, time, -1);
                emitted.give_rows(&order.id(), &order.facts, after, time, 1);
            }
            due = after.outlook.next_change_at.map_or(retires_at, |next| next.min(retires_at));
        }
        if registry.set_due(number, due) {
            timers.push(due, number);
        }
    }

    /// Publishes the ticks before `time`. A timer that fires late adds to its tick in another update.
    fn publish_before(&mut self, time: Time) {
        let Keeper { ticks, quality, emitted, .. } = self;
        ticks.publish_before(time, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        quality.publish_before(time, |tick, key, counts| emitted.quality.push((key, tick, counts)));
    }

    /// All facts before `frontier` have been judged: fires timers and publishes ticks up to there.
    fn advance_timers(&mut self, frontier: Time) {
        // A tick beyond the end that is known may turn out to be the end.
        self.fire_until(frontier.saturating_sub(1).min(self.known_until));
        self.registry.sweep(frontier, self.law.settings.horizon_ms);
        self.give_counted();
        let done_before = self.done_before(frontier);
        self.publish_before(done_before);
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
                Timer::Due(due) => self.fire(number, due),
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
        let Some(order) = registry.get(number) else { return };
        if time > order.bound(&law.settings) {
            return self.retire(number, time);
        }
        let before_as = match self.purpose {
            Purpose::Show(Detail::Changes) => {
                before.evaluate(order.tenant, &order.facts, law, time.saturating_sub(1));
                Before::View
            }
            _ => Before::Share(order.share()),
        };
        self.is_whole = look(order, law, &mut self.after, time, before_as == Before::View);
        self.emit_change(number, time, before_as);
    }

    /// Retires an order whose bound has passed; its rows stay as they are.
    fn retire(&mut self, number: u32, time: Time) {
        let retired = self.registry.retire(number, &self.law.settings);
        if let (Some(order), Purpose::Show(detail)) = (retired, self.purpose) {
            look(&order, &self.law, &mut self.after, time, detail == Detail::Final);
            let time = time.min(self.known_until);
            self.emitted.give_accumulated(&order, &self.after, time, detail, &mut self.ticks);
        }
    }

    /// Late facts took some orders beyond the end of results: takes back what was due only there.
    fn take_back(&mut self, end: Time) {
        let beyond = |(number, order): (u32, &Order)| (order.accepted_at > end).then_some(number);
        let numbers: Vec<u32> = self.registry.numbered().filter_map(beyond).collect();
        for number in numbers {
            let Some(order) = self.registry.get(number) else { continue };
            let time = order.accepted_at;
            self.before.evaluate(order.tenant, &order.facts, &self.law, time);
            self.is_whole = look(order, &self.law, &mut self.after, end, true);
            self.emit_change(number, time, Before::View);
        }
    }
}

impl Machine<Parcel> for Keeper {
    fn receive(&mut self, parcel: Parcel) {
        for (key, time, record) in parcel.records() {
            self.stash.push(time, key as u64, record);
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
        // Orders do not depend on each other: each goes through a stretch of time alone, and has to be looked up once.
        let mut numbers = std::mem::take(&mut self.numbers);
        while let Some(batch) = self.stash.take_before(frontier) {
            let by_order = || batch.entries().chunk_by(|left, right| left.group == right.group);
            let keys = by_order().filter_map(|entries| Some(Delivery::key_of(batch.record(entries.first()?))));
            self.registry.find_all(keys, &mut numbers);
            for (entries, number) in by_order().zip(&mut numbers) {
                for at_once in entries.chunk_by(|left, right| left.time == right.time) {
                    if let [only] = at_once {
                        *number = self.admit(&[Delivery::read(batch.record(only))], *number);
                        continue;
                    }
                    let mut deliveries: Vec<Delivery<'_>> =
                        at_once.iter().map(|entry| Delivery::read(batch.record(entry))).collect();
                    admit::sort(&mut deliveries);
                    for of_order in deliveries.chunk_by(|left, right| left.key == right.key) {
                        *number = self.admit(of_order, *number);
                    }
                }
            }
            let end = batch.end();
            self.stash.recycle(batch);
            self.advance_timers(end);
        }
        self.numbers = numbers;
        self.advance_timers(frontier);
    }

    fn done_before(&mut self, frontier: Time) -> Time {
        let timer = self.timers.next_time().unwrap_or(Time::MAX);
        frontier.min(self.known_until).min(timer)
    }

    fn finish(&mut self) {
        let end = self.known_until;
        self.fire_until(end);
        self.take_back(end);
        if let Purpose::Show(detail @ (Detail::Final | Detail::Counts)) = self.purpose {
            for order in self.registry.iter() {
                look(order, &self.law, &mut self.after, end, detail == Detail::Final);
                self.emitted.give_accumulated(order, &self.after, end, detail, &mut self.ticks);
            }
        }
        let Keeper { ticks, quality, emitted, .. } = self;
        ticks.publish_rest(end, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        quality.publish_rest(end, |tick, key, counts| emitted.quality.push((key, tick, counts)));
    }

    fn emitted(&mut self) -> &mut Emitted {
        &mut self.emitted
    }
}

/// Makes `view` that of an order as of `time`: whole where it has to be, the outlook alone otherwise. True where it is
/// whole.
fn look(order: &Order, law: &Law, view: &mut View, time: Time, whole: bool) -> bool {
    let whole = whole || law.rules.asks_party();
    if whole {
        view.evaluate(order.tenant, &order.facts, law, time);
    } else {
        view.clear();
        view.outlook = Outlook::of(&order.state, Party::nobody(), law, time);
    }
    whole
}

impl Emitted {
    /// Gives an order's rows as they stand for good, as `detail` wants them.
    fn give_accumulated(&mut self, order: &Order, view: &View, time: Time, detail: Detail, ticks: &mut Sums) {
        match detail {
            Detail::Changes | Detail::Nothing => {}
            Detail::Final => self.give_rows(&order.id(), &order.facts, view, time, 1),
            Detail::Counts => {
                let counts = row_counts::of_order(&order.state, &view.outlook);
                ticks.give(time, row_counts::key(), &counts);
            }
        }
    }

    /// Gives every row of an order's view `diff` times.
    pub fn give_rows(&mut self, id: &OrderId, facts: &PackedFacts, view: &View, time: Time, diff: Diff) {
        self.orders.extend(orders::row(id, view, facts).map(|row| (row, time, diff)));
        self.order_events.extend(order_events::rows(id, view, facts).map(|row| (row, time, diff)));
        self.violations.extend(violations::rows(id, view, facts).map(|row| (row, time, diff)));
        let breaches = Sla::ALL.into_iter().filter_map(|sla| sla_breaches::row(id, view, facts, sla));
        self.sla_breaches.extend(breaches.map(|row| (row, time, diff)));
        self.stalled_orders.extend(stalled_orders::row(id, view).map(|row| (row, time, diff)));
    }
}

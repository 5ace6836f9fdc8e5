//! The keeper of a worker's orders: the fused plan without timely, a state machine that is told facts and frontiers and
//! says what changed.
//!
//! Invariant: what it has emitted for an order is the difference between no view and the order's view as of the time up
//! to which it has advanced. Timers fire only up to the largest accepted event time that is known (of any worker), so
//! nothing that falls due after the end of a bounded replay ever shows.

use std::rc::Rc;

use super::Detail;
use super::admit::{self, Judgement, Order, Place, Registry};
use super::contribution::{Change, Side};
use super::driver::{Emitted, Machine};
use super::parcel::{Delivery, Parcel};
use super::view::{Law, View};
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Sla};
use crate::operators::calendar::Calendar;
use crate::operators::limit::Until;
use crate::operators::stash::Stash;
use crate::operators::ticks::Ticks;
use crate::time::{Diff, HOUR_MS, Time};
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

/// How an order's state before a change is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// By the share it contributed: enough where facts were only added.
    Share,
    /// By its view, evaluated.
    View,
}

/// A worker's orders.
pub struct Keeper {
    law: Rc<Law>,
    purpose: Purpose,
    registry: Registry,
    stash: Stash,
    timers: Calendar<u32>,
    ticks: Ticks<MeasureKey, Measures>,
    quality: Ticks<QualityKey, QualityCounts>,
    emitted: Emitted,
    /// Results are known to reach at least to here.
    known_until: Time,
    announced: Time,
    before: View,
    after: View,
}

impl Keeper {
    /// No orders yet.
    pub fn new(law: Rc<Law>, until: Until, purpose: Purpose) -> Keeper {
        let known_until = until.known_at_start();
        Keeper {
            ticks: Ticks::new(law.settings.tick_ms),
            quality: Ticks::new(law.settings.tick_ms),
            law,
            purpose,
            registry: Registry::default(),
            stash: Stash::new(HOUR_MS),
            timers: Calendar::new(HOUR_MS),
            emitted: Emitted::default(),
            known_until,
            announced: known_until,
            before: View::default(),
            after: View::default(),
        }
    }

    /// Admits deliveries of one order and one logical time.
    fn admit(&mut self, deliveries: &[Delivery<'_>]) {
        let mut changed = None;
        for delivery in deliveries {
            let Some(number) = self.place(delivery) else { continue };
            let Some(order) = self.registry.get(number) else { continue };
            let judgement = admit::judge(&order.facts, delivery.packed);
            let accepted = matches!(judgement, Judgement::Accepted | Judgement::Displaces(_));
            if accepted && changed.is_none() {
                changed = Some((number, self.prepare_change(number, deliveries)));
            }
            self.keep(number, delivery, judgement);
        }
        if let (Some((number, before)), Some(delivery)) = (changed, deliveries.first()) {
            let Some(order) = self.registry.get(number) else { return };
            self.after.evaluate(order.tenant, &order.facts, &self.law, delivery.time);
            self.emit_change(number, delivery.time, before);
        }
    }

    /// The order that a delivery belongs to, started where it is new; none where the delivery is refused.
    fn place(&mut self, delivery: &Delivery<'_>) -> Option<u32> {
        let place = self.registry.place(delivery.key, delivery.time, &self.law, &mut self.after);
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
                self.known_until = self.known_until.max(delivery.at());
                // The last of these retires the order.
                self.fire_order_until(number, delivery.time);
            }
            Place::Absent | Place::Retired => {}
        }
        Some(self.registry.start(delivery))
    }

    /// Brings an order up to the time just before its deliveries; how its state before them is known.
    fn prepare_change(&mut self, number: u32, deliveries: &[Delivery<'_>]) -> Before {
        let time = deliveries.first().map_or(0, |delivery| delivery.time).saturating_sub(1);
        self.known_until = self.known_until.max(deliveries.iter().map(Delivery::at).min().unwrap_or(0));
        self.fire_order_until(number, time);
        let Some(order) = self.registry.get(number) else { return Before::Share };
        let displaces =
            |delivery: &Delivery<'_>| matches!(admit::judge(&order.facts, delivery.packed), Judgement::Displaces(_));
        if self.purpose == Purpose::Show(Detail::Changes) || deliveries.iter().any(displaces) {
            self.before.evaluate(order.tenant, &order.facts, &self.law, time);
            return Before::View;
        }
        Before::Share
    }

    /// Keeps a judged fact and counts it.
    fn keep(&mut self, number: u32, delivery: &Delivery<'_>, judgement: Judgement) {
        let Some(order) = self.registry.get_mut(number) else { return };
        let (accepted, counted) = match judgement {
            Judgement::Duplicate => {
                let minute = QualityKey::new(self.law.source(delivery.fact().position), Some(delivery.record_at));
                self.quality.give(delivery.time, minute, quality::DUPLICATE);
                (false, record_law::DUPLICATE)
            }
            Judgement::Loses => {
                order.facts.push(delivery.packed, true);
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
                order.facts.push(delivery.packed, false);
                self.emitted.refused.push((displaced, delivery.time, 1));
                // The displaced fact was counted as accepted: this one takes its place.
                (true, record_law::REFUSED)
            }
            Judgement::Accepted => {
                order.facts.push(delivery.packed, false);
                (true, record_law::ACCEPTED)
            }
        };
        if accepted && let Some(order) = self.registry.get_mut(number) {
            order.accepted_at = order.accepted_at.max(delivery.time);
            if self.purpose == Purpose::Admit {
                self.emitted.facts.push(((order.id(), delivery.packed.to_vec()), delivery.time, 1));
            }
            self.known_until = self.known_until.max(delivery.at());
        }
        self.count(delivery.time, counted);
    }

    fn refuse(&mut self, delivery: &Delivery<'_>, reason: Refusal) {
        self.emitted.refused.push((admit::refused(&delivery.fact(), reason), delivery.time, 1));
    }

    fn count(&mut self, time: Time, counted: Measures) {
        self.ticks.give(time, record_law::key(), counted);
    }

    /// Emits the difference that `after` makes at `time`, and sees to the order's next timer.
    fn emit_change(&mut self, number: u32, time: Time, before_as: Before) {
        let Keeper { registry, law, ticks, emitted, timers, before, after, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        let retires_at = order.bound(after, &law.settings).saturating_add(1);
        order.due = retires_at;
        if let Purpose::Show(detail) = self.purpose {
            let after_side = Side::of(after);
            let before_side = match before_as {
                Before::View => Side::of(before),
                Before::Share => {
                    // No fact went away, so the lines of before are the first ones of after.
                    let (items, payments) = order.share.lines();
                    let items = after.items.get(..items).unwrap_or_default();
                    let payments = after.payments.get(..payments).unwrap_or_default();
                    Side { share: order.share, items, payments }
                }
            };
            let (tenant, facts, settings) = (order.tenant, &order.facts, &law.settings);
            let change = Change { tenant, facts, before: before_side, after: after_side, time, settings };
            change.differences(|key, measures| ticks.give(time, key, measures));
            order.share = after_side.share;
            if detail == Detail::Changes {
                emitted.give_rows(&order.id(), &order.facts, before, time, -1);
                emitted.give_rows(&order.id(), &order.facts, after, time, 1);
            }
            order.due = after.next_change_at.map_or(retires_at, |next| next.min(retires_at));
        }
        if order.due < order.scheduled {
            order.scheduled = order.due;
            timers.push(order.due, number);
        }
    }

    /// Publishes the ticks before `time`. A timer that fires late adds to its tick in another update.
    fn publish_before(&mut self, time: Time) {
        let Keeper { ticks, quality, emitted, .. } = self;
        ticks.publish_before(time, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        quality.publish_before(time, |tick, key, counts| emitted.quality.push((key, tick, counts)));
    }

    /// Fires every timer that is due at or before `time`.
    fn fire_until(&mut self, time: Time) {
        while let Some((due, number)) = self.timers.pop_until(time) {
            let Some(order) = self.registry.get_mut(number) else { continue };
            if order.scheduled != due {
                continue;
            }
            order.scheduled = Time::MAX;
            if order.due <= due {
                let due = order.due;
                self.fire(number, due);
            } else {
                order.scheduled = order.due;
                self.timers.push(order.due, number);
            }
        }
    }

    /// Fires what is due of one order at or before `time`, ahead of its timers and even of the known end: a late fact
    /// amends what stood until it came.
    fn fire_order_until(&mut self, number: u32, time: Time) {
        while let Some(due) = self.registry.get(number).map(|order| order.due).filter(|due| *due <= time) {
            self.fire(number, due);
        }
    }

    /// Looks at an order at the time it asked for.
    fn fire(&mut self, number: u32, time: Time) {
        let Keeper { registry, law, before, after, .. } = self;
        let Some(order) = registry.get(number) else { return };
        after.evaluate(order.tenant, &order.facts, law, time);
        if time > order.bound(after, &law.settings) {
            return self.retire(number, time);
        }
        if self.purpose == Purpose::Show(Detail::Changes) {
            before.evaluate(order.tenant, &order.facts, law, time.saturating_sub(1));
        }
        let before = if self.purpose == Purpose::Show(Detail::Changes) { Before::View } else { Before::Share };
        self.emit_change(number, time, before);
    }

    /// Retires an order whose bound has passed and whose view is `after`; its rows stay as they are.
    fn retire(&mut self, number: u32, time: Time) {
        let Keeper { registry, law, after, emitted, .. } = self;
        let Some(order) = registry.get(number) else { return };
        let bound = order.bound(after, &law.settings);
        let retired = registry.retire(number, bound, after.status(), &law.settings);
        if let (Some(order), Purpose::Show(detail)) = (retired, self.purpose) {
            emitted.give_accumulated(&order, after, time.min(self.known_until), detail);
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
            self.after.evaluate(order.tenant, &order.facts, &self.law, end);
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
        while let Some(bucket) = self.stash.take_before(frontier) {
            let mut entries = bucket.entries();
            while let Some(first) = entries.first() {
                let same = entries.partition_point(|entry| (entry.time, entry.group) <= (first.time, first.group));
                self.fire_until(first.time.saturating_sub(1).min(self.known_until));
                // A tick beyond the end that is known may turn out to be the end.
                self.publish_before(first.time.min(self.known_until));
                let (group, rest) = entries.split_at(same);
                if let [only] = group {
                    self.admit(&[Delivery::read(bucket.record(only))]);
                } else {
                    let mut deliveries: Vec<Delivery<'_>> =
                        group.iter().map(|entry| Delivery::read(bucket.record(entry))).collect();
                    admit::sort(&mut deliveries);
                    for of_order in deliveries.chunk_by(|left, right| left.key == right.key) {
                        self.admit(of_order);
                    }
                }
                entries = rest;
            }
        }
        self.fire_until(frontier.saturating_sub(1).min(self.known_until));
        let done_before = self.done_before(frontier);
        self.publish_before(done_before);
    }

    fn done_before(&mut self, frontier: Time) -> Time {
        let timer = self.timers.next_time().unwrap_or(Time::MAX);
        frontier.min(self.known_until).min(timer)
    }

    fn finish(&mut self) {
        let end = self.known_until;
        self.fire_until(end);
        self.take_back(end);
        let Keeper { ticks, quality, emitted, .. } = self;
        ticks.publish_rest(end, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        quality.publish_rest(end, |tick, key, counts| emitted.quality.push((key, tick, counts)));
        if let Purpose::Show(detail @ (Detail::Final | Detail::Counts)) = self.purpose {
            for order in self.registry.iter() {
                self.after.evaluate(order.tenant, &order.facts, &self.law, end);
                self.emitted.give_accumulated(order, &self.after, end, detail);
            }
        }
    }

    fn emitted(&mut self) -> &mut Emitted {
        &mut self.emitted
    }
}

impl Emitted {
    /// Gives an order's rows as they stand for good, as `detail` wants them.
    fn give_accumulated(&mut self, order: &Order, view: &View, time: Time, detail: Detail) {
        match detail {
            Detail::Changes | Detail::Nothing => {}
            Detail::Final => self.give_rows(&order.id(), &order.facts, view, time, 1),
            Detail::Counts => self.measures.push((row_counts::key(), time, row_counts::of_order(view))),
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

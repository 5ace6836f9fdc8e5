//! Orders that come whole: all that will ever be said of them in one parcel.
//!
//! A source that reads an order's rows together can promise that nothing more comes of it. Where, besides, nobody looks
//! at any time but the last, such an order need not wait for the frontier to reach one of its facts after the other: it is
//! admitted at once, and shows one change instead of one for each instant, at the earliest time that is still open. This
//! is compaction, as for ticks of a day: the differences that are left out would add up to nothing.
//!
//! Once such an order is finished and time alone changes nothing more about it, it is forgotten: what it is now it will be
//! to its last day, and no fact can come that a tombstone would have to refuse.
//!
//! Invariant: what it comes to at the end is what it would have come to step by step. So an order takes this way only
//! where nothing can befall it between its facts: nothing is left of an earlier order of its key, and its facts are no
//! further apart than it lives without one, whether finished or not; windows stay open for longer than that. Whatever else
//! comes waits in the stash like any other.

use super::super::admit;
use super::super::contribution::Share;
use super::super::parcel::{Delivery, OrderKey, Parcel};
use super::change::Before;
use super::{Keeper, ORDERS_AT_ONCE};

impl Keeper {
    /// Admits the orders of a parcel; those that have to wait go to the stash.
    pub(super) fn admit_whole(&mut self, parcel: &Parcel) {
        let mut runs: Vec<(OrderKey, &[u8])> = parcel.runs().collect();
        // Runs of one order stay as they came: the sort is stable.
        runs.sort_by_key(|(key, _)| *key);
        let orders: Vec<&[(OrderKey, &[u8])]> = runs.chunk_by(|left, right| left.0 == right.0).collect();
        let mut numbers = std::mem::take(&mut self.numbers);
        let mut deliveries: Vec<Delivery<'_>> = Vec::new();
        for at_once in orders.chunks(ORDERS_AT_ONCE) {
            let keys = at_once.iter().filter_map(|runs| Some(runs.first()?.0));
            self.registry.find_all(keys, &mut numbers);
            for runs in at_once {
                let records = || runs.iter().flat_map(|(_, run)| Parcel::records_of(run));
                deliveries.clear();
                deliveries.extend(records().map(|(_, time, record)| Delivery::read(time, record)));
                if self.is_settled_at_once(&deliveries) {
                    deliveries.sort_by_key(|delivery| delivery.time);
                    deliveries.chunk_by_mut(|left, right| left.time == right.time).for_each(admit::sort);
                    self.settle(&deliveries);
                } else {
                    records().for_each(|(key, time, record)| self.stash.push(time, key as u32, record));
                }
            }
        }
        self.numbers = numbers;
    }

    /// True where nothing can befall the order of these deliveries between them.
    fn is_settled_at_once(&self, deliveries: &[Delivery<'_>]) -> bool {
        let settings = &self.law.settings;
        let times = deliveries.iter().map(|delivery| delivery.time);
        let (Some(first), Some(last)) = (times.clone().min(), times.max()) else { return false };
        last - first <= settings.life_ms(true).min(settings.life_ms(false))
            && deliveries.iter().all(|delivery| !delivery.too_late)
            && deliveries.first().is_some_and(|delivery| !self.registry.knows(delivery.key))
    }

    /// Admits all deliveries of an order, in the order of their times.
    fn settle(&mut self, deliveries: &[Delivery<'_>]) {
        let Some(first) = deliveries.first() else { return };
        // One time for all orders that come together: their differences meet in one tick.
        let (number, time) = (self.registry.start(first), self.judged_before);
        // A fact that came late may lie beyond the end of results and be taken back.
        let is_complete = deliveries.iter().all(|delivery| delivery.time == delivery.outline.at);
        if let Some(order) = self.registry.get_mut(number) {
            order.is_complete = is_complete;
        }
        self.after.clear();
        self.is_whole = false;
        for delivery in deliveries {
            let judgement = self.registry.judge(number, delivery);
            self.keep(number, delivery, judgement, time);
        }
        let as_of = self.registry.get(number).map_or(first.time, |order| order.accepted_at);
        self.change(number, [as_of, time], Before::Share(Share::default()));
        self.rest(number, time);
    }
}

//! Admission: which facts are accepted, which are copies, which are refused (semantics.md, sections 2 and 8).
//!
//! [`judge`] decides between facts of one order, by value and never by arrival: of one identity the smallest (at,
//! content) wins. [`Registry`] keeps the orders that live and the tombstones of those that are retired, and says what a
//! fact meets. Invariant: an order that lives has its facts, winners and losers; a retired one has a key, a bound and a
//! status, 32 bytes, for `horizon`; after that nothing.

use hashbrown::HashTable;

use super::contribution::Share;
use super::parcel::{Delivery, OrderKey};
use super::view::{Law, View};
use crate::model::packed::{FactView, PackedFacts, Reader};
use crate::model::{OrderId, Status, Symbol, Text};
use crate::operators::slab::Slab;
use crate::settings::Settings;
use crate::time::Time;
use crate::views::dead_letters::{Refusal, RefusedFact};

/// What becomes of a fact among the facts of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It is new.
    Accepted,
    /// It wins its identity from the fact at this offset.
    Displaces(u32),
    /// It is a copy of a fact that is known, winner or loser.
    Duplicate,
    /// Another fact of its identity wins.
    Loses,
}

/// Judges a fact, whose bytes are `packed`, against those known of its order.
pub fn judge(known: &PackedFacts, packed: &[u8]) -> Judgement {
    let outline = Reader::new(packed).outline();
    let mut winner = None;
    for (offset, other) in known.outlines() {
        if !other.may_share_identity(&outline) {
            continue;
        }
        let (fact, other) = (Reader::new(packed).fact(), known.at(offset as u32));
        if other.same_identity(&fact) {
            if other.same_content(&fact) {
                return Judgement::Duplicate;
            }
            if !other.loser {
                winner = Some((offset as u32, fact, other));
            }
        }
    }
    match winner {
        None => Judgement::Accepted,
        Some((offset, fact, winner)) => {
            match fact.at.cmp(&winner.at).then_with(|| content(&fact).cmp(&content(&winner))) {
                std::cmp::Ordering::Less => Judgement::Displaces(offset),
                _ => Judgement::Loses,
            }
        }
    }
}

/// Brings deliveries of one order and time into the order in which they are judged.
pub fn sort(deliveries: &mut [Delivery<'_>]) {
    deliveries.sort_by(|left, right| {
        let (this, that) = (left.fact(), right.fact());
        let key = |fact: &FactView<'_>| (fact.at, fact.rank(), fact.number());
        left.key.cmp(&right.key).then_with(|| key(&this).cmp(&key(&that))).then_with(|| {
            // Copies and conflicts of one instant: rare enough to compare as text.
            (this.identity(), content(&this), this.position).cmp(&(that.identity(), content(&that), that.position))
        })
    });
}

/// A refused fact, for its dead letter.
pub fn refused(fact: &FactView<'_>, reason: Refusal) -> RefusedFact {
    RefusedFact {
        position: fact.position,
        rank: fact.rank(),
        content: content(fact),
        reason,
        event_id: fact.event_id.map(|event_id| event_id.text()),
    }
}

fn content(fact: &FactView<'_>) -> String {
    let nobody = OrderId { tenant: Text::default(), order_id: Text::default() };
    fact.fact(&nobody).content()
}

/// An order that lives.
#[derive(Debug)]
pub struct Order {
    /// Its key.
    pub key: OrderKey,
    /// Its tenant.
    pub tenant: Symbol,
    /// The shop's id of it.
    pub order_id: Text,
    /// Its facts, winners and losers.
    pub facts: PackedFacts,
    /// Logical time of the fact that was accepted last.
    pub accepted_at: Time,
    /// When the order is to be looked at next; `Time::MAX` for never.
    pub due: Time,
    /// What it contributes to the aggregates.
    pub share: Share,
    /// The earliest time at which a timer for it waits; `Time::MAX` where none does.
    pub scheduled: Time,
}

impl Order {
    /// The order's identity.
    pub fn id(&self) -> OrderId {
        OrderId { tenant: self.tenant.text(), order_id: self.order_id.clone() }
    }

    /// The last logical time at which a fact is still accepted, by the order's view.
    pub fn bound(&self, view: &View, settings: &Settings) -> Time {
        let life_ms = if view.fold.is_terminal() { settings.retention_ms } else { settings.max_age_ms };
        self.accepted_at.saturating_add(life_ms)
    }
}

#[derive(Clone, Copy, Debug)]
struct Tombstone {
    key: OrderKey,
    bound: Time,
    #[allow(dead_code)] // answers queries for a retired order
    status: Status,
}

/// What a fact meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its order lives, by this number.
    Alive(u32),
    /// Its order is retired: the fact is refused.
    Retired,
    /// Its order lives in memory still, by this number, but its tombstone's time is over, too: a new order starts.
    Outlived(u32),
    /// There is no such order: one starts.
    Absent,
}

/// The orders of a worker: those that live, and the tombstones of those that are retired.
#[derive(Debug, Default)]
pub struct Registry {
    orders: Slab<Order>,
    numbers: HashTable<u32>,
    tombstones: HashTable<Tombstone>,
    sweep_at: Time,
}

impl Registry {
    /// What a fact of the order `key` meets at logical time `time`; `scratch` is used to look into the order.
    pub fn place(&self, key: OrderKey, time: Time, law: &Law, scratch: &mut View) -> Place {
        let settings = &law.settings;
        let of_bound = |bound: Time| match () {
            () if time <= bound.saturating_add(settings.horizon_ms) => Place::Retired,
            () => Place::Absent,
        };
        if let Some(number) = self.numbers.find(hash(key), |number| self.has_key(*number, key)) {
            let Some(order) = self.orders.get(*number) else { return Place::Absent };
            if time <= order.accepted_at.saturating_add(settings.retention_ms.min(settings.max_age_ms)) {
                return Place::Alive(*number);
            }
            scratch.evaluate(order.tenant, &order.facts, law, time);
            let bound = order.bound(scratch, settings);
            return match of_bound(bound) {
                _ if time <= bound => Place::Alive(*number),
                Place::Absent => Place::Outlived(*number),
                place => place,
            };
        }
        match self.tombstones.find(hash(key), |tombstone| tombstone.key == key) {
            Some(tombstone) => of_bound(tombstone.bound),
            None => Place::Absent,
        }
    }

    /// Starts an order without facts.
    pub fn start(&mut self, delivery: &Delivery<'_>) -> u32 {
        let key = delivery.key;
        if let Ok(tombstone) = self.tombstones.find_entry(hash(key), |tombstone| tombstone.key == key) {
            tombstone.remove();
        }
        let number = self.orders.insert(Order {
            key,
            tenant: Symbol::new(&delivery.tenant()),
            order_id: delivery.order_id(),
            facts: PackedFacts::default(),
            accepted_at: delivery.time,
            share: Share::default(),
            due: Time::MAX,
            scheduled: Time::MAX,
        });
        let orders = &self.orders;
        self.numbers.insert_unique(hash(key), number, |number| orders.get(*number).map_or(0, |order| hash(order.key)));
        number
    }

    /// Retires an order: its facts leave memory, a tombstone stays. What it was.
    pub fn retire(&mut self, number: u32, bound: Time, status: Status, settings: &Settings) -> Option<Order> {
        let order = self.remove(number)?;
        let tombstone = Tombstone { key: order.key, bound, status };
        self.sweep(bound, settings.horizon_ms);
        self.tombstones.insert_unique(hash(order.key), tombstone, |tombstone| hash(tombstone.key));
        Some(order)
    }

    /// Takes an order out without a trace.
    pub fn remove(&mut self, number: u32) -> Option<Order> {
        let order = self.orders.remove(number)?;
        if let Ok(entry) = self.numbers.find_entry(hash(order.key), |known| *known == number) {
            entry.remove();
        }
        Some(order)
    }

    /// The order with this number.
    pub fn get(&self, number: u32) -> Option<&Order> {
        self.orders.get(number)
    }

    /// The order with this number, to change.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut Order> {
        self.orders.get_mut(number)
    }

    /// Every order that lives.
    pub fn iter(&self) -> impl Iterator<Item = &Order> {
        self.orders.iter().map(|(_, order)| order)
    }

    /// Every order that lives, with its number.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Order)> {
        self.orders.iter()
    }

    fn has_key(&self, number: u32, key: OrderKey) -> bool {
        self.orders.get(number).is_some_and(|order| order.key == key)
    }

    /// Drops the tombstones whose time is over, all at once and seldom, so that they cost nothing but their bytes.
    fn sweep(&mut self, time: Time, horizon_ms: u64) {
        if time >= self.sweep_at {
            self.tombstones.retain(|tombstone| tombstone.bound.saturating_add(horizon_ms) >= time);
            self.tombstones.shrink_to(self.tombstones.len() * 5 / 4, |tombstone| hash(tombstone.key));
            self.sweep_at = time.saturating_add(horizon_ms / 16 + 1);
        }
    }
}

/// The key is a hash already.
fn hash(key: OrderKey) -> u64 {
    (key >> 64) as u64
}

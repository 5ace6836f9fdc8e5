//! Admission: which facts are accepted, which are copies, which are refused (semantics.md, sections 2 and 8).
//!
//! [`judge_among`] decides between facts of one order, by value and never by arrival: of one identity the smallest (at,
//! content) wins. [`Registry`] keeps the orders that live and the tombstones of those that are retired, and says what a
//! fact meets; an order with very many facts has a [`Roster`] besides. Invariant: an order that lives has its facts,
//! winners and losers; a retired one has a tombstone for `horizon`, unless nothing more can come of it; after that
//! nothing.

mod bytes;

use hashbrown::{HashMap, HashTable};

use super::order::{Order, Progress};
use super::outlook::Law;
use super::parcel::{Delivery, OrderKey};
use super::roster::Roster;
use super::tombstones::Tombstones;
use super::view::View;
use crate::model::packed::{FactView, Outline, PackedFacts, Reader};
use crate::model::{OrderId, Text};
use crate::operators::slab::Slab;
use crate::settings::Settings;
use crate::time::{DAY_MS, Time};
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

/// Judges a fact, whose bytes are `packed`, by a look at all those known of its order.
pub fn judge_among(known: &PackedFacts, fact: &Outline, packed: &[u8]) -> Judgement {
    let mut winner = None;
    for (offset, other) in known.outlines() {
        if !other.may_share_identity(fact) {
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
    winner.map_or(Judgement::Accepted, |(offset, fact, winner)| meets(&fact, &winner, offset))
}

/// Judges a fact that meets the winner of its identity, which has another content and stands at `offset`.
pub fn meets(fact: &FactView<'_>, winner: &FactView<'_>, offset: u32) -> Judgement {
    match fact.at.cmp(&winner.at).then_with(|| content(fact).cmp(&content(winner))) {
        std::cmp::Ordering::Less => Judgement::Displaces(offset),
        _ => Judgement::Loses,
    }
}

/// Brings deliveries of one order and time into the order in which they are judged.
pub fn sort(deliveries: &mut [Delivery<'_>]) {
    deliveries.sort_by(|left, right| {
        let key = |fact: &Outline| (fact.at, fact.rank(), fact.number());
        left.key.cmp(&right.key).then_with(|| key(&left.outline).cmp(&key(&right.outline))).then_with(|| {
            // Copies and conflicts of one instant: rare enough to compare as text.
            let (this, that) = (left.fact(), right.fact());
            (this.identity(), content(&this), this.position).cmp(&(that.identity(), content(&that), that.position))
        })
    });
}

/// A refused fact, for its dead letter.
pub fn refused(fact: &FactView<'_>, reason: Refusal) -> RefusedFact {
    RefusedFact {
        position: fact.position,
        rank: fact.rank,
        content: content(fact),
        reason,
        event_id: fact.event_id.map(|event_id| event_id.text()),
    }
}

/// What a fact says, as text (semantics.md, section 2).
pub fn content(fact: &FactView<'_>) -> String {
    let nobody = OrderId { tenant: Text::default(), order_id: Text::default() };
    fact.fact(&nobody).content()
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

/// What is asked of an order most often: kept apart from it, so that these lie close together in memory.
#[derive(Clone, Copy, Debug)]
struct Head {
    key: OrderKey,
    /// When the order is to be looked at next; `Time::MAX` for never.
    due: Time,
    /// The earliest time at which a timer for it waits; `Time::MAX` where none does.
    scheduled: Time,
}

/// No timer waits for longer, in milliseconds: most orders change before they would stall a year later, and a timer that
/// has become pointless takes up memory until it comes.
const TIMER_MS: u64 = 32 * DAY_MS;
/// There is room for so many more heads than are needed, and an eighth.
const HEADS_AT_LEAST: usize = 1 << 10;

/// What a timer that has come says of its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Nothing: another one stands for the order, or the order is gone.
    Stale,
    /// It is to be looked at as of this time.
    Due(Time),
    /// A timer is to wait for it until this time.
    Later(Time),
}

/// The orders of a worker: those that live, and the tombstones of those that are retired.
#[derive(Debug, Default)]
pub struct Registry {
    orders: Slab<Order>,
    /// By the numbers of the orders.
    heads: Vec<Head>,
    numbers: HashTable<u32>,
    tombstones: Tombstones,
    /// Empty: the memory of retired orders' facts, for the next orders.
    spare: Vec<PackedFacts>,
    /// The memory of the progress of orders that rest or are retired, likewise.
    #[allow(clippy::vec_box)] // it is the boxes that are used again
    spare_progress: Vec<Box<Progress>>,
    /// Of orders with very many facts, by their numbers.
    rosters: HashMap<u32, Roster>,
}

impl Registry {
    /// What a fact of the order `key` meets at logical time `time`; `likely` is its number, unless it has changed.
    pub fn place(&self, key: OrderKey, likely: Option<u32>, time: Time, settings: &Settings) -> Place {
        let of_bound = |bound: Time| match () {
            () if time <= bound.saturating_add(settings.horizon_ms) => Place::Retired,
            () => Place::Absent,
        };
        let number = likely.filter(|number| self.has_key(*number, key)).or_else(|| self.find(key));
        if let Some((number, order)) = number.and_then(|number| Some((number, self.orders.get(number)?))) {
            let bound = order.bound(settings);
            return match of_bound(bound) {
                _ if time <= bound => Place::Alive(number),
                Place::Absent => Place::Outlived(number),
                place => place,
            };
        }
        self.tombstones.bound(key).map_or(Place::Absent, of_bound)
    }

    /// False where nothing is left of such an order, not even a tombstone.
    pub fn knows(&self, key: OrderKey) -> bool {
        self.find(key).is_some() || self.tombstones.bound(key).is_some()
    }

    /// The numbers of these orders, each where it lives, and all of them brought from memory into the caches. One lookup
    /// after another would wait for memory each time; these do not depend on each other, so the processor waits for many
    /// of them at once.
    pub fn find_all(&self, keys: impl Iterator<Item = OrderKey>, numbers: &mut Vec<Option<u32>>) {
        numbers.clear();
        numbers.extend(keys.map(|key| {
            let number = self.find(key);
            if number.is_none() {
                // Where an order does not live its tombstone is looked for.
                std::hint::black_box(self.tombstones.bound(key));
            }
            number
        }));
        let orders = numbers.iter().flatten().filter_map(|number| self.orders.get(*number));
        std::hint::black_box(orders.map(|order| order.touch() ^ order.facts.touch()).fold(0, u64::wrapping_add));
    }

    /// Brings those of these orders that are due by `until` from memory into the caches.
    pub fn warm(&self, numbers: impl Iterator<Item = u32>, until: Time) {
        let orders = numbers.filter(|number| self.due(*number) <= until).filter_map(|number| self.orders.get(number));
        std::hint::black_box(orders.map(Order::touch).fold(0, u64::wrapping_add));
    }

    /// When the order is to be looked at next; `Time::MAX` for never.
    pub fn due(&self, number: u32) -> Time {
        self.heads.get(number as usize).map_or(Time::MAX, |head| head.due)
    }

    /// Notes as of `time` when an order is to be looked at next; until when a timer is to wait, where none comes early
    /// enough.
    #[must_use]
    pub fn set_due(&mut self, number: u32, due: Time, time: Time) -> Option<Time> {
        let head = self.heads.get_mut(number as usize)?;
        head.due = due;
        let until = due.min(time.saturating_add(TIMER_MS));
        (until < head.scheduled).then(|| {
            head.scheduled = until;
            until
        })
    }

    /// What the timer says that was to come at `time`. Orders change far more often than they fall due, so timers are
    /// never moved: they find out when they come.
    pub fn timer(&mut self, number: u32, time: Time) -> Timer {
        match self.heads.get_mut(number as usize) {
            Some(head) if head.scheduled == time && head.due <= time => {
                head.scheduled = Time::MAX;
                Timer::Due(head.due)
            }
            Some(head) if head.scheduled == time && head.due < Time::MAX => {
                head.scheduled = head.due.min(time.saturating_add(TIMER_MS));
                Timer::Later(head.scheduled)
            }
            _ => Timer::Stale,
        }
    }

    /// Judges a fact against those known of its order.
    pub fn judge(&mut self, number: u32, fact: &Delivery<'_>) -> Judgement {
        let Some(order) = self.orders.get(number) else { return Judgement::Accepted };
        if order.progress().is_some_and(|progress| !progress.identities.may_hold(&fact.outline)) {
            return Judgement::Accepted;
        }
        if !order.facts.are_very_many() {
            return judge_among(&order.facts, &fact.outline, fact.packed);
        }
        let roster = self.rosters.entry(number).or_insert_with(|| Roster::of(&order.facts));
        roster.judge(&order.facts, &fact.fact())
    }

    /// Keeps a fact that was judged, of an order that lives; its offset.
    pub fn keep(&mut self, number: u32, fact: &Delivery<'_>, loser: bool) -> u32 {
        let Some(order) = self.orders.get_mut(number) else { return 0 };
        let offset = order.keep(&fact.outline, fact.packed, loser);
        if order.facts.are_very_many()
            && let Some(roster) = self.rosters.get_mut(&number)
        {
            roster.add(&order.facts, offset);
        }
        offset
    }

    /// Starts an order without facts.
    pub fn start(&mut self, delivery: &Delivery<'_>) -> u32 {
        self.tombstones.remove(delivery.key);
        let facts = self.spare.pop().unwrap_or_default();
        let progress = self.spare_progress.pop().unwrap_or_default();
        self.insert(delivery.key, Order::new(delivery, facts, progress))
    }

    /// Takes in an order; its number.
    pub fn insert(&mut self, key: OrderKey, order: Order) -> u32 {
        let number = self.orders.insert(order);
        let head = Head { key, due: Time::MAX, scheduled: Time::MAX };
        match self.heads.get_mut(number as usize) {
            Some(free) => *free = head,
            None => {
                if self.heads.len() == self.heads.capacity() {
                    self.heads.reserve_exact(self.heads.len() / 8 + HEADS_AT_LEAST);
                }
                self.heads.push(head);
            }
        }
        let heads = &self.heads;
        self.numbers.insert_unique(hash(key), number, |number| hash(heads[*number as usize].key));
        number
    }

    /// Retires an order: its facts leave memory, a tombstone stays where another fact could come.
    pub fn retire(&mut self, number: u32, settings: &Settings) {
        let Some(order) = self.orders.get_mut(number) else { return };
        let Some(head) = self.heads.get_mut(number as usize) else { return };
        let (key, bound, status, is_complete) = (head.key, order.bound(settings), order.status(), order.is_complete);
        if order.facts.are_very_many() {
            self.rosters.remove(&number);
        }
        let (mut facts, progress) = order.release();
        self.spare_progress.extend(progress);
        (head.due, head.scheduled) = (Time::MAX, Time::MAX);
        self.orders.remove(number);
        if facts.is_ordinary() && self.spare.len() <= self.orders.len() {
            facts.clear();
            self.spare.push(facts);
        }
        if let Ok(entry) = self.numbers.find_entry(hash(key), |known| *known == number) {
            entry.remove();
        }
        if !is_complete {
            self.tombstones.insert(key, bound, status);
        }
    }

    /// Lets an order rest that is finished and that time alone does not change before it retires; what it had come to. One
    /// with very many facts does not rest, for waking it is to fold them all, unless it is never to be woken.
    pub fn rest(&mut self, number: u32, settings: &Settings) -> Option<Box<Progress>> {
        let due = self.due(number);
        let order = self.orders.get_mut(number).filter(|order| due > order.bound(settings))?;
        if order.facts.are_very_many() && !order.is_complete { None } else { order.rest() }
    }

    /// Takes progress that is no longer needed: its memory is used again.
    pub fn reuse(&mut self, progress: Box<Progress>) {
        self.spare_progress.push(progress);
    }

    /// Wakes an order that rests; false where it does not. `view` is scratch space.
    pub fn wake(&mut self, number: u32, view: &mut View, law: &Law) -> bool {
        let Some(order) = self.orders.get_mut(number).filter(|order| order.progress().is_none()) else { return false };
        order.wake(self.spare_progress.pop().unwrap_or_default(), view, law);
        true
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

    /// The number that no order has reached yet.
    pub fn end(&self) -> u32 {
        self.orders.end()
    }

    /// Every order that lives, with its number.
    pub fn numbered(&self) -> impl Iterator<Item = (u32, &Order)> {
        self.orders.iter()
    }

    /// Every order that lives, with its key.
    pub fn by_key(&self) -> impl Iterator<Item = (OrderKey, &Order)> {
        self.orders.iter().filter_map(|(number, order)| Some((self.heads.get(number as usize)?.key, order)))
    }

    /// How many orders live.
    pub fn count(&self) -> usize {
        self.orders.len()
    }

    /// What is left of orders that are retired.
    pub fn tombstones(&self) -> &Tombstones {
        &self.tombstones
    }

    /// The same, to add to.
    pub fn tombstones_mut(&mut self) -> &mut Tombstones {
        &mut self.tombstones
    }

    fn find(&self, key: OrderKey) -> Option<u32> {
        self.numbers.find(hash(key), |number| self.has_key(*number, key)).copied()
    }

    fn has_key(&self, number: u32, key: OrderKey) -> bool {
        self.heads.get(number as usize).is_some_and(|head| head.key == key)
    }

    /// Drops tombstones whose time is over, all facts before `time` having been judged.
    pub fn sweep(&mut self, time: Time, horizon_ms: u64) {
        if time < Time::MAX {
            self.tombstones.drop_before(time, horizon_ms);
        }
    }
}

/// The key is a hash already.
fn hash(key: OrderKey) -> u64 {
    (key >> 64) as u64
}

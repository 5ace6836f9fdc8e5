//! Snapshots: a keeper's state as of a frontier, as bytes that any number of workers can take up again.
//!
//! An order is its facts: what they come to, and what time has made of it, is evaluated anew. Invariant: keepers that
//! together take up the snapshots of all others, and then get the records that were not in them, go on as those would
//! have; a record that waits for its time belongs to a snapshot only where its position is before the cut, because
//! those from the cut on are read again. Source: architecture.md, section 4; decision 10. Limits: only of a keeper
//! that shows changes.

use std::borrow::Cow;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::epochs::Epochs;
use super::{Keeper, Purpose};
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Position, Status};
use crate::operators::limit::Until;
use crate::operators::pieces::{Piece, Pieces};
use crate::operators::ticks::Ticks;
use crate::orders::counting::{Contributions, Waiting};
use crate::orders::driver::Emitted;
use crate::orders::order::Order;
use crate::orders::outlook::Law;
use crate::orders::parcel::{Delivery, OrderKey};
use crate::orders::{Detail, Rows};
use crate::time::Time;
use crate::views::quality::{QualityCounts, QualityKey};

/// Where a keeper puts the snapshots that it was asked for: of each time, the pieces.
pub type Snapshots = Box<dyn FnMut(Time) -> Box<dyn FnMut(Piece)>>;

/// Bytes that are no snapshot of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged(pub String);

/// One thing of a keeper's state. A snapshot is these, one after another.
#[derive(Serialize, Deserialize)]
enum Part<'b> {
    Order {
        key: OrderKey,
        id: OrderId,
        accepted_at: Time,
        facts: Cow<'b, PackedFacts>,
    },
    Tombstone {
        key: OrderKey,
        bound: Time,
        status: Status,
    },
    /// A fact that waits, as it came in a parcel.
    Fact {
        time: Time,
        record: &'b [u8],
    },
    Sums(Waiting),
    Quality(Time, QualityKey, QualityCounts),
}

impl Keeper {
    /// A keeper that shows what changed when an epoch ends, until the end of time, and takes snapshots when a parcel asks
    /// for one.
    pub fn live(law: Rc<Law>, snapshots: Snapshots, rows: Rows) -> Keeper {
        let keeper = Keeper::new(law, Until::Given(Time::MAX), Purpose::Show(Detail::Changes));
        // What waits for a tick is given with its epoch: how long ticks are is seen to there.
        let contributions = Contributions::new(Time::MAX, &keeper.law.settings);
        Keeper { snapshots, contributions, quality: Ticks::new(Time::MAX), epochs: Some(Epochs::new(rows)), ..keeper }
    }

    /// Puts down the state as of `time`, to which the keeper has just advanced.
    pub(super) fn put_snapshot(&mut self, time: Time) {
        let Keeper { registry, stash, contributions, quality, snapshots, .. } = self;
        let mut give = snapshots(time);
        let mut pieces = Pieces::new(&mut give);
        let mut put = |part: &Part<'_>| pieces.put(part);
        for (key, order) in registry.by_key() {
            let (id, accepted_at, facts) = (order.id(), order.accepted_at, Cow::Borrowed(&order.facts));
            put(&Part::Order { key, id, accepted_at, facts });
        }
        for (key, bound, status) in registry.tombstones().iter() {
            put(&Part::Tombstone { key, bound, status });
        }
        stash.iter().for_each(|(time, _, record)| put(&Part::Fact { time, record }));
        contributions.waiting().for_each(|sums| put(&Part::Sums(sums)));
        quality.iter().for_each(|(tick, key, counts)| put(&Part::Quality(tick, *key, *counts)));
        pieces.end();
    }

    /// Takes up what `is_mine` of a snapshot as of `time`, and facts that wait and stood before the cut; sums that wait for
    /// their tick belong to no order: the first worker takes them.
    pub fn take_up(
        &mut self,
        time: Time,
        mut bytes: &[u8],
        is_mine: impl Fn(OrderKey) -> bool,
        is_first: bool,
        is_before_cut: impl Fn(Position) -> bool,
    ) -> Result<(), Damaged> {
        while !bytes.is_empty() {
            let (part, rest) = postcard::take_from_bytes(bytes).map_err(|error| Damaged(error.to_string()))?;
            bytes = rest;
            match part {
                Part::Order { key, id, accepted_at, facts } if is_mine(key) => {
                    self.take_up_order(time, key, Order::restored(&id, facts.into_owned(), accepted_at));
                }
                Part::Tombstone { key, bound, status } if is_mine(key) => {
                    self.registry.tombstones_mut().insert(key, bound, status);
                }
                Part::Fact { time, record }
                    if is_mine(Delivery::key_of(record))
                        && is_before_cut(Delivery::read(time, record).fact().position) =>
                {
                    self.stash.push(time, Delivery::key_of(record) as u32, record);
                }
                Part::Sums(sums) if is_first => self.contributions.resume(&sums),
                Part::Quality(tick, key, counts) if is_first => self.quality.give(tick, key, &counts),
                _ => {}
            }
        }
        self.judged_before = self.judged_before.max(time);
        if let Some(epochs) = &mut self.epochs {
            epochs.ended = self.judged_before;
        }
        Ok(())
    }

    /// Ends epochs at these times, too: those at which sinks stand that were further than what was taken up.
    pub fn end_epochs_at(&mut self, times: &[Time]) {
        let Some(epochs) = &mut self.epochs else { return };
        times.iter().for_each(|time| epochs.end_at(*time, false));
    }

    /// The rows of all orders as they stand just before `time`, to which the keeper has advanced.
    pub fn standing(&mut self, time: Time) -> Emitted {
        let Keeper { law, registry, after, .. } = self;
        let (mut rows, as_of) = (Emitted::default(), time.saturating_sub(1));
        for order in registry.iter() {
            after.evaluate(order.tenant, &order.facts, law, as_of);
            rows.give_rows(&order.id(), &order.facts, after, as_of, 1);
        }
        rows
    }

    /// Takes up an order as it stood just before `time`.
    fn take_up_order(&mut self, time: Time, key: OrderKey, mut order: Order) {
        let Keeper { law, registry, timers, after, .. } = self;
        let as_of = time.saturating_sub(1);
        order.fold(Box::default(), after, law, as_of);
        let retires_at = order.bound(&law.settings).saturating_add(1);
        let due = after.outlook.next_change_at.map_or(retires_at, |next| next.min(retires_at));
        let number = registry.insert(key, order);
        if let Some(until) = registry.set_due(number, due, as_of) {
            timers.push(until, number);
        }
        self.rest(number, as_of);
    }
}

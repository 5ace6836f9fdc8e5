//! An order that lives: its facts, and, while anything is still to come, its progress.
//!
//! Most orders that live are finished and wait for retirement, should a late fact come. Such an order rests: its progress
//! is dropped, for its facts say it all, and folded again when it is woken. Invariant: an order rests only where time
//! alone changes nothing more about it; progress is read of awake orders only.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::contribution::Share;
use super::identities::Identities;
use super::outlook::{Law, Outcomes};
use super::parcel::Delivery;
use super::state::State;
use super::view::View;
use crate::model::packed::{Outline, PackedFacts};
use crate::model::{OrderId, Position, Status, Symbol, Text};
use crate::settings::Settings;
use crate::time::Time;

/// What the facts of an order and time have come to.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Which identities its facts may have.
    pub identities: Identities,
    /// What its facts come to.
    pub state: State,
    /// What time has made of it, as shown.
    pub outcomes: Outcomes,
}

impl Progress {
    /// What the order contributes to the aggregates, as shown.
    pub fn share(&self) -> Share {
        Share::of(&self.state, &self.outcomes)
    }

    /// True where an SLA is overdue, as shown.
    pub fn has_open_breach(&self) -> bool {
        self.outcomes.has_open_breach()
    }

    /// Reads a little of all its memory.
    fn touch(&self) -> u64 {
        let State { fold, item_value, paid_value, last_event_at, items, .. } = &self.state;
        let amounts = [item_value.0 as u64, paid_value.0 as u64, u64::from(*items), *last_event_at];
        amounts.into_iter().chain(fold.stage_times()).fold(u64::from(fold.is_cancelled()), u64::wrapping_add)
    }
}

/// One life of an order's key: a key that is used again after its tombstone's time begins another one (semantics.md,
/// section 8).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LifeId {
    /// The key.
    pub order: OrderId,
    /// Where and when its first fact stood: no other life has both. Facts of one record may be years apart.
    pub begins: (Position, Time),
}

/// An order that lives.
#[derive(Debug)]
pub struct Order {
    /// Its tenant.
    pub tenant: Symbol,
    /// The shop's id of it.
    pub order_id: Text,
    /// Its facts, winners and losers.
    pub facts: PackedFacts,
    /// Logical time of the fact that was accepted last.
    pub accepted_at: Time,
    /// True where a source has given its last word on it: no other fact of it will ever come.
    pub is_complete: bool,
    /// Where it is noted that it changed in this epoch, counted from 1; none where it did not.
    pub noted: Option<NonZeroU32>,
    /// None while it rests.
    progress: Option<Box<Progress>>,
    /// Its status while it rests.
    rests_as: Status,
}

impl Order {
    /// An order without facts, whose first one is `delivery`; it keeps them and its progress in the memory it is given.
    pub fn new(delivery: &Delivery<'_>, facts: PackedFacts, mut progress: Box<Progress>) -> Order {
        *progress = Progress::default();
        Order {
            tenant: Symbol::new(&delivery.tenant()),
            order_id: delivery.order_id(),
            facts,
            accepted_at: delivery.time,
            is_complete: false,
            noted: None,
            progress: Some(progress),
            rests_as: Status::Unplaced,
        }
    }

    /// The order's identity.
    pub fn id(&self) -> OrderId {
        OrderId { tenant: self.tenant.text(), order_id: self.order_id.clone() }
    }

    /// The same, told from other lives of its key; of an order that has facts.
    pub fn life(&self) -> LifeId {
        let first = self.facts.at(0);
        LifeId { order: self.id(), begins: (first.position, first.at) }
    }

    /// What it has come to; none while it rests.
    pub fn progress(&self) -> Option<&Progress> {
        self.progress.as_deref()
    }

    /// Its facts and what they have come to, to change; none while it rests.
    pub fn awake(&mut self) -> Option<(&mut PackedFacts, &mut Progress)> {
        Some((&mut self.facts, self.progress.as_deref_mut()?))
    }

    /// Its status as it is shown.
    pub fn status(&self) -> Status {
        self.progress().map_or(self.rests_as, |progress| progress.state.status())
    }

    /// True where it is delivered or cancelled.
    pub fn is_finished(&self) -> bool {
        // Only what is finished rests.
        self.progress().is_none_or(|progress| progress.state.fold.is_terminal())
    }

    /// The last logical time at which a fact is still accepted.
    pub fn bound(&self, settings: &Settings) -> Time {
        self.accepted_at.saturating_add(settings.life_ms(self.is_finished()))
    }

    /// Keeps a fact of an awake order; its offset.
    pub fn keep(&mut self, fact: &Outline, packed: &[u8], loser: bool) -> u32 {
        if let Some(progress) = &mut self.progress {
            progress.identities.add(fact);
        }
        self.facts.push(packed, loser)
    }

    /// Lets a finished order rest; its progress and the memory of it. None where the order is not finished.
    pub fn rest(&mut self) -> Option<Box<Progress>> {
        let progress = self.progress.take_if(|progress| progress.state.fold.is_terminal())?;
        self.rests_as = progress.state.status();
        Some(progress)
    }

    /// An order taken up again from its facts; it has to be woken.
    pub fn restored(id: &OrderId, facts: PackedFacts, accepted_at: Time) -> Order {
        Order {
            tenant: Symbol::new(&id.tenant),
            order_id: id.order_id.clone(),
            facts,
            accepted_at,
            is_complete: false,
            noted: None,
            progress: None,
            rests_as: Status::Unplaced,
        }
    }

    /// Folds an order that rests again, `progress` being memory for it and `view` scratch space.
    pub fn wake(&mut self, progress: Box<Progress>, view: &mut View, law: &Law) {
        // Nothing has changed about it since it went to rest, nor will it by itself: its last day is as good as any.
        self.fold(progress, view, law, self.bound(&law.settings));
    }

    /// Folds an order as of a time.
    pub fn fold(&mut self, mut progress: Box<Progress>, view: &mut View, law: &Law, as_of: Time) {
        view.evaluate(self.tenant, &self.facts, law, as_of);
        progress.identities = Identities::default();
        self.facts.outlines().for_each(|(_, fact)| progress.identities.add(&fact));
        progress.state.clone_from(&view.state);
        progress.outcomes = view.outlook.outcomes();
        self.progress = Some(progress);
    }

    /// Gives up the memory of its facts and its progress.
    pub fn release(&mut self) -> (PackedFacts, Option<Box<Progress>>) {
        (std::mem::take(&mut self.facts), self.progress.take())
    }

    /// Bytes that it takes beside its own place.
    pub fn heap_bytes(&self) -> usize {
        self.facts.heap_bytes() + self.order_id.heap_bytes() + self.progress().map_or(0, size_of_val)
    }

    /// Reads a little of all its memory, that of its facts left out.
    pub fn touch(&self) -> u64 {
        let own = self.accepted_at ^ u64::from(self.order_id.is_empty());
        own ^ self.progress().map_or(0, Progress::touch)
    }
}

//! An order's state: what its accepted facts come to, whatever the time.
//!
//! A state is folded from facts in the order of (at, rank, id), or grows fact by fact while they come in that order; both
//! give the same. Invariant: [`State::extend`] changes nothing where a fact comes out of that order; the state is then to
//! be folded anew. What time makes of a state is its [`super::outlook::Outlook`].

use super::fold::Fold;
use crate::model::packed::{Outline, OutlineBody};
use crate::model::{EventKind, Money, Status, Verdict};
use crate::settings::Transitions;
use crate::time::Time;

/// What an order's accepted facts come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Stages, times and holds.
    pub fold: Fold,
    /// The sum of the items' values.
    pub item_value: Money,
    /// The sum of the items' freights.
    pub freight_value: Money,
    /// The sum of the payments.
    pub paid_value: Money,
    /// The largest `at` of its facts.
    pub last_event_at: Time,
    /// Time and rank of the lifecycle fact that was folded last, in one number; 0 before there is one.
    last_folded: u64,
    /// Lifecycle facts.
    pub events: u32,
    /// How many of them have a verdict other than ok.
    pub violations: u32,
    /// Items.
    pub items: u32,
    /// Payments.
    pub payments: u32,
}

impl State {
    /// False for an order without accepted facts: it has no row and counts nowhere.
    pub fn exists(&self) -> bool {
        self.events + self.items + self.payments > 0
    }

    /// The order's status as it is shown.
    pub fn status(&self) -> Status {
        self.fold.status()
    }

    /// Adds a fact that comes after all others; false, and nothing added, where it does not.
    pub fn extend(&mut self, fact: &Outline, transitions: Transitions) -> bool {
        match fact.body {
            OutlineBody::Lifecycle(kind) => {
                // Two events of one kind at one time are ordered by their ids, which are not kept here.
                if place_of(fact.at, kind) <= self.last_folded {
                    return false;
                }
                self.add_event(fact.at, kind, transitions);
            }
            OutlineBody::Item { quantity, price, freight, .. } => {
                self.items += 1;
                self.item_value += price * quantity;
                self.freight_value += freight;
            }
            OutlineBody::Payment { value, .. } => {
                self.payments += 1;
                self.paid_value += value;
            }
        }
        self.last_event_at = self.last_event_at.max(fact.at);
        true
    }

    /// Adds the next lifecycle fact in the order of (at, rank, id).
    pub fn add_event(&mut self, at: Time, kind: EventKind, transitions: Transitions) -> Verdict {
        let verdict = self.fold.apply(kind, at, transitions);
        self.events += 1;
        self.violations += u32::from(verdict != Verdict::Ok);
        self.last_folded = place_of(at, kind);
        self.last_event_at = self.last_event_at.max(at);
        verdict
    }
}

/// Where an event comes in the order of (at, rank).
fn place_of(at: Time, kind: EventKind) -> u64 {
    at << 4 | (kind as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::{Reader, write};
    use crate::model::{Body, Fact, OrderId, Origin, Position};

    fn lifecycle(kind: EventKind, at: Time) -> Outline {
        let order = OrderId { tenant: "default".into(), order_id: "o".into() };
        let body = Body::Lifecycle { kind, origin: Origin::Event, customer_id: None };
        let mut bytes = Vec::new();
        write(&Fact { order, at, event_id: None, body }, Position::default(), &mut bytes);
        Reader::new(&bytes).outline()
    }

    #[test]
    fn grows_only_in_the_order_of_time_and_rank() {
        let mut state = State::default();
        assert!(!state.exists());
        assert!(state.extend(&lifecycle(EventKind::Placed, 10), Transitions::Lenient));
        assert!(state.extend(&lifecycle(EventKind::ProcessingStarted, 10), Transitions::Lenient));
        let before = state.clone();
        for (kind, at) in [(EventKind::Placed, 10), (EventKind::ProcessingStarted, 10), (EventKind::Delivered, 9)] {
            assert!(!state.extend(&lifecycle(kind, at), Transitions::Lenient));
        }
        assert_eq!(state, before);
        assert_eq!((state.events, state.violations, state.last_event_at), (2, 0, 10));
    }
}

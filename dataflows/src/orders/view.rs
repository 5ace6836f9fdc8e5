//! The view of one order: everything the collections say of it, as of a time.
//!
//! [`View::evaluate`] is the one function both plans call for it: from the accepted facts of an order and a time to its
//! state, its outlook, and its events, items and payments line by line. Pure; a view is reused as scratch space.

use super::outlook::{Law, Outlook};
use super::sla::{Party, Reasoning};
use super::state::State;
use crate::model::packed::{Outline, OutlineBody, PackedFacts, PackedText};
use crate::model::{EventKind, Money, PaymentType, Status, Symbol, Text, Verdict};
use crate::settings::Transitions;
use crate::time::Time;

/// The category of an item that has none.
pub const UNKNOWN_CATEGORY: &str = "unknown";

/// A lifecycle fact with its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedEvent {
    /// When it happened.
    pub at: Time,
    /// What happened.
    pub kind: EventKind,
    /// What the fold says of it.
    pub verdict: Verdict,
    /// The order's status before it, as shown.
    pub status_before: Status,
    /// The order's status after it, as shown.
    pub status_after: Status,
    /// Offset of the fact among the order's packed facts.
    pub offset: u32,
}

impl JudgedEvent {
    fn not_judged(at: Time, kind: EventKind, offset: u32) -> JudgedEvent {
        let status = Status::Unplaced;
        JudgedEvent { at, kind, verdict: Verdict::Ok, status_before: status, status_after: status, offset }
    }
}

/// An item as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemLine {
    /// Offset of the fact among the order's packed facts.
    pub offset: u32,
    /// Number of the line.
    pub item_no: u16,
    /// Pieces.
    pub quantity: u32,
    /// Price of one piece.
    pub price: Money,
}

/// A payment as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaymentLine {
    /// When it was paid.
    pub at: Time,
    /// Means of payment.
    pub payment_type: PaymentType,
    /// Number of instalments.
    pub installments: u16,
    /// Amount.
    pub value: Money,
}

/// One order as of a time.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What its facts come to.
    pub state: State,
    /// What time has made of it.
    pub outlook: Outlook,
    /// Lifecycle facts in fold order, each with its verdict.
    pub events: Vec<JudgedEvent>,
    /// Items in the order of acceptance.
    pub items: Vec<ItemLine>,
    /// Payments in the order of acceptance.
    pub payments: Vec<PaymentLine>,
}

impl View {
    /// Makes this the view of the order with these facts as of `now`.
    pub fn evaluate(&mut self, tenant: Symbol, facts: &PackedFacts, law: &Law, now: Time) {
        self.clear();
        for (offset, fact) in facts.outlines() {
            if fact.is_loser() {
                continue;
            }
            match fact.body {
                OutlineBody::Lifecycle(kind) => self.events.push(JudgedEvent::not_judged(fact.at, kind, offset as u32)),
                _ => {
                    self.add_line(offset as u32, &fact);
                    self.state.extend(&fact, law.settings.transitions);
                }
            }
        }
        self.judge(facts, law.settings.transitions);
        let (tenant, categories) = self.party(tenant, facts, law);
        self.outlook = Outlook::of(&self.state, Party { tenant: &tenant, categories: &categories }, law, now);
    }

    /// The reasons for the SLAs of this view, which was evaluated with the same arguments.
    pub fn reasons<'r>(
        &self,
        tenant: Symbol,
        facts: &PackedFacts,
        law: &'r Law,
        now: Time,
    ) -> [Option<Reasoning<'r>>; 3] {
        let (tenant, categories) = self.party(tenant, facts, law);
        Outlook::reasons(&self.state, Party { tenant: &tenant, categories: &categories }, law, now)
    }

    /// Whom SLAs are assessed for: nobody where no rule asks.
    fn party(&self, tenant: Symbol, facts: &PackedFacts, law: &Law) -> (Text, Vec<Option<Text>>) {
        match law.rules.asks_party() {
            true => (tenant.text(), self.categories(facts)),
            false => (Text::default(), Vec::new()),
        }
    }

    /// The status of the fold of the facts up to and at `deadline_at`.
    pub fn status_at(&self, deadline_at: Time) -> Status {
        let known = self.events.partition_point(|event| event.at <= deadline_at);
        known.checked_sub(1).map_or(Status::Unplaced, |last| self.events[last].status_after)
    }

    /// Back to the view of an order without facts; keeps its allocations.
    pub fn clear(&mut self) {
        self.state = State::default();
        self.outlook = Outlook::default();
        self.events.clear();
        self.items.clear();
        self.payments.clear();
    }

    /// Adds the line of an item or a payment; there is none of a lifecycle fact.
    pub fn add_line(&mut self, offset: u32, fact: &Outline) {
        match fact.body {
            OutlineBody::Lifecycle(_) => {}
            OutlineBody::Item { item_no, quantity, price, .. } => {
                self.items.push(ItemLine { offset, item_no, quantity, price });
            }
            OutlineBody::Payment { payment_type, installments, value, .. } => {
                self.payments.push(PaymentLine { at: fact.at, payment_type, installments, value });
            }
        }
    }

    /// Brings the events into the order of (at, rank, id) and judges each.
    fn judge(&mut self, facts: &PackedFacts, transitions: Transitions) {
        let in_order = |left: &JudgedEvent, right: &JudgedEvent| {
            (left.at, left.kind).cmp(&(right.at, right.kind)).then_with(|| {
                // A tie of two events of one kind, decided by their ids, is rare: look them up.
                facts.at(left.offset).identity().cmp(&facts.at(right.offset).identity())
            })
        };
        if !self.events.is_sorted_by(|left, right| in_order(left, right).is_lt()) {
            self.events.sort_by(in_order);
        }
        for event in &mut self.events {
            event.status_before = self.state.status();
            event.verdict = self.state.add_event(event.at, event.kind, transitions);
            event.status_after = self.state.status();
        }
    }

    /// The distinct categories of the items; `None` where an item has none or `unknown`.
    fn categories(&self, facts: &PackedFacts) -> Vec<Option<Text>> {
        let mut categories: Vec<Option<Text>> = self
            .items
            .iter()
            .map(|item| category(facts, item).text())
            .map(|text| (!is_unknown(&text)).then_some(text))
            .collect();
        categories.sort_unstable();
        categories.dedup();
        categories
    }
}

/// The category of `item` as its collections show it.
pub fn category(facts: &PackedFacts, item: &ItemLine) -> Symbol {
    facts.category(item.offset).map_or_else(|| Symbol::from(UNKNOWN_CATEGORY), PackedText::symbol)
}

fn is_unknown(category: &Text) -> bool {
    category.as_str_in(&mut [0; 32]) == UNKNOWN_CATEGORY
}

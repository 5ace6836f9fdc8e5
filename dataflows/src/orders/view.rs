//! The view of one order: everything the collections say of it, as of a time.
//!
//! [`View::evaluate`] is the one function both plans call: from the accepted facts of an order and a time to its status,
//! events with verdicts, SLAs, items, payments and drop-off. Pure; a view is reused as scratch space. Invariant: without
//! new facts a view changes only at the times [`View::next_change_at`] names, one after another.

use serde::{Deserialize, Serialize};

use super::fold::Fold;
use super::sla::{self, Assessment, Outcome, Party, RuleBook};
use crate::model::packed::{BodyView, Outline, OutlineBody, PackedFacts};
use crate::model::{EventKind, Money, PaymentType, Position, Sla, Status, Symbol, Text, Verdict};
use crate::settings::Settings;
use crate::time::Time;

/// The category of an item that has none.
pub const UNKNOWN_CATEGORY: &str = "unknown";

/// What an evaluation needs to know beside the order's facts.
#[derive(Clone, Debug)]
pub struct Law {
    /// Durations, windows, lenient or strict.
    pub settings: Settings,
    /// The SLA rules.
    pub rules: RuleBook,
    /// The sources by the numbers of their files.
    pub sources: Vec<Symbol>,
}

impl Law {
    /// The source that holds `position`.
    pub fn source(&self, position: Position) -> Symbol {
        self.sources.get(position.file() as usize).copied().unwrap_or_default()
    }
}

/// A lifecycle fact with its verdict.
#[derive(Clone, Copy, Debug)]
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
    /// Freight of the line.
    pub freight: Money,
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

/// Why an order counts as dropped off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DropOff {
    /// It was cancelled.
    Cancelled,
    /// It has no items.
    NoItems,
    /// It has items but no payment.
    NoPayment,
}

impl DropOff {
    /// Every reason.
    pub const ALL: [DropOff; 3] = [DropOff::Cancelled, DropOff::NoItems, DropOff::NoPayment];

    /// The name as the `stage` column spells it.
    pub fn name(self) -> &'static str {
        match self {
            DropOff::Cancelled => "cancelled",
            DropOff::NoItems => "no_items",
            DropOff::NoPayment => "no_payment",
        }
    }
}

/// One order as of a time.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// False for an order without accepted facts: it has no row and counts nowhere.
    pub exists: bool,
    /// Stages, times and holds.
    pub fold: Fold,
    /// Lifecycle facts in fold order, each with its verdict.
    pub events: Vec<JudgedEvent>,
    /// Items in the order of acceptance.
    pub items: Vec<ItemLine>,
    /// Payments in the order of acceptance.
    pub payments: Vec<PaymentLine>,
    /// The sum of the items' values.
    pub item_value: Money,
    /// The sum of the items' freights.
    pub freight_value: Money,
    /// The sum of the payments.
    pub paid_value: Money,
    /// How many events have a verdict other than ok.
    pub violations: u32,
    /// The largest `at` of its facts.
    pub last_event_at: Time,
    /// Processing, shipping and delivery by [`Sla`]; none where not started or switched off.
    pub slas: [Option<Assessment>; 3],
    /// Why it counts as dropped off, where it does.
    pub drop_off: Option<DropOff>,
    /// When it stalled, where it has.
    pub stalled_at: Option<Time>,
    /// The next time at which the view may change without new facts.
    pub next_change_at: Option<Time>,
}

impl View {
    /// Makes this the view of the order with these facts as of `now`.
    pub fn evaluate(&mut self, tenant: Symbol, facts: &PackedFacts, law: &Law, now: Time) {
        self.clear();
        for (offset, fact) in facts.outlines() {
            if !fact.is_loser() {
                self.take(offset as u32, &fact);
            }
        }
        self.judge(facts, law);
        if !self.exists {
            return;
        }
        // A retired order is frozen as of its bound.
        let settings = &law.settings;
        let life_ms = if self.fold.is_terminal() { settings.retention_ms } else { settings.max_age_ms };
        let frozen_at = self.last_event_at.saturating_add(life_ms);
        let now = now.min(frozen_at);

        let mut next_change_at = None;
        self.assess_slas(tenant, facts, law, now, &mut next_change_at);
        self.find_drop_off(settings, now, &mut next_change_at);
        if !self.fold.is_terminal() {
            self.stalled_at = (frozen_at <= now).then_some(frozen_at);
            if self.stalled_at.is_none() {
                soonest(&mut next_change_at, frozen_at);
            }
        }
        self.next_change_at = next_change_at.filter(|next| *next <= frozen_at);
    }

    /// The order's status as it is shown.
    pub fn status(&self) -> Status {
        self.fold.status()
    }

    /// The SLA's assessment where the order has fallen short of it.
    pub fn breach(&self, sla: Sla) -> Option<&Assessment> {
        self.slas[sla as usize].as_ref().filter(|assessment| {
            matches!(assessment.outcome, Outcome::MetLate | Outcome::BreachedOpen | Outcome::BreachedCancelled)
        })
    }

    /// The status of the fold of the facts up to and at `deadline_at`.
    pub fn status_at(&self, deadline_at: Time) -> Status {
        let known = self.events.partition_point(|event| event.at <= deadline_at);
        known.checked_sub(1).map_or(Status::Unplaced, |last| self.events[last].status_after)
    }

    /// Back to the view of an order without facts; keeps its allocations.
    pub fn clear(&mut self) {
        self.fold.clear();
        self.events.clear();
        self.items.clear();
        self.payments.clear();
        self.exists = false;
        self.item_value = Money::ZERO;
        self.freight_value = Money::ZERO;
        self.paid_value = Money::ZERO;
        self.violations = 0;
        self.last_event_at = 0;
        self.slas = [None; 3];
        self.drop_off = None;
        self.stalled_at = None;
        self.next_change_at = None;
    }

    fn take(&mut self, offset: u32, fact: &Outline) {
        self.exists = true;
        self.last_event_at = self.last_event_at.max(fact.at);
        match fact.body {
            OutlineBody::Lifecycle(kind) => self.events.push(JudgedEvent {
                at: fact.at,
                kind,
                verdict: Verdict::Ok,
                status_before: Status::Unplaced,
                status_after: Status::Unplaced,
                offset,
            }),
            OutlineBody::Item { item_no, quantity, price, freight } => {
                self.item_value += price * quantity;
                self.freight_value += freight;
                self.items.push(ItemLine { offset, item_no, quantity, price, freight });
            }
            OutlineBody::Payment { payment_type, installments, value, .. } => {
                self.paid_value += value;
                self.payments.push(PaymentLine { at: fact.at, payment_type, installments, value });
            }
        }
    }

    /// Brings the events into the order of (at, rank, id) and judges each.
    fn judge(&mut self, facts: &PackedFacts, law: &Law) {
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
            event.status_before = self.fold.status();
            event.verdict = self.fold.apply(event.kind, event.at, law.settings.transitions);
            event.status_after = self.fold.status();
            self.violations += u32::from(event.verdict != Verdict::Ok);
        }
    }

    fn assess_slas(
        &mut self,
        tenant: Symbol,
        facts: &PackedFacts,
        law: &Law,
        now: Time,
        next_change_at: &mut Option<Time>,
    ) {
        let (tenant, categories) = match law.rules.asks_party() {
            true => (tenant.text(), self.categories(facts)),
            false => (Text::new(""), Vec::new()),
        };
        let party = Party { tenant: &tenant, categories: &categories };
        for sla in Sla::ALL {
            let assessment = sla::assess(sla, &self.fold, party, &law.rules, law.settings.grace_ms, now);
            if let Some(next) = assessment.and_then(|assessment| assessment.next_change_at) {
                soonest(next_change_at, next);
            }
            self.slas[sla as usize] = assessment.filter(|assessment| assessment.exists);
        }
    }

    fn find_drop_off(&mut self, settings: &Settings, now: Time, next_change_at: &mut Option<Time>) {
        let Some(placed_at) = self.fold.placed_at() else { return };
        match self.status() {
            Status::Cancelled => self.drop_off = Some(DropOff::Cancelled),
            Status::Order | Status::Processing => {
                let missing = match () {
                    () if self.items.is_empty() => DropOff::NoItems,
                    () if self.payments.is_empty() && settings.expect_payments => DropOff::NoPayment,
                    () => return,
                };
                let abandoned_at = placed_at.saturating_add(settings.abandon_after_ms);
                if abandoned_at <= now {
                    self.drop_off = Some(missing);
                } else {
                    soonest(next_change_at, abandoned_at);
                }
            }
            Status::Unplaced | Status::Shipped | Status::Delivered => {}
        }
    }

    /// The distinct categories of the items; `None` where an item has none or `unknown`.
    fn categories(&self, facts: &PackedFacts) -> Vec<Option<Text>> {
        let mut categories: Vec<Option<Text>> = self
            .items
            .iter()
            .map(|item| category(facts, item))
            .map(|text| (!is_unknown(&text)).then_some(text))
            .collect();
        categories.sort_unstable();
        categories.dedup();
        categories
    }
}

/// The category of `item` as its collections show it.
pub fn category(facts: &PackedFacts, item: &ItemLine) -> Text {
    match facts.at(item.offset).body {
        BodyView::Item(item) => item.category.map_or_else(|| Text::new(UNKNOWN_CATEGORY), |text| text.text()),
        _ => Text::new(UNKNOWN_CATEGORY),
    }
}

fn is_unknown(category: &Text) -> bool {
    category.as_str_in(&mut [0; 32]) == UNKNOWN_CATEGORY
}

fn soonest(next: &mut Option<Time>, candidate: Time) {
    *next = Some(next.map_or(candidate, |next| next.min(candidate)));
}

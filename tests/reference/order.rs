//! An order as of a time: the winners among its facts, folded and added up.

use dataflows::model::{Body, OrderId, PaymentType};
use dataflows::time::Time;

use super::Law;
use super::cells::amount;
use super::lifecycle::{Lifecycle, fold};
use super::lives::{Life, Seen, lifecycle_events};

/// A line of the order: value = price × quantity.
pub struct Item {
    /// None where it is not known, `unknown` included.
    pub category: Option<String>,
    pub value: i128,
    pub freight: i128,
}

/// A payment.
pub struct Payment {
    pub at: Time,
    pub payment_type: PaymentType,
    pub installments: i128,
    pub value: i128,
}

/// One life of an order as of a time.
pub struct Order<'a> {
    pub id: &'a OrderId,
    pub lifecycle: Lifecycle,
    pub items: Vec<Item>,
    pub payments: Vec<Payment>,
    /// The largest `at` of its accepted facts.
    pub last_event_at: Time,
    /// Up to when timers and rules have acted: the time it is described as of, but at most its bound.
    pub now: Time,
    facts: Vec<&'a Seen<'a>>,
}

impl<'a> Order<'a> {
    /// The order as of T.
    pub fn new(law: &Law, life: &'a Life<'a>) -> Order<'a> {
        Order::described(law, life, life.winners(Time::MAX), law.as_of)
    }

    /// The order as it was at logical time `then`, before T; none where it had no fact yet.
    pub fn at(law: &Law, life: &'a Life<'a>, then: Time) -> Option<Order<'a>> {
        let winners = life.winners(then);
        (!winners.is_empty()).then(|| Order::described(law, life, winners, then))
    }

    fn described(law: &Law, life: &'a Life<'a>, facts: Vec<&'a Seen<'a>>, then: Time) -> Order<'a> {
        let lifecycle = fold(lifecycle_events(&facts), law.settings.transitions);
        let last_event_at = facts.iter().map(|seen| seen.fact.at).max().unwrap_or(0);
        // Section 8: "deadlines, drop-offs and rules up to and including [the bound] act, later ones never". Measured
        // in event time, so that it does not depend on when facts arrived.
        let bound =
            last_event_at + if lifecycle.is_terminal() { law.settings.retention_ms } else { law.settings.max_age_ms };
        let (mut items, mut payments) = (Vec::new(), Vec::new());
        for seen in &facts {
            match &seen.fact.body {
                Body::Lifecycle { .. } => {}
                Body::Item { category, quantity, price, freight, .. } => items.push(Item {
                    category: category.as_ref().map(|text| text.to_string()).filter(|category| category != "unknown"),
                    value: amount(*price) * i128::from(*quantity),
                    freight: amount(*freight),
                }),
                Body::Payment { payment_type, installments, value, .. } => payments.push(Payment {
                    at: seen.fact.at,
                    payment_type: *payment_type,
                    installments: i128::from(*installments),
                    value: amount(*value),
                }),
            }
        }
        Order { id: life.order, lifecycle, items, payments, last_event_at, now: then.min(bound), facts }
    }

    /// "the fold of the facts with at ≤ its deadline".
    pub fn lifecycle_by(&self, law: &Law, at: Time) -> Lifecycle {
        let facts: Vec<&Seen> = self.facts.iter().copied().filter(|seen| seen.fact.at <= at).collect();
        fold(lifecycle_events(&facts), law.settings.transitions)
    }

    pub fn item_value(&self) -> i128 {
        self.items.iter().map(|item| item.value).sum()
    }

    pub fn freight_value(&self) -> i128 {
        self.items.iter().map(|item| item.freight).sum()
    }

    pub fn paid_value(&self) -> i128 {
        self.payments.iter().map(|payment| payment.value).sum()
    }
}

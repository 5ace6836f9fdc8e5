//! `order_events`: every lifecycle fact with its verdict and every breach, as one readable stream.

use serde::{Deserialize, Serialize};

use super::collection::{At, collection};
use super::sla_breaches::SlaBreachRow;
use crate::model::packed::PackedFacts;
use crate::model::{EventKind, OrderId, Status, Text, Verdict};
use crate::orders::view::{JudgedEvent, View};

collection! {
    /// Every lifecycle fact with its verdict, and every breach at its deadline.
    "order_events" => OrderEventRow {
        /// The shop's id of the order.
        key (order_id: Text),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// When it happened; of a breach its deadline.
        key (at: At) index,
        /// Which event; SLA_BREACH for a breach.
        key (event_type: EventType),
        /// The fact's identity; of a breach its SLA.
        key (event_id: Text),
        /// The order's status after it.
        (status: Status),
        /// What the lifecycle says of it; empty for a breach.
        (verdict: Option<Verdict>),
        /// True for a breach.
        (sla_breach: bool),
        /// The event in words.
        (message: String),
    }
}

/// What a row of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventType {
    /// A lifecycle fact.
    Lifecycle(EventKind),
    /// A breach, at its deadline.
    SlaBreach,
}

impl EventType {
    /// The name as outputs spell it.
    pub fn name(self) -> &'static str {
        match self {
            EventType::Lifecycle(kind) => kind.name(),
            EventType::SlaBreach => "SLA_BREACH",
        }
    }
}

/// The order's events and its `breaches`.
pub fn rows<'a>(
    order: &'a OrderId,
    view: &'a View,
    facts: &'a PackedFacts,
    breaches: &'a [SlaBreachRow],
) -> impl Iterator<Item = OrderEventRow> + 'a {
    of_events(order, &view.events, facts).chain(breaches.iter().map(of_breach))
}

/// Some of an order's events.
pub fn of_events<'a>(
    order: &'a OrderId,
    events: &'a [JudgedEvent],
    facts: &'a PackedFacts,
) -> impl Iterator<Item = OrderEventRow> + 'a {
    events.iter().map(move |event| OrderEventRow {
        order_id: order.order_id.clone(),
        tenant: order.tenant.clone(),
        at: At(event.at),
        event_type: EventType::Lifecycle(event.kind),
        event_id: facts.at(event.offset).identity(),
        status: event.status_after,
        verdict: Some(event.verdict),
        sla_breach: false,
        message: message(order, event),
    })
}

fn message(order: &OrderId, event: &JudgedEvent) -> String {
    let mut scratch = [0; 32];
    let (name, id) = (event.kind.name(), order.order_id.as_str_in(&mut scratch));
    let (before, after) = (event.status_before.name(), event.status_after.name());
    match event.verdict {
        Verdict::Ok => [name, ": order ", id, " is ", after].concat(),
        verdict => [name, ": order ", id, " is ", after, " (", verdict.name(), " while ", before, ")"].concat(),
    }
}

/// A breach as an event.
pub fn of_breach(breach: &SlaBreachRow) -> OrderEventRow {
    OrderEventRow {
        order_id: breach.order_id.clone(),
        tenant: breach.tenant.clone(),
        at: breach.deadline_at,
        event_type: EventType::SlaBreach,
        event_id: Text::new(breach.sla.name()),
        status: breach.status,
        verdict: None,
        sla_breach: true,
        message: breach.message.clone(),
    }
}

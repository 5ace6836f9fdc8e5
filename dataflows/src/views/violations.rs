//! `violations`: every lifecycle fact whose verdict is not ok.

use super::collection::{At, collection};
use crate::model::packed::PackedFacts;
use crate::model::{EventKind, OrderId, Status, Text, Verdict};
use crate::orders::view::JudgedEvent;

collection! {
    /// Every lifecycle fact out of turn.
    "violations" => ViolationRow {
        /// The shop's id of the order.
        key (order_id: Text),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// When it happened.
        key (at: At),
        /// Which event.
        key (event_type: EventKind),
        /// The fact's identity.
        key (event_id: Text),
        /// The order's status before it.
        (status_before: Status),
        /// What the lifecycle says of it.
        (verdict: Verdict),
    }
}

/// The violations among an order's events.
pub fn rows<'a>(
    order: &'a OrderId,
    events: &'a [JudgedEvent],
    facts: &'a PackedFacts,
) -> impl Iterator<Item = ViolationRow> + 'a {
    events.iter().filter(|event| event.verdict != Verdict::Ok).map(move |event| ViolationRow {
        order_id: order.order_id.clone(),
        tenant: order.tenant.clone(),
        at: At(event.at),
        event_type: event.kind,
        event_id: facts.at(event.offset).identity(),
        status_before: event.status_before,
        verdict: event.verdict,
    })
}

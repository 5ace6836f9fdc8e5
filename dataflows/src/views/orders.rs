//! `orders`: one row an order, its state as of now.

use super::collection::{At, collection};
use crate::model::packed::{BodyView, PackedFacts};
use crate::model::{EventKind, Money, OrderId, Stage, Status, Text};
use crate::orders::view::View;

collection! {
    /// Every order with its state: one row an order that has at least one accepted fact.
    "orders" => OrderRow {
        /// The shop's id of the order.
        key (order_id: Text),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// Buyer: that of the first placement, else the first one named.
        (customer_id: Option<Text>) index,
        /// Stage reached, CANCELLED, or UNPLACED while the placement is unknown.
        (status: Status),
        /// When it was placed.
        (placed_at: Option<At>) index,
        /// When the shop confirmed it.
        (confirmed_at: Option<At>),
        /// When processing started.
        (processing_at: Option<At>),
        /// When the carrier got it.
        (shipped_at: Option<At>),
        /// When the customer got it.
        (delivered_at: Option<At>),
        /// When it was cancelled.
        (cancelled_at: Option<At>),
        /// Number of item lines.
        (items: i64),
        /// Sum of price times quantity.
        (item_value: Money),
        /// Sum of freights.
        (freight_value: Money),
        /// Number of payments.
        (payments: i64),
        /// Sum of payments.
        (paid_value: Money),
        /// Events with a verdict other than ok.
        (violations: u32),
        /// Largest event time of its accepted facts.
        (last_event_at: At),
    }
}

/// The order's row; none for an order without accepted facts.
pub fn row(order: &OrderId, view: &View, facts: &PackedFacts) -> Option<OrderRow> {
    let reached = |stage| view.state.fold.reached_at(stage).map(At);
    view.state.exists().then(|| OrderRow {
        order_id: order.order_id.clone(),
        tenant: order.tenant.clone(),
        customer_id: customer_id(view, facts),
        status: view.state.status(),
        placed_at: reached(Stage::Order),
        confirmed_at: view.state.fold.confirmed_at().map(At),
        processing_at: reached(Stage::Processing),
        shipped_at: reached(Stage::Shipped),
        delivered_at: reached(Stage::Delivered),
        cancelled_at: view.state.fold.cancelled_at().map(At),
        items: view.items.len() as i64,
        item_value: view.state.item_value,
        freight_value: view.state.freight_value,
        payments: view.payments.len() as i64,
        paid_value: view.state.paid_value,
        violations: view.state.violations,
        last_event_at: At(view.state.last_event_at),
    })
}

/// That of the first ORDER_PLACED in fold order; where that has none, of the first lifecycle fact that has one.
fn customer_id(view: &View, facts: &PackedFacts) -> Option<Text> {
    let named = |offset: u32| match facts.at(offset).body {
        BodyView::Lifecycle { customer_id, .. } => customer_id.map(|packed| packed.text()),
        _ => None,
    };
    let placed = view.events.iter().find(|event| event.kind == EventKind::Placed);
    placed.and_then(|event| named(event.offset)).or_else(|| view.events.iter().find_map(|event| named(event.offset)))
}

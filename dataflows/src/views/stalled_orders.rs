//! `stalled_orders`: unfinished orders of which nothing was heard for `max_age`.

use super::collection::{At, collection};
use crate::model::{OrderId, Status, Text};
use crate::orders::view::View;

collection! {
    /// Unfinished orders without a fact for max_age: they are no longer followed.
    "stalled_orders" => StalledOrderRow {
        /// The shop's id of the order.
        key (order_id: Text),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// Where it stopped.
        (status: Status),
        /// When it was placed.
        (placed_at: Option<At>),
        /// Largest event time of its accepted facts.
        (last_event_at: At),
        /// last_event_at + max_age.
        (stalled_at: At),
    }
}

/// The order's row, where it has stalled.
pub fn row(order: &OrderId, view: &View) -> Option<StalledOrderRow> {
    Some(StalledOrderRow {
        order_id: order.order_id.clone(),
        tenant: order.tenant.clone(),
        status: view.state.status(),
        placed_at: view.state.fold.placed_at().map(At),
        last_event_at: At(view.state.last_event_at),
        stalled_at: At(view.outlook.stalled_at?),
    })
}

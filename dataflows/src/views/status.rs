//! `orders_by_status`: how many orders stand where. A contribution counts orders and adds their item value.

use super::all_or;
use super::collection::collection;
use super::measures::{Aggregate, Measures, Sums};
use super::roll_up::{RolledKey, rolled_up};
use crate::model::{Money, Status, Text};

collection! {
    /// Orders by status, unplaced ones included.
    "orders_by_status" => StatusRow {
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Where the orders stand.
        key (status: Status),
        /// Number of orders.
        (orders: i64),
        /// Their item value.
        (item_value: Money),
    }
}

/// The rows these sums make, in no order.
pub fn rows(sums: &Sums) -> Vec<StatusRow> {
    let row = |((_, _, tenant, code, _), measures): (RolledKey, Measures)| StatusRow {
        tenant: all_or(tenant),
        status: Status::ALL[usize::from(code)],
        orders: measures.counts[0],
        item_value: measures.amounts[0],
    };
    rolled_up(sums, Aggregate::OrdersByStatus, &[]).into_iter().map(row).collect()
}

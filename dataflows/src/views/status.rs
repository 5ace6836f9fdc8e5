//! `orders_by_status`: how many orders stand where. A contribution counts orders and adds their item value.

use super::all_or;
use super::collection::collection;
use super::measures::{Aggregate, Measures};
use super::roll_up::{AggregateRow, RolledKey};
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

impl AggregateRow for StatusRow {
    type Sums = Measures;
    const AGGREGATE: Aggregate = Aggregate::OrdersByStatus;

    fn of(key: RolledKey, measures: Measures) -> StatusRow {
        let (_, _, tenant, code, _) = key.parts();
        StatusRow {
            tenant: all_or(tenant),
            status: Status::ALL[usize::from(code)],
            orders: measures.counts[0],
            item_value: measures.amounts[0],
        }
    }
}

//! `drop_off_analysis`: orders that came no further, by the hour of their placement, by status and by reason. A
//! contribution counts orders and adds their item value.

use super::all_or;
use super::collection::{At, collection};
use super::measures::{Aggregate, Measures};
use super::roll_up::{AggregateRow, RolledKey};
use crate::model::{Money, Status, Text};
use crate::orders::outlook::DropOff;

collection! {
    /// Orders that came no further, by the hour of their placement.
    "drop_off_analysis" => DropOffRow {
        /// Start of the hour of placement.
        key (window_start: At),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// The orders' status now.
        key (order_status: Status),
        /// cancelled, no_items or no_payment.
        key (stage: DropOff),
        /// Number of orders.
        (dropped_orders: i64),
        /// Their item value.
        (dropped_value: Money),
    }
}

impl AggregateRow for DropOffRow {
    type Sums = Measures;
    const AGGREGATE: Aggregate = Aggregate::DropOff;

    fn of(key: RolledKey, measures: Measures) -> DropOffRow {
        let (_, start, tenant, code, _) = key.parts();
        let code = usize::from(code);
        DropOffRow {
            window_start: At(start),
            tenant: all_or(tenant),
            order_status: Status::ALL[code / DropOff::ALL.len()],
            stage: DropOff::ALL[code % DropOff::ALL.len()],
            dropped_orders: measures.counts[0],
            dropped_value: measures.amounts[0],
        }
    }
}

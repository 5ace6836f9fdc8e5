//! `gmv_metrics`: gross merchandise value of the orders placed in a window.
//!
//! A contribution counts orders with items and item lines, and adds value, freight and the value of cancelled orders.

use super::collection::{At, collection};
use super::measures::{Aggregate, Measures};
use super::roll_up::{AggregateRow, RolledKey};
use super::{all_or, window_start};
use crate::model::{Money, Text};
use crate::time::Window;

collection! {
    /// Value of the orders with items, by the window of their placement.
    "gmv_metrics" => GmvRow {
        /// minute, hour, day or total.
        key (window: Window),
        /// Start of the window; empty for total.
        key (window_start: Option<At>),
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Orders with items.
        (orders: i64),
        /// Item lines.
        (items: i64),
        /// Sum of price times quantity, freight excluded.
        (gmv: Money),
        /// Sum of freights.
        (freight: Money),
        /// The part of gmv whose orders are cancelled.
        (cancelled_gmv: Money),
        /// gmv less cancelled_gmv.
        (net_gmv: Money),
        /// gmv divided by orders, two places, half up.
        (average_order_value: Option<Money>),
    }
}

impl AggregateRow for GmvRow {
    type Sums = Measures;
    const AGGREGATE: Aggregate = Aggregate::Gmv;

    fn of(key: RolledKey, measures: Measures) -> GmvRow {
        let (window, start, tenant, ..) = key.parts();
        let ([orders, items, ..], [gmv, freight, cancelled_gmv]) = (measures.counts, measures.amounts);
        GmvRow {
            window,
            window_start: window_start(window, start),
            tenant: all_or(tenant),
            orders,
            items,
            gmv,
            freight,
            cancelled_gmv,
            net_gmv: gmv - cancelled_gmv,
            average_order_value: gmv.average(orders),
        }
    }
}

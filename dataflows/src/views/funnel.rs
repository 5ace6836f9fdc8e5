//! `real_time_funnel`: how far the orders placed in a window have come.
//!
//! Counts of a contribution, in order: orders, with items, with items and payment, paid in full, reached processing,
//! reached shipped, delivered, cancelled.

use super::collection::{At, Hundredths, collection};
use super::measures::{Aggregate, Measures};
use super::roll_up::{AggregateRow, RolledKey};
use super::{all_or, window_start};
use crate::model::Text;
use crate::model::money::percent_hundredths;
use crate::time::Window;

collection! {
    /// Orders by the window of their placement and by how far they have come.
    "real_time_funnel" => FunnelRow {
        /// minute, hour, day or total.
        key (window: Window),
        /// Start of the window; empty for total.
        key (window_start: Option<At>),
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Orders placed.
        (total_orders: i64),
        /// Of these, with an item.
        (orders_with_items: i64),
        /// Of these, with an item and a payment.
        (orders_with_payment: i64),
        /// Of these, with items and payments that cover items and freight.
        (paid_in_full: i64),
        /// Of these, processed or further.
        (reached_processing: i64),
        /// Of these, shipped or further.
        (reached_shipped: i64),
        /// Of these, delivered.
        (delivered: i64),
        /// Of these, cancelled.
        (cancelled: i64),
        /// Per cent of the orders with an item.
        (items_conversion_rate: Option<Hundredths>),
        /// Per cent of the orders with an item and a payment.
        (payment_conversion_rate: Option<Hundredths>),
        /// Orders without item.
        (dropped_after_order: i64),
        /// Orders with item but without payment.
        (dropped_after_items: i64),
    }
}

impl AggregateRow for FunnelRow {
    type Sums = Measures;
    const AGGREGATE: Aggregate = Aggregate::Funnel;

    fn of(key: RolledKey, measures: Measures) -> FunnelRow {
        let (window, start, tenant, ..) = key.parts();
        let [orders, with_items, with_payment, paid, processing, shipped, delivered, cancelled] = measures.counts;
        FunnelRow {
            window,
            window_start: window_start(window, start),
            tenant: all_or(tenant),
            total_orders: orders,
            orders_with_items: with_items,
            orders_with_payment: with_payment,
            paid_in_full: paid,
            reached_processing: processing,
            reached_shipped: shipped,
            delivered,
            cancelled,
            items_conversion_rate: percent_hundredths(with_items, orders).map(Hundredths),
            payment_conversion_rate: percent_hundredths(with_payment, orders).map(Hundredths),
            dropped_after_order: orders - with_items,
            dropped_after_items: with_items - with_payment,
        }
    }
}

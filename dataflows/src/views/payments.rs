//! `payment_metrics`: payments by means, by the window of the payment itself.

use super::collection::{At, collection};
use super::measures::{Aggregate, LineMeasures};
use super::roll_up::{AggregateRow, RolledKey};
use super::{all_or, window_start};
use crate::model::{Money, PaymentType, Text};
use crate::time::Window;

collection! {
    /// Payments by means, by the window of their own time, of placed and unplaced orders.
    "payment_metrics" => PaymentRow {
        /// minute, hour, day or total.
        key (window: Window),
        /// Start of the window; empty for total.
        key (window_start: Option<At>),
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Means of payment.
        key (payment_type: PaymentType),
        /// Number of payments.
        (payment_count: i64),
        /// Sum of the payments.
        (total_value: Money),
        /// total_value divided by payment_count, two places, half up.
        (average_value: Option<Money>),
        /// Sum of the instalments.
        (installments: i64),
    }
}

impl AggregateRow for PaymentRow {
    type Sums = LineMeasures;
    const AGGREGATE: Aggregate = Aggregate::Payments;

    fn of(key: RolledKey, lines: LineMeasures) -> PaymentRow {
        let (window, start, tenant, code, _) = key.parts();
        PaymentRow {
            window,
            window_start: window_start(window, start),
            tenant: all_or(tenant),
            payment_type: PaymentType::ALL[usize::from(code)],
            payment_count: lines.lines,
            total_value: lines.value,
            average_value: lines.value.average(lines.lines),
            installments: lines.installments,
        }
    }
}

//! `sla_summary`: what became of every SLA that started. A contribution counts one outcome, in the order of
//! `orders::sla::Outcome`.

use super::all_or;
use super::collection::{Hundredths, collection};
use super::measures::{Aggregate, Measures};
use super::roll_up::{AggregateRow, RolledKey};
use crate::model::money::percent_hundredths;
use crate::model::{Sla, Text};

collection! {
    /// Placed orders with the SLA started, by outcome; orders is the sum of the six.
    "sla_summary" => SlaSummaryRow {
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Which promise.
        key (sla: Sla),
        /// Orders with the SLA started.
        (orders: i64),
        /// Met by the deadline.
        (met: i64),
        /// Met after it.
        (met_late: i64),
        /// Neither met nor cancelled, deadline passed.
        (breached_open: i64),
        /// Cancelled after the deadline.
        (breached_cancelled: i64),
        /// Cancelled by the deadline.
        (cancelled_in_time: i64),
        /// Deadline still to come.
        (open: i64),
        /// Per cent: breaches over met and breaches.
        (breach_rate: Option<Hundredths>),
    }
}

impl AggregateRow for SlaSummaryRow {
    type Sums = Measures;
    const AGGREGATE: Aggregate = Aggregate::SlaSummary;

    fn of(key: RolledKey, measures: Measures) -> SlaSummaryRow {
        let (_, _, tenant, code, _) = key.parts();
        let [met, met_late, breached_open, breached_cancelled, cancelled_in_time, open, ..] = measures.counts;
        let breached = met_late + breached_open + breached_cancelled;
        SlaSummaryRow {
            tenant: all_or(tenant),
            sla: Sla::ALL[usize::from(code)],
            orders: met + breached + cancelled_in_time + open,
            met,
            met_late,
            breached_open,
            breached_cancelled,
            cancelled_in_time,
            open,
            breach_rate: percent_hundredths(breached, met + breached).map(Hundredths),
        }
    }
}

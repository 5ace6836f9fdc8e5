//! Row counts: how many rows the row collections hold, for a job that keeps the rows nowhere.

use super::measures::{Aggregate, MeasureKey, Measures, Sums};
use super::record_law;
use crate::model::Sla;
use crate::orders::outlook::Outlook;
use crate::orders::state::State;

/// Rows of orders, order_events, violations, sla_breaches and stalled_orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as the collections
pub struct RowCounts {
    pub orders: i64,
    pub order_events: i64,
    pub violations: i64,
    pub sla_breaches: i64,
    pub stalled_orders: i64,
}

/// What the counts count towards.
pub fn key() -> MeasureKey {
    MeasureKey { aggregate: Aggregate::RowCounts, ..record_law::key() }
}

/// The rows of one order.
pub fn of_order(state: &State, outlook: &Outlook) -> Measures {
    let breaches = Sla::ALL.into_iter().filter(|sla| outlook.breach(*sla).is_some()).count() as i64;
    let mut measures = Measures::default();
    measures.counts[..5].copy_from_slice(&[
        i64::from(state.exists()),
        i64::from(state.events) + breaches,
        i64::from(state.violations),
        breaches,
        i64::from(outlook.stalled_at.is_some()),
    ]);
    measures
}

/// The counts in these sums.
pub fn of(sums: &Sums) -> RowCounts {
    let mut total = Measures::default();
    sums.of(Aggregate::RowCounts).for_each(|(_, measures)| total.add(measures, 1));
    let [orders, order_events, violations, sla_breaches, stalled_orders, ..] = total.counts;
    RowCounts { orders, order_events, violations, sla_breaches, stalled_orders }
}

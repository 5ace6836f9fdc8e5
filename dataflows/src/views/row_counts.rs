//! Row counts: how many rows the collections hold, for a job that keeps the rows nowhere.
//!
//! Rows of orders are counted where the order is, rows in windows up to a day where the sums of the day are. Rows in
//! `total` are few: they are made and not counted here.

use super::measures::{Aggregate, MeasureKey, Measures, Sums};
use super::quality::{self, QualitySums};
use super::record_law;
use super::roll_up::sums_of;
use crate::model::Sla;
use crate::orders::outlook::Outlook;
use crate::orders::state::State;

/// Rows of the collections that are kept nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)] // named as the collections
pub struct RowCounts {
    pub orders: i64,
    pub order_events: i64,
    pub violations: i64,
    pub sla_breaches: i64,
    pub stalled_orders: i64,
    pub real_time_funnel: i64,
    pub gmv_metrics: i64,
    pub category_metrics: i64,
    pub drop_off_analysis: i64,
    pub payment_metrics: i64,
    pub data_quality_metrics: i64,
}

/// What the counts of orders' rows count towards.
pub fn key() -> MeasureKey {
    MeasureKey { aggregate: Aggregate::RowCounts, ..record_law::key() }
}

/// What the counts of aggregates' rows count towards.
pub fn key_within_day() -> MeasureKey {
    MeasureKey { code: 1, ..key() }
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

/// Rows of an aggregate in windows up to a day.
pub fn of_aggregate(aggregate: Aggregate, rows: i64) -> Measures {
    let [mut funnel, mut gmv, mut categories, mut drop_off, mut payments] = [0; 5];
    match aggregate {
        Aggregate::Funnel => funnel = rows,
        Aggregate::Gmv => gmv = rows,
        Aggregate::Categories => categories = rows,
        Aggregate::DropOff => drop_off = rows,
        Aggregate::Payments => payments = rows,
        // These know no window but `total`.
        Aggregate::SlaSummary | Aggregate::OrdersByStatus | Aggregate::RecordLaw | Aggregate::RowCounts => {}
    }
    Measures { counts: [funnel, gmv, categories, drop_off, payments, 0, 0, 0], ..Measures::default() }
}

/// The number of rows that these sums of data quality make.
pub fn of_quality(sums: &QualitySums) -> Sums {
    let mut counted = Sums::default();
    let counts = [0, 0, 0, 0, 0, quality::count(sums) as i64, 0, 0];
    counted.add(key_within_day(), Measures { counts, ..Measures::default() });
    counted
}

/// The counts in these sums.
pub fn of(sums: &Sums) -> RowCounts {
    let [mut of_orders, mut within_day] = [Measures::default(); 2];
    for (key, measures) in sums_of(sums, Aggregate::RowCounts) {
        if key.code == 0 { &mut of_orders } else { &mut within_day }.add(measures);
    }
    let [orders, order_events, violations, sla_breaches, stalled_orders, ..] = of_orders.counts;
    let [real_time_funnel, gmv_metrics, category_metrics, drop_off_analysis, payment_metrics, data_quality_metrics, ..] =
        within_day.counts;
    RowCounts {
        orders,
        order_events,
        violations,
        sla_breaches,
        stalled_orders,
        real_time_funnel,
        gmv_metrics,
        category_metrics,
        drop_off_analysis,
        payment_metrics,
        data_quality_metrics,
    }
}

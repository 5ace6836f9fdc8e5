//! Row counts: how many rows the collections hold, for a job that keeps the rows nowhere.
//!
//! Rows of orders are counted where the order is, rows in windows up to a day where the sums of the day are. Rows in
//! `total` are few: they are made and not counted here.

use super::measures::{Aggregate, LineSums, MeasureKey, Measures, Sums};
use super::quality::{self, QualitySums};
use super::roll_up::{RowSums, sums_of};
use crate::model::Symbol;
use crate::orders::outlook::Outcomes;
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

/// What stands for data quality, which is none of the aggregates.
const OF_QUALITY: u16 = u16::MAX;

fn key(code: u16) -> MeasureKey {
    MeasureKey::in_total(Aggregate::RowCounts, Symbol::default(), code)
}

/// What the counts of orders' rows count towards.
pub fn of_orders() -> MeasureKey {
    key(0)
}

/// What the count of an aggregate's rows in windows up to a day counts towards.
pub fn of_aggregate(aggregate: Aggregate) -> MeasureKey {
    key(1 + aggregate as u16)
}

/// The rows of one order.
pub fn of_order(state: &State, outcomes: &Outcomes, has_stalled: bool) -> Measures {
    let breaches = outcomes.slas.iter().flatten().filter(|outcome| outcome.is_breach()).count() as i64;
    let mut measures = Measures::default();
    measures.counts[..5].copy_from_slice(&[
        i64::from(state.exists()),
        i64::from(state.events) + breaches,
        i64::from(state.violations),
        breaches,
        i64::from(has_stalled),
    ]);
    measures
}

/// The number of rows that these sums of data quality make.
pub fn of_quality(sums: &QualitySums) -> Sums {
    let mut counted = Sums::default();
    counted.add(key(OF_QUALITY), Measures::of_count(quality::count(sums) as i64));
    counted
}

/// The counts in these sums.
pub fn of(sums: &Sums, lines: &LineSums) -> RowCounts {
    let counted = |key: MeasureKey| {
        let mut counts = Measures::default();
        let known = sums_of(sums, Aggregate::RowCounts).filter(|(known, _)| **known == key);
        known.for_each(|(_, measures)| counts.add(measures));
        counts.counts
    };
    let rows = |aggregate: Aggregate| counted(of_aggregate(aggregate))[0];
    let lines = |aggregate: Aggregate| {
        let known = sums_of(lines, Aggregate::RowCounts).filter(|(known, _)| **known == of_aggregate(aggregate));
        known.map(|(_, lines)| lines.lines).sum()
    };
    let [orders, order_events, violations, sla_breaches, stalled_orders, ..] = counted(of_orders());
    RowCounts {
        orders,
        order_events,
        violations,
        sla_breaches,
        stalled_orders,
        real_time_funnel: rows(Aggregate::Funnel),
        gmv_metrics: rows(Aggregate::Gmv),
        category_metrics: lines(Aggregate::Categories),
        drop_off_analysis: rows(Aggregate::DropOff),
        payment_metrics: lines(Aggregate::Payments),
        data_quality_metrics: counted(key(OF_QUALITY))[0],
    }
}

//! The graph, drawn and built: collections in, collections out.
//!
//! ```text
//!  src/: decode, validate, clock
//!    parcels of facts ──exchange by order──► Orders (fused | relational)
//!                                              ├─► orders, order_events, violations, sla_breaches, stalled_orders
//!                                              ├─► refused facts ───────────────────────────────► dead_letters
//!                                              └─► contributions, at ticks ─┐
//!    counts of records, at ticks ───────────────────────────────────────────┴─► sums ─► funnel, gmv, categories, …
//!    refused records ─────────────────────────────────────────────────────────► dead_letters
//! ```

use std::rc::Rc;

use serde::Deserialize;
use timely::dataflow::Stream;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::operator::empty;

use crate::operators::accumulate::accumulate;
use crate::operators::bundles::Bundle;
use crate::operators::limit::Until;
use crate::orders::fused::fused;
use crate::orders::outlook::Law;
use crate::orders::parcel::Parcel;
use crate::orders::relational::relational;
use crate::orders::{Detail, OrderOutputs, Updates};
use crate::time::{Time, Window};
use crate::views::dead_letters::RefusedRecord;
use crate::views::measures::{LineMeasures, MeasureKey, Measures};
use crate::views::quality::{QualityCounts, QualityKey};
use crate::views::{roll_up, row_counts};

/// What the graph is fed.
pub struct Inputs<'scope> {
    /// Decoded facts.
    pub parcels: Stream<'scope, Time, Vec<Parcel>>,
    /// Counts of records altogether.
    pub record_counts: Updates<'scope, MeasureKey, Measures>,
    /// Counts of records, by source and minute.
    pub quality: Updates<'scope, QualityKey, QualityCounts>,
    /// Records that decoding refused.
    pub refused_records: Updates<'scope, RefusedRecord>,
}

/// What the graph yields.
pub struct Outputs<'scope> {
    /// The row collections and the contributions, those of the records included.
    pub orders: OrderOutputs<'scope>,
    /// Records that decoding refused.
    pub refused_records: Updates<'scope, RefusedRecord>,
}

/// How orders are computed; results are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    /// One operator that keeps each order's state.
    Fused,
    /// Plain differential collections.
    Relational,
}

/// Builds the graph.
pub fn build<'scope>(
    inputs: Inputs<'scope>,
    law: Rc<Law>,
    plan: Plan,
    until: Until,
    detail: Detail,
) -> Outputs<'scope> {
    let mut orders = match plan {
        Plan::Fused => fused(inputs.parcels, law, until, detail),
        Plan::Relational => relational(inputs.parcels, law, until, detail),
    };
    orders.measures = orders.measures.concat(inputs.record_counts);
    orders.quality = orders.quality.concat(inputs.quality);
    Outputs { orders, refused_records: inputs.refused_records }
}

/// Sums as they are wanted at the end, still to be added up: each worker's, or each owner's.
pub struct Settled<'scope> {
    /// Contributions of orders.
    pub measures: Stream<'scope, Time, Vec<Bundle<MeasureKey, Measures>>>,
    /// Contributions of items and payments.
    pub lines: Stream<'scope, Time, Vec<Bundle<MeasureKey, LineMeasures>>>,
    /// What came of every record, by source and minute.
    pub quality: Stream<'scope, Time, Vec<Bundle<QualityKey, QualityCounts>>>,
}

/// Accumulates the aggregates until their input ends. Where no row is wanted, the owners of the sums roll them up, all at
/// once, and let go no more than totals and numbers of rows.
pub fn settle<'scope>(
    measures: Updates<'scope, MeasureKey, Measures>,
    lines: Updates<'scope, MeasureKey, LineMeasures>,
    quality: Updates<'scope, QualityKey, QualityCounts>,
    windows: &[Window],
    detail: Detail,
) -> Settled<'scope> {
    let scope = measures.scope();
    let [of_measures, of_lines, of_quality] = ["Measures: Accumulate", "Lines: Accumulate", "Quality: Accumulate"];
    match detail {
        Detail::Changes | Detail::Final => Settled {
            measures: accumulate(of_measures, measures, |sums| sums),
            lines: accumulate(of_lines, lines, |sums| sums),
            quality: accumulate(of_quality, quality, |sums| sums),
        },
        Detail::Counts => {
            let (windows, for_lines) = (windows.to_vec(), windows.to_vec());
            let totals = accumulate(of_measures, measures, move |sums| roll_up::totals(&sums, &windows));
            let lines = accumulate(of_lines, lines, move |sums| roll_up::totals(&sums, &for_lines));
            let counted = accumulate(of_quality, quality, |sums| row_counts::of_quality(&sums));
            Settled { measures: totals.concat(counted), lines, quality: empty(scope) }
        }
    }
}

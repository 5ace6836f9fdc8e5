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

use crate::operators::limit::Until;
use crate::orders::fused::fused;
use crate::orders::parcel::Parcel;
use crate::orders::relational::relational;
use crate::orders::outlook::Law;
use crate::orders::{Detail, OrderOutputs, Updates};
use crate::time::Time;
use crate::views::dead_letters::RefusedRecord;
use crate::views::measures::{MeasureKey, Measures};

/// What the graph is fed.
pub struct Inputs<'scope> {
    /// Decoded facts.
    pub parcels: Stream<'scope, Time, Vec<Parcel>>,
    /// Counts of records, by source and minute.
    pub record_counts: Updates<'scope, MeasureKey, Measures>,
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
    Outputs { orders, refused_records: inputs.refused_records }
}

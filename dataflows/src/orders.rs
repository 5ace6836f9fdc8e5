//! What an order is, as of a time: pure functions from its accepted facts, and the two plans that keep them up to date.

pub mod admit;
pub mod contribution;
pub mod counting;
pub mod driver;
pub mod fold;
pub mod fused;
pub mod identities;
pub mod keeper;
pub mod order;
pub mod outlook;
pub mod parcel;
pub mod relational;
pub mod roster;
pub mod showing;
pub mod sla;
pub mod standing;
pub mod state;
pub mod tombstones;
pub mod view;

use serde::{Deserialize, Serialize};
use timely::dataflow::Stream;

use crate::model::OrderId;
use crate::orders::standing::Standing;
use crate::time::{Diff, Time};
use crate::views::dead_letters::RefusedFact;
use crate::views::measures::{LineMeasures, MeasureKey, Measures};
use crate::views::order_events::OrderEventRow;
use crate::views::orders::OrderRow;
use crate::views::quality::{QualityCounts, QualityKey};
use crate::views::sla_breaches::SlaBreachRow;
use crate::views::stalled_orders::StalledOrderRow;
use crate::views::violations::ViolationRow;

/// How row collections leave the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Every change at its exact time.
    Changes,
    /// Accumulated, and not as rows: each order as it stands when it retires or at the end, once. What a sink that shows
    /// the final state makes its rows of; they are the same collections, compacted to their last time.
    Final,
    /// Not at all: only the number of rows is kept, as [`crate::views::row_counts`]. For a job without such a sink.
    Counts,
}

/// Which rows a live job makes of its orders and sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rows {
    /// Those of every collection.
    #[default]
    All,
    /// Those of breaches for as long as they are open, which are told: nobody keeps the others. All that they would be made
    /// of is kept alike, for a sink that is added later.
    OpenBreaches,
    /// No row, where nobody is told of breaches either.
    None,
}

/// A collection's updates.
pub type Updates<'scope, D, R = Diff> = Stream<'scope, Time, Vec<(D, Time, R)>>;

/// What a plan makes of orders: the row collections, the contributions to the aggregates, and what was refused.
#[allow(missing_docs)] // named as the collections
pub struct OrderOutputs<'scope> {
    pub orders: Updates<'scope, OrderRow>,
    pub order_events: Updates<'scope, OrderEventRow>,
    pub violations: Updates<'scope, ViolationRow>,
    pub sla_breaches: Updates<'scope, SlaBreachRow>,
    pub stalled_orders: Updates<'scope, StalledOrderRow>,
    /// Orders as they stand, where rows are wanted at the end alone ([`Detail::Final`]).
    pub standing: Updates<'scope, (OrderId, Standing)>,
    /// What orders contribute to the aggregates, at ticks.
    pub measures: Updates<'scope, MeasureKey, Measures>,
    /// What items and payments contribute, at ticks.
    pub lines: Updates<'scope, MeasureKey, LineMeasures>,
    /// At ticks: what came of the facts, by source and minute.
    pub quality: Updates<'scope, QualityKey, QualityCounts>,
    pub refused: Updates<'scope, RefusedFact>,
    /// Times of facts that were accepted; its frontier is how far the facts have been judged.
    pub accepted: Stream<'scope, Time, Vec<Time>>,
}

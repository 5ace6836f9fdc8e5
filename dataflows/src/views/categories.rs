//! `category_metrics`: value by category of the orders placed in a window.

use super::collection::{At, collection};
use super::measures::{Aggregate, LineMeasures, LineSums};
use super::roll_up::{RolledKey, rolled_up};
use super::{all_or, window_start};
use crate::model::{Money, Text};
use crate::time::Window;

collection! {
    /// Items and value by category, by the window of their order's placement.
    "category_metrics" => CategoryRow {
        /// minute, hour, day or total.
        key (window: Window),
        /// Start of the window; empty for total.
        key (window_start: Option<At>),
        /// Isolated customer of this job; * for all.
        key (tenant: Text),
        /// Category of the items; unknown where none is known.
        key (category: Text),
        /// Item lines.
        (items: i64),
        /// Sum of price times quantity.
        (gmv: Money),
    }
}

/// The rows these sums make, in no order.
pub fn rows(sums: &LineSums, windows: &[Window]) -> Vec<CategoryRow> {
    let row = |((window, start, tenant, _, category), lines): (RolledKey, LineMeasures)| CategoryRow {
        window,
        window_start: window_start(window, start),
        tenant: all_or(tenant),
        category: category.text(),
        items: lines.lines,
        gmv: lines.value,
    };
    rolled_up(sums, Aggregate::Categories, windows).into_iter().map(row).collect()
}

//! `category_metrics`: value by category of the orders placed in a window.

use super::collection::{At, collection};
use super::measures::{Aggregate, LineMeasures};
use super::roll_up::{AggregateRow, RolledKey};
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

impl AggregateRow for CategoryRow {
    type Sums = LineMeasures;
    const AGGREGATE: Aggregate = Aggregate::Categories;

    fn of(key: RolledKey, lines: LineMeasures) -> CategoryRow {
        let (window, start, tenant, _, category) = key.parts();
        CategoryRow {
            window,
            window_start: window_start(window, start),
            tenant: all_or(tenant),
            category: category.text(),
            items: lines.lines,
            gmv: lines.value,
        }
    }
}

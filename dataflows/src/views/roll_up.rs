//! Roll-up: from the finest window and each tenant to every window that is kept and to all tenants (`*`).
//!
//! Rows in windows up to a day are made of the sums of one group alone, so whoever owns the group rolls them up; rows of
//! `total` are made of every group's. Here, too, is said which sums make a row at all, so that counting rows and writing
//! them cannot disagree.

use hashbrown::HashMap;

use super::measures::{Aggregate, COUNTS, MeasureKey, Measures, Sums};
use super::row_counts;
use crate::model::Symbol;
use crate::time::{Time, Window};

/// What a rolled-up sum is of: window, its start, tenant (none: all of them), code and category.
pub type RolledKey = (Window, Time, Option<Symbol>, u16, Symbol);

impl Aggregate {
    /// The windows its rows are in, of those that are `kept`.
    fn windows(self, kept: &[Window]) -> &[Window] {
        match self {
            Aggregate::Funnel | Aggregate::Gmv | Aggregate::Categories | Aggregate::Payments => kept,
            Aggregate::DropOff => &[Window::Hour],
            Aggregate::SlaSummary | Aggregate::OrdersByStatus | Aggregate::RecordLaw | Aggregate::RowCounts => {
                &[Window::Total]
            }
        }
    }

    /// True where these sums make a row: something is counted in them. The first count of most collections is what the
    /// others are part of.
    fn makes_row(self, measures: &Measures) -> bool {
        match self {
            Aggregate::SlaSummary => measures.counts != [0; COUNTS],
            _ => measures.counts[0] != 0,
        }
    }

    /// True where rows sum all tenants, too.
    fn has_all_tenants(self) -> bool {
        self != Aggregate::DropOff
    }
}

/// The sums of `aggregate` as contributed: by tenant and, windowed or not, by the finest window.
pub fn sums_of(sums: &Sums, aggregate: Aggregate) -> impl Iterator<Item = (&MeasureKey, &Measures)> {
    sums.iter().filter(move |((of, _), _)| *of == aggregate).flat_map(|(_, sums)| sums)
}

/// The sums of `aggregate` that make a row, in no order. Windows that are `kept`, finest first, matter to collections by
/// any window.
pub fn rolled_up(sums: &Sums, aggregate: Aggregate, kept: &[Window]) -> Vec<(RolledKey, Measures)> {
    let (within_day, total) = split(aggregate.windows(kept));
    let (mut rows, mut of_group, mut of_all) = (Vec::new(), HashMap::new(), HashMap::new());
    for (_, sums) in sums.iter().filter(|((of, _), _)| *of == aggregate) {
        roll_up(aggregate, sums, within_day, &mut of_group);
        rows.extend(of_group.drain().filter(|(_, measures)| aggregate.makes_row(measures)));
        roll_up(aggregate, sums, total, &mut of_all);
    }
    rows.extend(of_all.into_iter().filter(|(_, measures)| aggregate.makes_row(measures)));
    rows
}

/// What is left of whole groups where rows are only counted: sums in `total`, and how many rows the other windows have.
pub fn totals(sums: &Sums, kept: &[Window]) -> Sums {
    let (mut totals, mut of_group) = (Sums::default(), HashMap::new());
    for ((aggregate, _), sums) in sums.iter() {
        let (within_day, total) = split(aggregate.windows(kept));
        roll_up(*aggregate, sums, within_day, &mut of_group);
        let rows = of_group.drain().filter(|(_, measures)| aggregate.makes_row(measures)).count();
        totals.add(row_counts::key_within_day(), row_counts::of_aggregate(*aggregate, rows as i64));
        if !total.is_empty() {
            for (key, measures) in sums {
                totals.add(MeasureKey { window: Window::Total, start: 0, ..*key }, *measures);
            }
        }
    }
    totals
}

/// Windows that lie within a day, and those that do not.
fn split(windows: &[Window]) -> (&[Window], &[Window]) {
    windows.split_at(windows.partition_point(|window| *window < Window::Total))
}

/// Adds `sums` to `rolled`: in each of `windows` in which they count, of their tenant and of all.
fn roll_up(
    aggregate: Aggregate,
    sums: &HashMap<MeasureKey, Measures>,
    windows: &[Window],
    rolled: &mut HashMap<RolledKey, Measures>,
) {
    for (key, measures) in sums {
        for window in windows.iter().filter(|window| **window >= key.window) {
            let start = window.start(key.start);
            let all = aggregate.has_all_tenants().then_some(None);
            for tenant in [Some(key.tenant)].into_iter().chain(all) {
                rolled.entry((*window, start, tenant, key.code, key.category)).or_default().add(measures, 1);
            }
        }
    }
}

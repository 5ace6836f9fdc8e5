//! Roll-up: from the finest window and each tenant to every window that is kept and to all tenants (`*`).
//!
//! Rows in windows up to a day are made of the sums of one bundle alone, so whoever owns it rolls them up; rows of `total`
//! are made of every bundle's. Here, too, is said which sums make a row at all, so that counting rows and writing
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
    let (mut rows, mut of_bundle, mut of_all) = (Vec::new(), HashMap::new(), HashMap::new());
    for (_, sums) in sums.iter().filter(|((of, _), _)| *of == aggregate) {
        roll_up(aggregate, sums, within_day, &mut of_bundle);
        rows.extend(of_bundle.drain().filter(|(_, measures)| aggregate.makes_row(measures)));
        roll_up(aggregate, sums, total, &mut of_all);
    }
    rows.extend(of_all.into_iter().filter(|(_, measures)| aggregate.makes_row(measures)));
    rows
}

/// What is left of whole bundles where rows are only counted: sums in `total`, and how many rows the other windows have.
pub fn totals(sums: &Sums, kept: &[Window]) -> Sums {
    let (mut totals, mut of_bundle) = (Sums::default(), HashMap::new());
    for ((aggregate, _), sums) in sums.iter() {
        let (within_day, total) = split(aggregate.windows(kept));
        roll_up(*aggregate, sums, within_day, &mut of_bundle);
        let rows = of_bundle.drain().filter(|(_, measures)| aggregate.makes_row(measures)).count();
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
                rolled.entry((*window, start, tenant, key.code, key.category)).or_default().add(measures);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operators::bundles::Bundled;
    use crate::time::HOUR_MS;

    const AGGREGATES: [Aggregate; 7] = [
        Aggregate::Funnel,
        Aggregate::Gmv,
        Aggregate::Categories,
        Aggregate::DropOff,
        Aggregate::Payments,
        Aggregate::SlaSummary,
        Aggregate::OrdersByStatus,
    ];

    /// Contributions of three days, to the finest windows and, as of windows that have closed, to coarser ones; some
    /// take back what others gave.
    fn contributions() -> impl Strategy<Value = Vec<(MeasureKey, Measures)>> {
        let contribution = (0..7_usize, 0..4_usize, 0..72_u64, 0..3_u16, -2..3_i64).prop_map(
            |(aggregate, window, hour, number, count)| {
                let aggregate = AGGREGATES[aggregate];
                let window = match aggregate {
                    Aggregate::DropOff => Window::Hour,
                    Aggregate::SlaSummary | Aggregate::OrdersByStatus => Window::Total,
                    _ => Window::ALL[window],
                };
                let tenant = Symbol::from(["default", "a", "b"][usize::from(number)]);
                let start = window.start(hour * HOUR_MS);
                let key = MeasureKey { aggregate, window, code: number, tenant, category: tenant, start };
                (key, Measures { counts: [count, 0, 0, 1, 0, 0, 0, 0], ..Measures::default() })
            },
        );
        proptest::collection::vec(contribution, 0..60)
    }

    fn counted(counts: &row_counts::RowCounts, aggregate: Aggregate) -> i64 {
        match aggregate {
            Aggregate::Funnel => counts.real_time_funnel,
            Aggregate::Gmv => counts.gmv_metrics,
            Aggregate::Categories => counts.category_metrics,
            Aggregate::DropOff => counts.drop_off_analysis,
            Aggregate::Payments => counts.payment_metrics,
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn owners_count_the_rows_that_all_sums_make(contributions in contributions(), kept in 1..16_usize) {
            let kept: Vec<Window> = (0..4).filter(|bit| kept >> bit & 1 == 1).map(|bit| Window::ALL[bit]).collect();
            let (mut all, mut owners) = (Sums::default(), [Sums::default(), Sums::default()]);
            for (key, measures) in contributions {
                all.add(key, measures);
                owners[(MeasureKey::spread(&key.label()) % 2) as usize].add(key, measures);
            }
            let mut settled = Sums::default();
            for owned in &owners {
                totals(owned, &kept).drain().for_each(|bundle| settled.merge(bundle));
            }
            let counts = row_counts::of(&settled);
            for aggregate in AGGREGATES {
                let (mut written, mut left) = (rolled_up(&all, aggregate, &kept), rolled_up(&settled, aggregate, &kept));
                let within_day = written.iter().filter(|((window, ..), _)| *window < Window::Total).count() as i64;
                prop_assert_eq!(counted(&counts, aggregate), within_day, "{:?}", aggregate);
                written.retain(|((window, ..), _)| *window == Window::Total);
                written.sort();
                left.sort();
                prop_assert_eq!(left, written, "{:?}", aggregate);
            }
        }
    }
}

//! Roll-up: from the finest window and each tenant to every window that is kept and to all tenants (`*`).
//!
//! Rows in windows up to a day are made of the sums of one bundle alone, so whoever owns it rolls them up; rows of `total`
//! are made of every bundle's. Here, too, is said which sums make a row at all, so that counting rows and writing
//! them cannot disagree.

use std::fmt;
use std::ops::Range;

use differential_dataflow::difference::{IsZero, Semigroup};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::collection::Row;
use super::measures::{Aggregate, COUNTS, LineMeasures, MeasureKey, Measures};
use super::row_counts;
use crate::model::Symbol;
use crate::operators::bundles::{Bundled, Bundles};
use crate::operators::changing_sums::Shrinks;
use crate::time::{DAY_MS, MINUTE_MS, Time, Window};

/// What a rolled-up sum is of, in 16 bytes: there are millions of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "RolledParts", into = "RolledParts")]
pub struct RolledKey {
    /// Tenant, code, whether there is a tenant, and window.
    of: u64,
    /// Start in minutes, which fits as in [`MeasureKey`], and category.
    place: u64,
}

/// What a [`RolledKey`] says: window, its start, tenant (none: all of them), code and category.
pub type RolledParts = (Window, Time, Option<Symbol>, u16, Symbol);

impl From<RolledParts> for RolledKey {
    fn from((window, start, tenant, code, category): RolledParts) -> RolledKey {
        let minute = u32::try_from(start / MINUTE_MS).unwrap_or(u32::MAX);
        let whose = u64::from(tenant.unwrap_or_default().number()) << 32;
        let what = u64::from(code) << 16 | u64::from(tenant.is_some()) << 8 | window as u64;
        RolledKey { of: whose | what, place: u64::from(minute) << 32 | u64::from(category.number()) }
    }
}

impl From<RolledKey> for RolledParts {
    fn from(key: RolledKey) -> RolledParts {
        key.parts()
    }
}

impl RolledKey {
    /// What it says.
    pub fn parts(self) -> RolledParts {
        let tenant = (self.of & 0x100 != 0).then(|| Symbol::of_number((self.of >> 32) as u32));
        (self.window(), self.start(), tenant, (self.of >> 16) as u16, Symbol::of_number(self.place as u32))
    }

    /// What a contribution counts towards before it is rolled up: its own window and tenant.
    pub fn of_contribution(key: &MeasureKey) -> RolledKey {
        RolledKey::from((key.window, key.start(), Some(key.tenant), key.code, key.category))
    }

    /// Its window.
    pub fn window(self) -> Window {
        Window::ALL.get((self.of & 0xFF) as usize).copied().unwrap_or(Window::Total)
    }

    /// Start of its window.
    pub fn start(self) -> Time {
        (self.place >> 32) * MINUTE_MS
    }
}

impl fmt::Debug for RolledKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.parts(), formatter)
    }
}

impl Bundled for RolledKey {
    /// The UTC day on which the window starts, counted from 1970; none of `total`, which would share one with 1970.
    type Label = Option<u32>;

    fn label(&self) -> Option<u32> {
        (self.window() != Window::Total).then(|| (self.start() / DAY_MS) as u32)
    }

    fn spread(day: &Option<u32>) -> u64 {
        u64::from(day.unwrap_or_default())
    }
}

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

    /// True where rows sum all tenants, too.
    fn has_all_tenants(self) -> bool {
        self != Aggregate::DropOff
    }
}

/// A row of a collection that is made of sums.
pub trait AggregateRow: Row {
    /// What it is made of.
    type Sums: RowSums;
    /// What these count towards.
    const AGGREGATE: Aggregate;

    /// The row of sums that make one.
    fn of(key: RolledKey, sums: Self::Sums) -> Self;
}

/// Sums that rows are made of.
pub trait RowSums: Shrinks {
    /// True where they make a row of `aggregate`: something is counted in them.
    fn makes_row(&self, aggregate: Aggregate) -> bool;

    /// A count alone.
    fn of_count(count: i64) -> Self;

    /// Adds `other`.
    fn accumulate(&mut self, other: &Self) {
        self.plus_equals(other);
    }
}

impl RowSums for Measures {
    /// The first count of most collections is what the others are part of.
    fn makes_row(&self, aggregate: Aggregate) -> bool {
        match aggregate {
            Aggregate::SlaSummary => self.counts != [0; COUNTS],
            _ => self.counts[0] != 0,
        }
    }

    fn of_count(count: i64) -> Measures {
        let mut measures = Measures::default();
        measures.counts[0] = count;
        measures
    }
}

impl RowSums for LineMeasures {
    fn makes_row(&self, _: Aggregate) -> bool {
        self.lines != 0
    }

    fn of_count(count: i64) -> LineMeasures {
        LineMeasures { lines: count, ..LineMeasures::default() }
    }
}

/// The sums of `aggregate` as contributed: by tenant and, windowed or not, by the finest window.
pub fn sums_of<R: RowSums>(
    sums: &Bundles<MeasureKey, R>,
    aggregate: Aggregate,
) -> impl Iterator<Item = (&MeasureKey, &R)> {
    sums.iter().filter(move |((of, _), _)| *of == aggregate).flat_map(|(_, sums)| sums)
}

/// The sums that make the rows of a collection, portion by portion: the rows of a portion, in any order, stand before those
/// of the next one. Windows that are `kept` matter to collections by any window.
pub fn rolled_up<'s, R: RowSums>(
    sums: &'s Bundles<MeasureKey, R>,
    aggregate: Aggregate,
    kept: &[Window],
) -> impl Iterator<Item = Vec<(RolledKey, R)>> + use<'s, R> {
    let mut windows = aggregate.windows(kept).to_vec();
    windows.sort_by_key(|window| window.name());
    let bundles = sums.iter().filter(|((of, _), _)| *of == aggregate);
    let mut bundles: Vec<_> = bundles.map(|((_, day), sums)| (*day, sums)).collect();
    bundles.sort_by_key(|(day, _)| *day);
    let portions: Vec<(Window, Range<usize>)> = windows
        .into_iter()
        .flat_map(|window| {
            let at_once = if window == Window::Total { bundles.len().max(1) } else { 1 };
            let starts = (0..bundles.len()).step_by(at_once);
            starts.map(move |start| (window, start..start + at_once)).collect::<Vec<_>>()
        })
        .collect();
    portions.into_iter().map(move |(window, places)| {
        let mut rolled = HashMap::new();
        for (_, sums) in &bundles[places] {
            roll_up(aggregate, sums, &[window], &mut rolled);
        }
        rolled.into_iter().filter(|(_, sum)| sum.makes_row(aggregate)).collect()
    })
}

/// Differences of sums as differences of what they roll up to.
pub fn rolled_changes<R: AggregateRow>(
    updates: &[(MeasureKey, Time, R::Sums)],
    kept: &[Window],
) -> impl Iterator<Item = (RolledKey, Time, R::Sums)> + use<R> {
    let mut rolled: HashMap<(RolledKey, Time), R::Sums> = HashMap::new();
    rolled_differences::<R>(updates, kept, |key, time, sum| rolled.entry((key, time)).or_default().plus_equals(sum));
    rolled.into_iter().filter(|(_, sum)| !sum.is_zero()).map(|((key, time), sum)| (key, time, sum))
}

/// Differences of sums, each with its time, as those of all that it rolls up to.
pub fn rolled_differences<R: AggregateRow>(
    updates: &[(MeasureKey, Time, R::Sums)],
    kept: &[Window],
    mut counts: impl FnMut(RolledKey, Time, &R::Sums),
) {
    for (key, time, sum) in differences::<R>(updates) {
        roll_up_key(R::AGGREGATE, key, R::AGGREGATE.windows(kept), |key| counts(key, *time, sum));
    }
}

/// Those differences of sums that make rows of a collection.
pub fn differences<R: AggregateRow>(
    updates: &[(MeasureKey, Time, R::Sums)],
) -> impl Iterator<Item = &(MeasureKey, Time, R::Sums)> {
    updates.iter().filter(|(key, ..)| key.aggregate == R::AGGREGATE)
}

/// What a sum of [`RolledKey::of_contribution`] counts towards.
pub fn rolled_up_keys<R: AggregateRow>(key: RolledKey, kept: &[Window], counts: impl FnMut(RolledKey)) {
    let (window, start, tenant, code, category) = key.parts();
    let of = MeasureKey::in_total(R::AGGREGATE, tenant.unwrap_or_default(), code).of_category(category);
    roll_up_key(R::AGGREGATE, &of.within(window, start), R::AGGREGATE.windows(kept), counts);
}

/// The same in the finest of the coarser windows that are `kept` that `is_open`, by window and start.
pub fn in_coarser_window<R: AggregateRow>(
    key: RolledKey,
    kept: &[Window],
    is_open: impl Fn(Window, Time) -> bool,
) -> Option<RolledKey> {
    let (own, start, tenant, code, category) = key.parts();
    let coarser = R::AGGREGATE.windows(kept).iter().filter(|window| **window > own);
    let mut starts = coarser.map(|window| (*window, window.start(start)));
    let (window, start) = starts.find(|(window, start)| is_open(*window, *start))?;
    Some(RolledKey::from((window, start, tenant, code, category)))
}

/// What is left of whole bundles where rows are only counted: sums in `total`, and how many rows the other windows have.
pub fn totals<R: RowSums>(sums: &Bundles<MeasureKey, R>, kept: &[Window]) -> Bundles<MeasureKey, R> {
    let (mut totals, mut of_bundle) = (Bundles::default(), HashMap::new());
    for ((aggregate, _), sums) in sums.iter() {
        let (within_day, total) = split(aggregate.windows(kept));
        roll_up(*aggregate, sums, within_day, &mut of_bundle);
        let rows = of_bundle.drain().filter(|(_, sum)| sum.makes_row(*aggregate)).count();
        totals.add(row_counts::of_aggregate(*aggregate), R::of_count(rows as i64));
        if !total.is_empty() {
            for (key, sum) in sums {
                totals.add(key.within(Window::Total, 0), *sum);
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
fn roll_up<R: RowSums>(
    aggregate: Aggregate,
    sums: &HashMap<MeasureKey, R>,
    windows: &[Window],
    rolled: &mut HashMap<RolledKey, R>,
) {
    for (key, sum) in sums {
        roll_up_key(aggregate, key, windows, |key| rolled.entry(key).or_default().plus_equals(sum));
    }
}

/// What a key counts towards: each of `windows` in which it counts, its tenant and all of them.
fn roll_up_key(aggregate: Aggregate, key: &MeasureKey, windows: &[Window], mut counts: impl FnMut(RolledKey)) {
    for window in windows.iter().filter(|window| **window >= key.window) {
        let start = window.start(key.start());
        let all = aggregate.has_all_tenants().then_some(None);
        for tenant in [Some(key.tenant)].into_iter().chain(all) {
            counts(RolledKey::from((*window, start, tenant, key.code, key.category)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::operators::bundles::Bundled;
    use crate::time::HOUR_MS;
    use crate::views::measures::{LineSums, Sums};

    const OF_ORDERS: [Aggregate; 5] =
        [Aggregate::Funnel, Aggregate::Gmv, Aggregate::DropOff, Aggregate::SlaSummary, Aggregate::OrdersByStatus];
    const OF_LINES: [Aggregate; 2] = [Aggregate::Categories, Aggregate::Payments];

    /// Contributions of three days, to the finest windows and, as of windows that have closed, to coarser ones; some
    /// take back what others gave.
    fn contributions(aggregates: &'static [Aggregate]) -> impl Strategy<Value = Vec<(MeasureKey, i64)>> {
        let contribution = (0..aggregates.len(), 0..4_usize, 0..72_u64, 0..3_u16, -2..3_i64).prop_map(
            |(aggregate, window, hour, number, count)| {
                let aggregate = aggregates[aggregate];
                let window = match aggregate {
                    Aggregate::DropOff => Window::Hour,
                    Aggregate::SlaSummary | Aggregate::OrdersByStatus => Window::Total,
                    _ => Window::ALL[window],
                };
                let tenant = Symbol::from(["default", "a", "b"][usize::from(number)]);
                let key = MeasureKey::in_total(aggregate, tenant, number).of_category(tenant);
                (key.within(window, window.start(hour * HOUR_MS)), count)
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

    /// All sums as they are written, and what two owners leave of them.
    fn settled<R: RowSums>(
        contributions: &[(MeasureKey, R)],
        kept: &[Window],
    ) -> (Bundles<MeasureKey, R>, Bundles<MeasureKey, R>) {
        let (mut all, mut owners) = (Bundles::default(), [Bundles::default(), Bundles::default()]);
        for (key, sum) in contributions {
            all.add(*key, *sum);
            owners[(MeasureKey::spread(&key.label()) % 2) as usize].add(*key, *sum);
        }
        let mut settled = Bundles::default();
        for owned in &owners {
            totals(owned, kept).drain().for_each(|bundle| settled.merge(bundle));
        }
        (all, settled)
    }

    /// How many rows within a day are written; rows of totals are the same, before and after.
    fn rows_within_day<R: RowSums + Ord>(
        (all, settled): &(Bundles<MeasureKey, R>, Bundles<MeasureKey, R>),
        aggregate: Aggregate,
        kept: &[Window],
    ) -> i64 {
        let rows = |sums| rolled_up(sums, aggregate, kept).flatten().collect::<Vec<_>>();
        let (mut written, mut left) = (rows(all), rows(settled));
        let within_day = written.iter().filter(|(key, _)| key.window() < Window::Total).count() as i64;
        written.retain(|(key, _)| key.window() == Window::Total);
        written.sort();
        left.sort();
        assert!(left == written, "{aggregate:?}");
        within_day
    }

    proptest! {
        #[test]
        fn owners_count_the_rows_that_all_sums_make(
            of_orders in contributions(&OF_ORDERS),
            of_lines in contributions(&OF_LINES),
            kept in 1..16_usize,
        ) {
            let kept: Vec<Window> = (0..4).filter(|bit| kept >> bit & 1 == 1).map(|bit| Window::ALL[bit]).collect();
            let measures = |count| Measures { counts: [count, 0, 0, 1, 0, 0, 0, 0], ..Measures::default() };
            let of_orders: Vec<_> = of_orders.into_iter().map(|(key, count)| (key, measures(count))).collect();
            let of_lines: Vec<_> = of_lines.into_iter().map(|(key, count)| (key, LineMeasures::of_count(count))).collect();
            let orders: (Sums, Sums) = settled(&of_orders, &kept);
            let lines: (LineSums, LineSums) = settled(&of_lines, &kept);
            let counts = row_counts::of(&orders.1, &lines.1);
            for aggregate in OF_ORDERS {
                prop_assert_eq!(counted(&counts, aggregate), rows_within_day(&orders, aggregate, &kept), "{:?}", aggregate);
            }
            for aggregate in OF_LINES {
                prop_assert_eq!(counted(&counts, aggregate), rows_within_day(&lines, aggregate, &kept), "{:?}", aggregate);
            }
        }
    }
}

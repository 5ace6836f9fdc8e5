//! What a publisher knows as of a frontier: the sums that rows are made of, and what was refused.
//!
//! Invariant: while nobody wants rows, sums are of each tenant and of the finest window that is open, as contributions are;
//! otherwise of every window and of all tenants too, as rows are. Those come of the former at any time, and never the
//! other way. Limits: sums of windows that are open are held in memory; rolled up they are about eight times as many.

use std::collections::BTreeMap;

use dataflows::model::{Position, Sla, Status, Symbol};
use dataflows::operators::changing_sums::ChangingSums;
use dataflows::orders::Rows;
use dataflows::time::{Time, Window};
use dataflows::views::categories::CategoryRow;
use dataflows::views::dead_letters::RefusedFacts;
use dataflows::views::drop_off::DropOffRow;
use dataflows::views::funnel::FunnelRow;
use dataflows::views::gmv::GmvRow;
use dataflows::views::measures::{LineMeasures, MeasureKey, Measures};
use dataflows::views::payments::PaymentRow;
use dataflows::views::quality::{QualityCounts, QualityMinute};
use dataflows::views::roll_up::{
    AggregateRow, RolledKey, RowSums, differences, in_coarser_window, rolled_differences, rolled_up_keys,
};
use dataflows::views::sla_summary::SlaSummaryRow;
use dataflows::views::status::StatusRow;
use serde::{Deserialize, Serialize};

use super::{Batches, Changes};
use crate::live::rows::change;
use crate::sink::change::Change;

/// What the rows of a collection are made of.
type SumsOf<R> = ChangingSums<RolledKey, <R as AggregateRow>::Sums>;

/// What a publisher knows as of a frontier.
#[derive(Default, Serialize, Deserialize)]
pub struct Standing {
    funnel: SumsOf<FunnelRow>,
    gmv: SumsOf<GmvRow>,
    drop_off: SumsOf<DropOffRow>,
    sla_summary: SumsOf<SlaSummaryRow>,
    by_status: SumsOf<StatusRow>,
    categories: SumsOf<CategoryRow>,
    payments: SumsOf<PaymentRow>,
    /// What came of facts, by source and minute: there are few sources, and their names are long.
    pub quality: BTreeMap<Symbol, ChangingSums<QualityMinute, QualityCounts>>,
    /// Facts that were refused.
    pub refused: RefusedFacts,
    /// When facts of records were refused.
    pub refused_at: BTreeMap<Time, Vec<Position>>,
    /// Windows that had closed before this are forgotten.
    pub swept: Time,
    /// True where sums are of every window and of all tenants, as rows are.
    is_rolled_up: bool,
}

impl Standing {
    /// Nothing yet; sums are rolled up where all rows are wanted.
    pub fn new(rows: Rows) -> Standing {
        Standing { is_rolled_up: rows == Rows::All, ..Standing::default() }
    }

    /// Adds differences of sums of orders.
    pub fn add_orders(&mut self, updates: &Batches<MeasureKey, Measures>, windows: &[Window], changes: &mut Changes) {
        let rolled = self.is_rolled_up.then_some(windows);
        // Batches are small: each stays in a core's first cache for all of them.
        for batch in updates {
            add::<FunnelRow>(&mut self.funnel, batch, rolled);
            add::<GmvRow>(&mut self.gmv, batch, rolled);
            add::<DropOffRow>(&mut self.drop_off, batch, rolled);
            add::<SlaSummaryRow>(&mut self.sla_summary, batch, rolled);
            add::<StatusRow>(&mut self.by_status, batch, rolled);
        }
        tell::<FunnelRow>(&mut self.funnel, changes);
        tell::<GmvRow>(&mut self.gmv, changes);
        tell::<DropOffRow>(&mut self.drop_off, changes);
        tell::<SlaSummaryRow>(&mut self.sla_summary, changes);
        tell::<StatusRow>(&mut self.by_status, changes);
    }

    /// Adds differences of sums of items and payments.
    pub fn add_lines(
        &mut self,
        updates: &Batches<MeasureKey, LineMeasures>,
        windows: &[Window],
        changes: &mut Changes,
    ) {
        let rolled = self.is_rolled_up.then_some(windows);
        for batch in updates {
            add::<CategoryRow>(&mut self.categories, batch, rolled);
            add::<PaymentRow>(&mut self.payments, batch, rolled);
        }
        tell::<CategoryRow>(&mut self.categories, changes);
        tell::<PaymentRow>(&mut self.payments, changes);
    }

    /// The rows that sums make, as of `time`.
    pub fn give_rows(&self, time: Time, rows: &mut Vec<(Change, Time)>) {
        rows.extend(rows_that_stand::<FunnelRow>(&self.funnel, time));
        rows.extend(rows_that_stand::<GmvRow>(&self.gmv, time));
        rows.extend(rows_that_stand::<DropOffRow>(&self.drop_off, time));
        rows.extend(rows_that_stand::<SlaSummaryRow>(&self.sla_summary, time));
        rows.extend(rows_that_stand::<StatusRow>(&self.by_status, time));
        rows.extend(rows_that_stand::<CategoryRow>(&self.categories, time));
        rows.extend(rows_that_stand::<PaymentRow>(&self.payments, time));
    }

    /// Lets go of sums of windows that are no longer open: their rows stay and change no more. Where sums are not rolled
    /// up, those of a window count in the next coarser one that is open.
    pub fn close(&mut self, windows: &[Window], is_open: impl Fn(Window, Time) -> bool + Copy) {
        let unrolled = (!self.is_rolled_up).then_some(windows);
        close::<FunnelRow>(&mut self.funnel, unrolled, is_open);
        close::<GmvRow>(&mut self.gmv, unrolled, is_open);
        close::<DropOffRow>(&mut self.drop_off, unrolled, is_open);
        close::<CategoryRow>(&mut self.categories, unrolled, is_open);
        close::<PaymentRow>(&mut self.payments, unrolled, is_open);
    }

    /// Orders of all tenants that are overdue, by SLA.
    pub fn breaches_open(&self) -> BTreeMap<&'static str, i64> {
        let rows = self.of_all_tenants::<SlaSummaryRow>(&self.sla_summary, Sla::ALL.len());
        rows.map(|row| (row.sla.name(), row.breached_open)).collect()
    }

    /// Orders of all tenants, by status.
    pub fn orders(&self) -> BTreeMap<&'static str, i64> {
        let rows = self.of_all_tenants::<StatusRow>(&self.by_status, Status::ALL.len());
        rows.map(|row| (row.status.name(), row.orders)).collect()
    }

    /// The rows of all tenants and all time, by code, of which there are so many.
    fn of_all_tenants<R: AggregateRow>(&self, sums: &SumsOf<R>, codes: usize) -> impl Iterator<Item = R> + use<R> {
        let key = |code: usize| RolledKey::from((Window::Total, 0, None, code as u16, Symbol::default()));
        let mut all: Vec<R::Sums> = (0..codes).map(|code| sums.get(&key(code))).collect();
        if !self.is_rolled_up {
            for (of, sums) in sums.iter() {
                if let (.., code, _) = of.parts()
                    && let Some(all) = all.get_mut(usize::from(code))
                {
                    all.accumulate(&sums);
                }
            }
        }
        all.into_iter().enumerate().map(move |(code, sums)| R::of(key(code), sums))
    }

    /// Bytes that sums take.
    pub fn sum_bytes(&self) -> usize {
        let of_orders = self.funnel.heap_bytes() + self.gmv.heap_bytes() + self.drop_off.heap_bytes();
        let of_all_time = self.sla_summary.heap_bytes() + self.by_status.heap_bytes();
        let of_lines = self.categories.heap_bytes() + self.payments.heap_bytes();
        of_orders + of_all_time + of_lines + self.quality.values().map(ChangingSums::heap_bytes).sum::<usize>()
    }

    /// How many sums there are of windows.
    #[cfg(test)]
    pub fn windowed(&self) -> usize {
        let of_orders = self.funnel.len() + self.gmv.len() + self.drop_off.len();
        of_orders + self.categories.len() + self.payments.len()
    }

    /// From now on sums are of every window and of all tenants.
    pub fn roll_up(&mut self, windows: &[Window]) {
        if std::mem::replace(&mut self.is_rolled_up, true) {
            return;
        }
        roll_up::<FunnelRow>(&mut self.funnel, windows);
        roll_up::<GmvRow>(&mut self.gmv, windows);
        roll_up::<DropOffRow>(&mut self.drop_off, windows);
        roll_up::<SlaSummaryRow>(&mut self.sla_summary, windows);
        roll_up::<StatusRow>(&mut self.by_status, windows);
        roll_up::<CategoryRow>(&mut self.categories, windows);
        roll_up::<PaymentRow>(&mut self.payments, windows);
    }
}

/// Adds differences to sums: rolled up to these windows, or as they come where nobody is told what has changed.
fn add<R: AggregateRow>(sums: &mut SumsOf<R>, batch: &[(MeasureKey, Time, R::Sums)], rolled: Option<&[Window]>) {
    match rolled {
        Some(windows) => {
            rolled_differences::<R>(batch, windows, |key, time, difference| sums.add(key, difference, time));
        }
        None => {
            for (key, _, difference) in differences::<R>(batch) {
                sums.add_untold(RolledKey::of_contribution(key), difference);
            }
        }
    }
}

/// Tells the changes of rows, each at the last tick at which there was a difference.
fn tell<R: AggregateRow>(sums: &mut SumsOf<R>, changes: &mut Changes) {
    sums.tell_changed(|key, sum, time| changes.add(time, sum.makes_row(R::AGGREGATE), || R::of(key, sum)));
}

fn roll_up<R: AggregateRow>(sums: &mut SumsOf<R>, windows: &[Window]) {
    for (key, sum) in std::mem::take(sums).iter() {
        rolled_up_keys::<R>(key, windows, |key| sums.add_untold(key, &sum));
    }
}

fn close<R: AggregateRow>(
    sums: &mut SumsOf<R>,
    unrolled: Option<&[Window]>,
    is_open: impl Fn(Window, Time) -> bool + Copy,
) {
    let mut closed = Vec::new();
    sums.retain(|key| is_open(key.window(), key.start()), |key, sum| closed.push((key, sum)));
    let Some(windows) = unrolled else { return };
    for (key, sum) in closed {
        if let Some(key) = in_coarser_window::<R>(key, windows, is_open) {
            sums.add_untold(key, &sum);
        }
    }
}

/// Rows made of sums, as changes.
fn rows_that_stand<R: AggregateRow>(sums: &SumsOf<R>, time: Time) -> impl Iterator<Item = (Change, Time)> + '_ {
    let stand = sums.iter().filter(|(_, sums)| sums.makes_row(R::AGGREGATE));
    stand.map(move |(key, sums)| (change(&R::of(key, sums), true), time))
}

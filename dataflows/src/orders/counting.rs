//! Counting: from changes of orders to differences of the aggregates, gathered by tick (semantics.md, section 5).
//!
//! Changes wait until there are some: counting them and making them then each fit into a core's cache for instructions,
//! which both at once do not. A window that has closed by the time of the change takes no part (semantics.md, section 8).

mod stretches;

use differential_dataflow::difference::IsZero;
use serde::{Deserialize, Serialize};

use super::contribution::{Change, Share};
use super::driver::Emitted;
use super::outlook::DropOff;
use super::sla::Outcome;
use super::view::category;
use crate::model::{Money, Sla, Status, Symbol};
use crate::operators::ticks::Ticks;
use crate::settings::Settings;
use crate::time::{Time, Window};
use crate::views::measures::{Aggregate, LineMeasures, MeasureKey, Measures};
use crate::views::record_law;
pub use stretches::Stretch;

/// A change of what an order contributes as a whole.
#[derive(Debug)]
struct ShareChange {
    tenant: Symbol,
    time: Time,
    before: Share,
    after: Share,
}

/// An item or a payment that counts, or no longer.
#[derive(Debug)]
struct LineChange {
    /// When this takes place.
    time: Time,
    /// The time whose window it counts in.
    at: Time,
    /// What it counts towards, but for the window.
    key: MeasureKey,
    sums: LineMeasures,
}

/// Contributions on their way to the aggregates: changes that wait for their turn, and sums that wait for their tick.
#[derive(Debug)]
pub struct Contributions {
    windows: Vec<Window>,
    /// How long after its end a window closes, in milliseconds.
    stays_ms: u64,
    changes: Vec<ShareChange>,
    line_changes: Vec<LineChange>,
    /// A tick, and what became of facts in it: they wait to be counted together.
    facts: (Time, Measures),
    measures: Ticks<MeasureKey, Measures>,
    lines: Ticks<MeasureKey, LineMeasures>,
}

/// A difference that waits for its tick.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // those of orders are as many as the others
pub enum Waiting {
    /// Of sums of orders.
    Orders(Time, MeasureKey, Measures),
    /// Of sums of items and payments.
    Lines(Time, MeasureKey, LineMeasures),
}

/// So many changes wait.
const CHANGES_AT_ONCE: usize = 256;
/// So many lines wait, where changes do not make them go.
const LINES_AT_ONCE: usize = 1024;

impl Contributions {
    /// None yet; ticks as those of [`Ticks`].
    pub fn new(tick_ms: u64, settings: &Settings) -> Contributions {
        Contributions {
            windows: settings.windows.clone(),
            stays_ms: settings.stays_ms(),
            changes: Vec::with_capacity(CHANGES_AT_ONCE),
            line_changes: Vec::new(),
            facts: Default::default(),
            measures: Ticks::new(tick_ms),
            lines: Ticks::new(tick_ms),
        }
    }

    /// Takes a change.
    pub fn take(&mut self, change: &Change<'_>) {
        self.take_lines(change);
        let (before, after) = (change.before.share, change.after.share);
        if before != after {
            self.changes.push(ShareChange { tenant: change.tenant, time: change.time, before, after });
        }
        if self.changes.len() >= CHANGES_AT_ONCE {
            self.count();
        }
    }

    /// Takes what a change says of items and payments alone.
    pub fn take_lines(&mut self, change: &Change<'_>) {
        let Change { tenant, time, .. } = *change;
        for (item, placed_at, sign) in change.items() {
            let Some(at) = placed_at else { continue };
            let category = category(change.facts, item);
            let key = MeasureKey::in_total(Aggregate::Categories, tenant, 0).of_category(category);
            let value = item.price * item.quantity * sign;
            self.line_changes.push(LineChange {
                time,
                at,
                key,
                sums: LineMeasures { lines: sign, installments: 0, value },
            });
        }
        for (payment, sign) in change.payments() {
            let key = MeasureKey::in_total(Aggregate::Payments, tenant, payment.payment_type as u16);
            let installments = sign * i64::from(payment.installments);
            let sums = LineMeasures { lines: sign, installments, value: payment.value * sign };
            self.line_changes.push(LineChange { time, at: payment.at, key, sums });
        }
        if self.line_changes.len() >= LINES_AT_ONCE {
            self.count();
        }
    }

    /// Counts what became of a fact.
    pub fn count_fact(&mut self, time: Time, became: &Measures) {
        if !self.measures.is_of_tick(time, self.facts.0) {
            self.give_facts();
            self.facts.0 = self.measures.tick_of(time);
        }
        self.facts.1.add(became);
    }

    fn give_facts(&mut self) {
        let (tick, facts) = std::mem::take(&mut self.facts);
        if !facts.is_zero() {
            self.measures.give(tick, record_law::key(), &facts);
        }
    }

    /// Adds measures that are not an order's.
    pub fn give(&mut self, time: Time, key: MeasureKey, measures: &Measures) {
        self.measures.give(time, key, measures);
    }

    /// See [`Ticks::reopen`].
    pub fn reopen(&mut self) {
        self.count();
        self.measures.reopen();
        self.lines.reopen();
    }

    /// See [`Ticks::close`].
    pub fn close(&mut self, tick: Time) {
        self.count();
        self.measures.close(tick);
        self.lines.close(tick);
    }

    /// Emits every tick before `time`.
    pub fn publish_before(&mut self, time: Time, emitted: &mut Emitted) {
        self.count();
        self.measures.publish_before(time, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        self.lines.publish_before(time, |tick, key, lines| emitted.lines.push((key, tick, lines)));
    }

    /// Emits everything that is left, as of `end` where its tick is later.
    pub fn publish_rest(&mut self, end: Time, emitted: &mut Emitted) {
        self.count();
        self.measures.publish_rest(end, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        self.lines.publish_rest(end, |tick, key, lines| emitted.lines.push((key, tick, lines)));
    }

    /// What waits for its tick.
    pub fn waiting(&mut self) -> impl Iterator<Item = Waiting> + '_ {
        self.count();
        let of_orders = self.measures.iter().map(|(tick, key, sums)| Waiting::Orders(tick, *key, *sums));
        of_orders.chain(self.lines.iter().map(|(tick, key, sums)| Waiting::Lines(tick, *key, *sums)))
    }

    /// Takes in what waited.
    pub fn resume(&mut self, waiting: &Waiting) {
        match waiting {
            Waiting::Orders(tick, key, sums) => self.measures.give(*tick, *key, sums),
            Waiting::Lines(tick, key, sums) => self.lines.give(*tick, *key, sums),
        }
    }

    /// Counts the facts and changes that wait.
    fn count(&mut self) {
        self.give_facts();
        let Contributions { windows, stays_ms, changes, line_changes, measures, lines, .. } = self;
        count_shares(changes, windows, *stays_ms, measures);
        for change in line_changes.drain(..) {
            let windows = Windows { kept: windows, stays_ms: *stays_ms, time: change.time };
            if let Some((window, start)) = windows.of(change.at) {
                lines.at(change.time, change.key.within(window, start)).add(&change.sums);
            }
        }
    }
}

fn count_shares(
    changes: &mut Vec<ShareChange>,
    kept: &[Window],
    stays_ms: u64,
    measures: &mut Ticks<MeasureKey, Measures>,
) {
    let mut unwindowed = Unwindowed::default();
    for change in changes.drain(..) {
        let windows = Windows { kept, stays_ms, time: change.time };
        if unwindowed.tenant != change.tenant || !measures.is_of_tick(change.time, unwindowed.tick) {
            std::mem::take(&mut unwindowed).give(measures);
            (unwindowed.tenant, unwindowed.tick) = (change.tenant, measures.tick_of(change.time));
        }
        change.count(windows, measures, &mut unwindowed);
    }
    unwindowed.give(measures);
}

/// The windows that are kept, as of a time.
#[derive(Clone, Copy)]
struct Windows<'a> {
    kept: &'a [Window],
    stays_ms: u64,
    time: Time,
}

impl Windows<'_> {
    /// The finest kept window of `at` that is still open.
    fn of(self, at: Time) -> Option<(Window, Time)> {
        self.kept.iter().map(|window| (*window, window.start(at))).find(|(window, start)| self.is_open(*window, *start))
    }

    fn is_open(self, window: Window, start: Time) -> bool {
        window.closes(start, self.stays_ms).is_none_or(|closes| self.time <= closes)
    }
}

/// What changes of one tenant and tick come to in the collections that know no window but `total`. Nearly every change
/// changes them, and there are few of them.
#[derive(Default)]
struct Unwindowed {
    tenant: Symbol,
    tick: Time,
    /// By status: orders and their value.
    statuses: [(i64, Money); Status::ALL.len()],
    /// By SLA and outcome.
    slas: [[i64; Outcome::COUNT]; Sla::ALL.len()],
}

impl Unwindowed {
    fn count(&mut self, share: &Share, sign: i64) {
        let Some(status) = share.status else { return };
        let (orders, value) = &mut self.statuses[status as usize];
        *orders += sign;
        *value += share.item_value * sign;
    }

    fn count_slas(&mut self, share: &Share, sign: i64) {
        for (counts, outcome) in self.slas.iter_mut().zip(share.outcomes.slas) {
            if let Some(outcome) = outcome {
                counts[outcome as usize] += sign;
            }
        }
    }

    fn give(self, sums: &mut Ticks<MeasureKey, Measures>) {
        for (code, (orders, value)) in self.statuses.into_iter().enumerate() {
            if (orders, value) != (0, Money::ZERO) {
                let key = MeasureKey::in_total(Aggregate::OrdersByStatus, self.tenant, code as u16);
                let sum = sums.at(self.tick, key);
                sum.counts[0] += orders;
                sum.amounts[0] += value;
            }
        }
        for (sla, outcomes) in self.slas.into_iter().enumerate() {
            if outcomes != [0; Outcome::COUNT] {
                let sum = sums.at(self.tick, MeasureKey::in_total(Aggregate::SlaSummary, self.tenant, sla as u16));
                sum.counts.iter_mut().zip(outcomes).for_each(|(sum, count)| *sum += count);
            }
        }
    }
}

/// How a share counts towards the sums of its key: added where the sign is 1, taken back where it is -1.
type Counted = fn(&mut Measures, &Share, i64);

impl ShareChange {
    fn count(&self, windows: Windows<'_>, sums: &mut Ticks<MeasureKey, Measures>, unwindowed: &mut Unwindowed) {
        let (before, after) = (&self.before, &self.after);
        let same_cohort = before.placed_at == after.placed_at;
        let same_value = before.item_value == after.item_value && before.items == after.items;
        let same_gmv =
            same_value && before.freight_value == after.freight_value && before.is_cancelled() == after.is_cancelled();
        let same_order = same_cohort && same_value;
        let same_funnel = same_cohort && before.funnel == after.funnel;
        let same_status = same_order && before.status == after.status;
        let cohorts =
            if same_funnel && same_gmv { [None; 2] } else { [before, after].map(|share| windows.of(share.placed_at?)) };
        let within = |aggregate: Aggregate, side: usize| {
            cohorts[side].map(|(window, start)| self.in_total(aggregate, 0).within(window, start))
        };
        if !same_funnel {
            let keys = [0, 1].map(|side| within(Aggregate::Funnel, side));
            self.replace(sums, keys, Share::count_funnel);
        }
        if !same_cohort || !same_gmv {
            let mut keys = [0, 1].map(|side| within(Aggregate::Gmv, side));
            keys[0].take_if(|_| before.items == 0);
            keys[1].take_if(|_| after.items == 0);
            self.replace(sums, keys, Share::count_gmv);
        }
        if !same_status {
            unwindowed.count(before, -1);
            unwindowed.count(after, 1);
        }
        let counts_drop_off = before.outcomes.drop_off.is_some() || after.outcomes.drop_off.is_some();
        if counts_drop_off && (!same_status || before.outcomes.drop_off != after.outcomes.drop_off) {
            let keys = [before, after].map(|share| self.drop_off(share, windows));
            self.replace(sums, keys, Share::count_order);
        }
        if before.outcomes.slas != after.outcomes.slas {
            unwindowed.count_slas(before, -1);
            unwindowed.count_slas(after, 1);
        }
    }

    /// Takes back what one side counted and counts what the other says.
    #[inline(never)]
    fn replace(&self, sums: &mut Ticks<MeasureKey, Measures>, keys: [Option<MeasureKey>; 2], count: Counted) {
        let [before, after] = keys;
        if let Some(key) = before {
            let sum = sums.at(self.time, key);
            count(sum, &self.before, -1);
            if after == Some(key) {
                return count(sum, &self.after, 1);
            }
        }
        if let Some(key) = after {
            count(sums.at(self.time, key), &self.after, 1);
        }
    }

    fn in_total(&self, aggregate: Aggregate, code: u16) -> MeasureKey {
        MeasureKey::in_total(aggregate, self.tenant, code)
    }

    fn drop_off(&self, share: &Share, windows: Windows<'_>) -> Option<MeasureKey> {
        let (reason, status) = (share.outcomes.drop_off?, share.status?);
        let start = Window::Hour.start(share.placed_at?);
        let code = status as u16 * DropOff::ALL.len() as u16 + reason as u16;
        let key = self.in_total(Aggregate::DropOff, code).within(Window::Hour, start);
        windows.is_open(Window::Hour, start).then_some(key)
    }
}

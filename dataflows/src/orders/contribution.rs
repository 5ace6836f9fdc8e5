//! Contributions: what a change of one order changes in every aggregate collection (semantics.md, section 5).
//!
//! From what an order contributed before a change and after it to the differences in between, gathered by tick. Aggregates
//! are kept from such differences alone, so an order that retires contributes no difference and its share stays. A window
//! that has closed by the time of the change takes no part (semantics.md, section 8).

use super::driver::Emitted;
use super::fold::NEVER;
use super::outlook::{DropOff, Outcomes};
use super::state::State;
use super::view::{ItemLine, PaymentLine, View, category};
use crate::model::packed::PackedFacts;
use crate::model::{Money, Sla, Status, Symbol};
use crate::operators::ticks::Ticks;
use crate::settings::Settings;
use crate::time::{Time, Window};
use crate::views::measures::{Aggregate, LineMeasures, MeasureKey, Measures};

/// What an order contributes as a whole; its items and payments contribute line by line beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    item_value: Money,
    freight_value: Money,
    placed_at: Option<Time>,
    items: u32,
    payments: u32,
    /// The status it is counted under; none where it does not exist.
    status: Option<Status>,
    /// The counts of the funnel, a bit each.
    funnel: u8,
    outcomes: Outcomes,
}

impl Share {
    /// What an order contributes in this state, time having made `outcomes` of it.
    pub fn of(state: &State, outcomes: &Outcomes) -> Share {
        let fold = &state.fold;
        let has_items = state.items > 0;
        let [_, processing_at, shipped_at, delivered_at] = fold.stage_times();
        let shipped_or_further_at = shipped_at.min(delivered_at);
        let counted = [
            true,
            has_items,
            has_items && state.payments > 0,
            has_items && state.paid_value >= state.item_value + state.freight_value,
            processing_at.min(shipped_or_further_at) != NEVER,
            shipped_or_further_at != NEVER,
            delivered_at != NEVER,
            fold.is_cancelled(),
        ];
        Share {
            item_value: state.item_value,
            freight_value: state.freight_value,
            placed_at: fold.placed_at(),
            items: state.items,
            payments: state.payments,
            status: state.exists().then(|| state.status()),
            funnel: counted.iter().enumerate().map(|(bit, counted)| u8::from(*counted) << bit).sum(),
            outcomes: *outcomes,
        }
    }

    /// How many items and payments contribute.
    pub fn lines(&self) -> (usize, usize) {
        (self.items as usize, self.payments as usize)
    }

    /// True where the items of one side count elsewhere on the other: they are to be named on both sides.
    pub fn moves_items(&self, placed_at_after: Option<Time>) -> bool {
        self.items > 0 && self.placed_at != placed_at_after
    }

    fn is_cancelled(&self) -> bool {
        self.funnel >> 7 != 0
    }
}

/// One side of a change.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// What the order contributes as a whole.
    pub share: Share,
    /// Its items; those that both sides have may be left out of both, unless they move.
    pub items: &'a [ItemLine],
    /// Its payments, likewise.
    pub payments: &'a [PaymentLine],
}

impl<'a> Side<'a> {
    /// An order with this view.
    pub fn of(view: &'a View) -> Side<'a> {
        let share = Share::of(&view.state, &view.outlook.outcomes());
        Side { share, items: &view.items, payments: &view.payments }
    }

    /// An order that contributes nothing.
    pub fn nothing() -> Side<'a> {
        Side { share: Share::default(), items: &[], payments: &[] }
    }
}

/// Contributions that wait for their tick.
#[derive(Debug)]
pub struct Contributions {
    /// Of orders.
    pub measures: Ticks<MeasureKey, Measures>,
    /// Of items and payments.
    pub lines: Ticks<MeasureKey, LineMeasures>,
}

impl Contributions {
    /// None yet; ticks as those of [`Ticks`].
    pub fn new(tick_ms: u64) -> Contributions {
        Contributions { measures: Ticks::new(tick_ms), lines: Ticks::new(tick_ms) }
    }

    /// Emits every tick before `time`.
    pub fn publish_before(&mut self, time: Time, emitted: &mut Emitted) {
        self.measures.publish_before(time, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        self.lines.publish_before(time, |tick, key, lines| emitted.lines.push((key, tick, lines)));
    }

    /// Emits everything that is left, as of `end` where its tick is later.
    pub fn publish_rest(&mut self, end: Time, emitted: &mut Emitted) {
        self.measures.publish_rest(end, |tick, key, measures| emitted.measures.push((key, tick, measures)));
        self.lines.publish_rest(end, |tick, key, lines| emitted.lines.push((key, tick, lines)));
    }
}

/// A change of one order at a logical time.
pub struct Change<'a> {
    /// The order's tenant.
    pub tenant: Symbol,
    /// The order's facts, those of both sides.
    pub facts: &'a PackedFacts,
    /// Before the change.
    pub before: Side<'a>,
    /// After it.
    pub after: Side<'a>,
    /// When the change takes place.
    pub time: Time,
    /// Windows kept, and when they close.
    pub settings: &'a Settings,
}

/// How a share counts towards the sums of its key: added where the sign is 1, taken back where it is -1.
type Counted = fn(&mut Measures, &Share, i64);

impl Change<'_> {
    /// Gives every difference to `contributions`.
    pub fn give(&self, contributions: &mut Contributions) {
        let (before, after) = (&self.before.share, &self.after.share);
        let sums = &mut contributions.measures;
        let same_cohort = before.placed_at == after.placed_at;
        let same_value = before.item_value == after.item_value && before.items == after.items;
        if !same_cohort || before.funnel != after.funnel {
            self.replace(sums, |share| self.windowed(Aggregate::Funnel, share.placed_at?, 0), Share::count_funnel);
        }
        let same_gmv =
            same_value && before.freight_value == after.freight_value && before.is_cancelled() == after.is_cancelled();
        if !same_cohort || !same_gmv {
            let key = |share: &Share| {
                let placed_at = share.placed_at.filter(|_| share.items > 0)?;
                self.windowed(Aggregate::Gmv, placed_at, 0)
            };
            self.replace(sums, key, Share::count_gmv);
        }
        if !same_cohort
            || !same_value
            || before.status != after.status
            || before.outcomes.drop_off != after.outcomes.drop_off
        {
            self.replace(sums, |share| self.drop_off(share), Share::count_order);
            let key = |share: &Share| Some(self.in_total(Aggregate::OrdersByStatus, share.status? as u16));
            self.replace(sums, key, Share::count_order);
        }
        if before.outcomes.slas != after.outcomes.slas {
            self.slas(sums);
        }
        self.items(&mut contributions.lines);
        self.payments(&mut contributions.lines);
    }

    /// Takes back what one side counted and counts what the other says.
    fn replace(
        &self,
        sums: &mut Ticks<MeasureKey, Measures>,
        key: impl Fn(&Share) -> Option<MeasureKey>,
        count: Counted,
    ) {
        let (before, after) = (&self.before.share, &self.after.share);
        let key_after = key(after);
        if let Some(key) = key(before) {
            let sum = sums.at(self.time, key);
            count(sum, before, -1);
            if key_after == Some(key) {
                return count(sum, after, 1);
            }
        }
        if let Some(key) = key_after {
            count(sums.at(self.time, key), after, 1);
        }
    }

    fn slas(&self, sums: &mut Ticks<MeasureKey, Measures>) {
        let (before, after) = (&self.before.share.outcomes.slas, &self.after.share.outcomes.slas);
        for sla in Sla::ALL {
            let (before, after) = (before[sla as usize], after[sla as usize]);
            if before == after {
                continue;
            }
            let sum = sums.at(self.time, self.in_total(Aggregate::SlaSummary, sla as u16));
            before.into_iter().for_each(|outcome| sum.counts[outcome as usize] -= 1);
            after.into_iter().for_each(|outcome| sum.counts[outcome as usize] += 1);
        }
    }

    /// Items count in the window of their order's placement: all of them move with it.
    fn items(&self, sums: &mut Ticks<MeasureKey, LineMeasures>) {
        let (mut before, mut after) = (self.before.items, self.after.items);
        if before.is_empty() && after.is_empty() {
            return;
        }
        let cohort = |side: &Side<'_>| side.share.placed_at.and_then(|placed_at| self.window_of(placed_at));
        let (cohort_before, cohort_after) = (cohort(&self.before), cohort(&self.after));
        if cohort_before == cohort_after {
            (before, after) = without_common_start(before, after);
        }
        for (items, cohort, sign) in [(before, cohort_before, -1), (after, cohort_after, 1)] {
            let Some((window, start)) = cohort else { continue };
            for item in items {
                let category = Symbol::new(&category(self.facts, item));
                let key = self.in_total(Aggregate::Categories, 0).within(window, start).of_category(category);
                let value = item.price * item.quantity * sign;
                sums.at(self.time, key).add(&LineMeasures { lines: sign, installments: 0, value });
            }
        }
    }

    /// Payments count in the window of their own time, placed or not.
    fn payments(&self, sums: &mut Ticks<MeasureKey, LineMeasures>) {
        let (before, after) = without_common_start(self.before.payments, self.after.payments);
        for (payments, sign) in [(before, -1), (after, 1)] {
            for payment in payments {
                let code = payment.payment_type as u16;
                let Some(key) = self.windowed(Aggregate::Payments, payment.at, code) else { continue };
                let installments = sign * i64::from(payment.installments);
                sums.at(self.time, key).add(&LineMeasures { lines: sign, installments, value: payment.value * sign });
            }
        }
    }

    /// The finest kept window of `at` that is still open at the time of the change.
    fn window_of(&self, at: Time) -> Option<(Window, Time)> {
        let windows = self.settings.windows.iter();
        windows.map(|window| (*window, window.start(at))).find(|(window, start)| self.is_open(*window, *start))
    }

    fn is_open(&self, window: Window, start: Time) -> bool {
        let stays_ms = self.settings.horizon_ms.saturating_add(self.settings.max_age_ms);
        window.end(start).is_none_or(|end| self.time <= end.saturating_add(stays_ms))
    }

    fn windowed(&self, aggregate: Aggregate, at: Time, code: u16) -> Option<MeasureKey> {
        let (window, start) = self.window_of(at)?;
        Some(self.in_total(aggregate, code).within(window, start))
    }

    fn in_total(&self, aggregate: Aggregate, code: u16) -> MeasureKey {
        MeasureKey::in_total(aggregate, self.tenant, code)
    }

    fn drop_off(&self, share: &Share) -> Option<MeasureKey> {
        let (reason, status) = (share.outcomes.drop_off?, share.status?);
        let start = Window::Hour.start(share.placed_at?);
        let code = status as u16 * DropOff::ALL.len() as u16 + reason as u16;
        let key = self.in_total(Aggregate::DropOff, code).within(Window::Hour, start);
        self.is_open(Window::Hour, start).then_some(key)
    }
}

impl Share {
    fn count_funnel(sum: &mut Measures, share: &Share, sign: i64) {
        for (bit, count) in sum.counts.iter_mut().enumerate() {
            *count += sign * i64::from(share.funnel >> bit & 1);
        }
    }

    fn count_gmv(sum: &mut Measures, share: &Share, sign: i64) {
        let cancelled = if share.is_cancelled() { share.item_value } else { Money::ZERO };
        sum.counts[0] += sign;
        sum.counts[1] += sign * i64::from(share.items);
        for (amount, value) in sum.amounts.iter_mut().zip([share.item_value, share.freight_value, cancelled]) {
            *amount += value * sign;
        }
    }

    /// One order and its value.
    fn count_order(sum: &mut Measures, share: &Share, sign: i64) {
        sum.counts[0] += sign;
        sum.amounts[0] += share.item_value * sign;
    }
}

/// Both without the lines that they begin with in common.
fn without_common_start<'a, L: PartialEq>(before: &'a [L], after: &'a [L]) -> (&'a [L], &'a [L]) {
    let common = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    (&before[common..], &after[common..])
}

//! Contributions: what an order counts for in the aggregate collections (semantics.md, section 5).
//!
//! Pure: what an order contributes as a whole, and how its items and payments count otherwise than before. Aggregates are
//! kept from differences alone, so an order that retires contributes no difference and its share stays.
//! [`super::counting`] makes differences of them.

use super::fold::NEVER;
use super::outlook::Outcomes;
use super::state::State;
use super::view::{ItemLine, PaymentLine, View};
use crate::model::packed::PackedFacts;
use crate::model::{Money, Status, Symbol};
use crate::time::Time;
use crate::views::measures::Measures;

/// What an order contributes as a whole; its items and payments contribute line by line beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub(super) item_value: Money,
    pub(super) freight_value: Money,
    pub(super) placed_at: Option<Time>,
    pub(super) items: u32,
    pub(super) payments: u32,
    /// The status it is counted under; none where it does not exist.
    pub(super) status: Option<Status>,
    /// The counts of the funnel, a bit each.
    pub(super) funnel: u8,
    pub(super) outcomes: Outcomes,
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

    /// True where an SLA is overdue.
    pub fn has_open_breach(&self) -> bool {
        self.outcomes.has_open_breach()
    }

    /// How many items and payments contribute.
    pub fn lines(&self) -> (usize, usize) {
        (self.items as usize, self.payments as usize)
    }

    /// True where the items of one side count elsewhere on the other: they are to be named on both sides.
    pub fn moves_items(&self, placed_at_after: Option<Time>) -> bool {
        self.items > 0 && self.placed_at != placed_at_after
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.funnel >> 7 != 0
    }

    pub(super) fn count_funnel(sum: &mut Measures, share: &Share, sign: i64) {
        for (bit, count) in sum.counts.iter_mut().enumerate() {
            *count += sign * i64::from(share.funnel >> bit & 1);
        }
    }

    pub(super) fn count_gmv(sum: &mut Measures, share: &Share, sign: i64) {
        let cancelled = if share.is_cancelled() { share.item_value } else { Money::ZERO };
        sum.counts[0] += sign;
        sum.counts[1] += sign * i64::from(share.items);
        for (amount, value) in sum.amounts.iter_mut().zip([share.item_value, share.freight_value, cancelled]) {
            *amount += value * sign;
        }
    }

    /// One order and its value.
    pub(super) fn count_order(sum: &mut Measures, share: &Share, sign: i64) {
        sum.counts[0] += sign;
        sum.amounts[0] += share.item_value * sign;
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
}

impl Change<'_> {
    /// Every item that counts otherwise than before, with the time of its window and a sign. Items count in the window of
    /// their order's placement: all of them move with it.
    pub(super) fn items(&self) -> impl Iterator<Item = (&ItemLine, Option<Time>, i64)> {
        let placed_at = [self.before.share.placed_at, self.after.share.placed_at];
        let moves = placed_at[0] != placed_at[1];
        let common = if moves { 0 } else { common_start(self.before.items, self.after.items) };
        let sides = [(self.before.items, placed_at[0], -1), (self.after.items, placed_at[1], 1)];
        sides.into_iter().flat_map(move |(items, at, sign)| items[common..].iter().map(move |item| (item, at, sign)))
    }

    /// Every payment that counts otherwise than before, with a sign.
    pub(super) fn payments(&self) -> impl Iterator<Item = (&PaymentLine, i64)> {
        let common = common_start(self.before.payments, self.after.payments);
        let sides = [(self.before.payments, -1), (self.after.payments, 1)];
        sides.into_iter().flat_map(move |(payments, sign)| payments[common..].iter().map(move |line| (line, sign)))
    }
}

/// How many lines both begin with in common.
fn common_start<L: PartialEq>(before: &[L], after: &[L]) -> usize {
    before.iter().zip(after).take_while(|(before, after)| before == after).count()
}

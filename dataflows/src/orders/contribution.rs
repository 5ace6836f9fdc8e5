//! Contributions: what a change of one order changes in every aggregate collection (semantics.md, section 5).
//!
//! Pure: from what an order contributed before a change and after it to the differences in between. Aggregates are kept
//! from such differences alone, so an order that retires contributes no difference and its share stays. A window that
//! has closed by the time of the change takes no part (semantics.md, section 8).

use super::outlook::{DropOff, Outcomes};
use super::state::State;
use super::view::{ItemLine, PaymentLine, View, category};
use crate::model::packed::PackedFacts;
use crate::model::{Money, Sla, Stage, Status, Symbol};
use crate::settings::Settings;
use crate::time::{Time, Window};
use crate::views::measures::{Aggregate, MeasureKey, Measures};

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
        let counted = [
            true,
            has_items,
            has_items && state.payments > 0,
            has_items && state.paid_value >= state.item_value + state.freight_value,
            fold.has_reached(Stage::Processing),
            fold.has_reached(Stage::Shipped),
            fold.has_reached(Stage::Delivered),
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
    pub fn moves_items(&self, after: &Share) -> bool {
        self.items > 0 && self.placed_at != after.placed_at
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

/// Takes a difference. Called through a pointer, and what calls it is not copied for each aggregate: the whole way of a
/// fact has to fit into a core's cache for instructions.
pub type Emit<'a> = &'a mut dyn FnMut(MeasureKey, &Measures);

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

impl Change<'_> {
    /// Gives every difference to `emit`; differences of one key may come in parts.
    pub fn differences(&self, emit: Emit<'_>) {
        let (before, after) = (&self.before.share, &self.after.share);
        let same_cohort = before.placed_at == after.placed_at;
        let same_value = before.item_value == after.item_value && before.items == after.items;
        if !same_cohort || before.funnel != after.funnel {
            self.replace(before, after, &|share| self.funnel(share), emit);
        }
        let same_gmv =
            same_value && before.freight_value == after.freight_value && before.is_cancelled() == after.is_cancelled();
        if !same_cohort || !same_gmv {
            self.replace(before, after, &|share| self.gmv(share), emit);
        }
        if !same_cohort
            || !same_value
            || before.status != after.status
            || before.outcomes.drop_off != after.outcomes.drop_off
        {
            self.replace(before, after, &|share| self.drop_off(share), emit);
            self.replace(before, after, &|share| self.status(share), emit);
        }
        for sla in Sla::ALL {
            if before.outcomes.slas[sla as usize] != after.outcomes.slas[sla as usize] {
                self.replace(before, after, &|share| self.sla(share, sla), emit);
            }
        }
        self.items(emit);
        self.payments(emit);
    }

    /// Takes back what `of` says of one side and gives what it says of the other.
    #[inline(never)]
    fn replace(
        &self,
        before: &Share,
        after: &Share,
        of: &dyn Fn(&Share) -> Option<(MeasureKey, Measures)>,
        emit: Emit<'_>,
    ) {
        match (of(before), of(after)) {
            (Some((key_before, measures_before)), Some((key, mut measures))) if key_before == key => {
                measures.subtract(&measures_before);
                emit(key, &measures);
            }
            (before, after) => {
                if let Some((key, measures)) = before {
                    emit(key, &measures.negated());
                }
                if let Some((key, measures)) = after {
                    emit(key, &measures);
                }
            }
        }
    }

    /// Items count in the window of their order's placement: all of them move with it.
    fn items(&self, emit: Emit<'_>) {
        let cohort = |side: &Side<'_>| side.share.placed_at.and_then(|placed_at| self.window_of(placed_at));
        let (cohort_before, cohort_after) = (cohort(&self.before), cohort(&self.after));
        let (mut before, mut after) = (self.before.items, self.after.items);
        if cohort_before == cohort_after {
            (before, after) = without_common_start(before, after);
        }
        for (items, cohort, is_before) in [(before, cohort_before, true), (after, cohort_after, false)] {
            let Some((window, start)) = cohort else { continue };
            for item in items {
                let category = Symbol::new(&category(self.facts, item));
                let key = MeasureKey { window, start, category, ..self.unwindowed(Aggregate::Categories, 0) };
                let mut measures = Measures::default();
                measures.counts[0] = 1;
                measures.amounts[0] = item.price * item.quantity;
                emit(key, &if is_before { measures.negated() } else { measures });
            }
        }
    }

    /// Payments count in the window of their own time, placed or not.
    fn payments(&self, emit: Emit<'_>) {
        let (before, after) = without_common_start(self.before.payments, self.after.payments);
        for (payments, is_before) in [(before, true), (after, false)] {
            for payment in payments {
                let code = payment.payment_type as u16;
                let Some(key) = self.windowed(Aggregate::Payments, payment.at, code) else { continue };
                let mut measures = Measures::default();
                measures.counts[..2].copy_from_slice(&[1, i64::from(payment.installments)]);
                measures.amounts[0] = payment.value;
                emit(key, &if is_before { measures.negated() } else { measures });
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
        Some(MeasureKey { window, start, ..self.unwindowed(aggregate, code) })
    }

    fn unwindowed(&self, aggregate: Aggregate, code: u16) -> MeasureKey {
        let category = Symbol::default();
        MeasureKey { aggregate, window: Window::Total, code, tenant: self.tenant, category, start: 0 }
    }

    fn funnel(&self, share: &Share) -> Option<(MeasureKey, Measures)> {
        let mut measures = Measures::default();
        for (bit, count) in measures.counts.iter_mut().enumerate() {
            *count = i64::from(share.funnel >> bit & 1);
        }
        Some((self.windowed(Aggregate::Funnel, share.placed_at?, 0)?, measures))
    }

    fn gmv(&self, share: &Share) -> Option<(MeasureKey, Measures)> {
        let placed_at = share.placed_at.filter(|_| share.items > 0)?;
        let cancelled = if share.is_cancelled() { share.item_value } else { Money::ZERO };
        let mut measures =
            Measures { amounts: [share.item_value, share.freight_value, cancelled], ..Measures::default() };
        measures.counts[..2].copy_from_slice(&[1, i64::from(share.items)]);
        Some((self.windowed(Aggregate::Gmv, placed_at, 0)?, measures))
    }

    fn drop_off(&self, share: &Share) -> Option<(MeasureKey, Measures)> {
        let (reason, status) = (share.outcomes.drop_off?, share.status?);
        let start = Window::Hour.start(share.placed_at?);
        if !self.is_open(Window::Hour, start) {
            return None;
        }
        let code = status as u16 * DropOff::ALL.len() as u16 + reason as u16;
        let key = MeasureKey { window: Window::Hour, start, ..self.unwindowed(Aggregate::DropOff, code) };
        Some((key, one_order(share.item_value)))
    }

    fn status(&self, share: &Share) -> Option<(MeasureKey, Measures)> {
        Some((self.unwindowed(Aggregate::OrdersByStatus, share.status? as u16), one_order(share.item_value)))
    }

    fn sla(&self, share: &Share, sla: Sla) -> Option<(MeasureKey, Measures)> {
        let mut measures = Measures::default();
        measures.counts[share.outcomes.slas[sla as usize]? as usize] = 1;
        Some((self.unwindowed(Aggregate::SlaSummary, sla as u16), measures))
    }
}

fn one_order(value: Money) -> Measures {
    let mut measures = Measures { amounts: [value, Money::ZERO, Money::ZERO], ..Measures::default() };
    measures.counts[0] = 1;
    measures
}

/// Both without the lines that they begin with in common.
fn without_common_start<'a, L: PartialEq>(before: &'a [L], after: &'a [L]) -> (&'a [L], &'a [L]) {
    let common = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    (&before[common..], &after[common..])
}

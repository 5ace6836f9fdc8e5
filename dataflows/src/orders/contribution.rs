//! Contributions: what a change of one order changes in every aggregate collection (semantics.md, section 5).
//!
//! Pure: from two views of one order, before and after, to the differences between what they contribute. Aggregates
//! are kept from such differences alone, so an order that retires contributes no difference and its share stays. A
//! window that has closed by the time of the change takes no part (semantics.md, section 8).

use super::view::{DropOff, ItemLine, View};
use crate::model::packed::PackedFacts;
use crate::model::{Money, Sla, Stage, Symbol};
use crate::orders::sla::reached;
use crate::orders::view::category;
use crate::settings::Settings;
use crate::time::{Time, Window};
use crate::views::measures::{Aggregate, MeasureKey, Measures};

/// One side of a change: an order's view and the facts it was made of.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// The view.
    pub view: &'a View,
    /// The facts.
    pub facts: &'a PackedFacts,
}

/// A change of one order at a logical time.
pub struct Change<'a> {
    /// The order's tenant.
    pub tenant: Symbol,
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
    pub fn differences(&self, mut emit: impl FnMut(MeasureKey, Measures)) {
        let (before, after) = (self.before.view, self.after.view);
        self.replace(self.funnel(before), self.funnel(after), &mut emit);
        self.replace(self.gmv(before), self.gmv(after), &mut emit);
        self.replace(self.drop_off(before), self.drop_off(after), &mut emit);
        self.replace(self.status(before), self.status(after), &mut emit);
        for sla in Sla::ALL {
            self.replace(self.sla(before, sla), self.sla(after, sla), &mut emit);
        }
        let cohort = |view: &View| view.fold.placed_at().and_then(|placed_at| self.window_of(placed_at));
        if before.items != after.items || cohort(before) != cohort(after) {
            for (side, sign) in [(self.before, -1), (self.after, 1)] {
                for item in &side.view.items {
                    self.give(self.category(side, item), sign, &mut emit);
                }
            }
        }
        if before.payments != after.payments {
            for (view, sign) in [(before, -1), (after, 1)] {
                for payment in &view.payments {
                    let mut measures = Measures::default();
                    measures.counts[..2].copy_from_slice(&[1, i64::from(payment.installments)]);
                    measures.amounts[0] = payment.value;
                    let key = self.windowed(Aggregate::Payments, payment.at, payment.payment_type as u16);
                    self.give(key.map(|key| (key, measures)), sign, &mut emit);
                }
            }
        }
    }

    fn replace(
        &self,
        before: Option<(MeasureKey, Measures)>,
        after: Option<(MeasureKey, Measures)>,
        emit: &mut impl FnMut(MeasureKey, Measures),
    ) {
        match (before, after) {
            (before, after) if before == after => {}
            (Some((key_before, measures_before)), Some((key, mut measures))) if key_before == key => {
                measures.add(&measures_before, -1);
                emit(key, measures);
            }
            (before, after) => {
                self.give(before, -1, emit);
                self.give(after, 1, emit);
            }
        }
    }

    fn give(
        &self,
        contribution: Option<(MeasureKey, Measures)>,
        sign: i64,
        emit: &mut impl FnMut(MeasureKey, Measures),
    ) {
        if let Some((key, measures)) = contribution {
            let mut signed = Measures::default();
            signed.add(&measures, sign);
            emit(key, signed);
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
        Some(MeasureKey { aggregate, window, code, tenant: self.tenant, category: Symbol::default(), start })
    }

    fn unwindowed(&self, aggregate: Aggregate, code: u16) -> MeasureKey {
        let category = Symbol::default();
        MeasureKey { aggregate, window: Window::Total, code, tenant: self.tenant, category, start: 0 }
    }

    fn funnel(&self, view: &View) -> Option<(MeasureKey, Measures)> {
        let placed_at = view.fold.placed_at()?;
        let has_items = !view.items.is_empty();
        let counted = [
            true,
            has_items,
            has_items && !view.payments.is_empty(),
            has_items && view.paid_value >= view.item_value + view.freight_value,
            reached(&view.fold, Stage::Processing),
            reached(&view.fold, Stage::Shipped),
            reached(&view.fold, Stage::Delivered),
            view.fold.cancelled_at.is_some(),
        ];
        let measures = Measures { counts: counted.map(i64::from), ..Measures::default() };
        Some((self.windowed(Aggregate::Funnel, placed_at, 0)?, measures))
    }

    fn gmv(&self, view: &View) -> Option<(MeasureKey, Measures)> {
        let placed_at = view.fold.placed_at()?;
        if view.items.is_empty() {
            return None;
        }
        let cancelled = if view.fold.cancelled_at.is_some() { view.item_value } else { Money::ZERO };
        let mut measures =
            Measures { amounts: [view.item_value, view.freight_value, cancelled], ..Measures::default() };
        measures.counts[..2].copy_from_slice(&[1, view.items.len() as i64]);
        Some((self.windowed(Aggregate::Gmv, placed_at, 0)?, measures))
    }

    fn category(&self, side: Side<'_>, item: &ItemLine) -> Option<(MeasureKey, Measures)> {
        let mut key = self.windowed(Aggregate::Categories, side.view.fold.placed_at()?, 0)?;
        key.category = Symbol::new(&category(side.facts, item));
        let mut measures = Measures::default();
        measures.counts[0] = 1;
        measures.amounts[0] = item.price * item.quantity;
        Some((key, measures))
    }

    fn drop_off(&self, view: &View) -> Option<(MeasureKey, Measures)> {
        let reason = view.drop_off?;
        let start = Window::Hour.start(view.fold.placed_at()?);
        if !self.is_open(Window::Hour, start) {
            return None;
        }
        let code = view.status() as u16 * DropOff::ALL.len() as u16 + reason as u16;
        let key = MeasureKey { window: Window::Hour, start, ..self.unwindowed(Aggregate::DropOff, code) };
        Some((key, one_order(view.item_value)))
    }

    fn status(&self, view: &View) -> Option<(MeasureKey, Measures)> {
        let key = self.unwindowed(Aggregate::OrdersByStatus, view.status() as u16);
        view.exists.then(|| (key, one_order(view.item_value)))
    }

    fn sla(&self, view: &View, sla: Sla) -> Option<(MeasureKey, Measures)> {
        let outcome = view.slas[sla as usize]?.outcome;
        let mut measures = Measures::default();
        measures.counts[outcome as usize] = 1;
        Some((self.unwindowed(Aggregate::SlaSummary, sla as u16), measures))
    }
}

fn one_order(value: Money) -> Measures {
    let mut measures = Measures { amounts: [value, Money::ZERO, Money::ZERO], ..Measures::default() };
    measures.counts[0] = 1;
    measures
}

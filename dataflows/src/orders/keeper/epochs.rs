//! Epochs: what changes of a live job's orders is given together, when an epoch ends. An order that changed ten times is
//! shown once, and counted once.
//!
//! Invariant: what was given before the end of an epoch is the difference between nothing and what stands there; no worker
//! gives anything as of a time beside its epoch's. Ends are the same for all workers, and are told them before they pass:
//! so results are complete there, and only there. Where a sink stands has to be one.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::super::Rows;
use super::super::contribution::Change;
use super::super::counting::{Contributions, Stretch};
use super::super::order::{Order, Progress};
use super::super::outlook::Law;
use super::super::view::View;
use super::Keeper;
use crate::time::Time;

/// See the head of this file.
pub(super) struct Epochs {
    rows: Rows,
    /// When the next ones end, and whether a snapshot is asked for then.
    ends: BTreeMap<Time, bool>,
    /// When the last one ended.
    pub(super) ended: Time,
    /// Orders that changed since.
    touched: Vec<Touched>,
    /// Stretches of changes that ended since.
    stretches: Vec<Stretch>,
    /// Kept for their allocations.
    #[allow(clippy::vec_box)] // they are given back as they are
    spare: Vec<Box<View>>,
}

/// An order that changed in an epoch.
struct Touched {
    /// Its number; none once its rows have been given.
    number: Option<u32>,
    /// As it stood before, unless it had no row of those that are wanted. Views are large, and there are many in an epoch of
    /// a backlog.
    before: Option<Box<View>>,
    /// When it changed last.
    last: Time,
    /// What its changes come to in the sums.
    stretch: Option<Stretch>,
}

/// Room for so many times the orders that changed is given back.
const ROOMY: usize = 8;
/// So many spare views are kept.
const SPARE: usize = 1 << 12;

impl Epochs {
    /// None has ended yet.
    pub(super) fn new(rows: Rows) -> Epochs {
        let (touched, stretches, spare) = (Vec::new(), Vec::new(), Vec::new());
        Epochs { rows, ends: BTreeMap::new(), ended: 0, touched, stretches, spare }
    }

    /// One is to end at `time`, unless that has passed.
    pub(super) fn end_at(&mut self, time: Time, asks_snapshot: bool) {
        if time >= self.ended {
            *self.ends.entry(time).or_default() |= asks_snapshot;
        }
    }

    /// The next end, if all before `frontier` is enough for it.
    pub(super) fn next_end(&mut self, frontier: Time) -> Option<(Time, bool)> {
        self.ends.first_entry().filter(|first| *first.key() <= frontier).map(|first| first.remove_entry())
    }

    /// An order is about to change at `time`.
    pub(super) fn touch(&mut self, number: u32, order: &mut Order, law: &Law, time: Time) {
        if let Some(touched) = order.noted.and_then(|noted| self.touched.get_mut(noted.get() as usize - 1)) {
            touched.last = time;
            return;
        }
        let before = has_rows(self.rows, order.progress().map(Progress::has_open_breach)).then(|| {
            let mut view = self.spare.pop().unwrap_or_default();
            view.evaluate(order.tenant, &order.facts, law, time.saturating_sub(1));
            view
        });
        self.touched.push(Touched { number: Some(number), before, last: time, stretch: None });
        order.noted = u32::try_from(self.touched.len()).ok().and_then(NonZeroU32::new);
    }

    /// Takes a change of an order that is `noted` here.
    pub(super) fn take(
        &mut self,
        noted: Option<NonZeroU32>,
        change: &Change<'_>,
        contributions: &mut Contributions,
        tick_ms: u64,
    ) {
        contributions.take_lines(change);
        let mut alone = None;
        let touched = noted.and_then(|noted| self.touched.get_mut(noted.get() as usize - 1));
        let stretch = touched.map_or(&mut alone, |touched| &mut touched.stretch);
        self.stretches.extend(contributions.stretch(stretch, change, tick_ms));
        self.stretches.extend(alone);
    }
}

/// False where an order has no row of those that are wanted; `has_breach` is none where that has to be looked at.
fn has_rows(rows: Rows, has_breach: Option<bool>) -> bool {
    match rows {
        Rows::OpenBreaches => has_breach.unwrap_or(true),
        Rows::All => true,
        Rows::None => false,
    }
}

impl Keeper {
    /// Judges all facts before `frontier`; in epochs what ticks have gathered up to the last one before it is put together.
    pub(super) fn judge_by_ticks(&mut self, frontier: Time) {
        let tick = self.last_tick_before(frontier);
        if self.epochs.is_some() && (self.judged_before..frontier).contains(&tick) {
            // What was gathered since the last tick is little; what comes now is added to what was closed at once.
            self.contributions.reopen();
            self.quality.reopen();
            self.judge_before(tick + 1);
            self.contributions.close(tick);
            self.quality.close(tick);
        }
        self.judge_before(frontier);
    }

    fn last_tick_before(&self, time: Time) -> Time {
        let tick_ms = self.law.settings.tick_ms.max(1);
        time.saturating_sub(1) / tick_ms * tick_ms
    }

    /// Gives what changed in the epoch that ends here: all before `end` has been judged.
    pub(super) fn give_epoch(&mut self, end: Time) {
        let count = self.epochs.as_ref().map_or(0, |epochs| epochs.touched.len());
        for place in 0..count {
            let touched = self.epochs.as_ref().and_then(|epochs| epochs.touched.get(place));
            touched.and_then(|touched| touched.number).into_iter().for_each(|number| self.give_touched(number));
        }
        let tick = self.last_tick_before(end);
        if let Keeper { epochs: Some(epochs), contributions, .. } = self {
            let of_orders = epochs.touched.drain(..).filter_map(|touched| touched.stretch);
            contributions.close_stretches(tick, of_orders.chain(epochs.stretches.drain(..)));
            epochs.ended = end;
            // An epoch of a backlog is large. Room that is used again and again costs less than room that is new each time.
            if count < epochs.touched.capacity() / ROOMY {
                epochs.touched.shrink_to(count);
            }
            epochs.stretches.shrink_to(SPARE);
        }
        self.publish_before(end);
    }

    /// Gives the rows of what an order's changes in this epoch come to, if there were any.
    pub(super) fn give_touched(&mut self, number: u32) {
        let Keeper { epochs: Some(epochs), registry, law, emitted, after, .. } = self else { return };
        let noted = registry.get_mut(number).and_then(|order| order.noted.take());
        let Some(touched) = noted.and_then(|noted| epochs.touched.get_mut(noted.get() as usize - 1)) else { return };
        touched.number = None;
        let mut before = touched.before.take();
        if let Some(order) = registry.get(number) {
            let has_breach = match &touched.stretch {
                Some(stretch) => Some(stretch.after().has_open_breach()),
                None => order.progress().map(Progress::has_open_breach),
            };
            if before.is_some() || has_rows(epochs.rows, has_breach) {
                after.evaluate(order.tenant, &order.facts, law, touched.last);
                let (id, views) = (order.id(), [&**before.get_or_insert_default(), &*after]);
                match epochs.rows {
                    Rows::All => emitted.give_changed_rows(&id, &order.facts, views, touched.last),
                    Rows::OpenBreaches => emitted.give_open_breaches(&id, &order.facts, views, touched.last),
                    Rows::None => {}
                }
            }
        }
        epochs.spare.extend(before.filter(|_| epochs.spare.len() < SPARE));
    }
}

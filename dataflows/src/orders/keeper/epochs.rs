//! Epochs: what changes of a live job's orders is given together, when an epoch ends. An order that changed ten times is
//! shown once.
//!
//! Invariant: what was given before the end of an epoch is the difference between nothing and what stands there; no worker
//! gives anything as of a time beside its epoch's. Ends are the same for all workers, and are told them before they pass:
//! so results are complete there, and only there. Where a sink stands has to be one.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::super::Rows;
use super::super::order::Order;
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
    /// Orders that changed since, each as it stood before, unless it had no row of those that are wanted, and when it changed
    /// last. Views are large, and the table grows in every epoch of a backlog.
    touched: HashMap<u32, (Option<Box<View>>, Time)>,
    /// Kept for their allocations.
    #[allow(clippy::vec_box)] // they are given back to the table as they are
    spare: Vec<Box<View>>,
}

/// So many spare views are kept.
const SPARE: usize = 1 << 12;

impl Epochs {
    /// None has ended yet.
    pub(super) fn new(rows: Rows) -> Epochs {
        Epochs { rows, ends: BTreeMap::new(), ended: 0, touched: HashMap::new(), spare: Vec::new() }
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
    pub(super) fn touch(&mut self, number: u32, order: &Order, law: &Law, time: Time) {
        let Epochs { rows, touched, spare, .. } = self;
        let (_, last) = touched.entry(number).or_insert_with(|| {
            let before = has_rows(*rows, order).then(|| {
                let mut view = spare.pop().unwrap_or_default();
                view.evaluate(order.tenant, &order.facts, law, time.saturating_sub(1));
                view
            });
            (before, time)
        });
        *last = time;
    }
}

/// False where an order has no row of those that are wanted, as it stands.
fn has_rows(rows: Rows, order: &Order) -> bool {
    match (rows, order.progress()) {
        (Rows::Breaches, Some(progress)) => progress.has_breach(),
        // What rests has to be looked at.
        (Rows::All, _) | (_, None) => true,
    }
}

impl Keeper {
    /// Judges all facts before `frontier`; in epochs what ticks have gathered up to the last one before it is put together.
    pub(super) fn judge_by_ticks(&mut self, frontier: Time) {
        let tick_ms = self.law.settings.tick_ms.max(1);
        let tick = frontier.saturating_sub(1) / tick_ms * tick_ms;
        if self.epochs.is_some() && (self.judged_before..frontier).contains(&tick) {
            self.judge_before(tick + 1);
            self.contributions.close(tick);
            self.quality.close(tick);
        }
        self.judge_before(frontier);
    }

    /// Gives what changed in the epoch that ends here: all before `end` has been judged.
    pub(super) fn give_epoch(&mut self, end: Time) {
        let touched = self.epochs.as_ref().map(|epochs| epochs.touched.keys().copied().collect::<Vec<u32>>());
        touched.into_iter().flatten().for_each(|number| self.give_touched(number));
        self.publish_before(end);
        if let Some(epochs) = &mut self.epochs {
            epochs.ended = end;
            // An epoch of a backlog is large, and all room is looked through at the end of each.
            epochs.touched.shrink_to(SPARE);
        }
    }

    /// Gives what an order's changes in this epoch come to, if there were any.
    pub(super) fn give_touched(&mut self, number: u32) {
        let Keeper { epochs: Some(epochs), registry, law, emitted, after, .. } = self else { return };
        let Some((mut before, time)) = epochs.touched.remove(&number) else { return };
        if let Some(order) = registry.get(number)
            && (before.is_some() || has_rows(epochs.rows, order))
        {
            after.evaluate(order.tenant, &order.facts, law, time);
            let (id, views) = (order.id(), [&**before.get_or_insert_default(), &*after]);
            match epochs.rows {
                Rows::All => emitted.give_changed_rows(&id, &order.facts, views, time),
                Rows::Breaches => emitted.give_changed_breaches(&id, &order.facts, views, time),
            }
        }
        epochs.spare.extend(before.filter(|_| epochs.spare.len() < SPARE));
    }
}

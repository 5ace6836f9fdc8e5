//! Stretches: the changes of an order in an epoch, counted as one when it ends.
//!
//! Invariant: a stretch comes to what its changes come to one by one. A tick within it is told from the tick that is open when
//! the epoch ends; where a window may have closed between two changes, or the second does not begin as the first ended,
//! another stretch begins.

use super::super::contribution::{Change, Share};
use super::{CHANGES_AT_ONCE, Contributions, ShareChange, count_shares};
use crate::model::Symbol;
use crate::time::{Time, is_of_tick, tick_at_or_after};

/// Changes of what an order contributes as a whole, one after the other, that are counted as one when an epoch ends.
#[derive(Debug)]
pub struct Stretch {
    tenant: Symbol,
    before: Share,
    /// Before the first change of the last tick.
    before_tick: Share,
    after: Share,
    /// The tick of the last change, and when that was.
    tick: Time,
    time: Time,
}

impl Stretch {
    /// What it has come to.
    pub fn after(&self) -> &Share {
        &self.after
    }
}

impl Contributions {
    /// Has an order's stretch of changes go on with the rest of a change, ticks being `tick_ms` long. The stretch before it,
    /// where it must not: windows that close between two changes take part in one of them alone.
    pub fn stretch(&self, stretch: &mut Option<Stretch>, change: &Change<'_>, tick_ms: u64) -> Option<Stretch> {
        let Change { tenant, time, .. } = *change;
        let (before, after) = (change.before.share, change.after.share);
        if before == after {
            return None;
        }
        let stays_open = |share: &Share| share.placed_at.is_none_or(|at| time <= at.saturating_add(self.stays_ms));
        if let Some(known) = stretch
            && known.after == before
            && [&known.before, &known.before_tick, &before, &after].into_iter().all(stays_open)
        {
            if !is_of_tick(time, known.tick, tick_ms) {
                (known.before_tick, known.tick) = (before, tick_at_or_after(time, tick_ms));
            }
            (known.after, known.time) = (after, time);
            return None;
        }
        let tick = tick_at_or_after(time, tick_ms);
        stretch.replace(Stretch { tenant, before, before_tick: before, after, tick, time })
    }

    /// Counts stretches: what is of `tick` and of ticks before it together with what was closed, the rest as of a tick that
    /// is still open.
    pub fn close_stretches(&mut self, tick: Time, stretches: impl Iterator<Item = Stretch>) {
        self.count();
        let (mut closed, mut open) = (self.measures.take_closed(), Vec::new());
        let Contributions { windows, stays_ms, changes, .. } = self;
        for Stretch { tenant, before, before_tick, after, tick: last, time } in stretches {
            let between = if last <= tick { after } else { before_tick };
            if before != between {
                changes.push(ShareChange { tenant, time, before, after: between });
            }
            if between != after {
                open.push(ShareChange { tenant, time, before: between, after });
            }
            if changes.len() >= CHANGES_AT_ONCE {
                count_shares(changes, windows, *stays_ms, &mut closed);
            }
        }
        count_shares(changes, windows, *stays_ms, &mut closed);
        changes.append(&mut open);
        self.measures.put_closed(tick, closed);
    }
}

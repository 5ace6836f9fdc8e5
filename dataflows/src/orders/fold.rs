//! The lifecycle fold: from an order's lifecycle facts, in the order of (at, rank, id), to its stage, its times, its
//! holds and one verdict a fact (semantics.md, section 3).
//!
//! Invariant: [`Fold::apply`] is the only place that judges an event. The fold never fails and never forgets: an event
//! out of turn is applied or ignored as `Transitions` says, and reported by its verdict.

use crate::model::{EventKind, Stage, Status, Verdict};
use crate::settings::Transitions;
use crate::time::Time;

/// Stands for a time that has not come: there are many orders, and an `Option<Time>` takes twice the bytes.
pub const NEVER: Time = Time::MAX;

/// An order's state as its lifecycle facts so far make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    stage_at: [Time; 4],
    confirmed_at: Time,
    cancelled_at: Time,
    #[allow(clippy::box_collection)] // few orders are ever held: the others pay eight bytes
    holds: Option<Box<Vec<Hold>>>,
    stage: Option<Stage>,
}

/// A hold: SLAs stand still from `held_at` to `released_at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// When it began.
    pub held_at: Time,
    /// When it ended; none while it lasts.
    pub released_at: Option<Time>,
}

impl Default for Fold {
    /// The state of an order without lifecycle facts.
    fn default() -> Fold {
        Fold { stage_at: [NEVER; 4], confirmed_at: NEVER, cancelled_at: NEVER, holds: None, stage: None }
    }
}

impl Fold {
    /// The order's status as it is shown.
    pub fn status(&self) -> Status {
        match (self.placed_at(), self.cancelled_at(), self.stage) {
            (None, _, _) => Status::Unplaced,
            (_, Some(_), _) => Status::Cancelled,
            (_, _, Some(Stage::Processing)) => Status::Processing,
            (_, _, Some(Stage::Shipped)) => Status::Shipped,
            (_, _, Some(Stage::Delivered)) => Status::Delivered,
            (_, _, Some(Stage::Order) | None) => Status::Order,
        }
    }

    /// True where nothing more is expected of the order: delivered or cancelled, placed or not.
    pub fn is_terminal(&self) -> bool {
        self.is_cancelled() || self.stage == Some(Stage::Delivered)
    }

    /// When the order was placed, where known.
    pub fn placed_at(&self) -> Option<Time> {
        self.reached_at(Stage::Order)
    }

    /// When each stage was reached; [`NEVER`] where it was skipped or is still to come.
    pub fn stage_times(&self) -> [Time; 4] {
        self.stage_at
    }

    /// When `stage` was reached; none where it was skipped or is still to come.
    pub fn reached_at(&self, stage: Stage) -> Option<Time> {
        come(self.stage_at[stage as usize])
    }

    /// When the shop confirmed it.
    pub fn confirmed_at(&self) -> Option<Time> {
        come(self.confirmed_at)
    }

    /// When it was cancelled.
    pub fn cancelled_at(&self) -> Option<Time> {
        come(self.cancelled_at)
    }

    /// True where it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled_at != NEVER
    }

    /// Holds in order: from, and until where released.
    pub fn holds(&self) -> &[Hold] {
        self.holds.as_ref().map_or(&[], |holds| holds)
    }

    /// Judges the next event in fold order and applies it where its verdict and `transitions` say so.
    pub fn apply(&mut self, kind: EventKind, at: Time, transitions: Transitions) -> Verdict {
        let verdict = self.judge(kind);
        let lenient = transitions == Transitions::Lenient;
        match verdict {
            Verdict::Ok => self.record(kind, at),
            Verdict::NotPlaced | Verdict::SkippedStage | Verdict::Backward if lenient => self.record(kind, at),
            Verdict::AfterCancellation if lenient && kind == EventKind::Placed => {
                self.stage_at[Stage::Order as usize] = at;
            }
            _ => {}
        }
        verdict
    }

    /// The first row of the law's table that fits.
    fn judge(&self, kind: EventKind) -> Verdict {
        let placed = self.placed_at().is_some();
        let cancelled = self.is_cancelled();
        let not_placed_or = |verdict| if placed { verdict } else { Verdict::NotPlaced };
        match kind {
            EventKind::Cancelled => match () {
                () if cancelled => Verdict::Repeated,
                () if self.stage == Some(Stage::Delivered) => Verdict::CancelAfterDelivery,
                () => not_placed_or(Verdict::Ok),
            },
            EventKind::Confirmed | EventKind::Held | EventKind::Released => match () {
                () if self.is_repeated_mark(kind) => Verdict::Repeated,
                () if cancelled => Verdict::AfterCancellation,
                () => not_placed_or(Verdict::Ok),
            },
            EventKind::Placed | EventKind::ProcessingStarted | EventKind::Shipped | EventKind::Delivered => {
                let Some(stage) = kind.stage() else { return Verdict::Ok };
                let ahead = stage as i8 - self.stage.map_or(-1, |current| current as i8);
                match () {
                    () if self.reached_at(stage).is_some() => Verdict::Repeated,
                    () if cancelled => Verdict::AfterCancellation,
                    () if stage == Stage::Order && self.stage.is_none() => Verdict::Ok,
                    () if !placed && stage != Stage::Order => Verdict::NotPlaced,
                    () if ahead == 1 => Verdict::Ok,
                    () if ahead > 1 => Verdict::SkippedStage,
                    () => Verdict::Backward,
                }
            }
        }
    }

    /// Confirmed again, held while held, or released while not held.
    fn is_repeated_mark(&self, kind: EventKind) -> bool {
        let held = self.holds().last().is_some_and(|hold| hold.released_at.is_none());
        match kind {
            EventKind::Confirmed => self.confirmed_at != NEVER,
            EventKind::Held => held,
            _ => !held,
        }
    }

    fn record(&mut self, kind: EventKind, at: Time) {
        match kind {
            EventKind::Confirmed => self.confirmed_at = at,
            EventKind::Cancelled => self.cancelled_at = at,
            EventKind::Held => self.holds.get_or_insert_default().push(Hold { held_at: at, released_at: None }),
            EventKind::Released => {
                if let Some(hold) = self.holds.as_mut().and_then(|holds| holds.last_mut()) {
                    hold.released_at = Some(at);
                }
            }
            EventKind::Placed | EventKind::ProcessingStarted | EventKind::Shipped | EventKind::Delivered => {
                if let Some(stage) = kind.stage() {
                    self.stage_at[stage as usize] = at;
                    self.stage = self.stage.max(Some(stage));
                }
            }
        }
    }
}

/// A time, where it is not [`NEVER`].
pub fn come(time: Time) -> Option<Time> {
    (time != NEVER).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventKind::*;

    fn verdicts(transitions: Transitions, kinds: &[EventKind]) -> (Vec<Verdict>, Fold) {
        let mut fold = Fold::default();
        let verdicts = kinds.iter().enumerate().map(|(at, kind)| fold.apply(*kind, at as Time, transitions)).collect();
        (verdicts, fold)
    }

    #[test]
    fn a_whole_life_is_ok() {
        let (verdicts, fold) =
            verdicts(Transitions::Strict, &[Placed, Confirmed, Held, Released, ProcessingStarted, Shipped, Delivered]);
        assert_eq!(verdicts, [Verdict::Ok; 7]);
        assert_eq!((fold.status(), fold.is_terminal()), (Status::Delivered, true));
        assert_eq!(fold.holds(), [Hold { held_at: 2, released_at: Some(3) }]);
    }

    #[test]
    fn lenient_records_what_comes_out_of_turn() {
        let (verdicts, fold) =
            verdicts(Transitions::Lenient, &[Shipped, Placed, ProcessingStarted, Cancelled, Delivered]);
        assert_eq!(
            verdicts,
            [Verdict::NotPlaced, Verdict::Backward, Verdict::Backward, Verdict::Ok, Verdict::AfterCancellation]
        );
        assert_eq!((fold.status(), fold.placed_at()), (Status::Cancelled, Some(1)));
    }

    #[test]
    fn a_cancelled_order_that_is_placed_later_stays_cancelled() {
        let (judged, fold) = verdicts(Transitions::Lenient, &[Cancelled, Placed, Placed]);
        assert_eq!(judged, [Verdict::NotPlaced, Verdict::AfterCancellation, Verdict::Repeated]);
        assert_eq!(fold.status(), Status::Cancelled);
        let (judged, fold) = verdicts(Transitions::Strict, &[Cancelled, Placed, Delivered, Delivered]);
        assert_eq!(judged, [Verdict::NotPlaced, Verdict::Ok, Verdict::SkippedStage, Verdict::SkippedStage]);
        assert_eq!(fold.status(), Status::Order);
    }
}

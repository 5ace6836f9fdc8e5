//! Section 3: the fold over an order's lifecycle facts and the verdict on each.

use dataflows::model::{EventKind, Stage, Status, Text, Verdict};
use dataflows::settings::Transitions;
use dataflows::time::Time;

/// A lifecycle fact.
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Time,
    pub kind: EventKind,
    pub id: Text,
    pub customer_id: Option<Text>,
}

/// A lifecycle fact with what the fold says of it.
#[derive(Clone, Debug)]
pub struct Judged {
    pub event: Event,
    pub verdict: Verdict,
    pub before: Status,
    pub after: Status,
}

/// State of the fold: times that are set, the stage within, holds.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    pub placed: Option<Time>,
    pub confirmed: Option<Time>,
    pub processing: Option<Time>,
    pub shipped: Option<Time>,
    pub delivered: Option<Time>,
    pub cancelled: Option<Time>,
    pub stage: Option<Stage>,
    /// From HELD to RELEASED; the last may be unreleased.
    pub holds: Vec<(Time, Option<Time>)>,
    pub judged: Vec<Judged>,
}

/// Ranks of events at one instant.
pub fn rank(kind: EventKind) -> u8 {
    match kind {
        EventKind::Placed => 0,
        EventKind::Confirmed => 1,
        EventKind::ProcessingStarted => 2,
        EventKind::Shipped => 3,
        EventKind::Delivered => 4,
        EventKind::Held => 5,
        EventKind::Released => 6,
        EventKind::Cancelled => 7,
    }
}

fn stage(kind: EventKind) -> Option<Stage> {
    match kind {
        EventKind::Placed => Some(Stage::Order),
        EventKind::ProcessingStarted => Some(Stage::Processing),
        EventKind::Shipped => Some(Stage::Shipped),
        EventKind::Delivered => Some(Stage::Delivered),
        _ => None,
    }
}

fn position(stage: Stage) -> u8 {
    match stage {
        Stage::Order => 0,
        Stage::Processing => 1,
        Stage::Shipped => 2,
        Stage::Delivered => 3,
    }
}

/// "An order's state is a fold over its lifecycle facts sorted by (at, rank, id)".
pub fn fold(mut events: Vec<Event>, transitions: Transitions) -> Lifecycle {
    events.sort_by_key(|event| (event.at, rank(event.kind), event.id.to_string()));
    let mut lifecycle = Lifecycle::default();
    for event in events {
        let before = lifecycle.shown();
        let verdict = lifecycle.judge(event.kind);
        lifecycle.apply(&event, verdict, transitions);
        let after = lifecycle.shown();
        lifecycle.judged.push(Judged { event, verdict, before, after });
    }
    lifecycle
}

impl Lifecycle {
    /// "`UNPLACED` is shown until placed_at is known, whatever else is."
    pub fn shown(&self) -> Status {
        match (self.placed, self.cancelled, self.stage) {
            (None, _, _) | (_, None, None) => Status::Unplaced,
            (_, Some(_), _) => Status::Cancelled,
            (_, _, Some(Stage::Order)) => Status::Order,
            (_, _, Some(Stage::Processing)) => Status::Processing,
            (_, _, Some(Stage::Shipped)) => Status::Shipped,
            (_, _, Some(Stage::Delivered)) => Status::Delivered,
        }
    }

    /// "An order is terminal when its fold's stage is DELIVERED or it is cancelled (shown or UNPLACED)."
    pub fn is_terminal(&self) -> bool {
        self.stage == Some(Stage::Delivered) || self.cancelled.is_some()
    }

    fn is_held(&self) -> bool {
        self.holds.last().is_some_and(|(_, released)| released.is_none())
    }

    fn time_of(&self, kind: EventKind) -> Option<Time> {
        match kind {
            EventKind::Placed => self.placed,
            EventKind::Confirmed => self.confirmed,
            EventKind::ProcessingStarted => self.processing,
            EventKind::Shipped => self.shipped,
            EventKind::Delivered => self.delivered,
            EventKind::Cancelled => self.cancelled,
            EventKind::Held | EventKind::Released => None,
        }
    }

    /// "Each gets one verdict, the first row that fits."
    fn judge(&self, kind: EventKind) -> Verdict {
        let (placed, cancelled) = (self.placed.is_some(), self.cancelled.is_some());
        let already = match kind {
            EventKind::Held => self.is_held(),
            EventKind::Released => !self.is_held(),
            _ => self.time_of(kind).is_some(),
        };
        if matches!(kind, EventKind::Confirmed | EventKind::Held | EventKind::Released) {
            return match (already, cancelled, placed) {
                (true, _, _) => Verdict::Repeated,
                (_, true, _) => Verdict::AfterCancellation,
                (_, _, false) => Verdict::NotPlaced,
                _ => Verdict::Ok,
            };
        }

        let steps_ahead = match (stage(kind), self.stage) {
            (Some(to), Some(from)) => i32::from(position(to)) - i32::from(position(from)),
            _ => 0,
        };
        let is_delivered = self.stage == Some(Stage::Delivered);
        let is_first = kind == EventKind::Placed && self.stage.is_none() && !cancelled;
        let is_next = placed && !cancelled && steps_ahead == 1 && !already;
        let is_cancellation = kind == EventKind::Cancelled && placed && !cancelled && !is_delivered;
        if is_first || is_next || is_cancellation {
            Verdict::Ok
        } else if already {
            Verdict::Repeated
        } else if cancelled {
            Verdict::AfterCancellation
        } else if kind == EventKind::Cancelled && is_delivered {
            Verdict::CancelAfterDelivery
        } else if !placed && kind != EventKind::Placed {
            Verdict::NotPlaced
        } else if steps_ahead > 1 {
            Verdict::SkippedStage
        } else {
            Verdict::Backward
        }
    }

    fn apply(&mut self, event: &Event, verdict: Verdict, transitions: Transitions) {
        let lenient = transitions == Transitions::Lenient;
        match verdict {
            Verdict::Ok => self.record(event, true),
            Verdict::NotPlaced | Verdict::SkippedStage if lenient => self.record(event, true),
            Verdict::Backward if lenient => self.record(event, false),
            // "ignored, but ORDER_PLACED sets placed_at (status stays)".
            Verdict::AfterCancellation if lenient && event.kind == EventKind::Placed => self.record(event, false),
            _ => {}
        }
    }

    /// Notes the event's time or hold, and lets the stage rise to it, never fall.
    fn record(&mut self, event: &Event, rises: bool) {
        let at = Some(event.at);
        match event.kind {
            EventKind::Placed => self.placed = at,
            EventKind::Confirmed => self.confirmed = at,
            EventKind::ProcessingStarted => self.processing = at,
            EventKind::Shipped => self.shipped = at,
            EventKind::Delivered => self.delivered = at,
            EventKind::Cancelled => self.cancelled = at,
            EventKind::Held => self.holds.push((event.at, None)),
            EventKind::Released => {
                if let Some(hold) = self.holds.last_mut() {
                    hold.1 = at;
                }
            }
        }
        if rises {
            self.stage = self.stage.max(stage(event.kind));
        }
    }

    /// "customer_id is that of the first ORDER_PLACED in fold order, or, where that has none, of the first lifecycle
    /// fact that has one."
    pub fn customer_id(&self) -> Option<&Text> {
        let mut events = self.judged.iter().map(|judged| &judged.event);
        let first_placed = events.clone().find(|event| event.kind == EventKind::Placed);
        first_placed
            .and_then(|event| event.customer_id.as_ref())
            .or_else(|| events.find_map(|event| event.customer_id.as_ref()))
    }
}

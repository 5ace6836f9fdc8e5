//! An order's outlook: what time makes of its state (semantics.md, sections 4 to 6).
//!
//! Pure: SLAs, drop-off and stall of a state as of a time. Invariant: while the state stays as it is, the outlook changes
//! only at the times [`Outlook::next_change_at`] names, one after another.

use serde::{Deserialize, Serialize};

use super::fold::{NEVER, come};
use super::sla::{self, Assessment, Outcome, Party, Reasoning, RuleBook};
use super::state::State;
use crate::model::{Position, Sla, Status, Symbol};
use crate::settings::Settings;
use crate::time::Time;

/// What an evaluation needs to know beside the order's facts.
#[derive(Clone, Debug)]
pub struct Law {
    /// Durations, windows, lenient or strict.
    pub settings: Settings,
    /// The SLA rules.
    pub rules: RuleBook,
    /// The sources by the numbers of their files.
    pub sources: Vec<Symbol>,
}

impl Law {
    /// The source that holds `position`.
    pub fn source(&self, position: Position) -> Symbol {
        self.sources.get(position.file() as usize).copied().unwrap_or_default()
    }
}

/// Why an order counts as dropped off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum DropOff {
    /// It was cancelled.
    Cancelled,
    /// It has no items.
    NoItems,
    /// It has items but no payment.
    NoPayment,
}

impl DropOff {
    /// Every reason.
    pub const ALL: [DropOff; 3] = [DropOff::Cancelled, DropOff::NoItems, DropOff::NoPayment];

    /// The name as the `stage` column spells it.
    pub fn name(self) -> &'static str {
        match self {
            DropOff::Cancelled => "cancelled",
            DropOff::NoItems => "no_items",
            DropOff::NoPayment => "no_payment",
        }
    }
}

/// What time has made of an order so far, as far as it is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// By [`Sla`]; none where not started or switched off.
    pub slas: [Option<Outcome>; 3],
    /// Why it counts as dropped off, where it does.
    pub drop_off: Option<DropOff>,
}

impl Outcomes {
    /// True where an SLA is overdue.
    pub fn has_open_breach(&self) -> bool {
        self.slas.contains(&Some(Outcome::BreachedOpen))
    }
}

/// An order's state as time has left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Processing, shipping and delivery by [`Sla`]; none where not started or switched off.
    pub slas: [Option<Assessment>; 3],
    /// Why it counts as dropped off, where it does.
    pub drop_off: Option<DropOff>,
    /// When it stalled, where it has.
    pub stalled_at: Option<Time>,
    /// The next time at which the outlook may change without new facts.
    pub next_change_at: Option<Time>,
}

/// When nothing more happens to an order by itself.
fn frozen_at(state: &State, settings: &Settings) -> Time {
    state.last_event_at.saturating_add(settings.life_ms(state.fold.is_terminal()))
}

/// True where an order has stalled as of `now`.
pub fn has_stalled(state: &State, settings: &Settings, now: Time) -> bool {
    state.exists() && !state.fold.is_terminal() && frozen_at(state, settings) <= now
}

impl Outlook {
    /// The outlook of `state` as of `now`.
    pub fn of(state: &State, party: Party<'_>, law: &Law, now: Time) -> Outlook {
        let mut outlook = Outlook::default();
        if !state.exists() {
            return outlook;
        }
        // A retired order is frozen as of its bound.
        let settings = &law.settings;
        let frozen_at = frozen_at(state, settings);
        let now = now.min(frozen_at);
        let mut next_change_at =
            outlook.assess_slas(state, party, law, now).min(outlook.find_drop_off(state, settings, now));
        if !state.fold.is_terminal() {
            if frozen_at <= now {
                outlook.stalled_at = Some(frozen_at);
            } else {
                next_change_at = next_change_at.min(frozen_at);
            }
        }
        outlook.next_change_at = come(next_change_at).filter(|next| *next <= frozen_at);
        outlook
    }

    /// The reasons for the SLAs of the outlook as of `now`, by [`Sla`].
    pub fn reasons<'r>(state: &State, party: Party<'_>, law: &'r Law, now: Time) -> [Option<Reasoning<'r>>; 3] {
        let (grace_ms, as_of) = (law.settings.grace_ms, now.min(frozen_at(state, &law.settings)));
        Sla::ALL.map(|sla| sla::reason(sla, &state.fold, party, &law.rules, grace_ms, as_of, now))
    }

    /// The SLA's assessment where the order has fallen short of it.
    pub fn breach(&self, sla: Sla) -> Option<&Assessment> {
        self.slas[sla as usize].as_ref().filter(|assessment| assessment.outcome.is_breach())
    }

    /// What is counted of it.
    pub fn outcomes(&self) -> Outcomes {
        Outcomes { slas: self.slas.map(|assessment| Some(assessment?.outcome)), drop_off: self.drop_off }
    }

    /// Assesses the SLAs; when one may change next.
    fn assess_slas(&mut self, state: &State, party: Party<'_>, law: &Law, now: Time) -> Time {
        let mut next_change_at = NEVER;
        for sla in Sla::ALL {
            let Some(assessment) = sla::assess(sla, &state.fold, party, &law.rules, law.settings.grace_ms, now) else {
                continue;
            };
            next_change_at = next_change_at.min(assessment.next_change_at());
            if assessment.exists {
                self.slas[sla as usize] = Some(assessment);
            }
        }
        next_change_at
    }

    /// Finds out whether the order has dropped off; when it may, where it has not.
    fn find_drop_off(&mut self, state: &State, settings: &Settings, now: Time) -> Time {
        let Some(placed_at) = state.fold.placed_at() else { return NEVER };
        match state.status() {
            Status::Cancelled => self.drop_off = Some(DropOff::Cancelled),
            Status::Order | Status::Processing => {
                let missing = match () {
                    () if state.items == 0 => DropOff::NoItems,
                    () if state.payments == 0 && settings.expect_payments => DropOff::NoPayment,
                    () => return NEVER,
                };
                let abandoned_at = placed_at.saturating_add(settings.abandon_after_ms);
                if abandoned_at <= now {
                    self.drop_off = Some(missing);
                } else {
                    return abandoned_at;
                }
            }
            Status::Unplaced | Status::Shipped | Status::Delivered => {}
        }
        NEVER
    }
}

//! Section 4: SLAs, holds and the rules that are data.

use std::collections::BTreeSet;

use dataflows::model::{Sla, SlaRule, Within};
use dataflows::time::Time;

use super::Law;
use super::order::Order;

/// The parts of sla_summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Met,
    MetLate,
    BreachedOpen,
    BreachedCancelled,
    CancelledInTime,
    Open,
}

/// An SLA that exists.
pub struct Promise {
    pub sla: Sla,
    pub started: Time,
    pub outcome: Outcome,
    /// Deadline of a breach that is shown.
    pub breached: Option<Time>,
    /// "the earlier of met time and C".
    pub resolved: Option<Time>,
}

/// The order's SLAs as of `order.now`.
pub fn promises(law: &Law, order: &Order) -> Vec<Promise> {
    [Sla::Processing, Sla::Shipping, Sla::Delivery].into_iter().filter_map(|sla| promise(law, order, sla)).collect()
}

fn promise(law: &Law, order: &Order, sla: Sla) -> Option<Promise> {
    let times = &order.lifecycle;
    // "No SLA exists until placed_at is known."
    let placed = times.placed?;
    let earliest = |times: &[Option<Time>]| times.iter().flatten().min().copied();
    let (started, met) = match sla {
        Sla::Processing => (placed, earliest(&[times.processing, times.shipped, times.delivered])),
        Sla::Shipping => (times.processing?, earliest(&[times.shipped, times.delivered])),
        Sla::Delivery => (placed, times.delivered),
    };
    let cancelled = times.cancelled;
    let allowed = allowed(law, order, sla, started, earliest(&[met, cancelled]));
    let allowed = allowed?;
    let deadline = advance(started, allowed, &times.holds);
    let by_deadline = |time: Time| deadline.is_none_or(|deadline| time <= deadline);

    // A tie of met time and C is met.
    let is_met_first = met.is_some_and(|met| cancelled.is_none_or(|cancelled| met <= cancelled));
    let resolved = if is_met_first { met } else { cancelled };
    let in_time = resolved.is_some_and(by_deadline);
    let shown = deadline.filter(|deadline| !in_time && deadline + law.settings.grace_ms <= order.now);
    let outcome = match (in_time, shown.is_some(), resolved.is_some(), is_met_first) {
        (true, _, _, true) => Outcome::Met,
        (true, _, _, false) => Outcome::CancelledInTime,
        (false, false, _, _) => Outcome::Open,
        (false, true, false, _) => Outcome::BreachedOpen,
        (false, true, true, true) => Outcome::MetLate,
        (false, true, true, false) => Outcome::BreachedCancelled,
    };
    Some(Promise { sla, started, outcome, breached: shown, resolved })
}

/// Adds `allowed` to `start`, skipping holds; none where a hold that counts is never released.
fn advance(start: Time, allowed: u64, holds: &[(Time, Option<Time>)]) -> Option<Time> {
    let mut deadline = start + allowed;
    for (held, released) in holds {
        // "only if it began strictly before the deadline".
        if *held < deadline {
            // "only its part after the start counts".
            deadline += (*released)?.saturating_sub(start.max(*held));
        }
    }
    Some(deadline)
}

/// How long the rules allow; none where all are off: the SLA does not exist.
fn allowed(law: &Law, order: &Order, sla: Sla, started: Time, over: Option<Time>) -> Option<u64> {
    let of_sla = || law.rules.iter().filter(|rule| rule.sla == sla);
    let mut considered: Vec<&SlaRule> =
        of_sla().filter(|rule| rule.valid_from.is_none_or(|from| from <= started)).collect();
    // Rules of one time are taken together, so they are walked by time.
    let later: BTreeSet<Time> =
        of_sla().filter(|rule| rule.applies_to_open).filter_map(|rule| rule.valid_from).collect();
    for from in later.into_iter().filter(|from| *from > started && *from <= order.now) {
        // Off counts as never, and so does a hold without end.
        let deadline =
            strictest(&considered, order).and_then(|allowed| advance(started, allowed, &order.lifecycle.holds));
        let is_open = deadline.is_none_or(|deadline| deadline > from) && over.is_none_or(|over| over > from);
        if is_open {
            considered.extend(of_sla().filter(|rule| rule.applies_to_open && rule.valid_from == Some(from)));
        }
    }
    strictest(&considered, order)
}

/// For each category of the order's items the most specific rule wins; of several categories the earliest deadline
/// counts, and with one start and the same holds that is the shortest duration.
fn strictest(considered: &[&SlaRule], order: &Order) -> Option<u64> {
    let mut categories: BTreeSet<Option<&str>> = order.items.iter().map(|item| item.category.as_deref()).collect();
    if categories.is_empty() {
        categories.insert(None);
    }
    let winner = |category: Option<&str>| {
        considered
            .iter()
            .filter(|rule| rule.tenant.as_ref().is_none_or(|tenant| *tenant == order.id.tenant))
            .filter(|rule| rule.category.as_ref().is_none_or(|of| category == Some(of.to_string().as_str())))
            .max_by_key(|rule| (rule.tenant.is_some(), rule.category.is_some(), rule.valid_from))
    };
    let allowed = |rule: &&SlaRule| match rule.within {
        Within::Allowed(allowed) => Some(allowed),
        Within::Off => None,
    };
    categories.into_iter().filter_map(winner).filter_map(allowed).min()
}

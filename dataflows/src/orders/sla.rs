//! SLAs: deadlines, and what became of them (semantics.md, section 4).
//!
//! Pure: an assessment is a function of the order's fold, its categories, the rules and the time as of which it is
//! asked. Invariant: between two instants that [`Assessment::next_change_at`] names, and without new facts, an
//! assessment does not change.

mod reasoning;

use std::collections::BTreeSet;
use std::sync::LazyLock;

pub use reasoning::{Reasoning, Skipped, Standing, reason};

use super::fold::{Fold, Hold, NEVER, come};
use crate::model::{Rules, Sla, SlaRule, Text, Within};
use crate::time::Time;

/// Rules made ready for asking: by SLA, with the times at which open SLAs may change.
#[derive(Clone, Debug)]
pub struct RuleBook {
    by_sla: [RulesOfSla; 3],
}

#[derive(Clone, Debug, Default)]
struct RulesOfSla {
    rules: Vec<SlaRule>,
    /// The times from which on some rule reaches open SLAs, ascending.
    reaches_open_at: Vec<Time>,
    /// Where one rule alone decides every order.
    only: Option<Within>,
}

impl RuleBook {
    /// Makes `rules` ready.
    pub fn new(rules: &Rules) -> RuleBook {
        let by_sla = Sla::ALL.map(|sla| {
            let rules: Vec<SlaRule> = rules.iter().filter(|rule| rule.sla == sla).cloned().collect();
            let reaching = rules.iter().filter(|rule| rule.applies_to_open).filter_map(|rule| rule.valid_from);
            let only = match &*rules {
                [rule] if rule.tenant.is_none() && rule.category.is_none() && rule.valid_from.is_none() => {
                    Some(rule.within)
                }
                _ => None,
            };
            RulesOfSla { reaches_open_at: reaching.collect::<BTreeSet<_>>().into_iter().collect(), only, rules }
        });
        RuleBook { by_sla }
    }

    /// True where some rule asks for a tenant or a category.
    pub fn asks_party(&self) -> bool {
        self.by_sla.iter().any(|of_sla| of_sla.only.is_none())
    }
}

/// Whom an assessment is about.
#[derive(Clone, Copy, Debug)]
pub struct Party<'a> {
    /// The order's tenant.
    pub tenant: &'a Text,
    /// The categories of its items; `None` for an item without one. Empty: no items, or no rule asks.
    pub categories: &'a [Option<Text>],
}

static NO_TENANT: LazyLock<Text> = LazyLock::new(Text::default);

impl Party<'_> {
    /// Nobody: enough where no rule asks for a tenant or a category.
    pub fn nobody() -> Party<'static> {
        Party { tenant: &NO_TENANT, categories: &[] }
    }
}

/// What became of an SLA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the law's words
pub enum Outcome {
    Met,
    MetLate,
    BreachedOpen,
    BreachedCancelled,
    CancelledInTime,
    Open,
}

impl Outcome {
    /// How many there are.
    pub const COUNT: usize = Outcome::Open as usize + 1;

    /// True where the order has fallen short.
    pub fn is_breach(self) -> bool {
        matches!(self, Outcome::MetLate | Outcome::BreachedOpen | Outcome::BreachedCancelled)
    }
}

/// One SLA of one order as of a time. Times that have not come are [`NEVER`], and so is the deadline while a hold lasts
/// or where the SLA is switched off: assessments are made at every change, and plain numbers are quick to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// When it started.
    pub started_at: Time,
    deadline_at: Time,
    /// The earlier of met and cancelled.
    ended_at: Time,
    next_change_at: Time,
    /// What became of it.
    pub outcome: Outcome,
    /// False where every rule says `off`: it exists nowhere.
    pub exists: bool,
}

impl Assessment {
    /// When it was or is due; none while a hold lasts or where it is switched off.
    pub fn deadline_at(&self) -> Option<Time> {
        come(self.deadline_at)
    }

    /// The earlier of met and cancelled, of a breach that has ended.
    pub fn resolved_at(&self) -> Option<Time> {
        come(self.ended_at).filter(|_| self.outcome.is_breach())
    }

    /// The next time at which it may change without new facts; [`NEVER`] where there is none.
    pub fn next_change_at(&self) -> Time {
        self.next_change_at
    }
}

/// Assesses `sla` as of `now`; none where it has not started.
pub fn assess(
    sla: Sla,
    fold: &Fold,
    party: Party<'_>,
    rules: &RuleBook,
    grace_ms: u64,
    now: Time,
) -> Option<Assessment> {
    let [started_at, met_at] = span(sla, fold)?;
    let cancelled_at = fold.cancelled_at().unwrap_or(NEVER);
    let ended_at = met_at.min(cancelled_at);
    let of_sla = &rules.by_sla[sla as usize];
    let due = of_sla.due(party, fold, [started_at, ended_at], now);
    let Due { exists, deadline_at, next_rule_at, .. } = due;

    let shown_from = deadline_at.saturating_add(grace_ms);
    let outcome = match () {
        () if met_at != NEVER && met_at <= deadline_at && met_at <= cancelled_at => Outcome::Met,
        () if cancelled_at != NEVER && cancelled_at <= deadline_at && cancelled_at < met_at => Outcome::CancelledInTime,
        () if deadline_at == NEVER || now < shown_from => Outcome::Open,
        () if met_at != NEVER && met_at <= cancelled_at => Outcome::MetLate,
        () if cancelled_at != NEVER => Outcome::BreachedCancelled,
        () => Outcome::BreachedOpen,
    };
    let shown_at = if outcome == Outcome::Open { shown_from } else { NEVER };
    let next_change_at = shown_at.min(next_rule_at);
    Some(Assessment { started_at, deadline_at, ended_at, next_change_at, outcome, exists })
}

/// When an SLA started and was met, which may be [`NEVER`]; none where it has not started.
fn span(sla: Sla, fold: &Fold) -> Option<[Time; 2]> {
    let [placed_at, processing_at, shipped_at, delivered_at] = fold.stage_times();
    let (started_at, met_at) = match sla {
        Sla::Processing => (placed_at, processing_at.min(shipped_at).min(delivered_at)),
        Sla::Shipping => (processing_at, shipped_at.min(delivered_at)),
        Sla::Delivery => (placed_at, delivered_at),
    };
    (placed_at != NEVER && started_at != NEVER).then_some([started_at, met_at])
}

/// What the rules say of one SLA of one order.
struct Due {
    exists: bool,
    deadline_at: Time,
    /// Rules that reach open SLAs were considered up to here.
    considered_until: Time,
    /// When another rule reaches it, should it still be open.
    next_rule_at: Time,
}

impl RulesOfSla {
    /// When the SLA is due that started and ended at these times. Rules that reach open SLAs are considered one time of
    /// validity after another, each judged by the deadline so far.
    fn due(&self, party: Party<'_>, fold: &Fold, [started_at, ended_at]: [Time; 2], now: Time) -> Due {
        let due = |considered_until| {
            let within = self.within(party, started_at, considered_until);
            (within != Within::Off, deadline(started_at, within, fold.holds()).unwrap_or(NEVER))
        };
        let (mut exists, mut deadline_at) = due(started_at);
        let mut considered_until = started_at;
        if self.reaches_open_at.is_empty() {
            return Due { exists, deadline_at, considered_until, next_rule_at: NEVER };
        }
        let mut later = self.reaches_open_at.iter().copied().filter(|valid_from| *valid_from > started_at).peekable();
        let finds_open = |valid_from: Time, deadline_at: Time| deadline_at > valid_from && ended_at > valid_from;
        while let Some(valid_from) =
            later.next_if(|valid_from| *valid_from <= now && finds_open(*valid_from, deadline_at))
        {
            (exists, deadline_at) = due(valid_from);
            considered_until = valid_from;
        }
        let next_rule_at = later.find(|valid_from| *valid_from > now).filter(|next| finds_open(*next, deadline_at));
        Due { exists, deadline_at, considered_until, next_rule_at: next_rule_at.unwrap_or(NEVER) }
    }

    /// The rule that decides for items of `category`: of those considered the most specific one, then the newest.
    fn winner(
        &self,
        party: Party<'_>,
        category: Option<&Text>,
        started_at: Time,
        considered_until: Time,
    ) -> Option<&SlaRule> {
        let considered = self.rules.iter().filter(|rule| is_considered(rule, started_at, considered_until));
        let matching = considered.filter(|rule| is_of_tenant(rule, party) && is_of_category(rule, category));
        matching.max_by_key(|rule| (rule.tenant.is_some(), rule.category.is_some(), rule.valid_from))
    }

    /// How long the SLA that starts at `started_at` may take, the rules that reach open SLAs considered up to
    /// `considered_until`: of each category the most specific rule, of several categories the shortest.
    fn within(&self, party: Party<'_>, started_at: Time, considered_until: Time) -> Within {
        if let Some(within) = self.only {
            return within;
        }
        let of_category = |category: Option<&Text>| {
            self.winner(party, category, started_at, considered_until).map_or(Within::Off, |rule| rule.within)
        };
        let shorter = |left, right| match (left, right) {
            (Within::Allowed(left), Within::Allowed(right)) => Within::Allowed(left.min(right)),
            (Within::Off, other) | (other, Within::Off) => other,
        };
        match party.categories {
            [] => of_category(None),
            categories => categories.iter().map(|category| of_category(category.as_ref())).fold(Within::Off, shorter),
        }
    }
}

/// True where a rule takes part in an SLA: it was valid at its start, or has reached it while it was open.
fn is_considered(rule: &SlaRule, started_at: Time, considered_until: Time) -> bool {
    rule.valid_from
        .is_none_or(|valid_from| valid_from <= started_at || (rule.applies_to_open && valid_from <= considered_until))
}

fn is_of_tenant(rule: &SlaRule, party: Party<'_>) -> bool {
    rule.tenant.as_ref().is_none_or(|tenant| tenant == party.tenant)
}

fn is_of_category(rule: &SlaRule, category: Option<&Text>) -> bool {
    rule.category.as_ref().is_none_or(|asked| Some(asked) == category)
}

/// The time `within` after `started_at`, not counting holds; none where a hold lasts or the SLA is off.
pub fn deadline(started_at: Time, within: Within, holds: &[Hold]) -> Option<Time> {
    advance(started_at, within, holds, |_| {})
}

/// [`deadline`], which tells of each hold that begins before it.
fn advance(started_at: Time, within: Within, holds: &[Hold], mut tell: impl FnMut(&Hold)) -> Option<Time> {
    let Within::Allowed(allowed_ms) = within else { return None };
    let mut deadline_at = started_at.saturating_add(allowed_ms);
    for hold in holds {
        // A hold that begins at the deadline or later comes too late to move it.
        if hold.held_at >= deadline_at {
            break;
        }
        tell(hold);
        deadline_at = deadline_at.saturating_add(hold.skipped_ms(started_at)?);
    }
    Some(deadline_at)
}

impl Hold {
    /// How much of it stands still for an SLA that starts at `started_at`, in milliseconds; none while it lasts.
    fn skipped_ms(&self, started_at: Time) -> Option<u64> {
        Some(self.released_at?.saturating_sub(self.held_at.max(started_at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(held_at: Time, released_at: Option<Time>) -> Hold {
        Hold { held_at, released_at }
    }

    #[test]
    fn holds_move_the_deadline_only_while_it_runs() {
        let within = Within::Allowed(100);
        assert_eq!(deadline(10, within, &[]), Some(110));
        assert_eq!(deadline(10, within, &[hold(0, Some(5))]), Some(110), "over before the start");
        assert_eq!(deadline(10, within, &[hold(0, Some(15))]), Some(115), "the part after the start counts");
        assert_eq!(deadline(10, within, &[hold(109, Some(119)), hold(119, Some(120))]), Some(121));
        assert_eq!(deadline(10, within, &[hold(110, Some(119))]), Some(110), "at the deadline is too late");
        assert_eq!(deadline(10, within, &[hold(50, None)]), None, "never released");
        assert_eq!(deadline(10, within, &[hold(110, None)]), Some(110));
        assert_eq!(deadline(10, Within::Off, &[]), None);
    }

    #[test]
    fn the_most_specific_rule_wins_and_the_shortest_category_counts() {
        let rule = |within, tenant: Option<&str>, category: Option<&str>, valid_from| SlaRule {
            sla: Sla::Processing,
            within,
            tenant: tenant.map(Text::new),
            category: category.map(Text::new),
            valid_from,
            applies_to_open: false,
        };
        let rules = RuleBook::new(&Rules::with([
            rule(Within::Allowed(50), None, Some("Hats"), None),
            rule(Within::Allowed(70), Some("acme"), None, Some(5)),
            rule(Within::Off, Some("acme"), Some("Pants"), None),
        ]));
        let of = |tenant: &str, categories: &[Option<Text>], started_at| {
            let tenant = Text::new(tenant);
            rules.by_sla[Sla::Processing as usize].within(Party { tenant: &tenant, categories }, started_at, started_at)
        };
        let (hats, pants) = (Some(Text::new("Hats")), Some(Text::new("Pants")));
        assert_eq!(of("zeta", &[], 9), Within::Allowed(24 * 3_600_000));
        assert_eq!(of("zeta", &[hats.clone(), None], 9), Within::Allowed(50));
        assert_eq!(of("acme", std::slice::from_ref(&hats), 9), Within::Allowed(70), "tenant before category");
        assert_eq!(of("acme", &[hats], 4), Within::Allowed(50));
        assert_eq!(of("acme", std::slice::from_ref(&pants), 9), Within::Off);
        assert_eq!(of("acme", &[pants, None], 9), Within::Allowed(70), "off takes part as never");
    }
}

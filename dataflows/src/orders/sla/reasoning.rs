//! Why an SLA is assessed as it is: which rule decides and why the others do not, and which holds are skipped.
//!
//! Pure. Invariant: a reasoning asks the very functions by which [`assess`] decides, so the two cannot disagree.

use super::super::fold::{Fold, Hold, NEVER, come};
use super::{Assessment, Party, RuleBook, advance, assess, is_considered, is_of_category, is_of_tenant, span};
use crate::model::{Sla, SlaRule, Text, Within};
use crate::time::Time;

/// Why one SLA of one order is assessed as it is.
#[derive(Clone, Debug)]
pub struct Reasoning<'r> {
    /// The assessment it explains.
    pub assessment: Assessment,
    /// When it was met, in time or not.
    pub met_at: Option<Time>,
    /// What the deciding rule allows.
    pub within: Within,
    /// Holds that move the deadline, in order.
    pub skipped: Vec<Skipped>,
    /// Every rule of the SLA, and whether it decides.
    pub rules: Vec<(&'r SlaRule, Standing)>,
}

/// A hold during which an SLA stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The hold.
    pub hold: Hold,
    /// How much of it the deadline moves, in milliseconds; none while it lasts.
    pub skipped_ms: Option<u64>,
}

/// How a rule stands to an SLA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It decides the deadline.
    Decides,
    /// It is of another tenant.
    OtherTenant,
    /// No item of the order has its category.
    OtherCategory,
    /// It is valid only for SLAs that start later.
    StartsLater,
    /// Its time has not come.
    NotYet,
    /// It reaches open SLAs, but this one was over when its time came.
    FoundClosed,
    /// A more specific one, or a newer one of the same kind, comes before it.
    Outranked,
    /// It decides for one category of the order, and that of another one is due earlier.
    Longer,
}

/// The reasons for the assessment of `sla` as of `now`, which is earlier than `asked_at` where the order was retired
/// meanwhile; none where it has not started.
pub fn reason<'r>(
    sla: Sla,
    fold: &Fold,
    party: Party<'_>,
    rules: &'r RuleBook,
    grace_ms: u64,
    now: Time,
    asked_at: Time,
) -> Option<Reasoning<'r>> {
    let assessment = assess(sla, fold, party, rules, grace_ms, now)?;
    let [started_at, met_at] = span(sla, fold)?;
    let of_sla = &rules.by_sla[sla as usize];
    let ended_at = met_at.min(fold.cancelled_at().unwrap_or(NEVER));
    let considered_until = of_sla.due(party, fold, [started_at, ended_at], now).considered_until;
    let within = of_sla.within(party, started_at, considered_until);

    let categories: Vec<Option<&Text>> = match party.categories {
        [] => vec![None],
        categories => categories.iter().map(Option::as_ref).collect(),
    };
    let standing = |rule: &SlaRule| {
        let wins = |category: &&Option<&Text>| {
            let winner = of_sla.winner(party, **category, started_at, considered_until);
            winner.is_some_and(|winner| std::ptr::eq(winner, rule))
        };
        match () {
            () if !is_of_tenant(rule, party) => Standing::OtherTenant,
            () if !categories.iter().any(|category| is_of_category(rule, *category)) => Standing::OtherCategory,
            () if rule.valid_from > Some(asked_at) => Standing::NotYet,
            () if !is_considered(rule, started_at, considered_until) => match rule.applies_to_open {
                false => Standing::StartsLater,
                true => Standing::FoundClosed,
            },
            () if !categories.iter().any(|category| wins(&category)) => Standing::Outranked,
            () if rule.within == within => Standing::Decides,
            () => Standing::Longer,
        }
    };
    let rules = of_sla.rules.iter().map(|rule| (rule, standing(rule))).collect();

    let mut skipped = Vec::new();
    advance(started_at, within, fold.holds(), |hold| {
        skipped.push(Skipped { hold: *hold, skipped_ms: hold.skipped_ms(started_at) });
    });
    skipped.retain(|skipped| skipped.skipped_ms != Some(0));
    Some(Reasoning { assessment, met_at: come(met_at), within, skipped, rules })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventKind, Rules};
    use crate::settings::Transitions;
    use Standing::*;

    #[test]
    fn a_rule_whose_time_has_not_come_is_not_in_force_yet() {
        let mut fold = Fold::default();
        fold.apply(EventKind::Placed, 10, Transitions::Lenient);
        let rule = |valid_from, applies_to_open| SlaRule {
            sla: Sla::Delivery,
            within: Within::Allowed(50),
            tenant: None,
            category: None,
            valid_from: Some(valid_from),
            applies_to_open,
        };
        let rules = RuleBook::new(&Rules::with([rule(20, false), rule(1_000, false), rule(NEVER - 1, true)]));
        let standings = |now| {
            let reasoning = reason(Sla::Delivery, &fold, Party::nobody(), &rules, 0, 999, now).unwrap();
            reasoning.rules.iter().map(|(_, standing)| *standing).collect::<Vec<_>>()
        };
        assert_eq!(standings(999), [Decides, StartsLater, NotYet, NotYet]);
        assert_eq!(standings(1_000), [Decides, StartsLater, StartsLater, NotYet]);
    }
}

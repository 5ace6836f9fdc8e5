//! One SLA of one order, said with its arithmetic: start, what is allowed, holds, deadline, and which rule decides.
//!
//! Invariant: every number comes of [`Reasoning`], which asks what the graph asks.

use dataflows::model::digits::instant_in_words;
use dataflows::model::{SlaRule, Within};
use dataflows::orders::fold::Fold;
use dataflows::orders::sla::{Outcome, Reasoning, Skipped, Standing};
use dataflows::time::Time;
use dataflows::views::sla_breaches::duration_in_words;
use serde::Serialize;
use serde_json::Value;

use super::answer::span;
use super::report::Object;
use crate::instant::format_instant;

/// One SLA with its arithmetic.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)] // named as in the output
pub struct SlaReport {
    pub sla: &'static str,
    /// met, met_late, breached_open, breached_cancelled, cancelled_in_time, open, off, not_started.
    pub outcome: &'static str,
    pub started_at: Option<String>,
    pub within: Option<String>,
    pub holds_skipped: Vec<Object>,
    pub deadline_at: Option<String>,
    pub met_at: Option<String>,
    pub cancelled_at: Option<String>,
    /// From the end (met or cancelled; while open the end of results) to the deadline; negative: overdue.
    pub spare_seconds: Option<f64>,
    /// From start to deadline in words.
    pub arithmetic: String,
    /// Every rule of the SLA, and whether it decides or why not.
    pub rules: Vec<Object>,
}

impl SlaReport {
    /// What is to be said of the SLA of this name.
    pub fn of(sla: &'static str, reasoning: Option<&Reasoning<'_>>, fold: &Fold, end: Time) -> SlaReport {
        let cancelled_at = fold.cancelled_at();
        let Some(Reasoning { assessment, met_at, within, skipped, rules }) = reasoning else {
            let missing = if fold.placed_at().is_none() { "placed" } else { "processed" };
            let arithmetic = format!("it has not started: it is not known when the order was {missing}");
            return SlaReport { sla, outcome: "not_started", arithmetic, ..SlaReport::default() };
        };
        let deadline_at = assessment.deadline_at();
        let ended_at = met_at.iter().copied().chain(cancelled_at).min().unwrap_or(end);
        let mut arithmetic = instant_in_words(assessment.started_at);
        if let Within::Allowed(allowed_ms) = within {
            arithmetic += &format!(" + {}", duration_in_words(*allowed_ms));
        }
        for hold in skipped {
            arithmetic += &match hold.skipped_ms {
                Some(skipped_ms) => format!(" + {} on hold", span(skipped_ms)),
                None => format!(", on hold since {}", instant_in_words(hold.hold.held_at)),
            };
        }
        arithmetic += &match (deadline_at, within) {
            (Some(deadline_at), _) => format!(" = {}", instant_in_words(deadline_at)),
            (None, Within::Off) => ": switched off, it is never due".into(),
            (None, _) => ": not due while the hold lasts".into(),
        };
        let hold = |skipped: &Skipped| {
            let seconds = skipped.skipped_ms.map(|skipped_ms| skipped_ms as f64 / 1e3);
            let ends = [("from", Some(skipped.hold.held_at)), ("to", skipped.hold.released_at)];
            let ends = ends.map(|(name, time)| (name.to_owned(), time.map(format_instant).into()));
            ends.into_iter().chain([("skipped_seconds".to_owned(), seconds.into())]).collect::<Object>()
        };
        let rule = |(rule, standing): &(&SlaRule, Standing)| {
            let words = [("rule", rule_in_words(rule)), ("standing", standing_in_words(*standing).to_owned())];
            let decides = ("decides".to_owned(), Value::from(*standing == Standing::Decides));
            words
                .map(|(name, words)| (name.to_owned(), Value::from(words)))
                .into_iter()
                .chain([decides])
                .collect::<Object>()
        };
        SlaReport {
            sla,
            outcome: if assessment.exists { outcome_name(assessment.outcome) } else { "off" },
            started_at: Some(format_instant(assessment.started_at)),
            within: match within {
                Within::Allowed(allowed_ms) => Some(duration_in_words(*allowed_ms)),
                Within::Off => None,
            },
            holds_skipped: skipped.iter().map(hold).collect(),
            deadline_at: deadline_at.map(format_instant),
            met_at: met_at.map(format_instant),
            cancelled_at: cancelled_at.map(format_instant),
            spare_seconds: deadline_at.map(|deadline_at| (deadline_at as f64 - ended_at as f64) / 1e3),
            arithmetic,
            rules: rules.iter().map(rule).collect(),
        }
    }
}

fn rule_in_words(rule: &SlaRule) -> String {
    let mut words = match rule.within {
        Within::Allowed(allowed_ms) => format!("within {}", duration_in_words(allowed_ms)),
        Within::Off => "off".into(),
    };
    if let Some(tenant) = &rule.tenant {
        words += &format!(", tenant {tenant}");
    }
    if let Some(category) = &rule.category {
        words += &format!(", category {category}");
    }
    if rule.tenant.is_none() && rule.category.is_none() {
        words += ", for all orders";
    }
    if let Some(valid_from) = rule.valid_from {
        let reach = if rule.applies_to_open { ", for open ones too" } else { "" };
        words += &format!(", from {} on{reach}", instant_in_words(valid_from));
    }
    words
}

fn standing_in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Decides => "decides",
        Standing::OtherTenant => "is of another tenant",
        Standing::OtherCategory => "no item of the order has that category",
        Standing::StartsLater => "came into force after this one had started",
        Standing::NotYet => "has not come into force yet",
        Standing::FoundClosed => "came into force when this one was over",
        Standing::Outranked => "a more specific or newer rule comes before it",
        Standing::Longer => "another category of the order is due earlier",
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Met => "met",
        Outcome::MetLate => "met_late",
        Outcome::BreachedOpen => "breached_open",
        Outcome::BreachedCancelled => "breached_cancelled",
        Outcome::CancelledInTime => "cancelled_in_time",
        Outcome::Open => "open",
    }
}

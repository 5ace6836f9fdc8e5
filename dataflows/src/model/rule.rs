//! SLA rules: data with times of validity (semantics.md, section 4; inputs.md, section 6).

use serde::{Deserialize, Serialize};

use super::Text;
use crate::named;
use crate::time::{DAY_MS, HOUR_MS, Time};

named! {
    /// The three promises that are watched, in the order of their names.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    #[repr(u8)]
    pub enum Sla {
        /// From delivery's start to delivery: counted from placement.
        Delivery => "delivery",
        /// From placement to the start of processing.
        Processing => "processing",
        /// From the start of processing to shipping.
        Shipping => "shipping",
    }
}

/// How long a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Within {
    /// This long, in milliseconds of calendar time.
    Allowed(u64),
    /// For ever: the rule switches the SLA off.
    Off,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlaRule {
    /// Which promise.
    pub sla: Sla,
    /// How long it allows.
    pub within: Within,
    /// Only this tenant's orders; none: every tenant's.
    pub tenant: Option<Text>,
    /// Only orders with an item of this category; none: every order.
    pub category: Option<Text>,
    /// From when on; none: always has been.
    pub valid_from: Option<Time>,
    /// True where it reaches SLAs that are open at `valid_from` (`apply = "open"`).
    pub applies_to_open: bool,
}

/// The rules of a job: the three defaults, replaced and added to by those of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules(Vec<SlaRule>);

impl Default for Rules {
    fn default() -> Rules {
        let always = |sla, allowed_ms| SlaRule {
            sla,
            within: Within::Allowed(allowed_ms),
            tenant: None,
            category: None,
            valid_from: None,
            applies_to_open: false,
        };
        Rules(vec![
            always(Sla::Processing, 24 * HOUR_MS),
            always(Sla::Shipping, 3 * DAY_MS),
            always(Sla::Delivery, 7 * DAY_MS),
        ])
    }
}

impl Rules {
    /// The defaults with `rules` added; one alike a default in SLA, tenant, category and `valid_from` replaces it.
    pub fn with(rules: impl IntoIterator<Item = SlaRule>) -> Rules {
        let mut all = Rules::default();
        for rule in rules {
            match all.0.iter_mut().find(|known| known.is_alike(&rule)) {
                Some(known) => *known = rule,
                None => all.0.push(rule),
            }
        }
        all
    }

    /// All rules, defaults included.
    pub fn iter(&self) -> impl Iterator<Item = &SlaRule> {
        self.0.iter()
    }

    /// The longest duration any rule allows, in milliseconds.
    pub fn longest_ms(&self) -> u64 {
        let allowed = |rule: &SlaRule| match rule.within {
            Within::Allowed(allowed_ms) => allowed_ms,
            Within::Off => 0,
        };
        self.0.iter().map(allowed).max().unwrap_or(0)
    }
}

impl SlaRule {
    /// True where the two speak of the same SLAs from the same time on.
    pub fn is_alike(&self, other: &SlaRule) -> bool {
        self.sla == other.sla
            && self.tenant == other.tenant
            && self.category == other.category
            && self.valid_from == other.valid_from
    }
}

//! The SLA rules file: TOML to [`Rules`] (inputs.md, section 6).
//!
//! Invariant: a file is taken whole or refused with the line of its first error and what to do about it; the caller
//! adds the file's name. Names in rules are exact: case counts, unlike in records.

mod value;

use std::fmt;

use dataflows::model::{Rules, SlaRule, Text, Within};
use dataflows::time::DAY_MS;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::duration::parse_or;

/// Longest duration a rule may allow: ten years of 365 days.
const MAX_WITHIN_MS: u64 = 3_650 * DAY_MS;
/// Keys of a rule.
const KEYS: [&str; 6] = ["sla", "within", "tenant", "category", "valid_from", "apply"];

/// What is wrong with a rules file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulesError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for RulesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for RulesError {}

/// An error before its place in the text is a line.
struct Misplaced {
    offset: usize,
    message: String,
}

/// The rules of a file, added to the three defaults.
pub fn parse(text: &str) -> Result<Rules, RulesError> {
    let found =
        read_rules(text).map_err(|error| RulesError { line: line_at(text, error.offset), message: error.message })?;
    Ok(Rules::with(found))
}

/// A duration such as `500ms`, `90s`, `15m`, `36h` or `7d`, in milliseconds; 0 is one too.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    parse_or(text.trim(), "write a whole number and ms, s, m, h or d, such as 90s or 36h")
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn read_rules(text: &str) -> Result<Vec<SlaRule>, Misplaced> {
    let document = DeTable::parse(text).map_err(|error| Misplaced {
        offset: error.span().map_or(0, |span| span.start),
        message: error.message().to_owned(),
    })?;
    let mut read: Vec<(SlaRule, usize)> = Vec::new();
    for (key, value) in in_order(document.get_ref()) {
        if key.get_ref() != "rule" {
            let message = format!(
                "unknown key `{}`{}; a rule starts with [[rule]]",
                key.get_ref(),
                nearest(key.get_ref(), &["rule"])
            );
            return Err(Misplaced { offset: key.span().start, message });
        }
        let rules =
            value.get_ref().as_array().ok_or_else(|| value::error(value, "write [[rule]], in double brackets"))?;
        for rule in rules.iter() {
            let table = rule
                .get_ref()
                .as_table()
                .ok_or_else(|| value::error(rule, "a rule must be a table: write [[rule]]"))?;
            let offset = rule.span().start;
            let rule = read_rule(table, offset)?;
            if let Some((_, first)) = read.iter().find(|(known, _)| known.is_alike(&rule)) {
                let message = format!(
                    "this rule has the same sla, tenant, category and valid_from as the one in line {}: remove one of them",
                    line_at(text, *first)
                );
                return Err(Misplaced { offset, message });
            }
            read.push((rule, offset));
        }
    }
    Ok(read.into_iter().map(|(rule, _)| rule).collect())
}

/// A table's entries as they stand in the file, so that the first error is the one shown.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<(&'t value::Key<'i>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

fn read_rule(table: &DeTable<'_>, offset: usize) -> Result<SlaRule, Misplaced> {
    let (mut sla, mut within, mut tenant, mut category, mut valid_from) = (None, None, None, None, None);
    let mut applies_to_open = false;
    for (key, value) in in_order(table) {
        match key.get_ref().as_ref() {
            "sla" => sla = Some(value::sla(value)?),
            "within" => within = Some(value::within(value)?),
            "tenant" => tenant = Some(value::tenant(value)?),
            "category" => category = Some(value::category(value)?),
            "valid_from" => valid_from = Some(value::valid_from(value)?),
            "apply" => applies_to_open = value::applies_to_open(value)?,
            "calendar" => {
                let message = "`calendar` is reserved for business time, which is not there yet: remove it".to_owned();
                return Err(Misplaced { offset: key.span().start, message });
            }
            unknown => {
                let message = format!(
                    "unknown key `{unknown}`{}; the keys of a rule are {}",
                    nearest(unknown, &KEYS),
                    KEYS.join(", ")
                );
                return Err(Misplaced { offset: key.span().start, message });
            }
        }
    }
    let missing = |key: &str, how: &str| Misplaced { offset, message: format!("this rule has no `{key}`: add {how}") };
    let sla = sla.ok_or_else(|| missing("sla", "sla = \"processing\", \"shipping\" or \"delivery\""))?;
    let within: Within = within.ok_or_else(|| missing("within", "a duration such as within = \"36h\", or \"off\""))?;
    let category: Option<Text> = category;
    Ok(SlaRule { sla, within, tenant, category, valid_from, applies_to_open })
}

/// ` (did you mean …?)` where a known name is near.
fn nearest(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (strsim::jaro_winkler(name, known), known));
    match near.max_by(|left, right| left.0.total_cmp(&right.0)) {
        Some((likeness, known)) if likeness > 0.7 => format!(" (did you mean `{known}`?)"),
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "rules/tests.rs"]
mod tests;

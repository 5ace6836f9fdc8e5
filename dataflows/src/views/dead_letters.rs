//! `dead_letters`: every record that was refused, whole, with every reason.
//!
//! A record refused by decoding carries its raw bytes; one whose facts were refused afterwards carries the contents of
//! those facts as a JSON array. A record has one row: refusals of several of its facts come together here.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::collection::collection;
use crate::model::{Position, Text};

collection! {
    /// Records refused, whole, with every reason.
    "dead_letters" => DeadLetterRow {
        /// The input as given on the command line.
        key (source: Text),
        /// FILE:LINE of the record's first line, counted from 1, header included.
        key (position: Text),
        /// Codes, sorted, joined by ;
        (reasons: String),
        /// The record's own event id, where readable.
        (event_id: Option<Text>),
        /// Version of the record's schema (user activity only).
        (schema_version: Option<i64>),
        /// The record's bytes or its facts' contents; control characters, backslash and bytes that are not UTF-8 as \xNN.
        (raw: String),
    }
}

/// Why a decoded fact was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Another fact of the same identity won.
    ConflictingDuplicate,
    /// Its order is retired.
    OrderRetired,
    /// It is more than `horizon` behind its partition's watermark.
    TooLate,
    /// Its order is not in the orders file.
    UnknownOrder,
}

impl Refusal {
    /// The code as outputs spell it.
    pub fn code(self) -> &'static str {
        match self {
            Refusal::ConflictingDuplicate => "conflicting_duplicate",
            Refusal::OrderRetired => "order_retired",
            Refusal::TooLate => "too_late",
            Refusal::UnknownOrder => "unknown_order",
        }
    }
}

/// A decoded fact that was refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefusedFact {
    /// Where its record stood.
    pub position: Position,
    /// Its place among the facts of its record: lifecycle by rank, items, payments.
    pub rank: u8,
    /// Its content (semantics.md, section 2).
    pub content: String,
    /// Why.
    pub reason: Refusal,
    /// The record's own event id.
    pub event_id: Option<Text>,
}

/// A record that was refused whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RefusedRecord {
    /// Where it stood.
    pub position: Position,
    /// Codes, sorted.
    pub reasons: Vec<String>,
    /// The record's own event id, where readable.
    pub event_id: Option<Text>,
    /// Its bytes, as shown.
    pub raw: String,
}

/// Refused facts by record, in their order: each with how often it stands (a displacement may be taken back). Of a record
/// there is one, mostly, and a list takes a tenth of the memory that a map of one would.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RefusedFacts(BTreeMap<Position, Vec<(RefusedFact, isize)>>);

impl RefusedFacts {
    /// Adds `diff` copies of a refused fact.
    pub fn add(&mut self, fact: RefusedFact, diff: isize) {
        let facts = self.0.entry(fact.position).or_default();
        match facts.binary_search_by(|(known, _)| known.cmp(&fact)) {
            Ok(place) => facts[place].1 += diff,
            Err(place) => {
                facts.reserve_exact(1);
                facts.insert(place, (fact, diff));
            }
        }
    }

    /// Forgets what stood at a position.
    pub fn forget(&mut self, position: Position) {
        self.0.remove(&position);
    }

    /// One refused record for each record with refused facts.
    pub fn records(&self) -> impl Iterator<Item = RefusedRecord> + '_ {
        self.0.keys().filter_map(|position| self.record_at(*position))
    }

    /// The refused record at a position, where facts of it are refused.
    pub fn record_at(&self, position: Position) -> Option<RefusedRecord> {
        let facts = self.0.get(&position)?;
        let standing: Vec<&RefusedFact> = facts.iter().filter(|(_, count)| *count > 0).map(|(fact, _)| fact).collect();
        let first = standing.first()?;
        let mut contents: Vec<(u8, &str)> = standing.iter().map(|fact| (fact.rank, fact.content.as_str())).collect();
        contents.dedup();
        let contents: Vec<&str> = contents.into_iter().map(|(_, content)| content).collect();
        let reasons: BTreeSet<&str> = standing.iter().map(|fact| fact.reason.code()).collect();
        Some(RefusedRecord {
            position,
            reasons: reasons.into_iter().map(str::to_owned).collect(),
            event_id: first.event_id.clone(),
            raw: shown(format!("[{}]", contents.join(",")).as_bytes()),
        })
    }
}

impl DeadLetterRow {
    /// The row of a refused record that stood at `position` of `source`.
    pub fn of(source: Text, position: Text, record: &RefusedRecord) -> DeadLetterRow {
        let reasons: BTreeSet<&str> = record.reasons.iter().map(String::as_str).collect();
        DeadLetterRow {
            source,
            position,
            reasons: reasons.into_iter().collect::<Vec<_>>().join(";"),
            event_id: record.event_id.clone(),
            schema_version: None,
            raw: record.raw.clone(),
        }
    }
}

/// Most raw bytes a dead letter keeps.
pub const RAW_BYTES_MAX: usize = 64 << 10;

/// Bytes as the `raw` column shows them, cut at [`RAW_BYTES_MAX`].
pub fn shown(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().min(RAW_BYTES_MAX));
    let kept = &bytes[..bytes.len().min(RAW_BYTES_MAX)];
    for chunk in kept.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() || character == '\\' {
                let mut encoded = [0; 4];
                for byte in character.encode_utf8(&mut encoded).bytes() {
                    text += &format!("\\x{byte:02X}");
                }
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text += &format!("\\x{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_bytes_are_shown_without_control_characters() {
        assert_eq!(shown(b"a\\b\n\xFF\xC3\xA9"), "a\\x5Cb\\x0A\\xFF\u{e9}");
        assert_eq!(shown(&vec![b'x'; RAW_BYTES_MAX + 1]).len(), RAW_BYTES_MAX);
    }
}

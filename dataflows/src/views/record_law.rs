//! The record law: records read = decoded + refused; facts = accepted + duplicates + refused.
//!
//! Not a collection but the count that shows that nothing vanished (semantics.md, section 7).

use super::measures::{Aggregate, MeasureKey, Measures, Sums};
use super::roll_up::sums_of;
use crate::model::{Money, Symbol};

/// What came of all records and facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordLaw {
    /// Records decoded.
    pub decoded: i64,
    /// Records refused by decoding.
    pub refused_records: i64,
    /// Facts that stand.
    pub accepted: i64,
    /// Facts that were copies.
    pub duplicates: i64,
    /// Facts refused after decoding.
    pub refused_facts: i64,
}

const fn counted(counts: [i64; 5]) -> Measures {
    let [decoded, refused_records, accepted, duplicates, refused_facts] = counts;
    Measures {
        counts: [decoded, refused_records, accepted, duplicates, refused_facts, 0, 0, 0],
        amounts: [Money::ZERO; 3],
    }
}

/// A record that was decoded.
pub const DECODED: Measures = counted([1, 0, 0, 0, 0]);
/// A record that was refused.
pub const REFUSED_RECORD: Measures = counted([0, 1, 0, 0, 0]);
/// A fact that was accepted.
pub const ACCEPTED: Measures = counted([0, 0, 1, 0, 0]);
/// A fact that was a copy.
pub const DUPLICATE: Measures = counted([0, 0, 0, 1, 0]);
/// A fact that was refused.
pub const REFUSED: Measures = counted([0, 0, 0, 0, 1]);

/// What the counts count towards.
pub fn key() -> MeasureKey {
    MeasureKey::in_total(Aggregate::RecordLaw, Symbol::default(), 0)
}

/// The counts in these sums.
pub fn of(sums: &Sums) -> RecordLaw {
    let mut total = Measures::default();
    sums_of(sums, Aggregate::RecordLaw).for_each(|(_, measures)| total.add(measures));
    let [decoded, refused_records, accepted, duplicates, refused_facts, ..] = total.counts;
    RecordLaw { decoded, refused_records, accepted, duplicates, refused_facts }
}

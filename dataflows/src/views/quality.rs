//! `data_quality_metrics`: what came of every record, by source and minute of event time.
//!
//! A contribution counts, in order: records read, valid and invalid; duplicate facts; late facts. Its tenant is the
//! source; its minute that of the record's first fact by `at`, of a readable timestamp where broken, none otherwise.

use super::collection::{At, Hundredths, collection};
use super::measures::{Aggregate, MeasureKey, Measures, Sums};
use crate::model::money::percent_hundredths;
use crate::model::{Symbol, Text};
use crate::time::{Time, Window};

collection! {
    /// Records and facts by source and minute of event time.
    "data_quality_metrics" => QualityRow {
        /// The input as given on the command line.
        key (source: Text),
        /// Start of the minute; empty where the time is unknown.
        key (window_start: Option<At>),
        /// Records read: valid + invalid.
        (read: i64),
        /// Records decoded.
        (valid: i64),
        /// Records refused: dead letters.
        (invalid: i64),
        /// Facts that were copies of another.
        (duplicates: i64),
        /// Facts that came late.
        (late: i64),
        /// Per cent of the records that were valid.
        (validity_rate: Option<Hundredths>),
    }
}

/// What a record or fact of `source` counts towards; `at` none where its time is unknown.
pub fn key(source: Symbol, at: Option<Time>) -> MeasureKey {
    let (window, start) = match at {
        Some(at) => (Window::Minute, Window::Minute.start(at)),
        None => (Window::Total, 0),
    };
    MeasureKey { aggregate: Aggregate::Quality, window, code: 0, tenant: source, category: Symbol::default(), start }
}

/// A record that was decoded.
pub const VALID: Measures = counted([1, 1, 0, 0, 0]);
/// A record that was refused.
pub const INVALID: Measures = counted([1, 0, 1, 0, 0]);
/// A fact that was a copy.
pub const DUPLICATE: Measures = counted([0, 0, 0, 1, 0]);
/// A fact that came late.
pub const LATE: Measures = counted([0, 0, 0, 0, 1]);

const fn counted(counts: [i64; 5]) -> Measures {
    let [read, valid, invalid, duplicates, late] = counts;
    Measures { counts: [read, valid, invalid, duplicates, late, 0, 0, 0], amounts: [crate::model::Money::ZERO; 3] }
}

/// The rows these sums make, in no order.
pub fn rows(sums: &Sums) -> Vec<QualityRow> {
    let row = |(key, measures): (&MeasureKey, &Measures)| {
        let [read, valid, invalid, duplicates, late, ..] = measures.counts;
        QualityRow {
            source: key.tenant.text(),
            window_start: (key.window == Window::Minute).then_some(At(key.start)),
            read,
            valid,
            invalid,
            duplicates,
            late,
            validity_rate: percent_hundredths(valid, read).map(Hundredths),
        }
    };
    sums.of(Aggregate::Quality).map(row).collect()
}

//! `data_quality_metrics`: what came of every record, by source and minute of event time.
//!
//! The minute is that of the record's first fact by `at`, of a readable timestamp where broken, none otherwise. There
//! are as many sums as minutes, so keys and counts are their own, small types, 40 bytes a sum; they roll up to nothing
//! else. Limits: minutes up to the year 10135, later ones count as unknown.

use std::num::NonZeroU32;

use differential_dataflow::difference::{IsZero, Semigroup};
use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::collection::{At, Hundredths, collection};
use crate::model::money::percent_hundredths;
use crate::model::{Symbol, Text};
use crate::operators::bundles::{Bundled, Bundles};
use crate::operators::changing_sums::Shrinks;
use crate::time::{DAY_MS, MINUTE_MS, Time};

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

/// What a record or fact counts towards: a source, and a minute where one is known. Eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualityKey {
    /// The source.
    pub source: Symbol,
    /// The minute.
    pub minute: QualityMinute,
}

/// A minute, where one is known, since 1970 and counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualityMinute(Option<NonZeroU32>);

impl QualityKey {
    /// What a record or fact of `source` counts towards; `at` none where its time is unknown.
    pub fn new(source: Symbol, at: Option<Time>) -> QualityKey {
        let minute = at.and_then(|at| u32::try_from(at / MINUTE_MS + 1).ok()).and_then(NonZeroU32::new);
        QualityKey { source, minute: QualityMinute(minute) }
    }
}

impl QualityMinute {
    /// Its start.
    pub fn window_start(self) -> Option<At> {
        self.0.map(|minute| At((u64::from(minute.get()) - 1) * MINUTE_MS))
    }
}

impl Bundled for QualityMinute {
    /// The UTC day, counted from 1970.
    type Label = u32;

    fn label(&self) -> u32 {
        self.window_start().map_or(0, |start| (start.0 / DAY_MS) as u32)
    }

    fn spread(day: &u32) -> u64 {
        u64::from(*day)
    }
}

impl Bundled for QualityKey {
    type Label = u32;

    fn label(&self) -> u32 {
        self.minute.label()
    }

    fn spread(day: &u32) -> u64 {
        QualityMinute::spread(day)
    }
}

/// How many records and facts; records read are those valid and invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // named as the columns
pub struct QualityCounts {
    pub valid: i64,
    pub invalid: i64,
    pub duplicates: i64,
    pub late: i64,
}

/// A record that was decoded.
pub const VALID: QualityCounts = QualityCounts { valid: 1, ..NONE };
/// A record that was refused.
pub const INVALID: QualityCounts = QualityCounts { invalid: 1, ..NONE };
/// A fact that was a copy.
pub const DUPLICATE: QualityCounts = QualityCounts { duplicates: 1, ..NONE };
/// A fact that came late.
pub const LATE: QualityCounts = QualityCounts { late: 1, ..NONE };

const NONE: QualityCounts = QualityCounts { valid: 0, invalid: 0, duplicates: 0, late: 0 };

impl IsZero for QualityCounts {
    fn is_zero(&self) -> bool {
        *self == NONE
    }
}

impl QualityCounts {
    /// Adds `other`.
    pub fn add(&mut self, other: &QualityCounts) {
        self.valid += other.valid;
        self.invalid += other.invalid;
        self.duplicates += other.duplicates;
        self.late += other.late;
    }
}

impl Semigroup for QualityCounts {
    fn plus_equals(&mut self, other: &QualityCounts) {
        self.add(other);
    }
}

impl Shrinks for QualityCounts {
    /// Valid, invalid, duplicates, late.
    type Small = [i16; 4];

    fn shrunk(&self) -> Option<[i16; 4]> {
        let QualityCounts { valid, invalid, duplicates, late } = *self;
        Some([valid.try_into().ok()?, invalid.try_into().ok()?, duplicates.try_into().ok()?, late.try_into().ok()?])
    }

    fn grown(small: &[i16; 4]) -> QualityCounts {
        let [valid, invalid, duplicates, late] = small.map(i64::from);
        QualityCounts { valid, invalid, duplicates, late }
    }
}

/// Accumulated counts.
pub type QualitySums = Bundles<QualityKey, QualityCounts>;

/// The row of a source and minute.
pub fn row(key: &QualityKey, counts: &QualityCounts) -> QualityRow {
    let QualityCounts { valid, invalid, duplicates, late } = *counts;
    let read = valid + invalid;
    QualityRow {
        source: key.source.text(),
        window_start: key.minute.window_start(),
        read,
        valid,
        invalid,
        duplicates,
        late,
        validity_rate: percent_hundredths(valid, read).map(Hundredths),
    }
}

/// The rows these sums make, in their order.
pub fn rows(sums: &QualitySums) -> impl Iterator<Item = QualityRow> + use<'_> {
    let sources: HashSet<Symbol> = sums.sums().map(|(key, _)| key.source).collect();
    let mut sources: Vec<Symbol> = sources.into_iter().collect();
    sources.sort_by_cached_key(|source| source.text());
    let places: HashMap<Symbol, u32> = sources.iter().copied().zip(0..).collect();
    // There are millions of them: each says by itself where it stands, in as few bytes as will do.
    let placed =
        |(key, counts): (&QualityKey, _)| (places.get(&key.source).copied().unwrap_or_default(), key.minute, counts);
    let mut sums: Vec<(u32, QualityMinute, &QualityCounts)> = sums.sums().map(placed).collect();
    sums.sort_unstable_by_key(|(source, minute, _)| (*source, *minute));
    sums.into_iter()
        .map(move |(source, minute, counts)| row(&QualityKey { source: sources[source as usize], minute }, counts))
}

/// How many rows these sums make.
pub fn count(sums: &QualitySums) -> usize {
    sums.sums().count()
}

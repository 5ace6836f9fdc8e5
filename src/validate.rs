//! Validation: the vocabulary of refusals and the rules every format shares (semantics.md, section 7).
//!
//! A record is either decoded or [`Broken`]: refused whole, with *every* rule it breaks. The rules are pure; the wall
//! clock comes in as [`Limits::now_ms`].
//!
//! Invariant: reasons are sorted by their text and not repeated, and there is at least one.

pub mod check;
pub mod meaning;
pub mod number;
pub mod timestamp;

use std::cmp::Ordering;
use std::fmt;

use dataflows::model::money::UNIT;
use dataflows::model::{Money, Text};
use dataflows::time::{MINUTE_MS, Time};

pub use check::{Cell, Check};

/// Longest record in bytes; a longer one is `too_large`.
pub const MAX_RECORD_BYTES: usize = 1 << 20;

/// Why a record or a fact was refused. Fields are named as in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Bytes that are no UTF-8; the only reason then.
    NotUtf8,
    /// Over 1 MiB; the only reason then.
    TooLarge,
    /// No JSON object, no CSV record, no Avro; the only reason then.
    Malformed,
    /// Another number of fields than the header has; the only reason then.
    ColumnCount,
    /// No schema version we know; the only reason then.
    UnknownSchemaVersion,
    /// Required and absent.
    MissingField(&'static str),
    /// No legal id.
    BadId(&'static str),
    /// An event type that is not in the list.
    UnknownEventType,
    /// A status that is not in the list.
    UnknownStatus,
    /// A means of payment that is not in the list.
    UnknownPaymentType,
    /// Not of the forms in inputs.md, or before 1970.
    BadTimestamp(&'static str),
    /// Too far ahead of the wall clock.
    FutureTimestamp(&'static str),
    /// Not a number of the kind wanted, or out of its range.
    BadNumber(&'static str),
    /// Below zero.
    Negative(&'static str),
    /// A quantity below 1.
    BelowMinimum(&'static str),
    /// An item's price above the configured maximum.
    AboveMaximum(&'static str),
    /// A sale's total is not quantity × price.
    TotalMismatch,
    /// The activity needs a user.
    LoginRequired,
    /// The order of an item or payment row is not in the orders file.
    UnknownOrder,
    /// Another content of the same identity won.
    ConflictingDuplicate,
    /// The order is retired.
    OrderRetired,
    /// Too far behind its partition's watermark.
    TooLate,
}

impl Reason {
    /// The code without its field.
    pub fn code(self) -> &'static str {
        match self {
            Reason::NotUtf8 => "not_utf8",
            Reason::TooLarge => "too_large",
            Reason::Malformed => "malformed",
            Reason::ColumnCount => "column_count",
            Reason::UnknownSchemaVersion => "unknown_schema_version",
            Reason::MissingField(_) => "missing_field",
            Reason::BadId(_) => "bad_id",
            Reason::UnknownEventType => "unknown_event_type",
            Reason::UnknownStatus => "unknown_status",
            Reason::UnknownPaymentType => "unknown_payment_type",
            Reason::BadTimestamp(_) => "bad_timestamp",
            Reason::FutureTimestamp(_) => "future_timestamp",
            Reason::BadNumber(_) => "bad_number",
            Reason::Negative(_) => "negative",
            Reason::BelowMinimum(_) => "below_minimum",
            Reason::AboveMaximum(_) => "above_maximum",
            Reason::TotalMismatch => "total_mismatch",
            Reason::LoginRequired => "login_required",
            Reason::UnknownOrder => "unknown_order",
            Reason::ConflictingDuplicate => "conflicting_duplicate",
            Reason::OrderRetired => "order_retired",
            Reason::TooLate => "too_late",
        }
    }

    /// The field it speaks of, where it speaks of one.
    pub fn field(self) -> Option<&'static str> {
        match self {
            Reason::MissingField(field)
            | Reason::BadId(field)
            | Reason::BadTimestamp(field)
            | Reason::FutureTimestamp(field)
            | Reason::BadNumber(field)
            | Reason::Negative(field)
            | Reason::BelowMinimum(field)
            | Reason::AboveMaximum(field) => Some(field),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field() {
            Some(field) => write!(formatter, "{}:{field}", self.code()),
            None => formatter.write_str(self.code()),
        }
    }
}

impl Ord for Reason {
    /// The order of the texts: no code is a prefix of another, so code and field may be compared one by one.
    fn cmp(&self, other: &Reason) -> Ordering {
        (self.code(), self.field()).cmp(&(other.code(), other.field()))
    }
}

impl PartialOrd for Reason {
    fn partial_cmp(&self, other: &Reason) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A refused record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Every rule it breaks: sorted by text, not repeated, at least one.
    pub reasons: Vec<Reason>,
    /// The record's own event id; none where bad or absent.
    pub event_id: Option<Text>,
    /// The record's timestamp where it is readable and not in the future: its minute of the quality counts.
    pub at: Option<Time>,
}

impl Broken {
    /// A record refused for one reason that leaves nothing else to be read.
    pub fn only(reason: Reason) -> Broken {
        Broken { reasons: vec![reason], event_id: None, at: None }
    }

    /// The reasons as `dead_letters` shows them: joined by `;`.
    pub fn joined(&self) -> String {
        let texts: Vec<String> = self.reasons.iter().map(Reason::to_string).collect();
        texts.join(";")
    }
}

/// What validation needs to know beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The wall clock.
    pub now_ms: Time,
    /// How far ahead of the wall clock a timestamp may be.
    pub max_future_skew_ms: u64,
    /// Highest price of an item.
    pub max_price: Money,
}

impl Limits {
    /// The limits by default (5 min ahead, 10,000.00), at this wall clock.
    pub fn at(now_ms: Time) -> Limits {
        Limits { now_ms, max_future_skew_ms: 5 * MINUTE_MS, max_price: Money(10_000 * UNIT) }
    }

    /// The last timestamp that is not `future_timestamp`.
    pub fn latest(&self) -> Time {
        self.now_ms.saturating_add(self.max_future_skew_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_sort_as_their_texts_do() {
        let mut reasons = vec![
            Reason::UnknownStatus,
            Reason::TooLate,
            Reason::TooLarge,
            Reason::Negative("price"),
            Reason::MissingField("order_id"),
            Reason::BadTimestamp("timestamp"),
            Reason::BadNumber("quantity"),
            Reason::BadNumber("price"),
            Reason::BadId("tenant"),
            Reason::TotalMismatch,
        ];
        reasons.sort_unstable();
        let mut texts: Vec<String> = reasons.iter().map(Reason::to_string).collect();
        let shown = texts.clone();
        texts.sort();
        assert_eq!(texts, shown);
    }
}

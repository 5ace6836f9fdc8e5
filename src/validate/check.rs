//! The rules for single fields, and the collector of the reasons they yield (semantics.md, section 7).
//!
//! Every rule takes a [`Cell`] and returns its value, or none where it is absent or broken; where it is broken the
//! reason is kept, so a decoder goes on and finds every broken rule. Absence is a reason only where a decoder asks for
//! it ([`Check::require`]).

use std::borrow::Cow;

use dataflows::model::{Money, PaymentType, Text};
use dataflows::time::Time;

use super::{Broken, Limits, Reason, number, timestamp};

/// Longest id, in code points.
const MAX_ID_CHARS: usize = 128;
/// Largest item number, payment number or number of instalments.
const MAX_COUNT: i64 = u16::MAX as i64;
/// Largest quantity.
const MAX_QUANTITY: i64 = 1_000_000;

/// A field as it stands in a record, whatever the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cell<'a> {
    /// Not there, null, empty or blank.
    #[default]
    Absent,
    /// Text, trimmed and not empty.
    Text(Cow<'a, str>),
    /// A number literal of the format itself (JSON), as written.
    Number(&'a str),
    /// A value of another type: true, false, an array, an object.
    Other,
}

impl<'a> Cell<'a> {
    /// The cell of a piece of text.
    pub fn of_text(text: &'a str) -> Cell<'a> {
        match text.trim() {
            "" => Cell::Absent,
            trimmed => Cell::Text(Cow::Borrowed(trimmed)),
        }
    }

    /// The text; numbers and values of other types count as absent.
    pub fn text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// True where nothing is there.
    pub fn is_absent(&self) -> bool {
        *self == Cell::Absent
    }

    /// Text or number literal: numbers may be written as either.
    fn number(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Number(text) => Some(text),
            _ => None,
        }
    }
}

/// Collects every broken rule of one record.
#[derive(Debug)]
pub struct Check<'l> {
    limits: &'l Limits,
    reasons: Vec<Reason>,
}

impl<'l> Check<'l> {
    /// A check of one record; allocates nothing until a rule is broken.
    pub fn new(limits: &'l Limits) -> Check<'l> {
        Check { limits, reasons: Vec::new() }
    }

    /// Keeps a reason.
    pub fn refuse(&mut self, reason: Reason) {
        self.reasons.push(reason);
    }

    /// Refuses `missing_field` unless the field is there.
    pub fn require(&mut self, field: &'static str, is_there: bool) {
        if !is_there {
            self.refuse(Reason::MissingField(field));
        }
    }

    /// True while no rule is broken.
    pub fn is_clean(&self) -> bool {
        self.reasons.is_empty()
    }

    /// How many reasons were kept so far.
    pub fn count(&self) -> usize {
        self.reasons.len()
    }

    /// The refusal of the record. A decoder calls this where a rule is broken or something required is absent, which
    /// it has refused; without any reason the record would be `malformed`.
    pub fn broken(self, event_id: Option<Text>, at: Option<Time>) -> Broken {
        let mut reasons = self.reasons;
        reasons.sort_unstable();
        reasons.dedup();
        if reasons.is_empty() {
            reasons.push(Reason::Malformed);
        }
        Broken { reasons, event_id, at }
    }

    /// An id: text, or a JSON integer.
    pub fn id(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<Text> {
        match cell {
            Cell::Absent => return None,
            Cell::Text(text) if is_id(text) => return Some(Text::new(text)),
            // -0 is the integer 0.
            Cell::Number("-0") => return Some(Text::new("0")),
            Cell::Number(text) if is_id(text) && number::integer(text.as_bytes()).is_some() => {
                return Some(Text::new(text));
            }
            _ => self.refuse(Reason::BadId(field)),
        }
        None
    }

    /// A tenant: an id, and not `*`, which stands for all of them.
    pub fn tenant(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<Text> {
        if cell.text() == Some("*") {
            self.refuse(Reason::BadId(field));
            return None;
        }
        self.id(field, cell)
    }

    /// A timestamp: text, or epoch milliseconds as a JSON integer.
    pub fn time(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<Time> {
        let at = match cell {
            Cell::Absent => return None,
            Cell::Text(text) => timestamp::parse(text.as_bytes()),
            Cell::Number(text) => number::integer(text.as_bytes()).and_then(|at| Time::try_from(at).ok()),
            Cell::Other => None,
        };
        match at {
            Some(at) if at <= self.limits.latest() => return Some(at),
            Some(_) => self.refuse(Reason::FutureTimestamp(field)),
            None => self.refuse(Reason::BadTimestamp(field)),
        }
        None
    }

    /// An amount that is not negative.
    pub fn money(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<Money> {
        if cell.is_absent() {
            return None;
        }
        match cell.number().and_then(|text| number::money(text.as_bytes())) {
            Some(amount) if amount >= Money::ZERO => return Some(amount),
            Some(_) => self.refuse(Reason::Negative(field)),
            None => self.refuse(Reason::BadNumber(field)),
        }
        None
    }

    /// The price of one piece: an amount, and not above the maximum.
    pub fn price(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<Money> {
        let price = self.money(field, cell)?;
        if price > self.limits.max_price {
            self.refuse(Reason::AboveMaximum(field));
            return None;
        }
        Some(price)
    }

    /// An item number, a payment number or a number of instalments: 0 to 65,535.
    pub fn small_count(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<u16> {
        self.integer(field, cell, 0, MAX_COUNT, Reason::Negative(field)).and_then(|count| u16::try_from(count).ok())
    }

    /// A quantity: 1 to 1,000,000.
    pub fn quantity(&mut self, field: &'static str, cell: &Cell<'_>) -> Option<u32> {
        let below = Reason::BelowMinimum(field);
        self.integer(field, cell, 1, MAX_QUANTITY, below).and_then(|quantity| u32::try_from(quantity).ok())
    }

    /// A means of payment, in any case.
    pub fn payment_type(&mut self, cell: &Cell<'_>) -> Option<PaymentType> {
        let name = cell.text()?;
        let known = PaymentType::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
        if known.is_none() {
            self.refuse(Reason::UnknownPaymentType);
        }
        known
    }

    fn integer(
        &mut self,
        field: &'static str,
        cell: &Cell<'_>,
        minimum: i64,
        maximum: i64,
        below: Reason,
    ) -> Option<i64> {
        if cell.is_absent() {
            return None;
        }
        match cell.number().and_then(|text| number::integer(text.as_bytes())) {
            Some(value) if value < minimum && value > -number::TOO_LARGE => self.refuse(below),
            Some(value) if (minimum..=maximum).contains(&value) => return Some(value),
            _ => self.refuse(Reason::BadNumber(field)),
        }
        None
    }
}

/// At most 128 code points, no control characters.
fn is_id(text: &str) -> bool {
    let fits = text.len() <= MAX_ID_CHARS || text.chars().nth(MAX_ID_CHARS).is_none();
    fits && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons<T>(rule: impl FnOnce(&mut Check<'_>) -> Option<T>) -> String {
        let limits = Limits::at(1_000_000);
        let mut check = Check::new(&limits);
        match rule(&mut check) {
            Some(_) => "ok".to_string(),
            None if check.is_clean() => "absent".to_string(),
            None => check.broken(None, None).joined(),
        }
    }

    #[test]
    fn ids_are_short_and_printable() {
        let (longest, too_long) = ("é".repeat(128), "é".repeat(129));
        for (cell, expected) in [
            (Cell::of_text(" a "), "ok"),
            (Cell::of_text(&longest), "ok"),
            (Cell::of_text(&too_long), "bad_id:f"),
            (Cell::of_text("a\tb"), "bad_id:f"),
            (Cell::of_text("a\u{85}b"), "bad_id:f"),
            (Cell::of_text(" \u{a0} "), "absent"),
            (Cell::Number("12"), "ok"),
            (Cell::Number("-12"), "ok"),
            (Cell::Number("123456789012345678901234567890"), "ok"),
            (Cell::Number("1.0"), "bad_id:f"),
            (Cell::Number("1e3"), "bad_id:f"),
            (Cell::Other, "bad_id:f"),
        ] {
            assert_eq!(reasons(|check| check.id("f", &cell)), expected, "{cell:?}");
        }
        assert_eq!(reasons(|check| check.tenant("f", &Cell::of_text(" * "))), "bad_id:f");
        assert_eq!(reasons(|check| check.id("f", &Cell::of_text("*"))), "ok");
    }

    #[test]
    fn times_end_with_the_skew() {
        for (cell, expected) in [
            (Cell::Number("1300000"), "ok"),
            (Cell::Number("1300001"), "future_timestamp:f"),
            (Cell::Number("999999999999999999999999"), "future_timestamp:f"),
            (Cell::Number("0"), "ok"),
            (Cell::Number("-1"), "bad_timestamp:f"),
            (Cell::Number("1.0"), "bad_timestamp:f"),
            (Cell::of_text("1300000"), "bad_timestamp:f"),
            (Cell::of_text(" 1970-01-01 00:21:40 "), "ok"),
            (Cell::of_text("1970-01-01 00:21:40.001"), "future_timestamp:f"),
            (Cell::Other, "bad_timestamp:f"),
            (Cell::Absent, "absent"),
        ] {
            assert_eq!(reasons(|check| check.time("f", &cell)), expected, "{cell:?}");
        }
    }

    #[test]
    fn numbers_have_their_limits() {
        let price = |text| reasons(|check| check.price("f", &Cell::of_text(text)));
        let count = |text| reasons(|check| check.small_count("f", &Cell::of_text(text)));
        let quantity = |text| reasons(|check| check.quantity("f", &Cell::of_text(text)));
        assert_eq!(["0", "-0", "1e4", " 7.5 "].map(price), ["ok"; 4]);
        assert_eq!(
            ["-0.0001", "10000.0001", "-1e11", "x", " "].map(price),
            ["negative:f", "above_maximum:f", "bad_number:f", "bad_number:f", "absent"]
        );
        assert_eq!(["0", "-0", "65535"].map(count), ["ok"; 3]);
        assert_eq!(
            ["-1", "-70000", "65536", "1.0"].map(count),
            ["negative:f", "negative:f", "bad_number:f", "bad_number:f"]
        );
        // As of amounts, what is too large is that alone, below 0 as well.
        assert_eq!(["-99999999999", "-100000000000"].map(count), ["negative:f", "bad_number:f"]);
        assert_eq!(["-99999999999", "-99999999999999999999"].map(quantity), ["below_minimum:f", "bad_number:f"]);
        assert_eq!(["-2e11", "-2e0"].map(count), ["bad_number:f"; 2], "what is no integer is that alone, too");
        assert_eq!(["1", "1000000"].map(quantity), ["ok"; 2]);
        assert_eq!(
            ["0", "-1", "1000001", "1.0"].map(quantity),
            ["below_minimum:f", "below_minimum:f", "bad_number:f", "bad_number:f"]
        );
        assert_eq!(reasons(|check| check.money("f", &Cell::Other)), "bad_number:f");
        assert_eq!(reasons(|check| check.payment_type(&Cell::of_text("BOLETO"))), "ok");
        assert_eq!(reasons(|check| check.payment_type(&Cell::of_text("cash"))), "unknown_payment_type");
        assert_eq!(reasons(|check| check.payment_type(&Cell::Number("5"))), "absent");
    }
}

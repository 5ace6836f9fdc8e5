//! Broken lines: a copy of a whole one with one thing wrong, of every kind that a line of JSON can have (semantics.md,
//! section 7), in turn.
//!
//! Invariant: no broken line is decoded, so it changes no result; the tests hold each kind against its reason.

use std::collections::VecDeque;

use super::StreamKind;
use crate::validate::MAX_RECORD_BYTES;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// The member's value is another one.
    Value(&'static str, &'static str),
    /// The member is not there.
    Missing(&'static str),
    /// An id of 129 characters.
    LongId(&'static str),
    /// What comes after the opening brace is preceded by this.
    Before(&'static [u8]),
    /// The line ends in its midst.
    CutOff,
    /// Arrays within arrays.
    Nested,
    /// More than a mebibyte.
    TooLarge,
}
use Harm::{Before, CutOff, LongId, Missing, Nested, TooLarge, Value};

/// A kind of broken line: the text its original must have, what is wrong, and the reason given for it.
type Kind = (&'static str, Harm, &'static str);

const KINDS: [Kind; 16] = [
    ("", CutOff, "malformed"),
    ("", Before(b"\"note\":\"\xff\xfe\","), "not_utf8"),
    ("", TooLarge, "too_large"),
    ("", Before(b"\"discount\":NaN,"), "malformed"),
    ("", Before(b"\"note\":\"\\ud800\","), "malformed"),
    ("", Nested, "malformed"),
    ("", Missing("order_id"), "missing_field:order_id"),
    ("", Missing("timestamp"), "missing_field:timestamp"),
    ("", Value("timestamp", "\"yesterday\""), "bad_timestamp:timestamp"),
    ("", Value("timestamp", "\"2020-02-30T00:00:60Z\""), "bad_timestamp:timestamp"),
    ("", Value("timestamp", "\"9999-12-31T23:59:59Z\""), "future_timestamp:timestamp"),
    ("", LongId("order_id"), "bad_id:order_id"),
    ("", Value("tenant", "\"*\""), "bad_id:tenant"),
    ("\"price\"", Value("price", "\"cheap\""), "bad_number:price"),
    ("\"price\"", Value("price", "10000.01"), "above_maximum:price"),
    ("\"price\"", Value("price", "-1.50"), "negative:price"),
];

const EVENT_KINDS: [Kind; 19] = [
    ("", Missing("event_type"), "missing_field:event_type"),
    ("", Value("event_type", "\"ORDER_EATEN\""), "unknown_event_type"),
    ("", Value("event_id", "\"tab\\there\""), "bad_id:event_id"),
    ("ORDER_PLACED", Value("customer_id", "true"), "bad_id:customer_id"),
    ("ORDER_PLACED", Value("product_id", "1.5"), "bad_id:product_id"),
    ("\"quantity\"", Value("quantity", "0"), "below_minimum:quantity"),
    ("\"quantity\"", Value("quantity", "1000001"), "bad_number:quantity"),
    ("ITEM_ADDED", Missing("item_no"), "missing_field:item_no"),
    ("ITEM_ADDED", Missing("quantity"), "missing_field:quantity"),
    ("ITEM_ADDED", Missing("price"), "missing_field:price"),
    ("ITEM_ADDED", Value("item_no", "65536"), "bad_number:item_no"),
    ("ITEM_ADDED", Value("freight", "-4.90"), "negative:freight"),
    ("PAYMENT_RECEIVED", Missing("payment_seq"), "missing_field:payment_seq"),
    ("PAYMENT_RECEIVED", Missing("payment_type"), "missing_field:payment_type"),
    ("PAYMENT_RECEIVED", Missing("value"), "missing_field:value"),
    ("PAYMENT_RECEIVED", Value("payment_type", "\"shells\""), "unknown_payment_type"),
    ("PAYMENT_RECEIVED", Value("payment_seq", "-1"), "negative:payment_seq"),
    ("PAYMENT_RECEIVED", Value("installments", "\"2.0\""), "bad_number:installments"),
    ("PAYMENT_RECEIVED", Value("value", "0.00001"), "bad_number:value"),
];

const SALE_KINDS: [Kind; 12] = [
    ("", Missing("status"), "missing_field:event_type"),
    ("", Value("status", "\"eaten\""), "unknown_status"),
    ("", Value("customer_id", "[]"), "bad_id:customer_id"),
    ("", Value("product_id", "1.5"), "bad_id:product_id"),
    ("", Value("quantity", "0"), "below_minimum:quantity"),
    ("", Value("quantity", "\"2.0\""), "bad_number:quantity"),
    ("", Value("total", "0.01"), "total_mismatch"),
    ("", Value("total", "1e11"), "bad_number:total"),
    ("", Value("payment_method", "\"shells\""), "unknown_payment_type"),
    ("\"pending\"", Missing("quantity"), "missing_field:quantity"),
    ("\"pending\"", Missing("total"), "missing_field:total"),
    ("\"pending\"", Missing("payment_method"), "missing_field:payment_method"),
];

/// One line in so many that might be too large is: they are long.
const ROUNDS_WITHOUT_LARGE: u64 = 50;

/// The kinds of broken line, each of which gets its turn.
#[derive(Debug)]
pub struct Breaker {
    turns: VecDeque<Kind>,
    large_turns: u64,
}

impl Breaker {
    /// Every kind that a stream can have.
    pub fn new(kind: StreamKind) -> Breaker {
        let own: &[Kind] = match kind {
            StreamKind::Orders => &EVENT_KINDS,
            StreamKind::Sales => &SALE_KINDS,
        };
        Breaker { turns: KINDS.iter().chain(own).copied().collect(), large_turns: 0 }
    }

    /// Appends a broken copy of a line, without line end; the reason for which it will be refused.
    pub fn push_broken(&mut self, line: &[u8], row: &mut Vec<u8>) -> &'static str {
        let fits = |(needs, _, _): &Kind| needs.is_empty() || find(line, needs).is_some();
        loop {
            // Some fit every line.
            let turn = self.turns.iter().position(fits).unwrap_or(0);
            let Some(kind) = self.turns.remove(turn) else { return "" };
            self.turns.push_back(kind);
            let (_, harm, reason) = kind;
            if harm == TooLarge {
                self.large_turns += 1;
                if self.large_turns % ROUNDS_WITHOUT_LARGE != 1 {
                    continue;
                }
            }
            harm.push(line, row);
            return reason;
        }
    }
}

impl Harm {
    fn push(self, line: &[u8], row: &mut Vec<u8>) {
        let mut before = |inserted: &[u8]| {
            row.push(b'{');
            row.extend_from_slice(inserted);
            row.extend_from_slice(&line[1..]);
        };
        match self {
            Value(member, value) => replace(line, member, Some(value.as_bytes()), row),
            Missing(member) => replace(line, member, None, row),
            LongId(member) => replace(line, member, Some(format!("\"{}\"", "9".repeat(129)).as_bytes()), row),
            Before(inserted) => before(inserted),
            Nested => before(format!("\"parts\":{}{},", "[".repeat(200), "]".repeat(200)).as_bytes()),
            TooLarge => before(format!("\"note\":\"{}\",", "x".repeat(MAX_RECORD_BYTES)).as_bytes()),
            CutOff => row.extend_from_slice(&line[..line.len() / 2]),
        }
    }
}

/// Appends the line with another value of a member, or without the member. The line is one of ours: no value of these
/// members holds a comma, a brace or an escape.
fn replace(line: &[u8], member: &str, value: Option<&[u8]>, row: &mut Vec<u8>) {
    let key = format!("\"{member}\":");
    let Some(start) = find(line, &key) else { return row.extend_from_slice(line) };
    let value_start = start + key.len();
    let length = line[value_start..].iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(0);
    let end = value_start + length;
    match value {
        Some(value) => {
            row.extend_from_slice(&line[..value_start]);
            row.extend_from_slice(value);
            row.extend_from_slice(&line[end..]);
        }
        // The comma goes with it: the one that follows, or the one before the last member.
        None if line[end] == b',' => {
            row.extend_from_slice(&line[..start]);
            row.extend_from_slice(&line[end + 1..]);
        }
        None => {
            row.extend_from_slice(line[..start].strip_suffix(b",").unwrap_or(&line[..start]));
            row.extend_from_slice(&line[end..]);
        }
    }
}

fn find(line: &[u8], text: &str) -> Option<usize> {
    memchr::memmem::find(line, text.as_bytes())
}

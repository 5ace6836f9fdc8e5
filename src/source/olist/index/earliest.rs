//! The earliest of many timestamps as text, without parsing each of them.
//!
//! Texts of the usual form, `YYYY-MM-DD HH:MM:SS`, ascend as the instants they name do: they are checked and compared as
//! bytes, and only the least of them is parsed. Invariant: what [`Usual::of`] takes, [`timestamp::parse`] takes too,
//! unless it is before 1970; then so is the least one, which [`Earliest::time`] parses.

use dataflows::time::Time;

use crate::validate::timestamp;

/// Bytes of a timestamp of the usual form.
pub const USUAL_BYTES: usize = 19;

/// A timestamp of the usual form, on one of the days that every month has: its first 16 and its last 4 bytes as numbers,
/// which ascend as the text does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Usual(u128, u32);

const FORM: u128 = u128::from_be_bytes(*b"0000-00-00 00:00");
/// What may be added to each byte, less those of the form, before it is more than 127: no digit is too large then, and
/// what is no digit is as in the form.
const ROOM: u128 = {
    let most = [9, 9, 9, 9, 0, 1, 9, 0, 3, 9, 0, 2, 9, 0, 5, 9];
    u128::from_be_bytes([0x7F; 16]) - u128::from_be_bytes(most)
};
const HIGH_BITS: u128 = u128::from_be_bytes([0x80; 16]);
const SECONDS_FORM: u32 = u32::from_be_bytes(*b"\0:00");
const SECONDS_ROOM: u32 = u32::from_be_bytes([0x7F; 4]) - u32::from_be_bytes([0x7F, 0, 5, 9]);
const SECONDS_HIGH_BITS: u32 = u32::from_be_bytes([0x80; 4]);

impl Usual {
    /// The timestamp that `text` is; none where a closer look must tell.
    #[inline]
    pub fn of(text: &[u8; USUAL_BYTES]) -> Option<Usual> {
        let (Some(head), Some(tail)) = (text.first_chunk::<16>(), text.last_chunk::<4>()) else { return None };
        let usual = Usual(u128::from_be_bytes(*head), u32::from_be_bytes(*tail));
        let digits = usual.0 ^ FORM;
        // The first of these bytes is the last one of the head, which is looked at there.
        let seconds = (usual.1 ^ SECONDS_FORM) & 0x00FF_FFFF;
        let wrong = (digits.wrapping_add(ROOM) | digits) & HIGH_BITS;
        let wrong_seconds = (seconds.wrapping_add(SECONDS_ROOM) | seconds) & SECONDS_HIGH_BITS;
        if wrong != 0 || wrong_seconds != 0 {
            return None;
        }
        let [_, _, _, _, _, m1, m2, _, d1, d2, _, h1, h2, ..] = digits.to_be_bytes();
        let (month, day, hour) = (m1 * 10 + m2, d1 * 10 + d2, h1 * 10 + h2);
        ((1..=12).contains(&month) && (1..=28).contains(&day) && hour < 24).then_some(usual)
    }

    fn parse(self) -> Option<Time> {
        let mut text = [0; USUAL_BYTES];
        text[..16].copy_from_slice(&self.0.to_be_bytes());
        text[15..].copy_from_slice(&self.1.to_be_bytes());
        timestamp::parse(&text)
    }
}

/// The earliest of the timestamps seen so far.
#[derive(Clone, Copy, Debug)]
pub struct Earliest {
    usual: Usual,
    parsed: Time,
}

impl Default for Earliest {
    fn default() -> Earliest {
        Earliest { usual: Usual(u128::MAX, u32::MAX), parsed: Time::MAX }
    }
}

impl Earliest {
    /// Takes a timestamp of the usual form in.
    #[inline]
    pub fn see(&mut self, usual: Usual) {
        self.usual = self.usual.min(usual);
    }

    /// Takes any timestamp in; false where it is none.
    pub fn see_any(&mut self, text: &[u8]) -> bool {
        let parsed = timestamp::parse(text);
        self.parsed = self.parsed.min(parsed.unwrap_or(Time::MAX));
        parsed.is_some()
    }

    /// The earliest timestamp, `Time::MAX` before there is one; none where it is before 1970.
    pub fn time(self) -> Option<Time> {
        match self.usual {
            Usual(u128::MAX, _) => Some(self.parsed),
            usual => usual.parse().map(|time| time.min(self.parsed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_form_ends_where_a_month_may() {
        let is_usual = |text: &[u8; USUAL_BYTES]| Usual::of(text).is_some();
        for text in [b"2018-12-28 23:59:59", b"2018-01-01 00:00:00", b"0000-10-20 10:00:00", b"9999-09-09 19:39:09"] {
            assert!(is_usual(text), "{}", String::from_utf8_lossy(text));
        }
        for text in [
            b"2018-12-29 23:59:59",
            b"2018-12-00 23:59:59",
            b"2018-13-28 23:59:59",
            b"2018-00-28 23:59:59",
            b"2018-12-28 24:00:00",
            b"2018-12-28 23:60:00",
            b"2018-12-28 23:59:60",
            b"2018-12-28T23:59:59",
            b"2018-12-28 23:59.59",
            b"2018-12-28 23:5:059",
            b"201:-12-28 23:59:59",
            b"2018-12-28 23:59:5,",
            b"2018-12-28 23:59:\xB59",
            b"\xB2018-12-28 23:59:59",
            b"2018,12,28,23,59,59",
        ] {
            assert!(!is_usual(text), "{}", String::from_utf8_lossy(text));
        }
    }

    proptest! {
        #[test]
        fn differential_agrees_with_parsing_each(
            texts in prop::collection::vec("(19[67]|20[01])[0-9]-[01][0-9]-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9]", 1..6)
        ) {
            let mut earliest = Earliest::default();
            let seen = texts.iter().all(|text| match text.as_bytes().first_chunk().and_then(Usual::of) {
                Some(usual) => {
                    earliest.see(usual);
                    true
                }
                None => earliest.see_any(text.as_bytes()),
            });
            let times: Option<Vec<Time>> = texts.iter().map(|text| timestamp::parse(text.as_bytes())).collect();
            prop_assert_eq!(earliest.time().filter(|_| seen), times.and_then(|times| times.into_iter().min()));
        }

        #[test]
        fn differential_takes_nothing_that_parsing_refuses(text in "(1970|2016|9999)[-,0]([01][0-9]|[0-9:]{2})-[0-3][0-9][ T]([0-2][0-9]|[/-:]{2}):[0-6][0-9]:[/-:][0-9]") {
            if let Some(usual) = text.as_bytes().first_chunk().and_then(Usual::of) {
                prop_assert_eq!(usual.parse(), timestamp::parse(text.as_bytes()));
                prop_assert!(usual.parse().is_some());
            }
        }
    }
}

//! Numbers and instants as text, digit by digit: far quicker than formatting, which shows where there are millions of rows.
//!
//! Limits: in RFC 3339 an instant later than the year 9999 reads as of its last day; no event is later, only the deadline of a
//! rule of thousands of years.

use crate::time::{DAY_MS, SECOND_MS, Time};

/// 31 December 9999, in days since 1970.
const LAST_DAY: u64 = 2_932_896;
/// The calendar is the same again after so many days, which are so many years.
const ERA_DAYS: u64 = 146_097;
const ERA_YEARS: u64 = 400;

/// Two digits of each number below a hundred: to look them up is quicker than to divide.
const PAIRS: [[u8; 2]; 100] = {
    let (mut pairs, mut number) = ([[b'0'; 2]; 100], 0);
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Appends a number.
pub fn push_integer(number: i64, text: &mut String) {
    if number < 0 {
        text.push('-');
    }
    push_padded(number.unsigned_abs(), 1, text);
}

/// Appends a number in so many digits (at most 20) or as many as it has, zeros in front.
pub fn push_padded(number: u64, least: usize, text: &mut String) {
    text.push_str(std::str::from_utf8(padded(number, least, &mut [b'0'; 20])).unwrap_or_default());
}

/// The digits that [`push_padded`] appends; `zeros` are room for them.
#[inline]
pub fn padded(number: u64, least: usize, zeros: &mut [u8; 20]) -> &[u8] {
    let (mut left, mut start) = (number, zeros.len());
    while left > 0 {
        start -= 1;
        zeros[start] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    &zeros[start.min(zeros.len().saturating_sub(least))..]
}

/// An instant as text: `2024-01-02T10:00:00.000Z`.
#[derive(Clone, Copy, Debug)]
pub struct Rfc3339([u8; 24]);

impl Rfc3339 {
    /// That of a time.
    pub fn of(at: Time) -> Rfc3339 {
        let (year, month, day) = civil_date((at / DAY_MS).min(LAST_DAY) as u32);
        // A day has fewer milliseconds than 32 bits have numbers, and small numbers are divided far quicker.
        let (clock_s, milliseconds) = ((at % DAY_MS) as u32 / 1_000, (at % DAY_MS) as u32 % 1_000);
        let mut digits = *b"0000-00-00T00:00:00.000Z";
        let mut two = |place: usize, number: u32| {
            digits[place..place + 2].copy_from_slice(&PAIRS[number as usize % PAIRS.len()]);
        };
        two(0, year / 100 % 100);
        two(2, year % 100);
        two(5, month);
        two(8, day);
        two(11, clock_s / 3_600);
        two(14, clock_s / 60 % 60);
        two(17, clock_s % 60);
        two(20, milliseconds / 10);
        digits[22] = b'0' + (milliseconds % 10) as u8;
        Rfc3339(digits)
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// `2024-01-02 10:00:00 UTC`, with milliseconds where there are any.
pub fn instant_in_words(at: Time) -> String {
    let digits = Rfc3339::of(at);
    let (date, rest) = digits.as_str().split_at(10);
    let clock = if at.is_multiple_of(SECOND_MS) { &rest[1..9] } else { &rest[1..13] };
    if at / DAY_MS > LAST_DAY {
        far_date(at / DAY_MS) + " " + clock + " UTC"
    } else {
        [date, " ", clock, " UTC"].concat()
    }
}

/// A date of five digits of a year or more.
fn far_date(days: u64) -> String {
    let (year, month, day) = civil_date((days % ERA_DAYS) as u32);
    format!("{}-{month:02}-{day:02}", u64::from(year) + days / ERA_DAYS * ERA_YEARS)
}

/// Year, month and day of the number of days since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
pub fn civil_date(days: u32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u32::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_formatting_has_them() {
        for number in [0, 7, -7, 10, 1_234_567_890_123, i64::MAX, i64::MIN] {
            let mut text = String::new();
            push_integer(number, &mut text);
            assert_eq!(text, number.to_string());
        }
        for (number, least) in [(0, 1), (0, 4), (7, 3), (123, 2), (u64::MAX, 20)] {
            let mut text = String::new();
            push_padded(number, least, &mut text);
            assert_eq!(text, format!("{number:0least$}"));
        }
    }

    #[test]
    fn instants_are_those_of_the_calendar() {
        for (at, written, in_words) in [
            (0, "1970-01-01T00:00:00.000Z", "1970-01-01 00:00:00 UTC"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z", "2024-02-29 23:59:59.999 UTC"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z", "9999-12-31 23:59:59 UTC"),
            (253_402_300_800_000, "9999-12-31T00:00:00.000Z", "10000-01-01 00:00:00 UTC"),
            (u64::MAX, "9999-12-31T14:25:51.615Z", "584556019-04-03 14:25:51.615 UTC"),
        ] {
            assert_eq!(Rfc3339::of(at).as_str(), written);
            assert_eq!(instant_in_words(at), in_words);
        }
    }
}

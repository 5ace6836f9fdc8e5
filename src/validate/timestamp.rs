//! Timestamps as text: RFC 3339, or without an offset and then UTC (inputs.md, "Facts").
//!
//! Limits: 1970 to 9999; seconds are always there, digits beyond milliseconds are cut, second 60 and hour 24 are wrong.
//! One parser for all formats; it allocates nothing and is the hot path of CSV rows.

use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Time};

/// The instant that `text` (trimmed) names; none where it is of no known form, no real date or before 1970.
pub fn parse(text: &[u8]) -> Option<Time> {
    let (clock, rest) = text.split_first_chunk::<19>()?;
    let separators_hold = clock[4] == b'-'
        && clock[7] == b'-'
        && matches!(clock[10], b' ' | b'T' | b't')
        && clock[13] == b':'
        && clock[16] == b':';
    if !separators_hold {
        return None;
    }
    let year = two_digits(clock[0], clock[1])? * 100 + two_digits(clock[2], clock[3])?;
    let day = days_since_1970(year, two_digits(clock[5], clock[6])?, two_digits(clock[8], clock[9])?)?;
    let (hour, minute, second) =
        (two_digits(clock[11], clock[12])?, two_digits(clock[14], clock[15])?, two_digits(clock[17], clock[18])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let of_day_ms = u64::from(hour) * HOUR_MS + u64::from(minute) * MINUTE_MS + u64::from(second) * SECOND_MS;
    let local_ms = day * DAY_MS as i64 + of_day_ms as i64;
    let at = match rest {
        [] => local_ms,
        _ => {
            let (fraction_ms, zone) = fraction(rest)?;
            local_ms + fraction_ms - offset_ms(zone)?
        }
    };
    Time::try_from(at).ok()
}

/// Days from 1 January 1970 to a day of the Gregorian calendar, years 0 to 9999; none where there is no such day.
pub fn days_since_1970(year: u32, month: u32, day: u32) -> Option<i64> {
    if year > 9999 || day == 0 || day > days_in_month(year, month)? {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let march_year = i64::from(year) - i64::from(month <= 2);
    let era = march_year.div_euclid(400);
    let year_of_era = march_year.rem_euclid(400);
    let day_of_year = (153 * ((i64::from(month) + 9) % 12) + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_in_month(year: u32, month: u32) -> Option<u32> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => Some(29),
        2 => Some(28),
        _ => None,
    }
}

/// Milliseconds of a fraction, where there is one, and what follows it.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = rest.strip_prefix(b".") else { return Some((0, rest)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, zone) = digits.split_at_checked(count)?;
    let thousandth = |place: usize| fraction.get(place).map_or(0, |digit| i64::from(digit - b'0'));
    (count > 0).then_some((thousandth(0) * 100 + thousandth(1) * 10 + thousandth(2), zone))
}

/// How far local time is ahead of UTC.
fn offset_ms(zone: &[u8]) -> Option<i64> {
    match zone {
        [] | b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (two_digits(*h1, *h2)?, two_digits(*m1, *m2)?);
            let ahead_ms = i64::from(hours) * HOUR_MS as i64 + i64::from(minutes) * MINUTE_MS as i64;
            (hours <= 23 && minutes <= 59).then_some(if *sign == b'-' { -ahead_ms } else { ahead_ms })
        }
        _ => None,
    }
}

fn two_digits(tens: u8, ones: u8) -> Option<u32> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    #[test]
    fn forms_and_their_neighbours() {
        let leap = 1_709_164_800_000;
        for (text, at) in [
            ("2024-02-29 00:00:00", Some(leap)),
            ("2024-02-29T00:00:00", Some(leap)),
            ("2024-02-29t00:00:00z", Some(leap)),
            ("2024-02-29 00:00:00Z", Some(leap)),
            ("2024-02-29T00:00:00.0019999999", Some(leap + 1)),
            ("2024-02-29 00:00:00.5Z", Some(leap + 500)),
            ("2024-02-28T21:00:00.007-03:00", Some(leap + 7)),
            ("2024-02-29T23:59:00+23:59", Some(leap)),
            ("2024-02-29T00:00:00-00:00", Some(leap)),
            ("1970-01-01T00:00:00Z", Some(0)),
            ("1969-12-31T23:00:00-01:00", Some(0)),
            ("9999-12-31 23:59:59.999", Some(253_402_300_799_999)),
            ("1969-12-31 23:59:59", None),
            ("1970-01-01T00:59:59+01:00", None),
            ("2023-02-29 00:00:00", None),
            ("1900-02-29 00:00:00", None),
            ("2100-02-29 00:00:00", None),
            ("2024-00-01 00:00:00", None),
            ("2024-13-01 00:00:00", None),
            ("2024-04-31 00:00:00", None),
            ("2024-04-00 00:00:00", None),
            ("2024-02-29 24:00:00", None),
            ("2024-02-29 00:60:00", None),
            ("2024-02-29T00:00:60Z", None),
            ("2024-02-29T00:00Z", None),
            ("2024-02-29", None),
            ("2024-02-29T00:00:00.", None),
            ("2024-02-29T00:00:00.Z", None),
            ("2024-02-29T00:00:00,5Z", None),
            ("2024-02-29T00:00:00 Z", None),
            ("2024-02-29T00:00:00+0300", None),
            ("2024-02-29T00:00:00+03", None),
            ("2024-02-29T00:00:00+24:00", None),
            ("2024-02-29T00:00:00+00:60", None),
            ("2024-02-29T00:00:00ZZ", None),
            ("2024-02-29_00:00:00", None),
            ("2024/02/29 00:00:00", None),
            ("24-02-29 00:00:00", None),
            ("+2024-02-29 00:00:00", None),
            ("1709164800000", None),
            ("２024-02-29 00:00:00", None),
            ("", None),
        ] {
            assert_eq!(parse(text.as_bytes()), at, "{text}");
        }
    }

    proptest! {
        #[test]
        fn differential_agrees_with_chrono_on_every_date(year in 0u32..=9999, month in 0u32..=13, day in 0u32..=32) {
            let theirs = NaiveDate::from_ymd_opt(year as i32, month, day)
                .map(|date| date.signed_duration_since(NaiveDate::default()).num_days());
            prop_assert_eq!(days_since_1970(year, month, day), theirs);
        }

        #[test]
        fn differential_agrees_with_chrono_on_rfc_3339(
            text in "(19[67]|20[0-9])[0-9]-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])"
        ) {
            let theirs = DateTime::parse_from_rfc3339(&text).ok().and_then(|at| Time::try_from(at.timestamp_millis()).ok());
            prop_assert_eq!(parse(text.as_bytes()), theirs);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            parse(&bytes);
        }
    }
}

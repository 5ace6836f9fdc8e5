//! Numbers as text: money and integers, exactly, without floats (semantics.md, section 7).
//!
//! Grammar: ASCII, an optional sign, digits; for money then a fraction (`.` and digits) and an exponent. Work is linear
//! in the text, however large its exponent.

use dataflows::model::{Money, money::UNIT};

/// Digits before the point that a number may have: its magnitude is below 10^11.
const WHOLE_DIGITS: i64 = 11;
/// The least magnitude that no number may have, whatever it says.
pub const TOO_LARGE: i64 = 10_i64.pow(WHOLE_DIGITS as u32);
/// Places after the point that money may have, by value.
const PLACES: i64 = 4;

/// The amount that `text` (trimmed) names; none where it is no number, needs more than four places or is too large.
pub fn money(text: &[u8]) -> Option<Money> {
    plain_money(text).or_else(|| any_money(text))
}

/// Unsigned decimals of usual size, as nearly every row has them; none says only that the slow way must decide.
fn plain_money(text: &[u8]) -> Option<Money> {
    let mut amount: u64 = 0;
    let mut point = None;
    if text.len() > 12 {
        return None;
    }
    for (place, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => amount = amount * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && place > 0 => point = Some(place),
            _ => return None,
        }
    }
    let places = match point {
        None if !text.is_empty() && text.len() <= WHOLE_DIGITS as usize => 0,
        None => return None,
        Some(point) => text.len() - point - 1,
    };
    let ten_thousandths = match places {
        0 if point.is_none() => amount * UNIT as u64,
        1 => amount * 1_000,
        2 => amount * 100,
        3 => amount * 10,
        4 => amount,
        _ => return None,
    };
    Some(Money(i128::from(ten_thousandths)))
}

fn any_money(text: &[u8]) -> Option<Money> {
    let (negative, unsigned) = sign(text);
    let (whole, rest) = digits(unsigned);
    let (fraction, rest) = match rest.strip_prefix(b".") {
        Some(rest) => {
            let (fraction, rest) = digits(rest);
            (!fraction.is_empty()).then_some((fraction, rest))?
        }
        None => (&b""[..], rest),
    };
    let exponent = match rest {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => integer(exponent)?,
        _ => return None,
    };
    if whole.is_empty() {
        return None;
    }
    let (Some(first), Some(last)) =
        (whole.iter().chain(fraction).position(|digit| *digit != b'0'), last_significant(whole, fraction))
    else {
        return Some(Money::ZERO);
    };
    // The value is the significant digits × 10^power.
    let count = (last - first) as i64 + 1;
    let power = (whole.len() as i64 - 1 - last as i64).saturating_add(exponent);
    if power < -PLACES || count.saturating_add(power) > WHOLE_DIGITS {
        return None;
    }
    let significant = whole.iter().chain(fraction).skip(first).take(count as usize);
    let amount = significant.fold(0_i128, |amount, digit| amount * 10 + i128::from(digit - b'0'))
        * 10_i128.pow((power + PLACES) as u32);
    Some(Money(if negative { -amount } else { amount }))
}

/// Place of the last digit that is not 0, counted through both parts.
fn last_significant(whole: &[u8], fraction: &[u8]) -> Option<usize> {
    let last = |digits: &[u8]| digits.iter().rposition(|digit| *digit != b'0');
    last(fraction).map(|place| whole.len() + place).or_else(|| last(whole))
}

/// The integer that `text` (trimmed) names, held within the range of `i64`; none where it is no integer.
pub fn integer(text: &[u8]) -> Option<i64> {
    let (negative, unsigned) = sign(text);
    let (digits, rest) = digits(unsigned);
    if digits.is_empty() || !rest.is_empty() {
        return None;
    }
    let held = |value: i64, digit: &u8| {
        let digit = i64::from(digit - b'0');
        value.saturating_mul(10).saturating_add(if negative { -digit } else { digit })
    };
    Some(digits.iter().fold(0, held))
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn money_by_value() {
        for (text, amount) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("-0.00000", Some(0)),
            ("0e99999999999999999999", Some(0)),
            ("7", Some(70_000)),
            ("+7.5", Some(75_000)),
            ("-0.0001", Some(-1)),
            ("1.50000", Some(15_000)),
            ("1e2", Some(1_000_000)),
            ("1E+2", Some(1_000_000)),
            ("12000e-3", Some(120_000)),
            ("0.000001e2", Some(1)),
            ("0.00000000000001e10", Some(1)),
            ("007.10", Some(71_000)),
            ("99999999999.9999", Some(999_999_999_999_999)),
            ("-99999999999.9999", Some(-999_999_999_999_999)),
            ("99999999999", Some(999_999_999_990_000)),
            ("000000000000000000000001", Some(10_000)),
            ("100000000000", None),
            ("-100000000000", None),
            ("100000000000.0", None),
            ("1e11", None),
            ("1e99999999999999999999", None),
            ("1e-99999999999999999999", None),
            ("1.00005", None),
            ("-0.00001", None),
            ("1e-5", None),
            ("10,5", None),
            ("1 0", None),
            ("NaN", None),
            ("Infinity", None),
            ("0x10", None),
            ("1_000", None),
            ("٣", None),
            (".5", None),
            ("5.", None),
            ("5.e1", None),
            ("1e", None),
            ("1e1.0", None),
            ("--1", None),
            ("+", None),
            ("1.2.3", None),
            ("", None),
        ] {
            assert_eq!(money(text.as_bytes()), amount.map(Money), "{text}");
        }
    }

    #[test]
    fn integers_are_no_decimals() {
        for (text, value) in [
            ("2", Some(2)),
            ("+2", Some(2)),
            ("-0", Some(0)),
            ("002", Some(2)),
            ("-70000", Some(-70_000)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("2.0", None),
            ("2e0", None),
            ("", None),
            ("-", None),
            ("x", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }

    /// The value by plain 128-bit arithmetic.
    fn oracle(negative: bool, whole: u64, fraction: &str, exponent: i32) -> Option<Money> {
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let power = exponent - fraction.len() as i32 + 4;
        let amount = if power >= 0 {
            digits.checked_mul(10_i128.checked_pow(power as u32)?)?
        } else {
            let divisor = 10_i128.checked_pow(power.unsigned_abs()).unwrap_or(i128::MAX);
            (digits % divisor == 0).then_some(digits / divisor)?
        };
        (amount < 100_000_000_000 * UNIT).then_some(Money(if negative { -amount } else { amount }))
    }

    proptest! {
        #[test]
        fn oracle_money_is_exact(
            negative: bool, whole in 0u64..1_000_000_000_000, fraction in "[0-9]{0,6}0{0,3}", exponent in -12i32..12
        ) {
            let sign = if negative { "-" } else { "" };
            let point = if fraction.is_empty() { "" } else { "." };
            let plain = format!("{sign}{whole}{point}{fraction}");
            prop_assert_eq!(money(plain.as_bytes()), oracle(negative, whole, &fraction, 0), "{}", plain);
            let scientific = format!("{plain}e{exponent}");
            prop_assert_eq!(money(scientific.as_bytes()), oracle(negative, whole, &fraction, exponent), "{}", scientific);
        }

        #[test]
        fn differential_the_fast_way_agrees_with_the_slow(text in "[+-]?[0-9]{0,13}\\.?[0-9]{0,6}(e[0-9])?") {
            if let Some(amount) = plain_money(text.as_bytes()) {
                prop_assert_eq!(Some(amount), any_money(text.as_bytes()));
            }
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            money(&bytes);
            integer(&bytes);
        }
    }
}

//! Money: exact decimals with at most four places (semantics.md, section 5); never floats.
//!
//! Invariant: a price or a payment has a magnitude below 10^11 (validation refuses more), so a price times a quantity
//! of at most 10^6 and sums over 10^17 of those fit in 128 bits.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

use serde::{Deserialize, Serialize};

use super::digits;

/// An amount in ten-thousandths of the currency's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(pub i128);

/// Ten-thousandths in one unit.
pub const UNIT: i128 = 10_000;

impl Money {
    /// The amount 0.
    pub const ZERO: Money = Money(0);

    /// The amount without trailing zeros (`2.5`, `7`), as in a fact's content.
    pub fn shortest(self) -> String {
        let (sign, whole, fraction) = self.parts();
        let digits = format!("{fraction:04}");
        match digits.trim_end_matches('0') {
            "" => format!("{sign}{whole}"),
            digits => format!("{sign}{whole}.{digits}"),
        }
    }

    /// This amount divided by `count`, rounded half up to two places; none when `count` is 0.
    pub fn average(self, count: i64) -> Option<Money> {
        Some(Money(divide_half_up(self.0, i128::from(count).checked_mul(100)?)? * 100))
    }

    fn parts(self) -> (&'static str, u128, u128) {
        let magnitude = self.0.unsigned_abs();
        (if self.0 < 0 { "-" } else { "" }, magnitude / UNIT as u128, magnitude % UNIT as u128)
    }
}

/// `numerator / denominator` rounded half up; none when the denominator is 0.
pub fn divide_half_up(numerator: i128, denominator: i128) -> Option<i128> {
    (denominator != 0).then(|| (2 * numerator + denominator).div_euclid(2 * denominator))
}

/// `100 × part / whole` in hundredths of a per cent, rounded half up; none when `whole` is 0.
pub fn percent_hundredths(part: i64, whole: i64) -> Option<i128> {
    divide_half_up(i128::from(part) * 10_000, i128::from(whole))
}

impl Money {
    /// Appends it in two to four places, as many as needed.
    pub fn push_to(self, text: &mut String) {
        let Ok(magnitude) = u64::try_from(self.0.unsigned_abs()) else { return self.push_large(text) };
        let (whole, fraction) = (magnitude / UNIT as u64, magnitude % UNIT as u64);
        if self.0 < 0 {
            text.push('-');
        }
        digits::push_padded(whole, 1, text);
        text.push('.');
        match fraction {
            _ if fraction.is_multiple_of(100) => digits::push_padded(fraction / 100, 2, text),
            _ if fraction.is_multiple_of(10) => digits::push_padded(fraction / 10, 3, text),
            _ => digits::push_padded(fraction, 4, text),
        }
    }

    /// The same for what few amounts need.
    #[cold]
    fn push_large(self, text: &mut String) {
        let (sign, whole, fraction) = self.parts();
        let places = format!("{fraction:04}");
        let needed = 2.max(places.trim_end_matches('0').len());
        text.extend([sign, &whole.to_string(), ".", &places[..needed]]);
    }
}

impl fmt::Display for Money {
    /// As [`Money::push_to`].
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.push_to(&mut text);
        formatter.write_str(&text)
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

impl Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl Neg for Money {
    type Output = Money;
    fn neg(self) -> Money {
        Money(-self.0)
    }
}

impl<N: Into<i128>> Mul<N> for Money {
    type Output = Money;
    fn mul(self, factor: N) -> Money {
        Money(self.0 * factor.into())
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_two_to_four_places() {
        for (amount, shown, shortest) in
            [(0, "0.00", "0"), (25_000, "2.50", "2.5"), (25_010, "2.501", "2.501"), (-1, "-0.0001", "-0.0001")]
        {
            assert_eq!((Money(amount).to_string(), Money(amount).shortest()), (shown.into(), shortest.into()));
        }
    }

    #[test]
    fn averages_round_half_up() {
        assert_eq!(Money(100_050).average(1), Some(Money(100_100)));
        assert_eq!(Money(100_049).average(1), Some(Money(100_000)));
        assert_eq!(Money(1).average(0), None);
        assert_eq!(percent_hundredths(1, 3), Some(3333));
        assert_eq!(percent_hundredths(2, 3), Some(6667));
    }
}

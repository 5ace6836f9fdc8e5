//! Durations as people write them: a whole number and one unit (`500ms`, `90s`, `15m`, `36h`, `7d`).
//!
//! Invariant: [`parse_duration`] reads back what [`format_duration`] writes. Days are 24 hours; there are no months.

use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

/// Units, longest first.
const UNITS: [(&str, u64); 5] = [("d", DAY_MS), ("h", HOUR_MS), ("m", MINUTE_MS), ("s", SECOND_MS), ("ms", 1)];

/// The milliseconds of a duration such as `90s`; otherwise a sentence that says what is wrong and what would be right.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    parse_or(text, "write a whole number and a unit, as in 500ms, 90s, 15m, 36h or 7d")
}

/// The same, where another `remedy` is to follow what is no duration.
pub fn parse_or(text: &str, remedy: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let known = UNITS.iter().find(|(name, _)| *name == unit && !number.is_empty());
    let (_, unit_ms) = known.ok_or_else(|| format!("`{text}` is no duration: {remedy}"))?;
    let milliseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
    milliseconds.ok_or_else(|| format!("`{text}` is too long a duration"))
}

/// The duration in the longest unit that divides it: `90s`, `36h`, `7d`.
pub fn format_duration(milliseconds: u64) -> String {
    let whole = UNITS.iter().find(|(_, unit_ms)| milliseconds > 0 && milliseconds.is_multiple_of(*unit_ms));
    match whole {
        Some((unit, unit_ms)) => format!("{}{unit}", milliseconds / unit_ms),
        None => "0s".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_every_unit_and_refuses_the_rest() {
        for (text, milliseconds) in
            [("500ms", 500), ("90s", 90_000), ("15m", 900_000), ("36h", 129_600_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(parse_duration(text), Ok(milliseconds), "{text}");
        }
        for text in ["", "5", "s", "5x", "-5s", "1.5h", "1h30m", "5 s", " 5s", "5S", "٣s"] {
            let message = parse_duration(text).unwrap_err();
            assert!(message.starts_with(&format!("`{text}` is no duration")), "{message}");
        }
        for text in ["99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), Err(format!("`{text}` is too long a duration")));
        }
    }

    #[test]
    fn writes_the_longest_unit_that_divides() {
        for (milliseconds, text) in [(0, "0s"), (1, "1ms"), (60_000, "1m"), (90_000, "90s"), (86_400_000, "1d")] {
            assert_eq!(format_duration(milliseconds), text);
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(milliseconds: u64) {
            prop_assert_eq!(parse_duration(&format_duration(milliseconds)), Ok(milliseconds));
        }
    }
}

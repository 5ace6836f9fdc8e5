//! Instants as people write and read them: UTC, in three forms.
//!
//! Invariant: [`parse_instant`] reads back what [`format_instant`] writes. Digits beyond milliseconds are cut; leap
//! seconds, times before 1970 and years beyond 9999 are refused. For flags and the console only: records have their own rules.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Utc};
use dataflows::time::Time;

/// Reads RFC 3339 (`2018-01-01T12:00:00Z`, any offset), `2018-01-01 12:00:00` (UTC) or `2018-01-01` (midnight UTC).
pub fn parse_instant(text: &str) -> Result<Time, String> {
    let day = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|day| day.and_time(NaiveTime::MIN));
    let second = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f");
    let instant =
        DateTime::parse_from_rfc3339(text).map(|instant| instant.naive_utc()).or_else(|_| second().or_else(|_| day()));
    let is_meant = |instant: &NaiveDateTime| instant.nanosecond() < 1_000_000_000 && instant.year() <= 9_999;
    let instant = instant.ok().filter(is_meant).ok_or_else(|| {
        format!("`{text}` is no time: write 2018-01-01, \"2018-01-01 12:00:00\" (UTC) or 2018-01-01T12:00:00+01:00")
    })?;
    Time::try_from(instant.and_utc().timestamp_millis()).map_err(|_| format!("`{text}` is before 1970"))
}

/// Writes RFC 3339 in UTC with milliseconds, as every output does; a time beyond the calendar as its milliseconds.
pub fn format_instant(time: Time) -> String {
    let instant = i64::try_from(time).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    instant.map_or_else(|| format!("{time} ms"), |instant| instant.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_three_forms() {
        let noon = 1_514_808_000_000;
        for text in
            ["2018-01-01T12:00:00Z", "2018-01-01T13:00:00+01:00", "2018-01-01 12:00:00", "2018-01-01 12:00:00.0009"]
        {
            assert_eq!(parse_instant(text), Ok(noon), "{text}");
        }
        assert_eq!(parse_instant("2018-01-01"), Ok(noon - 43_200_000));
        for text in [
            "",
            "yesterday",
            "2018-02-29",
            "2018-01-01 24:00:00",
            "2016-12-31T23:59:60Z",
            "2018-01-01 12:00",
            "1514808000",
            "+22024-02-20 01:00:00",
        ] {
            assert!(parse_instant(text).unwrap_err().contains("is no time"), "{text}");
        }
        assert_eq!(parse_instant("1969-12-31").unwrap_err(), "`1969-12-31` is before 1970");
    }

    #[test]
    fn writes_milliseconds_in_utc() {
        assert_eq!(format_instant(1_514_808_000_001), "2018-01-01T12:00:00.001Z");
        assert_eq!(parse_instant(&format_instant(1_514_808_000_001)), Ok(1_514_808_000_001));
        assert_eq!(format_instant(u64::MAX), "18446744073709551615 ms");
    }
}

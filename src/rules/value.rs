//! The values of a rule's keys, each with an error that says what to write instead.

use std::borrow::Cow;

use dataflows::model::{Sla, Text, Within};
use dataflows::time::{DAY_MS, Time};
use toml::Spanned;
use toml::de::DeValue;
use toml::value::{Date, Offset};

use super::{MAX_WITHIN_MS, Misplaced, nearest, parse_duration};
use crate::validate::{Cell, Check, Limits, timestamp};

/// A key and where it stands.
pub(super) type Key<'i> = Spanned<Cow<'i, str>>;
type Value<'i> = Spanned<DeValue<'i>>;

/// An error at a value.
pub(super) fn error(value: &Value<'_>, message: impl Into<String>) -> Misplaced {
    Misplaced { offset: value.span().start, message: message.into() }
}

fn text<'v>(value: &'v Value<'_>, key: &str) -> Result<&'v str, Misplaced> {
    match value.get_ref().as_str().map(str::trim) {
        Some("") => Err(error(value, format!("`{key}` is empty: write a value or remove the line"))),
        Some(text) => Ok(text),
        None => {
            let kind = value.get_ref().type_str();
            Err(error(value, format!("`{key}` must be text in quotes, this is of type {kind}")))
        }
    }
}

pub(super) fn sla(value: &Value<'_>) -> Result<Sla, Misplaced> {
    let name = text(value, "sla")?;
    Sla::ALL.into_iter().find(|sla| sla.name() == name).ok_or_else(|| {
        let near = nearest(name, &Sla::ALL.map(Sla::name));
        error(value, format!("unknown sla `{name}`{near}: write processing, shipping or delivery"))
    })
}

pub(super) fn within(value: &Value<'_>) -> Result<Within, Misplaced> {
    let how = "write a duration such as \"36h\", or \"off\"";
    let duration = text(value, "within")?;
    if duration == "off" {
        return Ok(Within::Off);
    }
    let is_negative = duration.strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_ok());
    if is_negative || parse_duration(duration) == Ok(0) {
        return Err(error(value, format!("`within` must be more than 0, this is `{duration}`: {how}")));
    }
    match parse_duration(duration) {
        Ok(allowed_ms) if allowed_ms <= MAX_WITHIN_MS => Ok(Within::Allowed(allowed_ms)),
        Ok(_) => {
            let most = MAX_WITHIN_MS / DAY_MS;
            Err(error(
                value,
                format!("`within` is over 10 years ({most}d), this is `{duration}`: write less, or \"off\""),
            ))
        }
        Err(message) => Err(error(value, format!("{message}, or \"off\""))),
    }
}

pub(super) fn tenant(value: &Value<'_>) -> Result<Text, Misplaced> {
    let name = text(value, "tenant")?;
    if name == "*" {
        return Err(error(value, "tenant `*` is not legal: for every tenant remove the line"));
    }
    let limits = Limits::at(0);
    Check::new(&limits)
        .tenant("tenant", &Cell::of_text(name))
        .ok_or_else(|| error(value, "bad tenant: at most 128 characters, no control characters"))
}

pub(super) fn category(value: &Value<'_>) -> Result<Text, Misplaced> {
    match text(value, "category")? {
        "unknown" => Err(error(
            value,
            "category `unknown` stands for items without one, which only rules without category match: remove the line",
        )),
        name => Ok(Text::new(name)),
    }
}

pub(super) fn applies_to_open(value: &Value<'_>) -> Result<bool, Misplaced> {
    match text(value, "apply")? {
        "open" => Ok(true),
        "new" => Ok(false),
        other => Err(error(value, format!("unknown value `{other}` of `apply`: write \"new\" or \"open\""))),
    }
}

pub(super) fn valid_from(value: &Value<'_>) -> Result<Time, Misplaced> {
    let DeValue::Datetime(datetime) = value.get_ref() else {
        return Err(error(value, "`valid_from` must be a date and time without quotes, such as 2024-03-10T00:00:00Z"));
    };
    let (Some(date), Some(time)) = (datetime.date, datetime.time) else {
        return Err(error(value, "`valid_from` needs both date and time, such as 2024-03-10T00:00:00Z"));
    };
    let local_ms = local_ms(date, time)
        .ok_or_else(|| error(value, "`valid_from` is no time: hours go to 23, minutes and seconds to 59"))?;
    let ahead_ms = match datetime.offset {
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60_000,
        Some(Offset::Z) | None => 0,
    };
    Time::try_from(local_ms - ahead_ms)
        .map_err(|_| error(value, "`valid_from` is before 1970: remove the line for a rule that always has been"))
}

/// Milliseconds since 1970 as the local clock shows them.
fn local_ms(date: Date, time: toml::value::Time) -> Option<i64> {
    let day = timestamp::days_since_1970(date.year.into(), date.month.into(), date.day.into())?;
    let second = time.second.unwrap_or(0);
    if time.hour > 23 || time.minute > 59 || second > 59 {
        return None;
    }
    let seconds = (i64::from(time.hour) * 60 + i64::from(time.minute)) * 60 + i64::from(second);
    Some(day * DAY_MS as i64 + seconds * 1000 + i64::from(time.nanosecond.unwrap_or(0) / 1_000_000))
}

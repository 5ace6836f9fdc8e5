//! Cells as text (outputs.md): times in RFC 3339 with milliseconds, money with two to four places, rates with two,
//! durations in seconds, empty for null. And rows as JSON: whole numbers and booleans are JSON's own, no value is null,
//! and everything else is its text as a string, so that no reader's floating point can round a decimal.

use std::fmt::Write;
use std::io;

use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Time};
use dataflows::views::collection::{Cell, Column, ColumnType};
use dataflows::views::sla_breaches::civil_date;

/// Appends a row as a JSON object, keys in the order of columns.
pub fn write_object<T: AsRef<str>>(
    columns: &[Column],
    cells: impl Iterator<Item = T>,
    json: &mut Vec<u8>,
) -> io::Result<()> {
    for (place, (column, cell)) in columns.iter().zip(cells).enumerate() {
        json.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        // Names of columns are Rust's own: nothing in them needs escaping.
        json.extend_from_slice(column.name.as_bytes());
        json.extend_from_slice(b"\":");
        let text = cell.as_ref();
        let is_integer = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        match column.column_type {
            _ if is_null(column, text) => json.extend_from_slice(b"null"),
            ColumnType::Integer if is_integer() => json.extend_from_slice(text.as_bytes()),
            ColumnType::Boolean if matches!(text, "true" | "false") => json.extend_from_slice(text.as_bytes()),
            _ => serde_json::to_writer(&mut *json, text)?,
        }
    }
    json.push(b'}');
    Ok(())
}

/// True where this text of a cell says that there is no value.
pub fn is_null(column: &Column, text: &str) -> bool {
    text.is_empty() && (column.is_optional || column.column_type != ColumnType::Text)
}

/// The number that a decimal with at most so many places is, in units of the last of them.
pub fn decimal(text: &str, places: usize) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = places.checked_sub(fraction.len())?;
    format!("{whole}{fraction}").parse::<i128>().ok()?.checked_mul(10_i128.pow(missing as u32))
}

/// Appends a cell's text.
pub fn write_text(cell: &Cell<'_>, text: &mut String) {
    // Writing to a string does not fail.
    let _ = match cell {
        Cell::Null => Ok(()),
        Cell::Text(value) => {
            text.push_str(value.as_str_in(&mut [0; 32]));
            Ok(())
        }
        Cell::Word(word) => {
            text.push_str(word);
            Ok(())
        }
        Cell::Sentence(sentence) => {
            text.push_str(sentence);
            Ok(())
        }
        Cell::Time(time) => {
            write_time(*time, text);
            Ok(())
        }
        Cell::Integer(number) => {
            write_integer(*number, text);
            Ok(())
        }
        Cell::Money(money) => write!(text, "{money}"),
        Cell::Hundredths(hundredths) => {
            let sign = if *hundredths < 0 { "-" } else { "" };
            let magnitude = hundredths.unsigned_abs();
            write!(text, "{sign}{}.{:02}", magnitude / 100, magnitude % 100)
        }
        Cell::Milliseconds(milliseconds) => {
            let sign = if *milliseconds < 0 { "-" } else { "" };
            let magnitude = milliseconds.unsigned_abs();
            match magnitude % SECOND_MS {
                0 => write!(text, "{sign}{}", magnitude / SECOND_MS),
                fraction => {
                    let fraction = format!("{fraction:03}");
                    write!(text, "{sign}{}.{}", magnitude / SECOND_MS, fraction.trim_end_matches('0'))
                }
            }
        }
        Cell::Boolean(value) => write!(text, "{value}"),
    };
}

/// Far quicker than formatting, which shows where there are millions of rows.
fn write_integer(number: i64, text: &mut String) {
    let (mut digits, mut left, mut start) = ([0; 20], number.unsigned_abs(), 20);
    while left > 0 || start == 20 {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    if number < 0 {
        text.push('-');
    }
    text.push_str(std::str::from_utf8(&digits[start..]).unwrap_or_default());
}

fn write_time(time: Time, text: &mut String) {
    let (year, month, day) = civil_date(time / DAY_MS);
    let clock_ms = time % DAY_MS;
    // Digits go to their places from the end on.
    let mut instant = *b"0000-00-00T00:00:00.000Z";
    let mut number = |mut value: u64, places: std::ops::Range<usize>| {
        for place in places.rev() {
            instant[place] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    number(year, 0..4);
    number(month, 5..7);
    number(day, 8..10);
    number(clock_ms / HOUR_MS, 11..13);
    number(clock_ms / MINUTE_MS % 60, 14..16);
    number(clock_ms / SECOND_MS % 60, 17..19);
    number(clock_ms % SECOND_MS, 20..23);
    text.push_str(std::str::from_utf8(&instant).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::model::Money;

    #[test]
    fn cells_read_as_the_outputs_specification_says() {
        for (cell, shown) in [
            (Cell::Null, ""),
            (Cell::Time(1_506_941_793_000), "2017-10-02T10:56:33.000Z"),
            (Cell::Time(1_709_251_199_999), "2024-02-29T23:59:59.999Z"),
            (Cell::Money(Money(25_010)), "2.501"),
            (Cell::Hundredths(6667), "66.67"),
            (Cell::Milliseconds(1), "0.001"),
            (Cell::Milliseconds(172_800_000), "172800"),
            (Cell::Milliseconds(1_500), "1.5"),
            (Cell::Boolean(true), "true"),
            (Cell::Integer(-3), "-3"),
        ] {
            let mut text = String::new();
            write_text(&cell, &mut text);
            assert_eq!(text, shown);
        }
    }

    #[test]
    fn json_rounds_nothing_and_escapes_what_must_be() {
        let column = |(name, column_type)| Column { name, column_type, ..dataflows::views::COLLECTIONS[0].columns[0] };
        let columns = [
            ("text", ColumnType::Text),
            ("money", ColumnType::Money),
            ("rate", ColumnType::Hundredths),
            ("seconds", ColumnType::Seconds),
            ("at", ColumnType::Time),
            ("count", ColumnType::Integer),
            ("late", ColumnType::Boolean),
            ("none", ColumnType::Time),
            ("empty", ColumnType::Text),
        ]
        .map(column);
        let row = [
            Cell::Sentence("2 × \"x\",\n\u{1}"),
            Cell::Money(Money(i128::MAX)),
            Cell::Hundredths(6660),
            Cell::Milliseconds(1_500),
            Cell::Time(0),
            Cell::Integer(i64::MIN),
            Cell::Boolean(false),
            Cell::Null,
            Cell::Sentence(""),
        ];
        let texts = row.iter().map(|cell| {
            let mut text = String::new();
            write_text(cell, &mut text);
            text
        });
        let mut json = Vec::new();
        write_object(&columns, texts, &mut json).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            "{\"text\":\"2 × \\\"x\\\",\\n\\u0001\",\"money\":\"17014118346046923173168730371588410.5727\",\
             \"rate\":\"66.60\",\"seconds\":\"1.5\",\"at\":\"1970-01-01T00:00:00.000Z\",\
             \"count\":-9223372036854775808,\"late\":false,\"none\":null,\"empty\":\"\"}"
        );
    }
}

//! Cells as text (outputs.md): times in RFC 3339 with milliseconds, money with two to four places, rates with two,
//! durations in seconds, empty for null. And rows as JSON: whole numbers and booleans are JSON's own, no value is null,
//! and everything else is its text as a string, so that no reader's floating point can round a decimal.

use std::io;

use dataflows::model::digits::{self, Rfc3339};
use dataflows::time::SECOND_MS;
use dataflows::views::collection::{Cell, Column, ColumnType};

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
#[inline(always)] // of a cell whose kind is known nothing is left to be told apart
pub fn write_text(cell: &Cell<'_>, text: &mut String) {
    match cell {
        Cell::Null => {}
        Cell::Text(value) => text.push_str(value.as_str_in(&mut [0; 32])),
        Cell::Word(word) => text.push_str(word),
        Cell::Sentence(sentence) => text.push_str(sentence),
        Cell::Time(time) => text.push_str(Rfc3339::of(*time).as_str()),
        Cell::Integer(number) => digits::push_integer(*number, text),
        Cell::Money(money) => money.push_to(text),
        Cell::Hundredths(hundredths) => write_hundredths(*hundredths, text),
        Cell::Milliseconds(milliseconds) => write_seconds(*milliseconds, text),
        Cell::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
    }
}

fn write_hundredths(hundredths: i128, text: &mut String) {
    let magnitude = hundredths.unsigned_abs();
    if hundredths < 0 {
        text.push('-');
    }
    match u64::try_from(magnitude / 100) {
        Ok(whole) => digits::push_padded(whole, 1, text),
        Err(_) => text.push_str(&(magnitude / 100).to_string()),
    }
    text.push('.');
    digits::push_padded((magnitude % 100) as u64, 2, text);
}

fn write_seconds(milliseconds: i64, text: &mut String) {
    let magnitude = milliseconds.unsigned_abs();
    if milliseconds < 0 {
        text.push('-');
    }
    digits::push_padded(magnitude / SECOND_MS, 1, text);
    match magnitude % SECOND_MS {
        0 => {}
        fraction => {
            text.push('.');
            digits::push_padded(fraction, 3, text);
            text.truncate(text.trim_end_matches('0').len());
        }
    }
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

//! Rows read back from what each sink wrote, as the text of the CSV file.

use std::fs;
use std::path::Path;

use dataflows::model::Money;
use dataflows::views::collection::{Cell, Collection};
use orderwatch::sink::cell;
use parquet::file::reader::SerializedFileReader;
use parquet::record::Field;
use rusqlite::Connection;
use rusqlite::types::Value;

pub type Rows = Vec<Vec<String>>;

pub fn csv(directory: &Path, collection: &Collection) -> Rows {
    let mut reader = csv::Reader::from_path(directory.join(format!("{}.csv", collection.name))).unwrap();
    let names: Vec<&str> = collection.columns.iter().map(|column| column.name).collect();
    assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), names);
    reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Keys must come in the order of columns: the text is read, not a map.
pub fn jsonl(directory: &Path, collection: &Collection) -> Rows {
    let text = fs::read_to_string(directory.join(format!("{}.jsonl", collection.name))).unwrap();
    let row = |line: &str| {
        let mut rest = line.strip_prefix('{').unwrap();
        let mut row = Vec::new();
        for (place, column) in collection.columns.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            rest = rest.strip_prefix(&format!("{comma}\"{}\":", column.name)).unwrap_or_else(|| panic!("{line}"));
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
            let value = values.next().unwrap().unwrap();
            rest = &rest[values.byte_offset()..];
            row.push(match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            });
        }
        assert_eq!(rest, "}");
        row
    };
    text.lines().map(row).collect()
}

pub fn sqlite(connection: &Connection, name: &str) -> Rows {
    let mut statement = connection.prepare(&format!("SELECT * FROM {name}")).unwrap();
    let columns = statement.column_count();
    let text = |value: Value| match value {
        Value::Null => String::new(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text,
        Value::Blob(_) => panic!("{name} holds bytes"),
    };
    let rows = statement.query_map([], |row| (0..columns).map(|place| Ok(text(row.get(place)?))).collect());
    rows.unwrap().map(Result::unwrap).collect()
}

pub fn parquet(directory: &Path, collection: &Collection) -> Rows {
    let file = fs::File::open(directory.join(format!("{}.parquet", collection.name))).unwrap();
    let rows = SerializedFileReader::new(file).unwrap().into_iter();
    let row = |row: parquet::record::Row| {
        let names: Vec<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, collection.columns.iter().map(|column| column.name).collect::<Vec<_>>());
        row.get_column_iter().map(|(_, field)| text(&cell(field))).collect()
    };
    rows.map(|read| row(read.unwrap())).collect()
}

fn text(cell: &Cell<'_>) -> String {
    let mut text = String::new();
    cell::write_text(cell, &mut text);
    text
}

fn cell(field: &Field) -> Cell<'_> {
    match field {
        Field::Null => Cell::Null,
        Field::Str(text) => Cell::Sentence(text),
        Field::Long(number) => Cell::Integer(*number),
        Field::Bool(value) => Cell::Boolean(*value),
        Field::TimestampMillis(at) => Cell::Time(*at as u64),
        Field::Decimal(decimal) => {
            let bytes = decimal.data();
            let sign = if bytes[0] >= 0x80 { -1_i128 } else { 0 };
            let number = bytes.iter().fold(sign, |number, byte| number << 8 | i128::from(*byte));
            match decimal.scale() {
                4 => Cell::Money(Money(number)),
                2 => Cell::Hundredths(number),
                3 => Cell::Milliseconds(number as i64),
                scale => panic!("a decimal with {scale} places"),
            }
        }
        other => panic!("{other:?}"),
    }
}

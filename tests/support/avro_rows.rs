//! Rows of changelogs in Avro, read by the library: writer and reader share no logic.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use dataflows::model::Money;
use dataflows::views::collection::{Cell, Collection, ColumnType};
use orderwatch::sink::cell::write_text;

/// The text of a row's cells.
pub fn cells(collection: &Collection, schema: &str, mut datum: &[u8]) -> Vec<String> {
    let schema = Schema::parse_str(schema).unwrap();
    let read = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap();
    assert!(datum.is_empty(), "bytes are left over");
    let Value::Record(fields) = read else { panic!("no record: {read:?}") };
    assert_eq!(fields.len(), collection.columns.len());
    let cells = collection.columns.iter().zip(fields).map(|(column, (name, value))| {
        assert_eq!(name, column.name);
        let value = match value {
            Value::Union(_, value) => *value,
            value => value,
        };
        let cell = match (column.column_type, &value) {
            (_, Value::Null) => Cell::Null,
            (ColumnType::Text, Value::String(text)) => Cell::Sentence(text),
            (ColumnType::Time, Value::TimestampMillis(at)) => Cell::Time(*at as u64),
            (ColumnType::Integer, Value::Long(number)) => Cell::Integer(*number),
            (ColumnType::Boolean, Value::Boolean(truth)) => Cell::Boolean(*truth),
            (column_type, Value::Decimal(decimal)) => {
                let bytes: Vec<u8> = decimal.try_into().unwrap();
                let unscaled = bytes.iter().fold(-i128::from(bytes[0] >> 7), |sum, byte| sum << 8 | i128::from(*byte));
                match column_type {
                    ColumnType::Money => Cell::Money(Money(unscaled)),
                    ColumnType::Hundredths => Cell::Hundredths(unscaled),
                    _ => Cell::Milliseconds(unscaled as i64),
                }
            }
            other => panic!("{name}: {other:?}"),
        };
        let mut text = String::new();
        write_text(&cell, &mut text);
        text
    });
    cells.collect()
}

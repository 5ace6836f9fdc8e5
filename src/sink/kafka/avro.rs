//! Rows of changelogs in Avro: the schema follows from the columns' types, exactly, as in Parquet: times in UTC
//! milliseconds, amounts as decimals.

use apache_avro::Decimal;
use apache_avro::types::Value;
use dataflows::views::collection::{Collection, Column, ColumnType};
use serde_json::json;

use crate::sink::cell;
use crate::sink::text_row::TextRow;
use crate::validate::timestamp;

/// The schema of a collection's rows, as JSON.
pub fn schema(collection: &Collection) -> String {
    let decimal =
        |precision, scale| json!({ "type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale });
    let fields = collection.columns.iter().map(|column| {
        let held = match column.column_type {
            ColumnType::Text => json!("string"),
            ColumnType::Time => json!({ "type": "long", "logicalType": "timestamp-millis" }),
            ColumnType::Integer => json!("long"),
            ColumnType::Money => decimal(38, 4),
            ColumnType::Hundredths => decimal(38, 2),
            ColumnType::Seconds => decimal(18, 3),
            ColumnType::Boolean => json!("boolean"),
        };
        let doc = column.doc.trim();
        match column.is_optional {
            true => json!({ "name": column.name, "doc": doc, "type": ["null", held], "default": null }),
            false => json!({ "name": column.name, "doc": doc, "type": held }),
        }
    });
    let fields: Vec<_> = fields.collect();
    let (name, doc) = (collection.name, collection.doc.trim());
    json!({ "type": "record", "name": name, "namespace": "orderwatch", "doc": doc, "fields": fields }).to_string()
}

/// A row by that schema; none where a cell does not fit its column.
pub fn row(columns: &[Column], row: &str) -> Option<Value> {
    let fields = columns.iter().zip(TextRow::new(row).cells()).map(|(column, text)| {
        let value = match cell::is_null(column, &text) {
            true => Value::Null,
            false => value(column.column_type, &text)?,
        };
        let value = match column.is_optional {
            true => Value::Union(u32::from(value != Value::Null), Box::new(value)),
            false => value,
        };
        Some((column.name.to_owned(), value))
    });
    Some(Value::Record(fields.collect::<Option<_>>()?))
}

fn value(column_type: ColumnType, text: &str) -> Option<Value> {
    let decimal = |places| {
        let bytes = cell::decimal(text, places)?.to_be_bytes();
        // Bytes that only repeat the sign are left out, as Java does.
        let signs = bytes.windows(2).take_while(|pair| matches!(pair, [0, 0..=0x7f] | [0xff, 0x80..=0xff])).count();
        Some(Value::Decimal(Decimal::from(&bytes[signs..])))
    };
    match column_type {
        ColumnType::Text => Some(Value::String(text.to_owned())),
        ColumnType::Time => Some(Value::TimestampMillis(timestamp::parse(text.as_bytes())?.try_into().ok()?)),
        ColumnType::Integer => Some(Value::Long(text.parse().ok()?)),
        ColumnType::Money => decimal(4),
        ColumnType::Hundredths => decimal(2),
        ColumnType::Seconds => decimal(3),
        ColumnType::Boolean => Some(Value::Boolean(text.parse().ok()?)),
    }
}

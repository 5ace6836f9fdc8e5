//! Rows of a Parquet file, each cell as the text that the CSV file has.
//!
//! Invariant: what no row of ours holds is an error, as is damage over which the library that reads the file panics.
//! Limits: pages have no checksums, so damage that makes another value of a value is not seen.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Once;

use dataflows::model::Money;
use dataflows::views::collection::{Cell, Column, ColumnType};
use parquet::data_type::Decimal;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};

use super::store::{OTHER_COLUMNS, Row, Rows, cannot_read};
use crate::error::JobResult;
use crate::sink::cell;

thread_local! {
    /// True while this thread reads what may be damaged.
    static READS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Every row of the file, in its order; no more than a page of each column is in memory.
pub fn rows(path: PathBuf, file: File, columns: &'static [Column]) -> JobResult<Rows> {
    hush();
    let reader = caught(|| SerializedFileReader::new(file)).map_err(|error| cannot_read(&path, &error))?;
    let found = reader.metadata().file_metadata().schema_descr().columns();
    if found.iter().map(|column| column.path().string()).ne(columns.iter().map(|column| column.name)) {
        return Err(cannot_read(&path, &OTHER_COLUMNS));
    }
    let mut records = reader.into_iter();
    Ok(Box::new(std::iter::from_fn(move || {
        let read = caught(|| records.next().transpose()?.map(|record| row(&record, columns)).transpose());
        read.map_err(|error| cannot_read(&path, &error)).transpose()
    })))
}

/// Has panics of what reads say nothing from now on; all others are told as ever.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if !READS.get() {
                usual(panicked);
            }
        }));
    });
}

/// Reads; a panic is said as an error, and nowhere else.
fn caught<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    READS.set(true);
    let read = panic::catch_unwind(AssertUnwindSafe(read));
    READS.set(false);
    read.unwrap_or_else(|_| Err(ParquetError::General("the file is damaged".to_owned())))
}

fn row(record: &Record, columns: &[Column]) -> Result<Row> {
    let texts = record.get_column_iter().zip(columns).map(|((_, field), column)| text(field, column.column_type));
    texts.collect::<Option<Row>>().ok_or_else(|| ParquetError::General(OTHER_COLUMNS.to_owned()))
}

/// A field as text; none where a column of this type holds no such field.
fn text(field: &Field, column_type: ColumnType) -> Option<String> {
    let cell = match (field, column_type) {
        (Field::Null, _) => Cell::Null,
        (Field::Str(text), ColumnType::Text) => Cell::Sentence(text),
        (Field::TimestampMillis(at), ColumnType::Time) => Cell::Time(u64::try_from(*at).ok()?),
        (Field::Long(number), ColumnType::Integer) => Cell::Integer(*number),
        (Field::Bool(value), ColumnType::Boolean) => Cell::Boolean(*value),
        (Field::Decimal(decimal), ColumnType::Money) => Cell::Money(Money(units(decimal, 4)?)),
        (Field::Decimal(decimal), ColumnType::Hundredths) => Cell::Hundredths(units(decimal, 2)?),
        (Field::Decimal(decimal), ColumnType::Seconds) => Cell::Milliseconds(units(decimal, 3)?.try_into().ok()?),
        _ => return None,
    };
    let mut text = String::new();
    cell::write_text(&cell, &mut text);
    Some(text)
}

/// The number that a decimal with so many places is, in units of the last of them.
fn units(decimal: &Decimal, places: i32) -> Option<i128> {
    let bytes = decimal.data();
    let sign = if *bytes.first()? < 0x80 { 0_i128 } else { -1 };
    let fits = decimal.scale() == places && bytes.len() <= size_of::<i128>();
    fits.then(|| bytes.iter().fold(sign, |number, byte| number << 8 | i128::from(*byte)))
}

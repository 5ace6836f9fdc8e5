//! Parquet: the schema follows from the columns' types, exactly: times in UTC milliseconds, amounts as decimals.
//!
//! Columns are required unless rows may lack a value. Invariant: no more than one row group is held in memory, and where
//! it ends depends on the rows alone, so equal rows make equal bytes. Limits: decimals beyond 38 digits, which no sum
//! reaches (`dataflows/src/model/money.rs`).

use std::fs::File;
use std::io;
use std::sync::Arc;

use dataflows::views::collection::{Column, ColumnType};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::RowWriter;
use crate::sink::cell;
use crate::sink::text_row::TextRow;
use crate::validate::timestamp;

/// A row group ends with so many rows, or so many bytes of text, whichever comes first.
const GROUP_ROWS_MAX: usize = 1 << 16;
const GROUP_TEXT_BYTES_MAX: usize = 1 << 25;
/// Digits of a decimal of 16 bytes, and of one of eight.
const WIDE_DIGITS: i32 = 38;
const NARROW_DIGITS: i32 = 18;

pub struct Writer {
    file: SerializedFileWriter<File>,
    columns: Vec<Values>,
    rows: usize,
    text_bytes: usize,
}

/// A column of the row group that is being gathered.
struct Values {
    column: Column,
    present: Present,
    /// Of an optional column 1 for each row that has a value, 0 for each that has none.
    levels: Option<Vec<i16>>,
}

/// The values that are there, in rows' order.
enum Present {
    Texts(Vec<ByteArray>),
    Integers(Vec<i64>),
    Decimals(Vec<FixedLenByteArray>),
    Booleans(Vec<bool>),
}

impl Writer {
    pub fn start(columns: &[Column], file: File) -> io::Result<Writer> {
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let schema = schema(columns).map_err(as_io)?;
        let file = SerializedFileWriter::new(file, schema, Arc::new(properties)).map_err(as_io)?;
        Ok(Writer { file, columns: columns.iter().map(Values::of).collect(), rows: 0, text_bytes: 0 })
    }

    fn write_group(&mut self) -> Result<()> {
        if self.rows > 0 {
            let mut group = self.file.next_row_group()?;
            for values in &mut self.columns {
                let Some(mut column) = group.next_column()? else { break };
                values.write_to(&mut column)?;
                column.close()?;
            }
            group.close()?;
            (self.rows, self.text_bytes) = (0, 0);
        }
        Ok(())
    }
}

impl RowWriter for Writer {
    fn write(&mut self, row: TextRow<'_>) -> io::Result<()> {
        for (values, cell) in self.columns.iter_mut().zip(row.cells()) {
            self.text_bytes += values.push(&cell)?;
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS_MAX || self.text_bytes >= GROUP_TEXT_BYTES_MAX {
            self.write_group().map_err(as_io)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write_group().and_then(|()| self.file.finish().map(drop)).map_err(as_io)
    }
}

/// True where a file holds these columns.
pub fn wrote(columns: &[Column], file: File) -> bool {
    SerializedFileReader::new(file).is_ok_and(|reader| {
        let found = reader.metadata().file_metadata().schema_descr().columns();
        found.iter().map(|column| column.path().string()).eq(columns.iter().map(|column| column.name))
    })
}

fn schema(columns: &[Column]) -> Result<TypePtr> {
    let fields: Result<Vec<TypePtr>> = columns.iter().map(|column| field(column).map(Arc::new)).collect();
    Ok(Arc::new(Type::group_type_builder("rows").with_fields(fields?).build()?))
}

fn field(column: &Column) -> Result<Type> {
    let decimal = |scale, digits| Some(LogicalType::decimal(scale, digits));
    let (physical, logical, digits, scale) = match column.column_type {
        ColumnType::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String), 0, 0),
        ColumnType::Time => (PhysicalType::INT64, Some(LogicalType::timestamp(true, TimeUnit::MILLIS)), 0, 0),
        ColumnType::Integer => (PhysicalType::INT64, None, 0, 0),
        ColumnType::Money => (PhysicalType::FIXED_LEN_BYTE_ARRAY, decimal(4, WIDE_DIGITS), WIDE_DIGITS, 4),
        ColumnType::Hundredths => (PhysicalType::FIXED_LEN_BYTE_ARRAY, decimal(2, WIDE_DIGITS), WIDE_DIGITS, 2),
        ColumnType::Seconds => (PhysicalType::INT64, decimal(3, NARROW_DIGITS), NARROW_DIGITS, 3),
        ColumnType::Boolean => (PhysicalType::BOOLEAN, None, 0, 0),
    };
    let length = if physical == PhysicalType::FIXED_LEN_BYTE_ARRAY { size_of::<i128>() as i32 } else { -1 };
    let repetition = if column.is_optional { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let builder = Type::primitive_type_builder(column.name, physical).with_repetition(repetition);
    let builder = builder.with_logical_type(logical).with_length(length);
    if digits > 0 { builder.with_precision(digits).with_scale(scale).build() } else { builder.build() }
}

impl Values {
    fn of(column: &Column) -> Values {
        let present = match column.column_type {
            ColumnType::Text => Present::Texts(Vec::new()),
            ColumnType::Time | ColumnType::Integer | ColumnType::Seconds => Present::Integers(Vec::new()),
            ColumnType::Money | ColumnType::Hundredths => Present::Decimals(Vec::new()),
            ColumnType::Boolean => Present::Booleans(Vec::new()),
        };
        Values { column: *column, present, levels: column.is_optional.then(Vec::new) }
    }

    /// Takes a row's value; how many bytes of text that is.
    fn push(&mut self, text: &str) -> io::Result<usize> {
        let is_null = cell::is_null(&self.column, text);
        if let Some(levels) = &mut self.levels {
            levels.push(i16::from(!is_null));
            if is_null {
                return Ok(0);
            }
        }
        let misfit = || io::Error::new(io::ErrorKind::InvalidData, "a value does not fit its column");
        match (&mut self.present, self.column.column_type) {
            (Present::Texts(texts), _) => {
                texts.push(text.into());
                return Ok(text.len());
            }
            (Present::Integers(integers), ColumnType::Time) => {
                integers.push(timestamp::parse(text.as_bytes()).ok_or_else(misfit)? as i64);
            }
            (Present::Integers(integers), ColumnType::Seconds) => {
                integers.push(cell::decimal(text, 3).and_then(|seconds| seconds.try_into().ok()).ok_or_else(misfit)?);
            }
            (Present::Integers(integers), _) => integers.push(text.parse().map_err(|_| misfit())?),
            (Present::Decimals(decimals), column_type) => {
                let places = if column_type == ColumnType::Money { 4 } else { 2 };
                decimals.push(cell::decimal(text, places).ok_or_else(misfit)?.to_be_bytes().to_vec().into());
            }
            (Present::Booleans(booleans), _) => booleans.push(text.parse().map_err(|_| misfit())?),
        }
        Ok(0)
    }

    /// Writes what was gathered, and forgets it.
    fn write_to(&mut self, column: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let levels = self.levels.as_deref();
        match &mut self.present {
            Present::Texts(texts) => {
                column.typed::<ByteArrayType>().write_batch(texts, levels, None)?;
                texts.clear();
            }
            Present::Integers(integers) => {
                column.typed::<Int64Type>().write_batch(integers, levels, None)?;
                integers.clear();
            }
            Present::Decimals(decimals) => {
                column.typed::<FixedLenByteArrayType>().write_batch(decimals, levels, None)?;
                decimals.clear();
            }
            Present::Booleans(booleans) => {
                column.typed::<BoolType>().write_batch(booleans, levels, None)?;
                booleans.clear();
            }
        }
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        Ok(())
    }
}

/// The system's own error where there is one: it tells a full disk from others.
fn as_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(error) => match error.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(error) => io::Error::other(error),
        },
        error => io::Error::other(error),
    }
}

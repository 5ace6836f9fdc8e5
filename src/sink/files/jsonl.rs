//! JSON lines: an object a row, as [`cell::write_object`] writes it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};

use dataflows::views::collection::Column;
use serde_json::{Map, Value};

use super::RowWriter;
use crate::sink::cell;
use crate::sink::text_row::TextRow;

const BUFFER_BYTES: usize = 1 << 18;
/// No row is longer: its texts come from one record.
const LINE_BYTES_MAX: u64 = 1 << 24;

pub struct Writer {
    columns: Vec<Column>,
    file: File,
    /// Lines that are not in the file yet.
    lines: Vec<u8>,
}

impl Writer {
    pub fn start(columns: Vec<Column>, file: File) -> Writer {
        Writer { columns, file, lines: Vec::new() }
    }
}

/// True where a file is empty, or begins with an object of these columns.
pub fn wrote(columns: &[Column], file: File) -> io::Result<bool> {
    let mut line = Vec::new();
    BufReader::new(file).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let has_columns = |row: Map<String, Value>| {
        row.len() == columns.len() && columns.iter().all(|column| row.contains_key(column.name))
    };
    Ok(line.is_empty() || serde_json::from_slice(&line).is_ok_and(has_columns))
}

impl RowWriter for Writer {
    fn write(&mut self, row: TextRow<'_>) -> io::Result<()> {
        cell::write_object(&self.columns, row.cells(), &mut self.lines)?;
        self.lines.push(b'\n');
        if self.lines.len() >= BUFFER_BYTES {
            self.file.write_all(&self.lines)?;
            self.lines.clear();
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.file.write_all(&self.lines)
    }
}

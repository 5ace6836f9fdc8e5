//! JSON lines: an object a row, as [`cell::write_object`] writes it.

use std::fs::File;
use std::io::{self, Write};

use dataflows::views::collection::Column;

use super::RowWriter;
use crate::sink::cell;
use crate::sink::text_row::TextRow;

const BUFFER_BYTES: usize = 1 << 18;

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

//! JSON lines: an object a row, as [`cell::write_object`] writes it.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use dataflows::views::collection::{Cell, Column};

use super::RowWriter;
use crate::sink::cell;

const BUFFER_BYTES: usize = 1 << 18;

pub struct Writer<'f> {
    columns: &'f [Column],
    out: BufWriter<&'f File>,
    line: Vec<u8>,
}

impl<'f> Writer<'f> {
    pub fn start(columns: &'f [Column], file: &'f File) -> Writer<'f> {
        Writer { columns, out: BufWriter::with_capacity(BUFFER_BYTES, file), line: Vec::new() }
    }
}

impl RowWriter for Writer<'_> {
    fn write(&mut self, row: &[Cell]) -> io::Result<()> {
        self.line.clear();
        cell::write_object(self.columns, row, &mut self.line)?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

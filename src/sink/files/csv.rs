//! CSV: a header, a line a row, fields in quotes only where they need them, lines that end with LF alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use dataflows::views::collection::{Cell, Column};

use super::RowWriter;
use crate::sink::cell;

const BUFFER_BYTES: usize = 1 << 18;

pub struct Writer<'f> {
    out: BufWriter<&'f File>,
    line: String,
    text: String,
}

impl<'f> Writer<'f> {
    /// Begins with the header.
    pub fn start(columns: &[Column], file: &'f File) -> io::Result<Writer<'f>> {
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
        let header: Vec<&str> = columns.iter().map(|column| column.name).collect();
        writeln!(out, "{}", header.join(","))?;
        Ok(Writer { out, line: String::new(), text: String::new() })
    }
}

impl RowWriter for Writer<'_> {
    fn write(&mut self, row: &[Cell]) -> io::Result<()> {
        self.line.clear();
        for (place, value) in row.iter().enumerate() {
            if place > 0 {
                self.line.push(',');
            }
            self.text.clear();
            cell::write_text(value, &mut self.text);
            push_field(&self.text, &mut self.line);
        }
        self.line.push('\n');
        self.out.write_all(self.line.as_bytes())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A field, in quotes where it needs them.
fn push_field(text: &str, line: &mut String) {
    if text.contains(['"', ',', '\n', '\r']) {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_only_where_needed() {
        let mut line = String::new();
        for field in ["plain", "a,b", "say \"x\"", "two\nlines"] {
            push_field(field, &mut line);
            line.push('|');
        }
        assert_eq!(line, "plain|\"a,b\"|\"say \"\"x\"\"\"|\"two\nlines\"|");
    }
}

//! CSV: a header, a line a row, fields in quotes only where they need them, lines that end with LF alone.

use std::fs::File;
use std::io::{self, Read, Write};

use dataflows::views::collection::Column;
use memchr::{memchr, memchr3};

use super::RowWriter;
use crate::sink::text_row::TextRow;

const BUFFER_BYTES: usize = 1 << 18;
/// What a field in quotes is in them for; the quote itself, which is doubled, first.
const SPECIAL: [u8; 4] = *b"\",\n\r";

pub struct Writer {
    file: File,
    /// Lines that are not in the file yet.
    lines: Vec<u8>,
}

impl Writer {
    /// Begins with the header.
    pub fn start(columns: &[Column], file: File) -> Writer {
        Writer { file, lines: header(columns) }
    }
}

/// True where a file begins with the header of these columns.
pub fn wrote(columns: &[Column], file: File) -> io::Result<bool> {
    let (wanted, mut found) = (header(columns), Vec::new());
    file.take(wanted.len() as u64).read_to_end(&mut found)?;
    Ok(found == wanted)
}

fn header(columns: &[Column]) -> Vec<u8> {
    let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
    format!("{}\n", names.join(",")).into_bytes()
}

impl RowWriter for Writer {
    fn write(&mut self, row: TextRow<'_>) -> io::Result<()> {
        let start = self.lines.len();
        let (plain, others) = row.plain(SPECIAL);
        self.lines.extend_from_slice(plain.as_bytes());
        // Whether there is anything to do or not: so the compiler does many at a time.
        self.lines[start..].iter_mut().for_each(|byte| *byte = if *byte == 0 { b',' } else { *byte });
        if !others.text().is_empty() {
            for cell in others.cells() {
                push_field(&cell, &mut self.lines);
                self.lines.push(b',');
            }
        }
        if let Some(last) = self.lines[start..].last_mut() {
            *last = b'\n';
        }
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

/// A field, in quotes where it needs them.
fn push_field(text: &str, line: &mut Vec<u8>) {
    let [quote, second, third, fourth] = SPECIAL;
    let mut left = text.as_bytes();
    let is_plain = memchr3(quote, second, third, left).is_none() && memchr(fourth, left).is_none();
    if is_plain {
        return line.extend_from_slice(left);
    }
    line.push(quote);
    while let Some(at) = memchr(quote, left) {
        line.extend_from_slice(&left[..=at]);
        line.push(quote);
        left = &left[at + 1..];
    }
    line.extend_from_slice(left);
    line.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_only_where_needed() {
        let mut line = Vec::new();
        for field in ["plain", "a,b", "say \"x\"", "\"", "two\nlines", "\r"] {
            push_field(field, &mut line);
            line.push(b'|');
        }
        assert_eq!(String::from_utf8(line).unwrap(), "plain|\"a,b\"|\"say \"\"x\"\"\"|\"\"\"\"|\"two\nlines\"|\"\r\"|");
    }
}

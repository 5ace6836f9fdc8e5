//! Files that appear whole or not at all: written beside their place under a name that starts with `.`, renamed when
//! complete, removed when given up. And the few forms of text rows are made of, without `format!`.
//!
//! Limits: a process killed by SIGKILL leaves its partial file behind, until the file is made again; renaming over an existing
//! file replaces it. Not synced: a generated file is made again rather than recovered.

use std::io::Write;
use std::path::{Path, PathBuf};

use dataflows::model::Text;
use dataflows::model::digits::{Rfc3339, padded};
use dataflows::time::SECOND_MS;
use tempfile::NamedTempFile;

use super::GenerateError;
use crate::interrupt::{self, Death};

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// A file on its way, to one place or several.
#[derive(Debug)]
pub struct PartialFile {
    /// Where it is to be, and what it is until then.
    partial: Vec<(PathBuf, NamedTempFile)>,
    buffer: Vec<u8>,
    written_bytes: u64,
}

impl PartialFile {
    /// Opens a partial file for `name` in each of these directories. Rows go to [`row`](Self::row).
    pub fn create(directories: &[impl AsRef<Path>], name: &str) -> Result<Self, GenerateError> {
        let paths = directories.iter().map(|directory| directory.as_ref().join(name));
        let partial = paths.map(|path| match interrupt::temporary(&path, Death::Unlocked) {
            Ok(partial) => Ok((path, partial)),
            Err(source) => Err(GenerateError::Write { path, source }),
        });
        let (partial, buffer) = (partial.collect::<Result<_, _>>()?, Vec::with_capacity(BUFFER_BYTES + 4_096));
        Ok(PartialFile { partial, buffer, written_bytes: 0 })
    }

    /// The buffer to append to.
    pub fn row(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Ends a line, and writes the buffer out when it is full.
    pub fn end_row(&mut self) -> Result<(), GenerateError> {
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes out everything; the file is complete, but not yet in place.
    pub fn flush(&mut self) -> Result<(), GenerateError> {
        for (path, partial) in &mut self.partial {
            let written = partial.as_file_mut().write_all(&self.buffer);
            written.map_err(|source| GenerateError::Write { path: path.clone(), source })?;
        }
        self.written_bytes += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Puts the flushed file in its places; returns its length in bytes.
    pub fn place(self) -> Result<u64, GenerateError> {
        for (path, partial) in self.partial {
            partial.persist(&path).map_err(|error| GenerateError::Write { path, source: error.error })?;
        }
        Ok(self.written_bytes)
    }
}

/// Appends 32 lower-case hex digits.
pub fn push_id(row: &mut Vec<u8>, id: u128) {
    row.extend_from_slice(Text::from_packed_hex(id.to_be_bytes()).as_bytes_in(&mut [0; 32]));
}

/// Appends a decimal number.
pub fn push_number(row: &mut Vec<u8>, number: u64) {
    push_padded(row, number, 1);
}

/// Appends a number with leading zeros up to `width` digits.
pub fn push_padded(row: &mut Vec<u8>, number: u64, width: usize) {
    row.extend_from_slice(padded(number, width, &mut [b'0'; 20]));
}

/// Appends an amount of cents as `12.90`.
pub fn push_cents(row: &mut Vec<u8>, cents: u64) {
    push_number(row, cents / 100);
    row.push(b'.');
    push_padded(row, cents % 100, 2);
}

/// Appends seconds since 1970 as `2017-10-02 10:56:33`. Years 1970 to 9999.
pub fn push_time(row: &mut Vec<u8>, at_s: i64) {
    let instant = Rfc3339::of(at_s.unsigned_abs() * SECOND_MS);
    let (date, clock) = instant.as_str().split_at(10);
    row.extend_from_slice(date.as_bytes());
    row.push(b' ');
    row.extend_from_slice(&clock.as_bytes()[1..9]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(push: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut row = Vec::new();
        push(&mut row);
        assert_eq!(String::from_utf8_lossy(&row), expected);
    }

    #[test]
    fn forms() {
        check(|row| push_id(row, 0xab << 120 | 1), "ab000000000000000000000000000001");
        check(|row| push_number(row, 0), "0");
        check(|row| push_number(row, u64::MAX), "18446744073709551615");
        check(|row| push_cents(row, 1_205), "12.05");
        check(|row| push_padded(row, 1_310, 5), "01310");
        check(|row| push_time(row, 0), "1970-01-01 00:00:00");
        check(|row| push_time(row, 1_456_790_399), "2016-02-29 23:59:59");
        check(|row| push_time(row, 1_535_587_199), "2018-08-29 23:59:59");
    }
}

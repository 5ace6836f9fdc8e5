//! Files that appear whole or not at all: written beside their place under a name that starts with `.`, renamed when
//! complete, removed when given up. And the few forms of text rows are made of, without `format!`.
//!
//! Limits: a process killed by SIGKILL leaves its partial file behind, until the file is made again; renaming over an existing
//! file replaces it. Not synced: a generated file is made again rather than recovered.

use std::io::Write;
use std::path::{Path, PathBuf};

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
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (index, byte) in id.to_be_bytes().into_iter().enumerate() {
        text[2 * index] = DIGITS[usize::from(byte >> 4)];
        text[2 * index + 1] = DIGITS[usize::from(byte & 15)];
    }
    row.extend_from_slice(&text);
}

/// Appends a decimal number.
pub fn push_number(row: &mut Vec<u8>, number: u64) {
    let mut text = [0; 20];
    let mut start = text.len();
    let mut rest = number;
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    row.extend_from_slice(&text[start..]);
}

/// Appends a number with leading zeros up to `width` digits; higher digits are cut.
pub fn push_padded(row: &mut Vec<u8>, number: u64, width: usize) {
    let start = row.len();
    row.resize(start + width, b'0');
    let mut rest = number;
    for digit in row[start..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Appends an amount of cents as `12.90`.
pub fn push_cents(row: &mut Vec<u8>, cents: u64) {
    push_number(row, cents / 100);
    row.push(b'.');
    push_padded(row, cents % 100, 2);
}

/// Appends seconds since 1970 as `2017-10-02 10:56:33`. Years 0000 to 9999.
pub fn push_time(row: &mut Vec<u8>, at_s: i64) {
    let (year, month, day) = civil(at_s.div_euclid(86_400));
    let second = at_s.rem_euclid(86_400) as u64;
    push_padded(row, year as u64, 4);
    row.push(b'-');
    push_padded(row, month, 2);
    row.push(b'-');
    push_padded(row, day, 2);
    row.push(b' ');
    push_padded(row, second / 3_600, 2);
    row.push(b':');
    push_padded(row, second / 60 % 60, 2);
    row.push(b':');
    push_padded(row, second % 60, 2);
}

/// Year, month and day of a day since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
pub fn civil(day: i64) -> (i64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u64, day_of_month as u64)
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

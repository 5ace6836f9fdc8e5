//! Cells: what decoders take a CSV row for, whoever has split it.
//!
//! The csv crate splits any row. Rows without quotes, which nearly all are, end at line ends and are split at commas:
//! [`PlainRows`] does just that, in a third of the time, and takes only what it splits as the crate would.

use csv::ByteRecord;
use memchr::{Memchr2, memchr, memchr_iter, memchr2, memchr2_iter};

/// The cells of a row, unquoted.
pub trait Cells {
    /// How many there are.
    fn count(&self) -> usize;
    /// A cell, counted from 0.
    fn cell(&self, place: usize) -> Option<&[u8]>;
    /// The bytes of all cells, with or without commas between them.
    fn bytes(&self) -> &[u8];
    /// How many bytes the cells have together, with commas between them.
    fn length(&self) -> usize;
}

impl Cells for ByteRecord {
    fn count(&self) -> usize {
        self.len()
    }

    fn cell(&self, place: usize) -> Option<&[u8]> {
        self.get(place)
    }

    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    fn length(&self) -> usize {
        self.as_slice().len() + self.len().saturating_sub(1)
    }
}

/// A row without quotes.
#[derive(Clone, Copy, Debug)]
pub struct PlainRow<'r> {
    bytes: &'r [u8],
    /// Where each cell ends.
    ends: &'r [usize],
}

impl Cells for PlainRow<'_> {
    fn count(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    fn cell(&self, place: usize) -> Option<&[u8]> {
        let end = *self.ends.get(place)?;
        let start = if place == 0 { 0 } else { self.ends[place - 1] + 1 };
        self.bytes.get(start..end)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn length(&self) -> usize {
        self.bytes.len()
    }
}

/// Rows without quotes being split.
pub struct PlainRows<'b> {
    bytes: &'b [u8],
    separators: Memchr2<'b>,
    /// Where the next row starts.
    start: usize,
    /// Lines before it.
    lines: u64,
    /// Where the cells of the row end, counted from its start.
    ends: Vec<usize>,
}

impl<'b> PlainRows<'b> {
    /// Whole rows to split; none where only a CSV reader knows how.
    pub fn of(bytes: &'b [u8]) -> Option<PlainRows<'b>> {
        let separators = memchr2_iter(b',', b'\n', bytes);
        // The csv crate takes a byte order mark off any input.
        (is_plain(bytes) && !bytes.starts_with(b"\xEF\xBB\xBF")).then(|| PlainRows {
            bytes,
            separators,
            start: 0,
            lines: 0,
            ends: Vec::new(),
        })
    }

    /// The next row that is not blank, and how many lines are before it. Gives the row's bytes, too, which outlive it.
    pub fn next_row(&mut self) -> Option<(u64, &'b [u8], PlainRow<'_>)> {
        loop {
            let start = self.start;
            if start >= self.bytes.len() {
                return None;
            }
            self.ends.clear();
            let mut end = self.bytes.len();
            for separator in self.separators.by_ref() {
                if self.bytes[separator] == b'\n' {
                    end = separator;
                    break;
                }
                self.ends.push(separator - start);
            }
            let row = &self.bytes[start..end];
            let row = row.strip_suffix(b"\r").unwrap_or(row);
            let lines = self.lines;
            (self.start, self.lines) = (end + 1, lines + 1);
            if !row.is_empty() {
                self.ends.push(row.len());
                return Some((lines, row, PlainRow { bytes: row, ends: &self.ends }));
            }
        }
    }
}

/// True where line ends and commas are all that separates rows and cells: no quote is there, and no carriage return but
/// before a line end.
pub fn is_plain(rows: &[u8]) -> bool {
    let is_suspect = memchr2(b'"', b'\r', rows).is_some();
    !is_suspect
        || (memchr(b'"', rows).is_none()
            && memchr_iter(b'\r', rows).all(|at| matches!(rows.get(at + 1), None | Some(b'\n'))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Row = (u64, Vec<u8>, Vec<Vec<u8>>);

    fn plain(bytes: &[u8]) -> Option<Vec<Row>> {
        let mut rows = PlainRows::of(bytes)?;
        let mut found = Vec::new();
        while let Some((lines, raw, row)) = rows.next_row() {
            let cells: Vec<_> = (0..row.count()).map(|place| row.cell(place).unwrap().to_vec()).collect();
            assert_eq!((row.length(), row.cell(row.count())), (cells.join(&b","[..]).len(), None));
            found.push((lines, raw.to_vec(), cells));
        }
        Some(found)
    }

    fn by_csv(bytes: &[u8]) -> Vec<Row> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let (mut record, mut found) = (ByteRecord::new(), Vec::new());
        let mut start = 0;
        while reader.read_byte_record(&mut record).unwrap() {
            // Blank lines before a record count as part of it.
            let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let end = reader.position().byte() as usize;
            let lines = memchr_iter(b'\n', &bytes[..start + blank]).count() as u64;
            let raw = &bytes[start + blank..end];
            let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let cells: Vec<_> = record.iter().map(<[u8]>::to_vec).collect();
            assert_eq!(record.length(), cells.join(&b","[..]).len());
            found.push((lines, raw.to_vec(), cells));
            start = end;
        }
        found
    }

    #[test]
    fn what_only_a_csv_reader_knows_is_left_to_it() {
        for bytes in [&b"a,\"b\""[..], b"a\"", b"a\rb\n", b"\r\r\n", b"\xEF\xBB\xBFa"] {
            assert_eq!(plain(bytes), None, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn differential_splits_as_the_csv_crate(text in "([a-z\u{feff} ]{0,3}(,|,|\n|\r\n)){0,12}[a-c,\r]{0,3}|(.|\n){0,20}") {
            if let Some(rows) = plain(text.as_bytes()) {
                prop_assert_eq!(rows, by_csv(text.as_bytes()));
            }
        }

        #[test]
        fn differential_splits_any_bytes_as_the_csv_crate(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b",\n\ra"[..])], 0..24)
        ) {
            if let Some(rows) = plain(&bytes) {
                prop_assert_eq!(rows, by_csv(&bytes));
            }
        }
    }
}

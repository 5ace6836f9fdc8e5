//! Cells: what decoders take a CSV row for, whoever has split it.
//!
//! The csv crate splits any row, within [`CsvRows`]. Rows without quotes, which nearly all are, end at line ends and are
//! split at commas: [`PlainRows`] does just that, in a third of the time, and takes only what it splits as the crate would.
//!
//! Invariant: either way LF ends a line, and a CR right before it, or before the end, is no part of the row. Any other CR
//! is a part of its cell, and so is a byte order mark: whoever reads a file from its start takes that off.

use std::io::{Chain, Read};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
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
        is_plain(bytes).then(|| PlainRows { bytes, separators, start: 0, lines: 0, ends: Vec::new() })
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

/// Rows of any kind being split.
pub struct CsvRows<'b> {
    bytes: &'b [u8],
    reader: Reader<Chain<&'static [u8], &'b [u8]>>,
    record: ByteRecord,
    /// A last cell on its way.
    cell: Vec<u8>,
}

/// A row, split.
#[derive(Clone, Copy, Debug)]
pub struct CsvRow<'b, 'r> {
    /// Lines before it.
    pub lines: u64,
    /// Its bytes without line end.
    pub raw: &'b [u8],
    /// Its cells, unquoted.
    pub cells: &'r ByteRecord,
    /// True where nothing follows it.
    pub is_last: bool,
}

/// Stands before the bytes for the csv crate, which takes a byte order mark off the start of whatever it reads.
const BLANK_LINE: &[u8] = b"\n";
const CSV_BUFFER_BYTES: usize = 1 << 16;

impl<'b> CsvRows<'b> {
    /// Whole rows to split.
    pub fn of(bytes: &'b [u8]) -> CsvRows<'b> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(bytes.len().clamp(1, CSV_BUFFER_BYTES))
            .from_reader(BLANK_LINE.chain(bytes));
        CsvRows { bytes, reader, record: ByteRecord::new(), cell: Vec::new() }
    }

    /// Where the next row starts, blank lines before it included.
    fn start(&self) -> usize {
        (self.reader.position().byte() as usize).saturating_sub(BLANK_LINE.len())
    }

    /// The next row that is not empty.
    pub fn next_row(&mut self) -> Option<CsvRow<'b, '_>> {
        loop {
            let start = self.start();
            // Both are counted with the blank line from the first row on, and lines from 1.
            let lines = self.reader.position().line().saturating_sub(2);
            // Reading from memory, of any number of columns, cannot fail.
            if !self.reader.read_byte_record(&mut self.record).unwrap_or(false) {
                return None;
            }
            let end = self.start();
            let read = self.bytes.get(start..end).unwrap_or_default();
            let blank = read.iter().take_while(|byte| **byte == b'\n').count();
            let row = read.get(blank..).unwrap_or_default();
            let row = row.strip_suffix(b"\n").unwrap_or(row);
            let raw = row.strip_suffix(b"\r").unwrap_or(row);
            if raw.len() < row.len() {
                self.take_return_off();
            }
            if !raw.is_empty() {
                let is_last = end >= self.bytes.len();
                return Some(CsvRow { lines: lines + blank as u64, raw, cells: &self.record, is_last });
            }
        }
    }

    /// Takes the CR of a line end off the last cell.
    fn take_return_off(&mut self) {
        let Some(last) = self.record.len().checked_sub(1) else { return };
        if let Some(cell) = self.record.get(last).and_then(|cell| cell.strip_suffix(b"\r")) {
            self.cell.clear();
            self.cell.extend_from_slice(cell);
            self.record.truncate(last);
            self.record.push_field(&self.cell);
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
    const BOM: &[u8] = b"\xEF\xBB\xBF";

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
        let mut rows = CsvRows::of(bytes);
        let mut found = Vec::new();
        while let Some(CsvRow { lines, raw, cells: record, .. }) = rows.next_row() {
            let cells: Vec<_> = record.iter().map(<[u8]>::to_vec).collect();
            assert_eq!(record.length(), cells.join(&b","[..]).len());
            found.push((lines, raw.to_vec(), cells));
        }
        found
    }

    /// Lines before each row, its bytes and its cells, readably.
    fn shown(rows: Vec<Row>) -> Vec<String> {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        let row = |(lines, raw, cells): Row| {
            let cells: Vec<String> = cells.iter().map(|cell| text(cell)).collect();
            format!("{lines} {} = {}", text(&raw), cells.join("|"))
        };
        rows.into_iter().map(row).collect()
    }

    #[test]
    fn a_return_ends_no_line() {
        let rows = b"a,b\rc,d\r\n\r\n\n\re,\"f\r\n\"\"\",\"g\r\"\n\r\r\n\"h\"\r,i\r\"j\r\r\n\"k\"\r\nl\r";
        let expected = [
            r#"0 a,b\rc,d = a|b\rc|d"#,
            r#"3 \re,\"f\r\n\"\"\",\"g\r\" = \re|f\r\n\"|g\r"#,
            r#"5 \r = \r"#,
            r#"6 \"h\"\r,i\r\"j\r = h\r|i\r\"j\r"#,
            r#"7 \"k\" = k"#,
            r#"8 l = l"#,
        ];
        assert_eq!(shown(by_csv(rows)), expected);
        // What has no quote and no such return is split quickly, to the same rows.
        let quickly = b"\n\r\na,b\r\n\n,c\nd,\r\n\r";
        let expected = ["2 a,b = a|b", "4 ,c = |c", "5 d, = d|"];
        assert_eq!(plain(quickly).map(shown), Some(expected.map(str::to_owned).to_vec()));
        assert_eq!(shown(by_csv(quickly)), expected);
    }

    #[test]
    fn a_byte_order_mark_is_part_of_a_cell() {
        for rows in ["\u{feff}a,b\n", "\u{feff}\u{feff}\n\u{feff}", "\u{feff}", "\n\u{feff}a"] {
            let found = by_csv(rows.as_bytes());
            assert_eq!(plain(rows.as_bytes()), Some(found.clone()));
            assert!(found.iter().all(|(_, raw, cells)| raw.starts_with(BOM) && cells[0].starts_with(BOM)), "{found:?}");
        }
        let quoted = by_csv("\u{feff}\"a\",\"b\"\n".as_bytes());
        assert_eq!(quoted[0].2, ["\u{feff}\"a\"".as_bytes(), b"b"], "a quote behind it opens nothing");
    }

    #[test]
    fn what_only_a_csv_reader_knows_is_left_to_it() {
        for bytes in [&b"a,\"b\""[..], b"a\"", b"a\rb\n", b"\r\r\n"] {
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

//! Scanning: what one stripe of a file says of the orders in it.
//!
//! A stripe is a range of a file's bytes; the rows that start in it are its rows. Stripes are scanned in any order, each
//! by itself. Rows are taken apart by commas and line ends alone, so whatever could mean another thing to a CSV reader (a
//! quote, a carriage return within a line) and whatever makes no sense at a glance makes the whole file odd.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use dataflows::time::Time;
use memchr::{memchr, memchr_iter};
use xxhash_rust::xxh3::xxh3_64;

use super::earliest::{Earliest, USUAL_BYTES, Usual};
use super::{FilePlace, Header, TableFile};
use crate::decode::cells::is_plain;
use crate::validate::MAX_RECORD_BYTES;

/// What is looked at in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    OrderId,
    Time,
    Other,
}

/// A file to scan.
pub struct RowFile {
    text: Arc<File>,
    /// Where its first row starts.
    pub start: FilePlace,
    /// Where its last row ends.
    pub end_offset: u64,
    /// The columns of a row, up to the last one looked at.
    columns: Vec<Column>,
}

/// Rows of one order, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// A hash of the order id.
    pub fingerprint: u64,
    /// Bytes of the stripe before it.
    pub offset: u32,
    /// Rows of the stripe before it.
    pub rows: u32,
}

/// What a stripe says.
#[derive(Debug)]
pub struct Segment {
    /// How many rows it has.
    pub rows: u64,
    /// Where its first row starts, counted from the beginning of the file.
    pub offset: u64,
    /// Its orders.
    pub runs: Vec<Run>,
    /// The earliest time in it; `Time::MAX` where there is none.
    pub earliest: Time,
}

/// How far behind a stripe its last row is looked for at first.
const AHEAD_BYTES: u64 = 512;

impl RowFile {
    /// A file whose rows start behind `header`, with these columns of times; none where it has no order ids.
    pub fn new(file: &TableFile, header: &Header, times: &[&str]) -> io::Result<Option<RowFile>> {
        let column = |name: &[u8]| match name.trim_ascii() {
            b"order_id" => Column::OrderId,
            name if times.iter().any(|time| time.as_bytes() == name) => Column::Time,
            _ => Column::Other,
        };
        let mut columns: Vec<Column> = header.record.iter().map(column).collect();
        let used = columns.iter().rposition(|column| *column != Column::Other).map_or(0, |last| last + 1);
        columns.truncate(used);
        let end_offset = file.text.metadata()?.len().max(header.offset);
        let start = FilePlace { offset: header.offset, line: header.line };
        Ok(columns.contains(&Column::OrderId).then_some(RowFile {
            text: Arc::clone(&file.text),
            start,
            end_offset,
            columns,
        }))
    }

    /// Scans a stripe; none where the file is odd there.
    pub fn scan(&self, stripe: &Range<u64>, buffer: &mut Vec<u8>) -> io::Result<Option<Segment>> {
        // The byte before the stripe tells whether a row starts with it.
        let is_first = stripe.start == self.start.offset;
        let read_from = stripe.start - u64::from(!is_first);
        let Some(bytes) = self.read(read_from, stripe.end, buffer)? else { return Ok(None) };
        let start = if is_first { 0 } else { memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1) };
        Ok(self.look_at(&bytes[start..], read_from + start as u64))
    }

    /// Reads from an offset to the first line end that is not before the last byte of the stripe; none where there is
    /// none in reach.
    fn read<'b>(&self, from: u64, stripe_end: u64, buffer: &'b mut Vec<u8>) -> io::Result<Option<&'b [u8]>> {
        let last = (stripe_end - 1 - from) as usize;
        let (mut length, mut ahead) = (0, AHEAD_BYTES);
        loop {
            let until = self.end_offset.min(stripe_end + ahead);
            let wanted = (until - from) as usize;
            if buffer.len() < wanted {
                buffer.resize(wanted, 0);
            }
            self.text.read_exact_at(&mut buffer[length..wanted], from + length as u64)?;
            length = wanted;
            let end = match memchr(b'\n', &buffer[last..length]) {
                Some(end) => last + end + 1,
                None if until == self.end_offset => length,
                None if ahead > MAX_RECORD_BYTES as u64 => return Ok(None),
                None => {
                    ahead *= 16;
                    continue;
                }
            };
            return Ok(Some(&buffer[..end]));
        }
    }

    /// What whole rows say that start at `offset`; none where they are odd.
    fn look_at(&self, rows: &[u8], offset: u64) -> Option<Segment> {
        if !is_plain(rows) {
            return None;
        }
        let mut earliest = Earliest::default();
        let mut segment = Segment { rows: 0, offset, runs: Vec::new(), earliest: Time::MAX };
        let mut start = 0;
        let open_end = (!rows.is_empty() && !rows.ends_with(b"\n")).then_some(rows.len());
        for end in memchr_iter(b'\n', rows).chain(open_end) {
            let row = &rows[start..end];
            let order_id = self.look_at_row(row.strip_suffix(b"\r").unwrap_or(row), &mut earliest)?;
            let fingerprint = xxh3_64(order_id);
            if segment.runs.last().is_none_or(|run| run.fingerprint != fingerprint) {
                segment.runs.push(Run { fingerprint, offset: start as u32, rows: segment.rows as u32 });
            }
            segment.rows += 1;
            start = end + 1;
        }
        segment.earliest = earliest.time()?;
        Some(segment)
    }

    /// The order id of a row of unquoted fields; none where the row is odd.
    #[inline]
    fn look_at_row<'r>(&self, row: &'r [u8], earliest: &mut Earliest) -> Option<&'r [u8]> {
        let mut rest = Some(row);
        let mut order_id = None;
        for column in &self.columns {
            let cells = rest?;
            if *column == Column::Time
                && let Some(text) = cells.first_chunk::<USUAL_BYTES>()
                && matches!(cells.get(USUAL_BYTES), None | Some(b','))
                && let Some(usual) = Usual::of(text)
            {
                earliest.see(usual);
                rest = cells.get(USUAL_BYTES + 1..);
                continue;
            }
            let end = memchr(b',', cells).unwrap_or(cells.len());
            let cell = &cells[..end];
            match column {
                Column::OrderId => order_id = Some(cell),
                Column::Time if !cell.is_empty() && !earliest.see_any(cell) => return None,
                Column::Time | Column::Other => {}
            }
            rest = cells.get(end + 1..);
        }
        // Decoding trims ids: one that might be trimmed could be another order's.
        order_id.filter(|id| {
            id.is_empty() || [id.first(), id.last()].into_iter().flatten().all(|byte| byte.is_ascii_graphic())
        })
    }
}

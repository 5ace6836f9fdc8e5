//! The index of a co-ordered directory: where to cut the three files so that an order's rows stand together.
//!
//! One quick pass over the files, before the replay: it compares order ids and reads the times of the orders file,
//! nothing else. A directory is co-ordered where the items and payments files list their orders in the order of the
//! orders file, none of which is listed twice. Whatever the pass does not understand at a glance (a quote, an odd time,
//! an item without order) makes the directory one that is not, which costs memory and never correctness.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use dataflows::time::Time;
use hashbrown::HashTable;
use memchr::{memchr, memchr_iter};
use xxhash_rust::xxh3::xxh3_64;

use super::{Header, open, unreadable};
use crate::error::JobResult;
use crate::validate::timestamp;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// Bytes before it.
    pub offset: u64,
    /// Its line, counted from 1.
    pub line: u64,
}

/// A place between two orders, in all three files.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Where it is in the orders, items and payments files.
    pub places: [FilePlace; 3],
    /// The earliest time in any order row from here to the end.
    earliest: Time,
}

/// Where to cut a co-ordered directory.
#[derive(Debug)]
pub struct Index {
    cuts: Vec<Cut>,
}

/// Blocks are cut after this many bytes of the orders file.
const BLOCK_BYTES: u64 = 256 << 10;
const BUFFER_BYTES: usize = 4 << 20;
const TIMES: [&str; 4] =
    ["order_purchase_timestamp", "order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date"];

impl Index {
    /// Looks a directory over; none where it is not co-ordered.
    pub fn find(paths: &[PathBuf; 3], headers: &[Header; 3]) -> JobResult<Option<Index>> {
        let mut scans = Vec::with_capacity(paths.len());
        for (path, header) in paths.iter().zip(headers) {
            let place = |name: &str| header.record.iter().position(|column| column.trim_ascii() == name.as_bytes());
            let Some(order_id) = place("order_id") else { return Ok(None) };
            scans.push(Scan::new(open(path)?, header, order_id));
        }
        let times: Vec<usize> = TIMES
            .iter()
            .filter_map(|name| headers[0].record.iter().position(|column| column.trim_ascii() == name.as_bytes()))
            .collect();
        let found = find(&mut scans, &times);
        found.map_err(|error| unreadable(&paths[0], &error))
    }

    /// Block `number`: where it starts and ends.
    pub fn block(&self, number: u64) -> Option<(&Cut, &Cut)> {
        let number = number as usize;
        Some((self.cuts.get(number)?, self.cuts.get(number + 1)?))
    }

    /// The earliest time in block `number` or any later one; `Time::MAX` after the last.
    pub fn earliest_from(&self, number: u64) -> Time {
        self.cuts.get(number as usize).map_or(Time::MAX, |cut| cut.earliest)
    }
}

fn find(scans: &mut [Scan], times: &[usize]) -> std::io::Result<Option<Index>> {
    let [orders, dependents @ ..] = scans else { return Ok(None) };
    let mut seen: HashTable<u64> = HashTable::new();
    let mut cuts = Vec::new();
    let mut cut_after = 0;
    let mut earliest = Time::MAX;
    for dependent in dependents.iter_mut() {
        dependent.next_row()?;
    }
    while orders.next_row()? {
        if orders.start.offset >= cut_after {
            let places = [orders.start, dependents[0].start, dependents[1].start];
            cuts.push(Cut { places, earliest: Time::MAX });
            cut_after = orders.start.offset + BLOCK_BYTES;
        }
        let Some(row) = orders.row() else { return Ok(None) };
        let Some(order_id) = cell(row, orders.order_id) else { return Ok(None) };
        let fingerprint = xxh3_64(order_id);
        if seen.find(fingerprint, |known| *known == fingerprint).is_some() {
            return Ok(None);
        }
        seen.insert_unique(fingerprint, fingerprint, |known| *known);
        earliest = Time::MAX;
        for time in times {
            match cell(row, *time) {
                Some([]) => {}
                Some(text) => match timestamp::parse(text) {
                    Some(at) => earliest = earliest.min(at),
                    None => return Ok(None),
                },
                None => return Ok(None),
            }
        }
        if let Some(cut) = cuts.last_mut() {
            cut.earliest = cut.earliest.min(earliest);
        }
        for dependent in dependents.iter_mut() {
            while dependent.row().is_some_and(|row| cell(row, dependent.order_id) == Some(order_id)) {
                dependent.next_row()?;
            }
        }
    }
    let exhausted = !orders.is_odd && dependents.iter().all(|dependent| dependent.ended && !dependent.is_odd);
    if !exhausted || earliest == Time::MAX {
        return Ok(None);
    }
    let mut later = Time::MAX;
    for cut in cuts.iter_mut().rev() {
        later = later.min(cut.earliest);
        cut.earliest = later;
    }
    cuts.push(Cut { places: [orders.start, dependents[0].start, dependents[1].start], earliest: Time::MAX });
    Ok(Some(Index { cuts }))
}

/// The field of a row of unquoted fields.
fn cell(row: &[u8], column: usize) -> Option<&[u8]> {
    let start = match column {
        0 => 0,
        column => memchr_iter(b',', row).nth(column - 1)? + 1,
    };
    let rest = &row[start..];
    Some(&rest[..memchr(b',', rest).unwrap_or(rest.len())])
}

/// A file being scanned row by row.
struct Scan {
    file: File,
    order_id: usize,
    buffer: Vec<u8>,
    /// Where the current row starts and ends in the buffer, its line end not included.
    row: std::ops::Range<usize>,
    /// Where the next row starts in the buffer.
    next: usize,
    /// Where the current row starts in the file; after the last row, the end of the file.
    start: FilePlace,
    next_place: FilePlace,
    ended: bool,
    /// Something this scan does not understand.
    is_odd: bool,
}

impl Scan {
    fn new(file: File, header: &Header, order_id: usize) -> Scan {
        let place = FilePlace { offset: header.offset, line: header.line };
        Scan {
            file,
            order_id,
            buffer: Vec::new(),
            row: 0..0,
            next: 0,
            start: FilePlace::default(),
            next_place: place,
            ended: false,
            is_odd: false,
        }
    }

    /// The current row, where there is one.
    fn row(&self) -> Option<&[u8]> {
        (!self.ended).then(|| &self.buffer[self.row.clone()])
    }

    /// Goes to the next row; false at the end, and where the file is odd.
    fn next_row(&mut self) -> std::io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        self.start = self.next_place;
        let mut searched = self.next;
        let end = loop {
            if let Some(end) = memchr(b'\n', &self.buffer[searched..]) {
                break searched + end;
            }
            searched = self.buffer.len() - self.next;
            if !self.refill()? {
                if self.next == self.buffer.len() || self.is_odd {
                    self.ended = true;
                    return Ok(false);
                }
                break self.buffer.len();
            }
        };
        let line_end = end.min(self.buffer.len());
        let end_with_return = line_end - usize::from(self.buffer[self.next..line_end].last() == Some(&b'\r'));
        self.row = self.next..end_with_return;
        let next = (line_end + 1).min(self.buffer.len());
        self.next_place.offset += (next - self.next) as u64;
        self.next_place.line += 1;
        self.next = next;
        Ok(true)
    }

    /// Reads more; what was not given stays at the front of the buffer.
    fn refill(&mut self) -> std::io::Result<bool> {
        if self.buffer.is_empty() {
            use std::io::Seek;
            self.file.seek(std::io::SeekFrom::Start(self.next_place.offset))?;
        }
        self.buffer.drain(..self.next);
        self.next = 0;
        let kept = self.buffer.len();
        if kept > BUFFER_BYTES {
            self.is_odd = true;
            return Ok(false);
        }
        let read = self.file.by_ref().take(BUFFER_BYTES as u64).read_to_end(&mut self.buffer)?;
        if memchr(b'"', &self.buffer[kept..]).is_some() {
            self.is_odd = true;
            return Ok(false);
        }
        Ok(read > 0)
    }
}

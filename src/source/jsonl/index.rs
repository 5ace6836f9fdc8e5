//! The index of a file of lines: where it is cut into blocks, and when the earliest record from each cut on happened.
//!
//! One quick pass over the file, before the replay, looks for timestamps and reads nothing else: it finds every time that
//! decoding could find, and maybe some of broken records besides. So what the index promises holds, and a file that is in
//! order, or nearly, is read as a stream: its facts need not wait for its end. Where too many would have to wait there is
//! no index, and the file is sorted.
//!
//! A block is the lines that begin in one stretch of [`BLOCK_BYTES`]; so all threads look blocks over at once. Limits: a
//! file with a line that is too large has no index; nor has one that can be read once only, or is compressed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use dataflows::time::Time;
use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter, memrchr};

use super::unreadable;
use crate::decode::decode_line;
use crate::error::JobResult;
use crate::source::blocks::{BYTE_ORDER_MARK, Block};
use crate::source::inputs::named::is_standard_input;
use crate::source::{bytes, on_threads};
use crate::validate::{Limits, MAX_RECORD_BYTES, timestamp};

const BLOCK_BYTES: u64 = 1 << 20;
/// How far the end of a line is looked for at once.
const LOOK_BYTES: usize = 4 << 10;
const KEY: &[u8] = b"\"timestamp\"";
/// How a letter of the key begins that is written as an escape; accented letters begin otherwise.
const ESCAPED_LETTERS: [&[u8]; 2] = [b"\\u006", b"\\u007"];

/// A file of lines that is read as a stream.
#[derive(Debug)]
pub struct LineIndex {
    file: File,
    /// Where each block begins; the last one is the end of the file.
    cuts: Vec<Cut>,
}

/// A place between two lines.
#[derive(Clone, Copy, Debug)]
struct Cut {
    offset: u64,
    line: u64,
    /// The earliest time in any line from here to the end.
    earliest: Time,
}

/// What a block says: how many line ends it has, and between which times.
#[derive(Clone, Copy, Debug)]
struct Span {
    line_ends: u64,
    earliest: Time,
    latest: Time,
}

/// Where blocks begin, and what they say.
type Spans = Vec<(u64, Span)>;

impl LineIndex {
    /// Looks a file over with this many threads; none where it cannot be read as a stream, or where the facts of more than
    /// `waiting_bytes` of it would have to wait at once.
    pub fn find(path: &Path, limits: &Limits, threads: usize, waiting_bytes: u64) -> JobResult<Option<LineIndex>> {
        if is_standard_input(path) || !path.is_file() {
            return Ok(None);
        }
        let failed = |error: io::Error| unreadable(&path.display().to_string(), 1, &error);
        let file = bytes::open_file(path)?;
        if bytes::is_compressed(path, &file).map_err(failed)? {
            return Ok(None);
        }
        let length = file.metadata().map_err(failed)?.len();
        let Some(spans) = spans(&file, length, limits, threads)?.map_err(failed)? else { return Ok(None) };
        let mut cuts = Vec::with_capacity(spans.len() + 1);
        let mut line = 1;
        for (offset, span) in &spans {
            cuts.push(Cut { offset: *offset, line, earliest: span.earliest });
            line += span.line_ends;
        }
        cuts.push(Cut { offset: length, line, earliest: Time::MAX });
        for next in (1..cuts.len()).rev() {
            cuts[next - 1].earliest = cuts[next - 1].earliest.min(cuts[next].earliest);
        }
        let latest: Vec<Time> = spans.iter().map(|(_, span)| span.latest).collect();
        let most = (waiting_bytes / BLOCK_BYTES).max(1);
        Ok((most_waiting(&cuts, &latest) <= most).then_some(LineIndex { file, cuts }))
    }

    /// The earliest time in block `number` or any later one; `Time::MAX` after the last.
    pub fn earliest_from(&self, number: u64) -> Time {
        self.cuts.get(number as usize).map_or(Time::MAX, |cut| cut.earliest)
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> u64 {
        self.cuts.len() as u64 - 1
    }

    /// Reads block `number`. Of a file that has become shorter, those lines of the block that are whole still, and the
    /// error.
    pub fn read(&self, number: u64) -> (Block, io::Result<()>) {
        let [start, end] = [number, number + 1].map(|number| self.cuts[number as usize]);
        let mut bytes = vec![0; (end.offset - start.offset) as usize];
        let (read, whole) = match read_up_to(&self.file, &mut bytes, start.offset) {
            Ok(read) if read == bytes.len() => (read, Ok(())),
            Ok(read) => (read, Err(io::Error::new(io::ErrorKind::UnexpectedEof, bytes::BECAME_SHORTER))),
            Err(error) => (0, Err(error)),
        };
        if whole.is_err() {
            bytes.truncate(memrchr(b'\n', &bytes[..read]).map_or(0, |end| end + 1));
        }
        (Block { number, first_line: start.line, bytes, is_too_large: false }, whole)
    }
}

/// Where each block of a file begins, and what it says; none where a line is too large.
fn spans(file: &File, length: u64, limits: &Limits, threads: usize) -> JobResult<io::Result<Option<Spans>>> {
    let next = AtomicU64::new(0);
    let blocks = length.div_ceil(BLOCK_BYTES);
    let look = || -> io::Result<Option<Spans>> {
        let (mut found, mut buffer, times) = (Vec::new(), Vec::new(), Times::new(limits));
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= blocks {
                return Ok(Some(found));
            }
            let [start, end] = [number, number + 1].map(|number| line_at_or_after(file, number * BLOCK_BYTES, length));
            let (Some(start), Some(end)) = (start?, end?) else {
                next.store(blocks, Ordering::Relaxed);
                return Ok(None);
            };
            if start >= end {
                // A line from before this stretch to behind it. Where nothing begins is no block: it would have another's place.
                continue;
            }
            buffer.resize((end - start) as usize, 0);
            file.read_exact_at(&mut buffer, start)?;
            found.push((start, times.span(&buffer)));
        }
    };
    let found = on_threads(threads, look)?.into_iter().collect::<io::Result<Option<Vec<_>>>>();
    let sorted = |found: Vec<Spans>| {
        let mut spans = found.concat();
        spans.sort_unstable_by_key(|(start, _)| *start);
        spans
    };
    Ok(found.map(|found| found.map(sorted)))
}

/// The first line that begins at or after an offset, the end of the file where none does; none where the line before is
/// too large.
fn line_at_or_after(file: &File, offset: u64, length: u64) -> io::Result<Option<u64>> {
    if offset == 0 {
        let mut start = [0; BYTE_ORDER_MARK.len()];
        let read = read_up_to(file, &mut start, 0)?;
        return Ok(Some(if start[..read] == *BYTE_ORDER_MARK { read as u64 } else { 0 }));
    }
    let (mut from, mut looked) = (offset - 1, [0; LOOK_BYTES]);
    while from < length && from - offset.min(from) <= MAX_RECORD_BYTES as u64 {
        let read = read_up_to(file, &mut looked, from)?;
        match memchr(b'\n', &looked[..read]) {
            Some(end) => return Ok(Some((from + end as u64 + 1).min(length))),
            None if read == 0 => break,
            None => from += read as u64,
        }
    }
    Ok((from >= length).then_some(length))
}

fn read_up_to(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

/// How many blocks have facts, at most, that wait for an earlier one of a later block.
fn most_waiting(cuts: &[Cut], latest: &[Time]) -> u64 {
    let (mut first, mut most) = (0, 0);
    for (number, cut) in cuts.iter().enumerate() {
        // All blocks before the first one that reaches beyond the cut have been let go.
        while first < number && latest[first] < cut.earliest {
            first += 1;
        }
        most = most.max(number - first);
    }
    most as u64
}

/// Finds times in lines.
struct Times<'l> {
    limits: &'l Limits,
    key: Finder<'static>,
    escaped: [Finder<'static>; 2],
}

/// What follows the key of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    At(Time),
    /// It was no key.
    Nothing,
    /// Decoding must tell.
    Odd,
}

impl Times<'_> {
    fn new(limits: &Limits) -> Times<'_> {
        Times { limits, key: Finder::new(KEY), escaped: ESCAPED_LETTERS.map(memmem::Finder::new) }
    }

    /// What whole lines say.
    fn span(&self, lines: &[u8]) -> Span {
        let mut span = Span { line_ends: memchr_iter(b'\n', lines).count() as u64, earliest: Time::MAX, latest: 0 };
        let mut see = |at: Time| {
            // Decoding refuses what is later.
            if at <= self.limits.latest() {
                (span.earliest, span.latest) = (span.earliest.min(at), span.latest.max(at));
            }
        };
        for key in self.key.find_iter(lines) {
            match after_key(&lines[key + KEY.len()..]) {
                Found::At(at) => see(at),
                Found::Nothing => {}
                Found::Odd => self.decode(lines, key).into_iter().for_each(&mut see),
            }
        }
        for finder in &self.escaped {
            finder.find_iter(lines).filter_map(|place| self.decode(lines, place)).for_each(&mut see);
        }
        span
    }

    /// When the record happened that a place is part of, where it is one.
    fn decode(&self, lines: &[u8], place: usize) -> Option<Time> {
        let start = memrchr(b'\n', &lines[..place]).map_or(0, |end| end + 1);
        let end = memchr(b'\n', &lines[place..]).map_or(lines.len(), |end| place + end);
        let line = &lines[start..end];
        decode_line(line.strip_suffix(b"\r").unwrap_or(line), self.limits).ok().map(|facts| facts.at())
    }
}

/// Reads the value of a timestamp at a glance.
fn after_key(rest: &[u8]) -> Found {
    let Some(value) = rest.trim_ascii_start().strip_prefix(b":") else { return Found::Nothing };
    let value = value.trim_ascii_start();
    if let Some(text) = value.strip_prefix(b"\"") {
        let text = &text[..memchr(b'"', text).unwrap_or(0)];
        return timestamp::parse(text).map_or(Found::Odd, Found::At);
    }
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_integer = (1..=15).contains(&digits) && matches!(value.get(digits), Some(b',' | b'}' | b' '));
    let read = |at: Time, digit: &u8| at * 10 + Time::from(digit - b'0');
    if is_integer { Found::At(value[..digits].iter().fold(0, read)) } else { Found::Odd }
}

#[cfg(test)]
mod tests;

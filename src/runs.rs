//! Runs: byte strings with multiplicities, brought into their order within bounded memory.
//!
//! What waits in memory is written, whenever its owner says so, as a sorted run into a temporary file that has no name and
//! is gone with the program; in the end runs are merged. Invariant: what comes out is what was pushed, in bytewise order;
//! multiplicities of equal byte strings may have been added up, and those that came to nothing left out. A run holds of
//! each byte string only what differs from the one before it. Limits: merging takes another 8 KiB for each run.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use dataflows::time::Diff;

/// Bytes that lie together in memory: not more than an allocator hands out cheaply.
const CHUNK_BYTES: usize = 64 << 10;
/// How much of each run is read at once.
const RUN_BUFFER_BYTES: usize = 8 << 10;
/// The longest number in a run.
const VARINT_BYTES_MAX: usize = 10;

/// Byte strings with multiplicities, in memory and in sorted runs on disk.
#[derive(Debug, Default)]
pub struct Runs {
    chunks: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    chunk_bytes: usize,
    file: Option<File>,
    spilled: Vec<Range<u64>>,
}

/// Where a byte string lies, and its first bytes: most comparisons need no more.
#[derive(Clone, Copy, Debug)]
struct Entry {
    prefix: u64,
    chunk: u32,
    start: u32,
    length: u32,
    diff: i32,
}

impl Runs {
    /// Takes in the byte string that these parts make, `diff` times.
    pub fn push(&mut self, parts: &[&[u8]], diff: Diff) {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.chunks.last().is_none_or(|chunk| chunk.capacity() - chunk.len() < length) {
            self.chunks.push(Vec::with_capacity(CHUNK_BYTES.max(length)));
            self.chunk_bytes += CHUNK_BYTES.max(length);
        }
        let number = self.chunks.len() as u32 - 1;
        let Some(chunk) = self.chunks.last_mut() else { return };
        let start = chunk.len();
        parts.iter().for_each(|part| chunk.extend_from_slice(part));
        let mut first = [0; size_of::<u64>()];
        let known = first.len().min(length);
        first[..known].copy_from_slice(&chunk[start..start + known]);
        let (prefix, start, length) = (u64::from_be_bytes(first), start as u32, length as u32);
        self.entries.push(Entry { prefix, chunk: number, start, length, diff: diff as i32 });
    }

    /// Memory taken, in bytes.
    pub fn bytes(&self) -> usize {
        self.chunk_bytes + self.entries.capacity() * size_of::<Entry>()
    }

    /// Writes what waits in memory as a run; how many bytes that were.
    pub fn spill(&mut self) -> io::Result<u64> {
        self.sort();
        let start = self.spilled.last().map_or(0, |run| run.end);
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile()?),
        };
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let (mut end, mut before): (u64, &[u8]) = (start, &[]);
        for entry in &self.entries {
            let bytes = bytes_of(&self.chunks, entry);
            let shared = shared_bytes(before, bytes);
            let signed = i64::from(entry.diff);
            for number in [shared as u64, (bytes.len() - shared) as u64, (signed << 1 ^ signed >> 63) as u64] {
                end += write_varint(number, &mut out)?;
            }
            out.write_all(&bytes[shared..])?;
            end += (bytes.len() - shared) as u64;
            before = bytes;
        }
        out.flush()?;
        drop(out);
        self.spilled.push(start..end);
        (self.chunks, self.entries, self.chunk_bytes) = (Vec::new(), Vec::new(), 0);
        Ok(end - start)
    }

    /// Sorts what waits in memory and adds up what is equal; without it there is no merging.
    pub fn sort(&mut self) {
        let Runs { chunks, entries, .. } = self;
        let bytes = |entry: &Entry| bytes_of(chunks, entry);
        entries
            .sort_unstable_by(|left, right| left.prefix.cmp(&right.prefix).then_with(|| bytes(left).cmp(bytes(right))));
        entries.dedup_by(|entry, kept| {
            let same = entry.prefix == kept.prefix && bytes(entry) == bytes(kept);
            if same {
                kept.diff += entry.diff;
            }
            same
        });
        entries.retain(|entry| entry.diff != 0);
    }
}

fn bytes_of<'c>(chunks: &'c [Vec<u8>], entry: &Entry) -> &'c [u8] {
    &chunks[entry.chunk as usize][entry.start as usize..][..entry.length as usize]
}

/// How many of the first bytes are the same: eight at a time, then one by one.
fn shared_bytes(left: &[u8], right: &[u8]) -> usize {
    let words = left.chunks_exact(8).zip(right.chunks_exact(8)).take_while(|(left, right)| left == right).count();
    let same = left[8 * words..].iter().zip(&right[8 * words..]).take_while(|(left, right)| left == right);
    8 * words + same.count()
}

/// All of some runs, in order.
pub struct Merge<'r>(BinaryHeap<Head<'r>>);

/// The first byte string that is left of a run.
struct Head<'r> {
    bytes: Vec<u8>,
    diff: Diff,
    rest: Box<Rest<'r>>,
}

/// What comes after it.
enum Rest<'r> {
    InMemory { chunks: &'r [Vec<u8>], entries: &'r [Entry] },
    Spilled { file: &'r File, unread: Range<u64>, buffer: Vec<u8>, at: usize },
}

impl<'r> Merge<'r> {
    /// Begins with the first of all; what waits in memory has been sorted.
    pub fn of(all: impl IntoIterator<Item = &'r Runs>) -> io::Result<Merge<'r>> {
        let mut heads = BinaryHeap::new();
        for runs in all {
            let spilled = runs.file.iter().flat_map(|file| runs.spilled.iter().map(move |run| (file, run.clone())));
            let spilled = spilled.map(|(file, unread)| Rest::Spilled { file, unread, buffer: Vec::new(), at: 0 });
            let in_memory = Rest::InMemory { chunks: &runs.chunks, entries: &runs.entries };
            for rest in spilled.chain([in_memory]) {
                let mut head = Head { bytes: Vec::new(), diff: 0, rest: Box::new(rest) };
                if head.advance()? {
                    heads.push(head);
                }
            }
        }
        Ok(Merge(heads))
    }

    /// The first byte string that is left, and how often it is there.
    pub fn first(&self) -> Option<(&[u8], Diff)> {
        self.0.peek().map(|head| (head.bytes.as_slice(), head.diff))
    }

    /// Goes on to the next one.
    pub fn advance(&mut self) -> io::Result<()> {
        if let Some(mut head) = self.0.peek_mut()
            && !head.advance()?
        {
            PeekMut::pop(head);
        }
        Ok(())
    }
}

impl Head<'_> {
    /// Takes the next byte string; false where there is none.
    fn advance(&mut self) -> io::Result<bool> {
        match &mut *self.rest {
            Rest::InMemory { chunks, entries } => {
                let Some((entry, rest)) = entries.split_first() else { return Ok(false) };
                *entries = rest;
                self.bytes.clear();
                self.bytes.extend_from_slice(bytes_of(chunks, entry));
                self.diff = entry.diff as Diff;
                Ok(true)
            }
            Rest::Spilled { file, unread, buffer, at } => {
                fill(file, unread, buffer, at, 3 * VARINT_BYTES_MAX)?;
                if *at == buffer.len() {
                    return Ok(false);
                }
                let [shared, length, signed] = [(); 3].map(|()| read_varint(buffer, at));
                fill(file, unread, buffer, at, length as usize)?;
                let Some(rest) = buffer.get(*at..*at + length as usize) else {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                };
                self.bytes.truncate(shared as usize);
                self.bytes.extend_from_slice(rest);
                self.diff = ((signed >> 1) as i64 ^ -((signed & 1) as i64)) as Diff;
                *at += length as usize;
                Ok(true)
            }
        }
    }
}

/// Reads on where fewer than `wanted` bytes are left in the buffer.
fn fill(file: &File, unread: &mut Range<u64>, buffer: &mut Vec<u8>, at: &mut usize, wanted: usize) -> io::Result<()> {
    if buffer.len() - *at >= wanted || unread.is_empty() {
        return Ok(());
    }
    buffer.drain(..std::mem::take(at));
    let kept = buffer.len();
    let more = (unread.end - unread.start).min(RUN_BUFFER_BYTES.max(wanted) as u64);
    buffer.resize(kept + more as usize, 0);
    file.read_exact_at(&mut buffer[kept..], unread.start)?;
    unread.start += more;
    Ok(())
}

fn write_varint(mut number: u64, out: &mut impl Write) -> io::Result<u64> {
    let (mut bytes, mut length) = ([0; VARINT_BYTES_MAX], 0);
    loop {
        let last = number < 0x80;
        bytes[length] = number as u8 & 0x7F | if last { 0 } else { 0x80 };
        (number, length) = (number >> 7, length + 1);
        if last {
            out.write_all(&bytes[..length])?;
            return Ok(length as u64);
        }
    }
}

fn read_varint(buffer: &[u8], at: &mut usize) -> u64 {
    let (mut number, mut shift) = (0, 0);
    while let Some(byte) = buffer.get(*at) {
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 || shift > 63 {
            break;
        }
    }
    number
}

impl PartialEq for Head<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Head<'_> {}

impl PartialOrd for Head<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head<'_> {
    /// The first in order is the greatest: that is the one a heap gives.
    fn cmp(&self, other: &Self) -> Ordering {
        other.bytes.cmp(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn all_comes_out_in_order_however_often_it_is_spilled(
            pushed in prop::collection::vec((0..3_usize, "[ab\u{0}]{0,12}|[a-c]{9,200}", -2..3_isize, prop::bool::weighted(0.05)), 0..300),
        ) {
            let (mut runs, mut wanted) = ([Runs::default(), Runs::default(), Runs::default()], BTreeMap::new());
            for (number, text, diff, spills) in &pushed {
                let (left, right) = text.as_bytes().split_at(text.len() / 2);
                runs[*number].push(&[left, right], *diff);
                *wanted.entry(text.as_bytes().to_vec()).or_insert(0) += diff;
                if *spills {
                    runs[*number].spill().unwrap();
                }
            }
            runs.iter_mut().for_each(Runs::sort);
            let (mut got, mut last) = (BTreeMap::new(), Vec::new());
            let mut merge = Merge::of(&runs).unwrap();
            while let Some((bytes, diff)) = merge.first() {
                prop_assert!(last.as_slice() <= bytes && diff != 0);
                last = bytes.to_vec();
                *got.entry(bytes.to_vec()).or_insert(0) += diff;
                merge.advance().unwrap();
            }
            wanted.retain(|_, diff| *diff != 0);
            got.retain(|_, diff| *diff != 0);
            prop_assert_eq!(got, wanted);
        }
    }

    #[test]
    fn a_byte_string_may_be_longer_than_any_buffer() {
        let mut runs = Runs::default();
        let long = |byte| vec![byte; 3 * CHUNK_BYTES];
        for byte in [b'b', b'a'] {
            runs.push(&[&long(byte)], 1);
        }
        runs.spill().unwrap();
        runs.push(&[&long(b'c')], 1);
        let mut merge = Merge::of([&runs]).unwrap();
        for byte in [b'a', b'b', b'c'] {
            assert_eq!(merge.first(), Some((long(byte).as_slice(), 1)));
            merge.advance().unwrap();
        }
        assert_eq!(merge.first(), None);
    }
}

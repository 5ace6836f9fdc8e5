//! Blocks: a byte stream cut into stretches of about 1 MiB at record boundaries, so that one file keeps all workers busy.
//!
//! Invariant: every byte is in exactly one block, records are whole, and a block knows the line it starts on. A record
//! longer than the limit becomes a block of its own that holds its beginning only, or nothing where it is blanks alone:
//! memory stays bounded whatever the input is. Of an input that breaks off, or of which no more is to be read, what has
//! come whole is given still, and half a record is none.

use std::io::{self, Read};

use memchr::{memchr, memchr_iter, memchr2, memrchr};

use super::bytes::Bytes;
use crate::interrupt;
use crate::validate::MAX_RECORD_BYTES;

/// How records are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A record is a line.
    Lines,
    /// A record is a CSV record: quoted line ends are part of it.
    Csv,
}

/// A stretch of whole records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its number, from 0.
    pub number: u64,
    /// The line its first record starts on, counted from 1.
    pub first_line: u64,
    /// Its bytes, line ends included.
    pub bytes: Vec<u8>,
    /// True where it is the beginning of one record that is too large.
    pub is_too_large: bool,
}

impl Block {
    /// A block without records.
    pub fn empty() -> Block {
        Block { number: 0, first_line: 1, bytes: Vec::new(), is_too_large: false }
    }
}

const BLOCK_BYTES: usize = 1 << 20;
/// How much of a record that is too large is kept, for its dead letter.
const KEPT_BYTES: usize = 64 << 10;
/// May stand at the start of a text, and is no part of it.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A byte stream being cut.
pub struct Blocks {
    input: Bytes,
    framing: Framing,
    /// Read, not yet given.
    pending: Vec<u8>,
    line: u64,
    number: u64,
    started: bool,
    ended: bool,
    /// True where the input's own end was not reached.
    is_cut: bool,
    /// Why not, unless that was wanted.
    failure: Option<io::Error>,
}

impl Blocks {
    /// Cuts `input` from its beginning.
    pub fn new(input: Bytes, framing: Framing) -> Blocks {
        Blocks {
            input,
            framing,
            pending: Vec::new(),
            line: 1,
            number: 0,
            started: false,
            ended: false,
            is_cut: false,
            failure: None,
        }
    }

    /// The next block; none at the end of the input, and none where no more is to be read. An input that breaks off gives
    /// its error after the records that came whole.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        self.fill(BLOCK_BYTES);
        let mut end = self.records_end();
        while end == 0 && !self.ended && self.pending.len() <= MAX_RECORD_BYTES + 1 {
            self.fill(self.pending.len() + BLOCK_BYTES);
            end = self.records_end();
        }
        match end {
            0 if self.pending.is_empty() || self.is_cut => self.failure.take().map_or(Ok(None), Err),
            0 => Ok(Some(self.give_too_large())),
            end => Ok(Some(self.give(end))),
        }
    }

    /// Takes the first record, the header of a CSV file: its bytes, line end and blank lines before it included.
    pub fn take_header(&mut self) -> io::Result<Vec<u8>> {
        self.fill(BLOCK_BYTES);
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let header = without_blank_lines(&self.pending);
        let found = match self.framing {
            Framing::Lines => memchr(b'\n', header).map(|end| end + 1),
            Framing::Csv => first_csv_record_end(header),
        };
        let end = self.pending.len() - header.len() + found.unwrap_or(header.len());
        let block = self.give(end);
        self.number = 0;
        if self.framing == Framing::Csv && goes_on_behind_a_return(without_blank_lines(&block.bytes)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "lines end in CR alone"));
        }
        Ok(block.bytes)
    }

    /// The line the next block starts on.
    pub fn line(&self) -> u64 {
        self.line
    }

    fn fill(&mut self, wanted: usize) {
        if interrupt::is_requested() {
            (self.ended, self.is_cut) = (true, self.is_cut || !self.ended);
        }
        while self.pending.len() < wanted && !self.ended {
            let missing = (wanted - self.pending.len()) as u64;
            match self.input.by_ref().take(missing).read_to_end(&mut self.pending) {
                Ok(read) => self.ended = read == 0,
                Err(error) => {
                    (self.ended, self.is_cut) = (true, true);
                    self.failure = Some(error).filter(|_| !interrupt::is_requested());
                }
            }
            if !self.started {
                self.started = true;
                if self.pending.starts_with(BYTE_ORDER_MARK) {
                    self.pending.drain(..BYTE_ORDER_MARK.len());
                }
            }
        }
    }

    /// Where the last whole record in `pending` ends; 0 where none is whole.
    fn records_end(&self) -> usize {
        let whole = match self.framing {
            Framing::Lines => memrchr(b'\n', &self.pending).map_or(0, |end| end + 1),
            Framing::Csv => csv_records_end(&self.pending),
        };
        // What has its end is too large by itself, and not the beginning of what has none.
        let has_end = || self.framing == Framing::Csv && !ends_within_quotes(&self.pending[whole..]);
        let is_last = self.ended && !self.is_cut && (self.pending.len() - whole <= MAX_RECORD_BYTES || has_end());
        if is_last { self.pending.len() } else { whole }
    }

    fn give(&mut self, end: usize) -> Block {
        let rest = self.pending.split_off(end);
        let bytes = std::mem::replace(&mut self.pending, rest);
        let block = Block { number: self.number, first_line: self.line, bytes, is_too_large: false };
        self.number += 1;
        self.line += memchr_iter(b'\n', &block.bytes).count() as u64;
        block
    }

    /// Gives the beginning of a record that has no end in sight, of blanks alone nothing, and skips the rest of its last line.
    fn give_too_large(&mut self) -> Block {
        let mut block = Block { number: self.number, first_line: self.line, bytes: Vec::new(), is_too_large: false };
        block.bytes.extend_from_slice(&self.pending[..self.pending.len().min(KEPT_BYTES)]);
        self.number += 1;
        let searched_from = match self.framing {
            Framing::Lines => 0,
            // Line ends within the limit may be quoted. A quote whose end is nowhere near is taken for one that was never
            // closed: the rest of the file would be lost with it.
            Framing::Csv => self.pending.len().min(MAX_RECORD_BYTES),
        };
        let mut from = searched_from;
        loop {
            if let Some(end) = memchr(b'\n', &self.pending[from..]) {
                let end = from + end + 1;
                block.is_too_large |= !is_blank(&self.pending[..end]);
                self.line += memchr_iter(b'\n', &self.pending[..end]).count() as u64;
                self.pending.drain(..end);
                break;
            }
            block.is_too_large |= !is_blank(&self.pending);
            self.line += memchr_iter(b'\n', &self.pending).count() as u64;
            self.pending.clear();
            from = 0;
            self.fill(BLOCK_BYTES);
            if self.pending.is_empty() {
                break;
            }
        }
        if !block.is_too_large {
            block.bytes.clear();
        }
        block
    }
}

/// A header without the blank lines before it.
pub fn without_blank_lines(header: &[u8]) -> &[u8] {
    let mut header = header;
    while let Some(end) = memchr(b'\n', header).filter(|end| is_blank(&header[..*end])) {
        header = &header[end + 1..];
    }
    header
}

/// True where CR alone ends a line of what is taken for a header: rows would be part of it, and lost.
fn goes_on_behind_a_return(header: &[u8]) -> bool {
    let mut is_quoted = false;
    header.trim_ascii().windows(2).any(|pair| {
        is_quoted ^= pair[0] == b'"';
        !is_quoted && pair[0] == b'\r' && pair[1] != b'\n'
    })
}

/// Where the last whole CSV record ends; 0 where none is whole.
fn csv_records_end(bytes: &[u8]) -> usize {
    if memchr(b'"', bytes).is_none() {
        return memrchr(b'\n', bytes).map_or(0, |end| end + 1);
    }
    let mut end = 0;
    while let Some(next) = first_csv_record_end(&bytes[end..]) {
        end += next;
    }
    end
}

/// Where the first CSV record ends, its line end included; none where it is not whole.
pub fn first_csv_record_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\n', bytes.get(at..)?)?;
        if bytes[at] == b'\n' {
            return Some(at + 1);
        }
        let opens = at == 0 || bytes[at - 1] == b',';
        at += 1;
        if opens {
            // Within quotes a doubled quote stands for one.
            loop {
                at += memchr(b'"', bytes.get(at..)?)? + 1;
                if bytes.get(at) == Some(&b'"') {
                    at += 1;
                } else {
                    break;
                }
            }
        }
    }
}

/// True where a CSV record that its file ends with has a quote that is never closed.
pub fn ends_within_quotes(record: &[u8]) -> bool {
    let mut at = 0;
    while let Some(quote) = memchr(b'"', record.get(at..).unwrap_or_default()) {
        at += quote + 1;
        if at == 1 || matches!(record[at - 2], b',' | b'\n') {
            // Within quotes a doubled quote stands for one.
            loop {
                match memchr(b'"', record.get(at..).unwrap_or_default()) {
                    None => return true,
                    Some(quote) => at += quote + 1,
                }
                if record.get(at) != Some(&b'"') {
                    break;
                }
                at += 1;
            }
        }
    }
    false
}

/// True where a line has nothing but blanks, of whatever alphabet.
pub fn is_blank(line: &[u8]) -> bool {
    match line.trim_ascii() {
        [] => true,
        // That knows one blank less.
        [first, ..] if first.is_ascii() && *first != b'\x0b' => false,
        rest => std::str::from_utf8(rest).is_ok_and(|text| text.trim().is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &[u8], framing: Framing) -> Vec<Block> {
        let mut blocks = Blocks::new(Box::new(io::Cursor::new(text.to_vec())), framing);
        std::iter::from_fn(|| blocks.next_block().ok().flatten()).collect()
    }

    #[test]
    fn every_byte_is_in_one_block_and_records_are_whole() {
        let line = format!("{}\n", "x".repeat(700_000));
        let text = line.repeat(5) + "last";
        let blocks = blocks(text.as_bytes(), Framing::Lines);
        assert_eq!(blocks.iter().map(|block| block.first_line).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
        assert_eq!(blocks.concat_bytes(), text.as_bytes());
    }

    #[test]
    fn quoted_line_ends_are_part_of_a_record() {
        assert_eq!(first_csv_record_end(b"a,\"b\nc\"\nd"), Some(8));
        assert_eq!(first_csv_record_end(b"a,b\"c\nd"), Some(6), "a quote within a field is a quote");
        assert_eq!(first_csv_record_end(b"\"a\"\"\n\"\"\"\nx"), Some(9));
        assert_eq!(csv_records_end(b"a\n\"b\n"), 2);
        let open = [&b"\"b"[..], b"a,\"", b"a,\"b\"\"", b"\n\"b\"\"\n"];
        assert!(open.iter().all(|record| ends_within_quotes(record)));
        let closed = [&b""[..], b"\"b\"", b"a\"b", b"\ra,\r\"b", b"a,\"b\"\"\"\"\",\"c\"\n", b"\"a\"\"\""];
        assert!(!closed.iter().any(|record| ends_within_quotes(record)));
    }

    #[test]
    fn a_header_does_not_swallow_rows_that_end_in_returns() {
        let header = |text: &[u8]| Blocks::new(Box::new(io::Cursor::new(text.to_vec())), Framing::Csv).take_header();
        for whole in [&b"a,b\r\n1,2\r"[..], b"\r\ra,b\r", b"\"a\rb\",c\n1,2\n", b"a,b\r\r\n1,2", b"", b"\r"] {
            assert!(header(whole).is_ok(), "{whole:?}");
        }
        for (text, taken) in [("\n \r\na,b\n1,2\n", "a,b\n"), ("\n\n", ""), ("\n", ""), (" ", " "), ("\na", "a")] {
            let found = header(text.as_bytes()).unwrap();
            assert_eq!(without_blank_lines(&found), taken.as_bytes());
            assert!(text.as_bytes().starts_with(&found));
        }
        for swallowed in [&b"a,b\r1,2\r"[..], b"a,\"b\"\r1,2\n3,4\n", b"\ra,b\r\r1,2"] {
            assert_eq!(header(swallowed).unwrap_err().kind(), io::ErrorKind::InvalidData, "{swallowed:?}");
        }
    }

    #[test]
    fn a_record_without_end_is_cut_and_the_next_one_is_read() {
        for (byte, kept) in [(b'x', KEPT_BYTES), (b' ', 0)] {
            let text = [b"a\n".as_slice(), &vec![byte; 5 << 20], b"\nb\n"].concat();
            for framing in [Framing::Lines, Framing::Csv] {
                let shape = |block: &Block| (block.first_line, block.bytes.len(), block.is_too_large);
                let shapes: Vec<_> = blocks(&text, framing).iter().map(shape).collect();
                assert_eq!(shapes, [(1, 2, false), (2, kept, kept > 0), (3, 2, false)]);
            }
        }
    }

    #[test]
    fn what_came_whole_before_a_failure_is_given() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        let text = format!("a\n{}\nb\nhalf", "x".repeat(BLOCK_BYTES));
        for framing in [Framing::Lines, Framing::Csv] {
            let mut blocks = Blocks::new(Box::new(io::Cursor::new(text.clone()).chain(Broken)), framing);
            let mut given = Vec::new();
            let failure = loop {
                match blocks.next_block() {
                    Ok(block) => given.extend(block.unwrap().bytes),
                    Err(failure) => break failure,
                }
            };
            assert_eq!((failure.to_string(), blocks.line()), ("broken".to_owned(), 4));
            assert_eq!(given, text.as_bytes()[..text.len() - 4]);
        }
    }

    #[test]
    fn every_blank_of_unicode_is_blank() {
        let blanks = (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|letter| letter.is_whitespace());
        for blank in blanks {
            assert!(
                is_blank(format!("{blank}").as_bytes()) && is_blank(format!(" {blank}\t{blank}").as_bytes()),
                "{blank:?}"
            );
        }
        for line in [&b"\x0bx"[..], b"\xa0", "\u{200b}".as_bytes(), b"\0", b"\x1f", "\u{a0},".as_bytes()] {
            assert!(!is_blank(line), "{line:?}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(blocks(b"\xEF\xBB\xBFa\n", Framing::Lines).concat_bytes(), b"a\n");
        assert!(blocks(b"\xEF\xBB\xBF", Framing::Lines).is_empty());
    }

    trait ConcatBytes {
        fn concat_bytes(&self) -> Vec<u8>;
    }

    impl ConcatBytes for Vec<Block> {
        fn concat_bytes(&self) -> Vec<u8> {
            self.iter().flat_map(|block| block.bytes.clone()).collect()
        }
    }
}

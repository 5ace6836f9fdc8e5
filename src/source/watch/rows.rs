//! A file that was picked up as records: each line of `.jsonl`, each row of `.csv` as the JSON object it stands for.
//!
//! Invariant: records and their lines depend on the file's bytes alone. A row that is none (cells are missing, a quote is
//! never closed, it is not UTF-8) stays as it stands, and is refused as such when it is decoded.

use std::io;

use csv::{ByteRecord, ReaderBuilder};
use memchr::memchr_iter;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::source::blocks::{Block, Blocks, Framing, ends_within_quotes, first_csv_record_end};
use crate::source::bytes::{Bytes, ENDINGS};
use crate::source::jsonl::JsonLines;
use crate::validate::MAX_RECORD_BYTES;

/// How a file of this name is read; none where it is no input.
pub fn framing_of(name: &str) -> Option<Framing> {
    let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    match name.rsplit_once('.')?.1 {
        "jsonl" => Some(Framing::Lines),
        "csv" => Some(Framing::Csv),
        _ => None,
    }
}

/// A record with its line, from 1.
pub type Line = (u64, Vec<u8>);

/// The records of a file, a block at a time.
pub struct Rows {
    blocks: Blocks,
    /// The names of the columns, where it has rows.
    columns: Option<Vec<String>>,
    /// Lines so far.
    pub lines: u64,
    seen: Xxh3,
}

impl Rows {
    /// Begins to read a file.
    pub fn open(bytes: Bytes, framing: Framing) -> io::Result<Rows> {
        let mut blocks = Blocks::new(bytes, framing);
        let columns = match framing {
            Framing::Lines => None,
            Framing::Csv => {
                let header = blocks.take_header()?;
                let cells = cells(&header).unwrap_or_default();
                Some(cells.iter().map(|cell| String::from_utf8_lossy(cell.trim_ascii()).into_owned()).collect())
            }
        };
        let lines = blocks.line() - 1;
        let mut seen = Xxh3::new();
        columns.iter().flatten().for_each(|column: &String| seen.update(column.as_bytes()));
        Ok(Rows { blocks, columns, lines, seen })
    }

    /// Stands for what was read so far.
    pub fn checksum(&self) -> u64 {
        self.seen.digest()
    }

    /// The next block; none at the end.
    pub fn next_block(&mut self) -> io::Result<Option<Block>> {
        let block = self.blocks.next_block()?;
        if let Some(block) = &block {
            self.seen.update(&block.bytes);
            self.lines = self.blocks.line() - u64::from(block.bytes.ends_with(b"\n"));
        }
        Ok(block)
    }

    /// The records of a block.
    pub fn records(&self, block: &Block) -> Vec<Line> {
        match &self.columns {
            _ if block.is_too_large => {
                // As long as it takes to be refused for its length: the rest is not there any more.
                let mut beginning = block.bytes.clone();
                beginning.resize(MAX_RECORD_BYTES + 1, b' ');
                vec![(block.first_line, beginning)]
            }
            None => JsonLines::lines(block).map(|(line, text)| (line, text.to_vec())).collect(),
            Some(columns) => {
                let (mut records, mut rest, mut line) = (Vec::new(), block.bytes.as_slice(), block.first_line);
                while !rest.is_empty() {
                    let (row, after) = rest.split_at(first_csv_record_end(rest).unwrap_or(rest.len()));
                    if !row.trim_ascii().is_empty() {
                        records.push((line, object(columns, row).unwrap_or_else(|| row.trim_ascii_end().to_vec())));
                    }
                    line += memchr_iter(b'\n', row).count() as u64;
                    rest = after;
                }
                records
            }
        }
    }
}

fn cells(row: &[u8]) -> Option<ByteRecord> {
    let mut cells = ByteRecord::new();
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(row.len().max(1)).from_reader(row);
    reader.read_byte_record(&mut cells).ok().filter(|is_there| *is_there).map(|_| cells)
}

/// A row as a JSON object of its cells, those that are empty left out; none where it is no row.
fn object(columns: &[String], row: &[u8]) -> Option<Vec<u8>> {
    let cells = cells(row).filter(|cells| cells.len() == columns.len() && !ends_within_quotes(row))?;
    let mut object = Map::new();
    for (name, cell) in columns.iter().zip(&cells) {
        let cell = std::str::from_utf8(cell).ok()?;
        if !cell.is_empty() {
            object.insert(name.clone(), Value::from(cell));
        }
    }
    serde_json::to_vec(&object).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], framing: Framing) -> (u64, Vec<(u64, String)>) {
        let mut rows = Rows::open(Box::new(io::Cursor::new(text.to_vec())), framing).unwrap();
        let mut records = Vec::new();
        while let Some(block) = rows.next_block().unwrap() {
            let shown = |(line, bytes): Line| (line, String::from_utf8_lossy(&bytes).into_owned());
            records.extend(rows.records(&block).into_iter().map(shown));
        }
        (rows.lines, records)
    }

    #[test]
    fn rows_are_the_objects_they_stand_for() {
        let text =
            b"order_id, event_type ,note\r\nA,ORDER_PLACED,\"x\ny\"\n\nB,,\"say \"\"hi\"\"\"\nC\n\xFF,a,b\nD,a,\"";
        let (lines, records) = read(text, Framing::Csv);
        assert_eq!(lines, 8);
        let of = |line: u64, text: &str| (line, text.to_owned());
        let expected = [
            of(2, r#"{"event_type":"ORDER_PLACED","note":"x\ny","order_id":"A"}"#),
            of(5, r#"{"note":"say \"hi\"","order_id":"B"}"#),
            of(6, "C"),
            of(7, "\u{FFFD},a,b"),
            of(8, "D,a,\""),
        ];
        assert_eq!(records, expected);
        assert_eq!(read(b"", Framing::Csv), (0, vec![]));
        assert_eq!(read(b"a,b\n", Framing::Csv), (1, vec![]));
        let returns = Rows::open(Box::new(io::Cursor::new(b"a,b\r1,2\r")), Framing::Csv);
        assert!(returns.is_err_and(|error| error.to_string() == "lines end in CR alone"));
    }

    #[test]
    fn lines_are_counted_whether_the_last_one_ends_or_not() {
        assert_eq!(read(b"a\n\nb\n", Framing::Lines), (3, vec![(1, "a".to_owned()), (3, "b".to_owned())]));
        assert_eq!(read(b"a\n\nb", Framing::Lines).0, 3);
        assert_eq!(read(b"", Framing::Lines).0, 0);
        let (lines, records) = read(&vec![b'x'; 3 << 20], Framing::Lines);
        assert_eq!((lines, records[0].1.len()), (1, MAX_RECORD_BYTES + 1));
    }

    #[test]
    fn names_tell_what_a_file_is() {
        let is = |name| framing_of(name).is_some();
        assert!(is("a.jsonl") && is("a.csv") && is("a.b.csv.gz") && is("a.jsonl.zst"));
        assert!(!is("a.json") && !is("a.jsonl.tmp") && !is("csv") && !is("a.gz"));
    }
}

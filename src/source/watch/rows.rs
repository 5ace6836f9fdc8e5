//! A file that was picked up as records: each line of `.jsonl`, each row of `.csv` as it stands.
//!
//! Invariant: records and their lines depend on the file's bytes alone. What nobody else could tell of a record (that it is
//! too large, that a quote is never closed) goes with it as its form.

use std::collections::HashSet;
use std::io;

use memchr::memchr_iter;
use xxhash_rust::xxh3::Xxh3;

use crate::decode::form::Form;
use crate::decode::row::{RowColumns, cells};
use crate::source::blocks::{
    Block, Blocks, Framing, ends_within_quotes, first_csv_record_end, is_blank, without_blank_lines,
};
use crate::source::bytes::{Bytes, ENDINGS};
use crate::source::jsonl::JsonLines;
use crate::validate::Reason;

/// Columns of which any record needs one each: whose it is, what it tells, and when that was.
const NEEDED_COLUMNS: [&[&str]; 3] = [
    &["order_id"],
    &["event_type", "status", "order_status", "order_item_id", "payment_sequential"],
    &["timestamp", "order_purchase_timestamp"],
];

/// How a file of this name is read; none where it is no input.
pub fn framing_of(name: &str) -> Option<Framing> {
    let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    match name.rsplit_once('.')?.1 {
        "jsonl" => Some(Framing::Lines),
        "csv" => Some(Framing::Csv),
        _ => None,
    }
}

/// A record with its line, from 1, and how it is written.
pub type Line = (u64, Vec<u8>, Form);

/// The records of a file, a block at a time.
pub struct Rows {
    blocks: Blocks,
    /// Where it has rows.
    columns: Option<RowColumns>,
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
                let cells = cells(without_blank_lines(&header)).unwrap_or_default();
                let name = |cell: &[u8]| String::from_utf8_lossy(cell.trim_ascii()).into_owned();
                Some(RowColumns::new(cells.iter().map(name).collect()))
            }
        };
        let lines = blocks.line() - 1;
        let mut seen = Xxh3::new();
        columns.iter().flat_map(RowColumns::names).for_each(|column| seen.update(column.as_bytes()));
        Ok(Rows { blocks, columns, lines, seen })
    }

    /// What is wrong with the header, and what to do: no row below it could be read, or one would say two things.
    pub fn header_fault(&self) -> Option<String> {
        let columns = self.columns.as_ref()?.names();
        let mut names = HashSet::new();
        let fault = match columns.iter().find(|column| !column.is_empty() && !names.insert(*column)) {
            // A name may be as long as the file.
            Some(twice) => format!("has the column `{twice:.100}` twice"),
            None => {
                let is_missing = |any: &&&[&str]| !any.iter().any(|name| columns.iter().any(|column| column == name));
                format!("has no column `{}`", NEEDED_COLUMNS.iter().find(is_missing)?.join("` or `"))
            }
        };
        Some(format!("the header {fault}; it has to name each column once, in lower case, with commas between them"))
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
                vec![(block.first_line, block.bytes.clone(), Form::Refused(Reason::TooLarge))]
            }
            None => JsonLines::lines(block).map(|(line, text)| (line, text.to_vec(), Form::Json)).collect(),
            Some(columns) => {
                let (mut records, mut rest, mut line) = (Vec::new(), block.bytes.as_slice(), block.first_line);
                while !rest.is_empty() {
                    let (row, after) = rest.split_at(first_csv_record_end(rest).unwrap_or(rest.len()));
                    if !is_blank(row) {
                        let form = match ends_within_quotes(row) {
                            true => Form::Refused(Reason::Malformed),
                            false => Form::Row(columns.clone()),
                        };
                        let text = row.strip_suffix(b"\n").unwrap_or(row);
                        records.push((line, text.strip_suffix(b"\r").unwrap_or(text).to_vec(), form));
                    }
                    line += memchr_iter(b'\n', row).count() as u64;
                    rest = after;
                }
                records
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::{Limits, MAX_RECORD_BYTES};

    fn read(text: &[u8], framing: Framing) -> (u64, Vec<(u64, String)>) {
        let mut rows = Rows::open(Box::new(io::Cursor::new(text.to_vec())), framing).unwrap();
        let mut records = Vec::new();
        while let Some(block) = rows.next_block().unwrap() {
            let shown = |(line, bytes, _): Line| (line, String::from_utf8_lossy(&bytes).into_owned());
            records.extend(rows.records(&block).into_iter().map(shown));
        }
        (rows.lines, records)
    }

    /// What becomes of each record.
    fn verdicts(text: &[u8], framing: Framing) -> Vec<String> {
        let mut rows = Rows::open(Box::new(io::Cursor::new(text.to_vec())), framing).unwrap();
        let limits = Limits::at(1_767_225_600_000);
        let mut verdicts = Vec::new();
        while let Some(block) = rows.next_block().unwrap() {
            let verdict = |(_, bytes, form): Line| {
                form.record(&bytes, &limits).map_or_else(|broken| broken.joined(), |_| "ok".to_owned())
            };
            verdicts.extend(rows.records(&block).into_iter().map(verdict));
        }
        verdicts
    }

    #[test]
    fn rows_are_records_as_they_stand() {
        let text = [
            &b"order_id, event_type ,note\r\nA,ORDER_PLACED,\"x\ny\"\n\nB,,\"say \"\"hi\"\"\"\n"[..],
            b"C\nE,a,b\rF,a,b\n\xFF,a,b\nD,a,\"",
        ];
        let (lines, records) = read(&text.concat(), Framing::Csv);
        assert_eq!(lines, 9);
        let of = |line: u64, text: &str| (line, text.to_owned());
        let expected = [
            of(2, "A,ORDER_PLACED,\"x\ny\""),
            of(5, "B,,\"say \"\"hi\"\"\""),
            of(6, "C"),
            of(7, "E,a,b\rF,a,b"),
            of(8, "\u{FFFD},a,b"),
            of(9, "D,a,\""),
        ];
        assert_eq!(records, expected);
        assert_eq!(read(b"", Framing::Csv), (0, vec![]));
        assert_eq!(read(b"a,b\n", Framing::Csv), (1, vec![]));
        let returns = Rows::open(Box::new(io::Cursor::new(b"a,b\r1,2\r")), Framing::Csv);
        assert!(returns.is_err_and(|error| error.to_string() == "lines end in CR alone"));
    }

    #[test]
    fn a_header_names_each_column_once_and_what_every_record_needs() {
        let fault = |text: &[u8], framing: Framing| {
            let rows = Rows::open(Box::new(io::Cursor::new(text.to_vec())), framing).unwrap();
            rows.header_fault().unwrap_or_default()
        };
        for (header, expected) in [
            (
                &b"order_id,,timestamp,event_type,event_type\nA,x\n"[..],
                "the header has the column `event_type` twice; ",
            ),
            (b"timestamp,order_id,status, timestamp ", "the header has the column `timestamp` twice; "),
            (b"order_id;event_type;timestamp\n", "the header has no column `order_id`; "),
            (b"order_id\tevent_type\ttimestamp\n", "the header has no column `order_id`; "),
            (b"ORDER_ID,event_type,timestamp\n", "the header has no column `order_id`; "),
            (b"order_id,timestamp,value\n", "the header has no column `event_type` or `status` or `order_status` or "),
            (b"order_id,status,time\n", "the header has no column `timestamp` or `order_purchase_timestamp`; "),
            (b"", "the header has no column `order_id`; "),
        ] {
            let found = fault(header, Framing::Csv);
            assert!(found.starts_with(expected), "{found}");
            assert!(!found.is_empty() && fault(header, Framing::Lines).is_empty());
        }
        for header in ["order_id,event_type,timestamp", ",note,,\"order_id\", status ,timestamp,\n"] {
            assert_eq!(fault(header.as_bytes(), Framing::Csv), "");
        }
        let rows = ["order_status,order_purchase_timestamp", "order_item_id,timestamp", "payment_sequential,timestamp"];
        assert!(rows.iter().all(|row| fault(format!("{row},order_id").as_bytes(), Framing::Csv).is_empty()));
    }

    #[test]
    fn lines_are_counted_whether_the_last_one_ends_or_not() {
        assert_eq!(read(b"a\n\nb\n", Framing::Lines), (3, vec![(1, "a".to_owned()), (3, "b".to_owned())]));
        assert_eq!(read(b"a\n\nb", Framing::Lines).0, 3);
        assert_eq!(read(b"", Framing::Lines).0, 0);
        let (lines, records) = read(&vec![b'x'; 3 << 20], Framing::Lines);
        assert_eq!((lines, records.len()), (1, 1));
    }

    #[test]
    fn a_row_is_refused_for_what_it_is_and_for_its_own_length() {
        let good = "A,shipped,2024-03-01 09:00:00,";
        let escaped = "\u{1}".repeat(300_000);
        let long = "x".repeat(MAX_RECORD_BYTES + 1 - good.len());
        let rows = format!("{good}\nA,shipped\n{good},\n{good}{escaped}\n{good}{long}\n{good}\"");
        let text = format!("order_id,status,timestamp,note\n{rows}");
        let expected = ["ok", "column_count", "column_count", "ok", "too_large", "malformed"];
        assert_eq!(verdicts(text.as_bytes(), Framing::Csv), expected);
        assert_eq!(verdicts(&vec![b'x'; 3 << 20], Framing::Lines), ["too_large"]);
    }

    #[test]
    fn names_tell_what_a_file_is() {
        let is = |name| framing_of(name).is_some();
        assert!(is("a.jsonl") && is("a.csv") && is("a.b.csv.gz") && is("a.jsonl.zst"));
        assert!(!is("a.json") && !is("a.jsonl.tmp") && !is("csv") && !is("a.gz"));
    }
}

//! What must hold whatever the bytes are that are taken for rows of CSV: those of Olist, and those of watched files.

use std::collections::BTreeSet;

use csv::ByteRecord;
use orderwatch::decode::cells::{CsvRows, PlainRows};
use orderwatch::decode::form::Form;
use orderwatch::decode::olist::{ItemColumns, OrderColumns, PaymentColumns};
use orderwatch::decode::row::{RowColumns, cells};
use orderwatch::decode::topic;
use orderwatch::source::blocks::first_csv_record_end;
use orderwatch::validate::Limits;

use super::{NOW, assert_broken};

/// Rows of each Olist file, header included, are decoded or refused, and split quickly or slowly come to the same.
pub fn olist(file: &[u8]) {
    let limits = Limits::at(NOW);
    let Some((header, rows)) = file.iter().position(|byte| *byte == b'\n').map(|end| file.split_at(end + 1)) else {
        return;
    };
    let mut names = ByteRecord::new();
    let read = |bytes: &[u8], record: &mut ByteRecord| {
        csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes).read_byte_record(record)
    };
    if !matches!(read(header, &mut names), Ok(true)) {
        return;
    }
    macro_rules! check {
        ($columns:ty) => {
            if let Ok(columns) = <$columns>::from_header(&names) {
                let (mut split, is_plain) = (CsvRows::of(rows), PlainRows::of(rows).is_some());
                if let Some(mut plain) = PlainRows::of(rows) {
                    while let Some((lines, bytes, row)) = plain.next_row() {
                        let slow = split.next_row().unwrap();
                        assert_eq!((lines, bytes), (slow.lines, slow.raw));
                        let quick = columns.decode(&row, &limits);
                        assert_eq!(quick, columns.decode(slow.cells, &limits), "{}", bytes.escape_ascii());
                        quick.err().iter().for_each(assert_broken);
                    }
                }
                while let Some(row) = split.next_row() {
                    assert!(!is_plain, "a row too many: {}", row.raw.escape_ascii());
                    columns.decode(row.cells, &limits).err().iter().for_each(assert_broken);
                }
            }
        };
    }
    check!(OrderColumns);
    check!(ItemColumns);
    check!(PaymentColumns);
}

/// Rows of a watched file, header included, are decoded to facts of one order or refused for every reason, and each
/// says what the object of its cells says.
pub fn rows(file: &[u8]) {
    let limits = Limits::at(NOW);
    let Some(end) = file.iter().position(|byte| *byte == b'\n') else { return };
    let (header, mut rest) = file.split_at(end + 1);
    let name = |cell: &[u8]| String::from_utf8_lossy(cell.trim_ascii()).into_owned();
    let names: Vec<String> = cells(header).unwrap_or_default().iter().map(name).collect();
    let form = Form::Row(RowColumns::new(names.clone()));
    while !rest.is_empty() {
        let (row, after) = rest.split_at(first_csv_record_end(rest).unwrap_or(rest.len()));
        rest = after;
        let row = row.strip_suffix(b"\n").unwrap_or(row);
        let decoded = form.record(row, &limits);
        if let Some(object) = object(&names, row) {
            assert_eq!(decoded, topic::record(object.as_bytes(), &limits), "{object}");
        }
        match decoded {
            Ok(facts) => {
                assert!(facts.iter().all(|fact| fact.order == *facts.order()) && facts.latest() <= limits.latest())
            }
            Err(broken) => assert_broken(&broken),
        }
    }
}

/// The JSON object that a row stands for; none where it is not one row below these names, or one of them stands twice:
/// no such file is read.
fn object(names: &[String], row: &[u8]) -> Option<String> {
    let cells = cells(row).filter(|cells| cells.len() == names.len())?;
    let mut known = BTreeSet::new();
    if !names.iter().all(|name| name.is_empty() || known.insert(name)) {
        return None;
    }
    let mut members = serde_json::Map::new();
    for (name, cell) in names.iter().zip(&cells) {
        let cell = std::str::from_utf8(cell).ok()?;
        if !cell.is_empty() {
            members.insert(name.clone(), cell.into());
        }
    }
    Some(serde_json::Value::Object(members).to_string())
}

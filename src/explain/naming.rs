//! Which order a refused record names.
//!
//! A row of an Olist directory names it in its column `order_id`, a JSON object in the member of that name. What is
//! neither, as a row without end, broken JSON or Avro, names none for certain: whose id stands in it as a word is named
//! perhaps. Limits: so is a row with more or fewer columns than its header, unless its first column is the id.

use std::collections::BTreeMap;
use std::path::Path;

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{OrderId, Text};
use dataflows::views::dead_letters::{RAW_BYTES_MAX, RefusedRecord};
use serde_json::Value;

use crate::decode::row::cells;
use crate::source::blocks::{Blocks, Framing, ends_within_quotes, without_blank_lines};
use crate::source::bytes;
use crate::source::inputs::SourceFile;

const ORDER_ID: &str = "order_id";

/// Where rows name their order, for each file of an Olist directory by its number.
pub struct Tables(BTreeMap<u32, Columns>);

/// What the header of a file says.
struct Columns {
    width: usize,
    order_id: usize,
}

impl Tables {
    /// Reads the headers of those of `files` that are in Olist directories.
    pub fn read(files: &[SourceFile]) -> Tables {
        let columns = (0..).zip(files).filter_map(|(number, file)| Some((number, Columns::read(file)?)));
        Tables(columns.collect())
    }

    /// The order that a record names, its id empty where it has none; none where the record cannot be split.
    pub fn order_of(&self, record: &RefusedRecord) -> Option<OrderId> {
        let bytes = written(&record.raw);
        match self.0.get(&record.position.file()) {
            Some(columns) => {
                let order_id = columns.order_id(&bytes)?;
                Some(OrderId { tenant: Text::new(DEFAULT_TENANT), order_id })
            }
            None => in_object(&bytes),
        }
    }
}

impl Columns {
    /// None where the file is in no such directory.
    fn read(file: &SourceFile) -> Option<Columns> {
        let directory = Path::new(&file.source);
        let name = file.place.strip_suffix(':').filter(|_| directory.is_dir())?;
        let header = Blocks::new(bytes::open(&directory.join(name)).ok()?, Framing::Csv).take_header().ok()?;
        let header = cells(without_blank_lines(&header))?;
        let is_id = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| name.trim() == ORDER_ID);
        let order_id = header.iter().position(is_id)?;
        Some(Columns { width: header.len(), order_id })
    }

    /// The id in a row; none where the row has no end, was cut, or may have other columns before the id than it should.
    fn order_id(&self, row: &[u8]) -> Option<Text> {
        if row.len() >= RAW_BYTES_MAX || ends_within_quotes(row) {
            return None;
        }
        let cells = cells(row)?;
        let is_in_place = self.order_id == 0 || cells.len() == self.width;
        let cell = cells.get(self.order_id).filter(|_| is_in_place)?;
        Some(Text::new(std::str::from_utf8(cell).unwrap_or_default().trim()))
    }
}

/// The order that a JSON object names.
fn in_object(bytes: &[u8]) -> Option<OrderId> {
    let Ok(Value::Object(members)) = serde_json::from_str(&String::from_utf8_lossy(bytes)) else { return None };
    let member = |name: &str| match members.get(name) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let tenant = Some(member("tenant")).filter(|tenant| !tenant.is_empty());
    let tenant = Text::new(tenant.as_deref().unwrap_or(DEFAULT_TENANT));
    Some(OrderId { tenant, order_id: Text::new(&member(ORDER_ID)) })
}

/// True where an id stands in a record as a word.
pub fn has_word(record: &RefusedRecord, order_id: &Text) -> bool {
    let (bytes, order_id) = (written(&record.raw), order_id.to_string());
    let text = String::from_utf8_lossy(&bytes);
    let is_part = |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || "-_".contains(it));
    text.match_indices(&order_id).any(|(start, _)| {
        let after = text[start + order_id.len()..].chars().next();
        !is_part(text[..start].chars().next_back()) && !is_part(after)
    })
}

/// The bytes that [`dataflows::views::dead_letters::shown`] shows.
fn written(raw: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut parts = raw.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::model::Position;
    use dataflows::views::dead_letters::shown;

    /// The order that a record names, or the ids that stand in it as words.
    fn named(tables: &Tables, raw: &[u8]) -> String {
        let record = RefusedRecord { raw: shown(raw), position: Position(0), reasons: Vec::new(), event_id: None };
        let ids = ["A-1", "7", "b\\c", "a\"b"].map(Text::new);
        match tables.order_of(&record) {
            Some(order) => format!("{}/{}", order.tenant, order.order_id),
            None => {
                let words = ids.iter().filter(|order_id| has_word(&record, order_id)).map(Text::to_string);
                format!("perhaps {}", words.collect::<Vec<_>>().join(" "))
            }
        }
    }

    #[test]
    fn records_name_an_order_by_member_or_perhaps_as_a_word() {
        let named = |raw: &[u8]| named(&Tables(BTreeMap::new()), raw);
        assert_eq!(named(br#"{"order_id":" A-1 ","timestamp":"?"}"#), "default/A-1");
        assert_eq!(named(br#"{"order_id":7,"tenant":"acme"}"#), "acme/7");
        assert_eq!(named(br#"{"order_id":"b\\c"}"#), "default/b\\c");
        assert_eq!(named(br#"{"order_id":"A-11","note":"A-1"}"#), "default/A-11", "another order's record");
        assert_eq!(named(br#"{"order_id":"A-1","#), "perhaps A-1", "broken JSON");
        assert_eq!(named(b"\0A-1\0\x0e7\xFF"), "perhaps A-1 7", "Avro");
        assert_eq!(named(b"A-12,BA-1,A-1-1,\xFF"), "perhaps ");
    }

    #[test]
    fn rows_name_an_order_by_their_column() {
        let first = |raw: &[u8]| named(&Tables([(0, Columns { width: 3, order_id: 0 })].into()), raw);
        assert_eq!(first(b"A-1,7,x"), "default/A-1");
        assert_eq!(first(b"\"a\"\"b\",\"x\n7\",x"), "default/a\"b");
        assert_eq!(first(b" 7 ,A-1,x,x"), "default/7", "more columns, but behind the id");
        assert_eq!(first(b",A-1,7"), "default/");
        assert_eq!(first(b"\xFF7,A-1,x"), "default/", "an id that is no text");
        assert_eq!(first(b"8,\"A-1,x\n7,x,x"), "perhaps A-1 7", "a row without end has swallowed others");
        assert_eq!(first(b"A-1,x,x\r7,x,x"), "perhaps A-1 7", "two rows that a return alone divides");
        let second = |raw: &[u8]| named(&Tables([(0, Columns { width: 3, order_id: 1 })].into()), raw);
        assert_eq!(second(b"A-1,7,x"), "default/7");
        assert_eq!(second(b"A-1,9,7,x"), "perhaps A-1 7", "which of the columns is one too many?");
    }
}

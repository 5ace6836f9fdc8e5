//! Rows of CSV as records of topics (inputs.md, section 4): the header names the members.
//!
//! Invariant: a row says what the JSON object of its cells says, those that are empty left out, whatever the order of the
//! columns is. Of columns of one name the last one counts that is not empty.

use std::sync::Arc;

use csv::{ByteRecord, ReaderBuilder};

use super::json::Facts;
use super::olist::whole;
use super::topic;
use crate::validate::{Broken, Cell, Limits, Reason};

/// The columns of a file of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowColumns {
    names: Arc<[String]>,
    /// Their places in the order of names, which is that of a JSON object's members.
    by_name: Arc<[usize]>,
}

impl RowColumns {
    /// The columns that a header names.
    pub fn new(names: Vec<String>) -> RowColumns {
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        by_name.sort_by_key(|place| &names[*place]);
        RowColumns { names: names.into(), by_name: by_name.into() }
    }

    /// Their names, in the order of the header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The facts of a row, or every rule it breaks.
    pub(super) fn record(&self, row: &[u8], limits: &Limits) -> Result<Facts, Broken> {
        let cells = cells(row).ok_or_else(|| Broken::only(Reason::Malformed))?;
        whole(&cells, self.names.len())?;
        let member = |place: &usize| {
            let cell = std::str::from_utf8(cells.get(*place)?).ok()?;
            (!cell.is_empty()).then(|| (self.names[*place].as_str(), Cell::of_text(cell)))
        };
        topic::members(self.by_name.iter().filter_map(member), limits)
    }
}

/// The cells of a row; none where it is none, or two: a CSV reader takes a return alone for a line end.
pub fn cells(row: &[u8]) -> Option<ByteRecord> {
    let (mut cells, mut more) = (ByteRecord::new(), ByteRecord::new());
    let mut reader =
        ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(row.len().max(1)).from_reader(row);
    let is_one = reader.read_byte_record(&mut cells).ok()? && !reader.read_byte_record(&mut more).ok()?;
    is_one.then_some(cells)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const NAMES: &[&str] = &[
        "order_id",
        "status",
        "timestamp",
        "event_type",
        "order_status",
        "order_purchase_timestamp",
        "price",
        "order_item_id",
        "freight_value",
        "tenant",
        "note",
        "",
    ];
    const CELLS: &[&str] = &["", "", " ", "a", "shipped", "2023-03-01 09:00:00", "ORDER_PLACED", "1", "\u{1}\"é,\n"];

    fn columns(header: &str) -> RowColumns {
        RowColumns::new(header.split(',').map(str::to_owned).collect())
    }

    fn reasons(header: &str, row: &[u8]) -> String {
        let found = columns(header).record(row, &Limits::at(NOW_MS));
        found.map_or_else(|broken| broken.joined(), |_| "ok".to_owned())
    }

    #[test]
    fn a_row_is_refused_for_what_is_wrong_with_it() {
        const HEADER: &str = "order_id,status,timestamp,note";
        for (row, expected) in [
            (&b"A,shipped,5,"[..], "bad_timestamp:timestamp"),
            (b"A,shipped,2023-03-01 09:00:00,", "ok"),
            (b"A,shipped,2023-03-01 09:00:00,\"a,\nb\"", "ok"),
            (b",gone,2023-03-01 09:00:00,", "missing_field:order_id;unknown_status"),
            (b"A,shipped,2023-03-01 09:00:00", "column_count"),
            (b"A,shipped,2023-03-01 09:00:00,a,b", "column_count"),
            (b"{}", "column_count"),
            (b"A,shipped,2023-03-01 09:00:00,\xFF", "not_utf8"),
            (b"A,shipped,2023-03-01 09:00:00,a\rB,shipped,2023-03-01 09:00:00,b", "malformed"),
            (b"", "malformed"),
        ] {
            assert_eq!(reasons(HEADER, row), expected, "{}", String::from_utf8_lossy(row));
        }
    }

    proptest! {
        #[test]
        fn differential_a_row_says_the_same_as_its_object(
            names in prop::collection::vec(prop::sample::select(NAMES), 1..9),
            cells in prop::collection::vec(prop::sample::select(CELLS), 9),
        ) {
            let cells = &cells[..names.len()];
            let there = names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
            let object: serde_json::Map<_, _> =
                there.map(|(name, cell)| ((*name).to_owned(), (*cell).into())).collect();
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(cells).unwrap();
            let row = writer.into_inner().unwrap();
            let limits = Limits::at(NOW_MS);
            let of_object = topic::record(serde_json::Value::Object(object).to_string().as_bytes(), &limits);
            prop_assert_eq!(columns(&names.join(",")).record(&row, &limits), of_object);
        }
    }
}

//! Rows that are wrong on purpose: copies, and broken copies, each right after its row.
//!
//! Invariant: the rows themselves stay whole and in order, so faults change no result; a broken row has one reason and
//! yields no fact. What becomes of a row depends on seed and order alone.

use super::{OlistOptions, stream};
use crate::generate::Statistics;
use crate::generate::random::Random;

/// The files whose rows may be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The orders.
    Orders,
    /// Their items.
    Items,
    /// Their payments.
    Payments,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// The cell of this number holds something else.
    Cell(usize, &'static str),
    /// The id in the first cell has 129 characters.
    LongId,
    /// The row begins with a byte that is not UTF-8.
    NotUtf8,
    /// There is a cell too many.
    CellMore,
    /// The last cell is missing.
    CellLess,
}
use Harm::{Cell, CellLess, CellMore, LongId, NotUtf8};

/// Kinds of broken rows, each of which gets its turn, and the reason for which it will be refused.
type Kinds = [(Harm, &'static str)];

const ORDERS: &Kinds = &[
    (Cell(0, ""), "missing_field:order_id"),
    (LongId, "bad_id:order_id"),
    (NotUtf8, "not_utf8"),
    (CellMore, "column_count"),
    (Cell(2, "eaten"), "unknown_status"),
    (Cell(2, ""), "missing_field:order_status"),
    (Cell(3, "yesterday"), "bad_timestamp:order_purchase_timestamp"),
    (Cell(3, "2018-02-30 00:00:60"), "bad_timestamp:order_purchase_timestamp"),
    (Cell(3, ""), "missing_field:order_purchase_timestamp"),
    (Cell(4, "9999-12-31 23:59:59"), "future_timestamp:order_approved_at"),
];
const ITEMS: &Kinds = &[
    (LongId, "bad_id:order_id"),
    (Cell(1, ""), "missing_field:order_item_id"),
    (Cell(1, "-1"), "negative:order_item_id"),
    (Cell(1, "65536"), "bad_number:order_item_id"),
    (Cell(5, "cheap"), "bad_number:price"),
    (Cell(5, "10000.01"), "above_maximum:price"),
    (Cell(6, "-4.90"), "negative:freight_value"),
    (CellLess, "column_count"),
];
const PAYMENTS: &Kinds = &[
    (Cell(0, ""), "missing_field:order_id"),
    (Cell(1, "-1"), "negative:payment_sequential"),
    (Cell(2, "shells"), "unknown_payment_type"),
    (Cell(2, ""), "missing_field:payment_type"),
    (Cell(3, "2.0"), "bad_number:payment_installments"),
    (Cell(4, "0.00001"), "bad_number:payment_value"),
    (Cell(4, ""), "missing_field:payment_value"),
    (NotUtf8, "not_utf8"),
];

impl Table {
    fn kinds(self) -> &'static Kinds {
        match self {
            Table::Orders => ORDERS,
            Table::Items => ITEMS,
            Table::Payments => PAYMENTS,
        }
    }
}

/// Makes the rows of a directory wrong, here and there.
#[derive(Debug)]
pub struct Faults {
    options: OlistOptions,
    random: Random,
    /// Broken rows of each table so far.
    turns: [usize; 3],
}

impl Faults {
    /// Nothing is wrong yet.
    pub fn new(options: OlistOptions) -> Faults {
        Faults { options, random: Random::of(options.seed, stream::FAULT, 0), turns: [0; 3] }
    }

    /// The rows to come are those of the order at `index`.
    pub fn start(&mut self, index: u64) {
        self.random = Random::of(self.options.seed, stream::FAULT, index);
    }

    /// Appends to the row that begins at `start`, and comes to so many facts, what is wrong with it.
    pub fn add(&mut self, table: Table, rows: &mut Vec<u8>, start: usize, facts: u64, statistics: &mut Statistics) {
        statistics.facts += facts;
        let end = rows.len();
        if self.random.chance(self.options.duplicates) {
            rows.push(b'\n');
            rows.extend_from_within(start..end);
            statistics.facts += facts;
            statistics.duplicate_rows += 1;
            statistics.duplicate_facts += facts;
        }
        if self.random.chance(self.options.invalid) {
            let turn = &mut self.turns[table as usize];
            let (harm, _) = table.kinds()[*turn % table.kinds().len()];
            *turn += 1;
            let broken = harm.done_to(&rows[start..end]);
            rows.push(b'\n');
            rows.extend_from_slice(&broken);
            statistics.invalid_rows += 1;
        }
    }
}

impl Harm {
    fn done_to(self, row: &[u8]) -> Vec<u8> {
        let mut cells: Vec<&[u8]> = row.split(|byte| *byte == b',').collect();
        let long_id = [b'9'; 129];
        match self {
            Cell(number, text) => cells[number] = text.as_bytes(),
            LongId => cells[0] = &long_id,
            NotUtf8 => return [b"\xff", row].concat(),
            CellMore => cells.push(b""),
            CellLess => _ = cells.pop(),
        }
        cells.join(&b',')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::generate_olist;
    use std::collections::BTreeMap;
    use std::path::Path;

    /// How often each reason is given, by a decoder that a replay uses.
    fn reasons(directory: &Path) -> BTreeMap<String, u64> {
        let out = directory.join("out");
        let config = crate::config::load(crate::config::Kind::Bounded, None, Vec::new(), &[], |_| {
            Err(crate::error::JobError::job("there are no rules"))
        })
        .unwrap();
        let options = crate::cli::ReplayOptions {
            inputs: vec![directory.to_owned()],
            no_console: true,
            out: Some(out.clone()),
            ..Default::default()
        };
        crate::replay::run(
            &config,
            &options,
            Default::default(),
            crate::console::Style { terminal: false, color: false },
        )
        .unwrap();
        let mut counts = BTreeMap::new();
        for row in csv::Reader::from_path(out.join("dead_letters.csv")).unwrap().into_records() {
            *counts.entry(row.unwrap()[2].to_owned()).or_default() += 1;
        }
        counts
    }

    #[test]
    fn every_kind_of_broken_row_is_refused_for_its_reason_alone() {
        let directory = tempfile::tempdir().unwrap();
        let options = OlistOptions { count: 40, seed: 3, duplicates: 0, invalid: 100_000 };
        let statistics = generate_olist(&options, &[directory.path()]).unwrap();
        let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
        for (table, rows) in [(ORDERS, statistics.orders), (ITEMS, statistics.items), (PAYMENTS, statistics.payments)] {
            for (_, reason) in table.iter().cycle().take(rows as usize) {
                *wanted.entry((*reason).to_owned()).or_default() += 1;
            }
        }
        assert_eq!(reasons(directory.path()), wanted);
    }
}

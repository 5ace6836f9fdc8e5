//! Changes as a graph might make them, and the rows that they come to.

use std::collections::BTreeMap;

use dataflows::views::COLLECTIONS;
use dataflows::views::collection::{Collection, Column, ColumnType};
use orderwatch::sink::change::Change;
use orderwatch::sink::text_row;

use super::inputs::Chance;

/// What the tables should hold: rows by collection and key.
#[derive(Default)]
pub struct Wanted(BTreeMap<&'static str, BTreeMap<Vec<String>, Vec<String>>>);

impl Wanted {
    /// A change as a graph might make it, of few keys and with every awkward value.
    pub fn change(&mut self, chance: &mut Chance, keys: usize) -> Change {
        let collection = &COLLECTIONS[chance.below(COLLECTIONS.len())];
        let number = chance.below(keys);
        let (key, rest): (Vec<&Column>, Vec<&Column>) = collection.columns.iter().partition(|column| column.is_key);
        let key: Vec<String> = key.into_iter().map(|column| cell(column, number)).collect();
        let row: Option<Vec<String>> =
            (chance.below(4) > 0).then(|| rest.into_iter().map(|column| cell(column, chance.below(1_000))).collect());
        self.put(collection, key, row)
    }

    /// Changes of categories as long and as strange as records may name them; some of them go.
    pub fn categories(&mut self, number: usize) -> Vec<Change> {
        let collection = COLLECTIONS.iter().find(|collection| collection.name == "category_metrics").unwrap();
        // Nothing makes it shorter.
        let mut chance = Chance(9);
        let letter = |_| char::from_u32(0x4E00 + chance.below(0x5000) as u32).unwrap();
        let long: String = (0..10_000).map(letter).collect();
        let longer = format!("{long}\0");
        let strange =
            ["x", "x\0", "x\0\0", "x\u{fffd}", "x␀", "x␀␀", "x␀0", "\\x78", "\\000\\", "\\N", "", &long, &longer];
        let changes = strange.iter().enumerate().map(|(place, category)| {
            let key = ["total", "", "acme", category].map(str::to_owned).to_vec();
            let row = !(place + number).is_multiple_of(3);
            self.put(collection, key, row.then(|| vec![number.to_string(), "1.50".to_owned()]))
        });
        changes.collect()
    }

    fn put(&mut self, collection: &'static Collection, key: Vec<String>, row: Option<Vec<String>>) -> Change {
        let text = |cells: &[String]| {
            let mut text = String::new();
            cells.iter().for_each(|cell| text_row::write_text(cell, &mut text));
            text.into_boxed_str()
        };
        let change = Change { collection, key: text(&key), row: row.as_deref().map(text) };
        let rows = self.0.entry(collection.name).or_default();
        match row {
            Some(row) => drop(rows.insert(key, row)),
            None => drop(rows.remove(&key)),
        }
        change
    }

    /// The rows of a collection, sorted.
    pub fn rows(&self, collection: &Collection) -> Vec<Vec<String>> {
        let rows = self.0.get(collection.name).into_iter().flatten();
        rows.map(|(key, row)| [&key[..], row].concat()).collect()
    }
}

/// A value for a column, the same for the same number.
fn cell(column: &Column, number: usize) -> String {
    if column.is_optional && number.is_multiple_of(5) {
        return String::new();
    }
    match column.column_type {
        ColumnType::Text => ["", "ü\t\\N\n", "\\", "a'\"\r", "\u{1}"][number % 5].to_owned() + &number.to_string(),
        ColumnType::Time => format!("20{:02}-02-28T23:59:59.{:03}Z", number / 100 % 90, number % 1_000),
        ColumnType::Integer => format!("-{}", number + 1),
        ColumnType::Money => format!("{number}.50"),
        ColumnType::Hundredths => format!("-{number}.05"),
        ColumnType::Seconds => format!("{number}.125"),
        ColumnType::Boolean => number.is_multiple_of(2).to_string(),
    }
}

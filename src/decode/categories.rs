//! The categories of products: two optional files of the Olist directory (products and the translation of names).
//!
//! Invariant: the map depends on the set of rows, not on their order: of several categories of a product, or
//! translations of a name, the bytewise smallest counts. So it does of the categories that several directories give a
//! product, each translated by its own. Limits: all products are held in memory; rows that are not whole or name no product
//! are skipped and counted, being no facts.

use std::hash::Hash;
use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use dataflows::model::{Text, text};
use hashbrown::HashMap;

use super::olist::{Header, HeaderError, whole};
use crate::validate::{Cell, Check, Limits};

/// Category by product.
#[derive(Clone, Debug, Default)]
pub struct ProductCategories {
    /// Every item looks its product up, and hardly ever the one before it: so small an entry makes a table of which a
    /// core's cache holds most.
    by_packed_id: HashMap<[u8; 16], u32>,
    by_other_id: HashMap<Text, u32>,
    categories: Vec<Text>,
    skipped: u64,
}

/// From category names as products have them to English ones.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    english: HashMap<Text, Text>,
    skipped: u64,
}

impl Translation {
    /// Reads a translation file; an error says why it cannot be used.
    pub fn read(file: impl Read) -> Result<Translation, String> {
        let (english, skipped) = read_pairs(file, "product_category_name", "product_category_name_english")?;
        Ok(Translation { english, skipped })
    }
}

impl ProductCategories {
    /// Reads a products file; categories without a translation keep their name. An error says why it cannot be used.
    pub fn read(products: impl Read, translation: &Translation) -> Result<ProductCategories, String> {
        let (by_product, skipped) = read_pairs(products, "product_id", "product_category_name")?;
        let mut found = ProductCategories { skipped: skipped + translation.skipped, ..ProductCategories::default() };
        let mut numbers = HashMap::new();
        for (product_id, category) in by_product {
            let category = translation.english.get(&category).unwrap_or(&category);
            let number = *numbers.entry(category.clone()).or_insert_with(|| {
                found.categories.push(category.clone());
                found.categories.len() as u32 - 1
            });
            match product_id.packed_hex() {
                Some(packed) => found.by_packed_id.insert(*packed, number),
                None => found.by_other_id.insert(product_id, number),
            };
        }
        Ok(found)
    }

    /// The categories that this map or `other` has: of two of one product the bytewise smaller one.
    pub fn merged_with(mut self, other: ProductCategories) -> ProductCategories {
        let mut numbers: HashMap<Text, u32> = self.categories.iter().cloned().zip(0..).collect();
        let renumbered = other.categories.into_iter().map(|category| {
            *numbers.entry(category).or_insert_with_key(|category| {
                self.categories.push(category.clone());
                self.categories.len() as u32 - 1
            })
        });
        // Numbers here by those of `other`.
        let renumbered: Vec<u32> = renumbered.collect();
        merge(&mut self.by_packed_id, other.by_packed_id, &renumbered, &self.categories);
        merge(&mut self.by_other_id, other.by_other_id, &renumbered, &self.categories);
        self.skipped += other.skipped;
        self
    }

    /// The category of a product; none where it has none or is not known.
    pub fn get(&self, product_id: &Text) -> Option<&Text> {
        let number = match product_id.packed_hex() {
            Some(packed) => self.by_packed_id.get(packed),
            None => self.by_other_id.get(product_id),
        };
        self.categories.get(*number? as usize)
    }

    /// How many products have a category.
    pub fn len(&self) -> usize {
        self.by_packed_id.len() + self.by_other_id.len()
    }

    /// True where no product has a category.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows of both files that could not be used.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// Brings numbers of `categories` together, of two of one product that of the smaller category. Numbers in `other` are
/// places in `renumbered`.
fn merge<I: Eq + Hash>(
    together: &mut HashMap<I, u32>,
    other: HashMap<I, u32>,
    renumbered: &[u32],
    categories: &[Text],
) {
    for (product_id, number) in other {
        let Some(number) = renumbered.get(number as usize) else { continue };
        let is_smaller = |kept: u32| categories.get(*number as usize) < categories.get(kept as usize);
        let kept = together.entry(product_id).or_insert(*number);
        if is_smaller(*kept) {
            *kept = *number;
        }
    }
}

/// Value by key, of rows that have both, and the number of unusable rows. A row without value is usable.
fn read_pairs(
    file: impl Read,
    key_column: &'static str,
    value_column: &'static str,
) -> Result<(HashMap<Text, Text>, u64), String> {
    // As in every other file of the directory LF ends a line, and CR alone ends none.
    let line_feed = Terminator::Any(b'\n');
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).terminator(line_feed).from_reader(file);
    let mut record = ByteRecord::new();
    next_row(&mut reader, &mut record)?;
    let header = without_byte_order_mark(&record);
    if header.iter().any(|name| name.trim_ascii().contains(&b'\r')) {
        // The header would be all there is.
        return Err("cannot be read: lines end in CR alone".to_owned());
    }
    let places = || -> Result<(usize, usize, usize), HeaderError> {
        let header = Header::read(&header)?;
        Ok((header.required(key_column)?, header.required(value_column)?, header.width()))
    };
    let (key_place, value_place, width) = places().map_err(|error| error.to_string())?;
    let limits = Limits::at(0);
    let (mut pairs, mut skipped) = (HashMap::<Text, Text>::new(), 0);
    while next_row(&mut reader, &mut record)? {
        let cell =
            |place| Cell::of_text(std::str::from_utf8(record.get(place).unwrap_or_default()).unwrap_or_default());
        let mut check = Check::new(&limits);
        let key = whole(&record, width).ok().and_then(|()| check.id(key_column, &cell(key_place)));
        let Some(key) = key else {
            skipped += 1;
            continue;
        };
        if let Some(value) = cell(value_place).text().map(text::Text::new) {
            pairs.entry(key).and_modify(|kept| *kept = value.clone().min(kept.clone())).or_insert(value);
        }
    }
    Ok((pairs, skipped))
}

/// Reads the next row that is more than blanks; false at the end. A CR before a line end is a blank like any: cells are
/// trimmed.
fn next_row(reader: &mut Reader<impl Read>, row: &mut ByteRecord) -> Result<bool, String> {
    while reader.read_byte_record(row).map_err(|error| format!("cannot be read: {error}"))? {
        let is_blank = |cell: &[u8]| std::str::from_utf8(cell).is_ok_and(|text| text.trim().is_empty());
        if row.len() > 1 || !row.iter().all(is_blank) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A byte order mark is no part of the first name.
fn without_byte_order_mark(header: &ByteRecord) -> ByteRecord {
    header
        .iter()
        .enumerate()
        .map(|(place, name)| match place {
            0 => name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name),
            _ => name,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_english_where_they_can_be() {
        let translation = "\u{feff}product_category_name,product_category_name_english\r\nbebes,baby\r\nvazio,\r\n";
        let products = "product_category_name,\"product_id\",x\n\
            bebes,1,\n pc_gamer ,2,\n,3,\nvazio,4,\nbebes,,\nbebes,5\nbebes,6,\naaa,6,\n";
        let translation = Translation::read(translation.as_bytes()).unwrap();
        let categories = ProductCategories::read(products.as_bytes(), &translation).unwrap();
        let shown = |id: &str| categories.get(&id.into()).map(Text::to_string).unwrap_or_default();
        assert_eq!(["1", "2", "3", "4", "5", "6"].map(shown), ["baby", "pc_gamer", "", "vazio", "", "aaa"]);
        assert_eq!((categories.len(), categories.skipped()), (4, 2));
    }

    #[test]
    fn of_several_maps_the_smallest_category_of_a_product_counts() {
        const HEX: &str = "00000000000000000000000000000001";
        let translation = "product_category_name,product_category_name_english\nb,y\n";
        let translation = Translation::read(translation.as_bytes()).unwrap();
        let read = |rows: &str, translation: &Translation| {
            let products = format!("product_id,product_category_name\n{rows}");
            ProductCategories::read(products.as_bytes(), translation).unwrap()
        };
        let tables = [
            read(&format!("1,b\n2,c\n{HEX},b\n3,\n,x"), &translation),
            read(&format!("1,x\n2,d\n{HEX},b\n4,a"), &Translation::default()),
            ProductCategories::default(),
            read("3,\n4,b\n5,zz\n", &translation),
        ];
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let [first, others @ ..] = order.map(|number: usize| tables[number].clone());
            let together = others.into_iter().fold(first, ProductCategories::merged_with);
            let shown = |id: &str| together.get(&id.into()).map(Text::to_string).unwrap_or_default();
            assert_eq!(["1", "2", HEX, "3", "4", "5", "6"].map(shown), ["x", "c", "b", "", "a", "zz", ""], "{order:?}");
            assert_eq!((together.len(), together.skipped()), (5, 1));
        }
    }

    #[test]
    fn a_return_alone_ends_no_line() {
        let products = "\r\nproduct_id,product_category_name,x\r\n1,a\rb,\r\n\r\n2\r3,c,\n4,\"d\r\ne\",\r\n5,f,\r";
        let categories = ProductCategories::read(products.as_bytes(), &Translation::default()).unwrap();
        let shown = |id: &str| categories.get(&id.into()).map(Text::to_string).unwrap_or_default();
        assert_eq!(["1", "2", "3", "4", "5"].map(shown), ["a\rb", "", "", "d\r\ne", "f"]);
        assert_eq!((categories.len(), categories.skipped()), (3, 1), "an id with a return in it is none");
        let returns = products.replace("\r\n", "\n").replace('\n', "\r");
        let error = ProductCategories::read(returns.as_bytes(), &Translation::default()).unwrap_err();
        assert_eq!(error.to_string(), "cannot be read: lines end in CR alone");
    }

    #[test]
    fn headers_are_checked() {
        let error = ProductCategories::read(&b"product_id\n"[..], &Translation::default()).unwrap_err();
        assert_eq!(error.to_string(), "the header has no column `product_category_name`");
        let error = Translation::read(&b""[..]).unwrap_err();
        assert_eq!(error.to_string(), "the header has no column `product_category_name`");
    }
}

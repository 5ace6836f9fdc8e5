//! The categories of products: two optional files of the Olist directory (products and the translation of names).
//!
//! Invariant: the map depends on the set of rows, not on their order: of several categories of a product, or
//! translations of a name, the bytewise smallest counts. Limits: all products are held in memory; rows that are not
//! whole or name no product are skipped and counted, being no facts.

use std::fmt;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};
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

/// Why a file of products or translations cannot be used.
#[derive(Debug)]
pub enum CategoriesError {
    /// It cannot be read.
    Read(csv::Error),
    /// Its header is wrong.
    Header(HeaderError),
}

impl fmt::Display for CategoriesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CategoriesError::Read(error) => write!(formatter, "cannot be read: {error}"),
            CategoriesError::Header(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for CategoriesError {}

impl From<csv::Error> for CategoriesError {
    fn from(error: csv::Error) -> CategoriesError {
        CategoriesError::Read(error)
    }
}

impl From<HeaderError> for CategoriesError {
    fn from(error: HeaderError) -> CategoriesError {
        CategoriesError::Header(error)
    }
}

/// From category names as products have them to English ones.
#[derive(Clone, Debug, Default)]
pub struct Translation {
    english: HashMap<Text, Text>,
    skipped: u64,
}

impl Translation {
    /// Reads a translation file.
    pub fn read(file: impl Read) -> Result<Translation, CategoriesError> {
        let (english, skipped) = read_pairs(file, "product_category_name", "product_category_name_english")?;
        Ok(Translation { english, skipped })
    }
}

impl ProductCategories {
    /// Reads a products file; categories without a translation keep their name.
    pub fn read(products: impl Read, translation: &Translation) -> Result<ProductCategories, CategoriesError> {
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

/// Value by key, of rows that have both, and the number of unusable rows. A row without value is usable.
fn read_pairs(
    file: impl Read,
    key_column: &'static str,
    value_column: &'static str,
) -> Result<(HashMap<Text, Text>, u64), CategoriesError> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = ByteRecord::new();
    reader.read_byte_record(&mut record)?;
    let header = without_byte_order_mark(&record);
    let header = Header::read(&header)?;
    let (key_place, value_place, width) =
        (header.required(key_column)?, header.required(value_column)?, header.width());
    let limits = Limits::at(0);
    let (mut pairs, mut skipped) = (HashMap::<Text, Text>::new(), 0);
    while reader.read_byte_record(&mut record)? {
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
#[allow(clippy::unwrap_used)]
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
    fn headers_are_checked() {
        let error = ProductCategories::read(&b"product_id\n"[..], &Translation::default()).unwrap_err();
        assert_eq!(error.to_string(), "the header has no column `product_category_name`");
        let error = Translation::read(&b""[..]).unwrap_err();
        assert_eq!(error.to_string(), "the header has no column `product_category_name`");
    }
}

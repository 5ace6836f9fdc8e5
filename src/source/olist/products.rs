//! Products of Olist directories: the category of each, which items are joined with.
//!
//! Invariant: the categories follow from the set of directories that are read together, not from their order. An item that
//! stands in two of them is one item, and its category no part of what it says: so that it does not matter which copy comes
//! first, all are joined with one table. Limits: while two tables become one, both are in memory.

use std::path::Path;

use super::table_file::TableFile;
use crate::decode::ProductCategories;
use crate::decode::categories::Translation;
use crate::error::{JobError, JobResult};

const PRODUCTS: &str = "olist_products_dataset.csv";
const TRANSLATION: &str = "product_category_name_translation.csv";

/// The categories of the products of all these directories.
pub fn of_directories<'d>(directories: impl IntoIterator<Item = &'d Path>) -> JobResult<ProductCategories> {
    let mut tables = directories.into_iter().map(of_directory);
    let first = tables.next().unwrap_or_else(|| Ok(ProductCategories::default()))?;
    tables.try_fold(first, |together, table| Ok(together.merged_with(table?)))
}

/// The categories of a directory's products; none where it has no file of products.
pub fn of_directory(directory: &Path) -> JobResult<ProductCategories> {
    let wrong = |path: &Path, why: String, without: &str| {
        let error = JobError::job(why).at(path.display().to_string());
        error.remedy(format!("mend the file, or remove it: {without}"))
    };
    let opened = |name: &str| TableFile::find(directory, name).map(|_| TableFile::stream(directory, name)).transpose();
    let translation = match opened(TRANSLATION)? {
        Some((path, file)) => Translation::read(file)
            .map_err(|error| wrong(&path, error, "categories then keep the names that products have"))?,
        None => Translation::default(),
    };
    let Some((path, file)) = opened(PRODUCTS)? else { return Ok(ProductCategories::default()) };
    let products = ProductCategories::read(file, &translation)
        .map_err(|error| wrong(&path, error, "every category is then `unknown`"))?;
    if products.skipped() > 0 {
        tracing::warn!(
            "{} rows of {} or of its translation cannot be read, be it for a quote that is not closed or text that is not \
             UTF-8: items of these products have the category `unknown`",
            products.skipped(),
            path.display()
        );
    }
    Ok(products)
}

//! The first rows of each file of a directory, for `orderwatch check`. Only the beginning of a file is read.

use std::path::Path;

use csv::ByteRecord;

use super::{FILES, TableFile, products, take_header, unreadable, wrong_header};
use crate::decode::cells::CsvRows;
use crate::decode::olist::{HeaderError, ItemColumns, OrderColumns, PaymentColumns};
use crate::error::JobResult;
use crate::source::blocks::{Blocks, Framing, is_blank};
use crate::source::sample::Sample;
use crate::validate::{Broken, Limits, Reason};

/// The first rows of orders, items and payments; an error where a header or an optional file is wrong.
pub fn of_directory(directory: &Path, limits: &Limits) -> JobResult<Vec<Sample>> {
    products::of_directory(directory)?;
    let [orders, items, payments] = FILES;
    Ok(vec![
        of_file(directory, orders, OrderColumns::from_header, |columns, row| columns.decode(row, limits).map(drop))?,
        of_file(directory, items, ItemColumns::from_header, |columns, row| columns.decode(row, limits).map(drop))?,
        of_file(directory, payments, PaymentColumns::from_header, |columns, row| {
            columns.decode(row, limits).map(drop)
        })?,
    ])
}

fn of_file<C>(
    directory: &Path,
    name: &str,
    columns: impl Fn(&ByteRecord) -> Result<C, HeaderError>,
    decode: impl Fn(&C, &ByteRecord) -> Result<(), Broken>,
) -> JobResult<Sample> {
    let (path, text) = TableFile::stream(directory, name)?;
    let (mut sample, mut blocks) = (Sample::of(name), Blocks::new(text, Framing::Csv));
    let columns = columns(&take_header(&path, &mut blocks)?.0).map_err(wrong_header(&path))?;
    while !sample.is_full() {
        let Some(block) = blocks.next_block().map_err(|error| unreadable(&path, &error))? else { break };
        if block.is_too_large {
            sample.add::<()>(block.first_line, Err(Broken::only(Reason::TooLarge)));
            continue;
        }
        let mut split = CsvRows::of(&block.bytes);
        while let Some(row) = split.next_row().filter(|_| !sample.is_full()) {
            if !is_blank(row.raw) {
                sample.add(block.first_line + row.lines, decode(&columns, row.cells));
            }
        }
    }
    Ok(sample)
}

//! Rows of a directory as topics get them (inputs.md, section 4): JSON objects with the columns of the files.
//!
//! A row of an order is told as it was known at each of its times: cells of later times are empty, and the status is the
//! one of what had happened; the last time it is told whole. Rows of items and payments carry the time they take from
//! their order, and items their category, which a directory has in a file of its own. Invariant: read back, facts are
//! those of the directory. Rows that are refused are told as they stand, for the reader to refuse; those that no JSON
//! can hold are left out and counted.

use std::path::Path;

use csv::ByteRecord;
use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{EventKind, Text};
use dataflows::time::Time;

use super::stamps::Stamps;
use super::{FILES, Table, TableFile, body, read_header, rows, unreadable, wrong_header};
use crate::decode::ProductCategories;
use crate::decode::cells::CsvRows;
use crate::decode::olist::{ItemColumns, OrderColumns, OrderRow, PaymentColumns, whole};
use crate::error::JobResult;
use crate::instant::format_instant;
use crate::source::blocks::is_blank;
use crate::source::published::{Publication, TopicKind};
use crate::validate::Limits;

/// Tells every row of a directory, with categories and times of all that are told together, in no order; how many were
/// left out.
pub fn of_directory(
    directory: &Path,
    categories: &ProductCategories,
    stamps: &Stamps,
    limits: &Limits,
    mut give: impl FnMut(&Publication<'_>) -> JobResult<()>,
) -> JobResult<u64> {
    let mut left_out = 0;
    let orders = OpenFile::open(directory, Table::Orders)?;
    let order_columns = OrderColumns::from_header(&orders.header).map_err(wrong_header(&orders.file.path))?;
    let mut last_at = 0;
    left_out += orders.each(|row| {
        let Ok(order) = order_columns.decode(row, limits) else {
            return give(&orders.publication(row, last_at, &[]));
        };
        last_at = order.purchased_at;
        let mut times: Vec<Time> = order.events().into_iter().flatten().map(|(_, at)| at).collect();
        // Nothing of a row is known before its purchase.
        times.iter_mut().for_each(|at| *at = (*at).max(order.purchased_at));
        times.sort_unstable();
        times.dedup();
        let last = times.last().copied();
        for at in times {
            let known = (Some(at) != last).then(|| as_known_at(&orders.header, row, &order, at));
            give(&orders.publication(known.as_ref().unwrap_or(row), at, &[]))?;
        }
        Ok(())
    })?;

    let items = OpenFile::open(directory, Table::Items)?;
    let item_columns = ItemColumns::from_header(&items.header).map_err(wrong_header(&items.file.path))?;
    let mut last_at = 0;
    left_out += items.each(|row| {
        let item = item_columns.decode(row, limits).ok();
        let category = item.as_ref().and_then(|item| categories.get(item.product_id.as_ref()?));
        let at = stamps.get(&items.order_id(row)).map(|stamp| stamp.purchased_at);
        let category = category.map(|category| ("item_category", category.to_string()));
        let more: Vec<_> = timed(at).into_iter().chain(category).collect();
        last_at = at.unwrap_or(last_at);
        give(&items.publication(row, last_at, &more))
    })?;

    let payments = OpenFile::open(directory, Table::Payments)?;
    PaymentColumns::from_header(&payments.header).map_err(wrong_header(&payments.file.path))?;
    let mut last_at = 0;
    left_out += payments.each(|row| {
        let at = stamps.get(&payments.order_id(row)).map(|stamp| stamp.paid_at());
        last_at = at.unwrap_or(last_at);
        give(&payments.publication(row, last_at, &timed(at)))
    })?;
    Ok(left_out)
}

/// What rows of items and payments have beside their columns.
fn timed(at: Option<Time>) -> Vec<(&'static str, String)> {
    let at = at.map(|at| ("timestamp", format_instant(at)));
    at.into_iter().chain([("tenant", DEFAULT_TENANT.to_owned())]).collect()
}

/// An order's row as it was known at a time before its last.
fn as_known_at(header: &ByteRecord, row: &ByteRecord, order: &OrderRow, at: Time) -> ByteRecord {
    let reached = |kind: EventKind| order.events().into_iter().flatten().any(|event| event.0 == kind && event.1 <= at);
    let status = [
        (EventKind::Delivered, "delivered"),
        (EventKind::Shipped, "shipped"),
        (EventKind::ProcessingStarted, "approved"),
    ];
    let status = status.into_iter().find(|(kind, _)| reached(*kind)).map_or("created", |(_, status)| status);
    let cells = header.iter().zip(row).map(|(name, cell)| {
        let kind = match name.trim_ascii() {
            b"order_status" => return status.as_bytes(),
            b"order_approved_at" => EventKind::ProcessingStarted,
            b"order_delivered_carrier_date" => EventKind::Shipped,
            b"order_delivered_customer_date" => EventKind::Delivered,
            _ => return cell,
        };
        if reached(kind) { cell } else { &[] }
    });
    cells.collect()
}

/// One of the three files, and where its orders' ids stand.
struct OpenFile {
    file: TableFile,
    header: ByteRecord,
    topic: TopicKind,
    order_id: usize,
}

impl OpenFile {
    fn open(directory: &Path, table: Table) -> JobResult<OpenFile> {
        let file = TableFile::open(directory, FILES[table as usize])?;
        let header = read_header(&file)?.record;
        let order_id = header.iter().position(|name| name.trim_ascii() == b"order_id").unwrap_or(usize::MAX);
        Ok(OpenFile { file, header, topic: TopicKind::ALL[table as usize], order_id })
    }

    fn order_id(&self, row: &ByteRecord) -> Text {
        Text::new(std::str::from_utf8(row.get(self.order_id).unwrap_or_default()).unwrap_or_default().trim())
    }

    /// A row with these members beside its columns.
    fn publication<'p>(&self, row: &'p ByteRecord, at: Time, more: &[(&str, String)]) -> Publication<'p> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let columns = self.header.iter().zip(row).map(|(name, cell)| (text(name.trim_ascii()), text(cell)));
        let more = more.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
        let members: serde_json::Map<_, _> = columns.chain(more).map(|(name, text)| (name, text.into())).collect();
        let key = row.get(self.order_id).unwrap_or_default().trim_ascii();
        let value = serde_json::Value::Object(members).to_string().into_bytes();
        Publication { at, topic: self.topic, key: key.into(), value: value.into() }
    }

    /// Every row that JSON can hold; how many it cannot.
    fn each(&self, mut give: impl FnMut(&ByteRecord) -> JobResult<()>) -> JobResult<u64> {
        let (mut blocks, mut left_out) = (body(&self.file)?, 0);
        while let Some(block) = blocks.next_block().map_err(|error| unreadable(&self.file.path, &error))? {
            if block.is_too_large {
                left_out += 1;
                continue;
            }
            let mut split = CsvRows::of(&block.bytes);
            while let Some(row) = split.next_row() {
                match whole(row.cells, self.header.len()).is_ok() && !rows::is_open(&row) {
                    _ if is_blank(row.raw) => {}
                    true => give(row.cells)?,
                    false => left_out += 1,
                }
            }
        }
        Ok(left_out)
    }
}

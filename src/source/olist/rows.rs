//! Rows of an Olist directory on their way to facts.
//!
//! One order row becomes up to five lifecycle facts, an item or payment row one fact with its order's time.

use csv::ByteRecord;
use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, EventKind, Fact, OrderId, Origin, Position, Text};
use dataflows::orders::parcel::order_key;
use dataflows::time::Time;

use super::stamps::{BlockStamps, Stamp};
use super::{Olist, Plan, Table};
use crate::clock::Watermark;
use crate::decode::cells::{Cells, PlainRows};
use crate::decode::olist::{ItemRow, OrderRow, PaymentRow};
use crate::source::blocks::{Block, ends_within_quotes};
use crate::source::intake::{Decoded, Intake};
use crate::validate::{Broken, Reason};

/// Reads the rows of blocks; keeps its allocations.
pub struct RowReader {
    record: ByteRecord,
    tenant: Text,
}

impl Default for RowReader {
    fn default() -> RowReader {
        RowReader { record: ByteRecord::new(), tenant: Text::new(DEFAULT_TENANT) }
    }
}

/// A CSV reader of rows without header, of any number of columns.
pub fn csv_reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(1 << 16).from_reader(bytes)
}

/// True where the row in `start..end` is the last one of its file and has a quote that is never closed: it may have
/// swallowed other rows.
pub fn is_open(block: &[u8], start: usize, end: usize) -> bool {
    end >= block.len() && ends_within_quotes(block.get(start..end).unwrap_or_default())
}

impl RowReader {
    /// Reads every row of a block into `intake`. `block_stamps` gathers the times of a block of orders and gives them to
    /// its items and payments; without it times come from the directory's table.
    pub(super) fn read(
        &mut self,
        olist: &Olist,
        table: Table,
        block: &Block,
        watermark: &mut Option<Watermark>,
        intake: &mut Intake,
        mut block_stamps: Option<&mut BlockStamps>,
    ) {
        let file = olist.first_file + table as u32;
        if block.is_too_large {
            let position = Position::new(file, block.first_line);
            intake.refuse(position, &Broken::only(Reason::TooLarge), &block.bytes);
            return;
        }
        if let Some(stamps) = &mut block_stamps {
            stamps.rewind();
        }
        let mut rows = Rows { olist, table, watermark, intake, stamps: block_stamps, tenant: &self.tenant };
        let place = |lines: u64, raw| Place { position: Position::new(file, block.first_line + lines), raw };
        if let Some(mut plain) = PlainRows::of(&block.bytes) {
            while let Some((lines, raw, row)) = plain.next_row() {
                rows.take(&row, &place(lines, raw));
            }
            return;
        }
        let mut reader = csv_reader(&block.bytes);
        loop {
            let (start, line) = (reader.position().byte() as usize, reader.position().line());
            // Reading from memory, of any number of columns, cannot fail.
            if !reader.read_byte_record(&mut self.record).unwrap_or(false) {
                break;
            }
            let end = reader.position().byte() as usize;
            let (blank_lines, raw) = without_line_ends(block.bytes.get(start..end).unwrap_or_default());
            let place = place(line - 1 + blank_lines, raw);
            if is_open(&block.bytes, start, end) {
                rows.intake.refuse(place.position, &Broken::only(Reason::Malformed), place.raw);
                continue;
            }
            rows.take(&self.record, &place);
        }
    }
}

/// Blank lines before a row, which are no records, and its bytes without line end.
fn without_line_ends(bytes: &[u8]) -> (u64, &[u8]) {
    let start = bytes.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
    let (blank, raw) = bytes.split_at(start);
    let raw = raw.strip_suffix(b"\n").unwrap_or(raw);
    (blank.iter().filter(|byte| **byte == b'\n').count() as u64, raw.strip_suffix(b"\r").unwrap_or(raw))
}

/// Rows of a block on their way into `intake`.
struct Rows<'r> {
    olist: &'r Olist,
    table: Table,
    watermark: &'r mut Option<Watermark>,
    intake: &'r mut Intake,
    stamps: Option<&'r mut BlockStamps>,
    tenant: &'r Text,
}

impl Rows<'_> {
    fn take(&mut self, row: &impl Cells, place: &Place<'_>) {
        let seen = match self.table {
            Table::Orders => self.order(row, place),
            Table::Items => self.item(row, place),
            Table::Payments => self.payment(row, place),
        };
        if let (Some(at), Some(watermark)) = (seen, self.watermark.as_mut()) {
            watermark.observe(at);
        }
    }

    /// The row, where it was decoded; otherwise it is refused.
    fn kept<R>(&mut self, decoded: Result<R, Broken>, place: &Place<'_>) -> Option<R> {
        decoded.map_err(|broken| self.intake.refuse(place.position, &broken, place.raw)).ok()
    }

    fn decoded(&self, order: &OrderId, place: &Place<'_>, record_at: Time) -> Decoded {
        let watermark = self.watermark.as_ref().map_or(0, Watermark::time);
        Decoded { key: order_key(order), position: place.position, record_at, watermark }
    }

    /// Takes an order row in; the largest event time it holds.
    fn order(&mut self, row: &impl Cells, place: &Place<'_>) -> Option<Time> {
        let row = self.kept(self.olist.orders.decode(row, &self.intake.limits), place)?;
        if let Some(stamps) = &mut self.stamps {
            stamps.push(&row);
        }
        let events = lifecycle(&row);
        let times = events.iter().flatten().map(|(_, at)| *at);
        let record_at = times.clone().min().unwrap_or(row.purchased_at);
        let largest = times.max();
        let OrderRow { order_id, customer_id, .. } = row;
        let order = OrderId { tenant: self.tenant.clone(), order_id };
        let record = self.decoded(&order, place, record_at);
        self.intake.count_decoded(record);
        let mut fact = Fact {
            order,
            at: 0,
            event_id: None,
            body: Body::Lifecycle { kind: EventKind::Placed, origin: Origin::Row, customer_id },
        };
        for (event, at) in events.into_iter().flatten() {
            fact.at = at;
            if let Body::Lifecycle { kind, .. } = &mut fact.body {
                *kind = event;
            }
            self.intake.fact(&fact, record);
        }
        largest
    }

    fn item(&mut self, row: &impl Cells, place: &Place<'_>) -> Option<Time> {
        let row = self.kept(self.olist.items.decode(row, &self.intake.limits), place)?;
        let ItemRow { order_id, item_no, product_id, seller_id, price, freight } = row;
        let category = product_id.as_ref().and_then(|product_id| self.olist.categories.get(product_id)).cloned();
        let body = Body::Item {
            item_no,
            product_id,
            product_name: None,
            category,
            category_joined: true,
            seller_id,
            quantity: 1,
            price,
            freight,
        };
        self.stamped(place, order_id, body)
    }

    fn payment(&mut self, row: &impl Cells, place: &Place<'_>) -> Option<Time> {
        let row = self.kept(self.olist.payments.decode(row, &self.intake.limits), place)?;
        let PaymentRow { order_id, seq, payment_type, installments, value } = row;
        let body = Body::Payment { seq, payment_type, installments, value };
        self.stamped(place, order_id, body)
    }

    /// Takes in an item or a payment with its order's time; that time.
    fn stamped(&mut self, place: &Place<'_>, order_id: Text, body: Body) -> Option<Time> {
        let stamp: Option<Stamp> = match (&mut self.stamps, &self.olist.plan) {
            (Some(stamps), _) => stamps.get(&order_id),
            (None, Plan::Stamped { stamps, .. }) => stamps.get(&order_id),
            (None, Plan::Joined { .. }) => None,
        };
        let is_item = matches!(body, Body::Item { .. });
        let at = stamp.map_or(0, |stamp| if is_item { stamp.purchased_at } else { stamp.paid_at() });
        let order = OrderId { tenant: self.tenant.clone(), order_id };
        let fact = Fact { order, at, event_id: None, body };
        if stamp.is_none() {
            self.intake.refuse_unknown_order(place.position, &fact, EventKind::ALL.len() as u8 + u8::from(!is_item));
            return None;
        }
        let record = self.decoded(&fact.order, place, at);
        self.intake.count_decoded(record);
        self.intake.fact(&fact, record);
        Some(at)
    }
}

/// Where a row stands.
struct Place<'b> {
    /// Its first line.
    position: Position,
    /// Its bytes without line end.
    raw: &'b [u8],
}

/// The lifecycle facts of an order row (inputs.md, section 1).
fn lifecycle(row: &OrderRow) -> [Option<(EventKind, Time)>; 5] {
    let latest =
        [Some(row.purchased_at), row.approved_at, row.carrier_at, row.delivered_at].into_iter().flatten().max();
    [
        Some((EventKind::Placed, row.purchased_at)),
        row.approved_at.map(|at| (EventKind::ProcessingStarted, at)),
        row.carrier_at.map(|at| (EventKind::Shipped, at)),
        row.delivered_at.map(|at| (EventKind::Delivered, at)),
        latest.filter(|_| row.cancelled).map(|at| (EventKind::Cancelled, at)),
    ]
}

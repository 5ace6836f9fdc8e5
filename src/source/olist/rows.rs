//! Rows of an Olist directory on their way to facts.
//!
//! One order row becomes up to five lifecycle facts, an item or payment row one fact with its order's time.

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, EventKind, Fact, OrderId, Origin, Position, Text};
use dataflows::orders::parcel::order_key;
use dataflows::time::Time;

use super::stamps::{BlockStamps, Stamp};
use super::{Olist, Plan, Table};
use crate::clock::Watermark;
use crate::decode::cells::{Cells, CsvRow, CsvRows, PlainRows};
use crate::decode::olist::{ItemRow, OrderRow, PaymentRow};
use crate::source::blocks::{Block, ends_within_quotes, is_blank};
use crate::source::intake::{Decoded, Intake};
use crate::validate::{Broken, Reason};

/// Reads the rows of blocks; keeps its allocations.
pub struct RowReader {
    tenant: Text,
    items: Vec<(Position, ItemRow)>,
}

/// Items whose products are looked up together: the table of products is seldom in the cache, and so the waits for it
/// overlap.
const ITEMS_AT_ONCE: usize = 32;

impl Default for RowReader {
    fn default() -> RowReader {
        RowReader { tenant: Text::new(DEFAULT_TENANT), items: Vec::new() }
    }
}

/// True where a row is the last one of its file and has a quote that is never closed: it may have swallowed other rows.
pub fn is_open(row: &CsvRow<'_, '_>) -> bool {
    row.is_last && ends_within_quotes(row.raw)
}

impl RowReader {
    /// Reads every row of a block into `intake`. `block_stamps` gathers the times of a block of orders and gives them to
    /// its items and payments; without it times come from the table of all directories.
    pub(super) fn read(
        &mut self,
        olist: &Olist,
        table: Table,
        block: &Block,
        watermark: &mut Option<Watermark>,
        intake: &mut Intake,
        mut block_stamps: Option<&mut BlockStamps>,
    ) {
        tracing::trace!(line = block.first_line, bytes = block.bytes.len(), "{table:?}");
        let file = olist.first_file + table as u32;
        if block.is_too_large {
            let position = Position::new(file, block.first_line);
            intake.refuse(position, &Broken::only(Reason::TooLarge), &block.bytes);
            return;
        }
        if let Some(stamps) = &mut block_stamps {
            stamps.rewind();
        }
        let (tenant, items) = (&self.tenant, &mut self.items);
        let mut rows = Rows { olist, table, watermark, intake, stamps: block_stamps, tenant, items };
        let place = |lines: u64, raw| Place { position: Position::new(file, block.first_line + lines), raw };
        if let Some(mut plain) = PlainRows::of(&block.bytes) {
            while let Some((lines, raw, row)) = plain.next_row() {
                rows.take(&row, &place(lines, raw));
            }
            rows.give_items();
            return;
        }
        let mut split = CsvRows::of(&block.bytes);
        while let Some(row) = split.next_row() {
            let place = place(row.lines, row.raw);
            if is_open(&row) {
                rows.intake.refuse(place.position, &Broken::only(Reason::Malformed), place.raw);
            } else {
                rows.take(row.cells, &place);
            }
        }
        rows.give_items();
    }
}

/// Rows of a block on their way into `intake`.
struct Rows<'r> {
    olist: &'r Olist,
    table: Table,
    watermark: &'r mut Option<Watermark>,
    intake: &'r mut Intake,
    stamps: Option<&'r mut BlockStamps>,
    tenant: &'r Text,
    /// Items that were decoded and not yet taken in.
    items: &'r mut Vec<(Position, ItemRow)>,
}

impl Rows<'_> {
    fn take(&mut self, row: &impl Cells, place: &Place<'_>) {
        // A line of blanks is no record, as in every other format.
        if is_blank(place.raw) {
            return;
        }
        match self.table {
            Table::Orders => {
                if let Some(order) = self.kept(self.olist.orders.decode(row, &self.intake.limits), place) {
                    self.order(order, place.position);
                }
            }
            Table::Items => {
                if let Some(item) = self.kept(self.olist.items.decode(row, &self.intake.limits), place) {
                    self.items.push((place.position, item));
                    if self.items.len() == ITEMS_AT_ONCE {
                        self.give_items();
                    }
                }
            }
            Table::Payments => {
                if let Some(payment) = self.kept(self.olist.payments.decode(row, &self.intake.limits), place) {
                    self.payment(payment, place.position);
                }
            }
        }
    }

    /// The row, where it was decoded; otherwise it is refused.
    fn kept<R>(&mut self, decoded: Result<R, Broken>, place: &Place<'_>) -> Option<R> {
        decoded.map_err(|broken| self.intake.refuse(place.position, &broken, place.raw)).ok()
    }

    fn decoded(&self, order: &OrderId, position: Position, record_at: Time) -> Decoded {
        let watermark = self.watermark.as_ref().map_or(0, Watermark::time);
        Decoded { key: order_key(order), position, record_at, watermark }
    }

    fn observe(&mut self, at: Time) {
        if let Some(watermark) = self.watermark.as_mut() {
            watermark.observe(at);
        }
    }

    fn order(&mut self, row: OrderRow, position: Position) {
        if let Some(stamps) = &mut self.stamps {
            stamps.push(&row);
        }
        let events = row.events();
        let times = events.iter().flatten().map(|(_, at)| *at);
        let record_at = times.clone().min().unwrap_or(row.purchased_at);
        let largest = times.max();
        let OrderRow { order_id, customer_id, .. } = row;
        let order = OrderId { tenant: self.tenant.clone(), order_id };
        let record = self.decoded(&order, position, record_at);
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
        if let Some(at) = largest {
            self.observe(at);
        }
    }

    /// Takes the decoded items in.
    fn give_items(&mut self) {
        let (mut categories, products) = ([None; ITEMS_AT_ONCE], &*self.olist.categories);
        for (category, (_, item)) in categories.iter_mut().zip(&*self.items) {
            *category = item.product_id.as_ref().and_then(|product_id| products.get(product_id));
        }
        let mut items = std::mem::take(self.items);
        for (category, (position, item)) in categories.into_iter().zip(items.drain(..)) {
            let ItemRow { order_id, item_no, product_id, seller_id, price, freight } = item;
            let body = Body::Item {
                item_no,
                product_id,
                product_name: None,
                category: category.cloned(),
                category_joined: true,
                seller_id,
                quantity: 1,
                price,
                freight,
            };
            self.stamped(position, order_id, body);
        }
        *self.items = items;
    }

    fn payment(&mut self, row: PaymentRow, position: Position) {
        let PaymentRow { order_id, seq, payment_type, installments, value } = row;
        self.stamped(position, order_id, Body::Payment { seq, payment_type, installments, value });
    }

    /// Takes in an item or a payment with its order's time.
    fn stamped(&mut self, position: Position, order_id: Text, body: Body) {
        let stamp: Option<Stamp> = match (&mut self.stamps, &self.olist.plan) {
            (Some(stamps), _) => stamps.get(&order_id),
            (None, Plan::Stamped { stamps, .. }) => stamps.get(&order_id),
            (None, Plan::Joined(_)) => None,
        };
        let is_item = matches!(body, Body::Item { .. });
        let at = stamp.map_or(0, |stamp| if is_item { stamp.purchased_at } else { stamp.paid_at() });
        let order = OrderId { tenant: self.tenant.clone(), order_id };
        let fact = Fact { order, at, event_id: None, body };
        if stamp.is_none() {
            self.intake.refuse_unknown_order(position, &fact, EventKind::ALL.len() as u8 + u8::from(!is_item));
            return;
        }
        let record = self.decoded(&fact.order, position, at);
        self.intake.count_decoded(record);
        self.intake.fact(&fact, record);
        self.observe(at);
    }
}

/// Where a row stands.
struct Place<'b> {
    /// Its first line.
    position: Position,
    /// Its bytes without line end.
    raw: &'b [u8],
}

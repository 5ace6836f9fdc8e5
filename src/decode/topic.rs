//! Records of topics (inputs.md, section 4): rows of orders, items and payments as JSON objects, or events and sales as
//! they stand in files.
//!
//! What a record is follows from the names of its members, never from the topic: one with an event type or a status is
//! an event or a sale, one with a column that only rows have is a row; columns without a value tell nothing. A row of an order is published again as it fills
//! up: its facts have the event types as their identity, so what it said before are copies.

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, Fact, Money, OrderId, Origin, Text};
use dataflows::time::Time;

use super::json::{Facts, Record};
use super::olist::{OrderRow, is_cancelled};
use crate::validate::{Broken, Cell, Check, Limits};

/// The facts of a record's value, or every rule it breaks.
pub fn record(bytes: &[u8], limits: &Limits) -> Result<Facts, Broken> {
    let mut columns = Columns::default();
    let record = Record::read(bytes, |name, cell| columns.take(name, cell))?;
    facts(&record, &columns, limits)
}

/// The same of a record's members, however they were written.
pub(super) fn members<'a>(
    members: impl Iterator<Item = (&'a str, Cell<'a>)>,
    limits: &Limits,
) -> Result<Facts, Broken> {
    let (mut columns, mut record) = (Columns::default(), Record::default());
    members.for_each(|(name, cell)| record.put(name, cell, |name, cell| columns.take(name, cell)));
    facts(&record, &columns, limits)
}

fn facts(record: &Record<'_>, columns: &Columns<'_>, limits: &Limits) -> Result<Facts, Broken> {
    match columns.row() {
        Some(row) if record.event_type.text().is_none() && record.status.text().is_none() => {
            let reading = Reading::new(record, limits);
            match row {
                Row::Order => reading.order(columns),
                Row::Item => reading.item(columns),
                Row::Payment => reading.payment(columns),
            }
        }
        _ => record.decode(limits),
    }
}

/// The id of the order that a record speaks of; none where there is no legal one.
pub fn order_id(bytes: &[u8]) -> Option<Text> {
    let record = Record::read(bytes, |_, _| ()).ok()?;
    Check::new(&Limits::at(0)).id("order_id", &record.order_id)
}

/// Which table a row is of.
#[derive(Clone, Copy, Debug)]
enum Row {
    Order,
    Item,
    Payment,
}

/// The columns that only rows have.
#[derive(Debug, Default)]
struct Columns<'a> {
    /// Which row the first of them that is named is of.
    named: Option<Row>,
    order_status: Cell<'a>,
    purchased_at: Cell<'a>,
    approved_at: Cell<'a>,
    carrier_at: Cell<'a>,
    delivered_at: Cell<'a>,
    order_item_id: Cell<'a>,
    seller_id: Cell<'a>,
    freight_value: Cell<'a>,
    payment_sequential: Cell<'a>,
    payment_installments: Cell<'a>,
    payment_value: Cell<'a>,
}

impl<'a> Columns<'a> {
    fn take(&mut self, name: &str, cell: Cell<'a>) {
        let (row, column) = match name {
            "order_status" => (Row::Order, &mut self.order_status),
            "order_purchase_timestamp" => (Row::Order, &mut self.purchased_at),
            "order_approved_at" => (Row::Order, &mut self.approved_at),
            "order_delivered_carrier_date" => (Row::Order, &mut self.carrier_at),
            "order_delivered_customer_date" => (Row::Order, &mut self.delivered_at),
            "order_item_id" => (Row::Item, &mut self.order_item_id),
            "freight_value" => (Row::Item, &mut self.freight_value),
            "payment_sequential" => (Row::Payment, &mut self.payment_sequential),
            "payment_installments" => (Row::Payment, &mut self.payment_installments),
            "payment_value" => (Row::Payment, &mut self.payment_value),
            "seller_id" => {
                self.seller_id = cell;
                return;
            }
            _ => return,
        };
        self.named.get_or_insert(row);
        *column = cell;
    }

    /// Which row it is, by columns with a value: a schema of all three names those of the others, too, without one. A row of
    /// an item or a payment may have been joined with its order's, but never the other way round.
    fn row(&self) -> Option<Row> {
        let of_order =
            [&self.order_status, &self.purchased_at, &self.approved_at, &self.carrier_at, &self.delivered_at];
        let of_item = [&self.order_item_id, &self.freight_value];
        let of_payment = [&self.payment_sequential, &self.payment_installments, &self.payment_value];
        let rows = [(Row::Item, &of_item[..]), (Row::Payment, &of_payment), (Row::Order, &of_order)];
        let told = rows.into_iter().find(|(_, cells)| cells.iter().any(|cell| !cell.is_absent()));
        told.map(|(row, _)| row).or(self.named)
    }
}

/// A row under check: what all three have in common.
struct Reading<'r, 'a> {
    record: &'r Record<'a>,
    check: Check<'r>,
    order: Option<OrderId>,
    event_id: Option<Text>,
}

impl<'r, 'a> Reading<'r, 'a> {
    fn new(record: &'r Record<'a>, limits: &'r Limits) -> Reading<'r, 'a> {
        let mut check = Check::new(limits);
        check.require("order_id", !record.order_id.is_absent());
        let order_id = check.id("order_id", &record.order_id);
        let tenant = check.tenant("tenant", &record.tenant).unwrap_or_else(|| Text::new(DEFAULT_TENANT));
        let event_id = check.id("event_id", &record.event_id);
        let order = order_id.map(|order_id| OrderId { tenant, order_id });
        Reading { record, check, order, event_id }
    }

    /// The value that `rule` finds; refused as missing where the cell is blank.
    fn required<T>(
        &mut self,
        column: &'static str,
        cell: &Cell<'_>,
        rule: impl FnOnce(&mut Check<'r>, &'static str, &Cell<'_>) -> Option<T>,
    ) -> Option<T> {
        self.check.require(column, !cell.is_absent());
        rule(&mut self.check, column, cell)
    }

    /// The facts of a row of an order: their identity is the event type, whatever the record's own id.
    fn order(mut self, columns: &Columns<'_>) -> Result<Facts, Broken> {
        let customer_id = self.check.id("customer_id", &self.record.customer_id);
        // As in every format, a status that is no text is none.
        self.check.require("order_status", columns.order_status.text().is_some());
        let cancelled = is_cancelled(&columns.order_status, &mut self.check);
        let purchased_at = self.required("order_purchase_timestamp", &columns.purchased_at, Check::time);
        let approved_at = self.check.time("order_approved_at", &columns.approved_at);
        let carrier_at = self.check.time("order_delivered_carrier_date", &columns.carrier_at);
        let delivered_at = self.check.time("order_delivered_customer_date", &columns.delivered_at);
        match (self.order, purchased_at, cancelled) {
            (Some(order), Some(purchased_at), Some(cancelled)) if self.check.is_clean() => {
                let order_id = order.order_id.clone();
                let row =
                    OrderRow { order_id, customer_id, purchased_at, approved_at, carrier_at, delivered_at, cancelled };
                let mut events = row.events().into_iter().flatten().map(|(kind, at)| {
                    let body = Body::Lifecycle { kind, origin: Origin::Row, customer_id: row.customer_id.clone() };
                    Fact { order: order.clone(), at, event_id: None, body }
                });
                match events.next() {
                    Some(first) => Ok(Facts { first, more: events.collect() }),
                    None => Err(self.check.broken(self.event_id, Some(purchased_at))),
                }
            }
            (_, purchased_at, _) => Err(self.check.broken(self.event_id, purchased_at)),
        }
    }

    fn item(mut self, columns: &Columns<'_>) -> Result<Facts, Broken> {
        let record = self.record;
        let at = self.required("timestamp", &record.timestamp, Check::time);
        let item_no = self.required("order_item_id", &columns.order_item_id, Check::small_count);
        let product_id = self.check.id("product_id", &record.product_id);
        let seller_id = self.check.id("seller_id", &columns.seller_id);
        let price = self.required("price", &record.price, Check::price);
        let freight = self.required("freight_value", &columns.freight_value, Check::money);
        // It came by a join before the row was published, so it is no part of what the row says.
        let category = record.item_category.text().map(Text::new);
        let body = |item_no, price: Money, freight: Money| Body::Item {
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
        let body = item_no.zip(price).zip(freight).map(|((item_no, price), freight)| body(item_no, price, freight));
        self.one(at, body)
    }

    fn payment(mut self, columns: &Columns<'_>) -> Result<Facts, Broken> {
        let record = self.record;
        let at = self.required("timestamp", &record.timestamp, Check::time);
        let seq = self.required("payment_sequential", &columns.payment_sequential, Check::small_count);
        self.check.require("payment_type", record.payment_type.text().is_some());
        let payment_type = self.check.payment_type(&record.payment_type);
        let installments = self.check.small_count("payment_installments", &columns.payment_installments).unwrap_or(1);
        let value = self.required("payment_value", &columns.payment_value, Check::money);
        let body = seq.zip(payment_type).zip(value);
        let body = body.map(|((seq, payment_type), value)| Body::Payment { seq, payment_type, installments, value });
        self.one(at, body)
    }

    /// The only fact of a row.
    fn one(self, at: Option<Time>, body: Option<Body>) -> Result<Facts, Broken> {
        match (self.order, at, body) {
            (Some(order), Some(at), Some(body)) if self.check.is_clean() => {
                Ok(Facts { first: Fact { order, at, event_id: self.event_id, body }, more: Vec::new() })
            }
            (_, at, _) => Err(self.check.broken(self.event_id, at)),
        }
    }
}

#[cfg(test)]
#[path = "topic/tests.rs"]
mod tests;

//! Rows of the Olist directory (inputs.md, section 1): orders, items, payments.
//!
//! Invariant: what the fast way accepts, the shared rules of [`Check`] accept with the same value; whatever it does not
//! know it leaves to them, so it alters no verdict. A row allocates only for ids that [`Text`] cannot keep in place.
//!
//! Limits: columns that no fact comes of (estimates, shipping limits) are not looked at, but must be UTF-8. The size of
//! a row is that of its unquoted fields and the commas between them.

use std::fmt;

use csv::ByteRecord;
use dataflows::model::text::pack_hex;
use dataflows::model::{EventKind, Money, PaymentType, Text};
use dataflows::time::Time;

use super::cells::Cells;
use crate::validate::{Broken, Cell, Check, Limits, MAX_RECORD_BYTES, Reason, number, timestamp};

/// What is wrong with a file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// A required column is not there.
    Missing(&'static str),
    /// Two columns of one name.
    Repeated(String),
    /// A name that is no UTF-8; the column's number, counted from 1.
    NotUtf8(usize),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeaderError::Missing(column) => write!(formatter, "the header has no column `{column}`"),
            HeaderError::Repeated(column) => write!(formatter, "the header has the column `{column}` twice"),
            HeaderError::NotUtf8(number) => write!(formatter, "the header's column {number} is not UTF-8"),
        }
    }
}

impl std::error::Error for HeaderError {}

/// A header: its names, trimmed, each of them once.
pub(super) struct Header<'h> {
    names: Vec<&'h str>,
}

impl<'h> Header<'h> {
    pub(super) fn read(header: &'h ByteRecord) -> Result<Header<'h>, HeaderError> {
        let mut names: Vec<&str> = Vec::with_capacity(header.len());
        for (place, name) in header.iter().enumerate() {
            let name = std::str::from_utf8(name).map_err(|_| HeaderError::NotUtf8(place + 1))?.trim();
            if !name.is_empty() && names.contains(&name) {
                return Err(HeaderError::Repeated(name.to_owned()));
            }
            names.push(name);
        }
        Ok(Header { names })
    }

    /// The place of a column; beyond the last one where it is not there, so that its cells are empty.
    pub(super) fn optional(&self, column: &str) -> usize {
        self.names.iter().position(|name| *name == column).unwrap_or(usize::MAX)
    }

    pub(super) fn required(&self, column: &'static str) -> Result<usize, HeaderError> {
        self.names.iter().position(|name| *name == column).ok_or(HeaderError::Missing(column))
    }

    pub(super) fn width(&self) -> usize {
        self.names.len()
    }
}

/// Where the columns of an orders file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderColumns {
    width: usize,
    order_id: usize,
    customer_id: usize,
    status: usize,
    purchased_at: usize,
    approved_at: usize,
    carrier_at: usize,
    delivered_at: usize,
}

/// An order as its row shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns, see inputs.md
pub struct OrderRow {
    pub order_id: Text,
    pub customer_id: Option<Text>,
    pub purchased_at: Time,
    pub approved_at: Option<Time>,
    pub carrier_at: Option<Time>,
    pub delivered_at: Option<Time>,
    /// True where the status is `canceled` or `unavailable`.
    pub cancelled: bool,
}

impl OrderRow {
    /// Its lifecycle events: the data hold no time of a cancellation, which counts from the latest of the others.
    pub fn events(&self) -> [Option<(EventKind, Time)>; 5] {
        let latest =
            [Some(self.purchased_at), self.approved_at, self.carrier_at, self.delivered_at].into_iter().flatten().max();
        [
            Some((EventKind::Placed, self.purchased_at)),
            self.approved_at.map(|at| (EventKind::ProcessingStarted, at)),
            self.carrier_at.map(|at| (EventKind::Shipped, at)),
            self.delivered_at.map(|at| (EventKind::Delivered, at)),
            latest.filter(|_| self.cancelled).map(|at| (EventKind::Cancelled, at)),
        ]
    }
}

impl OrderColumns {
    /// Finds the columns by name.
    pub fn from_header(header: &ByteRecord) -> Result<OrderColumns, HeaderError> {
        let header = Header::read(header)?;
        Ok(OrderColumns {
            width: header.width(),
            order_id: header.required("order_id")?,
            customer_id: header.optional("customer_id"),
            status: header.required("order_status")?,
            purchased_at: header.required("order_purchase_timestamp")?,
            approved_at: header.optional("order_approved_at"),
            carrier_at: header.optional("order_delivered_carrier_date"),
            delivered_at: header.optional("order_delivered_customer_date"),
        })
    }

    /// What a row says, or every rule it breaks.
    pub fn decode(&self, record: &impl Cells, limits: &Limits) -> Result<OrderRow, Broken> {
        let mut row = Row::open(record, self.width, limits)?;
        let order_id = row.required("order_id", self.order_id, Row::id);
        let customer_id = row.id("customer_id", self.customer_id);
        let cancelled = row.required("order_status", self.status, |row, _, place| row.cancelled(place));
        let purchased_at = row.required("order_purchase_timestamp", self.purchased_at, Row::time);
        let approved_at = row.time("order_approved_at", self.approved_at);
        let carrier_at = row.time("order_delivered_carrier_date", self.carrier_at);
        let delivered_at = row.time("order_delivered_customer_date", self.delivered_at);
        match (order_id, purchased_at, cancelled) {
            (Some(order_id), Some(purchased_at), Some(cancelled)) if row.check.is_clean() => {
                Ok(OrderRow { order_id, customer_id, purchased_at, approved_at, carrier_at, delivered_at, cancelled })
            }
            _ => Err(row.check.broken(None, purchased_at)),
        }
    }
}

/// Where the columns of an items file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemColumns {
    width: usize,
    order_id: usize,
    item_no: usize,
    product_id: usize,
    seller_id: usize,
    price: usize,
    freight: usize,
}

/// A line of an order; its quantity is 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns, see inputs.md
pub struct ItemRow {
    pub order_id: Text,
    pub item_no: u16,
    pub product_id: Option<Text>,
    pub seller_id: Option<Text>,
    pub price: Money,
    pub freight: Money,
}

impl ItemColumns {
    /// Finds the columns by name.
    pub fn from_header(header: &ByteRecord) -> Result<ItemColumns, HeaderError> {
        let header = Header::read(header)?;
        Ok(ItemColumns {
            width: header.width(),
            order_id: header.required("order_id")?,
            item_no: header.required("order_item_id")?,
            product_id: header.optional("product_id"),
            seller_id: header.optional("seller_id"),
            price: header.required("price")?,
            freight: header.required("freight_value")?,
        })
    }

    /// What a row says, or every rule it breaks.
    pub fn decode(&self, record: &impl Cells, limits: &Limits) -> Result<ItemRow, Broken> {
        let mut row = Row::open(record, self.width, limits)?;
        let order_id = row.required("order_id", self.order_id, Row::id);
        let item_no = row.required("order_item_id", self.item_no, Row::small_count);
        let product_id = row.id("product_id", self.product_id);
        let seller_id = row.id("seller_id", self.seller_id);
        let price = row.required("price", self.price, Row::price);
        let freight = row.required("freight_value", self.freight, Row::money);
        match (order_id, item_no, price, freight) {
            (Some(order_id), Some(item_no), Some(price), Some(freight)) if row.check.is_clean() => {
                Ok(ItemRow { order_id, item_no, product_id, seller_id, price, freight })
            }
            _ => Err(row.check.broken(None, None)),
        }
    }
}

/// Where the columns of a payments file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentColumns {
    width: usize,
    order_id: usize,
    seq: usize,
    payment_type: usize,
    installments: usize,
    value: usize,
}

/// A payment for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the columns, see inputs.md
pub struct PaymentRow {
    pub order_id: Text,
    pub seq: u16,
    pub payment_type: PaymentType,
    /// 1 where the cell is empty.
    pub installments: u16,
    pub value: Money,
}

impl PaymentColumns {
    /// Finds the columns by name.
    pub fn from_header(header: &ByteRecord) -> Result<PaymentColumns, HeaderError> {
        let header = Header::read(header)?;
        Ok(PaymentColumns {
            width: header.width(),
            order_id: header.required("order_id")?,
            seq: header.required("payment_sequential")?,
            payment_type: header.required("payment_type")?,
            installments: header.optional("payment_installments"),
            value: header.required("payment_value")?,
        })
    }

    /// What a row says, or every rule it breaks.
    pub fn decode(&self, record: &impl Cells, limits: &Limits) -> Result<PaymentRow, Broken> {
        let mut row = Row::open(record, self.width, limits)?;
        let order_id = row.required("order_id", self.order_id, Row::id);
        let seq = row.required("payment_sequential", self.seq, Row::small_count);
        let payment_type = row.required("payment_type", self.payment_type, |row, _, place| row.payment_type(place));
        let installments = row.small_count("payment_installments", self.installments).unwrap_or(1);
        let value = row.required("payment_value", self.value, Row::money);
        match (order_id, seq, payment_type, value) {
            (Some(order_id), Some(seq), Some(payment_type), Some(value)) if row.check.is_clean() => {
                Ok(PaymentRow { order_id, seq, payment_type, installments, value })
            }
            _ => Err(row.check.broken(None, None)),
        }
    }
}

/// Refuses a row that is not whole: too large, no UTF-8, not as wide as its header.
pub fn whole(record: &impl Cells, width: usize) -> Result<(), Broken> {
    if record.length() > MAX_RECORD_BYTES {
        return Err(Broken::only(Reason::TooLarge));
    }
    let mut cells = (0..record.count()).filter_map(|place| record.cell(place));
    if !record.bytes().is_ascii() && cells.any(|cell| std::str::from_utf8(cell).is_err()) {
        return Err(Broken::only(Reason::NotUtf8));
    }
    if record.count() != width {
        return Err(Broken::only(Reason::ColumnCount));
    }
    Ok(())
}

/// A whole row under check. Each rule tries the fast way first, which knows trimmed cells of the usual form.
struct Row<'r, C> {
    record: &'r C,
    limits: &'r Limits,
    check: Check<'r>,
}

impl<'r, C: Cells> Row<'r, C> {
    fn open(record: &'r C, width: usize, limits: &'r Limits) -> Result<Row<'r, C>, Broken> {
        whole(record, width)?;
        Ok(Row { record, limits, check: Check::new(limits) })
    }

    fn bytes(&self, place: usize) -> &'r [u8] {
        self.record.cell(place).unwrap_or_default()
    }

    fn cell(&self, place: usize) -> Cell<'r> {
        // The row is UTF-8: `whole` has seen to that.
        Cell::of_text(std::str::from_utf8(self.bytes(place)).unwrap_or_default())
    }

    /// The value that `rule` finds, refused as missing where the cell is blank.
    #[inline]
    fn required<T>(
        &mut self,
        column: &'static str,
        place: usize,
        rule: impl FnOnce(&mut Row<'r, C>, &'static str, usize) -> Option<T>,
    ) -> Option<T> {
        let value = rule(self, column, place);
        if value.is_none() {
            let is_there = !self.cell(place).is_absent();
            self.check.require(column, is_there);
        }
        value
    }

    #[inline]
    fn id(&mut self, column: &'static str, place: usize) -> Option<Text> {
        match pack_hex(self.bytes(place)) {
            Some(packed) => Some(Text::from_packed_hex(packed)),
            None => self.check.id(column, &self.cell(place)),
        }
    }

    #[inline]
    fn time(&mut self, column: &'static str, place: usize) -> Option<Time> {
        let bytes = self.bytes(place);
        if bytes.is_empty() {
            return None;
        }
        match timestamp::parse(bytes) {
            Some(at) if at <= self.limits.latest() => Some(at),
            _ => self.check.time(column, &self.cell(place)),
        }
    }

    #[inline]
    fn money(&mut self, column: &'static str, place: usize) -> Option<Money> {
        match number::money(self.bytes(place)) {
            Some(amount) if amount >= Money::ZERO => Some(amount),
            _ => self.check.money(column, &self.cell(place)),
        }
    }

    #[inline]
    fn price(&mut self, column: &'static str, place: usize) -> Option<Money> {
        match number::money(self.bytes(place)) {
            Some(price) if price >= Money::ZERO && price <= self.limits.max_price => Some(price),
            _ => self.check.price(column, &self.cell(place)),
        }
    }

    #[inline]
    fn small_count(&mut self, column: &'static str, place: usize) -> Option<u16> {
        match self.bytes(place) {
            [digit @ b'0'..=b'9'] => Some(u16::from(digit - b'0')),
            _ => self.check.small_count(column, &self.cell(place)),
        }
    }

    #[inline]
    fn payment_type(&mut self, place: usize) -> Option<PaymentType> {
        let bytes = self.bytes(place);
        let known = PaymentType::ALL.into_iter().find(|known| known.name().as_bytes() == bytes);
        known.or_else(|| self.check.payment_type(&self.cell(place)))
    }

    #[inline]
    fn cancelled(&mut self, place: usize) -> Option<bool> {
        let bytes = self.bytes(place);
        if let Some((_, cancelled)) = STATUSES.iter().find(|(status, _)| status.as_bytes() == bytes) {
            return Some(*cancelled);
        }
        is_cancelled(&self.cell(place), &mut self.check)
    }
}

/// The statuses of an order, and which of them say that it was cancelled.
const STATUSES: [(&str, bool); 8] = [
    ("delivered", false),
    ("shipped", false),
    ("canceled", true),
    ("unavailable", true),
    ("invoiced", false),
    ("processing", false),
    ("created", false),
    ("approved", false),
];

/// True where a status says that the order was cancelled.
pub(super) fn is_cancelled(status: &Cell<'_>, check: &mut Check<'_>) -> Option<bool> {
    let name = status.text()?;
    let known = STATUSES.iter().find(|(status, _)| status.eq_ignore_ascii_case(name));
    if known.is_none() {
        check.refuse(Reason::UnknownStatus);
    }
    known.map(|(_, cancelled)| *cancelled)
}

#[cfg(test)]
#[path = "olist/tests.rs"]
mod tests;

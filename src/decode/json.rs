//! JSON lines: order events (inputs.md, section 2) and sales (section 3).
//!
//! A line with an event type is an order event, one with only a status is a sale. Of a repeated key the last counts.
//! Unknown members are ignored, but the whole line must be JSON.

use std::iter;

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Text};
use dataflows::time::Time;

use super::scan::{self, Malformed};
use crate::validate::{Broken, Cell, Check, Limits, MAX_RECORD_BYTES, Reason};

/// The facts of one record: one to five, lifecycle first, then item, then payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub(super) first: Fact,
    /// Empty, and then without allocation, for all but placements, pending sales and rows of orders.
    pub(super) more: Vec<Fact>,
}

impl Facts {
    /// The facts in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fact> {
        iter::once(&self.first).chain(&self.more)
    }

    /// The order they speak of: one record speaks of one order.
    pub fn order(&self) -> &OrderId {
        &self.first.order
    }

    /// When the first of the record's facts happened. All but rows of orders have one timestamp.
    pub fn at(&self) -> Time {
        self.iter().map(|fact| fact.at).min().unwrap_or(self.first.at)
    }

    /// When the last of the record's facts happened: what moves a watermark.
    pub fn latest(&self) -> Time {
        self.iter().map(|fact| fact.at).max().unwrap_or(self.first.at)
    }
}

impl IntoIterator for Facts {
    type Item = Fact;
    type IntoIter = iter::Chain<iter::Once<Fact>, std::vec::IntoIter<Fact>>;

    fn into_iter(self) -> Self::IntoIter {
        iter::once(self.first).chain(self.more)
    }
}

/// The facts of one line, without its line end; a blank line, which is no record, must not come here.
pub fn decode_line(line: &[u8], limits: &Limits) -> Result<Facts, Broken> {
    Record::read(line, |_, _| ())?.decode(limits)
}

/// The members that some format asks for.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) order_id: Cell<'a>,
    pub(super) timestamp: Cell<'a>,
    pub(super) tenant: Cell<'a>,
    pub(super) event_id: Cell<'a>,
    pub(super) customer_id: Cell<'a>,
    pub(super) product_id: Cell<'a>,
    pub(super) event_type: Cell<'a>,
    pub(super) status: Cell<'a>,
    item_name: Cell<'a>,
    pub(super) item_category: Cell<'a>,
    item_no: Cell<'a>,
    quantity: Cell<'a>,
    pub(super) price: Cell<'a>,
    freight: Cell<'a>,
    payment_seq: Cell<'a>,
    pub(super) payment_type: Cell<'a>,
    installments: Cell<'a>,
    value: Cell<'a>,
    product_name: Cell<'a>,
    total: Cell<'a>,
    payment_method: Cell<'a>,
}

/// What the bodies of a record's facts share.
struct Ids {
    product_id: Option<Text>,
    customer_id: Option<Text>,
}

/// The kinds of line that `event_type` names.
enum EventType {
    Lifecycle(EventKind),
    ItemAdded,
    PaymentReceived,
}

impl EventType {
    fn named(name: &str) -> Option<EventType> {
        if let Some(kind) = EventKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name)) {
            Some(EventType::Lifecycle(kind))
        } else if name.eq_ignore_ascii_case("ITEM_ADDED") {
            Some(EventType::ItemAdded)
        } else if name.eq_ignore_ascii_case("PAYMENT_RECEIVED") {
            Some(EventType::PaymentReceived)
        } else {
            None
        }
    }
}

fn sale_status(name: &str) -> Option<EventKind> {
    let statuses = [
        ("pending", EventKind::Placed),
        ("confirmed", EventKind::Confirmed),
        ("processing", EventKind::ProcessingStarted),
        ("shipped", EventKind::Shipped),
        ("delivered", EventKind::Delivered),
        ("cancelled", EventKind::Cancelled),
    ];
    statuses.into_iter().find(|(status, _)| status.eq_ignore_ascii_case(name)).map(|(_, kind)| kind)
}

impl<'a> Record<'a> {
    /// Reads the members of a record; `other` is told of those of another name.
    pub(super) fn read(bytes: &'a [u8], mut other: impl FnMut(&str, Cell<'a>)) -> Result<Record<'a>, Broken> {
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(Broken::only(Reason::TooLarge));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Broken::only(Reason::NotUtf8))?;
        let mut record = Record::default();
        scan::members(text, |key, value| {
            let Some(name) = key.string() else { return };
            record.put(&name, value.cell(), &mut other);
        })
        .map_err(|Malformed| Broken::only(Reason::Malformed))?;
        Ok(record)
    }

    /// Takes a member; `other` is told of one of another name.
    pub(super) fn put(&mut self, name: &str, value: Cell<'a>, other: impl FnOnce(&str, Cell<'a>)) {
        match self.cell_named(name) {
            Some(cell) => *cell = value,
            None => other(name, value),
        }
    }

    fn cell_named(&mut self, name: &str) -> Option<&mut Cell<'a>> {
        Some(match name {
            "order_id" => &mut self.order_id,
            "timestamp" => &mut self.timestamp,
            "tenant" => &mut self.tenant,
            "event_id" => &mut self.event_id,
            "customer_id" => &mut self.customer_id,
            "product_id" => &mut self.product_id,
            "event_type" => &mut self.event_type,
            "status" => &mut self.status,
            "item_name" => &mut self.item_name,
            "item_category" => &mut self.item_category,
            "item_no" => &mut self.item_no,
            "quantity" => &mut self.quantity,
            "price" => &mut self.price,
            "freight" => &mut self.freight,
            "payment_seq" => &mut self.payment_seq,
            "payment_type" => &mut self.payment_type,
            "installments" => &mut self.installments,
            "value" => &mut self.value,
            "product_name" => &mut self.product_name,
            "total" => &mut self.total,
            "payment_method" => &mut self.payment_method,
            _ => return None,
        })
    }

    pub(super) fn decode(&self, limits: &Limits) -> Result<Facts, Broken> {
        let mut check = Check::new(limits);
        check.require("order_id", !self.order_id.is_absent());
        check.require("timestamp", !self.timestamp.is_absent());
        let order_id = check.id("order_id", &self.order_id);
        let tenant = check.tenant("tenant", &self.tenant);
        let event_id = check.id("event_id", &self.event_id);
        let ids = Ids {
            product_id: check.id("product_id", &self.product_id),
            customer_id: check.id("customer_id", &self.customer_id),
        };
        let at = check.time("timestamp", &self.timestamp);
        let bodies = match (self.event_type.text(), self.status.text()) {
            (Some(name), _) => self.event(name, ids, &mut check),
            (None, Some(name)) => self.sale(name, ids, &mut check),
            (None, None) => {
                check.require("event_type", false);
                None
            }
        };
        match (order_id, at, bodies) {
            (Some(order_id), Some(at), Some((first, more))) if check.is_clean() => {
                let order = OrderId { tenant: tenant.unwrap_or_else(|| Text::new(DEFAULT_TENANT)), order_id };
                let fact = |body| Fact { order: order.clone(), at, event_id: event_id.clone(), body };
                Ok(Facts { more: more.into_iter().flatten().map(fact).collect(), first: fact(first) })
            }
            (_, at, _) => Err(check.broken(event_id, at)),
        }
    }

    /// The bodies of an order event; none where something needed is absent or broken.
    fn event(&self, name: &str, ids: Ids, check: &mut Check<'_>) -> Option<Bodies> {
        let Some(event_type) = EventType::named(name) else {
            check.refuse(Reason::UnknownEventType);
            return None;
        };
        match event_type {
            EventType::Lifecycle(kind) => {
                let names_item = self.item_name.text().is_some() && !self.price.is_absent();
                let item = match kind {
                    EventKind::Placed if names_item => Some(self.placed_item(ids.product_id, check)?),
                    _ => None,
                };
                Some((lifecycle(kind, ids.customer_id), [item, None]))
            }
            EventType::ItemAdded => self.item_added(ids.product_id, check).map(|body| (body, [None, None])),
            EventType::PaymentReceived => self.payment(check).map(|body| (body, [None, None])),
        }
    }

    fn placed_item(&self, product_id: Option<Text>, check: &mut Check<'_>) -> Option<Body> {
        let price = check.price("price", &self.price);
        let quantity = check.quantity("quantity", &self.quantity).unwrap_or(1);
        Some(item(1, product_id, self.item_names(), quantity, price?, Money::ZERO))
    }

    fn item_added(&self, product_id: Option<Text>, check: &mut Check<'_>) -> Option<Body> {
        check.require("item_no", !self.item_no.is_absent());
        check.require("quantity", !self.quantity.is_absent());
        check.require("price", !self.price.is_absent());
        let item_no = check.small_count("item_no", &self.item_no);
        let quantity = check.quantity("quantity", &self.quantity);
        let price = check.price("price", &self.price);
        let freight = check.money("freight", &self.freight);
        Some(item(item_no?, product_id, self.item_names(), quantity?, price?, freight.unwrap_or(Money::ZERO)))
    }

    /// What an item is called, and its category.
    fn item_names(&self) -> [Option<Text>; 2] {
        [&self.item_name, &self.item_category].map(|cell| cell.text().map(Text::new))
    }

    fn payment(&self, check: &mut Check<'_>) -> Option<Body> {
        check.require("payment_seq", !self.payment_seq.is_absent());
        check.require("payment_type", self.payment_type.text().is_some());
        check.require("value", !self.value.is_absent());
        let seq = check.small_count("payment_seq", &self.payment_seq);
        let payment_type = check.payment_type(&self.payment_type);
        let installments = check.small_count("installments", &self.installments);
        let value = check.money("value", &self.value);
        Some(Body::Payment {
            seq: seq?,
            payment_type: payment_type?,
            installments: installments.unwrap_or(1),
            value: value?,
        })
    }

    /// The bodies of a sale, whose numbers are checked whatever its status.
    fn sale(&self, status: &str, ids: Ids, check: &mut Check<'_>) -> Option<Bodies> {
        let kind = sale_status(status);
        if kind.is_none() {
            check.refuse(Reason::UnknownStatus);
        }
        if kind == Some(EventKind::Placed) {
            check.require("quantity", !self.quantity.is_absent());
            check.require("price", !self.price.is_absent());
            check.require("total", !self.total.is_absent());
            check.require("payment_method", self.payment_method.text().is_some());
        }
        let quantity = check.quantity("quantity", &self.quantity);
        let price = check.price("price", &self.price);
        let total = check.money("total", &self.total);
        if let (Some(quantity), Some(price), Some(total)) = (quantity, price, total)
            && total != price * quantity
        {
            check.refuse(Reason::TotalMismatch);
        }
        let payment_type = check.payment_type(&self.payment_method);
        let kind = kind?;
        if kind != EventKind::Placed {
            return Some((lifecycle(kind, ids.customer_id), [None, None]));
        }
        let names = [self.product_name.text().map(Text::new), None];
        let item = item(1, ids.product_id, names, quantity?, price?, Money::ZERO);
        let payment = payment(payment_type?, total?);
        Some((lifecycle(kind, ids.customer_id), [Some(item), Some(payment)]))
    }
}

/// The first fact's body, and those of further facts.
type Bodies = (Body, [Option<Body>; 2]);

fn lifecycle(kind: EventKind, customer_id: Option<Text>) -> Body {
    Body::Lifecycle { kind, origin: Origin::Event, customer_id }
}

fn item(
    item_no: u16,
    product_id: Option<Text>,
    [product_name, category]: [Option<Text>; 2],
    quantity: u32,
    price: Money,
    freight: Money,
) -> Body {
    let (category_joined, seller_id) = (false, None);
    Body::Item { item_no, product_id, product_name, category, category_joined, seller_id, quantity, price, freight }
}

fn payment(payment_type: PaymentType, value: Money) -> Body {
    Body::Payment { seq: 1, payment_type, installments: 1, value }
}

#[cfg(test)]
#[path = "json/tests.rs"]
mod tests;

//! A step of an order as a line of JSON (inputs.md, sections 2 and 3), and the facts it comes to.
//!
//! Invariant: a line is a pure function of its moment, so a copy is the same bytes. Every text is plain ASCII.

use dataflows::model::digits::Rfc3339;
use dataflows::time::Time;

use super::StreamKind;
use super::catalogue::{Basket, FREIGHT_CENTS, Product, address, order_number};
use super::life::{Life, Moment, Step};
use crate::generate::files::{push_cents, push_number, push_padded};

/// What decoding makes of a step: a placement is also an item, in a sale a payment as well.
pub fn facts(kind: StreamKind, step: Step) -> u64 {
    match (kind, step) {
        (StreamKind::Orders, Step::Placed) => 2,
        (StreamKind::Sales, Step::Placed) => 3,
        _ => 1,
    }
}

/// Appends the line of a moment, without line end.
pub fn push_line(kind: StreamKind, seed: u64, moment: Moment, life: &Life, row: &mut Vec<u8>) {
    let basket = Basket::of(seed, moment.order);
    let (_, step) = life.steps()[usize::from(moment.step)];
    row.push(b'{');
    let object = &mut Object(row);
    match kind {
        StreamKind::Orders => push_event(object, seed, moment, step, &basket, life.lines),
        StreamKind::Sales => push_sale(object, seed, moment, step, &basket),
    }
    row.push(b'}');
}

fn push_event(object: &mut Object<'_>, seed: u64, moment: Moment, step: Step, basket: &Basket, lines: usize) {
    let number = order_number(seed, moment.order);
    object.id("event_id", "E-", number * 16 + u64::from(moment.step), 10);
    object.id("order_id", "ORD-", number, 8);
    object.text("tenant", basket.tenant);
    object.text("event_type", event_type(step));
    match step {
        Step::Placed => {
            object.id("customer_id", "CUST-", basket.customer, 6);
            push_item(object, basket.lines[0]);
        }
        Step::ItemAdded => {
            // The items are the steps that follow the placement.
            object.number("item_no", u64::from(moment.step) + 1);
            push_item(object, basket.lines[usize::from(moment.step)]);
            object.cents("freight", FREIGHT_CENTS);
        }
        Step::Paid => {
            object.number("payment_seq", 1);
            object.text("payment_type", basket.method);
            object.number("installments", basket.installments);
            object.cents("value", basket.value_cents(lines));
        }
        _ => {}
    }
    object.time("timestamp", moment.at);
}

fn push_item(object: &mut Object<'_>, (product, quantity): (Product, u64)) {
    object.id("product_id", "P-", product.number, 3);
    object.text("item_name", product.name);
    object.text("item_category", product.category);
    object.number("quantity", quantity);
    object.cents("price", product.price_cents);
}

fn push_sale(object: &mut Object<'_>, seed: u64, moment: Moment, step: Step, basket: &Basket) {
    let (product, quantity) = basket.lines[0];
    object.id("order_id", "ORD-", order_number(seed, moment.order), 8);
    object.text("tenant", basket.tenant);
    object.time("timestamp", moment.at);
    object.id("product_id", "P-", product.number, 3);
    object.text("product_name", product.name);
    object.number("quantity", quantity);
    object.cents("price", product.price_cents);
    object.cents("total", product.price_cents * quantity);
    object.id("customer_id", "CUST-", basket.customer, 6);
    object.id("customer_email", "customer", basket.customer, 6);
    object.0.pop();
    object.0.extend_from_slice(b"@example.com\"");
    object.text("payment_method", basket.method);
    let lives = address(basket.customer);
    object.key("shipping_address");
    object.0.extend_from_slice(b"{\"street\":\"");
    push_number(object.0, lives.house);
    object.0.push(b' ');
    object.0.extend_from_slice(lives.street.as_bytes());
    object.0.push(b'"');
    object.text("city", lives.city);
    object.text("state", lives.state);
    object.id("zip_code", "", lives.zip_code, 5);
    object.text("country", "US");
    object.0.push(b'}');
    object.text("status", status(step));
}

fn event_type(step: Step) -> &'static str {
    match step {
        Step::Placed => "ORDER_PLACED",
        Step::ItemAdded => "ITEM_ADDED",
        Step::Paid => "PAYMENT_RECEIVED",
        Step::Confirmed => "ORDER_CONFIRMED",
        Step::Processing => "PROCESSING_STARTED",
        Step::Shipped => "ITEM_SHIPPED",
        Step::Delivered => "ITEM_DELIVERED",
        Step::Held => "ORDER_HELD",
        Step::Released => "ORDER_RELEASED",
        Step::Cancelled => "ORDER_CANCELLED",
    }
}

/// The status of a sale at a step. Lives of sales have no other steps than these.
fn status(step: Step) -> &'static str {
    match step {
        Step::Confirmed => "confirmed",
        Step::Processing => "processing",
        Step::Shipped => "shipped",
        Step::Delivered => "delivered",
        Step::Cancelled => "cancelled",
        Step::Placed | Step::ItemAdded | Step::Paid | Step::Held | Step::Released => "pending",
    }
}

/// A JSON object that is being written.
struct Object<'a>(&'a mut Vec<u8>);

impl Object<'_> {
    fn key(&mut self, key: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.0.push(b'"');
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(b'"');
    }

    /// `"ORD-00000012"`: a number with at least `width` digits.
    fn id(&mut self, key: &str, prefix: &str, number: u64, width: usize) {
        self.text(key, prefix);
        self.0.pop();
        push_padded(self.0, number, width);
        self.0.push(b'"');
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        push_number(self.0, number);
    }

    fn cents(&mut self, key: &str, cents: u64) {
        self.key(key);
        push_cents(self.0, cents);
    }

    /// `"2020-01-01T00:00:00.000Z"`.
    fn time(&mut self, key: &str, at: Time) {
        self.text(key, Rfc3339::of(at).as_str());
    }
}

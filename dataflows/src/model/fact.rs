//! Facts: what decoding yields, whatever the format (inputs.md, "Facts"), and the words that describe an order.
//!
//! A fact here is decoded and valid, but not yet accepted: duplicates, conflicts and retirement are judged by
//! `orders::admit`. Its *content* is what two copies must share to be the same fact (semantics.md, section 2).

use serde::{Deserialize, Serialize};

use super::{Money, Text};
use crate::named;
use crate::time::Time;

/// The tenant of records that name none.
pub const DEFAULT_TENANT: &str = "default";

/// An order: ids are unique only within a tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId {
    /// Isolated customer of this job; never `*`.
    pub tenant: Text,
    /// The shop's id of the order.
    pub order_id: Text,
}

/// A decoded, valid fact about one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The order it speaks of.
    pub order: OrderId,
    /// When it happened: UTC milliseconds.
    pub at: Time,
    /// The record's own `event_id`, where it has one.
    pub event_id: Option<Text>,
    /// What happened.
    pub body: Body,
}

/// What a fact says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Something that happened to the order as a whole.
    Lifecycle {
        /// Which event.
        kind: EventKind,
        /// Row or event: decides the identity of a fact without `event_id`.
        origin: Origin,
        /// The buyer, where named.
        customer_id: Option<Text>,
    },
    /// A line of the order.
    Item {
        /// Identity of the line within the order.
        item_no: u16,
        /// The shop's id of the product.
        product_id: Option<Text>,
        /// Its name, for people.
        product_name: Option<Text>,
        /// Its category; none counts as `unknown`.
        category: Option<Text>,
        /// True where the category came by a join (Olist) and so is no part of the content.
        category_joined: bool,
        /// The shop's id of the seller.
        seller_id: Option<Text>,
        /// At least 1.
        quantity: u32,
        /// Price of one piece.
        price: Money,
        /// Freight of the line.
        freight: Money,
    },
    /// A payment for the order.
    Payment {
        /// Identity of the payment within the order.
        seq: u16,
        /// Means of payment.
        payment_type: PaymentType,
        /// Number of instalments.
        installments: u16,
        /// Amount.
        value: Money,
    },
}

/// Where a lifecycle fact without `event_id` takes its identity from (semantics.md, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// An order row (Olist, topic `orders`): the event type is the identity.
    Row,
    /// An event: the 32 hexadecimal digits of XXH3-128 of `EVENT_TYPE|at`.
    Event,
}

named! {
    /// Lifecycle events, in the order of their ranks: events of one instant are folded in this order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    pub enum EventKind {
        /// The order was placed.
        Placed => "ORDER_PLACED",
        /// The shop confirmed it; changes no status.
        Confirmed => "ORDER_CONFIRMED",
        /// Processing started.
        ProcessingStarted => "PROCESSING_STARTED",
        /// The carrier has it.
        Shipped => "ITEM_SHIPPED",
        /// The customer has it.
        Delivered => "ITEM_DELIVERED",
        /// A hold begins.
        Held => "ORDER_HELD",
        /// The hold ends.
        Released => "ORDER_RELEASED",
        /// The order was cancelled.
        Cancelled => "ORDER_CANCELLED",
    }
}

impl EventKind {
    /// The stage this event brings, where it brings one.
    pub fn stage(self) -> Option<Stage> {
        match self {
            EventKind::Placed => Some(Stage::Order),
            EventKind::ProcessingStarted => Some(Stage::Processing),
            EventKind::Shipped => Some(Stage::Shipped),
            EventKind::Delivered => Some(Stage::Delivered),
            _ => None,
        }
    }
}

/// Stages on the way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Stage {
    /// Placed.
    Order,
    /// Being processed.
    Processing,
    /// With the carrier.
    Shipped,
    /// With the customer.
    Delivered,
}

named! {
    /// Where an order stands, as shown.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    pub enum Status {
        /// Its placement is not known.
        Unplaced => "UNPLACED",
        /// Placed.
        Order => "ORDER",
        /// Being processed.
        Processing => "PROCESSING",
        /// With the carrier.
        Shipped => "SHIPPED",
        /// With the customer.
        Delivered => "DELIVERED",
        /// Cancelled.
        Cancelled => "CANCELLED",
    }
}

named! {
    /// What the lifecycle fold says of one event (semantics.md, section 3).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    pub enum Verdict {
        /// As it should be.
        Ok => "ok",
        /// Its stage already has a time.
        Repeated => "repeated",
        /// The order is cancelled.
        AfterCancellation => "after_cancellation",
        /// A cancellation of a delivered order.
        CancelAfterDelivery => "cancel_after_delivery",
        /// The order is not placed.
        NotPlaced => "not_placed",
        /// More than one stage ahead.
        SkippedStage => "skipped_stage",
        /// Behind the current stage.
        Backward => "backward",
    }
}

named! {
    /// Means of payment (inputs.md, section 1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[repr(u8)]
    #[allow(missing_docs)] // the names say it
    pub enum PaymentType {
        CreditCard => "credit_card",
        Boleto => "boleto",
        Voucher => "voucher",
        DebitCard => "debit_card",
        NotDefined => "not_defined",
        Paypal => "paypal",
        ApplePay => "apple_pay",
        GooglePay => "google_pay",
        BankTransfer => "bank_transfer",
    }
}

/// Where a record stood: the number of its source among the job's inputs, of its file within that source, and its
/// first line counted from 1. Orders as (source, file, line).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position(pub u64);

impl Position {
    const LINE_BITS: u32 = 44;

    /// Packs the three numbers; `file` counts the files of all sources (up to 2^20 of them).
    pub fn new(file: u32, line: u64) -> Position {
        Position(u64::from(file) << Position::LINE_BITS | line)
    }

    /// The number of the file among all files of all sources.
    pub fn file(self) -> u32 {
        (self.0 >> Position::LINE_BITS) as u32
    }

    /// The record's first line, counted from 1.
    pub fn line(self) -> u64 {
        self.0 & ((1 << Position::LINE_BITS) - 1)
    }
}

impl Fact {
    /// The text that is the fact's identity within its order and kind (semantics.md, section 2).
    pub fn identity(&self) -> Text {
        match (&self.body, &self.event_id) {
            (Body::Lifecycle { .. }, Some(event_id)) => event_id.clone(),
            (Body::Lifecycle { kind, origin, .. }, None) => lifecycle_identity(*kind, *origin, self.at),
            (Body::Item { item_no: number, .. } | Body::Payment { seq: number, .. }, _) => {
                Text::new(&number.to_string())
            }
        }
    }

    /// The decoded fact less its identity: compact JSON with sorted keys (semantics.md, section 2).
    pub fn content(&self) -> String {
        let mut fields: Vec<(&str, String)> = vec![("at", self.at.to_string())];
        let mut text = |name, value: &Option<Text>| {
            if let Some(value) = value {
                fields.push((name, json_string(&value.to_string())));
            }
        };
        match &self.body {
            Body::Lifecycle { kind, customer_id, .. } => {
                text("customer_id", customer_id);
                fields.push(("kind", json_string(kind.name())));
            }
            Body::Item {
                product_id,
                product_name,
                category,
                category_joined,
                seller_id,
                quantity,
                price,
                freight,
                ..
            } => {
                text("product_id", product_id);
                text("product_name", product_name);
                if !category_joined {
                    text("category", category);
                }
                text("seller_id", seller_id);
                fields.push(("quantity", quantity.to_string()));
                fields.push(("price", json_string(&price.shortest())));
                fields.push(("freight", json_string(&freight.shortest())));
            }
            Body::Payment { payment_type, installments, value, .. } => {
                fields.push(("type", json_string(payment_type.name())));
                fields.push(("installments", installments.to_string()));
                fields.push(("value", json_string(&value.shortest())));
            }
        }
        fields.sort_unstable_by_key(|(name, _)| *name);
        let members: Vec<String> = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    }
}

/// The identity of a lifecycle fact whose record has no `event_id`.
pub fn lifecycle_identity(kind: EventKind, origin: Origin, at: Time) -> Text {
    match origin {
        Origin::Row => Text::new(kind.name()),
        Origin::Event => {
            let hash = xxhash_rust::xxh3::xxh3_128(format!("{}|{at}", kind.name()).as_bytes());
            Text::from_packed_hex(hash.to_be_bytes())
        }
    }
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;

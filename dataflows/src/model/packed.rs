//! Packed facts: the bytes of a fact on the wire between workers and in an order's state.
//!
//! One format serves both, so that a fact which waits, travels and is kept is copied and never rebuilt. An order's
//! state is the packed facts of that order one after another, in the order of their acceptance; an Olist order of eight
//! facts takes about 170 bytes. In a buffer of one order a customer that equals the first one is not repeated.
//!
//! Invariant: the bytes come from [`write()`] or [`PackedFacts::push`] of the same build; they are never read from input.
//! Layout: length; head (kind 3 bits, body 2 bits, event id present, origin or joined category, loser); `at` (6 bytes);
//! the body's numbers; file and line; event id; the body's texts. So what is counted stands in front ([`Outline`]) and
//! texts are skipped unless asked for.

mod facts;
mod reading;
mod writing;

pub use facts::PackedFacts;
pub use reading::Reader;
pub use writing::{write, write_number, write_text};

use super::fact::{Body, EventKind, Fact, OrderId, Origin, PaymentType, Position, lifecycle_identity};
use super::{Money, Symbol, Text};
use crate::time::Time;

const HEAD_KIND: u8 = 0b0000_0111;
const HEAD_ITEM: u8 = 0b0000_1000;
const HEAD_PAYMENT: u8 = 0b0001_0000;
const HEAD_EVENT_ID: u8 = 0b0010_0000;
/// A lifecycle fact that comes from an event; an item whose category was joined.
const HEAD_VARIANT: u8 = 0b0100_0000;
/// Another fact of the same identity won.
const HEAD_LOSER: u8 = 0b1000_0000;

/// A time takes so many bytes.
const AT_BYTES: usize = 6;

const TEXT_HEX: u8 = 0xFF;
const TEXT_LONG: u8 = 0xFE;

const CUSTOMER_NONE: u8 = 0;
const CUSTOMER_GIVEN: u8 = 1;
const CUSTOMER_FIRST: u8 = 2;

/// A packed text, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedText<'a>(&'a [u8]);

impl PackedText<'_> {
    /// The text's symbol.
    pub fn symbol(self) -> Symbol {
        Symbol::of_packed(self.0, || self.text())
    }

    /// The text.
    pub fn text(self) -> Text {
        match self.0 {
            [TEXT_HEX, digits @ ..] => Text::from_packed_hex(digits.try_into().unwrap_or_default()),
            [TEXT_LONG, _, _, _, _, bytes @ ..] | [_, bytes @ ..] => {
                Text::new(std::str::from_utf8(bytes).unwrap_or_default())
            }
            [] => Text::new(""),
        }
    }
}

/// A packed fact, read.
#[derive(Clone, Copy, Debug)]
pub struct FactView<'a> {
    /// When it happened.
    pub at: Time,
    /// Where its record stood.
    pub position: Position,
    /// The record's own event id.
    pub event_id: Option<PackedText<'a>>,
    /// True where another fact of the same identity won.
    pub loser: bool,
    /// See [`Outline::rank`].
    pub rank: u8,
    /// What it says.
    pub body: BodyView<'a>,
}

/// What a packed fact says; fields as in [`Body`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in `Body`
pub enum BodyView<'a> {
    Lifecycle { kind: EventKind, origin: Origin, customer_id: Option<PackedText<'a>> },
    Item(ItemView<'a>),
    Payment { seq: u16, payment_type: PaymentType, installments: u16, value: Money },
}

/// The counted part of a packed fact: what an evaluation needs, texts left out.
#[derive(Clone, Copy, Debug)]
pub struct Outline {
    /// When it happened.
    pub at: Time,
    head: u8,
    /// What it says in numbers.
    pub body: OutlineBody,
}

/// The numbers of a fact; fields as in [`Body`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in `Body`
pub enum OutlineBody {
    Lifecycle(EventKind),
    Item { item_no: u16, quantity: u32, price: Money, freight: Money },
    Payment { seq: u16, payment_type: PaymentType, installments: u16, value: Money },
}

impl Outline {
    /// True where another fact of the same identity won.
    pub fn is_loser(&self) -> bool {
        self.head & HEAD_LOSER != 0
    }

    /// Rank within one instant: lifecycle events by theirs, then items, then payments.
    pub fn rank(&self) -> u8 {
        match self.body {
            OutlineBody::Lifecycle(kind) => kind as u8,
            OutlineBody::Item { .. } => EventKind::ALL.len() as u8,
            OutlineBody::Payment { .. } => EventKind::ALL.len() as u8 + 1,
        }
    }

    /// The number that identifies an item or a payment within its order; 0 for lifecycle facts.
    pub fn number(&self) -> u16 {
        match self.body {
            OutlineBody::Lifecycle(_) => 0,
            OutlineBody::Item { item_no: number, .. } | OutlineBody::Payment { seq: number, .. } => number,
        }
    }

    /// True where a lifecycle fact's kind is its identity.
    pub fn is_known_by_kind(&self) -> bool {
        self.head & (HEAD_EVENT_ID | HEAD_VARIANT) == 0
    }

    /// False where the two cannot have the same identity; true where a closer look must tell.
    pub fn may_share_identity(&self, other: &Outline) -> bool {
        match (self.body, other.body) {
            (OutlineBody::Item { item_no: this, .. }, OutlineBody::Item { item_no: that, .. })
            | (OutlineBody::Payment { seq: this, .. }, OutlineBody::Payment { seq: that, .. }) => this == that,
            (OutlineBody::Lifecycle(this), OutlineBody::Lifecycle(that)) => {
                this == that || !self.is_known_by_kind() || !other.is_known_by_kind()
            }
            _ => false,
        }
    }
}

/// A packed item; fields as in [`Body::Item`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as in `Body`
pub struct ItemView<'a> {
    pub item_no: u16,
    pub product_id: Option<PackedText<'a>>,
    pub product_name: Option<PackedText<'a>>,
    pub category: Option<PackedText<'a>>,
    pub category_joined: bool,
    pub seller_id: Option<PackedText<'a>>,
    pub quantity: u32,
    pub price: Money,
    pub freight: Money,
}

impl<'a> FactView<'a> {
    /// True where both are the same kind of fact with the same identity (semantics.md, section 2).
    pub fn same_identity(&self, other: &FactView<'_>) -> bool {
        match (&self.body, &other.body) {
            (BodyView::Item(this), BodyView::Item(that)) => this.item_no == that.item_no,
            (BodyView::Payment { seq: this, .. }, BodyView::Payment { seq: that, .. }) => this == that,
            (
                BodyView::Lifecycle { kind, origin, .. },
                BodyView::Lifecycle { kind: other_kind, origin: other_origin, .. },
            ) => match (self.event_id, other.event_id) {
                (Some(this), Some(that)) => this == that,
                (None, None) if origin == other_origin => {
                    kind == other_kind && (*origin == Origin::Row || self.at == other.at)
                }
                _ => self.identity() == other.identity(),
            },
            _ => false,
        }
    }

    /// True where both say the same, identity aside.
    pub fn same_content(&self, other: &FactView<'_>) -> bool {
        let without_join = |item: &ItemView<'a>| match item.category_joined {
            true => ItemView { category: None, category_joined: false, item_no: 0, ..*item },
            false => ItemView { item_no: 0, ..*item },
        };
        self.at == other.at
            && match (&self.body, &other.body) {
                (
                    BodyView::Lifecycle { kind, customer_id, .. },
                    BodyView::Lifecycle { kind: other_kind, customer_id: other_customer_id, .. },
                ) => kind == other_kind && customer_id == other_customer_id,
                (BodyView::Item(this), BodyView::Item(that)) => {
                    let that = match that.category_joined {
                        true => ItemView { category: None, category_joined: false, item_no: 0, ..*that },
                        false => ItemView { item_no: 0, ..*that },
                    };
                    without_join(this) == that
                }
                (this, that) => this == that,
            }
    }

    /// The lifecycle fact's identity as text; empty for other facts, which are known by their number.
    pub fn identity(&self) -> Text {
        match (self.body, self.event_id) {
            (BodyView::Lifecycle { .. }, Some(event_id)) => event_id.text(),
            (BodyView::Lifecycle { kind, origin, .. }, None) => lifecycle_identity(kind, origin, self.at),
            _ => Text::new(""),
        }
    }

    /// The fact in full.
    pub fn fact(&self, order: &OrderId) -> Fact {
        let text = |packed: Option<PackedText<'_>>| packed.map(PackedText::text);
        let body = match self.body {
            BodyView::Lifecycle { kind, origin, customer_id } => {
                Body::Lifecycle { kind, origin, customer_id: text(customer_id) }
            }
            BodyView::Item(item) => Body::Item {
                item_no: item.item_no,
                product_id: text(item.product_id),
                product_name: text(item.product_name),
                category: text(item.category),
                category_joined: item.category_joined,
                seller_id: text(item.seller_id),
                quantity: item.quantity,
                price: item.price,
                freight: item.freight,
            },
            BodyView::Payment { seq, payment_type, installments, value } => {
                Body::Payment { seq, payment_type, installments, value }
            }
        };
        Fact { order: order.clone(), at: self.at, event_id: text(self.event_id), body }
    }
}

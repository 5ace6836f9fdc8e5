//! Packed facts: the bytes of a fact on the wire between workers and in an order's state.
//!
//! One format serves both, so that a fact which waits, travels and is kept is copied and never rebuilt. An order's
//! state is the packed facts of that order one after another, in the order of their acceptance; an Olist order of eight
//! facts takes about 170 bytes. In a buffer of one order a customer that equals the first one is not repeated.
//!
//! Invariant: the bytes come from [`write`] or [`PackedFacts::push`] of the same build; they are never read from input.
//! Layout: length; head (kind 3 bits, body 2 bits, event id present, origin or joined category, loser); `at` (6 bytes);
//! the body's numbers; file and line; event id; the body's texts. So what is counted stands in front ([`Outline`]) and
//! texts are skipped unless asked for.

use super::fact::{Body, EventKind, Fact, OrderId, Origin, PaymentType, Position, lifecycle_identity};
use super::{Money, Text};
use crate::time::Time;

const HEAD_KIND: u8 = 0b0000_0111;
const HEAD_ITEM: u8 = 0b0000_1000;
const HEAD_PAYMENT: u8 = 0b0001_0000;
const HEAD_EVENT_ID: u8 = 0b0010_0000;
/// A lifecycle fact that comes from an event; an item whose category was joined.
const HEAD_VARIANT: u8 = 0b0100_0000;
/// Another fact of the same identity won.
const HEAD_LOSER: u8 = 0b1000_0000;

const TEXT_HEX: u8 = 0xFF;
const TEXT_LONG: u8 = 0xFE;

const CUSTOMER_NONE: u8 = 0;
const CUSTOMER_GIVEN: u8 = 1;
const CUSTOMER_FIRST: u8 = 2;

/// A packed text, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedText<'a>(&'a [u8]);

impl PackedText<'_> {
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

    /// False where the two cannot have the same identity; true where a closer look must tell.
    pub fn may_share_identity(&self, other: &Outline) -> bool {
        const KNOWN_BY_KIND: u8 = HEAD_EVENT_ID | HEAD_VARIANT;
        match (self.body, other.body) {
            (OutlineBody::Item { item_no: this, .. }, OutlineBody::Item { item_no: that, .. })
            | (OutlineBody::Payment { seq: this, .. }, OutlineBody::Payment { seq: that, .. }) => this == that,
            (OutlineBody::Lifecycle(this), OutlineBody::Lifecycle(that)) => {
                this == that || (self.head | other.head) & KNOWN_BY_KIND != 0
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

    /// Rank within one instant: lifecycle events by theirs, then items, then payments.
    pub fn rank(&self) -> u8 {
        match self.body {
            BodyView::Lifecycle { kind, .. } => kind as u8,
            BodyView::Item(_) => EventKind::ALL.len() as u8,
            BodyView::Payment { .. } => EventKind::ALL.len() as u8 + 1,
        }
    }

    /// The number that identifies an item or a payment within its order; 0 for lifecycle facts.
    pub fn number(&self) -> u16 {
        match self.body {
            BodyView::Lifecycle { .. } => 0,
            BodyView::Item(item) => item.item_no,
            BodyView::Payment { seq, .. } => seq,
        }
    }
}

/// Writes `fact` (without its order) at the end of `bytes`.
pub fn write(fact: &Fact, position: Position, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    // Most facts are shorter than 128 bytes: a length of one byte is put in afterwards, a longer one moves the rest.
    bytes.push(0);
    let id = if fact.event_id.is_some() { HEAD_EVENT_ID } else { 0 };
    let head = match &fact.body {
        Body::Lifecycle { kind, origin, .. } => *kind as u8 | if *origin == Origin::Event { HEAD_VARIANT } else { 0 },
        Body::Item { category_joined, .. } => HEAD_ITEM | if *category_joined { HEAD_VARIANT } else { 0 },
        Body::Payment { .. } => HEAD_PAYMENT,
    };
    bytes.push(head | id);
    bytes.extend_from_slice(&fact.at.to_le_bytes()[..6]);
    match &fact.body {
        Body::Lifecycle { .. } => {}
        Body::Item { item_no, quantity, price, freight, .. } => {
            write_number(u64::from(*item_no), bytes);
            write_number(u64::from(*quantity), bytes);
            write_number(price.0 as u64, bytes);
            write_number(freight.0 as u64, bytes);
        }
        Body::Payment { seq, payment_type, installments, value } => {
            write_number(u64::from(*seq), bytes);
            bytes.push(*payment_type as u8);
            write_number(u64::from(*installments), bytes);
            write_number(value.0 as u64, bytes);
        }
    }
    write_number(u64::from(position.file()), bytes);
    write_number(position.line(), bytes);
    if let Some(event_id) = &fact.event_id {
        write_text(event_id, bytes);
    }
    match &fact.body {
        Body::Lifecycle { customer_id, .. } => match customer_id {
            Some(customer_id) => {
                bytes.push(CUSTOMER_GIVEN);
                write_text(customer_id, bytes);
            }
            None => bytes.push(CUSTOMER_NONE),
        },
        Body::Item { product_id, product_name, category, seller_id, .. } => {
            let texts = [product_id, product_name, category, seller_id];
            bytes.push(texts.iter().enumerate().map(|(bit, text)| u8::from(text.is_some()) << bit).sum());
            for text in texts.into_iter().flatten() {
                write_text(text, bytes);
            }
        }
        Body::Payment { .. } => {}
    }
    set_length(bytes, start);
}

/// Puts the length of the fact that starts at `start`, with a placeholder of one byte, in front of it.
fn set_length(bytes: &mut Vec<u8>, start: usize) {
    let length = bytes.len() - start - 1;
    if length < 0x80 {
        bytes[start] = length as u8;
        return;
    }
    let mut number = Vec::new();
    write_number(length as u64, &mut number);
    bytes.splice(start..=start, number);
}

/// Writes a number in groups of seven bits.
pub fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Writes a text: 17 bytes for a 32-digit hexadecimal id, else its length and bytes.
pub fn write_text(text: &Text, bytes: &mut Vec<u8>) {
    if let Some(digits) = text.packed_hex() {
        bytes.push(TEXT_HEX);
        bytes.extend_from_slice(digits);
        return;
    }
    let mut scratch = [0; 32];
    let text = text.as_str_in(&mut scratch).as_bytes();
    if text.len() < usize::from(TEXT_LONG) {
        bytes.push(text.len() as u8);
    } else {
        bytes.push(TEXT_LONG);
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    }
    bytes.extend_from_slice(text);
}

/// Reads what the functions above wrote, front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    first_customer: Option<PackedText<'a>>,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the front.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, first_customer: None }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A number written by [`write_number`].
    pub fn number(&mut self) -> u64 {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    }

    /// A text written by [`write_text`].
    pub fn text(&mut self) -> PackedText<'a> {
        let length = match self.bytes[0] {
            TEXT_HEX => 17,
            TEXT_LONG => {
                let length: [u8; 4] = self.bytes[1..5].try_into().unwrap_or_default();
                5 + u32::from_le_bytes(length) as usize
            }
            length => 1 + usize::from(length),
        };
        PackedText(self.take(length))
    }

    /// A fact written by [`write`].
    pub fn fact(&mut self) -> FactView<'a> {
        let length = self.number() as usize;
        let bytes = self.take(length);
        let mut fields = Reader { bytes, first_customer: self.first_customer };
        let fact = fields.fact_fields();
        self.first_customer = fields.first_customer;
        fact
    }

    /// The counted part of a fact written by [`write`]; the rest is skipped.
    pub fn outline(&mut self) -> Outline {
        let length = self.number() as usize;
        let mut fields = Reader { bytes: self.take(length), first_customer: None };
        fields.outline_fields()
    }

    #[inline]
    fn outline_fields(&mut self) -> Outline {
        let head = self.byte();
        let mut at = [0; 8];
        at[..6].copy_from_slice(self.take(6));
        let body = match head & (HEAD_ITEM | HEAD_PAYMENT) {
            HEAD_ITEM => OutlineBody::Item {
                item_no: self.number() as u16,
                quantity: self.number() as u32,
                price: Money(i128::from(self.number())),
                freight: Money(i128::from(self.number())),
            },
            HEAD_PAYMENT => OutlineBody::Payment {
                seq: self.number() as u16,
                payment_type: PaymentType::ALL[usize::from(self.byte()) % PaymentType::ALL.len()],
                installments: self.number() as u16,
                value: Money(i128::from(self.number())),
            },
            _ => OutlineBody::Lifecycle(EventKind::ALL[usize::from(head & HEAD_KIND)]),
        };
        Outline { at: Time::from_le_bytes(at), head, body }
    }

    fn fact_fields(&mut self) -> FactView<'a> {
        let Outline { at, head, body } = self.outline_fields();
        let file = self.number() as u32;
        let position = Position::new(file, self.number());
        let event_id = (head & HEAD_EVENT_ID != 0).then(|| self.text());
        let body = match body {
            OutlineBody::Lifecycle(kind) => BodyView::Lifecycle {
                kind,
                origin: if head & HEAD_VARIANT != 0 { Origin::Event } else { Origin::Row },
                customer_id: self.customer(),
            },
            OutlineBody::Item { item_no, quantity, price, freight } => {
                let present = self.byte();
                let mut text = |bit: u8| (present & (1 << bit) != 0).then(|| self.text());
                BodyView::Item(ItemView {
                    item_no,
                    product_id: text(0),
                    product_name: text(1),
                    category: text(2),
                    category_joined: head & HEAD_VARIANT != 0,
                    seller_id: text(3),
                    quantity,
                    price,
                    freight,
                })
            }
            OutlineBody::Payment { seq, payment_type, installments, value } => {
                BodyView::Payment { seq, payment_type, installments, value }
            }
        };
        FactView { at, position, event_id, loser: head & HEAD_LOSER != 0, body }
    }

    fn customer(&mut self) -> Option<PackedText<'a>> {
        match self.byte() {
            CUSTOMER_NONE => None,
            CUSTOMER_FIRST => self.first_customer,
            _ => {
                let customer = self.text();
                self.first_customer.get_or_insert(customer);
                Some(customer)
            }
        }
    }
}

/// The facts of one order, winners and losers, packed one after another.
#[derive(Clone, Debug, Default)]
pub struct PackedFacts(Vec<u8>);

impl PackedFacts {
    /// Facts packed elsewhere by [`write`], one after another.
    pub fn from_bytes(bytes: Vec<u8>) -> PackedFacts {
        PackedFacts(bytes)
    }

    /// Facts packed one by one.
    pub fn of<'a>(facts: impl Iterator<Item = &'a [u8]>) -> PackedFacts {
        let mut packed = PackedFacts::default();
        facts.for_each(|fact| packed.push(fact, false));
        packed
    }

    /// The bytes of the fact at `offset` as [`write`] wrote them: what it shares with its order put in again.
    pub fn standalone(&self, offset: u32) -> Vec<u8> {
        let nobody = OrderId { tenant: Text::default(), order_id: Text::default() };
        let (fact, mut bytes) = (self.at(offset), Vec::new());
        write(&fact.fact(&nobody), fact.position, &mut bytes);
        bytes
    }

    /// Every fact with its offset, in the order of acceptance.
    pub fn iter(&self) -> impl Iterator<Item = (usize, FactView<'_>)> {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || {
            let offset = self.0.len() - reader.rest().len();
            (!reader.rest().is_empty()).then(|| (offset, reader.fact()))
        })
    }

    /// The counted part of every fact with its offset, in the order of acceptance.
    pub fn outlines(&self) -> impl Iterator<Item = (usize, Outline)> + '_ {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || {
            let offset = self.0.len() - reader.rest().len();
            (!reader.rest().is_empty()).then(|| (offset, reader.outline()))
        })
    }

    /// The fact at `offset`, as [`PackedFacts::iter`] named it.
    pub fn at(&self, offset: u32) -> FactView<'_> {
        let mut reader = Reader::new(&self.0[offset as usize..]);
        reader.first_customer = self.first_customer();
        reader.fact()
    }

    /// The customer that later facts of the order need not repeat.
    fn first_customer(&self) -> Option<PackedText<'_>> {
        self.iter().find_map(|(_, fact)| match fact.body {
            BodyView::Lifecycle { customer_id, .. } => customer_id,
            _ => None,
        })
    }

    /// Keeps a fact whose bytes are `packed`; `loser` where another of the same identity won.
    pub fn push(&mut self, packed: &[u8], loser: bool) {
        let offset = self.0.len();
        let shared = match (Reader::new(packed).fact().body, self.first_customer()) {
            (BodyView::Lifecycle { customer_id: Some(customer_id), .. }, Some(first)) if customer_id == first => {
                1 + customer_id.0.len()
            }
            _ => 0,
        };
        self.0.reserve_exact(packed.len() - shared + usize::from(shared > 0));
        if shared > 0 {
            let mut reader = Reader::new(packed);
            let fields = reader.number() as usize;
            self.0.push(0);
            self.0.extend_from_slice(&reader.rest()[..fields - shared]);
            self.0.push(CUSTOMER_FIRST);
            set_length(&mut self.0, offset);
        } else {
            self.0.extend_from_slice(packed);
        }
        if loser {
            self.mark_loser(offset);
        }
    }

    /// Marks the fact at `offset` as one that lost its identity to another.
    pub fn mark_loser(&mut self, offset: usize) {
        let mut reader = Reader::new(&self.0[offset..]);
        reader.number();
        let head = self.0.len() - reader.rest().len();
        self.0[head] |= HEAD_LOSER;
    }

    /// Bytes held on the heap.
    pub fn capacity_bytes(&self) -> usize {
        self.0.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> OrderId {
        OrderId { tenant: "default".into(), order_id: "o".into() }
    }

    fn lifecycle(event_id: Option<&str>, customer_id: Option<&str>) -> Fact {
        Fact {
            order: order(),
            at: 1_700_000_000_123,
            event_id: event_id.map(Text::new),
            body: Body::Lifecycle {
                kind: EventKind::Shipped,
                origin: Origin::Event,
                customer_id: customer_id.map(Text::new),
            },
        }
    }

    #[test]
    fn facts_come_back_as_they_went() {
        let long = "x".repeat(300);
        let item = Body::Item {
            item_no: 3,
            product_id: Some("4244733e06e7ecb4970a6e2683c13e61".into()),
            product_name: None,
            category: Some("Hats".into()),
            category_joined: true,
            seller_id: Some(long.as_str().into()),
            quantity: 1_000_000,
            price: Money(999_999_999_999_999),
            freight: Money(1),
        };
        let payment =
            Body::Payment { seq: 65_535, payment_type: PaymentType::BankTransfer, installments: 24, value: Money(7) };
        let facts = [
            lifecycle(Some("e1"), Some("c1")),
            lifecycle(None, Some("c1")),
            lifecycle(None, Some("c2")),
            lifecycle(None, None),
            Fact { body: item, ..lifecycle(None, None) },
            Fact { body: payment, ..lifecycle(Some("p"), None) },
        ];
        let mut packed = PackedFacts::default();
        for (line, fact) in facts.iter().enumerate() {
            let mut bytes = Vec::new();
            write(fact, Position::new(2, line as u64), &mut bytes);
            packed.push(&bytes, line == 3);
        }
        for (line, (fact, (_, view))) in facts.iter().zip(packed.iter()).enumerate() {
            assert_eq!(&view.fact(&order()), fact);
            assert_eq!((view.position, view.loser), (Position::new(2, line as u64), line == 3));
        }
        assert_eq!(packed.iter().count(), facts.len());
    }
}

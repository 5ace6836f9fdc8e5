//! Unpacking: from a fact's bytes to what it says, or to the part of it that is asked for.
//!
//! Invariant: the bytes are those that [`super::write()`] wrote; their layout is described in `packed.rs`.

use super::{
    AT_BYTES, BodyView, CUSTOMER_FIRST, CUSTOMER_GIVEN, CUSTOMER_NONE, FactView, HEAD_EVENT_ID, HEAD_ITEM, HEAD_KIND,
    HEAD_LOSER, HEAD_PAYMENT, HEAD_VARIANT, ItemView, Outline, OutlineBody, PackedText, TEXT_HEX, TEXT_LONG,
};
use crate::model::Money;
use crate::model::fact::{EventKind, Origin, PaymentType, Position};
use crate::time::Time;

/// Reads what [`super::write()`] and its like wrote, front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// See [`super::PackedFacts`].
    pub(super) first_customer: Option<PackedText<'a>>,
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
    #[inline]
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        taken
    }

    #[inline]
    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// A number written by [`super::write_number`].
    #[inline]
    pub fn number(&mut self) -> u64 {
        let first = self.byte();
        if first < 0x80 {
            return u64::from(first);
        }
        let (mut number, mut shift) = (u64::from(first & 0x7F), 7);
        loop {
            let byte = self.byte();
            number |= u64::from(byte & 0x7F) << shift;
            shift += 7;
            if byte < 0x80 || shift > 63 {
                return number;
            }
        }
    }

    /// A text written by [`super::write_text`].
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

    /// A fact written by [`super::write()`].
    pub fn fact(&mut self) -> FactView<'a> {
        let length = self.number() as usize;
        let bytes = self.take(length);
        let mut fields = Reader { bytes, first_customer: self.first_customer };
        let fact = fields.fact_fields();
        self.first_customer = fields.first_customer;
        fact
    }

    /// The counted part of a fact written by [`super::write()`]; the rest is skipped.
    #[inline]
    pub fn outline(&mut self) -> Outline {
        let length = self.number() as usize;
        let mut fields = Reader { bytes: self.take(length), first_customer: None };
        fields.outline_fields()
    }

    #[inline]
    fn outline_fields(&mut self) -> Outline {
        let head = self.byte();
        let mut at = [0; 8];
        at[..AT_BYTES].copy_from_slice(self.take(AT_BYTES));
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

    /// The customer that the lifecycle fact which comes next names; none where it names none or is no such fact.
    pub(super) fn lifecycle_customer(mut self) -> Option<PackedText<'a>> {
        self.number();
        let head = self.byte();
        if head & (HEAD_ITEM | HEAD_PAYMENT) != 0 {
            return None;
        }
        self.take(AT_BYTES);
        self.position();
        let _event_id = (head & HEAD_EVENT_ID != 0).then(|| self.text());
        (self.byte() == CUSTOMER_GIVEN).then(|| self.text())
    }

    /// The category of the item that comes next; none where it has none or is no item.
    pub(super) fn item_category(mut self) -> Option<PackedText<'a>> {
        self.number();
        let head = self.outline_fields().head;
        if head & HEAD_ITEM == 0 {
            return None;
        }
        self.position();
        let _event_id = (head & HEAD_EVENT_ID != 0).then(|| self.text());
        let present = self.byte();
        let [_product_id, _product_name, category] =
            [0, 1, 2].map(|bit| (present & (1 << bit) != 0).then(|| self.text()));
        category
    }

    fn position(&mut self) -> Position {
        let file = self.number() as u32;
        Position::new(file, self.number())
    }

    fn fact_fields(&mut self) -> FactView<'a> {
        let outline = self.outline_fields();
        let (rank, Outline { at, head, body }) = (outline.rank(), outline);
        let position = self.position();
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
        FactView { at, position, event_id, loser: head & HEAD_LOSER != 0, rank, body }
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

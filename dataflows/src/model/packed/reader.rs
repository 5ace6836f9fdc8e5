//! Reading packed facts, where they lie.
//!
//! Invariant: what [`super::write()`] wrote is read in the same order; nothing is copied and nothing can fail.

use super::*;

/// Reads what the functions above wrote, front to back.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
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

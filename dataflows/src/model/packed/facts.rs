//! The packed facts of one order: its state.
//!
//! Invariant: a fact keeps its offset for as long as its order lives. The first customer is written once; a later fact of
//! the same customer refers to it.

use serde::{Deserialize, Serialize};

use super::{CUSTOMER_FIRST, FactView, HEAD_LOSER, Outline, PackedText, Reader, write, writing::set_length};
use crate::model::{OrderId, Text};

/// What the facts of an ordinary order take, and by how many bytes those of another one grow.
const ORDINARY_BYTES: usize = 168;
const GROWTH_BYTES: usize = 32;
/// Larger ones grow by this part of themselves, so that an order of any size is copied a few times only.
const GROWTH_PART: usize = 16;
/// Beyond it the facts of an order are very many: about a hundred.
const VERY_MANY_BYTES: usize = 4 << 10;

/// The facts of one order, winners and losers, packed one after another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PackedFacts {
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
    /// Where the first customer is written; 0 before there is one.
    customer_at: u32,
}

impl PackedFacts {
    /// Facts packed one by one.
    pub fn of<'a>(facts: impl Iterator<Item = &'a [u8]>) -> PackedFacts {
        let mut packed = PackedFacts::default();
        for fact in facts {
            packed.push(fact, false);
        }
        packed
    }

    /// Forgets all facts; keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.customer_at = 0;
    }

    /// True where they take up no more memory than those of an ordinary order do.
    pub fn is_ordinary(&self) -> bool {
        self.bytes.capacity() <= ORDINARY_BYTES + GROWTH_BYTES
    }

    /// Bytes that they take, with room for the next ones.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// True where they are so many that a look at all of them, fact after fact, would take too long.
    pub fn are_very_many(&self) -> bool {
        self.bytes.len() > VERY_MANY_BYTES
    }

    /// The bytes of the fact at `offset` as [`write()`] wrote them: what it shares with its order put in again.
    pub fn standalone(&self, offset: u32) -> Vec<u8> {
        let nobody = OrderId { tenant: Text::default(), order_id: Text::default() };
        let (fact, mut bytes) = (self.at(offset), Vec::new());
        write(&fact.fact(&nobody), fact.position, &mut bytes);
        bytes
    }

    /// Every fact with its offset, in the order of acceptance.
    pub fn iter(&self) -> impl Iterator<Item = (usize, FactView<'_>)> {
        let mut reader = Reader::new(&self.bytes);
        std::iter::from_fn(move || {
            let offset = self.bytes.len() - reader.rest().len();
            (!reader.rest().is_empty()).then(|| (offset, reader.fact()))
        })
    }

    /// The counted part of every fact with its offset, in the order of acceptance.
    pub fn outlines(&self) -> impl Iterator<Item = (usize, Outline)> + '_ {
        let mut reader = Reader::new(&self.bytes);
        std::iter::from_fn(move || {
            let offset = self.bytes.len() - reader.rest().len();
            (!reader.rest().is_empty()).then(|| (offset, reader.outline()))
        })
    }

    /// The fact at `offset`, as [`PackedFacts::iter`] named it.
    pub fn at(&self, offset: u32) -> FactView<'_> {
        let mut reader = Reader::new(&self.bytes[offset as usize..]);
        reader.first_customer = self.first_customer();
        reader.fact()
    }

    /// The category of the item at `offset`; none where it has none or is no item.
    pub fn category(&self, offset: u32) -> Option<PackedText<'_>> {
        Reader::new(&self.bytes[offset as usize..]).item_category()
    }

    /// The customer that later facts of the order need not repeat.
    fn first_customer(&self) -> Option<PackedText<'_>> {
        (self.customer_at > 0).then(|| Reader::new(&self.bytes[self.customer_at as usize..]).text())
    }

    /// Keeps a fact whose bytes are `packed`; `loser` where another of the same identity won. Its offset.
    pub fn push(&mut self, packed: &[u8], loser: bool) -> u32 {
        let offset = self.bytes.len();
        // A lifecycle fact's customer is what it ends with; that of the first one need not be repeated.
        let customer = Reader::new(packed).lifecycle_customer().map(|customer| customer.0);
        let shared = match (customer, self.first_customer()) {
            (Some(customer), Some(first)) if customer == first.0 => 1 + customer.len(),
            (Some(customer), None) => {
                self.customer_at = (offset + packed.len() - customer.len()) as u32;
                0
            }
            _ => 0,
        };
        // Room for a few facts at once: an order grows by a fact at a time, and there are many orders.
        let needed = offset + packed.len() + 1;
        if needed > self.bytes.capacity() {
            let beyond = needed.saturating_sub(ORDINARY_BYTES).next_multiple_of(GROWTH_BYTES.max(offset / GROWTH_PART));
            self.bytes.reserve_exact(ORDINARY_BYTES + beyond - offset);
        }
        if shared > 0 {
            let mut reader = Reader::new(packed);
            let fields = reader.number() as usize;
            self.bytes.push(0);
            self.bytes.extend_from_slice(&reader.rest()[..fields - shared]);
            self.bytes.push(CUSTOMER_FIRST);
            set_length(&mut self.bytes, offset);
        } else {
            self.bytes.extend_from_slice(packed);
        }
        if loser {
            self.mark_loser(offset);
        }
        offset as u32
    }

    /// Reads a byte of the first customer and the last one: those that the next fact is compared to and written beside.
    pub fn touch(&self) -> u64 {
        let customer = self.bytes.get(self.customer_at as usize);
        customer.zip(self.bytes.last()).map_or(0, |(customer, last)| u64::from(*customer) + u64::from(*last))
    }

    /// Marks the fact at `offset` as one that lost its identity to another.
    pub fn mark_loser(&mut self, offset: usize) {
        let mut reader = Reader::new(&self.bytes[offset..]);
        reader.number();
        let head = self.bytes.len() - reader.rest().len();
        self.bytes[head] |= HEAD_LOSER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Body, EventKind, Fact, Money, Origin, PaymentType, Position};

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

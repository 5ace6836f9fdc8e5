//! The roster of an order that has very many facts: finds a fact by its identity or by its content without a look at all
//! the others.
//!
//! Few orders have one: a look at a handful of facts is quicker and takes no memory. Invariant: it knows every fact of its
//! order, so it judges as [`super::admit::judge_among`] does.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use super::admit::{Judgement, content, meets};
use crate::model::packed::{BodyView, FactView, PackedFacts};

/// Offsets of facts, each with its hash.
type Offsets = HashTable<(u64, u32)>;

/// The facts of one order by identity and content.
#[derive(Debug, Default)]
pub struct Roster {
    /// Those that won their identity, by it.
    winners: Offsets,
    /// All of them, by identity and content.
    all: Offsets,
}

impl Roster {
    /// The roster of these facts.
    pub fn of(facts: &PackedFacts) -> Roster {
        let mut roster = Roster::default();
        facts.outlines().for_each(|(offset, _)| roster.add(facts, offset as u32));
        roster
    }

    /// Adds the fact at `offset`; where it did not lose its identity it wins it from whichever fact had it.
    pub fn add(&mut self, facts: &PackedFacts, offset: u32) {
        let fact = facts.at(offset);
        let [identity, whole] = hashes(&fact);
        self.all.insert_unique(whole, (whole, offset), |(hash, _)| *hash);
        if !fact.loser {
            let is_same = |(hash, other): &(u64, u32)| *hash == identity && facts.at(*other).same_identity(&fact);
            match self.winners.find_mut(identity, is_same) {
                Some(winner) => winner.1 = offset,
                None => drop(self.winners.insert_unique(identity, (identity, offset), |(hash, _)| *hash)),
            }
        }
    }

    /// Judges a fact against `facts`, which are those of the roster.
    pub fn judge(&self, facts: &PackedFacts, fact: &FactView<'_>) -> Judgement {
        let [identity, whole] = hashes(fact);
        let is_copy = |(hash, other): &(u64, u32)| {
            let of = |other: FactView<'_>| other.same_identity(fact) && other.same_content(fact);
            *hash == whole && of(facts.at(*other))
        };
        if self.all.find(whole, is_copy).is_some() {
            return Judgement::Duplicate;
        }
        let is_same = |(hash, other): &(u64, u32)| *hash == identity && facts.at(*other).same_identity(fact);
        let winner = self.winners.find(identity, is_same);
        winner.map_or(Judgement::Accepted, |(_, offset)| meets(fact, &facts.at(*offset), *offset))
    }
}

/// Hashes of a fact's identity, and of identity and content: equal where these are.
fn hashes(fact: &FactView<'_>) -> [u64; 2] {
    let identity = match fact.body {
        BodyView::Lifecycle { .. } => format!("event {}", fact.identity()),
        BodyView::Item(item) => format!("item {}", item.item_no),
        BodyView::Payment { seq, .. } => format!("payment {seq}"),
    };
    [xxh3_64(identity.as_bytes()), xxh3_64((identity + "\n" + &content(fact)).as_bytes())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::{Reader, write};
    use crate::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Position};
    use crate::orders::admit::judge_among;
    use proptest::prelude::*;

    fn fact([kind, at, id, other]: [u8; 4]) -> Vec<u8> {
        let order = OrderId { tenant: "default".into(), order_id: "o".into() };
        let customer_id = (other > 2).then(|| "c".into());
        let origin = if other % 2 == 0 { Origin::Event } else { Origin::Row };
        let of_kind = EventKind::ALL[usize::from(kind) % EventKind::ALL.len()];
        let body = match kind {
            0 => Body::Payment {
                seq: u16::from(id),
                payment_type: PaymentType::Boleto,
                installments: 1,
                value: Money(i128::from(other)),
            },
            1 => Body::Item {
                item_no: u16::from(id),
                product_id: None,
                product_name: None,
                category: (other > 1).then(|| "Hats".into()),
                category_joined: other == 2,
                seller_id: None,
                quantity: 1,
                price: Money(1),
                freight: Money(1),
            },
            _ => Body::Lifecycle { kind: of_kind, origin, customer_id },
        };
        // An id of one's own may be what another fact is known by.
        let ids = ["e1", "e2", of_kind.name()];
        let event_id = ids.get(usize::from(id)).map(|id| (*id).into());
        let mut bytes = Vec::new();
        write(&Fact { order, at: u64::from(at), event_id, body }, Position::new(0, 1), &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn judges_as_a_look_at_all_facts_does(facts in prop::collection::vec([0_u8..5, 0_u8..3, 0_u8..4, 0_u8..4], 1..60)) {
            let (mut known, mut roster) = (PackedFacts::default(), Roster::default());
            for bytes in facts.into_iter().map(fact) {
                let outline = Reader::new(&bytes).outline();
                let judged = roster.judge(&known, &Reader::new(&bytes).fact());
                prop_assert_eq!(judged, judge_among(&known, &outline, &bytes));
                if let Judgement::Displaces(offset) = judged {
                    known.mark_loser(offset as usize);
                }
                if judged != Judgement::Duplicate {
                    let offset = known.push(&bytes, judged == Judgement::Loses);
                    roster.add(&known, offset);
                }
            }
            let again = Roster::of(&known);
            prop_assert_eq!([again.all.len(), again.winners.len()], [roster.all.len(), roster.winners.len()]);
        }
    }
}

//! Which identities the facts of an order may have: a few bits that spare most facts the look at all others.
//!
//! Invariant: a fact whose identity one of the facts that were added has is never said to be new. The other way round a
//! closer look must tell.

use crate::model::packed::{Outline, OutlineBody};

/// Which identities the facts of an order may have: a few bits that spare most facts the look at all others.
#[derive(Clone, Copy, Debug, Default)]
pub struct Identities {
    /// By kind, of lifecycle facts that are known by it.
    kinds: u8,
    /// True where some lifecycle fact is known by something else.
    has_other: bool,
    /// By number; the last bit stands for all larger ones.
    items: u16,
    payments: u16,
}

impl Identities {
    fn bit(number: u16) -> u16 {
        1 << number.min(15)
    }

    /// Adds the identity of a fact.
    pub fn add(&mut self, fact: &Outline) {
        match fact.body {
            OutlineBody::Lifecycle(kind) if fact.is_known_by_kind() => self.kinds |= 1 << kind as u8,
            OutlineBody::Lifecycle(_) => self.has_other = true,
            OutlineBody::Item { item_no, .. } => self.items |= Identities::bit(item_no),
            OutlineBody::Payment { seq, .. } => self.payments |= Identities::bit(seq),
        }
    }

    /// False where no fact has this fact's identity.
    pub fn may_hold(&self, fact: &Outline) -> bool {
        match fact.body {
            OutlineBody::Lifecycle(kind) if fact.is_known_by_kind() => {
                self.has_other || self.kinds & (1 << kind as u8) != 0
            }
            OutlineBody::Lifecycle(_) => self.has_other || self.kinds != 0,
            OutlineBody::Item { item_no, .. } => self.items & Identities::bit(item_no) != 0,
            OutlineBody::Payment { seq, .. } => self.payments & Identities::bit(seq) != 0,
        }
    }
}

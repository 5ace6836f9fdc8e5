//! Tombstones: what is left of orders that are retired (semantics.md, section 8).
//!
//! A tombstone is a key, a bound and a status: 24 bytes, one after another in the order of retirement, and 5 in a table
//! of their places, which is all that a look for an order that has none touches. Invariant: a tombstone is found until its
//! time, `horizon` after its bound, is over. Limits: memory is given back by whole pieces, when the time of all in it is
//! over; orders retire in the order of their bounds, or nearly so.

use std::collections::VecDeque;

use hashbrown::HashTable;

use super::parcel::OrderKey;
use crate::model::Status;
use crate::time::Time;

/// Tombstones are kept in pieces of so many, so that nothing is moved as they become more.
const PIECE: usize = if cfg!(test) { 1 << 3 } else { 1 << 12 };

/// What is left of one order.
#[derive(Clone, Copy, Debug)]
struct Tombstone {
    /// The order's key; in two, for 24 bytes and not 32.
    key: [u64; 2],
    /// The last logical time at which a fact was accepted; beside it the order's status, which answers queries.
    bound_and_status: u64,
}

impl Tombstone {
    fn key(&self) -> OrderKey {
        OrderKey::from(self.key[0]) << 64 | OrderKey::from(self.key[1])
    }

    fn bound(&self) -> Time {
        self.bound_and_status >> 8
    }
}

/// The tombstones of a worker's orders.
#[derive(Debug, Default)]
pub struct Tombstones {
    pieces: VecDeque<Vec<Tombstone>>,
    /// How many pieces have been dropped: places are counted from the very first tombstone, modulo 2^32.
    dropped: u32,
    /// The places of all tombstones that count.
    places: HashTable<u32>,
}

impl Tombstones {
    /// The bound of an order; none where it has no tombstone.
    pub fn bound(&self, key: OrderKey) -> Option<Time> {
        let place = self.places.find(hash(key), |place| self.has_key(*place, key))?;
        Some(self.at(*place)?.bound())
    }

    /// Adds a tombstone.
    pub fn insert(&mut self, key: OrderKey, bound: Time, status: Status) {
        if self.pieces.back().is_none_or(|piece| piece.len() == PIECE) {
            self.pieces.push_back(Vec::with_capacity(PIECE));
        }
        let Some(last) = self.pieces.back_mut() else { return };
        let of_piece = last.len() as u32;
        last.push(Tombstone { key: [(key >> 64) as u64, key as u64], bound_and_status: bound << 8 | status as u64 });
        let place = self.first_place().wrapping_add(((self.pieces.len() - 1) * PIECE) as u32).wrapping_add(of_piece);
        let Tombstones { pieces, dropped, places } = self;
        let hash_of = |place: &u32| at(pieces, *dropped, *place).map_or(0, |tombstone| hash(tombstone.key()));
        places.insert_unique(hash(key), place, hash_of);
    }

    /// Every tombstone that counts, in the order of retirement: key, bound, status.
    pub fn iter(&self) -> impl Iterator<Item = (OrderKey, Time, Status)> {
        let places = (self.first_place()..).zip(self.pieces.iter().flatten());
        places.filter_map(|(place, tombstone)| {
            let key = tombstone.key();
            self.places.find(hash(key), |known| *known == place)?;
            Some((key, tombstone.bound(), *Status::ALL.get(tombstone.bound_and_status as u8 as usize)?))
        })
    }

    /// How many there are that count.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Bytes that they take.
    pub fn heap_bytes(&self) -> usize {
        self.pieces.len() * PIECE * size_of::<Tombstone>() + self.places.allocation_size()
    }

    /// Forgets an order's tombstone.
    pub fn remove(&mut self, key: OrderKey) {
        let Tombstones { pieces, dropped, places } = self;
        let is_its = |place: &u32| at(pieces, *dropped, *place).is_some_and(|tombstone| tombstone.key() == key);
        if let Ok(place) = places.find_entry(hash(key), is_its) {
            place.remove();
        }
    }

    /// Drops what has no tombstone whose time, `horizon_ms` after its bound, reaches `time`.
    pub fn drop_before(&mut self, time: Time, horizon_ms: u64) {
        let is_over = |tombstone: &Tombstone| tombstone.bound().saturating_add(horizon_ms) < time;
        while let Some(piece) = self.pieces.front().filter(|piece| piece.len() == PIECE && piece.iter().all(is_over)) {
            let first = self.first_place();
            for (of_piece, tombstone) in piece.iter().enumerate() {
                let place = first.wrapping_add(of_piece as u32);
                if let Ok(known) = self.places.find_entry(hash(tombstone.key()), |known| *known == place) {
                    known.remove();
                }
            }
            self.pieces.pop_front();
            self.dropped = self.dropped.wrapping_add(1);
        }
        if self.places.len() < self.places.capacity() / 4 {
            let Tombstones { pieces, dropped, places } = self;
            let hash_of = |place: &u32| at(pieces, *dropped, *place).map_or(0, |tombstone| hash(tombstone.key()));
            places.shrink_to(places.len(), hash_of);
        }
    }

    fn first_place(&self) -> u32 {
        self.dropped.wrapping_mul(PIECE as u32)
    }

    fn at(&self, place: u32) -> Option<&Tombstone> {
        at(&self.pieces, self.dropped, place)
    }

    fn has_key(&self, place: u32, key: OrderKey) -> bool {
        self.at(place).is_some_and(|tombstone| tombstone.key() == key)
    }
}

fn at(pieces: &VecDeque<Vec<Tombstone>>, dropped: u32, place: u32) -> Option<&Tombstone> {
    let from_first = place.wrapping_sub(dropped.wrapping_mul(PIECE as u32)) as usize;
    pieces.get(from_first / PIECE)?.get(from_first % PIECE)
}

/// The key is a hash already.
fn hash(key: OrderKey) -> u64 {
    (key >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn tombstones_are_small() {
        assert_eq!(size_of::<Tombstone>(), 24);
    }

    proptest! {
        #[test]
        fn tombstones_are_found_until_their_time_is_over(
            steps in prop::collection::vec((0..4_u8, 1..30_u64, 0..2_000_u64), 1..30),
        ) {
            let (mut tombstones, mut expected) = (Tombstones::default(), BTreeMap::new());
            let (mut now, mut number, horizon_ms) = (0, 0_u128, 1_000);
            for (step, count, ahead) in steps {
                match step {
                    0 | 1 => for later in 0..count {
                        number += 1;
                        let (key, bound) = (number << 64 | number, now + later % 7);
                        tombstones.insert(key, bound, Status::Delivered);
                        expected.insert(key, bound);
                    },
                    2 => {
                        let key = (number / u128::from(count)) << 64 | (number / u128::from(count));
                        tombstones.remove(key);
                        expected.remove(&key);
                    }
                    _ => {
                        now += ahead;
                        tombstones.drop_before(now, horizon_ms);
                        let held: usize = tombstones.pieces.iter().map(Vec::len).sum();
                        let over = expected.values().filter(|bound| **bound + horizon_ms < now).count();
                        prop_assert!(held <= number as usize && tombstones.places.len() >= expected.len() - over);
                    }
                }
                for (key, bound) in &expected {
                    let found = tombstones.bound(*key);
                    prop_assert!(found == Some(*bound) || (found.is_none() && bound + horizon_ms < now));
                }
                prop_assert_eq!(tombstones.bound((number + 1) << 64), None);
            }
        }
    }
}

//! Buckets: values by number, of which those next to the first one are at hand.
//!
//! Time moves on, so the numbers that are asked for lie in a range that moves on, too: a ring holds that range, and what
//! lies far outside is in a tree. Invariant: a bucket is in the ring or in the tree, never in both.

use std::collections::{BTreeMap, VecDeque};

/// So many buckets from the first one on are in the ring.
const NEAR: u64 = 1 << 12;

/// Values by number, made when they are first asked for.
#[derive(Debug)]
pub struct Buckets<T> {
    /// The number of the ring's first place.
    first: u64,
    near: VecDeque<Option<T>>,
    far: BTreeMap<u64, T>,
}

impl<T> Default for Buckets<T> {
    fn default() -> Buckets<T> {
        Buckets { first: 0, near: VecDeque::new(), far: BTreeMap::new() }
    }
}

impl<T: Default> Buckets<T> {
    /// The bucket of this number.
    pub fn at(&mut self, number: u64) -> &mut T {
        if self.near.is_empty() {
            self.first = number;
        }
        if number < self.first && self.first - number + self.near.len() as u64 <= NEAR {
            (number..self.first).for_each(|_| self.near.push_front(None));
            self.first = number;
        }
        match number.checked_sub(self.first).filter(|place| *place < NEAR) {
            Some(place) => {
                let place = place as usize;
                if place >= self.near.len() {
                    self.near.resize_with(place + 1, || None);
                }
                self.near[place].get_or_insert_with(|| self.far.remove(&number).unwrap_or_default())
            }
            None => self.far.entry(number).or_default(),
        }
    }

    /// The lowest number there is a bucket of.
    pub fn first(&mut self) -> Option<u64> {
        while let Some(None) = self.near.front() {
            self.near.pop_front();
            self.first += 1;
        }
        let near = (!self.near.is_empty()).then_some(self.first);
        near.into_iter().chain(self.far.first_key_value().map(|(number, _)| *number)).min()
    }

    /// Takes the bucket of the lowest number out.
    pub fn pop_first(&mut self) -> Option<(u64, T)> {
        let number = self.first()?;
        if self.near.is_empty() || number < self.first {
            return self.far.pop_first();
        }
        self.first += 1;
        Some((number, self.near.pop_front()??))
    }

    /// Every bucket, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.near.iter().flatten().chain(self.far.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn buckets_are_those_of_a_map(steps in prop::collection::vec((any::<bool>(), 0..4 * NEAR, 0..50_u64), 0..200)) {
            let (mut buckets, mut expected): (Buckets<Vec<u64>>, BTreeMap<u64, Vec<u64>>) = Default::default();
            for (pops, start, item) in steps {
                if pops {
                    prop_assert_eq!(buckets.first(), expected.keys().next().copied());
                    prop_assert_eq!(buckets.pop_first(), expected.pop_first());
                } else {
                    buckets.at(start + item).push(item);
                    expected.entry(start + item).or_default().push(item);
                }
                prop_assert_eq!(buckets.values().map(Vec::len).sum::<usize>(), expected.values().map(Vec::len).sum::<usize>());
            }
        }
    }
}

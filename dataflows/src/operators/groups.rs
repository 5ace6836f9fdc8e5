//! Groups: sums by key, those kept together that are worked on together.
//!
//! A key says which group it belongs to. The sums of a group lie in one small map, which is what makes adding to them
//! fast where updates come in some order, and they change hands as one. Invariant: two keys that are ever rolled up into
//! one row of a bounded stretch of time share a group. Limits: a group whose sums are all zero stays until taken.

use std::fmt::Debug;
use std::hash::Hash;

use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A key that belongs to a group of keys.
pub trait Grouped: Eq + Hash {
    /// What the keys of a group share.
    type Group: Copy + Debug + Eq + Hash;

    /// The group of this key.
    fn group(&self) -> Self::Group;

    /// A number that spreads groups over their owners: the same in every process and run.
    fn spread(group: &Self::Group) -> u64;
}

/// The sums of one group, or a worker's part of them.
pub type Part<K, R> = (<K as Grouped>::Group, HashMap<K, R>);

/// Sums by group and key.
#[derive(Clone, Debug)]
pub struct Groups<K: Grouped, R>(HashMap<K::Group, HashMap<K, R>>);

impl<K: Grouped, R> Default for Groups<K, R> {
    fn default() -> Groups<K, R> {
        Groups(HashMap::new())
    }
}

impl<K: Grouped, R: Semigroup> Groups<K, R> {
    /// Adds `diff` to the sum of `key`.
    pub fn add(&mut self, key: K, diff: R) {
        add_to(self.0.entry(key.group()).or_default(), key, diff);
    }

    /// Adds a part of a group; the first one is taken as it is.
    pub fn merge(&mut self, (group, part): Part<K, R>) {
        match self.0.entry(group) {
            Entry::Occupied(mut sums) => part.into_iter().for_each(|(key, sum)| add_to(sums.get_mut(), key, sum)),
            Entry::Vacant(place) => {
                place.insert(part);
            }
        }
    }

    /// Every group with its sums, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&K::Group, &HashMap<K, R>)> {
        self.0.iter()
    }

    /// Every sum that is not zero.
    pub fn sums(&self) -> impl Iterator<Item = (&K, &R)> {
        self.0.values().flatten().filter(|(_, sum)| !sum.is_zero())
    }

    /// Takes all groups apart, leaving none.
    pub fn drain(&mut self) -> impl Iterator<Item = Part<K, R>> + use<K, R> {
        std::mem::take(&mut self.0).into_iter()
    }
}

fn add_to<K: Eq + Hash, R: Semigroup>(sums: &mut HashMap<K, R>, key: K, diff: R) {
    match sums.entry(key) {
        Entry::Occupied(mut sum) => sum.get_mut().plus_equals(&diff),
        Entry::Vacant(place) => {
            place.insert(diff);
        }
    }
}

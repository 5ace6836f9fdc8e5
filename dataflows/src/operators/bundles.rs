//! Bundles: sums by key, those kept together that are worked on together.
//!
//! A key says by a label to which bundle it belongs. The sums of a bundle lie in one small map, which makes adding to
//! them quick where neighbouring updates are of one bundle, and they change hands as one, without a copy within a
//! process. Invariant: a bundle has one owner, whatever worker of whatever process asks. Limits: a sum that comes to zero
//! stays in its map.

use std::fmt::Debug;
use std::hash::Hash;

use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A key that belongs to a bundle.
pub trait Bundled: Eq + Hash {
    /// What the keys of a bundle share.
    type Label: Copy + Debug + Eq + Hash;

    /// The label of this key's bundle.
    fn label(&self) -> Self::Label;

    /// A number that spreads bundles over workers, the same in every process: of no symbol, of no seeded hash.
    fn spread(label: &Self::Label) -> u64;
}

/// A label and sums of its bundle: all of them, or those of one worker.
pub type Bundle<K, R> = (<K as Bundled>::Label, HashMap<K, R>);

/// Sums by label and key.
#[derive(Clone, Debug)]
pub struct Bundles<K: Bundled, R>(HashMap<K::Label, HashMap<K, R>>);

impl<K: Bundled, R> Default for Bundles<K, R> {
    fn default() -> Bundles<K, R> {
        Bundles(HashMap::new())
    }
}

impl<K: Bundled, R: Semigroup> Bundles<K, R> {
    /// Adds `diff` to the sum of `key`.
    pub fn add(&mut self, key: K, diff: R) {
        add_to(self.0.entry(key.label()).or_default(), key, diff);
    }

    /// Adds sums of a bundle; the first ones are taken as they are.
    pub fn merge(&mut self, (label, more): Bundle<K, R>) {
        match self.0.entry(label) {
            Entry::Occupied(mut sums) => more.into_iter().for_each(|(key, sum)| add_to(sums.get_mut(), key, sum)),
            Entry::Vacant(place) => {
                place.insert(more);
            }
        }
    }

    /// Every bundle, zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&K::Label, &HashMap<K, R>)> {
        self.0.iter()
    }

    /// Every sum that is not zero.
    pub fn sums(&self) -> impl Iterator<Item = (&K, &R)> {
        self.0.values().flatten().filter(|(_, sum)| !sum.is_zero())
    }

    /// Takes all bundles out, leaving none.
    pub fn drain(&mut self) -> impl Iterator<Item = Bundle<K, R>> + use<K, R> {
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

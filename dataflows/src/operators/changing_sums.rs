//! Sums by key that know which of them have changed since that was told last.
//!
//! The sums of a bundle lie in a map of their own: one large map is copied as a whole whenever it grows, and neighbours
//! lie all over it. There are millions, most of them of a minute and small, so a sum lies in a few bytes for as long as it
//! fits, and apart from the others where it does not; a key should be of few bytes, too. Invariant: a sum that has changed
//! is told once, with the last time at which it did. Limits: a sum that comes to zero stays until it is told.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bundles::Bundled;
use crate::time::Time;

/// A sum that is small most of the time.
pub trait Shrinks: Semigroup + Copy + Default {
    /// The sum in few bytes.
    type Small: Copy + Default;

    /// The sum in few bytes; none where it does not fit.
    fn shrunk(&self) -> Option<Self::Small>;

    /// The sum that was shrunk.
    fn grown(small: &Self::Small) -> Self;
}

/// A sum in few bytes.
struct Sum<S: Shrinks> {
    small: S::Small,
    /// Its place among those that have changed, counted from 1; 0 where it has not. The highest bit says that it is large.
    note: u32,
}

const LARGE: u32 = 1 << 31;

impl<S: Shrinks> Default for Sum<S> {
    fn default() -> Sum<S> {
        Sum { small: S::Small::default(), note: 0 }
    }
}

impl<S: Shrinks> Sum<S> {
    fn is_large(&self) -> bool {
        self.note & LARGE != 0
    }

    fn get<K: Eq + Hash>(&self, key: &K, large: &HashMap<K, Box<S>>) -> S {
        let large = if self.is_large() { large.get(key) } else { None };
        large.map_or_else(|| S::grown(&self.small), |large| **large)
    }

    /// Its place among those that have changed, if it has.
    fn place(&self) -> Option<usize> {
        (self.note & !LARGE).checked_sub(1).map(|place| place as usize)
    }

    fn note_place(&mut self, place: Option<usize>) {
        let note = place.and_then(|place| u32::try_from(place + 1).ok()).filter(|note| note & LARGE == 0);
        // Beyond what fits it would be told twice, which changes nothing.
        self.note = self.note & LARGE | note.unwrap_or(0);
    }
}

/// The sums of a label.
struct Bundle<K, S: Shrinks> {
    sums: HashMap<K, Sum<S>>,
    /// Those that do not fit into few bytes: a place for one in each of the others would be most of it.
    large: HashMap<K, Box<S>>,
}

impl<K: Bundled + Copy, S: Shrinks> Bundle<K, S> {
    fn get(&self, key: &K) -> S {
        self.sums.get(key).map_or_else(S::default, |sum| sum.get(key, &self.large))
    }

    /// Adds `difference`; what it comes to.
    fn add(&mut self, key: K, difference: &S) -> (S, &mut Sum<S>) {
        let Bundle { sums, large } = self;
        let kept = sums.entry(key).or_default();
        let known = if kept.is_large() { large.get_mut(&key) } else { None };
        let mut sum = known.as_ref().map_or_else(|| S::grown(&kept.small), |known| ***known);
        sum.plus_equals(difference);
        match (sum.shrunk(), known) {
            (None, Some(known)) => **known = sum,
            (None, None) => {
                kept.note |= LARGE;
                large.insert(key, Box::new(sum));
            }
            (Some(small), known) => {
                if known.is_some() {
                    large.remove(&key);
                }
                (kept.small, kept.note) = (small, kept.note & !LARGE);
            }
        }
        (sum, kept)
    }
}

/// See the head of this file.
pub struct ChangingSums<K: Bundled + Copy, S: Shrinks> {
    bundles: HashMap<K::Label, Bundle<K, S>>,
    /// The bundle that began last. The next one will be about as large: growing, it would be copied again and again.
    last: Option<K::Label>,
    changed: Vec<(K, Time)>,
}

impl<K: Bundled + Copy, S: Shrinks> Default for ChangingSums<K, S> {
    fn default() -> ChangingSums<K, S> {
        ChangingSums { bundles: HashMap::new(), last: None, changed: Vec::new() }
    }
}

impl<K: Bundled + Copy, S: Shrinks> ChangingSums<K, S> {
    /// Begins the bundle of a label, unless there is one.
    fn begin(&mut self, label: K::Label) {
        if !self.bundles.contains_key(&label) {
            let last = self.last.replace(label).and_then(|last| self.bundles.get(&last)).map(|last| &last.sums);
            let room = last.map_or(0, |last| (last.len() + last.len() / 8).min(last.capacity()));
            self.bundles.insert(label, Bundle { sums: HashMap::with_capacity(room), large: HashMap::new() });
        }
    }

    /// Adds `difference`, which is of `time`.
    pub fn add(&mut self, key: K, difference: &S, time: Time) {
        self.begin(key.label());
        let Some(bundle) = self.bundles.get_mut(&key.label()) else { return };
        let (_, kept) = bundle.add(key, difference);
        match kept.place().and_then(|place| self.changed.get_mut(place)) {
            Some((_, last)) => *last = time.max(*last),
            None => {
                kept.note_place(Some(self.changed.len()));
                self.changed.push((key, time));
            }
        }
    }

    /// The same where nobody is to be told: a sum that comes to nothing is let go of at once. Not of a sum that has changed
    /// and was not told yet.
    pub fn add_untold(&mut self, key: K, difference: &S) {
        self.begin(key.label());
        let Some(bundle) = self.bundles.get_mut(&key.label()) else { return };
        let (sum, _) = bundle.add(key, difference);
        if sum.is_zero() {
            bundle.sums.remove(&key);
        }
    }

    /// Tells what has changed since it did so last. A sum that comes to nothing is let go of.
    pub fn tell_changed(&mut self, mut tell: impl FnMut(K, S, Time)) {
        for (key, time) in self.changed.drain(..) {
            let Some(bundle) = self.bundles.get_mut(&key.label()) else { continue };
            let Some(kept) = bundle.sums.get_mut(&key) else { continue };
            kept.note_place(None);
            let sum = bundle.get(&key);
            tell(key, sum, time);
            if sum.is_zero() {
                bundle.sums.remove(&key);
            }
        }
    }

    /// The sum of `key`.
    pub fn get(&self, key: &K) -> S {
        self.bundles.get(&key.label()).map_or_else(S::default, |bundle| bundle.get(key))
    }

    /// Lets go of what is not to be kept, once what has changed was told.
    pub fn retain(&mut self, mut is_kept: impl FnMut(K) -> bool, mut let_go: impl FnMut(K, S)) {
        self.bundles.retain(|_, Bundle { sums, large }| {
            sums.retain(|key, sum| {
                let is_kept = is_kept(*key);
                if !is_kept {
                    let_go(*key, sum.get(key, large));
                    if sum.is_large() {
                        large.remove(key);
                    }
                }
                is_kept
            });
            !sums.is_empty()
        });
    }

    /// Every sum.
    pub fn iter(&self) -> impl Iterator<Item = (K, S)> {
        self.bundles
            .values()
            .flat_map(|Bundle { sums, large }| sums.iter().map(|(key, sum)| (*key, sum.get(key, large))))
    }

    /// How many sums there are.
    pub fn len(&self) -> usize {
        self.bundles.values().map(|bundle| bundle.sums.len()).sum()
    }

    /// Bytes that they take.
    pub fn heap_bytes(&self) -> usize {
        let bytes = |Bundle { sums, large }: &Bundle<K, S>| {
            sums.allocation_size() + large.allocation_size() + large.len() * size_of::<S>()
        };
        let bundles: usize = self.bundles.values().map(bytes).sum();
        bundles + self.bundles.allocation_size() + self.changed.capacity() * size_of::<(K, Time)>()
    }

    /// True where there is no sum.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// As one map, whatever the bundles.
impl<K: Bundled + Copy + Serialize, S: Shrinks + Serialize> Serialize for ChangingSums<K, S> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, sum) in self.iter() {
            map.serialize_entry(&key, &sum)?;
        }
        map.end()
    }
}

impl<'de, K: Bundled + Copy + Deserialize<'de>, S: Shrinks + Deserialize<'de>> Deserialize<'de> for ChangingSums<K, S> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ChangingSums<K, S>, D::Error> {
        deserializer.deserialize_map(OfMap(PhantomData))
    }
}

/// Puts each sum into its bundle as it is read.
struct OfMap<K, S>(PhantomData<(K, S)>);

impl<'de, K: Bundled + Copy + Deserialize<'de>, S: Shrinks + Deserialize<'de>> Visitor<'de> for OfMap<K, S> {
    type Value = ChangingSums<K, S>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("sums by key")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ChangingSums<K, S>, M::Error> {
        let mut sums = ChangingSums::default();
        while let Some((key, sum)) = map.next_entry::<K, S>()? {
            sums.add_untold(key, &sum);
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Keys of ten make a bundle.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    struct Key(u8);

    impl Bundled for Key {
        type Label = u8;

        fn label(&self) -> u8 {
            self.0 / 10
        }

        fn spread(label: &u8) -> u64 {
            u64::from(*label)
        }
    }

    impl Shrinks for i64 {
        type Small = i8;

        fn shrunk(&self) -> Option<i8> {
            // Little enough for the sums of a test to go beyond it and come back.
            i8::try_from(*self).ok().filter(|small| (-2..3).contains(small))
        }

        fn grown(small: &i8) -> i64 {
            i64::from(*small)
        }
    }

    type Told = BTreeMap<Key, (i64, Time)>;

    proptest! {
        #[test]
        fn what_has_changed_is_told_once_with_its_sum_and_last_time(
            rounds in proptest::collection::vec(
                (proptest::collection::vec((0..40_u8, -2..3_i64, 0..9_u64), 0..30), 0..40_u8), 0..12),
        ) {
            let (mut sums, mut naive) = (ChangingSums::<Key, i64>::default(), BTreeMap::<Key, i64>::new());
            let mut untold = ChangingSums::<Key, i64>::default();
            for (adds, let_go) in rounds {
                let mut expected = Told::new();
                for (key, difference, time) in adds {
                    sums.add(Key(key), &difference, time);
                    untold.add_untold(Key(key), &difference);
                    let sum = naive.entry(Key(key)).or_default();
                    *sum += difference;
                    let told = expected.entry(Key(key)).or_default();
                    *told = (*sum, told.1.max(time));
                }
                let mut told = Vec::new();
                sums.tell_changed(|key, sum, time| told.push((key, (sum, time))));
                prop_assert_eq!(told.len(), expected.len());
                prop_assert_eq!(told.into_iter().collect::<Told>(), expected);
                naive.retain(|_, sum| *sum != 0);
                let expected = naive.remove(&Key(let_go)).map(|sum| (Key(let_go), sum));
                let mut gone = Vec::new();
                sums.retain(|key| key != Key(let_go), |key, sum| gone.push((key, sum)));
                prop_assert_eq!(gone, expected.into_iter().collect::<Vec<_>>());
                untold.retain(|key| key != Key(let_go), |_, _| {});
                for sums in [&sums, &untold] {
                    prop_assert_eq!(&sums.iter().collect::<BTreeMap<Key, i64>>(), &naive);
                    prop_assert_eq!(sums.len(), naive.len());
                    let large = naive.values().filter(|sum| sum.shrunk().is_none()).count();
                    prop_assert_eq!(sums.bundles.values().map(|bundle| bundle.large.len()).sum::<usize>(), large);
                }
                prop_assert_eq!(sums.get(&Key(let_go)), 0);
                let bytes = postcard::to_allocvec(&sums).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<BTreeMap<Key, i64>>(&bytes).unwrap(), &naive);
                let read: ChangingSums<Key, i64> = postcard::from_bytes(&bytes).unwrap();
                prop_assert_eq!(read.iter().collect::<BTreeMap<_, _>>(), sums.iter().collect::<BTreeMap<_, _>>());
            }
            let mut told = Vec::new();
            sums.tell_changed(|key, _, _| told.push(key));
            prop_assert_eq!(told, []);
        }
    }
}

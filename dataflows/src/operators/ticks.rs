//! Ticks: differences gathered until the tick at which they are published.
//!
//! Rounding a time up keeps a collection's meaning and makes it far smaller: all changes of one key within a tick become
//! one update. Invariant: an update given for `time` is published at the first multiple of the tick that is not before
//! `time`, or at the end of time where that comes first. A tick that is given to after it was published has a further
//! update.

use std::collections::BTreeMap;
use std::hash::Hash;

use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;

use crate::time::{Time, tick_at_or_after};

/// Differences by tick and key.
#[derive(Debug)]
pub struct Ticks<K, R> {
    tick_ms: u64,
    /// The tick that was given to last, apart for speed.
    current: Time,
    sums: HashMap<K, R>,
    others: BTreeMap<Time, HashMap<K, R>>,
}

impl<K: Eq + Hash, R: Semigroup> Ticks<K, R> {
    /// Nothing gathered; ticks of `tick_ms` milliseconds (at least 1).
    pub fn new(tick_ms: u64) -> Ticks<K, R> {
        Ticks { tick_ms: tick_ms.max(1), current: 0, sums: HashMap::new(), others: BTreeMap::new() }
    }

    /// Adds a difference that takes effect at `time`.
    pub fn give(&mut self, time: Time, key: K, diff: R) {
        let tick = tick_at_or_after(time, self.tick_ms);
        if tick != self.current {
            if !self.sums.is_empty() {
                let sums = std::mem::take(&mut self.sums);
                self.others.insert(self.current, sums);
            }
            self.current = tick;
            self.sums = self.others.remove(&tick).unwrap_or_default();
        }
        match self.sums.entry(key) {
            hashbrown::hash_map::Entry::Occupied(mut sum) => sum.get_mut().plus_equals(&diff),
            hashbrown::hash_map::Entry::Vacant(place) => {
                place.insert(diff);
            }
        }
    }

    /// Gives every tick that lies before `complete_before`, in order, each as (time, key, diff).
    pub fn publish_before(&mut self, complete_before: Time, mut publish: impl FnMut(Time, K, R)) {
        while let Some(first) = self.others.first_entry() {
            if *first.key() >= complete_before {
                break;
            }
            let (tick, sums) = first.remove_entry();
            publish_sums(tick, sums, &mut publish);
        }
        if self.current < complete_before && !self.sums.is_empty() {
            for (key, diff) in self.sums.drain() {
                if !diff.is_zero() {
                    publish(self.current, key, diff);
                }
            }
        }
    }

    /// Gives everything that is left, at its tick or at `end` where that is earlier.
    pub fn publish_rest(&mut self, end: Time, mut publish: impl FnMut(Time, K, R)) {
        self.publish_before(Time::MAX, |tick, key, diff| publish(tick.min(end), key, diff));
    }

    /// The earliest tick that has something to publish.
    pub fn first(&self) -> Option<Time> {
        let current = (!self.sums.is_empty()).then_some(self.current);
        self.others.keys().next().copied().into_iter().chain(current).min()
    }
}

fn publish_sums<K, R: Semigroup>(tick: Time, sums: HashMap<K, R>, publish: &mut impl FnMut(Time, K, R)) {
    for (key, diff) in sums {
        if !diff.is_zero() {
            publish(tick, key, diff);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_tick_become_one_update() {
        let mut ticks = Ticks::new(10);
        for (time, key, diff) in [(1, 'a', 1), (10, 'a', 1), (11, 'a', 5), (3, 'b', 1), (4, 'b', -1), (21, 'a', 9)] {
            ticks.give(time, key, diff);
        }
        let mut published = Vec::new();
        ticks.publish_before(20, |time, key, diff: isize| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 2)]);
        assert_eq!(ticks.first(), Some(20));
        ticks.publish_rest(25, |time, key, diff| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 2), (20, 'a', 5), (25, 'a', 9)]);
    }
}

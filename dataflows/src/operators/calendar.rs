//! A calendar queue: items by the time at which they are due.
//!
//! Items wait unsorted in buckets of time; only what is due next is in a heap. So an item costs the same however many
//! wait: 8 bytes and itself. Items of one time come out in the order of the items. There is no way to cancel: whoever
//! takes an item asks whether it still holds.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::time::Time;

/// Items by the time at which they are due.
#[derive(Debug)]
pub struct Calendar<T: Ord> {
    bucket_ms: u64,
    /// What is due up to and with `current_bucket`.
    current: BinaryHeap<Reverse<(Time, T)>>,
    current_bucket: u64,
    is_new: bool,
    later: BTreeMap<u64, Vec<(Time, T)>>,
}

impl<T: Copy + Ord> Calendar<T> {
    /// An empty calendar with buckets of `bucket_ms` milliseconds (at least 1).
    pub fn new(bucket_ms: u64) -> Calendar<T> {
        Calendar {
            bucket_ms: bucket_ms.max(1),
            current: BinaryHeap::new(),
            current_bucket: 0,
            is_new: false,
            later: BTreeMap::new(),
        }
    }

    /// Adds an item that is due at `time`.
    pub fn push(&mut self, time: Time, item: T) {
        let bucket = time / self.bucket_ms;
        if bucket > self.current_bucket {
            self.later.entry(bucket).or_default().push((time, item));
        } else {
            self.current.push(Reverse((time, item)));
        }
    }

    /// The items of the bucket that is due next, in no order, and its end, where they have not been asked for.
    pub fn newly_current(&mut self) -> Option<(impl Iterator<Item = T> + '_, Time)> {
        self.load_next();
        let end = (self.current_bucket + 1).saturating_mul(self.bucket_ms);
        std::mem::take(&mut self.is_new).then(|| (self.current.iter().map(|Reverse((_, item))| *item), end))
    }

    fn load_next(&mut self) {
        if self.current.is_empty()
            && let Some((bucket, items)) = self.later.pop_first()
        {
            self.current = items.into_iter().map(Reverse).collect();
            self.current_bucket = bucket;
            self.is_new = true;
        }
    }

    /// When the next item is due.
    pub fn next_time(&mut self) -> Option<Time> {
        self.load_next();
        self.current.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes the next item where it is due at or before `time`.
    pub fn pop_until(&mut self, time: Time) -> Option<(Time, T)> {
        if self.next_time()? <= time { self.current.pop().map(|Reverse(item)| item) } else { None }
    }

    /// Number of items that wait.
    pub fn len(&self) -> usize {
        self.current.len() + self.later.values().map(Vec::len).sum::<usize>()
    }

    /// True where nothing waits.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gives_items_in_the_order_of_their_times(steps in prop::collection::vec((0..500u64, 0..500u64), 0..200)) {
            let mut calendar = Calendar::new(16);
            let mut expected: Vec<u64> = Vec::new();
            for (push, pop) in steps {
                calendar.push(push, ());
                expected.push(push);
                expected.sort_unstable();
                while let Some((time, ())) = calendar.pop_until(pop) {
                    prop_assert_eq!(time, expected.remove(0));
                }
                prop_assert!(expected.first().is_none_or(|first| *first > pop));
                prop_assert_eq!(calendar.len(), expected.len());
            }
        }
    }
}

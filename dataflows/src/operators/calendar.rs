//! A calendar queue: items by the time at which they are due.
//!
//! Items wait unsorted in buckets of time; those of the bucket that is due next are sorted once, and what is added to it
//! later goes to a heap beside them. The next bucket may be far away: when an earlier one comes in between, it waits
//! again. So an item costs the same however many wait: 8 bytes and itself. Items of one time come out in the order of the
//! items. There is no way to cancel: whoever takes an item asks whether it still holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::buckets::Buckets;
use crate::time::Time;

/// Items by the time at which they are due.
#[derive(Debug)]
pub struct Calendar<T: Ord> {
    bucket_ms: u64,
    /// The bucket that is due next, where it is loaded.
    current_bucket: Option<u64>,
    /// What is in it: as it was loaded, the earliest last, and what has come since.
    current: Vec<(Time, T)>,
    added: BinaryHeap<Reverse<(Time, T)>>,
    is_new: bool,
    later: Buckets<Vec<(Time, T)>>,
}

impl<T: Copy + Ord> Calendar<T> {
    /// An empty calendar with buckets of `bucket_ms` milliseconds (at least 1).
    pub fn new(bucket_ms: u64) -> Calendar<T> {
        Calendar {
            bucket_ms: bucket_ms.max(1),
            current: Vec::new(),
            added: BinaryHeap::new(),
            current_bucket: None,
            is_new: false,
            later: Buckets::default(),
        }
    }

    /// Adds an item that is due at `time`.
    pub fn push(&mut self, time: Time, item: T) {
        let bucket = time / self.bucket_ms;
        if self.current_bucket == Some(bucket) {
            return self.added.push(Reverse((time, item)));
        }
        if let Some(current) = self.current_bucket.take_if(|current| bucket < *current)
            && !(self.current.is_empty() && self.added.is_empty())
        {
            let waiting = self.later.at(current);
            waiting.append(&mut self.current);
            waiting.extend(self.added.drain().map(|Reverse(item)| item));
        }
        self.later.at(bucket).push((time, item));
    }

    /// The items of the bucket that is due next, in no order, and its end, where they have not been asked for.
    pub fn newly_current(&mut self) -> Option<(impl Iterator<Item = T> + '_, Time)> {
        self.load_next();
        let end = (self.current_bucket? + 1).saturating_mul(self.bucket_ms);
        std::mem::take(&mut self.is_new).then(|| (self.current.iter().map(|(_, item)| *item), end))
    }

    fn load_next(&mut self) {
        if self.current.is_empty()
            && self.added.is_empty()
            && let Some((bucket, mut items)) = self.later.pop_first()
        {
            items.sort_unstable_by(|left, right| right.cmp(left));
            self.current = items;
            self.current_bucket = Some(bucket);
            self.is_new = true;
        }
    }

    /// When the next item is due.
    pub fn next_time(&mut self) -> Option<Time> {
        self.load_next();
        let (loaded, added) = (self.current.last(), self.added.peek().map(|Reverse(item)| item));
        loaded.into_iter().chain(added).map(|(due, _)| *due).min()
    }

    /// Takes the next item where it is due at or before `time`.
    pub fn pop_until(&mut self, time: Time) -> Option<(Time, T)> {
        self.load_next();
        let is_due = |item: &(Time, T)| item.0 <= time;
        match (self.current.last(), self.added.peek()) {
            (Some(loaded), Some(Reverse(added))) if added < loaded && is_due(added) => {
                self.added.pop().map(|added| added.0)
            }
            (Some(loaded), _) if is_due(loaded) => self.current.pop(),
            (None, Some(Reverse(added))) if is_due(added) => self.added.pop().map(|added| added.0),
            _ => None,
        }
    }

    /// Number of items that wait.
    pub fn len(&self) -> usize {
        self.current.len() + self.added.len() + self.later.values().map(Vec::len).sum::<usize>()
    }

    /// Bytes that they take.
    pub fn heap_bytes(&self) -> usize {
        let later: usize = self.later.values().map(Vec::capacity).sum();
        (self.current.capacity() + self.added.capacity() + later) * size_of::<(Time, T)>()
    }

    /// True where nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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

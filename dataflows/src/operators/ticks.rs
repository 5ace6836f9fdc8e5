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

use crate::time::{Time, is_of_tick, tick_at_or_after};

/// Up to so many differences of a tick are looked through one by one, which costs less than hashing their keys does.
const FEW: usize = 16;
/// Room for so many times the differences that there were is given back.
const ROOMY: usize = 8;

/// Differences of one tick, by key: either few or many.
#[derive(Debug)]
struct Tick<K, R> {
    few: Vec<(K, R)>,
    many: HashMap<K, R>,
}

impl<K, R> Default for Tick<K, R> {
    fn default() -> Tick<K, R> {
        Tick { few: Vec::new(), many: HashMap::new() }
    }
}

impl<K: Eq + Hash, R: Semigroup + Default> Tick<K, R> {
    fn is_empty(&self) -> bool {
        self.few.is_empty() && self.many.is_empty()
    }

    fn at(&mut self, key: K) -> &mut R {
        if self.many.is_empty() {
            if let Some(place) = self.few.iter().position(|(known, _)| *known == key) {
                return &mut self.few[place].1;
            }
            if self.few.len() < FEW {
                self.few.push((key, R::default()));
                let last = self.few.len() - 1;
                return &mut self.few[last].1;
            }
            self.many.extend(self.few.drain(..));
        }
        self.many.entry(key).or_default()
    }

    fn iter(&self) -> impl Iterator<Item = (&K, &R)> {
        self.few.iter().map(|(key, diff)| (key, diff)).chain(&self.many)
    }

    fn publish(&mut self, time: Time, publish: &mut impl FnMut(Time, K, R)) {
        let (count, room) = (self.many.len(), self.many.capacity());
        self.drain().filter(|(_, diff)| !diff.is_zero()).for_each(|(key, diff)| publish(time, key, diff));
        if room / ROOMY > count {
            self.many.shrink_to(count);
        }
    }

    fn drain(&mut self) -> impl Iterator<Item = (K, R)> {
        self.few.drain(..).chain(self.many.drain())
    }
}

/// Differences by tick and key.
#[derive(Debug)]
pub struct Ticks<K, R> {
    tick_ms: u64,
    /// The tick that was given to last, apart for speed.
    current: Time,
    sums: Tick<K, R>,
    others: BTreeMap<Time, Tick<K, R>>,
    /// An empty one, kept for its room: growing anew costs more than adding.
    spare: Tick<K, R>,
}

impl<K: Eq + Hash, R: Semigroup + Default> Ticks<K, R> {
    /// Nothing gathered; ticks of `tick_ms` milliseconds (at least 1; `Time::MAX`: all is one tick, the end of time).
    pub fn new(tick_ms: u64) -> Ticks<K, R> {
        let (sums, spare) = (Tick::default(), Tick::default());
        Ticks { tick_ms: tick_ms.max(1), current: 0, sums, others: BTreeMap::new(), spare }
    }

    /// Adds a difference that takes effect at `time`.
    pub fn give(&mut self, time: Time, key: K, diff: &R) {
        self.at(time, key).plus_equals(diff);
    }

    /// The difference of `key` that takes effect at `time`, as gathered so far, to add to.
    pub fn at(&mut self, time: Time, key: K) -> &mut R {
        if !self.is_of_tick(time, self.current) {
            self.change_to(self.tick_of(time));
        }
        self.sums.at(key)
    }

    /// The tick at which what takes effect at `time` is published.
    pub fn tick_of(&self, time: Time) -> Time {
        tick_at_or_after(time, self.tick_ms)
    }

    /// True where what takes effect at `time` is published at `tick`: quicker than asking which tick it is.
    pub fn is_of_tick(&self, time: Time, tick: Time) -> bool {
        is_of_tick(time, tick, self.tick_ms)
    }

    #[cold]
    fn change_to(&mut self, tick: Time) {
        self.put_away(self.current);
        self.current = tick;
        if let Some(sums) = self.others.remove(&tick) {
            self.spare = std::mem::replace(&mut self.sums, sums);
        }
    }

    /// What was gathered waits for `tick`.
    fn put_away(&mut self, tick: Time) {
        if !self.sums.is_empty() {
            let sums = std::mem::replace(&mut self.sums, std::mem::take(&mut self.spare));
            self.others.insert(tick, sums);
        }
    }

    /// What is given until the next [`Ticks::close`] will be closed with what was closed before: it is added there at once.
    pub fn reopen(&mut self) {
        if let Some((_, mut closed)) = self.others.pop_first() {
            self.sums.drain().for_each(|(key, diff)| closed.at(key).plus_equals(&diff));
            self.spare = std::mem::replace(&mut self.sums, closed);
        }
    }

    /// All that was gathered so far is of `tick` or of ticks before it: it is given together, as of `tick`. For ticks that
    /// are as long as time, whose end the caller alone knows.
    pub fn close(&mut self, tick: Time) {
        self.reopen();
        self.put_away(tick);
    }

    /// What was closed, to be given more; it comes back by [`Ticks::put_closed`]. What was gathered since stays as it is.
    pub fn take_closed(&mut self) -> Ticks<K, R> {
        let closed = self.others.pop_first().map(|(_, sums)| sums);
        let sums = closed.unwrap_or_else(|| std::mem::take(&mut self.spare));
        Ticks { current: self.current, sums, ..Ticks::new(self.tick_ms) }
    }

    /// See [`Ticks::take_closed`]: it is given together, as of `tick`.
    pub fn put_closed(&mut self, tick: Time, mut closed: Ticks<K, R>) {
        // Time 0 is a tick of its own, however long ticks are.
        while !closed.others.is_empty() {
            closed.reopen();
        }
        if closed.sums.is_empty() {
            self.spare = closed.sums;
        } else {
            self.others.insert(tick, closed.sums);
        }
    }

    /// Gives every tick that lies before `complete_before`, in order, each as (time, key, diff).
    pub fn publish_before(&mut self, complete_before: Time, mut publish: impl FnMut(Time, K, R)) {
        while let Some(first) = self.others.first_entry() {
            if *first.key() >= complete_before {
                break;
            }
            let (tick, mut sums) = first.remove_entry();
            sums.publish(tick, &mut publish);
            self.spare = sums;
        }
        if self.current < complete_before && !self.sums.is_empty() {
            self.sums.publish(self.current, &mut publish);
        }
    }

    /// Gives everything that is left, at its tick or at `end` where that is earlier.
    pub fn publish_rest(&mut self, end: Time, mut publish: impl FnMut(Time, K, R)) {
        let current = (self.current, std::mem::take(&mut self.sums));
        for (tick, mut sums) in std::mem::take(&mut self.others).into_iter().chain([current]) {
            sums.publish(tick.min(end), &mut publish);
        }
    }

    /// Every difference that waits for its tick, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (Time, &K, &R)> {
        let ticks = self.others.iter().map(|(tick, sums)| (*tick, sums)).chain([(self.current, &self.sums)]);
        ticks.flat_map(|(tick, sums)| sums.iter().map(move |(key, diff)| (tick, key, diff)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_of_one_tick_become_one_update() {
        let mut ticks = Ticks::new(10);
        for (time, key, diff) in [(1, 'a', 1), (10, 'a', 1), (11, 'a', 5), (3, 'b', 1), (4, 'b', -1), (21, 'a', 9)] {
            ticks.give(time, key, &diff);
        }
        let mut published = Vec::new();
        ticks.publish_before(20, |time, key, diff: isize| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 2)]);
        ticks.publish_rest(25, |time, key, diff| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 2), (20, 'a', 5), (25, 'a', 9)]);
    }

    #[test]
    fn what_is_added_to_what_was_closed_is_given_with_it_and_the_rest_later() {
        let mut ticks = Ticks::new(Time::MAX);
        ticks.give(5, 'a', &1);
        ticks.close(10);
        ticks.give(11, 'a', &7);
        let mut closed = ticks.take_closed();
        for time in [5, 0, 5] {
            closed.give(time, 'a', &1);
        }
        ticks.put_closed(10, closed);
        let mut published = Vec::new();
        ticks.publish_before(11, |time, key, diff: isize| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 4)]);
        ticks.close(20);
        ticks.publish_before(21, |time, key, diff| published.push((time, key, diff)));
        assert_eq!(published, [(10, 'a', 4), (20, 'a', 7)]);
    }
}

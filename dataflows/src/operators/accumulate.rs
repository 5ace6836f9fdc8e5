//! Accumulation: the updates of a collection, gathered where they arise and given once, when their input ends.
//!
//! Sums add up in any order, so every worker gathers its own and only the sums travel: the same collection, compacted
//! to its last time.

use std::hash::Hash;

use differential_dataflow::difference::Semigroup;
use hashbrown::HashMap;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use crate::time::Time;

/// Gathers `updates`; the sums come out, at the time of the last update, when the input has ended.
pub fn accumulate<'scope, K, R>(
    name: &str,
    updates: Stream<'scope, Time, Vec<(K, Time, R)>>,
) -> Stream<'scope, Time, Vec<(K, Time, R)>>
where
    K: Eq + Hash + Clone + 'static,
    R: Semigroup + Clone + 'static,
{
    updates.unary_frontier(Pipeline, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: HashMap<K, R> = HashMap::new();
        let mut last = 0;
        move |(input, frontier), output| {
            input.for_each(|_, batch| {
                for (key, time, diff) in batch.drain(..) {
                    last = last.max(time);
                    match sums.entry(key) {
                        hashbrown::hash_map::Entry::Occupied(mut sum) => sum.get_mut().plus_equals(&diff),
                        hashbrown::hash_map::Entry::Vacant(place) => {
                            place.insert(diff);
                        }
                    }
                }
            });
            if frontier.is_empty()
                && let Some(capability) = held.take()
            {
                let sums = std::mem::take(&mut sums).into_iter().filter(|(_, sum)| !sum.is_zero());
                output.session(&capability).give_iterator(sums.map(|(key, sum)| (key, last, sum)));
            }
        }
    })
}

//! Accumulation: the updates of a collection, gathered where they arise and given once, when their input ends.
//!
//! Sums add up in any order, so every worker gathers its own, and only the sums travel: first each worker's part of a
//! group, then, from the group's one owner, what is made of the whole. The same collection, compacted to its last time.

use differential_dataflow::difference::Semigroup;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;

use super::groups::{Grouped, Groups, Part};
use crate::time::Time;

/// Gathers `updates`; this worker's sums come out, group by group, when the input has ended.
pub fn accumulate<'scope, K, R>(
    name: &str,
    updates: Stream<'scope, Time, Vec<(K, Time, R)>>,
) -> Stream<'scope, Time, Vec<Part<K, R>>>
where
    K: Grouped + Clone + 'static,
    R: Semigroup + Clone + 'static,
{
    updates.unary_frontier(Pipeline, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: Groups<K, R> = Groups::default();
        move |(input, frontier), output| {
            input.for_each(|_, batch| batch.drain(..).for_each(|(key, _, diff)| sums.add(key, diff)));
            if frontier.is_empty()
                && let Some(capability) = held.take()
            {
                output.session(&capability).give_iterator(sums.drain());
            }
        }
    })
}

/// Brings the parts of every group together at its owner; what comes out is what `of` makes of all groups of an owner.
pub fn at_owners<'scope, K, R, L, S>(
    name: &str,
    parts: Stream<'scope, Time, Vec<Part<K, R>>>,
    of: impl Fn(&Groups<K, R>) -> Groups<L, S> + 'static,
) -> Stream<'scope, Time, Vec<Part<L, S>>>
where
    K: Grouped + ExchangeData,
    K::Group: ExchangeData,
    R: Semigroup + ExchangeData,
    L: Grouped + Clone + 'static,
    S: Semigroup + Clone + 'static,
{
    let by_group = Exchange::new(|(group, _): &Part<K, R>| K::spread(group));
    parts.unary_frontier(by_group, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: Groups<K, R> = Groups::default();
        move |(input, frontier), output| {
            input.for_each(|_, batch| batch.drain(..).for_each(|part| sums.merge(part)));
            if frontier.is_empty()
                && let Some(capability) = held.take()
            {
                let whole = std::mem::take(&mut sums);
                output.session(&capability).give_iterator(of(&whole).drain());
            }
        }
    })
}

//! Accumulation: the updates of a collection, gathered where they arise and given once, when their input ends.
//!
//! Sums add up in any order, so every worker gathers its own, and only the sums travel: a bundle at a time, to its one
//! owner or wherever they are wanted. The same collection, compacted to its last time.

use differential_dataflow::difference::Semigroup;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Operator;

use super::bundles::{Bundle, Bundled, Bundles};
use crate::time::Time;

/// Gathers `updates`; this worker's sums come out, bundle by bundle, when the input has ended.
pub fn accumulate<'scope, K, R>(
    name: &str,
    updates: Stream<'scope, Time, Vec<(K, Time, R)>>,
) -> Stream<'scope, Time, Vec<Bundle<K, R>>>
where
    K: Bundled + Clone + 'static,
    R: Semigroup + Clone + 'static,
{
    updates.unary_frontier(Pipeline, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: Bundles<K, R> = Bundles::default();
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

/// Brings what the workers have of each bundle together at its owner; what comes out is what `of` makes of all bundles
/// of an owner.
pub fn at_owners<'scope, K, R, L, S>(
    name: &str,
    bundles: Stream<'scope, Time, Vec<Bundle<K, R>>>,
    of: impl Fn(&Bundles<K, R>) -> Bundles<L, S> + 'static,
) -> Stream<'scope, Time, Vec<Bundle<L, S>>>
where
    K: Bundled + ExchangeData,
    K::Label: ExchangeData,
    R: Semigroup + ExchangeData,
    L: Bundled + Clone + 'static,
    S: Semigroup + Clone + 'static,
{
    let by_owner = Exchange::new(|(label, _): &Bundle<K, R>| K::spread(label));
    bundles.unary_frontier(by_owner, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: Bundles<K, R> = Bundles::default();
        move |(input, frontier), output| {
            input.for_each(|_, batch| batch.drain(..).for_each(|bundle| sums.merge(bundle)));
            if frontier.is_empty()
                && let Some(capability) = held.take()
            {
                let whole = std::mem::take(&mut sums);
                output.session(&capability).give_iterator(of(&whole).drain());
            }
        }
    })
}

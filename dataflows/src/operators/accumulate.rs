//! Accumulation: the updates of a collection, added up by their owners and given once, when their input ends.
//!
//! Every sum has one owner among all workers, so that it is held once and is whole where it is held. What comes out is the
//! same collection, compacted to its last time, or what is made of it.

use differential_dataflow::difference::Semigroup;
use timely::ExchangeData;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::Operator;

use super::bundles::{Bundle, Bundled, Bundles};
use crate::time::Time;

/// Brings `updates` to their owners, which add them up; what comes out, bundle by bundle, when the input has ended is what
/// `of` makes of all sums of an owner.
pub fn accumulate<'scope, K, R, L, S>(
    name: &str,
    updates: Stream<'scope, Time, Vec<(K, Time, R)>>,
    of: impl Fn(Bundles<K, R>) -> Bundles<L, S> + 'static,
) -> Stream<'scope, Time, Vec<Bundle<L, S>>>
where
    K: Bundled + ExchangeData,
    R: Semigroup + ExchangeData,
    L: Bundled + Clone + 'static,
    S: Semigroup + Clone + 'static,
{
    let by_owner = Exchange::new(|(key, _, _): &(K, Time, R)| K::spread(&key.label()));
    updates.unary_frontier(by_owner, name, |capability, _| {
        let mut held = Some(capability);
        let mut sums: Bundles<K, R> = Bundles::default();
        move |(input, frontier), output| {
            input.for_each(|_, batch| batch.drain(..).for_each(|(key, _, diff)| sums.add(key, diff)));
            if frontier.is_empty()
                && let Some(capability) = held.take()
            {
                output.session(&capability).give_iterator(of(std::mem::take(&mut sums)).drain());
            }
        }
    })
}

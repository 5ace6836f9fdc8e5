//! What the graph says of orders, on its way to the publisher at the first worker.
//!
//! Invariant: nothing is added or left out here; rows become text where they are made.

use dataflows::orders::OrderOutputs;
use dataflows::time::{Diff, Time};
use dataflows::views::collection::Row;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Operator;

use crate::live::publisher::Update;
use crate::live::rows::rows_of;

/// What the graph says of orders, as updates for the publisher.
pub(super) fn updates_of(orders: OrderOutputs<'_>) -> Vec<Stream<'_, Time, Vec<Update>>> {
    vec![
        rows(orders.orders),
        rows(orders.order_events),
        rows(orders.violations),
        rows(orders.sla_breaches),
        rows(orders.stalled_orders),
        batches(orders.measures, Update::Orders),
        batches(orders.lines, Update::Lines),
        batches(orders.quality, Update::Quality),
        batches(orders.refused, Update::Refused),
    ]
}

/// Rows become text where they are made.
fn rows<'scope, R: Row + 'static>(
    updates: Stream<'scope, Time, Vec<(R, Time, Diff)>>,
) -> Stream<'scope, Time, Vec<Update>> {
    let name = format!("Text: {}", R::NAME);
    updates.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(Pipeline, &name, |_, _| {
        move |input, output| {
            input.for_each(|time, batch| output.session(&time).give_iterator(rows_of(std::mem::take(batch))));
        }
    })
}

/// Differences go on as they came, many at once: they are large.
fn batches<'scope, D: Clone + 'static>(
    updates: Stream<'scope, Time, Vec<D>>,
    update: fn(Vec<D>) -> Update,
) -> Stream<'scope, Time, Vec<Update>> {
    updates.unary::<CapacityContainerBuilder<Vec<Update>>, _, _, _>(Pipeline, "Batches", move |_, _| {
        move |input, output| input.for_each(|time, batch| output.session(&time).give(update(std::mem::take(batch))))
    })
}

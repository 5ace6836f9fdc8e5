//! The fused plan: one operator that keeps every order of its worker and emits differences.
//!
//! Facts wait in a stash until the frontier has passed their logical time, deadlines and retirements in a calendar. At
//! each time first the facts, then the timers; an order that changes is evaluated before and after, and the difference
//! is emitted at exactly that time (aggregates: at the next tick). A timer only asks "does it hold now?", so nothing is
//! ever cancelled and a correction retracts exactly what was shown. One capability an output is held, at the time up to
//! which all is done.

use std::rc::Rc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, ConnectLoop, Feedback};
use timely::progress::Antichain;

use super::keeper::{Emitted, Keeper};
use super::parcel::Parcel;
use super::view::Law;
use super::{Detail, OrderOutputs};
use crate::operators::limit::{Until, announce};
use crate::time::{Diff, Time};

type Output<D, R> = OutputBuilder<Time, CapacityContainerBuilder<Vec<(D, Time, R)>>>;

/// Keeps the orders of `parcels` by the fused plan.
pub fn fused<'scope>(
    parcels: Stream<'scope, Time, Vec<Parcel>>,
    law: Rc<Law>,
    until: Until,
    detail: Detail,
) -> OrderOutputs<'scope> {
    let scope = parcels.scope();
    let (heard_handle, heard) = scope.feedback::<Vec<Time>>(0);

    let mut builder = OperatorBuilder::new("Orders: Fused".to_owned(), scope);
    let mut parcels = builder.new_input(parcels, Exchange::new(|parcel: &Parcel| parcel.to));
    // What other workers accepted only ever lets timers fire; it makes no output of its own.
    let mut heard = builder.new_input(heard, Pipeline);
    let from_parcels = [(0, Antichain::from_elem(0))];
    let (orders_out, orders) = builder.new_output_connection(from_parcels.clone());
    let (order_events_out, order_events) = builder.new_output_connection(from_parcels.clone());
    let (violations_out, violations) = builder.new_output_connection(from_parcels.clone());
    let (sla_breaches_out, sla_breaches) = builder.new_output_connection(from_parcels.clone());
    let (stalled_orders_out, stalled_orders) = builder.new_output_connection(from_parcels.clone());
    let (measures_out, measures) = builder.new_output_connection(from_parcels.clone());
    let (refused_out, refused) = builder.new_output_connection(from_parcels.clone());
    let (accepted_out, accepted) = builder.new_output_connection::<Vec<Time>, _>(from_parcels);

    let mut outputs = Outputs {
        orders: OutputBuilder::from(orders_out),
        order_events: OutputBuilder::from(order_events_out),
        violations: OutputBuilder::from(violations_out),
        sla_breaches: OutputBuilder::from(sla_breaches_out),
        stalled_orders: OutputBuilder::from(stalled_orders_out),
        measures: OutputBuilder::from(measures_out),
        refused: OutputBuilder::from(refused_out),
    };
    let mut accepted_out: OutputBuilder<Time, CapacityContainerBuilder<Vec<Time>>> = OutputBuilder::from(accepted_out);

    builder.build(move |mut capabilities| {
        let mut announcing = capabilities.pop();
        let mut capabilities = Some(capabilities);
        let mut keeper = Keeper::new(law, until, detail);
        move |frontiers| {
            parcels.for_each(|_, batch| {
                for parcel in batch.drain(..) {
                    keeper.receive(&parcel);
                }
            });
            heard.for_each(|_, times| times.drain(..).for_each(|time| keeper.hear(time)));
            let frontier = |input: usize| frontiers[input].frontier().first().copied();

            let Some(held) = capabilities.as_mut() else { return };
            let before = frontier(0).unwrap_or(Time::MAX);
            keeper.advance(before);
            if let (Some(time), Some(capability)) = (keeper.news(), &announcing) {
                accepted_out.activate().session(capability).give(time);
            }
            match (frontier(0), &mut announcing) {
                (Some(frontier), Some(capability)) => capability.downgrade(&frontier),
                _ => announcing = None,
            }
            let over = announcing.is_none() && frontier(1).is_none();
            if over {
                keeper.finish();
            }
            outputs.give(held, keeper.emitted());
            if over {
                capabilities = None;
            } else {
                let done_before = keeper.done_before(before);
                held.iter_mut().filter(|held| *held.time() < done_before).for_each(|held| held.downgrade(&done_before));
            }
        }
    });
    announce(accepted.clone()).connect_loop(heard_handle);

    OrderOutputs { orders, order_events, violations, sla_breaches, stalled_orders, measures, refused, accepted }
}

/// The operator's outputs, in the order of its capabilities.
struct Outputs {
    orders: Output<crate::views::orders::OrderRow, Diff>,
    order_events: Output<crate::views::order_events::OrderEventRow, Diff>,
    violations: Output<crate::views::violations::ViolationRow, Diff>,
    sla_breaches: Output<crate::views::sla_breaches::SlaBreachRow, Diff>,
    stalled_orders: Output<crate::views::stalled_orders::StalledOrderRow, Diff>,
    measures: Output<crate::views::measures::MeasureKey, crate::views::measures::Measures>,
    refused: Output<crate::views::dead_letters::RefusedFact, Diff>,
}

impl Outputs {
    fn give(&mut self, held: &[Capability<Time>], emitted: &mut Emitted) {
        give(&mut self.orders, held.first(), &mut emitted.orders);
        give(&mut self.order_events, held.get(1), &mut emitted.order_events);
        give(&mut self.violations, held.get(2), &mut emitted.violations);
        give(&mut self.sla_breaches, held.get(3), &mut emitted.sla_breaches);
        give(&mut self.stalled_orders, held.get(4), &mut emitted.stalled_orders);
        give(&mut self.measures, held.get(5), &mut emitted.measures);
        give(&mut self.refused, held.get(6), &mut emitted.refused);
    }
}

fn give<D: Clone + 'static, R: Clone + 'static>(
    output: &mut Output<D, R>,
    capability: Option<&Capability<Time>>,
    updates: &mut Vec<(D, Time, R)>,
) {
    if let (Some(capability), false) = (capability, updates.is_empty()) {
        output.activate().session(capability).give_iterator(updates.drain(..));
    }
}

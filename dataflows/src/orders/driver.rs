//! The driver: runs a state machine of orders as a timely operator.
//!
//! Both plans are machines that are told updates and frontiers and say what changed; here is all they need of timely.
//! One capability an output is held, at the time up to which all is done. The second input carries event times that
//! were accepted (of any worker): it lets results reach further and makes no output of its own, so the loop that carries
//! it holds nothing up.

use timely::Container;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::{Exchange, ParallelizationContract, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, ConnectLoop, Feedback};
use timely::progress::Antichain;

use super::order::LifeId;
use super::parcel::Parcel;
use super::standing::Standing;
use super::{OrderOutputs, Updates};
use crate::model::OrderId;
use crate::operators::limit::announce;
use crate::time::{Diff, Time};
use crate::views::dead_letters::RefusedFact;
use crate::views::measures::{LineMeasures, MeasureKey, Measures};
use crate::views::order_events::OrderEventRow;
use crate::views::orders::OrderRow;
use crate::views::quality::{QualityCounts, QualityKey};
use crate::views::sla_breaches::SlaBreachRow;
use crate::views::stalled_orders::StalledOrderRow;
use crate::views::violations::ViolationRow;

/// A state machine of orders.
pub trait Machine<I> {
    /// Takes an input in; it waits for its time.
    fn receive(&mut self, input: I);

    /// A fact of this event time has been accepted somewhere.
    fn hear(&mut self, time: Time);

    /// The largest event time accepted here, where no one has heard of it.
    fn news(&mut self) -> Option<Time>;

    /// Does all that is due before `frontier`.
    fn advance(&mut self, frontier: Time);

    /// The time before which nothing more will be emitted, all before `frontier` having been received.
    fn done_before(&mut self, frontier: Time) -> Time;

    /// The end is known: does the rest, or a part of it that is not too much at once; true once all is done.
    fn finish(&mut self) -> bool;

    /// What has been emitted and not yet sent.
    fn emitted(&mut self) -> &mut Emitted;
}

/// An accepted fact in a collection: its order's life and its packed bytes.
pub type AcceptedFact = (LifeId, Vec<u8>);

/// Updates that wait to be sent.
#[derive(Debug, Default)]
#[allow(missing_docs)] // named as the collections
pub struct Emitted {
    pub orders: Vec<(OrderRow, Time, Diff)>,
    pub order_events: Vec<(OrderEventRow, Time, Diff)>,
    pub violations: Vec<(ViolationRow, Time, Diff)>,
    pub sla_breaches: Vec<(SlaBreachRow, Time, Diff)>,
    pub stalled_orders: Vec<(StalledOrderRow, Time, Diff)>,
    pub standing: Vec<((OrderId, Standing), Time, Diff)>,
    pub measures: Vec<(MeasureKey, Time, Measures)>,
    pub lines: Vec<(MeasureKey, Time, LineMeasures)>,
    pub refused: Vec<(RefusedFact, Time, Diff)>,
    /// Accepted facts, where the machine only admits.
    pub facts: Vec<(AcceptedFact, Time, Diff)>,
    pub quality: Vec<(QualityKey, Time, QualityCounts)>,
}

type Output<D, R = Diff> = OutputBuilder<Time, CapacityContainerBuilder<Vec<(D, Time, R)>>>;

/// Outputs in the order of their capabilities.
struct Outputs {
    orders: Output<OrderRow>,
    order_events: Output<OrderEventRow>,
    violations: Output<ViolationRow>,
    sla_breaches: Output<SlaBreachRow>,
    stalled_orders: Output<StalledOrderRow>,
    measures: Output<MeasureKey, Measures>,
    lines: Output<MeasureKey, LineMeasures>,
    refused: Output<RefusedFact>,
    facts: Output<AcceptedFact>,
    quality: Output<QualityKey, QualityCounts>,
    standing: Output<(OrderId, Standing)>,
}

impl Outputs {
    fn give(&mut self, held: &[Capability<Time>], emitted: &mut Emitted) {
        give(&mut self.orders, held.first(), &mut emitted.orders);
        give(&mut self.order_events, held.get(1), &mut emitted.order_events);
        give(&mut self.violations, held.get(2), &mut emitted.violations);
        give(&mut self.sla_breaches, held.get(3), &mut emitted.sla_breaches);
        give(&mut self.stalled_orders, held.get(4), &mut emitted.stalled_orders);
        give(&mut self.measures, held.get(5), &mut emitted.measures);
        give(&mut self.lines, held.get(6), &mut emitted.lines);
        give(&mut self.refused, held.get(7), &mut emitted.refused);
        give(&mut self.facts, held.get(8), &mut emitted.facts);
        give(&mut self.quality, held.get(9), &mut emitted.quality);
        give(&mut self.standing, held.get(10), &mut emitted.standing);
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

/// Runs `machine` on `inputs`; its outputs, and the facts it accepted where it only admits.
pub fn drive<'scope, I, P, M>(
    name: &str,
    inputs: Stream<'scope, Time, Vec<I>>,
    pact: P,
    heard: Stream<'scope, Time, Vec<Time>>,
    mut machine: M,
) -> (OrderOutputs<'scope>, Updates<'scope, AcceptedFact>)
where
    I: 'static,
    Vec<I>: Container,
    P: ParallelizationContract<Time, Vec<I>>,
    M: Machine<I> + 'static,
{
    let scope = inputs.scope();
    let mut builder = OperatorBuilder::new(name.to_owned(), scope);
    let again = scope.activator_for(builder.operator_info().address);
    let mut inputs = builder.new_input(inputs, pact);
    let mut heard = builder.new_input(heard, Pipeline);
    let from_inputs = [(0, Antichain::from_elem(0))];
    let (orders_out, orders) = builder.new_output_connection(from_inputs.clone());
    let (order_events_out, order_events) = builder.new_output_connection(from_inputs.clone());
    let (violations_out, violations) = builder.new_output_connection(from_inputs.clone());
    let (sla_breaches_out, sla_breaches) = builder.new_output_connection(from_inputs.clone());
    let (stalled_orders_out, stalled_orders) = builder.new_output_connection(from_inputs.clone());
    let (measures_out, measures) = builder.new_output_connection(from_inputs.clone());
    let (lines_out, lines) = builder.new_output_connection(from_inputs.clone());
    let (refused_out, refused) = builder.new_output_connection(from_inputs.clone());
    let (facts_out, facts) = builder.new_output_connection(from_inputs.clone());
    let (quality_out, quality) = builder.new_output_connection(from_inputs.clone());
    let (standing_out, standing) = builder.new_output_connection(from_inputs.clone());
    let (accepted_out, accepted) = builder.new_output_connection::<Vec<Time>, _>(from_inputs);

    let mut outputs = Outputs {
        orders: OutputBuilder::from(orders_out),
        order_events: OutputBuilder::from(order_events_out),
        violations: OutputBuilder::from(violations_out),
        sla_breaches: OutputBuilder::from(sla_breaches_out),
        stalled_orders: OutputBuilder::from(stalled_orders_out),
        measures: OutputBuilder::from(measures_out),
        lines: OutputBuilder::from(lines_out),
        refused: OutputBuilder::from(refused_out),
        facts: OutputBuilder::from(facts_out),
        quality: OutputBuilder::from(quality_out),
        standing: OutputBuilder::from(standing_out),
    };
    let mut accepted_out: OutputBuilder<Time, CapacityContainerBuilder<Vec<Time>>> = OutputBuilder::from(accepted_out);

    builder.build(move |mut capabilities| {
        let mut announcing = capabilities.pop();
        let mut capabilities = Some(capabilities);
        move |frontiers| {
            inputs.for_each(|_, batch| batch.drain(..).for_each(|input| machine.receive(input)));
            heard.for_each(|_, times| times.drain(..).for_each(|time| machine.hear(time)));
            let frontier = |input: usize| frontiers[input].frontier().first().copied();

            let Some(held) = capabilities.as_mut() else { return };
            let before = frontier(0).unwrap_or(Time::MAX);
            machine.advance(before);
            if let (Some(time), Some(capability)) = (machine.news(), &announcing) {
                accepted_out.activate().session(capability).give(time);
            }
            match (frontier(0), &mut announcing) {
                (Some(frontier), Some(capability)) => capability.downgrade(&frontier),
                _ => announcing = None,
            }
            let over = announcing.is_none() && frontier(1).is_none();
            let is_done = over && machine.finish();
            outputs.give(held, machine.emitted());
            if is_done {
                capabilities = None;
            } else if over {
                // What has been given leaves memory before there is more of it.
                again.activate();
            } else {
                let done_before = machine.done_before(before);
                held.iter_mut().filter(|held| *held.time() < done_before).for_each(|held| held.downgrade(&done_before));
            }
        }
    });
    let outputs = OrderOutputs {
        orders,
        order_events,
        violations,
        sla_breaches,
        stalled_orders,
        standing,
        measures,
        lines,
        quality,
        refused,
        accepted,
    };
    (outputs, facts)
}

/// What comes of parcels that are kept.
pub struct Kept<'scope> {
    /// What the machine shows.
    pub outputs: OrderOutputs<'scope>,
    /// Accepted facts, where it only admits.
    pub facts: Updates<'scope, AcceptedFact>,
    /// Event times that any worker accepted.
    pub announced: Stream<'scope, Time, Vec<Time>>,
}

/// Runs `machine` on the parcels of its orders; what it accepts is announced to all workers, itself included.
pub fn keep<'scope>(
    name: &str,
    parcels: Stream<'scope, Time, Vec<Parcel>>,
    machine: impl Machine<Parcel> + 'static,
) -> Kept<'scope> {
    let (handle, heard) = parcels.scope().feedback::<Vec<Time>>(0);
    let (outputs, facts) = drive(name, parcels, Exchange::new(|parcel: &Parcel| parcel.to), heard, machine);
    let announced = announce(outputs.accepted.clone());
    announced.clone().connect_loop(handle);
    Kept { outputs, facts, announced }
}

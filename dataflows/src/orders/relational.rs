//! The relational plan: orders in plain differential collections, as one would write them first.
//!
//! ```text
//!  parcels ─► Admit ─► accepted facts ──► wake-ups: every instant at which an order's view changes by itself,
//!                         │                  │        each an update stamped with its own, future time
//!                         └──── concat ◄─────┘
//!                                 │ reduce by life: its facts, and how far its wake-ups have come
//!                                 ▼
//!                               Show: rows at exact times, contributions at ticks
//! ```
//!
//! The executable specification of the fused plan: the same pure functions over collections, nothing forgotten. A
//! wake-up is present from its instant on, so the latest one present says how far time has come for its order. Limits:
//! every order costs memory for ever, and every frontier step walks all wake-ups that are still to come.

use std::rc::Rc;

use differential_dataflow::VecCollection;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::vec::Map;

use super::driver::{Kept, drive, keep};
use super::keeper::{Keeper, Purpose};
use super::order::LifeId;
use super::outlook::Law;
use super::parcel::Parcel;
use super::showing::Show;
use super::standing::Standing;
use super::view::View;
use super::{Detail, OrderOutputs};
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Symbol};
use crate::operators::limit::Until;
use crate::time::Time;

/// What an order is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
enum Part {
    /// An accepted fact, packed.
    Fact(Vec<u8>),
    /// An instant that has come.
    WakeUp(Time),
}

/// Keeps the orders of `parcels` by the relational plan.
pub fn relational<'scope>(
    parcels: Stream<'scope, Time, Vec<Parcel>>,
    law: Rc<Law>,
    until: Until,
    detail: Detail,
) -> OrderOutputs<'scope> {
    let keeper = Keeper::new(Rc::clone(&law), until, Purpose::Admit);
    let Kept { outputs: admitted, facts, announced } = keep("Orders: Admit", parcels, keeper);

    let facts = VecCollection::new(facts);
    let wake_ups = {
        let law = Rc::clone(&law);
        facts.clone().reduce_named("Orders: FindWakeUps", move |life: &LifeId, facts, wake_ups| {
            let facts = PackedFacts::of(facts.iter().map(|(fact, _)| fact.as_slice()));
            wake_ups.extend(instants(&life.order, &facts, &law).into_iter().map(|instant| (instant, 1)));
        })
    };
    let at_their_instants = wake_ups.inner.map(|((life, instant), time, diff): ((LifeId, Time), Time, isize)| {
        ((life, Part::WakeUp(instant)), time.max(instant), diff)
    });
    let parts = facts.map(|(life, fact)| (life, Part::Fact(fact))).concat(VecCollection::new(at_their_instants));
    let standing = parts.reduce_named("Orders: Gather", |_, parts, standing| {
        // The latest instant that has come: nothing changes from there to now.
        let (mut facts, mut as_of) = (Vec::new(), 0);
        for (part, _) in parts {
            match part {
                Part::Fact(fact) => facts.push(fact.as_slice()),
                Part::WakeUp(instant) => as_of = as_of.max(*instant),
            }
        }
        if !facts.is_empty() {
            standing.push((Standing { facts: PackedFacts::of(facts.into_iter()), as_of }, 1));
        }
    });
    let standing = standing.map(|(LifeId { order, .. }, standing)| (order, standing));
    let (shown, _) = drive("Orders: Show", standing.inner, Pipeline, announced, Show::new(law, until, detail));
    OrderOutputs {
        measures: shown.measures.concat(admitted.measures),
        quality: admitted.quality,
        refused: admitted.refused,
        accepted: admitted.accepted,
        ..shown
    }
}

/// Every instant at which the view of these facts changes by itself.
fn instants(order: &OrderId, facts: &PackedFacts, law: &Law) -> Vec<Time> {
    let (tenant, mut view, mut instants) = (Symbol::new(&order.tenant), View::default(), Vec::new());
    view.evaluate(tenant, facts, law, 0);
    while let Some(instant) = view.outlook.next_change_at {
        instants.push(instant);
        view.evaluate(tenant, facts, law, instant);
    }
    instants
}

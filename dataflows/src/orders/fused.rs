//! The fused plan: one operator that keeps every order of its worker and emits differences.
//!
//! Facts wait in a stash until the frontier has passed their logical time, deadlines and retirements in a calendar. At
//! each time first the facts, then the timers; of an order that changes the difference to what it was is emitted at exactly
//! that time (aggregates: at the next tick). A timer only asks "does it hold now?", so nothing is
//! ever cancelled and a correction retracts exactly what was shown. The machine itself is in `keeper.rs`.

use std::rc::Rc;

use timely::dataflow::Stream;

use super::driver::keep;
use super::keeper::{Keeper, Purpose};
use super::outlook::Law;
use super::parcel::Parcel;
use super::{Detail, OrderOutputs};
use crate::operators::limit::Until;
use crate::time::Time;

/// Keeps the orders of `parcels` by the fused plan.
pub fn fused<'scope>(
    parcels: Stream<'scope, Time, Vec<Parcel>>,
    law: Rc<Law>,
    until: Until,
    detail: Detail,
) -> OrderOutputs<'scope> {
    resumed(parcels, Keeper::new(law, until, Purpose::Show(detail)))
}

/// Keeps the orders of `parcels` on from where `keeper` is.
pub fn resumed<'scope>(parcels: Stream<'scope, Time, Vec<Parcel>>, keeper: Keeper) -> OrderOutputs<'scope> {
    keep("Orders: Fused", parcels, keeper).outputs
}

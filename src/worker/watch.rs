//! The watch of a paced replay: its orders are kept a second time, ahead of the clock by what has been read.
//!
//! So it is known before time comes there which breaches fall due, and how far results reach at least: the graph of the
//! results hears of neither before the clock has passed the next fact. Invariant: no breach is told that is due later than
//! results are known to reach, unless they are cut short. Limits: where all that was read ahead is refused it is told late.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use dataflows::operators::limit::Until;
use dataflows::orders::Detail;
use dataflows::orders::fused::fused;
use dataflows::orders::parcel::Parcel;
use dataflows::time::Time;

use super::{Feeder, Job, ProbeHandle, Stream, at_first_worker};
use crate::gathered::Gathered;
use crate::source::supply::Supply;

/// Keeps the orders of `parcels`, and gathers their breaches.
pub(super) fn watch<'scope>(
    parcels: Stream<'scope, Time, Vec<Parcel>>,
    job: &Arc<Job>,
    watched: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
) {
    let given = Some(job.selection.until).filter(|until| *until < Time::MAX);
    let until = given.map_or(Until::LargestAccepted, Until::Given);
    gathered.borrow_mut().watched_until = Some(until.known_at_start());
    let orders = fused(parcels, Rc::new(job.law.clone()), until, Detail::Changes);
    at_first_worker("accepted ahead", orders.accepted, watched, gathered, |all, times| {
        all.watched_until = times.drain(..).max().max(all.watched_until);
    });
    at_first_worker("breaches due", orders.sla_breaches, watched, gathered, |all, batch| all.watched.append(batch));
}

/// Gives the watch, which has come to a time, what was read; closes its input once that was all.
pub(super) fn show(ahead: &mut Option<Feeder<Parcel>>, supply: &mut Supply, watched: Option<Time>) {
    let Some(input) = ahead else { return };
    let (parcels, promise) = supply.read_ahead(watched);
    parcels.into_iter().for_each(|parcel| input.send(parcel));
    match promise {
        Some(promise) => input.advance_to(promise.max(*input.time())),
        None => *ahead = None,
    }
}

/// Before when everything is told, where the graph has `judged` all before a time and the watch, unless it is at its end,
/// is at another.
pub(super) fn told_before(judged: Option<Time>, watched: Option<Time>, gathered: &Gathered) -> Option<Time> {
    let known = gathered.watched_until.map_or(Time::MAX, |until| until.saturating_add(1));
    judged.map(|judged| judged.min(watched.unwrap_or(Time::MAX)).min(known))
}

//! What changes of an order show: the difference between how it stood and how it stands.
//!
//! An order's state grows fact by fact. Only where a fact came out of turn, displaced another, moved the order's items or
//! where rules ask for categories, all its facts are evaluated anew; timers need its state alone.

use super::super::Detail;
use super::super::contribution::{Change, Share, Side};
use super::super::counting::Contributions;
use super::super::driver::Emitted;
use super::super::order::{Order, Progress};
use super::super::outlook::{Law, Outlook, has_stalled};
use super::super::sla::{Outcome, Party};
use super::super::standing::Standing;
use super::super::view::View;
use super::{Keeper, Purpose};
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Sla};
use crate::time::{Diff, Time};
use crate::views::order_events;
use crate::views::orders;
use crate::views::row_counts;
use crate::views::sla_breaches;
use crate::views::stalled_orders;
use crate::views::violations;

/// How an order stood before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// What it contributed: enough where facts were only added.
    Share(Share),
    /// As the view before shows it.
    View,
}

impl Keeper {
    /// Shows what deliveries changed: as of one time, at another. `after` has their lines, unless it is to be made whole.
    pub(super) fn change(&mut self, number: u32, [as_of, time]: [Time; 2], before: Before) {
        let Keeper { registry, law, after, is_whole, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        let tenant = order.tenant;
        let Some((facts, progress)) = order.awake() else { return };
        *is_whole |= law.rules.asks_party()
            || match &before {
                Before::Share(share) => share.moves_items(progress.state.fold.placed_at()),
                Before::View => true,
            };
        if *is_whole {
            after.evaluate(tenant, facts, law, as_of);
            progress.state.clone_from(&after.state);
        } else {
            after.outlook = Outlook::of(&progress.state, Party::nobody(), law, as_of);
        }
        self.emit_change(number, [as_of, time], before);
    }

    /// Emits the difference that `after`, the order as of one time, makes at another, and sees to the order's next timer.
    pub(super) fn emit_change(&mut self, number: u32, [as_of, time]: [Time; 2], before_as: Before) {
        let Keeper { registry, law, contributions, emitted, timers, before, after, epochs, .. } = self;
        let Some(order) = registry.get_mut(number) else { return };
        let retires_at = order.bound(&law.settings).saturating_add(1);
        let mut due = retires_at;
        if let Purpose::Show(detail) = self.purpose {
            let before_side = match before_as {
                Before::View => Side::of(before),
                // No fact went away, so where all lines are there, those of before are the first ones of after.
                Before::Share(share) if self.is_whole => {
                    let (items, payments) = share.lines();
                    let items = after.items.get(..items).unwrap_or_default();
                    let payments = after.payments.get(..payments).unwrap_or_default();
                    Side { share, items, payments }
                }
                Before::Share(share) => Side { share, items: &[], payments: &[] },
            };
            let (tenant, noted) = (order.tenant, order.noted);
            let Some((facts, progress)) = order.awake() else { return };
            progress.outcomes = after.outlook.outcomes();
            let after_side = Side { share: progress.share(), items: &after.items, payments: &after.payments };
            let change = Change { tenant, facts, before: before_side, after: after_side, time };
            match epochs {
                Some(epochs) => epochs.take(noted, &change, contributions, law.settings.tick_ms.max(1)),
                None => contributions.take(&change),
            }
            if detail == Detail::Changes && epochs.is_none() {
                emitted.give_changed_rows(&order.id(), &order.facts, [before, after], time);
            }
            due = after.outlook.next_change_at.map_or(retires_at, |next| next.min(retires_at));
        }
        // One that retires as soon as it rests needs none.
        let stays = !(order.is_complete && order.is_finished() && due == retires_at);
        if let Some(until) = registry.set_due(number, due, as_of)
            && stays
        {
            timers.push(until, number);
        }
    }
}

impl Keeper {
    /// Lets an order rest that is finished, until it retires or another fact comes. Where none can come it retires at
    /// once: what it is now it will be to its last day.
    pub(super) fn rest(&mut self, number: u32, time: Time) {
        let Keeper { registry, law, purpose, contributions, emitted, .. } = self;
        let Some(progress) = registry.rest(number, &law.settings) else { return };
        count_rows(contributions, *purpose, &progress, time, 1);
        registry.reuse(progress);
        if let (Some(order), Purpose::Show(detail)) = (registry.get(number).filter(|order| order.is_complete), *purpose)
        {
            let as_of = order.bound(&law.settings);
            emitted.give_accumulated(order, law, [as_of, time], detail, contributions);
            registry.retire(number, &law.settings);
        }
    }

    /// Wakes an order that rests.
    pub(super) fn wake(&mut self, number: u32, time: Time) {
        let Keeper { registry, law, purpose, contributions, before, .. } = self;
        if registry.wake(number, before, law)
            && let Some(progress) = registry.get(number).and_then(Order::progress)
        {
            count_rows(contributions, *purpose, progress, time, -1);
        }
    }
}

/// Counts the rows of an order that goes to rest, or no longer rests, where only their number is wanted.
fn count_rows(contributions: &mut Contributions, purpose: Purpose, progress: &Progress, time: Time, diff: i64) {
    if purpose == Purpose::Show(Detail::Counts) {
        // It is finished, so it has not stalled.
        let counts = row_counts::of_order(&progress.state, &progress.outcomes, false);
        contributions.give(time, row_counts::of_orders(), &counts.times(diff));
    }
}

/// Makes `view` that of an order as of `time`: whole where it has to be, the outlook alone otherwise. True where it is
/// whole.
pub(super) fn look(order: &Order, law: &Law, view: &mut View, time: Time, whole: bool) -> bool {
    let whole = whole || law.rules.asks_party();
    if whole {
        view.evaluate(order.tenant, &order.facts, law, time);
    } else {
        view.clear();
        view.outlook = order
            .progress()
            .map_or_else(Outlook::default, |progress| Outlook::of(&progress.state, Party::nobody(), law, time));
    }
    whole
}

impl Emitted {
    /// Gives an order as it stands for good, as `detail` wants it: as of one time, at another.
    pub(super) fn give_accumulated(
        &mut self,
        order: &Order,
        law: &Law,
        [as_of, time]: [Time; 2],
        detail: Detail,
        contributions: &mut Contributions,
    ) {
        match detail {
            Detail::Changes => {}
            Detail::Final => {
                let standing = Standing { facts: order.facts.clone(), as_of };
                self.standing.push(((order.id(), standing), time, 1));
            }
            Detail::Counts => {
                // All that was due has come: what the order was counted as is what it is. One that rests was counted then.
                if let Some(Progress { state, outcomes, .. }) = order.progress() {
                    let counts = row_counts::of_order(state, outcomes, has_stalled(state, &law.settings, as_of));
                    contributions.give(time, row_counts::of_orders(), &counts);
                }
            }
        }
    }

    /// Gives every row of an order's view `diff` times.
    pub fn give_rows(&mut self, id: &OrderId, facts: &PackedFacts, view: &View, time: Time, diff: Diff) {
        self.orders.extend(orders::row(id, view, facts).map(|row| (row, time, diff)));
        let breaches: Vec<_> = sla_breaches::rows(id, view, facts).collect();
        self.order_events.extend(order_events::rows(id, view, facts, &breaches).map(|row| (row, time, diff)));
        self.violations.extend(violations::rows(id, &view.events, facts).map(|row| (row, time, diff)));
        self.sla_breaches.extend(breaches.into_iter().map(|row| (row, time, diff)));
        self.stalled_orders.extend(stalled_orders::row(id, view).map(|row| (row, time, diff)));
    }

    /// Gives the rows in which two views of an order differ: those of the first go, those of the second come. Events that
    /// both begin with make the same rows.
    pub(super) fn give_changed_rows(&mut self, id: &OrderId, facts: &PackedFacts, views: [&View; 2], time: Time) {
        let [before, after] = views;
        let alike = before.events.iter().zip(&after.events).take_while(|(before, after)| before == after).count();
        for (view, diff) in [(before, -1), (after, 1)] {
            let events = view.events.get(alike..).unwrap_or_default();
            self.order_events.extend(order_events::of_events(id, events, facts).map(|row| (row, time, diff)));
            self.violations.extend(violations::rows(id, events, facts).map(|row| (row, time, diff)));
        }
        let told = self.sla_breaches.len();
        self.give_changed_breaches(id, facts, views, time);
        let breaches = self.sla_breaches.get(told..).unwrap_or_default().iter();
        self.order_events.extend(breaches.map(|(breach, time, diff)| (order_events::of_breach(breach), *time, *diff)));
        let orders = differing(views.map(|view| orders::row(id, view, facts)));
        self.orders.extend(orders.map(|(row, diff)| (row, time, diff)));
        let stalled_orders = differing(views.map(|view| stalled_orders::row(id, view)));
        self.stalled_orders.extend(stalled_orders.map(|(row, diff)| (row, time, diff)));
    }

    /// The same of breaches that are open, alone.
    pub(super) fn give_open_breaches(&mut self, id: &OrderId, facts: &PackedFacts, views: [&View; 2], time: Time) {
        let is_open = |view: &View, sla| view.outlook.breach(sla).is_some_and(|it| it.outcome == Outcome::BreachedOpen);
        for sla in Sla::ALL {
            let open = |view: &View| is_open(view, sla).then(|| sla_breaches::row(id, view, facts, sla)).flatten();
            let breaches = differing(views.map(open));
            self.sla_breaches.extend(breaches.map(|(breach, diff)| (breach, time, diff)));
        }
    }

    /// The same of all breaches, alone.
    fn give_changed_breaches(&mut self, id: &OrderId, facts: &PackedFacts, views: [&View; 2], time: Time) {
        for sla in Sla::ALL {
            let breaches = differing(views.map(|view| sla_breaches::row(id, view, facts, sla)));
            self.sla_breaches.extend(breaches.map(|(breach, diff)| (breach, time, diff)));
        }
    }
}

/// What goes and what comes, where that is not the same.
fn differing<R: PartialEq>(rows: [Option<R>; 2]) -> impl Iterator<Item = (R, Diff)> {
    let [before, after] = rows;
    let differs = before != after;
    [(before, -1), (after, 1)].into_iter().filter_map(move |(row, diff)| row.filter(|_| differs).map(|row| (row, diff)))
}

//! Showing: from orders that stand in a collection to rows at exact times and contributions at ticks.
//!
//! The last step of the relational plan. What falls due later than the end of results, once that is known, never shows.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::Detail;
use super::contribution::{Change, Side};
use super::counting::Contributions;
use super::driver::{Emitted, Machine};
use super::outlook::Law;
use super::standing::Standing;
use super::view::View;
use crate::model::{OrderId, Symbol};
use crate::operators::limit::Until;
use crate::time::{Diff, Time};
use crate::views::row_counts;

/// Shows orders as they come to stand and cease to.
pub struct Show {
    law: Rc<Law>,
    detail: Detail,
    waiting: BTreeMap<Time, Vec<(OrderId, Standing, Diff)>>,
    contributions: Contributions,
    emitted: Emitted,
    known_until: Time,
    view: View,
}

impl Show {
    /// Nothing shown yet.
    pub fn new(law: Rc<Law>, until: Until, detail: Detail) -> Show {
        Show {
            contributions: Contributions::new(law.settings.tick_ms, &law.settings),
            law,
            detail,
            waiting: BTreeMap::new(),
            emitted: Emitted::default(),
            known_until: until.known_at_start(),
            view: View::default(),
        }
    }

    fn show_until(&mut self, time: Time) {
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= time) {
            let (time, changes) = first.remove_entry();
            for (order, standing, diff) in changes {
                self.show((order, standing), time, diff);
            }
        }
    }

    fn show(&mut self, shown: (OrderId, Standing), time: Time, diff: Diff) {
        let Show { law, contributions, emitted, view, .. } = self;
        let (order, standing) = &shown;
        let (tenant, facts) = (Symbol::new(&order.tenant), &standing.facts);
        standing.look(order, law, view);
        let (nothing, something) = (Side::nothing(), Side::of(view));
        let (before, after) = if diff < 0 { (something, nothing) } else { (nothing, something) };
        let change = Change { tenant, facts, before, after, time };
        (0..diff.abs()).for_each(|_| contributions.take(&change));
        match self.detail {
            Detail::Counts => {
                let counts =
                    row_counts::of_order(&view.state, &view.outlook.outcomes(), view.outlook.stalled_at.is_some())
                        .times(diff as i64);
                contributions.give(time, row_counts::of_orders(), &counts);
            }
            Detail::Changes => emitted.give_rows(order, facts, view, time, diff),
            Detail::Final => emitted.standing.push((shown, time, diff)),
        }
    }
}

impl Machine<((OrderId, Standing), Time, Diff)> for Show {
    fn receive(&mut self, ((order, standing), time, diff): ((OrderId, Standing), Time, Diff)) {
        self.waiting.entry(time).or_default().push((order, standing, diff));
    }

    fn hear(&mut self, time: Time) {
        self.known_until = self.known_until.max(time);
    }

    fn news(&mut self) -> Option<Time> {
        None
    }

    fn advance(&mut self, frontier: Time) {
        self.show_until(frontier.saturating_sub(1).min(self.known_until));
        let done_before = self.done_before(frontier);
        self.contributions.publish_before(done_before, &mut self.emitted);
    }

    fn done_before(&mut self, frontier: Time) -> Time {
        let waiting = self.waiting.keys().next().copied().unwrap_or(Time::MAX);
        frontier.min(self.known_until).min(waiting)
    }

    fn finish(&mut self) -> bool {
        let end = self.known_until;
        self.show_until(end);
        // What falls due after the end never shows; late facts that are accepted only after it count as of the end.
        let mut rest: BTreeMap<(OrderId, Standing), Diff> = BTreeMap::new();
        for (order, standing, diff) in std::mem::take(&mut self.waiting).into_values().flatten() {
            let standing = Standing { as_of: standing.as_of.min(end), ..standing };
            *rest.entry((order, standing)).or_default() += diff;
        }
        for (shown, diff) in rest.into_iter().filter(|(_, diff)| *diff != 0) {
            self.show(shown, end, diff);
        }
        self.contributions.publish_rest(end, &mut self.emitted);
        true
    }

    fn emitted(&mut self) -> &mut Emitted {
        &mut self.emitted
    }
}

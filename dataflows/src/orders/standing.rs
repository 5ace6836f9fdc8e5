//! An order as it stands: its facts, and as of when they are looked at. Rows are made of nothing else.
//!
//! Between the operators of the relational plan it is what an order is; for a reader who wants the end alone it stands for
//! all rows of the order, of which there are eight or so: smaller to send, to sort and to keep. Invariant: an order that
//! stands makes the same rows wherever they are made.

use serde::{Deserialize, Serialize};

use super::driver::Emitted;
use super::outlook::Law;
use super::view::View;
use crate::model::packed::PackedFacts;
use crate::model::{OrderId, Symbol};
use crate::time::{Diff, Time};

/// An order as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Its facts, winners and losers.
    pub facts: PackedFacts,
    /// As of when: what is due later has not come.
    pub as_of: Time,
}

impl Standing {
    /// Makes `view` that of the order.
    pub fn look(&self, order: &OrderId, law: &Law, view: &mut View) {
        view.evaluate(Symbol::new(&order.tenant), &self.facts, law, self.as_of);
    }
}

impl Emitted {
    /// Gives every row of an order as it stands `diff` times. `view` is scratch space.
    pub fn give_rows_of(
        &mut self,
        (order, standing): &(OrderId, Standing),
        law: &Law,
        view: &mut View,
        time: Time,
        diff: Diff,
    ) {
        standing.look(order, law, view);
        self.give_rows(order, &standing.facts, view, time, diff);
    }
}

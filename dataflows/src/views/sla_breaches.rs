//! `sla_breaches`: every SLA that was not met by its deadline, open or resolved.

use serde::{Deserialize, Serialize};

use super::collection::{At, Milliseconds, collection};
use crate::model::digits::{self, instant_in_words};
use crate::model::packed::{BodyView, PackedFacts};
use crate::model::{OrderId, Sla, Status, Text};
use crate::orders::sla::Outcome;
use crate::orders::view::View;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS};

collection! {
    /// Every SLA that was not met by its deadline; its identity is (order, sla).
    "sla_breaches" => SlaBreachRow {
        /// The shop's id of the order.
        key (order_id: Text),
        /// Isolated customer of this job.
        key (tenant: Text),
        /// Which promise.
        key (sla: Sla),
        /// The order's status by the facts up to the deadline.
        (status: Status),
        /// When the SLA started.
        (started_at: At),
        /// When it was due.
        (deadline_at: At) index,
        /// When it was met or cancelled after all; empty while open.
        (resolved_at: Option<At>),
        /// met_late or cancelled; empty while open.
        (resolution: Option<Resolution>),
        /// Seconds from deadline to resolution; empty while open.
        (overdue_seconds: Option<Milliseconds>),
        /// The breach in words.
        (message: String),
    }
}

/// How a breach ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Resolution {
    /// The SLA was met after its deadline.
    MetLate,
    /// The order was cancelled.
    Cancelled,
}

impl Resolution {
    /// The name as outputs spell it.
    pub fn name(self) -> &'static str {
        match self {
            Resolution::MetLate => "met_late",
            Resolution::Cancelled => "cancelled",
        }
    }
}

/// The order's breach of `sla`, where there is one.
pub fn row(order: &OrderId, view: &View, facts: &PackedFacts, sla: Sla) -> Option<SlaBreachRow> {
    let breach = view.outlook.breach(sla)?;
    let deadline_at = breach.deadline_at()?;
    Some(SlaBreachRow {
        order_id: order.order_id.clone(),
        tenant: order.tenant.clone(),
        sla,
        status: view.status_at(deadline_at),
        started_at: At(breach.started_at),
        deadline_at: At(deadline_at),
        resolved_at: breach.resolved_at().map(At),
        resolution: match breach.outcome {
            Outcome::MetLate => Some(Resolution::MetLate),
            Outcome::BreachedCancelled => Some(Resolution::Cancelled),
            _ => None,
        },
        overdue_seconds: breach.resolved_at().map(|resolved_at| Milliseconds(resolved_at as i64 - deadline_at as i64)),
        message: message(order, view, facts, sla, deadline_at - breach.started_at, deadline_at),
    })
}

fn message(order: &OrderId, view: &View, facts: &PackedFacts, sla: Sla, within_ms: u64, deadline_at: u64) -> String {
    let missed = match sla {
        Sla::Processing => "not processed",
        Sla::Shipping => "not shipped",
        Sla::Delivery => "not delivered",
    };
    let (mut scratch, within, due) = ([0; 32], duration_in_words(within_ms), instant_in_words(deadline_at));
    let id = order.order_id.as_str_in(&mut scratch);
    let mut message = ["SLA BREACH: order ", id, " ", missed, " within ", &within, ", due ", &due].concat();
    let name = |offset| match facts.at(offset).body {
        BodyView::Item(item) => item.product_name.or(item.product_id).map(|packed| packed.text()),
        _ => None,
    };
    let mut items = view.items.clone();
    items.sort_by_key(|item| item.item_no);
    for (number, item) in items.iter().enumerate() {
        message.push_str(if number == 0 { ": " } else { ", " });
        digits::push_integer(i64::from(item.quantity), &mut message);
        message.push_str(" × ");
        match name(item.offset) {
            Some(name) => message.push_str(name.as_str_in(&mut scratch)),
            None => message += &format!("item {}", item.item_no),
        }
    }
    if !view.items.is_empty() {
        message.push_str(", ");
        view.state.item_value.push_to(&mut message);
    }
    message
}

/// A duration in the longest unit that divides it, hours up to two days.
pub fn duration_in_words(duration_ms: u64) -> String {
    let unit = [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s")];
    // 24 h and 36 h read better than 1 d and 1.5 d; holds may leave any length.
    match unit.into_iter().find(|(length_ms, _)| {
        duration_ms.is_multiple_of(*length_ms) && (*length_ms < DAY_MS || duration_ms >= 2 * DAY_MS)
    }) {
        Some((length_ms, name)) => format!("{} {name}", duration_ms / length_ms),
        None => format!("{duration_ms} ms"),
    }
}

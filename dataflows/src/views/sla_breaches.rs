//! `sla_breaches`: every SLA that was not met by its deadline, open or resolved.

use serde::{Deserialize, Serialize};

use super::collection::{At, Milliseconds, collection};
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
    let mut message = format!(
        "SLA BREACH: order {} {missed} within {}, due {}",
        order.order_id,
        duration_in_words(within_ms),
        instant_in_words(deadline_at)
    );
    let name = |offset| match facts.at(offset).body {
        BodyView::Item(item) => item.product_name.or(item.product_id).map(|packed| packed.text()),
        _ => None,
    };
    let mut items = view.items.clone();
    items.sort_by_key(|item| item.item_no);
    for (number, item) in items.iter().enumerate() {
        let name = name(item.offset).map_or_else(|| format!("item {}", item.item_no), |name| name.to_string());
        message += &format!("{} {} × {name}", if number == 0 { ":" } else { "," }, item.quantity);
    }
    if !view.items.is_empty() {
        message += &format!(", {}", view.state.item_value);
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

/// `2024-01-02 10:00:00 UTC`, with milliseconds where there are any.
pub fn instant_in_words(at: u64) -> String {
    let (year, month, day) = civil_date(at / DAY_MS);
    let clock_ms = at % DAY_MS;
    let (hour, minute, second) = (clock_ms / HOUR_MS, clock_ms / MINUTE_MS % 60, clock_ms / SECOND_MS % 60);
    let fraction = match clock_ms % SECOND_MS {
        0 => String::new(),
        fraction_ms => format!(".{fraction_ms:03}"),
    };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} UTC")
}

/// Year, month and day of the number of days since 1970 (Hinnant, "chrono-compatible low-level date algorithms").
pub fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

//! `sla_breaches`: every SLA that was not met by its deadline, open or resolved.

use serde::{Deserialize, Serialize};

use super::collection::{At, Milliseconds, collection};
use crate::model::digits::{self, instant_in_words};
use crate::model::packed::{BodyView, PackedFacts};
use crate::model::{OrderId, Sla, Status, Text};
use crate::named;
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

named! {
    /// How a breach ended.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    pub enum Resolution {
        /// The SLA was met after its deadline.
        MetLate => "met_late",
        /// The order was cancelled.
        Cancelled => "cancelled",
    }
}

/// So many items a message names, and so many characters of a name: whatever records say, it stays a message.
const ITEMS_NAMED: usize = 20;
const NAME_CHARACTERS: usize = 100;
/// Most messages take no more, and most durations in words, in bytes.
const MESSAGE_BYTES: usize = 192;
const DURATION_BYTES: usize = 32;

/// The order's breaches.
pub fn rows(order: &OrderId, view: &View, facts: &PackedFacts) -> impl Iterator<Item = SlaBreachRow> {
    Sla::ALL.into_iter().filter_map(move |sla| row(order, view, facts, sla))
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
    let mut message = String::with_capacity(MESSAGE_BYTES);
    message.extend(["SLA BREACH: order ", id, " ", missed, " within ", &within, ", due ", &due]);
    let name = |offset| match facts.at(offset).body {
        BodyView::Item(item) => item.product_name.or(item.product_id).map(|packed| packed.text()),
        _ => None,
    };
    let mut items = view.items.clone();
    items.sort_by_key(|item| item.item_no);
    for (number, item) in items.iter().take(ITEMS_NAMED).enumerate() {
        message.push_str(if number == 0 { ": " } else { ", " });
        digits::push_integer(i64::from(item.quantity), &mut message);
        message.push_str(" × ");
        match name(item.offset) {
            Some(name) => push_name(name.as_str_in(&mut scratch), &mut message),
            None => message += &format!("item {}", item.item_no),
        }
    }
    if items.len() > ITEMS_NAMED {
        message += &format!(" and {} more", items.len() - ITEMS_NAMED);
    }
    if !view.items.is_empty() {
        message.push_str(", ");
        view.state.item_value.push_to(&mut message);
    }
    message
}

fn push_name(name: &str, message: &mut String) {
    match name.char_indices().nth(NAME_CHARACTERS).and_then(|(end, _)| name.get(..end)) {
        Some(beginning) => message.extend([beginning, "…"]),
        None => message.push_str(name),
    }
}

/// A duration in days, hours, minutes and seconds, hours alone up to two days: 24 h and 36 h read better than 1 d and 1.5 d.
pub fn duration_in_words(duration_ms: u64) -> String {
    let (mut words, mut rest_ms) = (String::with_capacity(DURATION_BYTES), duration_ms);
    for (length_ms, name) in [(DAY_MS, " d "), (HOUR_MS, " h "), (MINUTE_MS, " min ")] {
        if rest_ms >= length_ms && (length_ms < DAY_MS || duration_ms >= 2 * DAY_MS) {
            digits::push_padded(rest_ms / length_ms, 1, &mut words);
            words.push_str(name);
            rest_ms %= length_ms;
        }
    }
    if rest_ms == 0 && !words.is_empty() {
        words.pop();
        return words;
    }
    digits::push_padded(rest_ms / SECOND_MS, 1, &mut words);
    if !rest_ms.is_multiple_of(SECOND_MS) {
        words.push('.');
        digits::push_padded(rest_ms % SECOND_MS, 3, &mut words);
    }
    words.push_str(" s");
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::packed::write;
    use crate::model::{Body, Fact, Money, Position};
    use crate::orders::view::ItemLine;

    #[test]
    fn a_message_stays_one_whatever_records_say() {
        let order = OrderId { tenant: Text::new("acme"), order_id: Text::new("a") };
        let (mut facts, mut view, price) = (PackedFacts::default(), View::default(), Money(100));
        for item_no in 1..=22 {
            let body = Body::Item {
                item_no,
                product_id: None,
                product_name: Some(Text::new(&"ü".repeat(99 + usize::from(item_no)))),
                category: None,
                category_joined: false,
                seller_id: None,
                quantity: 1,
                price,
                freight: price,
            };
            let (fact, mut packed) = (Fact { order: order.clone(), at: 0, event_id: None, body }, Vec::new());
            write(&fact, Position::default(), &mut packed);
            let offset = facts.push(&packed, false);
            view.items.push(ItemLine { offset, item_no, quantity: 1, price });
        }
        let said = message(&order, &view, &facts, Sla::Processing, HOUR_MS, 0);
        let name = "ü".repeat(NAME_CHARACTERS);
        assert!(said.contains(&format!(": 1 × {name}, 1 × {name}…, 1 × ")), "{said}");
        assert!(said.ends_with(&format!("1 × {name}… and 2 more, 0.00")), "{said}");
        assert_eq!(said.matches('×').count(), ITEMS_NAMED);
    }

    #[test]
    fn durations_read_well() {
        let words = [0, 7_123, 90_000, 24 * HOUR_MS, 25 * HOUR_MS + 307_123, 36 * HOUR_MS, 60 * HOUR_MS, 7 * DAY_MS];
        let expected = ["0 s", "7.123 s", "1 min 30 s", "24 h", "25 h 5 min 7.123 s", "36 h", "2 d 12 h", "7 d"];
        assert_eq!(words.map(duration_in_words), expected);
    }
}

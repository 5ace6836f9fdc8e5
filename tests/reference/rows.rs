//! The collections with a row an order: orders, order_events, violations, sla_breaches, stalled_orders.

use dataflows::model::Verdict;

use super::cells::{event, money, seconds, sla, status, time, time_or_empty, verdict};
use super::order::Order;
use super::promises::{Outcome, promises};
use super::{Law, Tables, put};

/// Writes the rows of one life of an order.
pub fn add(tables: &mut Tables, law: &Law, order: &Order) {
    let (order_id, tenant) = (order.id.order_id.to_string(), order.id.tenant.to_string());
    let lifecycle = &order.lifecycle;
    let mut violations = 0;

    for judged in &lifecycle.judged {
        let mut row = vec![
            order_id.clone(),
            tenant.clone(),
            time(judged.event.at),
            event(judged.event.kind).to_owned(),
            judged.event.id.to_string(),
        ];
        let key = row.clone();
        row.extend([status(judged.after).to_owned(), verdict(judged.verdict).to_owned(), "false".to_owned()]);
        put(tables, "order_events", row);
        // "Every verdict but ok is a row of `violations`".
        if judged.verdict != Verdict::Ok {
            violations += 1;
            let mut row = key;
            row.extend([status(judged.before).to_owned(), verdict(judged.verdict).to_owned()]);
            put(tables, "violations", row);
        }
    }

    for promise in promises(law, order) {
        let Some(deadline) = promise.breached else { continue };
        let shown = status(order.lifecycle_by(law, deadline).shown()).to_owned();
        let resolution = match promise.outcome {
            Outcome::MetLate => "met_late",
            Outcome::BreachedCancelled => "cancelled",
            _ => "",
        };
        let name = sla(promise.sla).to_owned();
        let overdue = promise.resolved.map(|resolved| seconds(resolved - deadline)).unwrap_or_default();
        put(
            tables,
            "sla_breaches",
            vec![
                order_id.clone(),
                tenant.clone(),
                name.clone(),
                shown.clone(),
                time(promise.started),
                time(deadline),
                time_or_empty(promise.resolved),
                resolution.to_owned(),
                overdue,
            ],
        );
        let row = vec![
            order_id.clone(),
            tenant.clone(),
            time(deadline),
            "SLA_BREACH".to_owned(),
            name,
            shown,
            String::new(),
            "true".to_owned(),
        ];
        put(tables, "order_events", row);
    }

    put(
        tables,
        "orders",
        vec![
            order_id.clone(),
            tenant.clone(),
            lifecycle.customer_id().map(|id| id.to_string()).unwrap_or_default(),
            status(lifecycle.shown()).to_owned(),
            time_or_empty(lifecycle.placed),
            time_or_empty(lifecycle.confirmed),
            time_or_empty(lifecycle.processing),
            time_or_empty(lifecycle.shipped),
            time_or_empty(lifecycle.delivered),
            time_or_empty(lifecycle.cancelled),
            order.items.len().to_string(),
            money(order.item_value()),
            money(order.freight_value()),
            order.payments.len().to_string(),
            money(order.paid_value()),
            violations.to_string(),
            time(order.last_event_at),
        ],
    );

    // "stalled_at = last_event_at + max_age, shown when ≤ T".
    let stalled_at = order.last_event_at + law.settings.max_age_ms;
    if !lifecycle.is_terminal() && stalled_at <= law.as_of {
        put(
            tables,
            "stalled_orders",
            vec![
                order_id,
                tenant,
                status(lifecycle.shown()).to_owned(),
                time_or_empty(lifecycle.placed),
                time(order.last_event_at),
                time(stalled_at),
            ],
        );
    }
}

//! The collections that add orders up: sections 5 and 8.
//!
//! A window sees an order as it was when the window closed, or as of T while it is open. So the share of an order in a
//! window is read off the order as of that time, and changes need no bookkeeping.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::model::{Body, EventKind, Status};
use dataflows::time::{Time, Window};

use super::cells::{average, money, payment_type, rate, sla, status, time};
use super::lives::Life;
use super::order::Order;
use super::promises::{Outcome, promises};
use super::{Law, Tables, put};

/// Sums by key; the first number counts, and a row is there while it is not 0.
type Sum<const N: usize> = BTreeMap<Vec<String>, [i128; N]>;

/// All sums.
#[derive(Default)]
pub struct Sums {
    status: Sum<2>,
    sla: Sum<7>,
    funnel: Sum<8>,
    gmv: Sum<5>,
    category: Sum<2>,
    drop_off: Sum<2>,
    payments: Sum<3>,
}

/// A window: its kind and where it starts.
type Span = (Window, Time);

impl Sums {
    /// Adds the share of one life of an order; `order` is that life as of T.
    pub fn add<'a>(&mut self, law: &Law, life: &'a Life<'a>, order: &Order<'a>) {
        let tenant = order.id.tenant.to_string();
        for tenant in [tenant.as_str(), "*"] {
            let shown = status(order.lifecycle.shown());
            add(&mut self.status, &[tenant, shown], [1, order.item_value()]);
            for promise in promises(law, order) {
                let is = |outcome| i128::from(promise.outcome == outcome);
                let counts = [
                    1,
                    is(Outcome::Met),
                    is(Outcome::MetLate),
                    is(Outcome::BreachedOpen),
                    is(Outcome::BreachedCancelled),
                    is(Outcome::CancelledInTime),
                    is(Outcome::Open),
                ];
                add(&mut self.sla, &[tenant, sla(promise.sla)], counts);
            }
        }

        let (cohorts, paid_in) = spans(law, life);
        // Times at which the order is looked at; most windows are still open at T.
        let mut earlier: BTreeMap<Time, Option<Order>> = BTreeMap::new();
        let mut look = |span: Span| {
            closes(law, span).filter(|closes| *closes < law.as_of).inspect(|closes| {
                earlier.entry(*closes).or_insert_with(|| Order::at(law, life, *closes));
            })
        };
        let mut looks = |spans: BTreeSet<Span>| spans.into_iter().map(|span| (span, look(span))).collect::<Vec<_>>();
        let (cohorts, paid_in) = (looks(cohorts), looks(paid_in));
        let drop_off = looks(placed_spans(life, &[Window::Hour]));
        let seen = |then: Option<Time>| match then {
            None => Some(order),
            Some(then) => earlier.get(&then).and_then(Option::as_ref),
        };

        for (span, then) in cohorts {
            if let Some(order) = seen(then).filter(|order| in_cohort(order, span)) {
                self.add_cohort(order, span);
            }
        }
        for (span, then) in paid_in {
            if let Some(order) = seen(then) {
                self.add_payments(order, span);
            }
        }
        for (span, then) in drop_off {
            let Some(order) = seen(then).filter(|order| in_cohort(order, span)) else { continue };
            if let Some(stage) = drop_off_stage(law, order) {
                let key = [&time(span.1), &tenant, status(order.lifecycle.shown()), stage];
                add(&mut self.drop_off, &key, [1, order.item_value()]);
            }
        }
    }

    /// An order's share in the window of its placement.
    fn add_cohort(&mut self, order: &Order, span: Span) {
        let times = &order.lifecycle;
        let (items, value, freight) = (order.items.len() as i128, order.item_value(), order.freight_value());
        let has_items = items > 0;
        let is = |truth: bool| i128::from(truth);
        let shipped = times.shipped.or(times.delivered);
        let funnel = [
            1,
            is(has_items),
            is(has_items && !order.payments.is_empty()),
            is(has_items && order.paid_value() >= value + freight),
            is(times.processing.or(shipped).is_some()),
            is(shipped.is_some()),
            is(times.delivered.is_some()),
            is(times.cancelled.is_some()),
        ];
        let cancelled_value = if times.shown() == Status::Cancelled { value } else { 0 };
        let start = start_cell(span);
        let tenant = order.id.tenant.to_string();
        for tenant in [tenant.as_str(), "*"] {
            let window = [name(span.0), &start, tenant];
            add(&mut self.funnel, &window, funnel);
            if has_items {
                add(&mut self.gmv, &window, [1, items, value, freight, cancelled_value]);
            }
            for item in &order.items {
                let category = item.category.as_deref().unwrap_or("unknown");
                add(&mut self.category, &[name(span.0), &start, tenant, category], [1, item.value]);
            }
        }
    }

    /// "payment metrics [belong] to [the window] of the payment's own `at`, placed or not".
    fn add_payments(&mut self, order: &Order, span: Span) {
        let tenant = order.id.tenant.to_string();
        let start = start_cell(span);
        for payment in order.payments.iter().filter(|payment| start_of(span.0, payment.at) == span.1) {
            for tenant in [tenant.as_str(), "*"] {
                let key = [name(span.0), &start, tenant, payment_type(payment.payment_type)];
                add(&mut self.payments, &key, [1, payment.value, payment.installments]);
            }
        }
    }

    /// Writes every row.
    pub fn write(self, tables: &mut Tables) {
        let mut row = |table, key: Vec<String>, cells: Vec<String>| put(tables, table, [key, cells].concat());
        for (key, [orders, value]) in self.status {
            row("orders_by_status", key, vec![orders.to_string(), money(value)]);
        }
        for (key, counts) in self.sla {
            let [_, met, late, open, cancelled, ..] = counts;
            let breached = late + open + cancelled;
            let cells = counts.iter().map(i128::to_string).chain([rate(breached, met + breached)]);
            row("sla_summary", key, cells.collect());
        }
        for (key, counts) in self.funnel {
            let [total, with_items, with_payment, ..] = counts;
            let cells = counts.iter().map(i128::to_string).chain([
                rate(with_items, total),
                rate(with_payment, total),
                (total - with_items).to_string(),
                (with_items - with_payment).to_string(),
            ]);
            row("real_time_funnel", key, cells.collect());
        }
        for (key, [orders, items, gmv, freight, cancelled]) in self.gmv {
            let cells = vec![
                orders.to_string(),
                items.to_string(),
                money(gmv),
                money(freight),
                money(cancelled),
                money(gmv - cancelled),
                average(gmv, orders),
            ];
            row("gmv_metrics", key, cells);
        }
        for (key, [items, gmv]) in self.category {
            row("category_metrics", key, vec![items.to_string(), money(gmv)]);
        }
        for (key, [orders, value]) in self.drop_off {
            row("drop_off_analysis", key, vec![orders.to_string(), money(value)]);
        }
        for (key, [count, total, installments]) in self.payments {
            let cells = vec![count.to_string(), money(total), average(total, count), installments.to_string()];
            row("payment_metrics", key, cells);
        }
    }
}

fn add<const N: usize>(sum: &mut Sum<N>, key: &[&str], amounts: [i128; N]) {
    let key = key.iter().map(|cell| (*cell).to_owned()).collect();
    let total = sum.entry(key).or_insert([0; N]);
    for (total, amount) in total.iter_mut().zip(amounts) {
        *total += amount;
    }
}

/// At most one stage an order.
fn drop_off_stage(law: &Law, order: &Order) -> Option<&'static str> {
    let placed = order.lifecycle.placed?;
    match order.lifecycle.shown() {
        Status::Cancelled => Some("cancelled"),
        Status::Shipped | Status::Delivered | Status::Unplaced => None,
        _ if placed + law.settings.abandon_after_ms > order.now => None,
        _ if order.items.is_empty() => Some("no_items"),
        _ if order.payments.is_empty() && law.settings.expect_payments => Some("no_payment"),
        _ => None,
    }
}

fn in_cohort(order: &Order, (window, start): Span) -> bool {
    order.lifecycle.placed.is_some_and(|placed| start_of(window, placed) == start)
}

/// The windows the order may ever have had a share in: by placement and by payment.
fn spans(law: &Law, life: &Life) -> (BTreeSet<Span>, BTreeSet<Span>) {
    let paid_in = life.seen.iter().filter(|seen| matches!(seen.fact.body, Body::Payment { .. }));
    let paid_in = paid_in.flat_map(|seen| law.settings.windows.iter().map(|window| span(*window, seen.fact.at)));
    (placed_spans(life, &law.settings.windows), paid_in.collect())
}

fn placed_spans(life: &Life, windows: &[Window]) -> BTreeSet<Span> {
    let placed =
        life.seen.iter().filter(|seen| matches!(seen.fact.body, Body::Lifecycle { kind: EventKind::Placed, .. }));
    placed.flat_map(|seen| windows.iter().map(|window| span(*window, seen.fact.at))).collect()
}

fn span(window: Window, at: Time) -> Span {
    (window, start_of(window, at))
}

fn length(window: Window) -> Option<u64> {
    match window {
        Window::Minute => Some(60_000),
        Window::Hour => Some(3_600_000),
        Window::Day => Some(86_400_000),
        Window::Total => None,
    }
}

fn start_of(window: Window, at: Time) -> Time {
    length(window).map_or(0, |length| at / length * length)
}

/// "A window closes horizon + max_age after its end"; `total` never.
fn closes(law: &Law, (window, start): Span) -> Option<Time> {
    length(window).map(|length| start + length + law.settings.horizon_ms + law.settings.max_age_ms)
}

fn name(window: Window) -> &'static str {
    match window {
        Window::Minute => "minute",
        Window::Hour => "hour",
        Window::Day => "day",
        Window::Total => "total",
    }
}

/// window_start: empty for total.
fn start_cell((window, start): Span) -> String {
    if window == Window::Total { String::new() } else { time(start) }
}

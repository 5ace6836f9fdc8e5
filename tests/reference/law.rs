//! The law, executed naively: every order collection recomputed from the full history of facts, straight from the text
//! of semantics.md. Shares no logic with the graph; it is the judge the graph is held against.
//!
//! Include it from an integration test with `#[path = "reference/law.rs"] mod law;`.
//!
//! Why this is short: the results as of T are a pure function of the facts accepted, so nothing here is incremental.
//! Only two things depend on logical time: which facts an order still accepts (`lives`), and which changes a window that
//! has closed no longer sees (`sums`).

// Tests that include this file use different parts of it.
#![allow(dead_code)]

mod cells;
pub mod histories;
mod lifecycle;
mod lives;
mod order;
mod promises;
mod rows;
mod sums;

use std::collections::BTreeMap;

use dataflows::model::{Fact, OrderId, Position, Rules};
use dataflows::settings::Settings;
use dataflows::time::Time;

use self::lives::{Life, Refusal, admit};

/// A fact as it reached the job.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// What was decoded.
    pub fact: Fact,
    /// Its logical time: `max(at, W)`.
    pub t: Time,
    /// True where it is more than `horizon` behind its partition's watermark.
    pub too_late: bool,
    /// Where its record stood.
    pub position: Position,
}

/// Every order collection as of one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Sorted rows of text by collection, in the column order of outputs.md, `message` left out; and `refusals`.
    pub tables: BTreeMap<&'static str, Vec<Vec<String>>>,
    /// Facts that count.
    pub accepted: u64,
    /// Copies of facts or of refused contents.
    pub duplicates: u64,
    /// Facts refused after decoding.
    pub refused: u64,
    /// The time the rows speak of.
    pub as_of: Time,
}

/// What the parts need to know to describe an order as of a time.
pub struct Law<'a> {
    /// SLA rules, defaults included.
    pub rules: &'a Rules,
    /// Settings of the job.
    pub settings: &'a Settings,
    /// T.
    pub as_of: Time,
}

/// Tables and the number of their key columns, as outputs.md marks them.
pub const KEY_COLUMNS: [(&str, usize); 13] = [
    ("orders", 2),
    ("order_events", 5),
    ("violations", 5),
    ("sla_breaches", 3),
    ("sla_summary", 2),
    ("stalled_orders", 2),
    ("orders_by_status", 2),
    ("real_time_funnel", 3),
    ("gmv_metrics", 3),
    ("category_metrics", 4),
    ("drop_off_analysis", 4),
    ("payment_metrics", 4),
    ("refusals", 3),
];

/// Tables under construction. A row replaces one with the same key: so an order that came back under the key of a
/// retired one overwrites what it has in common with it, and nothing else (section 8).
pub type Tables = BTreeMap<&'static str, BTreeMap<Vec<String>, Vec<String>>>;

/// The results as of T (= `until`, or the largest accepted event time), in bounded replay.
pub fn answer(arrivals: &[Arrival], rules: &Rules, settings: &Settings, until: Option<Time>) -> Answer {
    // Section 9: the cut is on `at`; facts outside are as if absent.
    let inside = arrivals.iter().filter(|arrival| until.is_none_or(|until| arrival.fact.at <= until));
    let mut by_order: BTreeMap<&OrderId, Vec<&Arrival>> = BTreeMap::new();
    for arrival in inside {
        by_order.entry(&arrival.fact.order).or_default().push(arrival);
    }

    let (mut lives, mut refusals, mut duplicates): (Vec<Life>, Vec<Refusal>, u64) = (Vec::new(), Vec::new(), 0);
    for (order, arrivals) in by_order {
        let admitted = admit(order, arrivals, settings);
        lives.extend(admitted.lives);
        refusals.extend(admitted.refusals);
        duplicates += admitted.duplicates;
    }
    let winners = || lives.iter().flat_map(|life| life.winners(Time::MAX));
    let as_of = until.or_else(|| winners().map(|seen| seen.fact.at).max()).unwrap_or(0);

    let law = Law { rules, settings, as_of };
    let mut tables: Tables = KEY_COLUMNS.iter().map(|(name, _)| (*name, BTreeMap::new())).collect();
    let mut sums = sums::Sums::default();
    // Lives of one order follow each other in time, so a later one replaces rows of an earlier.
    for life in &lives {
        let order = order::Order::new(&law, life);
        rows::add(&mut tables, &law, &order);
        sums.add(&law, life, &order);
    }
    sums.write(&mut tables);
    for refusal in &refusals {
        let row = vec![refusal.position.0.to_string(), refusal.reasons.join(";"), refusal.content.clone()];
        put(&mut tables, "refusals", row);
    }

    Answer {
        accepted: winners().count() as u64,
        duplicates,
        refused: refusals.len() as u64,
        as_of,
        tables: tables.into_iter().map(|(name, rows)| (name, rows.into_values().collect())).collect(),
    }
}

/// Writes `row` over the one with the same key.
pub fn put(tables: &mut Tables, table: &'static str, row: Vec<String>) {
    let keys = KEY_COLUMNS.iter().find(|(name, _)| *name == table).map_or(row.len(), |(_, keys)| *keys);
    tables.entry(table).or_default().insert(row[..keys].to_vec(), row);
}

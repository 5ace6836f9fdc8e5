//! The reference against what must hold of any history, and proof that the histories are as nasty as they claim.

use std::collections::BTreeMap;

use super::law::histories::{Case, history};
use super::law::{Answer, Arrival, answer};

const SEEDS: u64 = 1_000;

fn answered(case: &Case) -> Answer {
    answer(&case.arrivals, &case.rules, &case.settings, case.until)
}

fn number(cell: &str) -> u64 {
    cell.parse().unwrap()
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..20 {
        assert_eq!(format!("{:?}", history(seed)), format!("{:?}", history(seed)));
    }
}

#[test]
fn counts_are_complete() {
    // Section 7: "facts = accepted + duplicates + refused"; section 5: the parts of sla_summary add up to `orders`.
    for seed in 0..SEEDS {
        let case = history(seed);
        let answer = answered(&case);
        let inside = case.arrivals.iter().filter(|arrival| case.until.is_none_or(|until| arrival.fact.at <= until));
        assert_eq!(answer.accepted + answer.duplicates + answer.refused, inside.count() as u64, "seed {seed}");
        for row in &answer.tables["sla_summary"] {
            let parts: u64 = row[3..9].iter().map(|cell| number(cell)).sum();
            assert_eq!(number(&row[2]), parts, "seed {seed}");
        }
    }
}

#[test]
fn without_retirement_the_arrival_does_not_matter() {
    // The law: results "do not depend on arrival order, …, or duplicates".
    let mut compared = 0;
    for seed in (0..SEEDS).filter(|seed| seed & 3 == 2) {
        let case = history(seed);
        if case.arrivals.iter().any(|arrival| arrival.too_late) {
            continue;
        }
        let on_time = |arrival: &Arrival| Arrival { t: arrival.fact.at, ..arrival.clone() };
        let replayed = Case { arrivals: case.arrivals.iter().rev().map(on_time).collect(), ..case.clone() };
        let (live, replayed) = (answered(&case), answered(&replayed));
        for (name, rows) in live.tables.iter().filter(|(name, _)| **name != "refusals") {
            assert_eq!(rows, &replayed.tables[name], "seed {seed}: {name}");
        }
        assert_eq!(
            (live.accepted, live.duplicates, live.refused),
            (replayed.accepted, replayed.duplicates, replayed.refused),
            "seed {seed}"
        );
        compared += 1;
    }
    assert!(compared > 200);
}

#[test]
fn histories_reach_every_corner() {
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    let mut reach = |corner: String| *reached.entry(corner).or_default() += 1;
    for seed in 0..SEEDS {
        let case = history(seed);
        let answer = answered(&case);
        for row in &answer.tables["refusals"] {
            reach(row[1].clone());
        }
        for row in &answer.tables["violations"] {
            reach(row[6].clone());
        }
        for row in &answer.tables["sla_breaches"] {
            reach(format!("{} {}", row[2], row[7]));
        }
        for row in &answer.tables["drop_off_analysis"] {
            reach(row[3].clone());
        }
        for row in answer.tables["sla_summary"].iter().filter(|row| row[0] == "*") {
            for (cell, part) in
                row[3..9].iter().zip(["met", "late", "open breach", "cancelled late", "cancelled", "open"])
            {
                if cell != "0" {
                    reach(part.to_owned());
                }
            }
        }
        if !answer.tables["stalled_orders"].is_empty() {
            reach("stalled".into());
        }
        let lives: u64 =
            answer.tables["orders_by_status"].iter().filter(|row| row[0] == "*").map(|row| number(&row[2])).sum();
        if lives > answer.tables["orders"].len() as u64 {
            reach("second life".into());
        }
        // `total` never closes: where hours add up to less, one had closed before its orders changed.
        let of_windows = |rows: &[Vec<String>], window: &str| -> u64 {
            rows.iter().filter(|row| row[0] == window && row[2] == "*").map(|row| number(&row[4])).sum()
        };
        let funnel = &answer.tables["real_time_funnel"];
        if of_windows(funnel, "hour") != of_windows(funnel, "total") {
            reach("closed window".into());
        }
    }
    eprintln!("{reached:#?}");
    let corners = [
        "order_retired",
        "order_retired;too_late",
        "too_late",
        "conflicting_duplicate",
        "repeated",
        "after_cancellation",
        "cancel_after_delivery",
        "not_placed",
        "skipped_stage",
        "backward",
        "processing ",
        "shipping ",
        "delivery ",
        "processing met_late",
        "shipping met_late",
        "delivery met_late",
        "delivery cancelled",
        "cancelled",
        "no_items",
        "no_payment",
        "met",
        "late",
        "open breach",
        "cancelled late",
        "open",
        "stalled",
        "second life",
        "closed window",
    ];
    for corner in corners {
        assert!(reached.get(corner).is_some_and(|times| *times >= 3), "{corner} is not reached: {reached:?}");
    }
}

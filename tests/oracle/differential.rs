//! Two plans, one law: the relational plan emits what the fused one emits, update by update, of orders that retire and of
//! keys that are used again, too.

use std::collections::BTreeMap;

use dataflows::graph::Plan;
use dataflows::orders::Detail;
use dataflows::time::Diff;
use dataflows::views::measures::{LineMeasures, MeasureKey, Measures};

use super::final_state::{agrees, open_ended};
use super::harness::{CHANGES, FINAL, Way, check, inside, run, seeds};
use super::law::histories::{Case, history};
use super::updates::Updates;

/// Both plans emit the same consolidated updates.
fn emit_alike(case: &Case, way: Way) -> Result<(), String> {
    let fused = Updates::of(&run(case, Way { plan: Plan::Fused, ..way }));
    let relational = Updates::of(&run(case, Way { plan: Plan::Relational, deal: way.deal + 1, ..way }));
    fused.compare(&relational).map_err(|complaint| format!("{way:?}: - fused, + relational{complaint}"))
}

/// On time and late, with orders that retire and without.
fn histories(count: u64) -> impl Iterator<Item = (u64, Case)> {
    seeds(count).map(|seed| (seed, history(seed)))
}

#[test]
fn differential_every_update_until_a_given_end() {
    for (seed, mut case) in histories(400) {
        let latest = inside(&case).map(|arrival| arrival.t).max().unwrap_or(0);
        case.until = case.until.or(Some(latest + 100 * 3_600_000));
        let workers = [1, 1, 2, 4][(seed / 4 % 4) as usize];
        check(seed, &case, |case| emit_alike(case, Way { workers, deal: seed, ..CHANGES }));
    }
}

#[test]
fn differential_every_update_until_the_largest_accepted() {
    for (seed, mut case) in histories(400) {
        case.until = None;
        let workers = [1, 1, 2, 4][(seed / 4 % 4) as usize];
        check(seed, &case, |case| emit_alike(case, Way { workers, deal: seed, ..CHANGES }));
    }
}

#[test]
fn differential_the_final_state() {
    for (seed, case) in histories(300) {
        let workers = [1, 1, 2, 4][(seed / 4 % 4) as usize];
        let final_state = |plan, deal| {
            let way = Way { plan, workers, deal, ..FINAL };
            let mut sums: BTreeMap<(&str, String), Diff> = BTreeMap::new();
            // When accumulated updates leave the graph, and in how many parts, is the plan's own business.
            for ((name, _, row), diff) in Updates::of(&run(&case, way)).rows {
                *sums.entry((name, row)).or_default() += diff;
            }
            sums.retain(|_, diff| *diff != 0);
            sums
        };
        let (fused, relational) = (final_state(Plan::Fused, seed), final_state(Plan::Relational, seed + 1));
        assert!(fused == relational, "seed {seed}: {fused:#?} {relational:#?}");
    }
}

#[test]
fn differential_the_relational_plan_obeys_the_law() {
    for (seed, case) in histories(300) {
        let workers = [1, 1, 2, 4][(seed / 4 % 4) as usize];
        let relational = Way { plan: Plan::Relational, workers, deal: seed, ..FINAL };
        check(seed, &case, |case| agrees(case, relational));
        check(seed, &open_ended(seed), |case| agrees(case, relational));
    }
}

#[test]
fn differential_counts_of_rows() {
    for (seed, case) in histories(100) {
        let counted = |plan| {
            let way = Way { plan, detail: Detail::Counts, deal: seed, ..FINAL };
            let mut total: BTreeMap<MeasureKey, (Measures, LineMeasures)> = BTreeMap::new();
            let gathered = run(&case, way);
            for (key, _, measures) in gathered.measures {
                total.entry(key).or_default().0.add(&measures);
            }
            for (key, _, lines) in gathered.lines {
                total.entry(key).or_default().1.add(&lines);
            }
            total.retain(|_, sums| *sums != <(Measures, LineMeasures)>::default());
            total
        };
        assert_eq!(counted(Plan::Fused), counted(Plan::Relational), "seed {seed}");
    }
}

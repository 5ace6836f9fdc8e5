//! Two plans, one law: the relational plan emits what the fused one emits, update by update, where no order retires.

use dataflows::graph::Plan;
use dataflows::orders::Detail;

use super::harness::{CHANGES, FINAL, Way, check, inside, run, seeds};
use super::law::histories::{Case, history};
use super::updates::Updates;

/// Both plans emit the same consolidated updates.
fn emit_alike(case: &Case, way: Way) -> Result<(), String> {
    let fused = Updates::of(&run(case, Way { plan: Plan::Fused, ..way }));
    let relational = Updates::of(&run(case, Way { plan: Plan::Relational, deal: way.deal + 1, ..way }));
    fused.compare(&relational).map_err(|complaint| format!("{way:?}: - fused, + relational{complaint}"))
}

/// Even seeds: no order retires, no window closes.
fn lasting(count: u64) -> impl Iterator<Item = (u64, Case)> {
    seeds(count).map(|seed| (2 * seed, history(2 * seed)))
}

#[test]
fn differential_every_update_until_a_given_end() {
    for (seed, mut case) in lasting(400) {
        let latest = inside(&case).map(|arrival| arrival.t).max().unwrap_or(0);
        case.until = case.until.or(Some(latest + 100 * 3_600_000));
        let workers = [1, 1, 2, 4][(seed / 2 % 4) as usize];
        check(seed, &case, |case| emit_alike(case, Way { workers, deal: seed, ..CHANGES }));
    }
}

#[test]
fn differential_every_update_until_the_largest_accepted() {
    // On time: the end of late facts is known too late to tell at what time what fell due before it.
    for (seed, mut case) in lasting(400).filter(|(seed, _)| seed & 2 == 0) {
        case.until = None;
        let workers = [1, 1, 2, 4][(seed / 4 % 4) as usize];
        check(seed, &case, |case| emit_alike(case, Way { workers, deal: seed, ..CHANGES }));
    }
}

#[test]
fn differential_the_final_state() {
    for (seed, case) in lasting(300) {
        let workers = [1, 1, 2, 4][(seed / 2 % 4) as usize];
        let final_state = |plan, deal| {
            let way = Way { plan, workers, deal, ..FINAL };
            let mut updates = Updates::of(&run(&case, way));
            // When accumulated updates leave the graph is the plan's own business.
            let rows = std::mem::take(&mut updates.rows);
            rows.into_iter().map(|((name, _, row), diff)| (name, row, diff)).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(final_state(Plan::Fused, seed), final_state(Plan::Relational, seed + 1), "seed {seed}");
    }
}

#[test]
fn differential_counts_of_rows() {
    for (seed, case) in lasting(100) {
        let counted = |plan| {
            let way = Way { plan, detail: Detail::Counts, deal: seed, ..FINAL };
            let mut total = std::collections::BTreeMap::new();
            for (key, _, measures) in run(&case, way).measures {
                total.entry(key).or_insert_with(dataflows::views::measures::Measures::default).add(&measures, 1);
            }
            total.retain(|_, measures| *measures != Default::default());
            total
        };
        assert_eq!(counted(Plan::Fused), counted(Plan::Relational), "seed {seed}");
    }
}

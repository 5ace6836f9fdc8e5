//! The results at the end of a bounded replay: those of the law, however the facts came and whoever worked on them.

use dataflows::orders::Detail;
use dataflows::time::Time;

use super::harness::{CHANGES, Dice, FINAL, Way, check, expected, law, run, seeds};
use super::law::Arrival;
use super::law::histories::{Case, history};
use super::tables::{as_of, compare};

/// The graph's results are those of the law.
pub fn agrees(case: &Case, way: Way) -> Result<(), String> {
    let mut expected = expected(case);
    let outcome = as_of(&run(case, way), Time::MAX, &law(case), way.detail, case.until)?;
    let end = (expected.accepted > 0).then_some(expected.as_of);
    let mut is_asked: fn(&str) -> bool = |_| true;
    if outcome.as_of != end {
        // What had fallen due when the fact that reached furthest was displaced stays due: no time is taken back.
        let furthest = furthest_accepted(case);
        if case.until.is_some() || outcome.as_of != Some(furthest) {
            return Err(format!("{way:?}: as of {:?}, expected {end:?}", outcome.as_of));
        }
        expected = super::harness::expected(&Case { until: Some(furthest), ..case.clone() });
        is_asked = |name| !["refusals", "counts"].contains(&name);
    }
    compare(&expected, &outcome, is_asked).map_err(|complaint| format!("{way:?}{complaint}"))
}

/// The largest event time of a fact that was accepted when it came, displaced later or not.
fn furthest_accepted(case: &Case) -> Time {
    let as_of = |last: &Arrival| {
        let known = case.arrivals.iter().filter(|arrival| arrival.t <= last.t).cloned().collect();
        expected(&Case { arrivals: known, ..case.clone() }).as_of
    };
    case.arrivals.iter().map(as_of).max().unwrap_or(0)
}

/// The history without the fact that closes it: T is set by what was accepted last in event time, whatever came after.
pub fn open_ended(seed: u64) -> Case {
    let mut case = history(seed);
    case.arrivals.retain(|arrival| arrival.fact.order.order_id.to_string() != "last");
    case
}

#[test]
fn oracle_one_worker() {
    for seed in seeds(2_000) {
        check(seed, &history(seed), |case| agrees(case, Way { deal: seed, ..FINAL }));
    }
}

#[test]
fn oracle_changes_add_up_to_the_end() {
    for seed in seeds(1_000) {
        check(seed, &history(seed), |case| agrees(case, Way { deal: seed, ..CHANGES }));
    }
}

#[test]
fn oracle_two_workers() {
    for seed in seeds(600) {
        check(seed, &history(seed), |case| agrees(case, Way { workers: 2, deal: seed, ..FINAL }));
    }
}

#[test]
fn oracle_four_workers() {
    for seed in seeds(600) {
        check(seed, &history(seed), |case| agrees(case, Way { workers: 4, deal: seed, ..FINAL }));
    }
}

#[test]
fn oracle_open_end() {
    for seed in seeds(2_000) {
        let workers = [1, 1, 1, 2, 4][(seed % 5) as usize];
        check(seed, &open_ended(seed), |case| agrees(case, Way { workers, deal: seed, ..FINAL }));
    }
}

#[test]
fn oracle_given_end() {
    for seed in seeds(1_000) {
        let mut case = open_ended(seed);
        let mut times: Vec<Time> = case.arrivals.iter().map(|arrival| arrival.fact.at).collect();
        times.sort_unstable();
        let mut dice = Dice(seed);
        let Some(middle) = times.get(dice.below(times.len() as u64) as usize) else { continue };
        // Inside, at the end of, or long after what happened. A late fact may be as late as its watermark.
        let until = middle + [0, 1, 6 * 3_600_000, 3_000 * 3_600_000][dice.below(4) as usize];
        if seed & 2 == 2 {
            case.arrivals.retain(|arrival| arrival.t <= until);
        }
        case.until = Some(until);
        let workers = [1, 1, 1, 2, 4][(seed % 5) as usize];
        check(seed, &case, |case| agrees(case, Way { workers, deal: seed, ..FINAL }));
    }
}

#[test]
fn oracle_any_deal() {
    // One history, dealt in many ways.
    for seed in 0..seeds(400).end / 10 {
        let case = history(seed * 7 + 3);
        for deal in 0..20 {
            let workers = [1, 2, 4][deal as usize % 3];
            let detail = if deal % 2 == 0 { Detail::Final } else { Detail::Changes };
            check(seed, &case, |case| agrees(case, Way { workers, deal, detail, ..FINAL }));
        }
    }
}

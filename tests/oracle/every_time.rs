//! The results at every time on the way: what has changed up to then adds up to what the law says of then.

use std::collections::BTreeSet;

use dataflows::orders::Detail;
use dataflows::time::{Time, tick_at_or_after};

use super::harness::{CHANGES, Dice, Gathered, Way, check, expected_as_of, inside, law, run, seeds};
use super::law::histories::{Case, history};
use super::tables::{ROW_COLLECTIONS, as_of, compare};

/// Times at which something may go wrong, up to `end`; `count` of them.
fn instants(case: &Case, gathered: &Gathered, end: Time, dice: &mut Dice, count: usize) -> Vec<Time> {
    let grace = case.settings.grace_ms;
    let mut times: BTreeSet<Time> = BTreeSet::new();
    for (row, _, _) in &gathered.sla_breaches {
        let deadline = row.deadline_at.0;
        times.extend([deadline - 1, deadline, deadline + 1, deadline + grace, deadline + grace - 1]);
    }
    for arrival in inside(case) {
        times.extend([arrival.t, arrival.t - 1, arrival.fact.at, arrival.t + case.settings.abandon_after_ms]);
        times.extend([arrival.t + case.settings.retention_ms, arrival.fact.at + case.settings.max_age_ms]);
    }
    times.extend(case.rules.iter().filter_map(|rule| rule.valid_from));
    let mut times: Vec<Time> = times.into_iter().filter(|time| *time < end).collect();
    dice.shuffle(&mut times);
    times.truncate(count);
    times
}

/// The changes add up at every time up to the end.
pub fn adds_up(case: &Case, way: Way, count: usize) -> Result<(), String> {
    let gathered = run(case, way);
    let end = case.until.or_else(|| inside(case).map(|arrival| arrival.fact.at).max()).unwrap_or(0);
    let mut dice = Dice(way.deal);
    let law = law(case);
    for time in instants(case, &gathered, end, &mut dice, count) {
        let say = |complaint: String| format!("{way:?} as of {time}:{complaint}");
        let rows = as_of(&gathered, time, &law, Detail::Changes, Some(time)).map_err(say)?;
        compare(&expected_as_of(case, time), &rows, |name| ROW_COLLECTIONS.contains(&name)).map_err(say)?;
        let tick = tick_at_or_after(time, case.settings.tick_ms).min(end);
        let sums = as_of(&gathered, tick, &law, Detail::Changes, Some(tick)).map_err(say)?;
        let say = |complaint: String| format!("{way:?} as of the tick {tick}:{complaint}");
        compare(&expected_as_of(case, tick), &sums, |_| true).map_err(say)?;
    }
    Ok(())
}

#[test]
fn oracle_at_every_time_until_a_given_end() {
    for seed in seeds(600) {
        let mut case = history(seed);
        // A job that runs until stopped knows its end, too: no fact is later than it.
        let latest = inside(&case).map(|arrival| arrival.t).max().unwrap_or(0);
        case.until = case.until.or(Some(latest + 100 * 3_600_000));
        let workers = [1, 1, 1, 2, 4][(seed % 5) as usize];
        check(seed, &case, |case| adds_up(case, Way { workers, deal: seed, ..CHANGES }, 6));
    }
}

#[test]
fn oracle_at_every_time_until_the_largest_accepted() {
    for seed in seeds(600) {
        let mut case = history(seed);
        case.until = None;
        let workers = [1, 1, 1, 2, 4][(seed % 5) as usize];
        check(seed, &case, |case| adds_up(case, Way { workers, deal: seed, ..CHANGES }, 6));
    }
}

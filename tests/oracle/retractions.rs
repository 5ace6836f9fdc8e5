//! What changes, and what does not: a breach at its exact time, corrections that retract exactly what they correct,
//! copies that emit nothing, tenants that do not touch each other.

use dataflows::model::Text;
use dataflows::time::{Time, tick_at_or_after};
use dataflows::views::collection::At;
use dataflows::views::sla_breaches::{Resolution, SlaBreachRow};

use super::final_state::open_ended;
use super::harness::{CHANGES, Dice, Gathered, Way, check, expected, inside, law, run, seeds};
use super::law::Arrival;
use super::law::histories::{Case, history};
use super::story::{HOUR, hour, promises, settings, told};
use super::updates::Updates;

/// The changes of breaches: SLA, hour-free time and how often, in the order of time.
fn breaches(gathered: &Gathered) -> Vec<(Time, isize, SlaBreachRow)> {
    let mut sums = std::collections::BTreeMap::new();
    for (row, time, diff) in &gathered.sla_breaches {
        *sums.entry((*time, row.clone())).or_insert(0) += diff;
    }
    let changes = sums.into_iter().filter(|(_, diff)| *diff != 0);
    let mut changes: Vec<_> = changes.map(|((time, row), diff)| (time, diff, row)).collect();
    changes.sort_by_key(|(time, diff, _)| (*time, *diff));
    changes
}

fn story_until(story: &str, grace_hours: u64, until: &str) -> Case {
    let settings = dataflows::settings::Settings { grace_ms: grace_hours * HOUR, ..settings() };
    Case { until: Some(hour(until)), ..told(story, &settings, &promises([])) }
}

#[test]
fn a_breach_is_there_from_its_exact_time() {
    for grace in [0, 2] {
        for workers in [1, 2, 4] {
            let case = story_until("P@0 b.P@90", grace, "23");
            let changes = breaches(&run(&case, Way { workers, ..CHANGES }));
            let [(time, 1, row)] = &changes[..] else { panic!("{changes:?}") };
            assert_eq!((*time, row.deadline_at), (hour("6") + grace * HOUR, At(hour("6"))));
        }
    }
}

#[test]
fn a_late_event_in_time_retracts_exactly_that_row() {
    // Processed at 5, known at 9, due at 6.
    let gathered = run(&story_until("P@0 R@5>9 b.P@9", 0, "11"), CHANGES);
    let changes = breaches(&gathered);
    let [(6, 1, shown), (9, -1, withdrawn)] =
        changes.iter().map(|(time, diff, row)| ((time - hour("0")) / HOUR, *diff, row)).collect::<Vec<_>>()[..]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(shown, withdrawn);
    // The event of the breach goes with it, and the order's other rows stand.
    let events = Updates::of(&gathered).filtered(|(name, _, row)| *name == "order_events" && row.contains("SlaBreach"));
    assert_eq!(events.rows.values().copied().collect::<Vec<_>>(), [1, -1], "{events:?}");
    let placed = Updates::of(&gathered).filtered(|(name, _, row)| {
        *name == "order_events" && row.contains("Placed") && row.contains(&format!("{:?}", Text::new("a")))
    });
    assert_eq!(placed.rows.values().copied().collect::<Vec<_>>(), [1], "{placed:?}");
}

#[test]
fn a_late_event_after_the_deadline_replaces_the_row() {
    let changes = breaches(&run(&story_until("P@0 R@7>9 b.P@9", 0, "11"), CHANGES));
    let resolutions: Vec<_> =
        changes.iter().map(|(time, diff, row)| ((time - hour("0")) / HOUR, *diff, row.resolution)).collect();
    assert_eq!(resolutions, [(6, 1, None), (9, -1, None), (9, 1, Some(Resolution::MetLate))]);
}

#[test]
fn copies_emit_nothing_but_their_count() {
    for seed in seeds(300) {
        // Even seeds: no order retires, so a copy is a copy whenever it comes.
        let case = &history(2 * seed);
        let mut dice = Dice(seed);
        let mut copies = Vec::new();
        for (line, number) in (10_000..).zip(0..1 + dice.below(10)) {
            let original = &case.arrivals[dice.below(case.arrivals.len() as u64) as usize];
            let t = original.t + [0, 0, 1, HOUR, 40 * HOUR][(number % 5) as usize];
            // A copy stands later than its original, in its partition, too.
            let position = dataflows::model::Position::new(5, line);
            copies.push(Arrival { t, position, ..original.clone() });
        }
        let number = copies.iter().filter(|copy| case.until.is_none_or(|until| copy.fact.at <= until)).count();
        let with_copies = Case { arrivals: [case.arrivals.clone(), copies].concat(), ..case.clone() };
        let mut case = case.clone();
        // Known beforehand, the end does not shape what falls due on the way.
        case.until = case.until.or(inside(&case).map(|arrival| arrival.fact.at).max());
        let with_copies = Case { until: case.until, ..with_copies };
        let plain = run(&case, Way { deal: seed, ..CHANGES });
        let more = run(&with_copies, Way { deal: seed + 1, workers: 1 + (seed % 2) as usize, ..CHANGES });
        let (expected, expected_more) = (expected(&case), expected(&with_copies));
        assert_eq!(expected.tables, expected_more.tables, "seed {seed}");
        assert_eq!(expected.duplicates + number as u64, expected_more.duplicates, "seed {seed}");
        let less = |gathered: &Gathered| {
            Updates::of(gathered).filtered(|(name, _, _)| !["record_law", "data_quality"].contains(name))
        };
        less(&plain).compare(&less(&more)).unwrap_or_else(|complaint| panic!("seed {seed}: {complaint}"));
        let duplicates = |gathered: &Gathered| -> i64 {
            let of_law = Updates::of(gathered).filtered(|(name, _, _)| *name == "record_law").measures;
            of_law.values().map(|measures| measures.counts[3]).sum()
        };
        assert_eq!(duplicates(&plain) + number as i64, duplicates(&more), "seed {seed}");
    }
}

#[test]
fn a_fact_that_comes_and_is_displaced_at_once_is_as_if_it_had_never_come() {
    // At one logical time both come, the loser first in every order of arrival: only its dead letter is left.
    let (with, without) = ("P@0 R@3>9#e S@2>9#e b.P@9", "P@0 S@2>9#e b.P@9");
    let updates = |story| {
        let updates = Updates::of(&run(&story_until(story, 0, "60"), CHANGES));
        updates.filtered(|(name, _, _)| !["record_law", "refusals"].contains(name))
    };
    updates(without).compare(&updates(with)).unwrap();
    // One after the other: once the loser is displaced, what stands is what stands without it.
    let displaced = "P@0 R@3#e S@2>9#e b.P@9";
    let stands = |story| {
        let case = story_until(story, 0, "60");
        let gathered = run(&case, CHANGES);
        let results = super::tables::as_of(&gathered, hour("9"), &law(&case), CHANGES.detail, case.until);
        let mut tables = results.unwrap().tables;
        tables.remove("refusals");
        tables
    };
    assert_eq!(stands(displaced), stands(without));
}

#[test]
fn a_tenants_rows_depend_on_its_facts_alone() {
    let (mut rows, mut sums) = (0, 0);
    for seed in seeds(300) {
        let mut case = history(seed);
        let latest = inside(&case).map(|arrival| arrival.t).max().unwrap_or(0);
        case.until = case.until.or(Some(latest));
        let all = Updates::of(&run(&case, Way { deal: seed, ..CHANGES }));
        for tenant in ["default", "a", "b"] {
            let its = |arrival: &&Arrival| arrival.fact.order.tenant.to_string() == tenant;
            let alone = Case { arrivals: case.arrivals.iter().filter(its).cloned().collect(), ..case.clone() };
            let named = format!("{:?}", Text::new(tenant));
            let of_tenant = |updates: Updates| {
                updates.filtered(|(name, _, row)| match *name {
                    "record_law" | "data_quality" | "refusals" => false,
                    "aggregates" => row.rsplit(' ').nth(1) == Some(tenant),
                    _ => row.contains(&format!("tenant: {named}")),
                })
            };
            let alone = of_tenant(Updates::of(&run(&alone, Way { deal: seed + 1, ..CHANGES })));
            (rows, sums) = (rows + alone.rows.len(), sums + alone.measures.len() + alone.lines.len());
            let complaint = of_tenant(all.clone()).compare(&alone);
            complaint.unwrap_or_else(|complaint| panic!("seed {seed}, tenant {tenant}: {complaint}"));
        }
    }
    assert!(rows > 1_000 && sums > 1_000, "{rows} rows and {sums} sums are too few to tell");
}

#[test]
fn sums_change_at_ticks_and_nothing_at_all_after_the_end() {
    for seed in seeds(300) {
        // On time: an accepted fact is not later than T, a refused one may be.
        let seed = seed / 2 * 4 + seed % 2;
        check(seed, &open_ended(seed), |case| {
            let way = Way { deal: seed, workers: 1 + (seed % 2) as usize, ..CHANGES };
            let Gathered { orders, measures, lines, .. } = run(case, way);
            let (end, tick_ms) = (expected(case).as_of, case.settings.tick_ms);
            let times = measures.iter().map(|(_, time, _)| *time).chain(lines.iter().map(|(_, time, _)| *time));
            let off = times.into_iter().find(|time| tick_at_or_after(*time, tick_ms).min(end) != *time);
            let late = orders.iter().find(|(_, time, _)| *time > end);
            match (off, late) {
                (None, None) => Ok(()),
                _ => Err(format!("after {end} or off the grid: {off:?} {late:?}")),
            }
        });
    }
}

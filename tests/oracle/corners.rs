//! Corners no golden reaches, told by hand: each is run in every way and held against the law at every instant, and
//! says by a few cells that it is the corner it claims to be.

use dataflows::model::{Rules, Sla, SlaRule, Text};
use dataflows::orders::Detail;
use dataflows::settings::Settings;

use super::every_time::adds_up;
use super::final_state::agrees;
use super::harness::{CHANGES, FINAL, Way, check, expected, law, run};
use super::law::histories::Case;
use super::story::{HOUR, hour, promises, rule, settings, short_lives, told};
use super::tables::{as_of, compare};

/// Runs a case in every way: at its end, at every instant up to it, and up to a later end that is given.
fn holds(case: &Case) {
    for (deal, workers) in (0..9).zip([1, 2, 4].into_iter().cycle()) {
        check(deal, case, |case| agrees(case, Way { workers, deal, ..FINAL }));
        check(deal, case, |case| agrees(case, Way { workers, deal, detail: Detail::Changes, ..FINAL }));
    }
    let latest = case.arrivals.iter().map(|arrival| arrival.t).max().unwrap();
    for later in [0, 1, hour("100") - hour("0")] {
        let case = Case { until: case.until.or(Some(latest + later)), ..case.clone() };
        for (deal, workers) in (0..3).zip([1, 2, 4]) {
            check(deal, &case, |case| agrees(case, Way { workers, deal, ..FINAL }));
            check(deal, &case, |case| adds_up(case, Way { workers, deal, ..CHANGES }, usize::MAX));
        }
    }
}

/// The case holds, and these cells of its last state are these.
fn shows(case: &Case, table: &str, columns: &[usize], cells: &[&str]) {
    let answer = expected(case);
    let cell = |cell: &String| cell.replace("2024-", "").replace(":00:00.000Z", "");
    let pick = |row: &Vec<String>| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>().join(" ");
    assert_eq!(answer.tables[table].iter().map(pick).collect::<Vec<_>>(), cells);
    holds(case);
}

fn story(story: &str, settings: &Settings) -> Case {
    told(story, settings, &promises([]))
}

fn ruled(story: &str, rules: impl IntoIterator<Item = SlaRule>) -> Case {
    told(story, &settings(), &promises(rules))
}

#[test]
fn a_fact_at_the_bound_is_accepted_and_one_after_it_is_not() {
    // An unfinished order lives 24 hours after its last fact, a finished one 6.
    shows(&story("P@0 R@24 b.P@60", &short_lives()), "refusals", &[1], &[]);
    shows(&story("P@0 R@24+1 b.P@60", &short_lives()), "refusals", &[1], &["order_retired"]);
    shows(&story("P@0 D@1 I1@7 b.P@60", &short_lives()), "refusals", &[1], &[]);
    shows(&story("P@0 D@1 I1@7+1 b.P@60", &short_lives()), "refusals", &[1], &["order_retired"]);
    // A copy prolongs no life, a conflict that loses does not either.
    shows(&story("P@0#e P@0>20#e P@10#e R@30 b.P@60", &short_lives()), "orders", &[3], &["ORDER", "ORDER"]);
}

#[test]
fn a_retired_order_is_frozen_as_of_its_bound() {
    // Delivery is due exactly at the bound: that still acts. One millisecond of grace later it never does.
    let exactly = story("P@0 b.P@60", &short_lives());
    shows(&exactly, "sla_breaches", &[0, 2], &["a delivery", "a processing"]);
    let after = story("P@0 b.P@60", &Settings { grace_ms: 1, ..short_lives() });
    shows(&after, "sla_breaches", &[0, 2], &["a processing"]);
    // A finished order is frozen 6 hours after its last fact: processing in 6 hours is not due by then.
    let frozen = told("P@0 C@1 b.P@60", &short_lives(), &promises([rule(Sla::Delivery, 3, Some(8), true)]));
    shows(&frozen, "sla_breaches", &[0, 2], &[]);
    // A rule at the bound reaches the SLA that is open, one after it does not.
    let longer = |from| {
        let settings = Settings { max_age_ms: 24 * 3_600_000, ..short_lives() };
        told("P@0 H@0+1 b.P@70", &settings, &promises([rule(Sla::Delivery, 0, Some(from), true)]))
    };
    holds(&longer(24));
    holds(&longer(25));
}

#[test]
fn a_late_fact_decides_the_bound_by_its_logical_time_and_the_freeze_by_its_own() {
    // Accepted at hour 20: lives to hour 44 but is frozen at hour 25.
    holds(&story("P@0 R@1>20 b.P@20 S@44 b.R@21 c.P@90", &short_lives()));
    holds(&story("P@0 R@1>20 b.P@20 S@44+1 b.R@21 c.P@90", &short_lives()));
    holds(&story("P@0 D@10>14 b.P@14 I1@5>16 b.R@16 $1:9@22>22 c.P@90", &short_lives()));
}

#[test]
fn a_second_life_starts_after_the_last_instant_of_the_tombstone() {
    // Bound at hour 24, tombstone to hour 36.
    shows(&story("P@0 R@36 b.P@90", &short_lives()), "orders", &[0, 3], &["a ORDER", "b ORDER"]);
    let second = story("P@0 R@36+1 b.P@90", &short_lives());
    shows(&second, "orders", &[0, 3], &["a UNPLACED", "b ORDER"]);
    // Its rows replace those with the same key; older breaches and events stay; aggregates count both.
    shows(&second, "orders_by_status", &[0, 1, 2], &["* ORDER 2", "* UNPLACED 1", "t ORDER 2", "t UNPLACED 1"]);
    shows(&second, "sla_breaches", &[0, 2], &["a delivery", "a processing"]);
    shows(&second, "stalled_orders", &[0, 2], &["a UNPLACED"]);
    // Three lives, each with the same breaches: the latest stands.
    let third = story("P@0 P@40 P@80 b.R@130", &short_lives());
    shows(&third, "sla_breaches", &[2, 4], &["delivery 03-01T08", "processing 03-01T08"]);
    shows(&third, "sla_summary", &[0, 1, 2], &["* delivery 3", "* processing 3", "t delivery 3", "t processing 3"]);
    // A second life without a breach leaves that of the first one; one that is withdrawn leaves it, too.
    holds(&story("P@0 P@40 R@41 D@42 P@80 R@81>88 b.P@88 c.R@130", &short_lives()));
}

#[test]
fn a_window_closes_at_an_exact_instant() {
    // The hour of placement ends at 1, so it closes at 1 + 12 + 24 = 37; the order is kept alive up to then.
    let alive = "P@0 R@20 R@30";
    shows(
        &story(&format!("{alive} I1@37 b.P@50"), &short_lives()),
        "gmv_metrics",
        &[0, 2, 3],
        &["day * 1", "day t 1", "hour * 1", "hour t 1", "total * 1", "total t 1"],
    );
    shows(
        &story(&format!("{alive} I1@37+1 b.P@50"), &short_lives()),
        "gmv_metrics",
        &[0, 2, 3],
        &["day * 1", "day t 1", "total * 1", "total t 1"],
    );
    // A payment's window is its own, closed or not; a cohort moves out of a window that is still open.
    holds(&story(&format!("{alive} $1:9@0>36 $2:9@0+1>38 b.P@36 b.R@38 C@39 c.P@90"), &short_lives()));
    holds(&story("P@5#e R@20 R@30 P@0>36#e b.P@36 D@42 c.P@90", &short_lives()));
    // Drop-off is due after its window has closed: it counts nowhere. At the very instant it still does.
    for abandon_after in ["37", "36", "38"] {
        let abandon_after_ms = hour(abandon_after) - hour("0");
        let settings = Settings { abandon_after_ms, ..short_lives() };
        holds(&story("P@0 R@20 R@30 R@40 b.P@99", &settings));
    }
}

#[test]
fn a_displaced_winner_leaves_nothing_behind() {
    shows(&story("P@5#e R@6 P@1>9#e b.P@9", &settings()), "orders", &[0, 4], &["a 02-27T01", "b 02-27T09"]);
    // A delivery that is displaced by a hold: the order was finished and is not any more.
    shows(&story("P@0 D@3#e H@2>5#e b.P@5", &settings()), "orders", &[0, 3], &["a ORDER", "b ORDER"]);
    // Displaced twice, at one instant, by the copy of a loser, and after the breach it caused.
    holds(&story("P@3#e P@2>9#e P@1>9#e P@2>10#e P@3>11#e b.P@12", &settings()));
    holds(&story("P@0#e P@8>8#e I1:Hats@1 I1:Pants@1 I1@0>30 b.P@30", &settings()));
    // The order is not finished any more: it lives on by max_age, its last fact being the displacement.
    holds(&story("P@0 D@3#e H@2>8#e b.P@8 S@31 S@32+1 b.R@31 b.R@33 c.P@99", &short_lives()));
}

#[test]
fn holds_count_where_they_begin_before_the_deadline() {
    // Processing is due at 6. Held at 6 is too late, a millisecond earlier is not.
    shows(&story("P@0 H@6 U@7 R@7 D@7+1", &settings()), "sla_breaches", &[2, 5], &["processing 02-27T06"]);
    shows(&story("P@0 H@6-1 U@7-1 R@7 D@7+1", &settings()), "sla_breaches", &[2], &[]);
    // Moved by the hold, reached by the next one only then; one that is never released takes the deadline away.
    holds(&story("P@0 H@5 U@8 H@8 U@9 H@10 U@11 b.P@60", &settings()));
    shows(&story("P@0 H@5 b.I1@60", &settings()), "sla_breaches", &[2], &[]);
    shows(
        &story("P@0 H@5 R@50 b.I1@60", &settings()),
        "sla_summary",
        &[0, 1, 3],
        &["* delivery 0", "* processing 1", "* shipping 0", "t delivery 0", "t processing 1", "t shipping 0"],
    );
    // The hold becomes known after the breach was shown: it is withdrawn, and comes back when the hold is released.
    holds(&story("P@0 H@5>10 b.P@10 U@7>20 b.R@20 c.P@60", &settings()));
    holds(&story("H@0 U@3 P@1 R@8 R@9 b.P@60", &settings()));
}

#[test]
fn rules_of_one_instant_are_taken_together() {
    let hats = SlaRule { category: Some(Text::new("Hats")), ..rule(Sla::Delivery, 18, Some(5), true) };
    let tenants = SlaRule { tenant: Some(Text::new("t")), ..rule(Sla::Delivery, 9, Some(5), true) };
    let all = rule(Sla::Delivery, 4, Some(5), true);
    let off = rule(Sla::Delivery, 0, Some(10), true);
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let rules = order.map(|place| [hats.clone(), tenants.clone(), all.clone(), off.clone()][place].clone());
        holds(&ruled("P@0 I1:Hats@1 b.P@4 x/c.P@0 x/c.I1:Hats@3 x/d.P@1 e.I1@60", rules));
    }
    // An open rule at the deadline comes too late, and at the very instant the SLA is met too.
    holds(&ruled("P@0 b.P@1 R@6 b.R@6 c.I1@60", [rule(Sla::Processing, 12, Some(6), true)]));
    // Off and on again; on from its old start, long past: a breach at the time of the rule.
    let blinking = [rule(Sla::Delivery, 0, Some(3), true), rule(Sla::Delivery, 2, Some(9), true)];
    shows(
        &ruled("P@0 b.I1@60", blinking),
        "sla_breaches",
        &[0, 2, 5],
        &["a delivery 02-27T02", "a processing 02-27T06"],
    );
}

#[test]
fn what_is_due_at_the_end_shows_and_what_is_due_after_it_does_not() {
    // T = 6: processing is due then. T = 6 - 1 ms: it is not.
    shows(&story("P@0 b.I1@6", &settings()), "sla_breaches", &[0, 2], &["a processing"]);
    shows(&story("P@0 b.I1@6-1", &settings()), "sla_breaches", &[0, 2], &[]);
    let grace = Settings { grace_ms: 1, ..settings() };
    shows(&story("P@0 b.I1@6", &grace), "sla_breaches", &[0, 2], &[]);
    shows(&story("P@0 b.I1@6+1", &grace), "sla_breaches", &[0, 2], &["a processing"]);
    // Drop-off, which no grace delays.
    shows(&story("P@0 b.I1@24", &grace), "drop_off_analysis", &[1, 3], &["t no_items"]);
    shows(&story("P@0 b.I1@24-1", &grace), "drop_off_analysis", &[1, 3], &[]);
    // Stalled.
    shows(&story("P@0 b.I1@24", &short_lives()), "stalled_orders", &[0], &["a"]);
    shows(&story("P@0 b.I1@24-1", &short_lives()), "stalled_orders", &[0], &[]);
    // A rule.
    let off = || [rule(Sla::Processing, 0, Some(5), true)];
    shows(&ruled("P@0 b.I1@5", off()), "sla_summary", &[0, 1], &["* delivery", "t delivery"]);
    shows(
        &ruled("P@0 b.I1@5-1", off()),
        "sla_summary",
        &[0, 1],
        &["* delivery", "* processing", "t delivery", "t processing"],
    );
}

#[test]
fn only_accepted_facts_set_the_end() {
    // A conflict that loses, a copy that comes later, and facts of a retired order lie after T.
    for (story_of, settings, end) in [
        ("P@0#e P@30#e", settings(), "0"),
        ("P@0#e R@3 P@30#e P@0>40#e", settings(), "3"),
        ("P@0 D@1 I1@8 S@9 C@9>19", short_lives(), "1"),
        ("P@0 I1@2 I1@30 I2@1>30 b.P@29", settings(), "29"),
    ] {
        let case = story(story_of, &settings);
        assert_eq!(expected(&case).as_of, hour(end), "{story_of}");
        for (deal, workers) in (0..12).zip([1, 2, 4].into_iter().cycle()) {
            check(deal, &case, |case| agrees(case, Way { workers, deal, ..FINAL }));
            check(deal, &case, |case| agrees(case, Way { workers, deal, ..CHANGES }));
        }
    }
}

#[test]
fn a_fact_too_late_is_refused_and_changes_nothing() {
    // Horizon of 12 hours: 12 behind is taken, a millisecond more is not; where the order is retired both hold.
    shows(&story("P@8 b.P@20 R@8+1>20+1 b.R@21", &short_lives()), "refusals", &[1], &[]);
    shows(&story("P@8 b.P@20 R@8+1>20+2 b.R@21", &short_lives()), "refusals", &[1], &["too_late"]);
    shows(&story("P@0 D@1 b.P@15 R@2>15 b.R@16", &short_lives()), "refusals", &[1], &["order_retired;too_late"]);
    shows(&story("b.P@15 R@2>15 b.R@16", &short_lives()), "orders", &[0], &["b"]);
    // A life may begin late, be frozen before it begins, and be amended late.
    holds(&story("b.P@11 P@0>11 R@0>12 b.R@12 b.S@25 D@24>35 c.P@35 c.R@36", &short_lives()));
}

#[test]
fn a_late_fact_amends_what_had_fallen_due_before_it() {
    // A conflict that loses takes its partition to hour 40 while nothing accepted is later than 30. The drop-off for
    // want of items at hour 36 is counted before its window closes at 37; the item at 40 comes too late for that.
    let settings = Settings { abandon_after_ms: 36 * HOUR, ..short_lives() };
    let late = story("P@0 R@20 b.P@25#e b.P@40#e I1@30>40 c.P@50", &settings);
    shows(&late, "drop_off_analysis", &[0, 1, 3], &["02-27T00 t no_items"]);
    // The end lies between: nothing fell due, and the item counts, though it came after the end.
    let ended = story("P@0 R@20 b.P@25#e b.P@40#e I1@30>40", &Settings { max_age_ms: 30 * HOUR, ..settings });
    shows(&ended, "drop_off_analysis", &[0, 1, 3], &[]);
}

#[test]
fn nothing_comes_of_nothing() {
    let nothing = Case { arrivals: Vec::new(), ..story("P@0", &settings()) };
    for workers in [1, 2, 4] {
        for detail in [Detail::Final, Detail::Changes] {
            check(0, &nothing, |case| agrees(case, Way { workers, detail, ..FINAL }));
        }
    }
    let later = Case { until: Some(hour("100")), ..nothing };
    let outcome = as_of(&run(&later, CHANGES), u64::MAX, &law(&later), CHANGES.detail, later.until).unwrap();
    compare(&expected(&later), &outcome, |_| true).unwrap();
    assert_eq!(Rules::default().iter().count(), 3);
}

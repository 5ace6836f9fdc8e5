//! The reference against small cases worked out by hand: SLAs, holds, rules (section 4) and retirement (section 8).

use dataflows::model::{Rules, Sla, Text};
use dataflows::settings::Settings;

use super::by_hand::{HOUR, cells, rule, settings, told};
use super::law::Answer;

/// Breaches as `sla status deadline resolved resolution`.
fn breaches(answer: &Answer) -> Vec<String> {
    cells(answer, "sla_breaches", &[2, 3, 5, 6, 7]).iter().map(|row| row.trim_end().to_owned()).collect()
}

fn breached(story: &str, as_of: &str) -> Vec<String> {
    breaches(&told(story, &settings(), &Rules::default(), as_of))
}

fn ruled(story: &str, rules: &Rules, as_of: &str) -> Vec<String> {
    breaches(&told(story, &settings(), rules, as_of))
}

/// The default rules with these added.
fn rules(rules: &[dataflows::model::SlaRule]) -> Rules {
    Rules::with(rules.iter().cloned())
}

/// Counts of an SLA over all tenants: orders, met, met_late, breached_open, breached_cancelled, cancelled_in_time, open.
fn summary(answer: &Answer, sla: &str) -> String {
    let rows = cells(answer, "sla_summary", &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    let prefix = format!("* {sla} ");
    rows.iter().find_map(|row| row.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

/// Retention 10 h, max_age 200 h, horizon 20 h.
fn short() -> Settings {
    Settings { retention_ms: 10 * HOUR, max_age_ms: 200 * HOUR, horizon_ms: 20 * HOUR, ..settings() }
}

#[test]
fn an_event_at_exactly_the_deadline_meets_it() {
    // "An event at exactly the deadline meets it."
    assert_eq!(breached("P@0 R@24", "48"), Vec::<String>::new());
    assert_eq!(breached("P@0 R@24+1", "24"), ["processing ORDER 02-28T00"]);
    let late = told("P@0 R@24+1", &settings(), &Rules::default(), "48");
    assert_eq!(cells(&late, "sla_breaches", &[7, 8]), ["met_late 0.001"]);
    assert_eq!(breached("P@0", "24-1"), Vec::<String>::new());
}

#[test]
fn a_tie_of_met_time_and_cancellation_is_met() {
    // "a tie of met time and C is met"; "`resolution` met_late (also on a tie)".
    let told_at = |story| told(story, &settings(), &Rules::default(), "90");
    assert_eq!(summary(&told_at("P@0 R@5 C@5"), "processing"), "1 1 0 0 0 0 0");
    assert_eq!(summary(&told_at("P@0 C@5"), "processing"), "1 0 0 0 0 1 0");
    assert_eq!(breaches(&told_at("P@0 R@30 C@30")), ["processing ORDER 02-28T00 02-28T06 met_late"]);
    assert_eq!(breaches(&told_at("P@0 C@30")), ["processing ORDER 02-28T00 02-28T06 cancelled"]);
}

#[test]
fn a_breach_waits_for_grace() {
    // "shown from logical time max(deadline + grace, …) on"; goldens: the summary waits with it.
    let patient = Settings { grace_ms: 6 * HOUR, ..settings() };
    let before = told("P@0", &patient, &Rules::default(), "30-1");
    assert_eq!((breaches(&before), summary(&before, "processing")), (vec![], "1 0 0 0 0 0 1".to_owned()));
    let after = told("P@0", &patient, &Rules::default(), "30");
    assert_eq!(breaches(&after), ["processing ORDER 02-28T00"]);
    assert_eq!(summary(&after, "processing"), "1 0 0 1 0 0 0");
}

#[test]
fn holds_move_the_deadline() {
    // "only its part after the start counts, and only if it began strictly before the deadline".
    assert_eq!(breached("P@0 H@10 U@15", "60"), ["processing ORDER 02-28T05"]);
    assert_eq!(breached("H@0 P@10 U@15", "60"), ["processing ORDER 02-28T15"]);
    assert_eq!(breached("P@0 H@24-1 U@25", "60"), ["processing ORDER 2024-02-28T01:00:00.001Z".replace("2024-", "")]);
    assert_eq!(breached("P@0 H@24 U@25", "60"), ["processing ORDER 02-28T00"]);
}

#[test]
fn a_hold_never_released_leaves_no_deadline() {
    // "One never released means that there is no deadline: the SLA stays open until it is met, whenever that is".
    let open = told("P@0 H@10", &settings(), &Rules::default(), "600");
    assert_eq!((breaches(&open), summary(&open, "delivery")), (vec![], "1 0 0 0 0 0 1".to_owned()));
    let met = told("P@0 H@10 R@500", &settings(), &Rules::default(), "600");
    assert_eq!(summary(&met, "processing"), "1 1 0 0 0 0 0");
}

#[test]
fn a_breach_shows_the_status_of_its_deadline() {
    // "the fold of the facts with at ≤ its deadline, as it would be shown".
    assert_eq!(breached("R@0 P@100", "110"), ["shipping UNPLACED 03-01T00"]);
    assert_eq!(breached("P@0 F@24 C@25", "30"), ["processing ORDER 02-28T00 02-28T01 cancelled"]);
    assert_eq!(breached("P@0 R@168", "168")[0], "delivery PROCESSING 03-05T00");
}

#[test]
fn shipping_starts_at_processing_alone() {
    // "shipping: starts R (only if set)".
    let skipped = told("P@0 S@2", &settings(), &Rules::default(), "30");
    assert_eq!(summary(&skipped, "shipping"), "");
    assert_eq!(summary(&skipped, "processing"), "1 1 0 0 0 0 0");
}

#[test]
fn a_new_rule_reaches_only_slas_that_start_from_its_time_on() {
    // "the rules considered are those with valid_from ≤ s".
    let set = rules(&[rule(Sla::Processing, 2, Some(5), false)]);
    assert_eq!(ruled("P@5", &set, "20"), ["processing ORDER 02-27T07"]);
    assert_eq!(ruled("P@5-1", &set, "20"), Vec::<String>::new());
}

#[test]
fn an_open_rule_reaches_slas_that_are_open() {
    // "its deadline so far > v …, neither met nor cancelled at ≤ v": the old start, so the deadline may lie before v.
    let set = rules(&[rule(Sla::Processing, 2, Some(10), true)]);
    assert_eq!(ruled("P@0 R@11", &set, "20"), ["processing ORDER 02-27T02 02-27T11 met_late"]);
    assert_eq!(ruled("P@0 R@10", &set, "20"), Vec::<String>::new());
    // "Rules with valid_from > T do not exist as of T."
    assert_eq!(ruled("P@0", &set, "10-1"), Vec::<String>::new());
    let at_deadline = rules(&[rule(Sla::Processing, 90, Some(24), true)]);
    assert_eq!(ruled("P@0", &at_deadline, "40"), ["processing ORDER 02-28T00"]);
}

#[test]
fn rules_of_one_time_are_taken_together() {
    // "several with one v are taken together": alone, the first would put the deadline before v and close the SLA.
    let mut tenant = rule(Sla::Processing, 50, Some(10), true);
    tenant.tenant = Some(Text::new("t"));
    let set = rules(&[rule(Sla::Processing, 2, Some(10), true), tenant]);
    assert_eq!(ruled("P@0", &set, "60"), ["processing ORDER 02-29T02"]);
    // One at a later time finds it closed.
    let mut later = rule(Sla::Processing, 50, Some(11), true);
    later.tenant = Some(Text::new("t"));
    assert_eq!(
        ruled("P@0", &rules(&[rule(Sla::Processing, 2, Some(10), true), later]), "60"),
        ["processing ORDER 02-27T02"]
    );
}

#[test]
fn off_is_never_and_counts_nowhere() {
    // "where all are off the SLA does not exist and is counted nowhere; `apply = open` may switch it on (from its old
    // start)".
    let off = rule(Sla::Processing, 0, None, false);
    let gone = told("P@0", &settings(), &rules(std::slice::from_ref(&off)), "90");
    assert_eq!(summary(&gone, "processing"), "");
    let on = rules(&[off, rule(Sla::Processing, 50, Some(30), true)]);
    assert_eq!(ruled("P@0", &on, "90"), ["processing ORDER 02-29T02"]);
}

#[test]
fn the_most_specific_rule_wins_and_the_earliest_deadline_counts() {
    // "tenant and category, tenant, category, neither; then the latest valid_from. Of several categories the earliest".
    let mut tenant = rule(Sla::Processing, 10, None, false);
    tenant.tenant = Some(Text::new("t"));
    let mut hats = rule(Sla::Processing, 2, None, false);
    hats.category = Some(Text::new("Hats"));
    assert_eq!(ruled("P@0 I1:Hats@0", &rules(&[tenant, hats.clone()]), "20"), ["processing ORDER 02-27T10"]);
    let hats_alone = rules(&[hats.clone()]);
    assert_eq!(ruled("P@0 I1:Hats@0 I2:Pants@0", &hats_alone, "20"), ["processing ORDER 02-27T02"]);
    // "An item without a category (or `unknown`) matches only rules without one."
    assert_eq!(ruled("P@0 I1:unknown@0 I2@0", &hats_alone, "20"), Vec::<String>::new());
    hats.within = dataflows::model::Within::Off;
    assert_eq!(ruled("P@0 I1:Hats@0 I2@0", &rules(&[hats]), "25"), ["processing ORDER 02-28T00"]);
}

#[test]
fn a_fact_at_exactly_the_bound_is_accepted() {
    // "A fact at exactly the bound is accepted"; "facts for that order … are dead letters `order_retired`".
    let terminal = "P@0 R@1 S@2 D@3";
    let told_at = |more: &str| told(&format!("{terminal} {more}"), &short(), &Rules::default(), "99");
    assert_eq!(told_at("F@13").accepted, 5);
    assert_eq!(cells(&told_at("F@13+1"), "refusals", &[0, 1]), ["5 order_retired"]);
    // "copies of old ones included".
    assert_eq!(cells(&told_at("P@0>14"), "refusals", &[1]), ["order_retired"]);
    // "duplicates and conflict losers do not [prolong life]".
    assert_eq!(cells(&told_at("P@0>13 F@14"), "refusals", &[0]), ["6"]);
}

#[test]
fn after_the_tombstone_a_fact_starts_a_new_order() {
    // "The tombstone's time runs from the bound, its last instant included. After it a fact starts a new order under
    // the same key: its rows replace those with the same key, older breaches and violations stay, aggregates count both."
    let first = "P@0 S@40 D@41";
    let last = told(&format!("{first} P@71"), &short(), &Rules::default(), "99");
    assert_eq!(cells(&last, "refusals", &[0, 1]), ["4 order_retired"]);
    let second = told(&format!("{first} P@71+1"), &short(), &Rules::default(), "72");
    assert_eq!(cells(&second, "orders", &[3, 15]), ["ORDER 0"]);
    assert_eq!(cells(&second, "violations", &[3]), ["ITEM_SHIPPED"]);
    assert_eq!(breaches(&second), ["processing ORDER 02-28T00 02-28T16 met_late"]);
    assert_eq!(summary(&second, "processing"), "2 0 1 0 0 0 1");
    assert_eq!(cells(&second, "orders_by_status", &[0, 1, 2])[..2], ["* DELIVERED 1", "* ORDER 1"]);
}

#[test]
fn an_order_cancelled_while_unplaced_is_terminal() {
    // "terminal when its fold's stage is DELIVERED or it is cancelled (shown or UNPLACED)".
    assert_eq!(cells(&told("C@0 P@11", &short(), &Rules::default(), "20"), "refusals", &[1]), ["order_retired"]);
}

#[test]
fn an_unfinished_order_stalls_and_is_frozen() {
    // "stalled_at = last_event_at + max_age, shown when ≤ T"; "deadlines … up to and including [the bound] act, later
    // ones never": a hold moves the deadline to hour 224.
    let story = "P@0 H@1 U@201";
    let frozen = Settings { max_age_ms: 22 * HOUR, ..short() };
    assert_eq!(cells(&told("P@0", &short(), &Rules::default(), "200"), "stalled_orders", &[5]), ["03-06T08"]);
    assert!(told("P@0", &short(), &Rules::default(), "200-1").tables["stalled_orders"].is_empty());
    assert_eq!(breaches(&told(story, &short(), &Rules::default(), "224")).len(), 1);
    // With the bound before the deadline it never comes.
    assert_eq!(breaches(&told("P@0 H@1 U@5", &frozen, &Rules::default(), "99")), Vec::<String>::new());
}

#[test]
fn a_closed_window_changes_no_more() {
    // "A window closes horizon + max_age after its end (a change at exactly that time still counts)": day 1 ends at
    // hour 24 and closes at 244.
    let life = "P@0 I1@100 I2@200";
    let items = |story: &str| cells(&told(story, &short(), &Rules::default(), "300"), "gmv_metrics", &[0, 2, 4]);
    assert_eq!(items(&format!("{life} I3@244")), ["day * 3", "day t 3"]);
    let after = format!("{life} I3@244+1");
    assert_eq!(items(&after), ["day * 2", "day t 2"]);
    // "an order that lives still changes its own row".
    assert_eq!(cells(&told(&after, &short(), &Rules::default(), "300"), "orders", &[10]), ["3"]);
}

//! What a publisher keeps, and for how long.

use dataflows::orders::Rows;
use dataflows::settings::Transitions;
use dataflows::time::{DAY_MS, MINUTE_MS};
use dataflows::views::dead_letters::Refusal;

use super::*;

/// Twenty seconds after a minute.
const AT: Time = 1_700_000_000_000;
/// Nothing changes any more of what is older.
const STAYS_MS: u64 = 2 * MINUTE_MS;

fn publisher() -> Publisher {
    let settings = Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: 1,
        abandon_after_ms: DAY_MS,
        expect_payments: true,
        retention_ms: 0,
        max_age_ms: MINUTE_MS,
        horizon_ms: MINUTE_MS,
        windows: vec![Window::Minute, Window::Total],
    };
    Publisher::new(&settings, Rows::All, Box::new(|position| (Text::new("topic"), Text::new(&position.0.to_string()))))
}

fn refused(line: u64, rank: u8) -> RefusedFact {
    let (position, content, reason) = (Position::new(0, line), format!("{{\"rank\":{rank}}}"), Refusal::OrderRetired);
    RefusedFact { position, rank, content, reason, event_id: None }
}

/// The changes of rows of a collection, as the keys' last cells and whether they stand.
fn changes(publisher: &mut Publisher, frontier: Time, collection: &str) -> Vec<(String, Option<String>)> {
    let published = publisher.publish(frontier).into_iter();
    let of = published.filter(|(change, _)| change.collection.name == collection);
    of.map(|(change, _)| (change.key.to_string(), change.row.map(|row| row.to_string()))).collect()
}

fn kept(publisher: &Publisher) -> [usize; 2] {
    [publisher.standing.refused.records().count(), publisher.standing.funnel.len()]
}

#[test]
fn what_cannot_change_any_more_is_forgotten_and_its_rows_stay() {
    let mut publisher = publisher();
    let key = MeasureKey::in_total(Aggregate::Funnel, Symbol::from("shop"), 0);
    let window = key.within(Window::Minute, Window::Minute.start(AT));
    publisher.take(Update::Refused(vec![(refused(1, 0), AT, 1)]));
    publisher.take(Update::Orders(vec![(window, AT, Measures::of_count(1))]));
    assert_eq!(
        publisher.publish(AT + 1).len(),
        5,
        "a dead letter, and a minute and all time of the shop and of all shops"
    );
    assert_eq!(kept(&publisher), [1, 4]);
    assert!(publisher.publish(AT + STAYS_MS).is_empty());
    assert_eq!(kept(&publisher), [1, 4], "its order may still come to life");
    assert!(publisher.publish(AT + STAYS_MS + 1).is_empty());
    assert_eq!(kept(&publisher), [0, 4], "the minute ended later");
    assert!(publisher.publish(AT + 2 * STAYS_MS + 1).is_empty());
    assert_eq!(kept(&publisher), [0, 2], "all of time goes on");
}

#[test]
fn the_refused_facts_of_a_record_are_one_row_until_all_are_taken_back() {
    let mut publisher = publisher();
    let row = |facts: &str| Some(format!("order_retired\0\0\0[{facts}]\0"));
    let (first, second) = ("{\"rank\":0}", "{\"rank\":1}");
    let key = format!("topic\0{}\0", Position::new(0, 7).0);
    for (time, rank, diff, expected) in [
        (AT, 1, 1, row(second)),
        (AT + 1, 0, 1, row(&format!("{first},{second}"))),
        (AT + 2, 1, -1, row(first)),
        (AT + 3, 0, -1, None),
        (AT + 4, 0, 1, row(first)),
    ] {
        publisher.take(Update::Refused(vec![(refused(7, rank), time, diff)]));
        assert_eq!(changes(&mut publisher, time + 1, "dead_letters"), [(key.clone(), expected)]);
    }
}

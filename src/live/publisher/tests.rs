//! What a publisher keeps, and for how long.

use dataflows::model::Symbol;
use dataflows::operators::changing_sums::ChangingSums;
use dataflows::orders::Rows;
use dataflows::settings::Transitions;
use dataflows::time::{DAY_MS, MINUTE_MS};
use dataflows::views::dead_letters::Refusal;
use dataflows::views::roll_up::RowSums;
use proptest::prelude::*;

use super::*;

/// Twenty seconds after a minute.
const AT: Time = 1_700_000_000_000;
/// Nothing changes any more of what is older.
const STAYS_MS: u64 = 2 * MINUTE_MS;
const WINDOWS: [Window; 3] = [Window::Minute, Window::Hour, Window::Total];

pub(crate) fn publisher(rows: Rows) -> Publisher {
    let settings = Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: 1,
        abandon_after_ms: DAY_MS,
        expect_payments: true,
        retention_ms: 0,
        max_age_ms: MINUTE_MS,
        horizon_ms: MINUTE_MS,
        windows: WINDOWS.to_vec(),
    };
    Publisher::new(&settings, rows, Box::new(|position| (Text::new("topic"), Text::new(&position.0.to_string()))))
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
    [publisher.standing.refused.records().count(), publisher.standing.windowed()]
}

#[test]
fn what_cannot_change_any_more_is_forgotten_and_its_rows_stay() {
    let mut publisher = publisher(Rows::All);
    let key = MeasureKey::in_total(Aggregate::Funnel, Symbol::from("shop"), 0);
    let window = key.within(Window::Minute, Window::Minute.start(AT));
    publisher.take(Update::Refused(vec![(refused(1, 0), AT, 1)]));
    publisher.take(Update::Orders(vec![(window, AT, Measures::of_count(1))]));
    assert_eq!(
        publisher.publish(AT + 1).len(),
        7,
        "a dead letter, and a minute, an hour and all time of the shop and of all shops"
    );
    assert_eq!(kept(&publisher), [1, 6]);
    assert!(publisher.publish(AT + STAYS_MS).is_empty());
    assert_eq!(kept(&publisher), [1, 6], "its order may still come to life");
    assert!(publisher.publish(AT + STAYS_MS + 1).is_empty());
    assert_eq!(kept(&publisher), [0, 6], "the minute ended later");
    assert!(publisher.publish(AT + 2 * STAYS_MS + 1).is_empty());
    assert_eq!(kept(&publisher), [0, 4], "the hour and all of time go on");
}

#[test]
fn minutes_of_data_quality_close_as_other_windows_do_and_their_rows_stay() {
    let key = |at| QualityKey::new(Symbol::from("topic"), at);
    // How many were read of the minutes of which a row is told.
    let read = |publisher: &mut Publisher, at, time| {
        publisher.take(Update::Read(vec![(Position::new(0, 1), time, Reading::Quality(key(at), quality::VALID))]));
        let rows = changes(publisher, time + 1, "data_quality_metrics").into_iter();
        rows.map(|(_, row)| row.unwrap().split('\0').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut kept = publisher(Rows::All);
    let last = AT + 40_000 + STAYS_MS;
    assert_eq!(read(&mut kept, Some(AT), AT), ["1"]);
    assert_eq!(read(&mut kept, None, AT + 1), ["1"]);
    assert_eq!(read(&mut kept, Some(AT), last), ["2"], "a change at exactly that time still counts");
    assert_eq!(
        kept.standing.quality.values().map(ChangingSums::len).sum::<usize>(),
        1,
        "what has no minute never closes"
    );
    assert!(read(&mut kept, Some(AT), last + 1).is_empty());
    assert_eq!(read(&mut kept, None, last + 3), ["2"]);
    assert_eq!(kept.standing.quality.values().map(ChangingSums::len).sum::<usize>(), 1);
}

#[test]
fn the_refused_facts_of_a_record_are_one_row_until_all_are_taken_back() {
    let mut publisher = publisher(Rows::All);
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

/// A contribution at `time` to the finest window that is open of an earlier time, as orders make it.
fn contribution(time: Time, (code, tenant, ago_ms, count): (u16, bool, u64, i64)) -> Vec<Update> {
    let tenant = Symbol::from(if tenant { "shop" } else { "stall" });
    let is_open = |window: &Window| window.end(window.start(time - ago_ms)).is_none_or(|end| time <= end + STAYS_MS);
    let finest = WINDOWS.into_iter().find(is_open).unwrap();
    let within = |aggregate, window: Window| {
        MeasureKey::in_total(aggregate, tenant, code).within(window, window.start(time - ago_ms))
    };
    let orders = |key| Update::Orders(vec![(key, time, Measures::of_count(count))]);
    let mut updates = vec![
        orders(within(Aggregate::Funnel, finest)),
        orders(MeasureKey::in_total(Aggregate::SlaSummary, tenant, code)),
        Update::Lines(vec![(within(Aggregate::Payments, finest), time, LineMeasures::of_count(count))]),
    ];
    if is_open(&Window::Hour) {
        updates.push(orders(within(Aggregate::DropOff, Window::Hour)));
    }
    updates
}

fn text(changes: Vec<(Change, Time)>) -> Vec<String> {
    let mut rows: Vec<String> = changes.iter().map(|change| format!("{change:?}")).collect();
    rows.sort();
    rows
}

proptest! {
    #[test]
    fn sums_that_were_not_rolled_up_make_the_same_rows_once_a_sink_is_added(
        rounds in proptest::collection::vec(
            (0..40 * MINUTE_MS, proptest::collection::vec((0..2_u16, any::<bool>(), 0..90 * MINUTE_MS, -1..3_i64), 0..4)), 1..20),
        added_after in 0..20_usize,
    ) {
        let (mut wanted, mut unwanted, mut now) = (publisher(Rows::All), publisher(Rows::OpenBreaches), AT);
        let only_adds = rounds.iter().flat_map(|(_, contributions)| contributions).all(|(.., count)| *count >= 0);
        for (round, (pause_ms, contributions)) in rounds.into_iter().enumerate() {
            now += pause_ms;
            for update in contributions.into_iter().flat_map(|one| contribution(now, one)) {
                wanted.take(update.clone());
                unwanted.take(update);
            }
            let (told, not_told) = (text(wanted.publish(now + 1)), text(unwanted.publish(now + 1)));
            prop_assert_eq!(wanted.breaches_open(), unwanted.breaches_open());
            if round > added_after {
                prop_assert_eq!(told, not_told);
                continue;
            }
            prop_assert_eq!(not_told, Vec::<String>::new());
            // What is taken back may come to nothing where it is rolled up alone.
            if only_adds {
                prop_assert!(unwanted.standing.windowed() <= wanted.standing.windowed());
            }
            if round == added_after {
                for publisher in [&mut wanted, &mut unwanted] {
                    let mut bytes = Vec::new();
                    publisher.snapshot(&mut |piece| bytes.extend(piece.bytes.unwrap()));
                    *publisher = self::publisher(Rows::All);
                    publisher.restore(now + 1, &bytes, |_| true).unwrap();
                    publisher.show_stood();
                }
                prop_assert_eq!(text(wanted.take_stood()), text(unwanted.take_stood()));
            }
        }
    }
}

//! The reference against small cases worked out by hand, each naming the sentence of semantics.md it comes from.
//!
//! A story is a line of tokens `EVENT@HOUR`, hours counted from 2024-02-27T00:00Z, with `+1` or `-1` for a millisecond
//! beside it, `>HOUR` for a later logical time and `#id` for an event_id. Events: P placed, F confirmed, R processing,
//! S shipped, D delivered, H held, U released, C cancelled; `I1:Hats` an item of 10.00 with freight 1.00, `$1:11.00` a
//! payment.

use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Position, Rules, Sla, SlaRule};
use dataflows::model::{Text, Within};
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{Time, Window};

use super::law::{Answer, Arrival, answer};

pub const HOUR: u64 = 3_600_000;
const START: Time = 1_708_992_000_000;

pub fn settings() -> Settings {
    Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: 60_000,
        abandon_after_ms: 24 * HOUR,
        expect_payments: true,
        retention_ms: 30 * 24 * HOUR,
        max_age_ms: 365 * 24 * HOUR,
        horizon_ms: 365 * 24 * HOUR,
        windows: vec![Window::Day],
    }
}

fn strict() -> Settings {
    Settings { transitions: Transitions::Strict, ..settings() }
}

fn hour(text: &str) -> Time {
    let (hours, beside) = match text.split_once(['+', '-']) {
        Some((hours, ms)) if text.contains('+') => (hours, ms.parse::<i64>().unwrap()),
        Some((hours, ms)) => (hours, -ms.parse::<i64>().unwrap()),
        None => (text, 0),
    };
    (START + hours.parse::<u64>().unwrap() * HOUR).strict_add_signed(beside)
}

fn arrival(token: &str, line: u64) -> Arrival {
    let (what, when) = token.split_once('@').unwrap();
    let (when, event_id) = when.split_once('#').map_or((when, None), |(when, id)| (when, Some(Text::new(id))));
    let (when, later) = when.split_once('>').map_or((when, None), |(when, later)| (when, Some(hour(later))));
    let (number, detail) = what[1..].split_once(':').unwrap_or((&what[1..], ""));
    let money = |text: &str| Money((text.parse::<f64>().unwrap() * 10_000.0).round() as i128);
    let body = match &what[..1] {
        "I" => Body::Item {
            item_no: number.parse().unwrap(),
            product_id: None,
            product_name: None,
            category: (!detail.is_empty()).then(|| Text::new(detail)),
            category_joined: false,
            seller_id: None,
            quantity: 1,
            price: Money(100_000),
            freight: Money(10_000),
        },
        "$" => Body::Payment {
            seq: number.parse().unwrap(),
            payment_type: PaymentType::Boleto,
            installments: 1,
            value: money(detail),
        },
        letter => Body::Lifecycle {
            kind: EventKind::ALL["PFRSDHUC".find(letter).unwrap()],
            origin: Origin::Event,
            customer_id: (!number.is_empty()).then(|| Text::new(number)),
        },
    };
    let order = OrderId { tenant: "t".into(), order_id: "o".into() };
    let fact = Fact { order, at: hour(when), event_id, body };
    Arrival { t: later.unwrap_or(fact.at).max(fact.at), too_late: false, position: Position(line), fact }
}

pub fn arrivals(story: &str) -> Vec<Arrival> {
    (1..).zip(story.split_whitespace()).map(|(line, token)| arrival(token, line)).collect()
}

/// The results of a story as of an hour.
pub fn told(story: &str, settings: &Settings, rules: &Rules, as_of: &str) -> Answer {
    answer(&arrivals(story), rules, settings, Some(hour(as_of)))
}

/// Cells of a table, without those of order and tenant `o` and `t`, with times as `DAYThour`.
pub fn cells(answer: &Answer, table: &str, columns: &[usize]) -> Vec<String> {
    let cell = |cell: &String| cell.replace("2024-", "").replace(":00:00.000Z", "");
    let pick = |row: &Vec<String>| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>().join(" ");
    answer.tables[table].iter().map(pick).collect()
}

pub fn rule(sla: Sla, hours: u64, from: Option<u64>, applies_to_open: bool) -> SlaRule {
    let within = if hours == 0 { Within::Off } else { Within::Allowed(hours * HOUR) };
    let valid_from = from.map(|from| START + from * HOUR);
    SlaRule { sla, within, tenant: None, category: None, valid_from, applies_to_open }
}

/// Verdicts and statuses shown after each event, in the order of the fold's times.
fn verdicts(story: &str, settings: &Settings) -> Vec<String> {
    cells(&told(story, settings, &Rules::default(), "900"), "order_events", &[6, 5, 7])
        .into_iter()
        .filter(|row| row.ends_with("false"))
        .map(|row| row.trim_end_matches(" false").to_owned())
        .collect()
}

#[test]
fn every_event_has_one_verdict() {
    // "Each gets one verdict, the first row that fits."
    assert_eq!(
        verdicts("P@0 R@1 S@2 D@3 C@4", &settings()),
        ["ok ORDER", "ok PROCESSING", "ok SHIPPED", "ok DELIVERED", "cancel_after_delivery DELIVERED"]
    );
    assert_eq!(
        verdicts("P@0 P@1 S@2 R@3 R@4", &settings()),
        ["ok ORDER", "repeated ORDER", "skipped_stage SHIPPED", "backward SHIPPED", "repeated SHIPPED"]
    );
}

#[test]
fn strict_ignores_what_is_not_ok() {
    // "skipped_stage … strict: ignored": so shipping after it is skipped again, and processing is next.
    assert_eq!(
        verdicts("P@0 S@1 R@2 S@3", &strict()),
        ["ok ORDER", "skipped_stage ORDER", "ok PROCESSING", "ok SHIPPED"]
    );
    assert_eq!(verdicts("R@0 P@1", &strict()), ["not_placed UNPLACED", "ok ORDER"]);
}

#[test]
fn unplaced_is_shown_until_placed_at_is_known() {
    // "not_placed … applied: its time is recorded; the status rises to it"; "UNPLACED is shown until placed_at is known".
    assert_eq!(verdicts("S@0 P@1 R@2", &settings()), ["not_placed UNPLACED", "backward SHIPPED", "backward SHIPPED"]);
}

#[test]
fn placement_after_cancellation_sets_placed_at_when_lenient() {
    // "after_cancellation … ignored, but ORDER_PLACED sets placed_at (status stays)".
    let story = "C@0 P@1 R@2 C@3";
    assert_eq!(
        verdicts(story, &settings()),
        ["not_placed UNPLACED", "after_cancellation CANCELLED", "after_cancellation CANCELLED", "repeated CANCELLED"]
    );
    // "strict: ignored": the cancellation too, so the order is placed and then cancelled.
    assert_eq!(verdicts(story, &strict()), ["not_placed UNPLACED", "ok ORDER", "ok PROCESSING", "ok CANCELLED"]);
}

#[test]
fn an_unplaced_delivery_cannot_be_cancelled() {
    // "cancel_after_delivery: ORDER_CANCELLED in DELIVERED" comes before not_placed.
    assert_eq!(
        verdicts("D@0 C@1 P@2", &settings()),
        ["not_placed UNPLACED", "cancel_after_delivery UNPLACED", "backward DELIVERED"]
    );
}

#[test]
fn holds_and_confirmations_change_no_status() {
    // "repeated when already held/not held; after_cancellation; not_placed (recorded when lenient); else ok".
    assert_eq!(
        verdicts("U@0 H@1 P@2 H@3 U@4 U@5 F@6 F@7 C@8 U@9 H@10", &settings()),
        [
            "repeated UNPLACED",
            "not_placed UNPLACED",
            "ok ORDER",
            "repeated ORDER",
            "ok ORDER",
            "repeated ORDER",
            "ok ORDER",
            "repeated ORDER",
            "ok CANCELLED",
            "repeated CANCELLED",
            "after_cancellation CANCELLED"
        ]
    );
}

#[test]
fn events_of_one_instant_go_by_rank() {
    // "sorted by (at, rank, id)": given backwards, all at one instant, they are still in turn.
    let told = told("C@0 D@0 S@0 R@0 P@0", &settings(), &Rules::default(), "1");
    assert_eq!(cells(&told, "violations", &[3, 6]), ["ORDER_CANCELLED cancel_after_delivery"]);
}

#[test]
fn the_customer_is_that_of_the_first_placement() {
    // "customer_id is that of the first ORDER_PLACED …, or, where that has none, of the first lifecycle fact that has".
    let customer = |story| cells(&told(story, &settings(), &Rules::default(), "9"), "orders", &[2]);
    assert_eq!(customer("Ra@0 Pb@1 Pc@2"), ["b"]);
    assert_eq!(customer("Ra@0 P@1 Pc@2"), ["a"]);
    assert_eq!(customer("P@1 Rd@2"), ["d"]);
}

#[test]
fn a_copy_is_a_duplicate_and_another_content_a_conflict() {
    // "the smallest (at, content) wins …; every other distinct content is one dead letter (further copies of it are
    // duplicates)".
    let told = told("R@2#e P@1#e P@1#e R@2#e P@3#e", &settings(), &Rules::default(), "9");
    assert_eq!((told.accepted, told.duplicates, told.refused), (1, 2, 2));
    assert_eq!(cells(&told, "refusals", &[0, 1]), ["1 conflicting_duplicate", "5 conflicting_duplicate"]);
    assert_eq!(cells(&told, "orders", &[3]), ["ORDER"]);
}

#[test]
fn a_displaced_winner_becomes_the_dead_letter() {
    // "a winner may be displaced later, then it becomes the dead letter, with its own position".
    let told = told("P@2#e P@1>3#e P@2>4#e", &settings(), &Rules::default(), "9");
    assert_eq!((told.accepted, told.duplicates, told.refused), (1, 1, 1));
    assert_eq!(cells(&told, "refusals", &[0]), ["1"]);
    assert_eq!(cells(&told, "orders", &[4]), ["02-27T01"]);
}

#[test]
fn items_payments_and_events_of_one_id_do_not_meet() {
    // "Items and payments always have (order, item_no) and (order, seq) as identity, whatever their event_id."
    let told = told("P@0#1 I1@0#1 $1:5@0#1 I1@0#2", &settings(), &Rules::default(), "9");
    assert_eq!((told.accepted, told.duplicates, told.refused), (3, 1, 0));
}

#[test]
fn money_and_shares_of_the_funnel() {
    // "paid_in_full (paid_value ≥ item_value + freight_value, with items)"; "average_order_value = gmv/orders".
    let told = told("P@0 I1:Hats@1 I2@1 $1:22@30 C@31", &settings(), &Rules::default(), "40");
    assert_eq!(cells(&told, "real_time_funnel", &[2, 3, 4, 5, 6, 10, 11, 12])[1], "t 1 1 1 1 1 100.00 100.00");
    assert_eq!(cells(&told, "gmv_metrics", &[1, 3, 4, 5, 6, 7, 8, 9])[0], "02-27T00 1 2 20.00 2.00 20.00 0.00 20.00");
    assert_eq!(cells(&told, "category_metrics", &[2, 3, 4, 5])[..2], ["* Hats 1 10.00", "* unknown 1 10.00"]);
    // "payment metrics to that of the payment's own `at`".
    assert_eq!(cells(&told, "payment_metrics", &[1, 2, 3, 4, 5])[0], "02-28T00 * boleto 1 22.00");
}

#[test]
fn drop_offs_wait_for_abandon_after() {
    // "Shown from placed_at + abandon_after on (≤ T; `grace` plays no part)"; "`cancelled`, at once".
    let patient = Settings { grace_ms: 6 * HOUR, ..settings() };
    let stage =
        |story, as_of| cells(&told(story, &patient, &Rules::default(), as_of), "drop_off_analysis", &[0, 2, 3, 5]);
    assert_eq!(stage("P@5", "29-1"), Vec::<String>::new());
    assert_eq!(stage("P@5", "29"), ["02-27T05 ORDER no_items 0.00"]);
    assert_eq!(stage("P@5 I1@6 R@7", "29"), ["02-27T05 PROCESSING no_payment 10.00"]);
    assert_eq!(stage("P@5 I1@6 S@7", "29"), Vec::<String>::new());
    assert_eq!(stage("P@5 S@6 C@7", "7"), ["02-27T05 CANCELLED cancelled 0.00"]);
}

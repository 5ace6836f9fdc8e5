//! What records of topics come to, and that rows say the same as in files.

use csv::ByteRecord;
use dataflows::model::EventKind;
use proptest::prelude::*;

use super::*;
use crate::decode::decode_line;
use crate::decode::olist::{ItemColumns, OrderColumns, PaymentColumns};

const NOW_MS: Time = 1_700_000_000_000;

fn facts(text: &str) -> Vec<Fact> {
    record(text.as_bytes(), &Limits::at(NOW_MS)).map(|facts| facts.into_iter().collect()).unwrap_or_default()
}

fn reasons(text: &str) -> String {
    record(text.as_bytes(), &Limits::at(NOW_MS)).map_or_else(|broken| broken.joined(), |_| "ok".to_owned())
}

#[test]
fn a_row_of_an_order_tells_more_as_it_fills_up_and_repeats_itself() {
    let first = r#"{"order_id":"a","customer_id":"c","order_status":"created","order_purchase_timestamp":"2018-01-01 00:00:00",
        "order_approved_at":null,"order_delivered_carrier_date":"","order_estimated_delivery_date":"nonsense"}"#;
    let last = r#"{"order_id":"a","customer_id":"c","order_status":"canceled","order_purchase_timestamp":1514764800000,
        "order_approved_at":"2018-01-02T00:00:00Z","order_delivered_carrier_date":"2017-12-31 00:00:00"}"#;
    let (first, last) = (facts(first), facts(last));
    let kinds = |facts: &[Fact]| -> Vec<EventKind> {
        facts
            .iter()
            .filter_map(|fact| match fact.body {
                Body::Lifecycle { kind, origin: Origin::Row, .. } => Some(kind),
                _ => None,
            })
            .collect()
    };
    assert_eq!(kinds(&first), [EventKind::Placed]);
    let all = [EventKind::Placed, EventKind::ProcessingStarted, EventKind::Shipped, EventKind::Cancelled];
    assert_eq!(kinds(&last), all);
    assert_eq!((first[0].identity(), first[0].content()), (last[0].identity(), last[0].content()));
    let whole = Facts { first: last[0].clone(), more: last[1..].to_vec() };
    assert_eq!(whole.latest() - whole.at(), 2 * 86_400_000);
}

#[test]
fn members_tell_what_a_record_is() {
    for (text, expected) in [
        (r#"{"order_id":1,"event_type":"ORDER_PLACED","timestamp":5,"order_status":"shipped"}"#, "ok"),
        (r#"{"order_id":1,"status":"shipped","timestamp":5}"#, "ok"),
        (r#"{"order_id":1,"event_type":"ITEM_ADDED","item_no":1,"quantity":1,"price":"1","timestamp":5}"#, "ok"),
        (r#"{"order_id":1,"order_item_id":1,"price":1.5,"freight_value":"0","timestamp":5,"tenant":"t"}"#, "ok"),
        (r#"{"order_id":1,"payment_sequential":1,"payment_type":"boleto","payment_value":1,"timestamp":5}"#, "ok"),
        (r#"{"order_id":1,"timestamp":5}"#, "missing_field:event_type"),
        (
            r#"{"order_status":"shipped","order_purchase_timestamp":5,"order_id":1,"order_item_id":1,"price":1,"freight_value":0,"timestamp":5}"#,
            "ok",
        ),
        (
            r#"{"order_status":null,"payment_value":" ","order_id":1,"order_item_id":1,"price":1,"freight_value":0,"timestamp":5}"#,
            "ok",
        ),
        (r#"{"order_id":1,"order_status":null}"#, "missing_field:order_purchase_timestamp;missing_field:order_status"),
        (
            r#"{"order_id":"*","order_status":"gone","order_purchase_timestamp":"x","tenant":"*"}"#,
            "bad_id:tenant;bad_timestamp:order_purchase_timestamp;unknown_status",
        ),
        (
            r#"{"order_item_id":-1,"freight_value":"x","event_id":[]}"#,
            "bad_id:event_id;bad_number:freight_value;missing_field:order_id;missing_field:price;missing_field:timestamp;negative:order_item_id",
        ),
        (
            r#"{"order_id":1,"payment_value":"","payment_installments":-1}"#,
            "missing_field:payment_sequential;missing_field:payment_type;missing_field:payment_value;missing_field:timestamp;negative:payment_installments",
        ),
        (
            r#"{"order_id":1,"order_item_id":1,"price":"10000.01","freight_value":0,"timestamp":9999999999999}"#,
            "above_maximum:price;future_timestamp:timestamp",
        ),
        ("", "malformed"),
        ("[]", "malformed"),
        ("\u{feff}{}", "malformed"),
    ] {
        assert_eq!(reasons(text), expected, "{text}");
    }
    assert_eq!(record(b"\xff", &Limits::at(NOW_MS)).unwrap_err().joined(), "not_utf8");
    let too_large = format!("{{\"a\":\"{}\"}}", "a".repeat(1 << 20));
    assert_eq!(reasons(&too_large), "too_large");
    assert_eq!(
        facts(
            r#"{"order_id":1,"order_item_id":2,"price":1,"freight_value":0,"timestamp":5,"tenant":"t","event_id":"e"}"#
        )[0]
        .order
        .tenant,
        Text::new("t")
    );
}

/// A cell of a row: what is usual, what is broken, what is blank.
fn cell(usual: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(usual.to_owned()), 1 => "[ a-z0-9.:\\-]{0,6}", 1 => Just(String::new())]
}

fn as_json(columns: &[&str], cells: &[String]) -> String {
    let members: serde_json::Map<_, _> =
        columns.iter().zip(cells).map(|(name, cell)| ((*name).to_owned(), cell.as_str().into())).collect();
    serde_json::Value::Object(members).to_string()
}

proptest! {
    #[test]
    fn differential_rows_break_the_same_rules_as_in_files(
        order in (cell("a-1"), cell("c"), cell("shipped"), cell("2018-01-01 10:00:00"), cell("2018-01-02 10:00:00")),
        item in (cell("a-1"), cell("1"), cell("p"), cell("12.50"), cell("0")),
        payment in (cell("a-1"), cell("1"), cell("voucher"), cell("2"), cell("7.5")),
    ) {
        let limits = Limits::at(NOW_MS);
        let columns = ["order_id", "customer_id", "order_status", "order_purchase_timestamp", "order_approved_at"];
        let cells = [order.0, order.1, order.2, order.3, order.4];
        let in_file = OrderColumns::from_header(&ByteRecord::from(columns.to_vec())).unwrap();
        let in_file = in_file.decode(&ByteRecord::from(cells.to_vec()), &limits);
        let in_topic = record(as_json(&columns, &cells).as_bytes(), &limits);
        match (in_file, in_topic) {
            (Ok(row), Ok(facts)) => {
                let events: Vec<Time> = row.events().into_iter().flatten().map(|(_, at)| at).collect();
                prop_assert_eq!(facts.iter().map(|fact| fact.at).collect::<Vec<_>>(), events);
                prop_assert_eq!(&facts.order().order_id, &row.order_id);
            }
            (in_file, in_topic) => prop_assert_eq!(in_file.map(|_| ()), in_topic.map(|_| ())),
        }

        let columns = ["order_id", "order_item_id", "product_id", "price", "freight_value"];
        let cells = [item.0, item.1, item.2, item.3, item.4];
        let in_file = ItemColumns::from_header(&ByteRecord::from(columns.to_vec())).unwrap();
        let in_file = in_file.decode(&ByteRecord::from(cells.to_vec()), &limits);
        let timed = as_json(&columns, &cells).replacen('{', "{\"timestamp\":7,", 1);
        let in_topic = record(timed.as_bytes(), &limits);
        prop_assert_eq!(in_file.map(|_| ()).map_err(|broken| broken.joined()), in_topic.map(|_| ()).map_err(|broken| broken.joined()));

        let columns = ["order_id", "payment_sequential", "payment_type", "payment_installments", "payment_value"];
        let cells = [payment.0, payment.1, payment.2, payment.3, payment.4];
        let in_file = PaymentColumns::from_header(&ByteRecord::from(columns.to_vec())).unwrap();
        let in_file = in_file.decode(&ByteRecord::from(cells.to_vec()), &limits);
        let timed = as_json(&columns, &cells).replacen('{', "{\"timestamp\":7,", 1);
        let in_topic = record(timed.as_bytes(), &limits);
        prop_assert_eq!(in_file.map(|_| ()).map_err(|broken| broken.joined()), in_topic.map(|_| ()).map_err(|broken| broken.joined()));
    }

    #[test]
    fn differential_lines_of_files_mean_the_same_in_topics(
        text in "\\{\"order_id\":\"[ab]\",\"(event_type|status)\":\"(ORDER_PLACED|shipped|[a-z]{0,3})\",\"timestamp\":[0-9]{1,14}(,\"price\":\"?[0-9]{0,4}\"?)?\\}?"
    ) {
        let limits = Limits::at(NOW_MS);
        prop_assert_eq!(record(text.as_bytes(), &limits), decode_line(text.as_bytes(), &limits));
    }
}

//! Tests of JSON lines: every reason code with a record that has it and a neighbour that has not.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const NOW: Time = 1_710_000_000_000;

fn decode(line: &str) -> Result<Facts, Broken> {
    decode_line(line.as_bytes(), &Limits::at(NOW))
}

fn verdict(line: &str) -> String {
    match decode(line) {
        Ok(facts) => facts.iter().map(|fact| shown(&fact.body)).collect::<Vec<_>>().join(" "),
        Err(broken) => broken.joined(),
    }
}

fn shown(body: &Body) -> &'static str {
    match body {
        Body::Lifecycle { kind, .. } => kind.name(),
        Body::Item { .. } => "item",
        Body::Payment { .. } => "payment",
    }
}

/// A line with these members after an order and a time.
fn with(members: &str) -> String {
    format!(r#"{{"order_id":"o","timestamp":1000,{members}}}"#)
}

const ITEM: &str = r#""event_type":"ITEM_ADDED","item_no":1,"quantity":2,"price":"2.5""#;
const PAYMENT: &str = r#""event_type":"PAYMENT_RECEIVED","payment_seq":1,"payment_type":"voucher","value":5"#;
const SALE: &str = r#""status":"pending","quantity":2,"price":2.50,"total":"5.0","payment_method":"boleto""#;

#[test]
fn every_reason_and_its_neighbour() {
    let held = r#""event_type":"order_held""#;
    for (members, expected) in [
        (held.to_string(), "ORDER_HELD"),
        (r#""event_type":" Order_Held ""#.into(), "ORDER_HELD"),
        (r#""event_type":"NOPE""#.into(), "unknown_event_type"),
        (r#""event_type":5"#.into(), "missing_field:event_type"),
        (r#""event_type":" ","status":null"#.into(), "missing_field:event_type"),
        (r#""event_type":" ","status":"Cancelled""#.into(), "ORDER_CANCELLED"),
        (r#""event_type":"ORDER_HELD","status":"lost""#.into(), "ORDER_HELD"),
        (r#""status":"lost""#.into(), "unknown_status"),
        (r#""status":"canceled","payment_method":"cash""#.into(), "unknown_payment_type;unknown_status"),
        (r#""status":"shipped","payment_method":5"#.into(), "ITEM_SHIPPED"),
        // Ids wherever present.
        (format!(r#"{held},"tenant":"*""#), "bad_id:tenant"),
        (format!(r#"{held},"tenant":7,"event_id":4,"customer_id":3,"product_id":"p""#), "ORDER_HELD"),
        (format!(r#"{held},"customer_id":false,"product_id":[]"#), "bad_id:customer_id;bad_id:product_id"),
        (format!(r#"{held},"event_id":1.5"#), "bad_id:event_id"),
        (r#""event_type":"NOPE","customer_id":"\u0001x""#.into(), "bad_id:customer_id;unknown_event_type"),
        // Other fields only where a fact would come of them.
        (r#""event_type":"ITEM_SHIPPED","price":"x","quantity":-3"#.into(), "ITEM_SHIPPED"),
        (r#""event_type":"ORDER_PLACED","price":"x","quantity":-3"#.into(), "ORDER_PLACED"),
        (r#""event_type":"ORDER_PLACED","item_name":5,"price":"x""#.into(), "ORDER_PLACED"),
        (r#""event_type":"ORDER_PLACED","item_name":"x","price":" ","quantity":0"#.into(), "ORDER_PLACED"),
        (r#""event_type":"ORDER_PLACED","item_name":"x","price":1"#.into(), "ORDER_PLACED item"),
        (
            r#""event_type":"ORDER_PLACED","item_name":"x","price":-1,"quantity":0"#.into(),
            "below_minimum:quantity;negative:price",
        ),
        // Items.
        (ITEM.into(), "item"),
        (r#""event_type":"ITEM_ADDED""#.into(), "missing_field:item_no;missing_field:price;missing_field:quantity"),
        (format!(r#"{ITEM},"item_no":-1,"quantity":0"#), "below_minimum:quantity;negative:item_no"),
        (format!(r#"{ITEM},"item_no":0,"quantity":1000000,"price":10000,"freight":null"#), "item"),
        (format!(r#"{ITEM},"item_no":65536,"quantity":1000001"#), "bad_number:item_no;bad_number:quantity"),
        (format!(r#"{ITEM},"price":10000.0001,"freight":99999999999"#), "above_maximum:price"),
        (format!(r#"{ITEM},"price":true,"freight":-0.01"#), "bad_number:price;negative:freight"),
        (format!(r#"{ITEM},"price":1.00005,"freight":1e11"#), "bad_number:freight;bad_number:price"),
        // Payments.
        (PAYMENT.into(), "payment"),
        (
            r#""event_type":"PAYMENT_RECEIVED""#.into(),
            "missing_field:payment_seq;missing_field:payment_type;missing_field:value",
        ),
        (format!(r#"{PAYMENT},"payment_type":5"#), "missing_field:payment_type"),
        (format!(r#"{PAYMENT},"payment_type":"Cash""#), "unknown_payment_type"),
        (format!(r#"{PAYMENT},"payment_type":"PayPal","installments":0,"value":-0"#), "payment"),
        (
            format!(r#"{PAYMENT},"payment_seq":2.0,"installments":-1,"value":-0.5"#),
            "bad_number:payment_seq;negative:installments;negative:value",
        ),
        // Sales: their numbers always.
        (SALE.into(), "ORDER_PLACED item payment"),
        (
            r#""status":"pending""#.into(),
            "missing_field:payment_method;missing_field:price;missing_field:quantity;missing_field:total",
        ),
        (format!(r#"{SALE},"total":5.01"#), "total_mismatch"),
        (format!(r#"{SALE},"status":"shipped","total":5.01"#), "total_mismatch"),
        (format!(r#"{SALE},"status":"shipped","total":null"#), "ITEM_SHIPPED"),
        (format!(r#"{SALE},"total":"x""#), "bad_number:total"),
        (format!(r#"{SALE},"total":-5"#), "negative:total"),
        (format!(r#"{SALE},"price":10001"#), "above_maximum:price"),
        (format!(r#"{SALE},"status":"delivered","quantity":1.0"#), "bad_number:quantity"),
    ] {
        assert_eq!(verdict(&with(&members)), expected, "{members}");
    }
}

#[test]
fn the_last_of_repeated_keys_wins_even_where_it_is_null() {
    assert_eq!(verdict(&with(r#""event_type":"NOPE","event_type":"ORDER_HELD""#)), "ORDER_HELD");
    assert_eq!(verdict(&with(r#""event_type":"ORDER_HELD","order\u005fid":null"#)), "missing_field:order_id");
}

#[test]
fn what_cannot_be_read_has_one_reason() {
    let held = r#""event_type":"ORDER_HELD""#;
    for (line, expected) in [
        (&br#"[1]"#[..], "malformed"),
        (br#"{"order_id":"o""#, "malformed"),
        (br#"{"order_id":NaN}"#, "malformed"),
        (br#"{"order_id":"","x":"\ud800"}"#, "malformed"),
        (b"{\"order_id\":\"\xff\"}", "not_utf8"),
    ] {
        assert_eq!(decode_line(line, &Limits::at(NOW)).unwrap_err(), Broken::only(reason(expected)));
    }
    let padded = |bytes: usize| {
        let line = with(held);
        line.clone() + &" ".repeat(bytes - line.len())
    };
    assert_eq!(verdict(&padded(MAX_RECORD_BYTES)), "ORDER_HELD");
    assert_eq!(verdict(&padded(MAX_RECORD_BYTES + 1)), "too_large");
}

fn reason(code: &str) -> Reason {
    [Reason::Malformed, Reason::NotUtf8].into_iter().find(|reason| reason.code() == code).unwrap()
}

#[test]
fn order_and_time_are_required() {
    for (line, expected, at) in [
        (r#"{}"#.to_string(), "missing_field:event_type;missing_field:order_id;missing_field:timestamp", None),
        (
            r#"{"order_id":true,"timestamp":"2024-02-30 00:00:00","event_type":"ORDER_HELD"}"#.into(),
            "bad_id:order_id;bad_timestamp:timestamp",
            None,
        ),
        (
            format!(r#"{{"order_id":"o","timestamp":{},"event_type":"ORDER_HELD"}}"#, NOW + 300_001),
            "future_timestamp:timestamp",
            None,
        ),
        (
            r#"{"order_id":" ","timestamp":"1970-01-01T00:00:01Z","event_type":"ORDER_HELD"}"#.into(),
            "missing_field:order_id",
            Some(1000),
        ),
    ] {
        let broken = decode(&line).unwrap_err();
        assert_eq!((broken.joined().as_str(), broken.at), (expected, at), "{line}");
    }
    let on_the_bound = format!(r#"{{"order_id":"o","timestamp":{},"event_type":"ORDER_HELD"}}"#, NOW + 300_000);
    assert_eq!(decode(&on_the_bound).unwrap().at(), NOW + 300_000);
}

#[test]
fn a_broken_record_shows_its_event_id_where_that_is_good() {
    assert_eq!(decode(&with(r#""event_id":" \u00c9 ""#)).unwrap_err().event_id, Some("É".into()));
    assert_eq!(decode(&with(r#""event_id":"a\u0007b""#)).unwrap_err().event_id, None);
}

#[test]
fn a_pending_sale_is_a_placement_an_item_and_a_payment() {
    let line = with(&format!(
        r#"{SALE},"tenant":" a ","event_id":"e","customer_id":9,"product_id":"p","product_name":" Caf\u00e9 ","customer_email":"x@y""#
    ));
    let facts: Vec<Fact> = decode(&line).unwrap().into_iter().collect();
    let order = OrderId { tenant: "a".into(), order_id: "o".into() };
    let fact = |body| Fact { order: order.clone(), at: 1000, event_id: Some("e".into()), body };
    assert_eq!(
        facts,
        [
            fact(lifecycle(EventKind::Placed, Some("9".into()))),
            fact(Body::Item {
                item_no: 1,
                product_id: Some("p".into()),
                product_name: Some("Café".into()),
                category: None,
                category_joined: false,
                seller_id: None,
                quantity: 2,
                price: Money(25_000),
                freight: Money::ZERO,
            }),
            fact(payment(PaymentType::Boleto, Money(50_000))),
        ]
    );
}

#[test]
fn an_item_keeps_its_category_as_given() {
    let line = with(&format!(r#"{ITEM},"item_name":"x","item_category":" Unknown ","freight":"1e1","seller_id":"s""#));
    let facts: Vec<Fact> = decode(&line).unwrap().into_iter().collect();
    assert_eq!(facts.len(), 1);
    assert_eq!(facts[0].order.tenant, DEFAULT_TENANT.into());
    let Body::Item { category, freight, seller_id, .. } = &facts[0].body else { panic!("no item") };
    assert_eq!((category, *freight, seller_id), (&Some("Unknown".into()), Money(100_000), &None));
}

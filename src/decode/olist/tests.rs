//! Tests of Olist rows: headers, every reason with a neighbour, and the fast way against the shared rules.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

const NOW: Time = 1_710_000_000_000;
const ORDERS: &str = "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,order_delivered_customer_date";
const ITEMS: &str = "order_id,order_item_id,product_id,seller_id,price,freight_value";
const PAYMENTS: &str = "order_id,payment_sequential,payment_type,payment_installments,payment_value";

fn record(line: &str) -> ByteRecord {
    line.split(',').collect::<Vec<_>>().into()
}

fn order(line: &str) -> Result<OrderRow, Broken> {
    OrderColumns::from_header(&record(ORDERS)).unwrap().decode(&record(line), &Limits::at(NOW))
}

fn item(line: &str) -> Result<ItemRow, Broken> {
    ItemColumns::from_header(&record(ITEMS)).unwrap().decode(&record(line), &Limits::at(NOW))
}

fn payment(line: &str) -> Result<PaymentRow, Broken> {
    PaymentColumns::from_header(&record(PAYMENTS)).unwrap().decode(&record(line), &Limits::at(NOW))
}

fn verdict<T>(row: Result<T, Broken>) -> String {
    row.map_or_else(|broken| broken.joined(), |_| "ok".to_string())
}

#[test]
fn headers_name_what_is_wrong() {
    let columns = OrderColumns::from_header(&record(" order_purchase_timestamp , x,order_status,order_id,,")).unwrap();
    assert_eq!((columns.width, columns.order_id, columns.purchased_at, columns.status), (6, 3, 0, 2));
    assert_eq!(ItemColumns::from_header(&record("order_id,price")), Err(HeaderError::Missing("order_item_id")));
    let twice = PaymentColumns::from_header(&record("order_id, order_id"));
    assert_eq!(twice, Err(HeaderError::Repeated("order_id".to_string())));
    let error = ItemColumns::from_header(&ByteRecord::from(vec![&b"order_id"[..], b"\xff"]));
    assert_eq!(error, Err(HeaderError::NotUtf8(2)));
}

#[test]
fn an_order_row_in_full() {
    let id = "0123456789abcdef0123456789abcdef";
    let row = order(&format!("{id},c, Unavailable ,1970-01-01 00:00:01,,1970-01-01T00:00:02.5Z, 1970-01-01 00:00:03"));
    let expected = OrderRow {
        order_id: id.into(),
        customer_id: Some("c".into()),
        purchased_at: 1000,
        approved_at: None,
        carrier_at: Some(2500),
        delivered_at: Some(3000),
        cancelled: true,
    };
    assert_eq!(row, Ok(expected));
}

#[test]
fn every_reason_of_an_order_row_and_its_neighbour() {
    for (line, expected, at) in [
        ("o,,created,1970-01-01 00:00:01,,,", "ok", None),
        (" ,,created,1970-01-01 00:00:01,,,", "missing_field:order_id", Some(1000)),
        (
            "a\tb,c\u{7f}d,,1970-01-01 00:00:01,,,",
            "bad_id:customer_id;bad_id:order_id;missing_field:order_status",
            Some(1000),
        ),
        ("o,,lost,,,,", "missing_field:order_purchase_timestamp;unknown_status", None),
        ("o,,cancelled,1970-01-01 00:00:01,,,", "unknown_status", Some(1000)),
        (
            "o,,shipped,2018-02-30 10:00:00,soon,2017-05-05 24:00:00,x",
            "bad_timestamp:order_approved_at;bad_timestamp:order_delivered_carrier_date;bad_timestamp:order_delivered_customer_date;bad_timestamp:order_purchase_timestamp",
            None,
        ),
        ("o,,shipped,1969-12-31 23:59:59,,,", "bad_timestamp:order_purchase_timestamp", None),
        ("o,,shipped,2999-01-01 00:00:00,,,", "future_timestamp:order_purchase_timestamp", None),
        (
            "o,,shipped,1970-01-01 00:00:01,,,2999-01-01 00:00:00",
            "future_timestamp:order_delivered_customer_date",
            Some(1000),
        ),
        ("o,,shipped,1970-01-01 00:00:01,,", "column_count", None),
        ("o,,shipped,1970-01-01 00:00:01,,,,more", "column_count", None),
    ] {
        let row = order(line);
        assert_eq!(row.as_ref().err().and_then(|broken| broken.at), at, "{line}");
        assert_eq!(verdict(row), expected, "{line}");
    }
}

#[test]
fn every_reason_of_item_and_payment_rows_and_its_neighbour() {
    for (line, expected) in [
        ("o,1,p,s,10000,99999.9999", "ok"),
        ("o,0,,, 7.5 ,1e2", "ok"),
        (",,,,,", "missing_field:freight_value;missing_field:order_id;missing_field:order_item_id;missing_field:price"),
        ("o,-1,p,s,10000.01,-0.01", "above_maximum:price;negative:freight_value;negative:order_item_id"),
        (
            "o,1.0,p\u{1}q,s\u{1}t,NaN,x",
            "bad_id:product_id;bad_id:seller_id;bad_number:freight_value;bad_number:order_item_id;bad_number:price",
        ),
        ("o,70000,p,s,-5,1.00005", "bad_number:freight_value;bad_number:order_item_id;negative:price"),
        ("o,1,p,s,1", "column_count"),
    ] {
        assert_eq!(verdict(item(line)), expected, "{line}");
    }
    for (line, expected) in [
        ("o,1,Credit_Card,,123456.78", "ok"),
        ("o,65535,boleto,0,0", "ok"),
        (
            ",,,,",
            "missing_field:order_id;missing_field:payment_sequential;missing_field:payment_type;missing_field:payment_value",
        ),
        (
            "o,x,cash,1.5,-1",
            "bad_number:payment_installments;bad_number:payment_sequential;negative:payment_value;unknown_payment_type",
        ),
        (
            "o,-1,voucher,-1,99999999999999",
            "bad_number:payment_value;negative:payment_installments;negative:payment_sequential",
        ),
    ] {
        assert_eq!(verdict(payment(line)), expected, "{line}");
    }
    assert_eq!(payment("o,1,voucher, ,5").unwrap().installments, 1);
}

#[test]
fn what_cannot_be_read_has_one_reason() {
    let columns = PaymentColumns::from_header(&record(PAYMENTS)).unwrap();
    let decode = |cells: &[&[u8]]| verdict(columns.decode(&ByteRecord::from(cells.to_vec()), &Limits::at(NOW)));
    assert_eq!(decode(&[b"\xff", b"", b"", b"", b""]), "not_utf8");
    // Two halves of a character in neighbouring cells are no character.
    assert_eq!(decode(&[b"\xc3", b"\xa9", b"", b"", b""]), "not_utf8");
    let wide = vec![b'x'; MAX_RECORD_BYTES];
    assert_eq!(decode(&[&wide[4..]]), "column_count");
    assert_eq!(decode(&[&wide[..], b""]), "too_large");
}

proptest! {
    #[test]
    fn differential_the_fast_way_agrees_with_the_shared_rules(
        id in "([0-9a-f]{31,33}| ?[a-zA-Z\\x00-\\x1f é]{0,5})",
        count in " ?[+-]?[0-9]{0,6}(\\.0)?",
        money in " ?[+-]?[0-9]{0,12}\\.?[0-9]{0,5}(e[0-9])?",
        time in " ?(19[67]|20[0-9])[0-9]-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,4})?Z?",
        kind in " ?([cC]redit_card|boleto|cash)?",
    ) {
        let limits = Limits::at(NOW);
        let record = ByteRecord::from(vec![&id, &count, &money, &time, &kind]);
        let mut row = Row::open(&record, 5, &limits).unwrap();
        let mut check = Check::new(&limits);
        prop_assert_eq!(row.id("f", 0), check.id("f", &Cell::of_text(&id)));
        prop_assert_eq!(row.small_count("f", 1), check.small_count("f", &Cell::of_text(&count)));
        prop_assert_eq!(row.money("f", 2), check.money("f", &Cell::of_text(&money)));
        prop_assert_eq!(row.price("f", 2), check.price("f", &Cell::of_text(&money)));
        prop_assert_eq!(row.time("f", 3), check.time("f", &Cell::of_text(&time)));
        prop_assert_eq!(row.payment_type(4), check.payment_type(&Cell::of_text(&kind)));
        prop_assert_eq!(row.check.count(), check.count());
        if check.count() > 0 {
            prop_assert_eq!(row.check.broken(None, None), check.broken(None, None));
        }
    }
}

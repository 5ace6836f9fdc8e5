//! Broken rows in an Olist directory.

use super::outcome::{Outcome, Place};

pub const ORDERS: &str = "olist_orders_dataset.csv";
pub const ITEMS: &str = "olist_order_items_dataset.csv";
pub const PAYMENTS: &str = "olist_order_payments_dataset.csv";
const ORDERS_HEADER: &str = "order_id,order_status,order_purchase_timestamp,order_delivered_customer_date,note";
const ITEMS_HEADER: &str = "order_id,order_item_id,price,freight_value,note";
const PAYMENTS_HEADER: &str = "order_id,payment_sequential,payment_type,payment_value";

/// A directory `shop` with these rows.
pub fn shop(place: &Place, orders: &[u8], items: &[u8], payments: &[u8]) {
    for (name, header, rows) in
        [(ORDERS, ORDERS_HEADER, orders), (ITEMS, ITEMS_HEADER, items), (PAYMENTS, PAYMENTS_HEADER, payments)]
    {
        place.write(&format!("shop/{name}"), [header.as_bytes(), b"\n", rows].concat());
    }
}

/// Replays the shop by every way of reading it: alone, shared, and in arrival order; the last is given back.
fn every_way(place: &Place) -> Outcome {
    let ways = [&["shop", "-w", "1"][..], &["shop", "-w", "2"], &["shop", "--arrival-order"]];
    let mut outcomes: Vec<Outcome> = ways.iter().map(|way| place.replay(way)).collect();
    let last = outcomes.pop().unwrap();
    for other in outcomes {
        assert_eq!(
            (other.letters, other.orders, other.records),
            (last.letters.clone(), last.orders.clone(), last.records)
        );
    }
    last
}

fn found(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.letters.iter().map(|letter| (letter[0].as_str(), letter[1].as_str())).collect()
}

const A: &[u8] = b"a,delivered,2018-01-01 00:00:00,2018-01-02 00:00:00,\n";
const B: &[u8] = b"b,delivered,2018-01-03 00:00:00,2018-01-04 00:00:00,\n";

#[test]
fn line_ends_within_quotes_are_part_of_a_row() {
    let place = Place::new();
    let noted = b"c,created,2018-01-03 00:00:00,,\"said \"\"no\"\"\nand\r\nleft, quickly\"\r\n";
    let broken = b"\n\r\nd,\"lost\n\",2018-01-03 00:00:00,,\n";
    shop(&place, &[A, noted, broken, B].concat(), b"a,1,5,1,\"x\ny\"\nb,1,,1,\n", b"a,1,voucher,6\nb,1,voucher\n");
    let outcome = every_way(&place);
    let expected = [
        ("olist_order_items_dataset.csv:4", "missing_field:price"),
        ("olist_order_payments_dataset.csv:3", "column_count"),
        ("olist_orders_dataset.csv:8", "unknown_status"),
    ];
    assert_eq!(found(&outcome), expected);
    assert_eq!(outcome.letters[2][3], "d,\"lost\\x0A\",2018-01-03 00:00:00,,");
    assert_eq!(outcome.orders.len(), 3);
    assert_eq!(outcome.records, [8, 5, 3]);
}

#[test]
fn a_quote_that_is_never_closed_swallows_nothing_unseen() {
    let place = Place::new();
    let open = b"c,created,2018-01-03 00:00:00,,\"said no\n";
    shop(&place, &[A, open, B].concat(), b"a,1,5,1,\nb,1,5,1,\n", b"a,1,voucher,6\n");
    let outcome = every_way(&place);
    let expected = [("olist_order_items_dataset.csv:3", "unknown_order"), ("olist_orders_dataset.csv:3", "malformed")];
    assert_eq!(found(&outcome), expected);
    assert!(outcome.letters[1][3].starts_with("c,created") && outcome.letters[1][3].contains("b,delivered"));
    // Where too much follows, the record is too large, and reading goes on.
    let many = B.repeat(40_000);
    shop(&place, &[A, open, &many].concat(), b"a,1,5,1,\n", b"a,1,voucher,6\n");
    let outcome = every_way(&place);
    assert_eq!(found(&outcome), [("olist_orders_dataset.csv:3", "too_large")]);
    assert_eq!(outcome.orders.len(), 2);
}

#[test]
fn odd_bytes_are_refused_where_they_stand() {
    let place = Place::new();
    let huge = [b"e,created,2018-01-03 00:00:00,,".as_slice(), &vec![b'x'; 2 << 20], b"\n"].concat();
    let orders = [A, b"c\0,created,2018-01-03 00:00:00,,\nd\xFF,created,2018-01-03 00:00:00,,\n", &huge, B].concat();
    shop(&place, &orders, b"a,1,5,1,\n", b"a,1,voucher,6\nnobody,1,voucher,6");
    let outcome = every_way(&place);
    let expected = [
        ("olist_order_payments_dataset.csv:3", "unknown_order"),
        ("olist_orders_dataset.csv:3", "bad_id:order_id"),
        ("olist_orders_dataset.csv:4", "not_utf8"),
        ("olist_orders_dataset.csv:5", "too_large"),
    ];
    assert_eq!(found(&outcome), expected);
    assert_eq!(outcome.letters[0][3], r#"[{"installments":1,"type":"voucher","value":"6"}]"#);
    assert_eq!(outcome.letters[1][3], "c\\x00,created,2018-01-03 00:00:00,,");
    assert_eq!(outcome.letters[2][3], "d\\xFF,created,2018-01-03 00:00:00,,");
    assert_eq!(outcome.letters[3][3].len(), 64 << 10);
}

#[test]
fn lines_that_end_in_returns_alone_are_no_header() {
    for name in [ORDERS, ITEMS, PAYMENTS] {
        let place = Place::new();
        shop(&place, A, b"a,1,5,1,\n", b"a,1,voucher,6\n");
        let path = format!("shop/{name}");
        let text = std::fs::read_to_string(place.path(&path)).unwrap();
        let place_of = format!("{path}, line 1");
        let says = ["the header has no end: lines end in CR alone", &place_of, r"tr '\r' '\n'"];
        place.write(&path, text.replace('\n', "\r"));
        for way in [&["shop"][..], &["shop", "-w", "2"], &["shop", "--arrival-order"], &["shop", "--limit", "1"]] {
            place.refused(way, 1, &says);
        }
        // Rows that end otherwise would be lost as well: the first of them.
        place.write(&path, text.replacen('\n', "\r", 1));
        place.refused(&["shop"], 1, &says);
        // Where nothing follows nothing is lost.
        place.write(&path, text.lines().next().unwrap().to_owned() + "\r");
        place.replay(&["shop"]);
    }
}

#[test]
fn a_return_within_a_line_is_a_byte_of_its_row() {
    let place = Place::new();
    let noted = b"c,created,2018-01-03 00:00:00,,x\ry\r\n\r\n";
    let two = b"d,created,2018-01-03 00:00:00,,\re,created,2018-01-03 00:00:00,,\n";
    let within_id = b"f\rg,created,2018-01-03 00:00:00,,\n";
    // Rows with a quote among them are split in another way.
    for quoted in [&b""[..], b"h,created,2018-01-03 00:00:00,,\"x\ry\"\r\n"] {
        let orders = [A, noted, two, within_id, B, quoted].concat();
        shop(&place, &orders, b"a,1,5,1\r,\r\nb,1,5,1,\n", b"a,1,voucher,6\r");
        let outcome = every_way(&place);
        let expected =
            [("olist_orders_dataset.csv:5", "column_count"), ("olist_orders_dataset.csv:6", "bad_id:order_id")];
        assert_eq!(found(&outcome), expected);
        assert_eq!(outcome.letters[0][3], "d,created,2018-01-03 00:00:00,,\\x0De,created,2018-01-03 00:00:00,,");
        assert_eq!(outcome.letters[1][3], "f\\x0Dg,created,2018-01-03 00:00:00,,");
        let more = u64::from(!quoted.is_empty());
        assert_eq!((outcome.orders.len() as u64, outcome.records), (3 + more, [8 + more, 6 + more, 2]));
    }
}

#[test]
fn a_mark_is_taken_off_at_the_start_of_a_file_alone() {
    let place = Place::new();
    // So many rows that some stand at the start of a block, and all of them have a mark.
    let note = "x".repeat(300);
    for note in [note.clone(), format!("\"{note}\"")] {
        let orders: String =
            (0..8_000).map(|number| format!("\u{feff}{number},created,2018-01-03 00:00:00,,{note}\n")).collect();
        shop(&place, orders.as_bytes(), "\u{feff}0,1,5,1,\n".as_bytes(), "\u{feff}1,1,voucher,6\n".as_bytes());
        for name in [ORDERS, ITEMS, PAYMENTS] {
            let text = std::fs::read_to_string(place.path(&format!("shop/{name}"))).unwrap();
            place.write(&format!("shop/{name}"), format!("\u{feff}{text}"));
        }
        let outcome = every_way(&place);
        assert_eq!((outcome.records, outcome.orders.len()), ([8_002, 8_002, 0], 8_000));
        assert!(outcome.orders.iter().all(|order| order[0].starts_with('\u{feff}')));
    }
}

#[test]
fn a_mark_and_returns_are_taken_in_stride() {
    let place = Place::new();
    shop(&place, A, b"a,1,5,1,\r\n", b"a,1,voucher,6\r\n");
    for name in [ORDERS, ITEMS, PAYMENTS] {
        let text = std::fs::read(place.path(&format!("shop/{name}"))).unwrap();
        let text = String::from_utf8(text).unwrap().replace('\r', "").replace('\n', "\r\n");
        place.write(&format!("shop/{name}"), format!("\u{feff}{text}\r\n"));
    }
    let outcome = every_way(&place);
    assert_eq!((outcome.records, outcome.facts), ([3, 3, 0], [4, 4, 0, 0]));
    shop(&place, b"", b"", b"");
    assert_eq!(every_way(&place).records, [0, 0, 0]);
}

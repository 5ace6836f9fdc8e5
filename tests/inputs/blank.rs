//! Lines of blanks: no records, whatever the format is and however they end.

use std::fs;

use super::forms::replayed;

const LINE: &str = r#"{"order_id":"a","event_type":"ORDER_PLACED","timestamp":1709200000000}"#;
/// A line of each kind of blank, and one of several.
const BLANKS: &str = " \n\t\n\u{b}\n\u{c}\n\u{85}\n\u{a0}\n\u{2003}\n\u{2028}\u{b}\u{3000}";
const HEADERS: [(&str, &str); 3] = [
    ("orders", "order_id,order_status,order_purchase_timestamp"),
    ("order_items", "order_id,order_item_id,price,freight_value"),
    ("order_payments", "order_id,payment_sequential,payment_type,payment_value"),
];

#[test]
fn lines_of_blanks_are_no_records() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("lines.jsonl"), format!("\u{feff} \r\n\t\n{LINE}\r\n{BLANKS}\n\n{LINE} \n  "))
        .unwrap();
    let shop = folder.path().join("shop");
    fs::create_dir(&shop).unwrap();
    let orders = format!("b,created,2024-03-01 00:00:00\r\n{BLANKS}\n");
    let rows = [orders.as_str(), " \r\nb,1,5,1\n\t \n,\n", "b,1,voucher,6\n\u{b}\n  "];
    for ((name, header), rows) in HEADERS.iter().zip(rows) {
        fs::write(shop.join(format!("olist_{name}_dataset.csv")), format!("{header}\n{rows}")).unwrap();
    }
    for arguments in [&["-w", "1"][..], &["-w", "2"], &["--arrival-order"], &["--limit", "5"]] {
        let (files, ended) = replayed(folder.path(), &[&["lines.jsonl", "shop"], arguments].concat(), None);
        assert!(ended.stdout.contains("6 read = 5 decoded + 1 refused"), "{}", ended.stdout);
        let letters = String::from_utf8_lossy(&files["dead_letters.csv"]).into_owned();
        assert!(letters.contains("shop,olist_order_items_dataset.csv:5,column_count"), "{letters}");
    }
}

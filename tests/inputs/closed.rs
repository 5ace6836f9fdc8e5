//! Minutes of data quality close as other windows do (semantics.md, section 8): what comes later changes no row of theirs.

use std::fs;

use super::run::{replay, run};

#[test]
fn a_copy_that_comes_after_its_minute_has_closed_is_in_no_row_of_it() {
    let folder = tempfile::tempdir().unwrap();
    // An order that goes on for more than the two years after which a window of its first day closes.
    let row = "o1,delivered,2016-01-01 00:00:30,2016-10-01 00:00:00,2017-07-01 00:00:00,2018-03-01 00:00:00\n";
    let shop = folder.path().join("shop");
    fs::create_dir(&shop).unwrap();
    let write = |name: &str, text: &str| fs::write(shop.join(name), text).unwrap();
    let header = "order_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,\
                  order_delivered_customer_date\n";
    write("olist_orders_dataset.csv", &[header, row, row].concat());
    write("olist_order_items_dataset.csv", "order_id,order_item_id,product_id,price,freight_value\n");
    write("olist_order_payments_dataset.csv", "order_id,payment_sequential,payment_type,payment_value\n");
    for (workers, plan) in [("1", "fused"), ("2", "fused"), ("2", "relational")] {
        let out = folder.path().join("out");
        let mut command = replay(&["shop", "-w", workers, "--plan", plan, "--output", "json", "--out"]);
        let ended = run(command.arg(&out).current_dir(folder.path()));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let totals: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(totals["facts"]["duplicates"], 4, "{totals}");
        let rows = fs::read_to_string(out.join("data_quality_metrics.csv")).unwrap();
        let of_minute = rows.lines().find(|row| row.contains("2016-01-01T00:00:00.000Z")).unwrap();
        assert!(of_minute.ends_with(",2,2,0,3,0,100.00"), "three of four copies came in time: {rows}");
    }
}

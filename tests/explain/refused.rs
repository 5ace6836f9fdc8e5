//! Which order a refused record is said to be of: never another one's, and perhaps one's where nobody can tell.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const ORDERS: &str = "order_id,order_status,order_purchase_timestamp\n1,created,2024-03-01 09:00:00\n2,created,2024-03-01 10:00:00\n\"a\"\"b\",created,2024-03-01 11:00:00\n";
const ITEMS: &str = "order_id,order_item_id,product_id,price,freight_value\n2,1,p,-5,1\n3,1,p,\"9,99\",1\n4,1,p,5;1\n\"a\"\"b\",1,p,-5,1\n";
const PAYMENTS: &str = "order_id,payment_sequential,payment_type,payment_installments,payment_value\n2,1,cash,1,6\n";

fn explain(order_id: &str, input: &Path) -> Value {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("orderwatch"));
    command.env_clear().args(["explain", order_id, "--output", "json", "--input"]).arg(input);
    serde_json::from_slice(&command.assert().success().stderr("").get_output().stdout).unwrap()
}

/// Where the refused records stand that a report names, of `perhaps` ones or of the others.
fn positions(report: &Value, perhaps: bool) -> Vec<&str> {
    let records = report["refused"].as_array().unwrap().iter();
    records.filter(|record| record["perhaps"] == perhaps).map(|record| record["position"].as_str().unwrap()).collect()
}

fn assert_answer_ends(report: &Value, end: &str) {
    let answer = report["answer"].as_str().unwrap();
    assert!(answer.ends_with(end), "{answer}");
}

#[test]
fn refused_rows_are_of_the_order_that_their_column_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("orders", ORDERS), ("order_items", ITEMS), ("order_payments", PAYMENTS)] {
        fs::write(folder.path().join(format!("olist_{name}_dataset.csv")), text).unwrap();
    }
    let item = |line: u32| format!("olist_order_items_dataset.csv:{line}");
    for (order_id, places, answer) in [
        ("1", vec![], "2024-03-01 11:00:00 UTC."),
        ("2", vec![item(2), "olist_order_payments_dataset.csv:2".to_owned()], " 2 records of it were refused."),
        ("3", vec![item(3)], "but none of them was accepted: 1 refused."),
        ("4", vec![item(4)], "but none of them was accepted: 1 refused."),
        ("a\"b", vec![item(5)], " One record of it was refused."),
    ] {
        let report = explain(order_id, folder.path());
        assert_eq!(positions(&report, false), places, "{order_id}");
        assert!(positions(&report, true).is_empty(), "{order_id}");
        assert_answer_ends(&report, answer);
    }
    // A row without end has swallowed what comes after it, and nobody can tell where it should have ended.
    let open = format!("{PAYMENTS}9,1,\"boleto,1,6\n1,1,boleto,1,5\n");
    fs::write(folder.path().join("olist_order_payments_dataset.csv"), open).unwrap();
    for (order_id, answer) in [
        ("1", "2024-03-01 11:00:00 UTC. One refused record that cannot be read is perhaps of it."),
        (
            "9",
            "Order 9 is named in no record that can be read. One refused record that cannot be read is perhaps of it.",
        ),
    ] {
        let report = explain(order_id, folder.path());
        assert!(positions(&report, false).is_empty(), "{order_id}");
        assert_eq!(positions(&report, true), ["olist_order_payments_dataset.csv:3"]);
        assert_answer_ends(&report, answer);
    }
}

#[test]
fn a_broken_line_makes_no_order_of_another_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines.jsonl");
    let placed = r#"{"order_id":"A","tenant":"acme","event_type":"ORDER_PLACED","timestamp":"2024-03-01T09:00:00Z"}"#;
    fs::write(&lines, format!("{placed}\n{{\"order_id\":\"A\",\n")).unwrap();
    let report = explain("A", &lines);
    assert_eq!(report["tenant"], "acme");
    assert_eq!(positions(&report, true), ["lines.jsonl:2"]);
    assert_answer_ends(&report, "One refused record that cannot be read is perhaps of it.");
}

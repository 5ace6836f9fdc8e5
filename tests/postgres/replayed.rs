//! What a replay wrote: the rows of its files, in every table, for every golden set; all of them at once.

use std::path::Path;

use dataflows::views::COLLECTIONS;

use super::golden_sets::{EVENTS, GoldenSet, MIXED, OLIST};
use super::inputs::{Chance, sample, shared};
use super::outcome::{Place, assert_failed};
use super::read;
use super::run::{Ended, replay, run};
use super::server::Database;

fn assert_agree(database: &Database, folder: &Path, arguments: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let mut command = replay(arguments);
    command.args(["--no-console", "--postgres", &database.url, "--out"]).arg(out.path());
    let ended = run(command.current_dir(folder));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    let mut rows = 0;
    for collection in &COLLECTIONS {
        let mut csv = read::csv(out.path(), collection);
        csv.sort();
        assert!(database.rows(collection) == csv, "{arguments:?}: {} differs from the CSV file", collection.name);
        rows += csv.len();
    }
    assert!(rows > 1_000, "only {rows} rows");
}

/// Each of these sets into the same tables, one after the other.
fn check(sets: &[GoldenSet]) {
    let (Some(database), Some(folder)) = (Database::new(), shared("")) else { return };
    let scratch = tempfile::tempdir().unwrap();
    for arguments in sets.iter().filter_map(|set| set.arguments(scratch.path())) {
        assert_agree(&database, &folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn the_tables_hold_the_rows_of_the_sample_and_views_say_the_same() {
    let Some(database) = Database::new() else { return };
    let sample = sample();
    for workers in ["1", "2"] {
        assert_agree(&database, sample.parent().unwrap(), &["sample", "-w", workers]);
    }
    let same = |view: &str, table: &str| {
        let (view, table) = (database.number(view), database.number(table));
        assert!(table > 0.0 && (view - table).abs() < 0.005, "{view} and {table}");
    };
    same(
        "SELECT COUNT(*) FROM hourly_funnel_summary",
        "SELECT COUNT(*) FROM real_time_funnel WHERE \"window\" = 'hour'",
    );
    same(
        "SELECT SUM(delivered) FROM complete_funnel WHERE tenant = '*'",
        "SELECT delivered FROM real_time_funnel WHERE window_start IS NULL AND tenant = '*'",
    );
    same(
        "SELECT SUM(payment_value) FROM complete_funnel WHERE tenant = '*'",
        "SELECT SUM(total_value) FROM payment_metrics WHERE \"window\" = 'total' AND tenant = '*'",
    );
    same("SELECT SUM(orders) FROM breach_summary", "SELECT COUNT(*) FROM sla_breaches");
    same("SELECT SUM(valid) FROM v_data_quality_dashboard", "SELECT SUM(valid) FROM data_quality_metrics");
    assert_eq!(
        database.number("SELECT COUNT(*) FROM dead_letters"),
        database.number("SELECT COUNT(*) FROM dead_letter_events")
    );
    assert_eq!(database.number("SELECT COUNT(*) FROM orders WHERE updated_at < now() - interval '1 hour'"), 0.0);
}

#[test]
fn olist() {
    check(OLIST);
}

#[test]
fn olist_and_more() {
    check(MIXED);
}

#[test]
fn events_and_nasty() {
    check(EVENTS);
}

/// A line that places an order.
fn placed(order: &str) -> String {
    format!("{{\"order_id\":\"{order}\",\"event_type\":\"ORDER_PLACED\",\"timestamp\":\"2024-03-01T00:00:00Z\"}}\n")
}

fn into(database: &Database, place: &Place, arguments: &[&str]) -> Ended {
    let mut command = replay(arguments);
    run(command.args(["--no-console", "--postgres", &database.url]).current_dir(place.folder.path()))
}

#[test]
fn readers_see_the_old_content_until_all_of_the_new_is_there() {
    let Some(database) = Database::new() else { return };
    let place = Place::new();
    place.write("x.jsonl", placed("a"));
    place.write("y.jsonl", placed("b") + &placed("c"));
    place.write("cut.jsonl.gz", b"\x1f\x8b\x08");
    assert_eq!(into(&database, &place, &["x.jsonl"]).code, Some(0));
    let mut reader = database.client();
    reader.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").unwrap();
    let mut count = || reader.query_one("SELECT COUNT(*) FROM orders", &[]).unwrap().get::<_, i64>(0);
    assert_eq!(count(), 1);
    assert_eq!(into(&database, &place, &["y.jsonl"]).code, Some(0));
    assert_eq!(count(), 1, "a transaction sees one state");
    reader.batch_execute("COMMIT").unwrap();
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 2.0);
    assert_eq!(into(&database, &place, &["cut.jsonl.gz"]).code, Some(1));
    assert_eq!(database.number("SELECT COUNT(*) FROM orders"), 2.0, "a job that fails leaves what was there");
    // A key that comes twice is one row: of rows that CR alone divides all stand on one line.
    for (name, text) in [
        ("orders", "order_id,order_status,order_purchase_timestamp\nbroken\rother\r"),
        ("order_items", "order_id,order_item_id,price,freight_value\n"),
        ("order_payments", "order_id,payment_sequential,payment_type,payment_value\n"),
    ] {
        place.write(&format!("shop/olist_{name}_dataset.csv"), text);
    }
    assert_eq!(into(&database, &place, &["shop"]).code, Some(0));
    assert_eq!(database.number("SELECT COUNT(*) FROM dead_letters"), 1.0);
    // What was dropped is made again, with the views that went with it.
    database.run("DROP TABLE sla_breaches CASCADE");
    assert_eq!(into(&database, &place, &["y.jsonl"]).code, Some(0));
    assert_eq!(
        database.number("SELECT COUNT(*) FROM sla_breaches"),
        database.number("SELECT COALESCE(SUM(orders), 0) FROM breach_summary")
    );
    database.run("ALTER TABLE orders ALTER COLUMN items TYPE text");
    let says = ["the table orders has been altered: items is text, not bigint", "alter it back"];
    assert_failed(&into(&database, &place, &["x.jsonl"]), 2, &says);
}

#[test]
fn categories_of_any_length_and_kind_have_a_row_each() {
    let Some(database) = Database::new() else { return };
    let place = Place::new();
    let mut chance = Chance(1);
    // Nothing makes it shorter.
    let long: String = (0..8_000).map(|_| char::from(b'a' + chance.below(26) as u8)).collect();
    let categories = ["x", "x\\u0000", "x\\ufffd", "x\\u2400", "x\\u24000", &long];
    let mut lines = placed("a");
    for (number, category) in categories.iter().enumerate() {
        lines += &format!(
            "{{\"order_id\":\"a\",\"event_type\":\"ITEM_ADDED\",\"item_no\":{number},\"item_category\":\"{category}\",\
             \"quantity\":1,\"price\":\"2.50\",\"timestamp\":\"2024-03-01T00:00:00Z\"}}\n"
        );
    }
    place.write("x.jsonl", lines);
    let ended = into(&database, &place, &["x.jsonl"]);
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let of_one = "FROM category_metrics WHERE \"window\" = 'total' AND tenant = 'default' AND items = 1 AND gmv = 2.5";
    assert_eq!(database.number(&format!("SELECT COUNT(DISTINCT category) {of_one}")), categories.len() as f64);
    assert_eq!(database.number(&format!("SELECT MAX(LENGTH(category)) {of_one}")), 8_000.0);
}

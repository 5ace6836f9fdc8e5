//! The Olist generator: same bytes for a seed, the format of the real directory, and every irregularity the lifecycle
//! has a verdict for. Sizes are small; that memory does not grow is argued in `src/generate/olist.rs` (no collection
//! there grows with the count), not measured here. Streams of orders and sales are tested in `generate/streams.rs` and
//! `generate/ends.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "generate/ends.rs"]
mod ends;
#[path = "support/run.rs"]
#[allow(dead_code)] // shared with bad_input.rs
mod run;
#[path = "generate/streams.rs"]
mod streams;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use orderwatch::generate::olist::FILES;
use orderwatch::generate::{GenerateError, OlistOptions, Statistics, generate_olist};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

const ORDERS: &str = FILES[0].0;
const ITEMS: &str = FILES[1].0;
const PAYMENTS: &str = FILES[2].0;
const CUSTOMERS: &str = FILES[3].0;
const PRODUCTS: &str = FILES[4].0;
const SELLERS: &str = FILES[5].0;
const TRANSLATION: &str = FILES[6].0;

type Row = HashMap<String, String>;

fn generated(count: u64, seed: u64) -> (TempDir, Statistics) {
    let directory = TempDir::new().unwrap();
    let statistics = generate_olist(&OlistOptions { count, seed, ..Default::default() }, &[directory.path()]).unwrap();
    (directory, statistics)
}

fn rows(directory: &Path, name: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(directory.join(name)).unwrap();
    reader.deserialize().map(|row| row.unwrap()).collect()
}

fn hashes(directory: &Path) -> Vec<String> {
    FILES.iter().map(|(name, _)| format!("{:016x}", xxh3_64(&std::fs::read(directory.join(name)).unwrap()))).collect()
}

/// The order ids of a file, runs of the same one taken together.
fn order_ids(rows: &[Row]) -> Vec<&str> {
    let mut ids: Vec<&str> = rows.iter().map(|row| row["order_id"].as_str()).collect();
    ids.dedup();
    ids
}

fn cents(text: &str) -> u64 {
    let (whole, fraction) = text.split_once('.').unwrap();
    assert_eq!(fraction.len(), 2, "{text}");
    whole.parse::<u64>().unwrap() * 100 + fraction.parse::<u64>().unwrap()
}

#[test]
fn a_seed_gives_these_bytes_on_every_machine() {
    let (directory, _) = generated(500, 7);
    assert_eq!(hashes(directory.path()), PINNED);
    let again = TempDir::new().unwrap();
    let places = ["one", "another/within"].map(|name| again.path().join(name));
    let statistics = generate_olist(&OlistOptions { count: 500, seed: 7, ..Default::default() }, &places).unwrap();
    places.iter().for_each(|place| assert_eq!(hashes(place), PINNED));
    let bytes: u64 = FILES.iter().map(|(name, _)| places[0].join(name).metadata().unwrap().len()).sum();
    assert_eq!(statistics.bytes, bytes, "as often as they are written, they are counted once");
}

#[test]
fn the_committed_sample_is_what_the_generator_writes() {
    let (directory, _) = generated(2_000, 42);
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/sample");
    assert_eq!(hashes(&sample), hashes(directory.path()), "make it anew: see data/sample/README.md");
}

#[test]
fn another_seed_gives_other_bytes() {
    let (one, _) = generated(500, 7);
    let (other, _) = generated(500, 8);
    let differing: Vec<bool> =
        hashes(one.path()).iter().zip(hashes(other.path())).map(|(one, other)| *one != other).collect();
    // The translation is a constant table.
    assert_eq!(differing, [true, true, true, true, true, true, false]);
}

#[test]
fn names_and_headers_are_kaggles() {
    let (directory, _) = generated(0, 1);
    let mut found: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(
        found,
        [
            "olist_customers_dataset.csv",
            "olist_order_items_dataset.csv",
            "olist_order_payments_dataset.csv",
            "olist_orders_dataset.csv",
            "olist_products_dataset.csv",
            "olist_sellers_dataset.csv",
            "product_category_name_translation.csv",
        ]
    );
    let headers: BTreeMap<&str, &str> = BTreeMap::from([
        (
            ORDERS,
            "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,\
             order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
        ),
        (ITEMS, "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value"),
        (PAYMENTS, "order_id,payment_sequential,payment_type,payment_installments,payment_value"),
        (CUSTOMERS, "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state"),
        (
            PRODUCTS,
            "product_id,product_category_name,product_name_lenght,product_description_lenght,product_photos_qty,\
             product_weight_g,product_length_cm,product_height_cm,product_width_cm",
        ),
        (SELLERS, "seller_id,seller_zip_code_prefix,seller_city,seller_state"),
        (TRANSLATION, "product_category_name,product_category_name_english"),
    ]);
    for (name, header) in headers {
        let text = std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(text.lines().next(), Some(header), "{name}");
    }
}

#[test]
fn orders_are_sorted_unique_and_the_other_files_follow_them() {
    let (directory, statistics) = generated(5_000, 3);
    let orders = rows(directory.path(), ORDERS);
    assert_eq!(orders.len(), 5_000);
    let purchases: Vec<&str> = orders.iter().map(|row| row["order_purchase_timestamp"].as_str()).collect();
    assert!(purchases.is_sorted());
    assert!(purchases[0].starts_with("2016-09-0"), "{}", purchases[0]);
    assert!(purchases[4_999].starts_with("2018-08-29"), "{}", purchases[4_999]);

    let place: HashMap<&str, usize> =
        orders.iter().enumerate().map(|(index, row)| (row["order_id"].as_str(), index)).collect();
    assert_eq!(place.len(), 5_000);
    for id in place.keys() {
        assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{id}");
    }
    for (name, number, count) in
        [(ITEMS, "order_item_id", statistics.items), (PAYMENTS, "payment_sequential", statistics.payments)]
    {
        let rows = rows(directory.path(), name);
        assert_eq!(rows.len() as u64, count);
        let places: Vec<usize> = order_ids(&rows).iter().map(|id| place[id]).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "{name}");
        let mut before = ("", 0);
        for row in &rows {
            let expected = if row["order_id"] == before.0 { before.1 + 1 } else { 1 };
            assert_eq!(row[number], expected.to_string());
            before = (&row["order_id"], expected);
        }
    }

    let customers = rows(directory.path(), CUSTOMERS);
    assert!(customers.iter().map(|row| &row["customer_id"]).eq(orders.iter().map(|row| &row["customer_id"])));
    let products: HashSet<String> =
        rows(directory.path(), PRODUCTS).into_iter().map(|row| row["product_id"].clone()).collect();
    let sellers: HashSet<String> =
        rows(directory.path(), SELLERS).into_iter().map(|row| row["seller_id"].clone()).collect();
    assert!(
        rows(directory.path(), ITEMS)
            .iter()
            .all(|row| products.contains(&row["product_id"]) && sellers.contains(&row["seller_id"]))
    );
}

#[test]
fn every_irregularity_is_there_and_nothing_lies_in_the_future() {
    let (directory, statistics) = generated(20_000, 1);
    let orders = rows(directory.path(), ORDERS);
    let mut cost_cents: HashMap<String, u64> = HashMap::new();
    for row in rows(directory.path(), ITEMS) {
        let price_cents = cents(&row["price"]);
        assert!((1..1_000_000).contains(&price_cents));
        *cost_cents.entry(row["order_id"].clone()).or_default() += price_cents + cents(&row["freight_value"]);
    }
    let mut paid_cents: HashMap<String, u64> = HashMap::new();
    for row in rows(directory.path(), PAYMENTS) {
        *paid_cents.entry(row["order_id"].clone()).or_default() += cents(&row["payment_value"]);
    }

    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    let mut see = |what: &'static str, there: bool| *seen.entry(what).or_default() += u64::from(there);
    let mut by_status: BTreeMap<&str, u64> = BTreeMap::new();
    for row in &orders {
        let time = |name: &str| Some(row[name].as_str()).filter(|text| !text.is_empty());
        let purchased = time("order_purchase_timestamp");
        let approved = time("order_approved_at");
        let carrier = time("order_delivered_carrier_date");
        let delivered = time("order_delivered_customer_date");
        for at in [purchased, approved, carrier, delivered].into_iter().flatten() {
            assert!(at.len() == 19 && at < "2018-10-01 00:00:00", "{at}");
        }
        let status = row["order_status"].as_str();
        *by_status.entry(status).or_default() += 1;
        let both = |one: Option<&str>, other: Option<&str>| one.is_some() && other.is_some() && one < other;
        see("carrier before purchase", both(carrier, purchased));
        see("carrier before approval", both(carrier, approved));
        see("delivered before approval", both(delivered, approved));
        see("delivered before carrier", both(delivered, carrier));
        see("approval missing", approved.is_none() && carrier.is_some());
        see("carrier missing", carrier.is_none() && delivered.is_some());
        see("both missing", approved.is_none() && carrier.is_none() && delivered.is_some());
        see("cancelled after delivery", status == "canceled" && delivered.is_some());
        see("cancelled before approval", status == "canceled" && approved.is_none());
        see("cancelled with the carrier", status == "canceled" && carrier.is_some() && delivered.is_none());
        let (cost, paid) = (cost_cents.get(&row["order_id"]), paid_cents.get(&row["order_id"]));
        let waiting = matches!(status, "created" | "approved" | "invoiced" | "processing");
        see("without items", cost.is_none());
        see("without items, waiting", cost.is_none() && waiting);
        see("without payments, waiting", cost.is_some() && paid.is_none() && waiting);
        see("underpaid", cost.is_some() && paid.is_some() && paid < cost);
        see("overpaid", cost.is_some() && paid > cost);
    }
    for (what, count) in &seen {
        assert!((1..1_000).contains(count), "{what}: {count}");
    }
    for status in ["delivered", "shipped", "canceled", "unavailable", "invoiced", "processing", "created", "approved"] {
        assert!(by_status.get(status).is_some_and(|count| *count > 0), "{status}");
    }
    assert_eq!(statistics.delivered, by_status["delivered"]);
    assert_eq!(statistics.cancelled, by_status["canceled"] + by_status["unavailable"]);
    assert_eq!(statistics.delivered + statistics.cancelled + statistics.still_active, statistics.orders);
    assert!((19_300..19_500).contains(&statistics.delivered), "{statistics}");
    assert!((22_300..23_000).contains(&statistics.items), "{statistics}");
    assert!((20_600..21_200).contains(&statistics.payments), "{statistics}");
}

#[test]
fn tables_stop_growing_while_orders_go_on() {
    let (directory, statistics) = generated(120_000, 1);
    assert_eq!(rows(directory.path(), PRODUCTS).len(), 32_951);
    assert_eq!(rows(directory.path(), SELLERS).len(), 3_095);
    let bytes: u64 = FILES.iter().map(|(name, _)| directory.path().join(name).metadata().unwrap().len()).sum();
    assert_eq!(statistics.bytes, bytes);
}

#[test]
fn an_error_names_path_and_cause_and_leaves_nothing_behind() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("taken");
    std::fs::write(&file, "").unwrap();
    let error = generate_olist(&OlistOptions { count: 1, ..Default::default() }, &[&file]).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot write {}: ", file.display())), "{error}");
    assert!(std::error::Error::source(&error).is_some());

    // A directory stands where a file is to go: the rename fails, and partial files are cleared away.
    let target = directory.path().join("target");
    std::fs::create_dir_all(target.join(ORDERS).join("inside")).unwrap();
    let error = generate_olist(&OlistOptions { count: 10, ..Default::default() }, &[&target]).unwrap_err();
    assert!(error.to_string().contains(ORDERS), "{error}");
    assert_eq!(std::fs::read_dir(&target).unwrap().count(), 1);

    let error = generate_olist(&OlistOptions { count: u64::MAX, ..Default::default() }, &[&target]).unwrap_err();
    assert!(matches!(error, GenerateError::CountTooLarge { .. }), "{error}");
}

/// XXH3-64 of the seven files of 500 orders, seed 7, in the order of [`FILES`]. A change here means that everyone's
/// generated directories, `data/sample` among them, are no longer what the current generator writes.
const PINNED: [&str; 7] = [
    "11e749103b74010e",
    "baa2cd0bb5c678c3",
    "4a4e7eb63123e77a",
    "1774f2a09a9a1938",
    "94298bc7b54ae3c1",
    "287ad0d1ae8871be",
    "7fba16db2846d0db",
];

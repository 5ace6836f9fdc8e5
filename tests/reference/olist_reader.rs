//! Reads an Olist directory into facts (inputs.md, section 1). Only for clean data; shares nothing with the decoder.

use std::collections::HashMap;
use std::path::Path;

use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Text};
use dataflows::time::Time;

use super::event_reader::{money, time};

type Row = HashMap<String, String>;

fn rows(path: &Path) -> Vec<Row> {
    let mut bytes = std::fs::read(path).unwrap();
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    csv::Reader::from_reader(bytes.as_slice()).deserialize().map(|row| row.unwrap()).collect()
}

fn cell<'a>(row: &'a Row, name: &str) -> Option<&'a str> {
    row.get(name).map(|cell| cell.trim()).filter(|cell| !cell.is_empty())
}

fn order(row: &Row) -> OrderId {
    OrderId { tenant: "default".into(), order_id: cell(row, "order_id").unwrap().into() }
}

/// Every fact of the directory.
pub fn facts(directory: &Path) -> Vec<Fact> {
    let (mut facts, mut purchased, mut approved): (Vec<Fact>, HashMap<String, Time>, HashMap<String, Time>) =
        Default::default();
    for row in rows(&directory.join("olist_orders_dataset.csv")) {
        let at = |name| cell(&row, name).map(|text| time(&text.into()).unwrap());
        let stages = [
            (EventKind::Placed, at("order_purchase_timestamp")),
            (EventKind::ProcessingStarted, at("order_approved_at")),
            (EventKind::Shipped, at("order_delivered_carrier_date")),
            (EventKind::Delivered, at("order_delivered_customer_date")),
        ];
        let is_cancelled = matches!(cell(&row, "order_status"), Some("canceled" | "unavailable"));
        let latest = stages.iter().filter_map(|(_, at)| *at).max().filter(|_| is_cancelled);
        for (kind, at) in stages.into_iter().chain([(EventKind::Cancelled, latest)]) {
            let Some(at) = at else { continue };
            let customer_id = cell(&row, "customer_id").map(Text::new);
            let body = Body::Lifecycle { kind, origin: Origin::Row, customer_id };
            facts.push(Fact { order: order(&row), at, event_id: None, body });
        }
        let id = cell(&row, "order_id").unwrap().to_owned();
        approved.insert(id.clone(), stages[1].1.or(stages[0].1).unwrap());
        purchased.insert(id, stages[0].1.unwrap());
    }

    let english: HashMap<String, String> = rows(&directory.join("product_category_name_translation.csv"))
        .iter()
        .filter_map(|row| {
            Some((cell(row, "product_category_name")?.into(), cell(row, "product_category_name_english")?.into()))
        })
        .collect();
    let categories: HashMap<String, String> = rows(&directory.join("olist_products_dataset.csv"))
        .iter()
        .filter_map(|row| {
            let portuguese = cell(row, "product_category_name")?;
            let name = english.get(portuguese).map_or(portuguese, String::as_str);
            Some((cell(row, "product_id")?.to_owned(), name.to_owned()))
        })
        .collect();

    let amount = |row: &Row, name| cell(row, name).map_or(Money::ZERO, |text| money(&text.into()).unwrap());
    for row in rows(&directory.join("olist_order_items_dataset.csv")) {
        let body = Body::Item {
            item_no: cell(&row, "order_item_id").unwrap().parse().unwrap(),
            product_id: cell(&row, "product_id").map(Text::new),
            product_name: None,
            category: cell(&row, "product_id").and_then(|id| categories.get(id)).map(|name| Text::new(name)),
            category_joined: true,
            seller_id: cell(&row, "seller_id").map(Text::new),
            quantity: 1,
            price: amount(&row, "price"),
            freight: amount(&row, "freight_value"),
        };
        let at = purchased[cell(&row, "order_id").unwrap()];
        facts.push(Fact { order: order(&row), at, event_id: None, body });
    }
    for row in rows(&directory.join("olist_order_payments_dataset.csv")) {
        let name = cell(&row, "payment_type").unwrap();
        let body = Body::Payment {
            seq: cell(&row, "payment_sequential").unwrap().parse().unwrap(),
            payment_type: PaymentType::ALL.into_iter().find(|known| known.name() == name).unwrap(),
            installments: cell(&row, "payment_installments").map_or(1, |text| text.parse().unwrap()),
            value: amount(&row, "payment_value"),
        };
        let at = approved[cell(&row, "order_id").unwrap()];
        facts.push(Fact { order: order(&row), at, event_id: None, body });
    }
    facts
}

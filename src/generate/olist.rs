//! `orderwatch generate olist`: a directory in the format of the Olist data on Kaggle, of any size.
//!
//! Seven files, names and headers as there; plain CSV, unquoted, LF. Orders are sorted by purchase; items, payments and
//! customers follow them in the same order, and an order without items or payments is simply absent there. The span
//! (2016-09-04 to 2018-08-29) is the same whatever the count, so the rate grows with it.
//!
//! Where it is asked for, rows are repeated and broken copies put beside them (`olist/faults.rs`).
//!
//! Invariant: the bytes depend on the options alone. Memory does not depend on the count: orders are made, written
//! and forgotten one by one; the catalogue and the calendar are bounded tables. Files appear when all are complete.

mod basket;
mod calendar;
mod catalogue;
mod faults;
mod measured;
mod order;

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::files::{PartialFile, push_cents, push_id, push_number, push_padded, push_time};
use super::random::Random;
use super::{GenerateError, Statistics};
use crate::interrupt;
use basket::Basket;
use calendar::Calendar;
use catalogue::{CATEGORIES, Catalogue};
use faults::{Faults, Table};
use measured::{DESCRIPTION_LENGTH, HEIGHT_CM, LENGTH_CM, NAME_LENGTH, PHOTOS, WEIGHT_G, WIDTH_CM};
use order::{Order, Status};

/// Streams of random numbers, each used for one thing.
mod stream {
    pub(super) const PRODUCT_ID: u64 = 1;
    pub(super) const PRODUCT: u64 = 2;
    pub(super) const PRODUCT_SHAPE: u64 = 3;
    pub(super) const SELLER_ID: u64 = 4;
    pub(super) const SELLER: u64 = 5;
    pub(super) const ORDER_ID: u64 = 6;
    pub(super) const ORDER: u64 = 7;
    pub(super) const CUSTOMER_ID: u64 = 8;
    pub(super) const BUYER_ID: u64 = 9;
    pub(super) const BUYER: u64 = 10;
    pub(super) const FAULT: u64 = 11;
}

/// File names and headers, as on Kaggle.
pub const FILES: [(&str, &str); 7] = [
    (
        "olist_orders_dataset.csv",
        "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,order_delivered_carrier_date,\
         order_delivered_customer_date,order_estimated_delivery_date",
    ),
    (
        "olist_order_items_dataset.csv",
        "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
    ),
    ("olist_order_payments_dataset.csv", "order_id,payment_sequential,payment_type,payment_installments,payment_value"),
    (
        "olist_customers_dataset.csv",
        "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
    ),
    (
        "olist_products_dataset.csv",
        "product_id,product_category_name,product_name_lenght,product_description_lenght,product_photos_qty,\
         product_weight_g,product_length_cm,product_height_cm,product_width_cm",
    ),
    ("olist_sellers_dataset.csv", "seller_id,seller_zip_code_prefix,seller_city,seller_state"),
    ("product_category_name_translation.csv", "product_category_name,product_category_name_english"),
];

/// Most orders the arithmetic carries; at about 520 bytes an order no disk does.
const COUNT_MAX: u64 = 1_000_000_000_000;
/// Orders between two looks at the clock.
const PROGRESS_EVERY: u64 = 1 << 15;
/// Runs shorter than this show no progress bar.
const PROGRESS_AFTER: Duration = Duration::from_secs(1);

/// What to generate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OlistOptions {
    /// Orders.
    pub count: u64,
    /// Same seed, same bytes.
    pub seed: u64,
    /// Rows that are written twice, in parts of [`super::random::CERTAIN`].
    pub duplicates: u64,
    /// Rows after which a broken copy is written, likewise.
    pub invalid: u64,
}

/// Writes the seven files into each of `directories`, which are created where they do not exist; files there with their
/// names are replaced. Progress goes to standard error where that is a terminal.
pub fn generate_olist(options: &OlistOptions, directories: &[impl AsRef<Path>]) -> Result<Statistics, GenerateError> {
    let OlistOptions { count, seed, .. } = *options;
    if count > COUNT_MAX {
        return Err(GenerateError::CountTooLarge { count, limit: COUNT_MAX });
    }
    let started = Instant::now();
    for path in directories.iter().map(AsRef::<Path>::as_ref) {
        std::fs::create_dir_all(path).map_err(|source| GenerateError::Write { path: path.to_owned(), source })?;
    }
    let [orders, items, payments, customers, products, sellers, translation] =
        FILES.map(|(name, header)| open(directories, name, header));
    let mut files = [orders?, items?, payments?, customers?];
    let (mut products, mut sellers, mut translation) = (products?, sellers?, translation?);

    let catalogue = Catalogue::new(count, seed);
    write_products(&catalogue, seed, &mut products)?;
    write_sellers(&catalogue, &mut sellers)?;
    write_translation(&mut translation)?;

    let mut statistics = Statistics::default();
    let progress = ProgressBar::hidden().with_style(style());
    progress.set_length(count);
    let mut calendar = Calendar::new(count);
    let (mut basket, mut faults) = (Basket::default(), Faults::new(*options));
    for index in 0..count {
        let random = &mut Random::of(seed, stream::ORDER, index);
        let order = Order::of(seed, index, calendar.purchased_s(index, random), random);
        basket.fill(&order, &catalogue, random);
        faults.start(index);
        write_order(&order, &basket, &mut files, &mut faults, &mut statistics)?;
        tally(&mut statistics, &order, &basket);
        if index % PROGRESS_EVERY == PROGRESS_EVERY - 1 {
            show(&progress, index + 1, started);
        }
    }
    progress.finish_and_clear();

    let [orders, items, payments, customers] = files;
    let mut all = [orders, items, payments, customers, products, sellers, translation];
    for file in &mut all {
        file.flush()?;
    }
    let place = |file: PartialFile| file.place().map(|bytes| statistics.bytes += bytes);
    interrupt::whole(|| all.into_iter().try_for_each(place))?;
    statistics.elapsed = started.elapsed();
    Ok(statistics)
}

fn open(directories: &[impl AsRef<Path>], name: &str, header: &str) -> Result<PartialFile, GenerateError> {
    let mut file = PartialFile::create(directories, name)?;
    file.row().extend_from_slice(header.as_bytes());
    file.end_row()?;
    Ok(file)
}

fn write_order(
    order: &Order,
    basket: &Basket,
    files: &mut [PartialFile; 4],
    faults: &mut Faults,
    statistics: &mut Statistics,
) -> Result<(), GenerateError> {
    let [orders, items, payments, customers] = files;
    let row = orders.row();
    let start = row.len();
    push_id(row, order.id);
    push_id(next_cell(row), order.customer_id);
    next_cell(row).extend_from_slice(order.status.name().as_bytes());
    push_time(next_cell(row), order.purchased_s);
    for at_s in [order.approved_s, order.carrier_s, order.delivered_s, Some(order.estimated_s)] {
        row.push(b',');
        if let Some(at_s) = at_s {
            push_time(row, at_s);
        }
    }
    faults.add(Table::Orders, row, start, order.facts(), statistics);
    orders.end_row()?;

    for (index, item) in basket.items.iter().enumerate() {
        let row = items.row();
        let start = row.len();
        push_id(row, order.id);
        push_number(next_cell(row), index as u64 + 1);
        push_id(next_cell(row), item.product_id);
        push_id(next_cell(row), item.seller_id);
        push_time(next_cell(row), item.shipping_limit_s);
        push_cents(next_cell(row), item.price_cents);
        push_cents(next_cell(row), item.freight_cents);
        faults.add(Table::Items, row, start, 1, statistics);
        items.end_row()?;
    }

    for (index, payment) in basket.payments.iter().enumerate() {
        let row = payments.row();
        let start = row.len();
        push_id(row, order.id);
        push_number(next_cell(row), index as u64 + 1);
        next_cell(row).extend_from_slice(payment.payment_type.name().as_bytes());
        push_number(next_cell(row), payment.installments);
        push_cents(next_cell(row), payment.value_cents);
        faults.add(Table::Payments, row, start, 1, statistics);
        payments.end_row()?;
    }

    let row = customers.row();
    push_id(row, order.customer_id);
    push_id(next_cell(row), order.customer_unique_id);
    push_place(row, &order.place);
    customers.end_row()
}

/// The row, after a comma.
fn next_cell(row: &mut Vec<u8>) -> &mut Vec<u8> {
    row.push(b',');
    row
}

/// Appends `,01310,sao paulo,SP`.
fn push_place(row: &mut Vec<u8>, place: &catalogue::Place) {
    push_padded(next_cell(row), u64::from(place.prefix), 5);
    for text in [place.town.name, place.town.state] {
        next_cell(row).extend_from_slice(text.as_bytes());
    }
}

fn write_products(catalogue: &Catalogue, seed: u64, file: &mut PartialFile) -> Result<(), GenerateError> {
    for (index, product) in catalogue.products.iter().enumerate() {
        let random = &mut Random::of(seed, stream::PRODUCT_SHAPE, index as u64);
        let row = file.row();
        push_id(row, product.id);
        // A product without a category has no texts or photos either, as in the real table.
        next_cell(row).extend_from_slice(product.category.map_or("", |category| category.name).as_bytes());
        for quantiles in [NAME_LENGTH, DESCRIPTION_LENGTH, PHOTOS] {
            let value = quantiles.sample(random) as u64;
            row.push(b',');
            if product.category.is_some() {
                push_number(row, value);
            }
        }
        for quantiles in [WEIGHT_G, LENGTH_CM, HEIGHT_CM, WIDTH_CM] {
            push_number(next_cell(row), quantiles.sample(random) as u64);
        }
        file.end_row()?;
    }
    Ok(())
}

fn write_sellers(catalogue: &Catalogue, file: &mut PartialFile) -> Result<(), GenerateError> {
    for seller in &catalogue.sellers {
        push_id(file.row(), seller.id);
        push_place(file.row(), &seller.place);
        file.end_row()?;
    }
    Ok(())
}

fn write_translation(file: &mut PartialFile) -> Result<(), GenerateError> {
    for category in CATEGORIES.iter().filter(|category| !category.english.is_empty()) {
        let row = file.row();
        row.extend_from_slice(category.name.as_bytes());
        next_cell(row).extend_from_slice(category.english.as_bytes());
        file.end_row()?;
    }
    Ok(())
}

fn tally(statistics: &mut Statistics, order: &Order, basket: &Basket) {
    statistics.orders += 1;
    statistics.items += basket.items.len() as u64;
    statistics.payments += basket.payments.len() as u64;
    statistics.transitions += order.transitions();
    if order.status == Status::Delivered {
        statistics.delivered += 1;
    } else if order.status.is_cancelled() {
        statistics.cancelled += 1;
    } else {
        statistics.still_active += 1;
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} orders, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Moves the bar; it appears once the run has taken a while, and only on a terminal.
fn show(progress: &ProgressBar, orders: u64, started: Instant) {
    if progress.is_hidden() {
        if started.elapsed() < PROGRESS_AFTER || !std::io::stderr().is_terminal() {
            return;
        }
        progress.set_draw_target(ProgressDrawTarget::stderr());
    }
    progress.set_position(orders);
}

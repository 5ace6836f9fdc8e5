//! Items and payments of one order.
//!
//! Invariant: payments add up to items and freight, but for the few that are underpaid, paid with interest, or not at
//! all. Buffers are reused; their size is bounded by the counts in `measured`.

use dataflows::model::PaymentType;

use super::catalogue::Catalogue;
use super::measured::{
    CARD_PAYMENTS_WEIGHT, FREIGHT_CENTS, INSTALLMENTS_WEIGHT, ITEM_COUNT_WEIGHT, PRICE_CENTS, SHIPPING_LIMIT_S,
    VOUCHER_PAYMENTS_WEIGHT,
};
use super::order::{Order, Status};
use crate::generate::random::Random;

/// A row of the items file.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Of the catalogue.
    pub product_id: u128,
    /// Of the catalogue.
    pub seller_id: u128,
    /// When the seller must have handed it over, in seconds since 1970.
    pub shipping_limit_s: i64,
    /// Price.
    pub price_cents: u64,
    /// Freight.
    pub freight_cents: u64,
}

/// A row of the payments file.
#[derive(Clone, Copy, Debug)]
pub struct Payment {
    /// How it was paid.
    pub payment_type: PaymentType,
    /// 1 but for credit cards.
    pub installments: u64,
    /// How much.
    pub value_cents: u64,
}

/// Items and payments, in their order.
#[derive(Debug, Default)]
pub struct Basket {
    /// Possibly none.
    pub items: Vec<Item>,
    /// Possibly none.
    pub payments: Vec<Payment>,
}

/// Orders of which less is paid than they cost, of 100,000.
const UNDERPAID: u64 = 500;
/// Orders of which more is paid, as interest.
const WITH_INTEREST: u64 = 300;
/// Orders with several items that are all the same product.
const ALL_ALIKE: u64 = 69_000;
/// Items sold at another price than usual.
const OTHER_PRICE: u64 = 20_000;

impl Basket {
    /// Fills the basket anew, for `order`.
    pub fn fill(&mut self, order: &Order, catalogue: &Catalogue, random: &mut Random) {
        self.items.clear();
        self.payments.clear();
        if !random.chance(without_items(order)) {
            self.add_items(order, catalogue, random);
        }
        if !random.chance(without_payments(order)) {
            self.add_payments(order, random);
        }
    }

    fn add_items(&mut self, order: &Order, catalogue: &Catalogue, random: &mut Random) {
        let alike = random.chance(ALL_ALIKE);
        let from_s = order.approved_s.unwrap_or(order.purchased_s).max(order.purchased_s);
        let shipping_limit_s = from_s + SHIPPING_LIMIT_S.sample(random);
        let draw = |random: &mut Random| {
            let product = catalogue.product(random);
            let percent = if random.chance(OTHER_PRICE) { random.below(16) + 90 } else { 100 };
            Item {
                product_id: product.id,
                seller_id: catalogue.sellers[product.seller].id,
                shipping_limit_s,
                price_cents: (product.price_cents * percent / 100).clamp(1, 999_999),
                freight_cents: FREIGHT_CENTS[order.place.town.zone].sample(random) as u64,
            }
        };
        let first = draw(random);
        self.items.push(first);
        for _ in 0..random.weighted(&ITEM_COUNT_WEIGHT) {
            let item = if alike { first } else { draw(random) };
            self.items.push(item);
        }
    }

    fn add_payments(&mut self, order: &Order, random: &mut Random) {
        if order.status == Status::Canceled && order.approved_s.is_none() && random.chance(5_000) {
            self.payments.push(Payment { payment_type: PaymentType::NotDefined, installments: 1, value_cents: 0 });
            return;
        }
        let cost_cents: u64 = self.items.iter().map(|item| item.price_cents + item.freight_cents).sum();
        // What was once in an order without items nobody knows.
        let cost_cents = if self.items.is_empty() { PRICE_CENTS.sample(random) as u64 } else { cost_cents };
        let due_cents = if random.chance(UNDERPAID) {
            cost_cents * (random.below(45) + 50) / 100
        } else if random.chance(WITH_INTEREST) {
            cost_cents * (random.below(8) + 101) / 100
        } else {
            cost_cents
        };
        let rows = match order.payment_type {
            PaymentType::CreditCard => random.weighted(&CARD_PAYMENTS_WEIGHT) + 1,
            PaymentType::Voucher => random.weighted(&VOUCHER_PAYMENTS_WEIGHT) + 1,
            _ => 1,
        };
        // Of several payments by card, one is by card and the others by voucher, as a rule.
        let by_card = if random.chance(85_000) { Some(random.below(rows as u64) as usize) } else { None };
        let mut rest_cents = due_cents;
        for row in 0..rows {
            let last = row + 1 == rows;
            let value_cents = if last { rest_cents } else { rest_cents * (random.below(55) + 5) / 100 };
            rest_cents -= value_cents;
            let payment_type = match by_card {
                Some(card) if order.payment_type == PaymentType::CreditCard && row != card => PaymentType::Voucher,
                _ => order.payment_type,
            };
            let installments = match payment_type {
                PaymentType::CreditCard => random.weighted(&INSTALLMENTS_WEIGHT) as u64 + 1,
                _ => 1,
            };
            self.payments.push(Payment { payment_type, installments, value_cents });
        }
    }
}

/// Orders without items, of 100,000. The real ones are cancelled, but for one in a thousand.
fn without_items(order: &Order) -> u64 {
    match order.status {
        Status::Unavailable => 98_000,
        Status::Canceled => 26_000,
        Status::Created => 30_000,
        Status::Invoiced | Status::Processing | Status::Approved => 10_000,
        Status::Delivered | Status::Shipped => 50,
    }
}

/// Orders without payments, of 100,000. There is one real one.
fn without_payments(order: &Order) -> u64 {
    match order.status {
        Status::Created => 40_000,
        Status::Invoiced | Status::Processing | Status::Approved => 12_000,
        Status::Unavailable | Status::Canceled => 1_000,
        Status::Delivered | Status::Shipped => 50,
    }
}

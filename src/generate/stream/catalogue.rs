//! What is sold, who buys it and where they live. Names are ours; none needs escaping in JSON.
//!
//! Invariant: a product has one price, a customer one address, whatever the seed, so that sums can be told by heart.

use super::draws;
use crate::generate::random::Random;

/// A category: its name, and its products with their prices in cents.
type Category = (&'static str, [(&'static str, u64); 7]);

#[rustfmt::skip] // a product a line would be three pages
const CATEGORIES: [Category; 8] = [
    ("Electronics", [("Wireless Headphones", 8990), ("Phone Charger", 1995), ("Tablet 10 inch", 32900),
        ("Bluetooth Speaker", 5900), ("Laptop 14 inch", 114900), ("Webcam", 4450), ("Memory Card 128 GB", 2199)]),
    ("Clothing", [("Jeans", 6990), ("T-Shirt", 1495), ("Rain Jacket", 11900), ("Wool Sweater", 8450),
        ("Running Socks", 999), ("Leather Belt", 3490), ("Summer Dress", 5400)]),
    ("Books", [("Crime Novel", 1199), ("Cookbook", 2990), ("Atlas of the World", 7900), ("Picture Book", 1550),
        ("Dictionary", 2495), ("Poems", 950), ("History of Trade", 3800)]),
    ("Home", [("Table Lamp", 4990), ("Bed Linen", 6400), ("Coffee Maker", 9995), ("Frying Pan", 3990),
        ("Wall Clock", 2750), ("Bookshelf", 14900), ("Set of Towels", 3200)]),
    ("Sports", [("Yoga Mat", 2490), ("Football", 2995), ("Tent for Two", 18900), ("Bicycle Helmet", 5990),
        ("Dumbbells 2 kg", 2250), ("Water Bottle", 1299), ("Hiking Boots", 13900)]),
    ("Toys", [("Building Blocks", 3499), ("Jigsaw Puzzle", 1795), ("Teddy Bear", 2290), ("Train Set", 9400),
        ("Card Game", 899), ("Kite", 1950), ("Dollhouse", 12900)]),
    ("Beauty", [("Shampoo", 649), ("Hand Cream", 895), ("Perfume", 7400), ("Electric Toothbrush", 6490),
        ("Nail Polish", 599), ("Hair Dryer", 4500), ("Sun Lotion", 1350)]),
    ("Groceries", [("Coffee Beans 1 kg", 1690), ("Olive Oil", 1249), ("Green Tea", 795), ("Dark Chocolate", 299),
        ("Pasta 5 kg", 1150), ("Honey", 695), ("Box of Wine", 5800)]),
];
const PRODUCTS: u64 = 56;

/// Customers of a shop; the first ones buy most often.
const CUSTOMERS: u64 = 100_000;

const STREETS: [&str; 12] = [
    "Oak Street",
    "Main Street",
    "Maple Avenue",
    "Park Road",
    "Cedar Lane",
    "Lake Drive",
    "Hill Street",
    "Church Street",
    "River Road",
    "Elm Avenue",
    "Mill Lane",
    "Sunset Boulevard",
];
/// City, state and the first three digits of its zip codes.
const CITIES: [(&str, &str, u64); 10] = [
    ("New York", "NY", 100),
    ("Boston", "MA", 21),
    ("Philadelphia", "PA", 191),
    ("Atlanta", "GA", 303),
    ("Miami", "FL", 331),
    ("Chicago", "IL", 606),
    ("Houston", "TX", 770),
    ("Denver", "CO", 802),
    ("Seattle", "WA", 981),
    ("Los Angeles", "CA", 900),
];

/// Tenants and how often each sells.
const TENANTS: [(&str, u32); 3] = [("acme", 60), ("globex", 30), ("initech", 10)];

/// Means of payment and how often each is chosen.
const METHODS: [(&str, u32); 6] = [
    ("credit_card", 45),
    ("paypal", 20),
    ("debit_card", 15),
    ("apple_pay", 8),
    ("google_pay", 7),
    ("bank_transfer", 5),
];

/// Freight of a line that was added to an order.
pub const FREIGHT_CENTS: u64 = 490;

/// A product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its number, as in `P-804`: category and place in it.
    pub number: u64,
    /// Its name.
    pub name: &'static str,
    /// Its category.
    pub category: &'static str,
    /// Its price.
    pub price_cents: u64,
}

/// Where somebody lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Number of the house.
    pub house: u64,
    /// Street.
    pub street: &'static str,
    /// City.
    pub city: &'static str,
    /// State.
    pub state: &'static str,
    /// Five digits.
    pub zip_code: u64,
}

/// What was bought by whom: a pure function of seed and order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basket {
    /// Whose shop it is.
    pub tenant: &'static str,
    /// Who buys, by number.
    pub customer: u64,
    /// Products and quantities; the first ones are used.
    pub lines: [(Product, u64); 3],
    /// Means of payment.
    pub method: &'static str,
    /// Number of instalments.
    pub installments: u64,
}

impl Basket {
    /// What an order holds.
    pub fn of(seed: u64, order: u64) -> Basket {
        let random = &mut Random::of(seed, draws::BASKET, order);
        let (tenant, _) = TENANTS[random.weighted(&TENANTS.map(|(_, weight)| weight))];
        let (method, _) = METHODS[random.weighted(&METHODS.map(|(_, weight)| weight))];
        let mut line = || (product(random.below(PRODUCTS)), 1 + random.weighted(&[75, 18, 7]) as u64);
        let lines = [line(), line(), line()];
        let installments = if method == "credit_card" { 1 + random.skewed_below(6) } else { 1 };
        Basket { tenant, customer: random.skewed_below(CUSTOMERS), lines, method, installments }
    }

    /// What the first `lines` lines cost, freight included.
    pub fn value_cents(&self, lines: usize) -> u64 {
        let goods: u64 = self.lines[..lines].iter().map(|(product, quantity)| product.price_cents * quantity).sum();
        goods + FREIGHT_CENTS * (lines as u64 - 1)
    }
}

fn product(index: u64) -> Product {
    let (category, products) = &CATEGORIES[(index / 7) as usize];
    let (name, price_cents) = products[(index % 7) as usize];
    Product { number: 100 * (index / 7 + 1) + index % 7 + 1, name, category, price_cents }
}

/// Where a customer lives.
pub fn address(customer: u64) -> Address {
    let random = &mut Random::of(0, draws::ADDRESS, customer);
    let street = STREETS[random.below(STREETS.len() as u64) as usize];
    let (city, state, zip) = CITIES[random.below(CITIES.len() as u64) as usize];
    Address { house: 1 + random.below(999), street, city, state, zip_code: zip * 100 + random.below(100) }
}

/// The number in an order's id: at least eight digits, no two alike, and not in the order of placement.
pub fn order_number(seed: u64, order: u64) -> u64 {
    // Within a hundred million a multiplication by a number without common divisor is a bijection.
    const ROUND: u64 = 100_000_000;
    const STRIDE: u64 = 61_803_399;
    let first = Random::of(seed, draws::ORDER_NUMBER, 0).below(ROUND);
    order / ROUND * ROUND + (order % ROUND * STRIDE + first) % ROUND
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn products_and_order_numbers_are_told_apart() {
        let products: Vec<Product> = (0..PRODUCTS).map(product).collect();
        let names: HashSet<&str> = products.iter().map(|product| product.name).collect();
        let numbers: HashSet<u64> = products.iter().map(|product| product.number).collect();
        assert_eq!((names.len(), numbers.len()), (56, 56));
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte == b' ' || byte == b'-' || byte.is_ascii_alphanumeric());
        assert!(products.iter().all(|product| is_plain(product.name) && product.price_cents < 1_000_000));
        let orders: HashSet<u64> = (0..10_000).chain(100_000_000..100_010_000).map(|n| order_number(3, n)).collect();
        assert_eq!(orders.len(), 20_000);
    }
}

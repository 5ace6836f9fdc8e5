//! One order: its status and times, irregular ones included. Its items and payments: `basket`.
//!
//! Invariant: an order depends on seed, index, its time of purchase and the catalogue, on no other order. Nothing lies
//! after [`EXPORTED_S`]: what would, has not happened yet, and the status is what remains. So a few of the last orders
//! are still under way, as in any export.

use dataflows::model::PaymentType;
use dataflows::named;

use super::catalogue::Place;
use super::measured::{
    APPROVAL_AFTER_CARRIER_S, APPROVAL_BOLETO_S, APPROVAL_CREDIT_CARD_S, APPROVAL_DEBIT_CARD_S, APPROVAL_VOUCHER_S,
    ESTIMATE_DAYS, HANDLING_S, PAYMENT_TYPE_WEIGHT, STATUS_WEIGHT, TRANSIT_S,
};
use super::stream;
use crate::generate::random::{Random, id};

/// 2018-09-30 23:59:59, when the shop's books were copied, in seconds since 1970.
pub const EXPORTED_S: i64 = 1_538_351_999;

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 86_400;

named! {
    /// Status of an order, in Olist's words.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Status {
        /// With the customer.
        Delivered => "delivered",
        /// With the carrier.
        Shipped => "shipped",
        /// Cancelled, whenever.
        Canceled => "canceled",
        /// Cancelled, for want of goods.
        Unavailable => "unavailable",
        /// Approved and invoiced.
        Invoiced => "invoiced",
        /// Approved and being packed.
        Processing => "processing",
        /// Placed, nothing more.
        Created => "created",
        /// Payment approved.
        Approved => "approved",
    }
}

impl Status {
    /// True where the tracker reads a cancellation.
    pub fn is_cancelled(self) -> bool {
        matches!(self, Status::Canceled | Status::Unavailable)
    }
}

/// What is out of the ordinary in the times of an order that left the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Irregularity {
    None,
    /// The approval was stamped after the parcel had left: skipped_stage, then backward.
    ApprovalAfterCarrier,
    /// The carrier scanned before the order was placed: not_placed, then backward.
    CarrierBeforePurchase,
    /// The approval was stamped after delivery: skipped_stage, then backward.
    ApprovalAfterDelivery,
    /// The carrier's scan came after delivery: skipped_stage, then backward.
    CarrierAfterDelivery,
    /// skipped_stage.
    ApprovalMissing,
    /// skipped_stage, for delivered orders.
    CarrierMissing,
    /// skipped_stage by two.
    BothMissing,
}

impl Irregularity {
    /// With the real shares of 100,000 in brackets, where ours is larger.
    fn draw(random: &mut Random) -> Self {
        match random.below(100_000) {
            0..1_400 => Irregularity::ApprovalAfterCarrier,
            1_400..1_600 => Irregularity::CarrierBeforePurchase,
            1_600..1_700 => Irregularity::ApprovalAfterDelivery,
            // (23)
            1_700..1_950 => Irregularity::CarrierAfterDelivery,
            // (14)
            1_950..2_200 => Irregularity::ApprovalMissing,
            // (2)
            2_200..2_450 => Irregularity::CarrierMissing,
            // (0)
            2_450..2_500 => Irregularity::BothMissing,
            _ => Irregularity::None,
        }
    }
}

/// A row of the orders file, and of the customers file.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Unique.
    pub id: u128,
    /// Unique too: Olist gives every order a customer of its own.
    pub customer_id: u128,
    /// The buyer, the same for a few per cent of the orders.
    pub customer_unique_id: u128,
    /// Where the buyer lives.
    pub place: Place,
    /// What the row says.
    pub status: Status,
    /// The main type of payment; it decides how long approval takes.
    pub payment_type: PaymentType,
    /// Seconds since 1970, as all times here.
    pub purchased_s: i64,
    /// Payment approved.
    pub approved_s: Option<i64>,
    /// Handed to the carrier.
    pub carrier_s: Option<i64>,
    /// With the customer.
    pub delivered_s: Option<i64>,
    /// What the customer was told: a midnight.
    pub estimated_s: i64,
}

/// Orders by someone who ordered before, of 100,000.
const AGAIN: u64 = 3_400;

impl Order {
    /// The order at `index`, placed at `purchased_s`.
    pub fn of(seed: u64, index: u64, purchased_s: i64, random: &mut Random) -> Self {
        let buyer = if random.chance(AGAIN) { random.below(index.max(1)) } else { index };
        let place = Place::of_buyer(&mut Random::of(seed, stream::BUYER, buyer));
        let zone = place.town.zone;
        let mut order = Order {
            id: id(seed, stream::ORDER_ID, index),
            customer_id: id(seed, stream::CUSTOMER_ID, index),
            customer_unique_id: id(seed, stream::BUYER_ID, buyer),
            place,
            status: Status::ALL[random.weighted(&STATUS_WEIGHT)],
            payment_type: PaymentType::ALL[random.weighted(&PAYMENT_TYPE_WEIGHT)],
            purchased_s,
            approved_s: None,
            carrier_s: None,
            delivered_s: None,
            estimated_s: (purchased_s / DAY_S + ESTIMATE_DAYS[zone].sample(random)) * DAY_S,
        };
        let approved_s = purchased_s + order.approval_s(random);
        let carrier_s = approved_s + HANDLING_S.sample(random);
        let delivered_s = carrier_s + TRANSIT_S[zone].sample(random);
        match order.status {
            Status::Delivered => order.set(Some(approved_s), Some(carrier_s), Some(delivered_s)),
            Status::Shipped => order.set(Some(approved_s), Some(carrier_s), None),
            Status::Unavailable | Status::Invoiced | Status::Processing | Status::Approved => {
                order.set(Some(approved_s), None, None);
            }
            Status::Created => {}
            // The real shares are 22, 65, 12 and 1 per cent.
            Status::Canceled => match random.below(100) {
                0..22 => {}
                22..78 => order.set(Some(approved_s), None, None),
                78..90 => order.set(Some(approved_s), Some(carrier_s), None),
                _ => order.set(Some(approved_s), Some(carrier_s), Some(delivered_s)),
            },
        }
        if order.carrier_s.is_some() {
            order.disturb(Irregularity::draw(random), random);
        }
        order.forget_the_future();
        order
    }

    fn set(&mut self, approved_s: Option<i64>, carrier_s: Option<i64>, delivered_s: Option<i64>) {
        (self.approved_s, self.carrier_s, self.delivered_s) = (approved_s, carrier_s, delivered_s);
    }

    fn approval_s(&self, random: &mut Random) -> i64 {
        match self.payment_type {
            PaymentType::CreditCard => APPROVAL_CREDIT_CARD_S.sample(random),
            PaymentType::Boleto => APPROVAL_BOLETO_S.sample(random),
            PaymentType::Voucher => APPROVAL_VOUCHER_S.sample(random),
            _ => APPROVAL_DEBIT_CARD_S.sample(random),
        }
    }

    fn disturb(&mut self, irregularity: Irregularity, random: &mut Random) {
        let delivered = self.delivered_s.is_some();
        match (irregularity, self.approved_s, self.carrier_s) {
            (Irregularity::ApprovalAfterCarrier, Some(approved_s), Some(_)) => {
                // Where the approval came too soon for that, it came later instead.
                let ahead_s = APPROVAL_AFTER_CARRIER_S.sample(random);
                let carrier_s = (approved_s - ahead_s).max(self.purchased_s + random.between(600, 12 * HOUR_S));
                self.carrier_s = Some(carrier_s);
                self.approved_s = Some(carrier_s + ahead_s);
                self.delivered_s = self.delivered_s.map(|delivered_s| delivered_s.max(carrier_s + HOUR_S));
            }
            (Irregularity::CarrierBeforePurchase, ..) => {
                self.carrier_s = Some(self.purchased_s - random.between(600, 2 * DAY_S));
            }
            (Irregularity::ApprovalAfterDelivery, ..) if delivered => {
                let carrier_s = self.purchased_s + random.between(HOUR_S, DAY_S);
                let delivered_s = carrier_s + random.between(DAY_S, 4 * DAY_S);
                self.set(Some(delivered_s + random.between(HOUR_S, 3 * DAY_S)), Some(carrier_s), Some(delivered_s));
            }
            (Irregularity::CarrierAfterDelivery, ..) if delivered => {
                self.carrier_s = self.delivered_s.map(|at_s| at_s + random.between(HOUR_S, 5 * DAY_S));
            }
            (Irregularity::ApprovalMissing, ..) => self.approved_s = None,
            (Irregularity::CarrierMissing, ..) if delivered => self.carrier_s = None,
            (Irregularity::BothMissing, ..) if delivered => self.set(None, None, self.delivered_s),
            _ => {}
        }
    }

    fn forget_the_future(&mut self) {
        let past = |at_s: &i64| *at_s <= EXPORTED_S;
        let delivered = self.delivered_s.is_some();
        self.set(self.approved_s.filter(past), self.carrier_s.filter(past), self.delivered_s.filter(past));
        let undone = delivered && self.delivered_s.is_none();
        let left_the_shop = matches!(self.status, Status::Delivered | Status::Shipped);
        if left_the_shop && self.delivered_s.is_none() && (undone || self.carrier_s.is_none()) {
            self.status = match (self.approved_s, self.carrier_s) {
                (_, Some(_)) => Status::Shipped,
                (Some(_), None) => Status::Processing,
                (None, None) => Status::Created,
            };
        }
    }

    /// Facts that its row comes to: its times, and its cancellation.
    pub fn facts(&self) -> u64 {
        self.transitions() + u64::from(self.status.is_cancelled())
    }

    /// Times stamped on this order.
    pub fn transitions(&self) -> u64 {
        [self.approved_s, self.carrier_s, self.delivered_s].iter().flatten().count() as u64 + 1
    }
}

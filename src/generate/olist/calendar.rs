//! When orders are placed: growth by month, a rhythm of weekdays and hours, one Black Friday.
//!
//! Invariant: purchase `index` of `count` lies in the `index`-th of `count` equal shares of the whole weight, so
//! purchases come out in order without being sorted, and the span is the same at any count.

use dataflows::model::digits::civil_date;

use super::measured::{HOUR_WEIGHT, MONTH_ORDERS, WEEKDAY_WEIGHT};
use crate::generate::random::Random;

/// Days since 1970: 2016-09-04, a Sunday.
const FIRST_DAY: i64 = 17_048;
/// Days since 1970: 2018-08-29, the last day with purchases.
const LAST_DAY: i64 = 17_772;
/// Days since 1970: 2017-11-24.
const BLACK_FRIDAY: i64 = 17_494;
const BLACK_FRIDAY_FACTOR: u64 = 5;
const HOUR_S: u64 = 3_600;

/// The weights, summed up hour by hour: 17,400 numbers, whatever the count.
#[derive(Debug)]
pub struct Calendar {
    /// Weight before each hour; one more entry than hours.
    before: Vec<u64>,
    /// The hour of the purchase before.
    hour: usize,
    count: u64,
}

impl Calendar {
    /// A calendar for `count` purchases.
    pub fn new(count: u64) -> Self {
        let mut before = vec![0];
        let mut sum = 0;
        for day in FIRST_DAY..=LAST_DAY {
            let (year, month, _) = civil_date(day as u32);
            let months = (year - 2016) * 12 + month - 9;
            let orders = MONTH_ORDERS.get(months as usize).copied().unwrap_or(0);
            let factor = if day == BLACK_FRIDAY { BLACK_FRIDAY_FACTOR } else { 1 };
            // 1970-01-01 was a Thursday.
            let weekday = (day + 3).rem_euclid(7) as usize;
            for hour_weight in HOUR_WEIGHT {
                sum += orders * factor * WEEKDAY_WEIGHT[weekday] * hour_weight;
                before.push(sum);
            }
        }
        Calendar { before, hour: 0, count }
    }

    /// The time of purchase `index`, in seconds since 1970. Indexes must come in ascending order.
    pub fn purchased_s(&mut self, index: u64, random: &mut Random) -> i64 {
        let hours = self.before.len() - 1;
        let share = u128::from(index) << 32 | u128::from(random.next_u64() >> 32);
        let position = ((share * u128::from(self.before[hours])) / u128::from(self.count)) >> 32;
        let position = position as u64;
        while self.hour + 1 < hours && self.before[self.hour + 1] <= position {
            self.hour += 1;
        }
        let (from, to) = (self.before[self.hour], self.before[self.hour + 1]);
        let second = (position - from) * HOUR_S / (to - from).max(1);
        FIRST_DAY * 86_400 + (self.hour as u64 * HOUR_S + second) as i64
    }
}

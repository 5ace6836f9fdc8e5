//! Measures: what orders contribute to the aggregate collections, as differences that add up.
//!
//! A contribution is an update whose diff is a vector of sums, so that an aggregate is the plain accumulation of its
//! contributions. Each is made once, for the finest window that is kept and still open; coarser windows and the row of
//! all tenants (`*`) are a linear function of it ([`super::roll_up`]), so rolling up before or after accumulation is
//! the same. Limits: counts fit 63 bits, amounts 127.

use std::hash::{Hash, Hasher};

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use crate::model::{Money, Symbol};
use crate::operators::bundles::{Bundled, Bundles};
use crate::operators::changing_sums::Shrinks;
use crate::time::{DAY_MS, MINUTE_MS, Time, Window};

/// The aggregate collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)] // named as the collections
pub enum Aggregate {
    Funnel,
    Gmv,
    Categories,
    DropOff,
    Payments,
    SlaSummary,
    OrdersByStatus,
    RecordLaw,
    RowCounts,
}

/// What a contribution counts towards: 16 bytes, for there are many.
#[derive(Clone, Copy, Debug, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MeasureKey {
    /// Which collection.
    pub aggregate: Aggregate,
    /// The finest window it counts in; it counts in every coarser one that is kept, too.
    pub window: Window,
    /// What is counted, by number: a payment type, an SLA, a status, a stage of drop-off.
    pub code: u16,
    /// The tenant.
    pub tenant: Symbol,
    /// The category, of categories.
    pub category: Symbol,
    /// Start of the window, in minutes since 1970: it fits up to the year 10135, and times end with 9999.
    start_minute: u32,
}

impl MeasureKey {
    /// A key in `total`, of no category.
    pub fn in_total(aggregate: Aggregate, tenant: Symbol, code: u16) -> MeasureKey {
        let category = Symbol::default();
        MeasureKey { aggregate, window: Window::Total, code, tenant, category, start_minute: 0 }
    }

    /// The same in the window that starts at `start`.
    pub fn within(self, window: Window, start: Time) -> MeasureKey {
        MeasureKey { window, start_minute: u32::try_from(start / MINUTE_MS).unwrap_or(u32::MAX), ..self }
    }

    /// The same of a category.
    pub fn of_category(self, category: Symbol) -> MeasureKey {
        MeasureKey { category, ..self }
    }

    /// Start of the window.
    pub fn start(&self) -> Time {
        u64::from(self.start_minute) * MINUTE_MS
    }

    /// All of it: keys are hashed and compared more often than anything else.
    fn numbers(&self) -> (u64, u64) {
        let what = u64::from(self.code) << 16 | u64::from(self.window as u8) << 8 | u64::from(self.aggregate as u8);
        let place = u64::from(self.start_minute) << 32 | u64::from(self.category.number());
        (u64::from(self.tenant.number()) << 32 | what, place)
    }
}

impl PartialEq for MeasureKey {
    fn eq(&self, other: &MeasureKey) -> bool {
        self.numbers() == other.numbers()
    }
}

impl Hash for MeasureKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (whose, place) = self.numbers();
        state.write_u128(u128::from(whose) << 64 | u128::from(place));
    }
}

impl Bundled for MeasureKey {
    /// The collection and the UTC day, counted from 1970: what rolls up in any window but `total` and over tenants.
    type Label = (Aggregate, u32);

    fn label(&self) -> (Aggregate, u32) {
        (self.aggregate, (self.start() / DAY_MS) as u32)
    }

    fn spread((aggregate, day): &(Aggregate, u32)) -> u64 {
        u64::from(*day) + *aggregate as u64
    }
}

/// Accumulated contributions of orders.
pub type Sums = Bundles<MeasureKey, Measures>;
/// Accumulated contributions of items and payments.
pub type LineSums = Bundles<MeasureKey, LineMeasures>;

/// How many counts and amounts a contribution has room for.
pub const COUNTS: usize = 8;
/// See [`COUNTS`].
pub const AMOUNTS: usize = 3;

/// Sums that are added as vectors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Measures {
    /// Counts; their meaning is the collection's.
    pub counts: [i64; COUNTS],
    /// Amounts; their meaning is the collection's.
    pub amounts: [Money; AMOUNTS],
}

impl Measures {
    /// These sums `factor` times.
    pub fn times(&self, factor: i64) -> Measures {
        let amount_times = |amount: Money| Money(i128::from(factor) * amount.0);
        Measures { counts: self.counts.map(|count| factor * count), amounts: self.amounts.map(amount_times) }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Measures) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.amounts.iter_mut().zip(other.amounts).for_each(|(sum, amount)| *sum += amount);
    }
}

impl IsZero for Measures {
    fn is_zero(&self) -> bool {
        *self == Measures::default()
    }
}

impl Semigroup for Measures {
    fn plus_equals(&mut self, other: &Measures) {
        self.add(other);
    }
}

/// Measures in 28 bytes: those of most minutes fit.
#[derive(Clone, Copy, Debug, Default)]
pub struct SmallMeasures {
    counts: [i16; COUNTS],
    amounts: [i32; AMOUNTS],
}

impl Shrinks for Measures {
    type Small = SmallMeasures;

    fn shrunk(&self) -> Option<SmallMeasures> {
        let mut small = SmallMeasures::default();
        for (small, count) in small.counts.iter_mut().zip(self.counts) {
            *small = i16::try_from(count).ok()?;
        }
        for (small, amount) in small.amounts.iter_mut().zip(self.amounts) {
            *small = i32::try_from(amount.0).ok()?;
        }
        Some(small)
    }

    fn grown(small: &SmallMeasures) -> Measures {
        let SmallMeasures { counts, amounts } = small;
        Measures { counts: counts.map(i64::from), amounts: amounts.map(|amount| Money(amount.into())) }
    }
}

/// Sums of items or payments, of which there are far more than of orders: by category, by means of payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LineMeasures {
    /// Lines.
    pub lines: i64,
    /// Instalments, of payments.
    pub installments: i64,
    /// What the lines come to.
    pub value: Money,
}

impl LineMeasures {
    /// Adds `other`.
    pub fn add(&mut self, other: &LineMeasures) {
        self.lines += other.lines;
        self.installments += other.installments;
        self.value += other.value;
    }
}

impl IsZero for LineMeasures {
    fn is_zero(&self) -> bool {
        *self == LineMeasures::default()
    }
}

impl Semigroup for LineMeasures {
    fn plus_equals(&mut self, other: &LineMeasures) {
        self.add(other);
    }
}

impl Shrinks for LineMeasures {
    /// Lines, instalments, value.
    type Small = (i16, i16, i32);

    fn shrunk(&self) -> Option<(i16, i16, i32)> {
        let LineMeasures { lines, installments, value } = *self;
        Some((lines.try_into().ok()?, installments.try_into().ok()?, value.0.try_into().ok()?))
    }

    fn grown(&(lines, installments, value): &(i16, i16, i32)) -> LineMeasures {
        LineMeasures { lines: lines.into(), installments: installments.into(), value: Money(value.into()) }
    }
}

//! Measures: what orders contribute to the aggregate collections, as differences that add up.
//!
//! A contribution is an update whose diff is a vector of sums, so that an aggregate is the plain accumulation of its
//! contributions. Each is made once, for the finest window that is kept and still open; coarser windows and the row of
//! all tenants (`*`) are a linear function of it ([`super::roll_up`]), so rolling up before or after accumulation is
//! the same. Limits: counts fit 63 bits, amounts 127.

use differential_dataflow::difference::{IsZero, Semigroup};
use serde::{Deserialize, Serialize};

use crate::model::{Money, Symbol};
use crate::operators::bundles::{Bundled, Bundles};
use crate::time::{DAY_MS, Time, Window};

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

/// What a contribution counts towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// Start of the window.
    pub start: Time,
}

impl Bundled for MeasureKey {
    /// The collection and the UTC day, counted from 1970: what rolls up in any window but `total` and over tenants.
    type Label = (Aggregate, u32);

    fn label(&self) -> (Aggregate, u32) {
        (self.aggregate, (self.start / DAY_MS) as u32)
    }

    fn spread((aggregate, day): &(Aggregate, u32)) -> u64 {
        u64::from(*day) + *aggregate as u64
    }
}

/// Accumulated contributions.
pub type Sums = Bundles<MeasureKey, Measures>;

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

    /// Takes `other` away.
    pub fn subtract(&mut self, other: &Measures) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum -= count);
        self.amounts.iter_mut().zip(other.amounts).for_each(|(sum, amount)| *sum = *sum - amount);
    }

    /// What takes these sums away.
    pub fn negated(&self) -> Measures {
        Measures { counts: self.counts.map(|count| -count), amounts: self.amounts.map(|amount| -amount) }
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

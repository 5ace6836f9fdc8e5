//! Measures: what orders contribute to the aggregate collections, as differences that add up.
//!
//! A contribution is an update whose diff is a vector of sums, so that an aggregate is the plain accumulation of its
//! contributions. Each is made once, for the finest window that is kept and still open; coarser windows and the row of
//! all tenants (`*`) are a linear function of it ([`Sums::rolled_up`]), so rolling up before or after accumulation is
//! the same. Limits: counts fit 63 bits, amounts 127.

use differential_dataflow::difference::{IsZero, Semigroup};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::model::{Money, Symbol};
use crate::time::{Time, Window};

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
    Quality,
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
    /// The tenant (the source, of quality).
    pub tenant: Symbol,
    /// The category, of categories.
    pub category: Symbol,
    /// Start of the window.
    pub start: Time,
}

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
        let mut product = Measures::default();
        product.add(self, factor);
        product
    }

    /// Adds `sign` times `other`.
    pub fn add(&mut self, other: &Measures, sign: i64) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += sign * count;
        }
        for (sum, amount) in self.amounts.iter_mut().zip(other.amounts) {
            sum.0 += i128::from(sign) * amount.0;
        }
    }
}

impl IsZero for Measures {
    fn is_zero(&self) -> bool {
        *self == Measures::default()
    }
}

impl Semigroup for Measures {
    fn plus_equals(&mut self, other: &Measures) {
        self.add(other, 1);
    }
}

/// Accumulated contributions.
#[derive(Clone, Debug, Default)]
pub struct Sums(HashMap<MeasureKey, Measures>);

/// What a rolled-up sum is of: window, its start, tenant (none: all of them), code and category.
pub type RolledKey = (Window, Time, Option<Symbol>, u16, Symbol);

impl Sums {
    /// Adds a contribution.
    pub fn add(&mut self, key: MeasureKey, measures: &Measures) {
        self.0.entry(key).or_default().add(measures, 1);
    }

    /// Takes all sums out, leaving none.
    pub fn drain(&mut self) -> impl Iterator<Item = (MeasureKey, Measures)> + '_ {
        self.0.drain().filter(|(_, measures)| !measures.is_zero())
    }

    /// The sums of `aggregate` as contributed: by tenant and, windowed or not, by the finest window.
    pub fn of(&self, aggregate: Aggregate) -> impl Iterator<Item = (&MeasureKey, &Measures)> {
        self.0.iter().filter(move |(key, measures)| key.aggregate == aggregate && !measures.is_zero())
    }

    /// The sums of `aggregate` in each of `windows`, of each tenant and of all.
    pub fn rolled_up(&self, aggregate: Aggregate, windows: &[Window]) -> HashMap<RolledKey, Measures> {
        let mut rolled: HashMap<RolledKey, Measures> = HashMap::new();
        for (key, measures) in self.of(aggregate) {
            for window in windows.iter().filter(|window| **window >= key.window) {
                let start = window.start(key.start);
                for tenant in [Some(key.tenant), None] {
                    rolled.entry((*window, start, tenant, key.code, key.category)).or_default().add(measures, 1);
                }
            }
        }
        rolled.retain(|_, measures| !measures.is_zero());
        rolled
    }
}

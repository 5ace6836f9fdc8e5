//! Building blocks of operators that know no domain word: queues by time, keyed state, pre-aggregation.

pub mod accumulate;
pub mod buckets;
pub mod bundles;
pub mod calendar;
pub mod changing_sums;
pub mod limit;
pub mod pieces;
pub mod slab;
pub mod stash;
pub mod ticks;

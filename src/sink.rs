//! Sinks: results out. The second seam: [`Sink`], one implementation a kind.
//!
//! A sink knows collections by name, columns and cells; it lists no columns by hand.

pub mod cell;
pub mod console;
pub mod files;

use dataflows::views::collection::{Cell, Column};

use crate::error::JobResult;

/// Where results go.
pub trait Sink {
    /// Writes a collection as of the job's frontier; rows come in the order of their keys.
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()>;

    /// True where rows must come in the order of their keys.
    fn needs_order(&self) -> bool;

    /// Makes everything written visible at once; without it nothing is.
    fn commit(&mut self) -> JobResult<()>;
}

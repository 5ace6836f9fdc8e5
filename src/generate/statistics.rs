//! What a generator run wrote, for its last line on the terminal. Counts follow the rows, not a fold over them: an
//! order cancelled after its delivery counts as cancelled here, while the tracker shows it DELIVERED.

use std::fmt;
use std::time::Duration;

/// Counts and speed of one run. All but `elapsed` depend on the options alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Orders written.
    pub orders: u64,
    /// Item rows written.
    pub items: u64,
    /// Payment rows written.
    pub payments: u64,
    /// Times stamped on orders: placed, approved, carrier, delivered.
    pub transitions: u64,
    /// Orders whose row says delivered.
    pub delivered: u64,
    /// Orders whose row says cancelled (in Olist's words canceled or unavailable).
    pub cancelled: u64,
    /// Orders neither delivered nor cancelled.
    pub still_active: u64,
    /// Facts that all rows come to, copies included.
    pub facts: u64,
    /// Rows written once more.
    pub duplicate_rows: u64,
    /// Facts that these come to.
    pub duplicate_facts: u64,
    /// Broken rows.
    pub invalid_rows: u64,
    /// Bytes of all files; each directory gets them all.
    pub bytes: u64,
    /// Wall-clock time it took.
    pub elapsed: Duration,
}

impl Statistics {
    /// Rows of orders, items and payments, copies and broken ones included.
    pub fn rows(&self) -> u64 {
        self.orders + self.items + self.payments + self.duplicate_rows + self.invalid_rows
    }

    /// Rows a second of wall-clock time.
    pub fn rows_per_second(&self) -> u64 {
        let elapsed_us = self.elapsed.as_micros().max(1);
        u64::try_from(u128::from(self.rows()) * 1_000_000 / elapsed_us).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "orders        {:>14}", self.orders)?;
        writeln!(formatter, "  delivered   {:>14}", self.delivered)?;
        writeln!(formatter, "  cancelled   {:>14}", self.cancelled)?;
        writeln!(formatter, "  active      {:>14}", self.still_active)?;
        writeln!(formatter, "items         {:>14}", self.items)?;
        writeln!(formatter, "payments      {:>14}", self.payments)?;
        writeln!(formatter, "transitions   {:>14}", self.transitions)?;
        writeln!(formatter, "rows          {:>14}", self.rows())?;
        writeln!(formatter, "  invalid     {:>14}", self.invalid_rows)?;
        writeln!(formatter, "  duplicates  {:>14}", self.duplicate_rows)?;
        writeln!(formatter, "facts         {:>14}", self.facts)?;
        writeln!(formatter, "  duplicates  {:>14}", self.duplicate_facts)?;
        writeln!(formatter, "megabytes     {:>14}", self.bytes / 1_000_000)?;
        write!(
            formatter,
            "{} rows in {}.{:03} s, {} rows/s",
            self.rows(),
            self.elapsed.as_secs(),
            self.elapsed.subsec_millis(),
            self.rows_per_second()
        )
    }
}

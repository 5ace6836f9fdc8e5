//! The console as a sink: it counts the rows of every collection and keeps the totals for the tables at the end.

use dataflows::views::collection::{Cell, Column};

use super::{Sink, cell};
use crate::console::Totals;
use crate::error::JobResult;

/// Which rows are shown.
type IsShown = fn(&[Cell]) -> bool;

/// What the console keeps.
#[derive(Debug, Default)]
pub struct Console {
    /// Rows of every collection, in the order written.
    pub collections: Vec<(String, u64)>,
    /// Rows that sum collections up.
    pub totals: Vec<Totals>,
}

impl Console {
    /// Which rows of a collection are totals worth a table, and its title.
    fn totals(name: &str) -> Option<(&'static str, IsShown)> {
        Some(match name {
            "real_time_funnel" => ("Funnel", is_total),
            "gmv_metrics" => ("Gross merchandise value", is_total),
            "payment_metrics" => ("Payments", |row| is_total(row) && is_all(row.get(2))),
            "sla_summary" => ("SLAs", |row| is_all(row.first())),
            "orders_by_status" => ("Orders by status", |row| is_all(row.first())),
            _ => return None,
        })
    }
}

fn is_total(row: &[Cell]) -> bool {
    row.first() == Some(&Cell::Word("total"))
}

fn is_all(cell: Option<&Cell>) -> bool {
    matches!(cell, Some(Cell::Text(text)) if text.as_str_in(&mut [0; 32]) == dataflows::views::ALL_TENANTS)
}

impl Sink for Console {
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()> {
        let totals = Console::totals(name);
        let mut shown: Vec<Vec<Cell>> = Vec::new();
        let mut count = 0;
        for row in rows {
            count += 1;
            if let Some((_, is_shown)) = totals
                && is_shown(&row)
            {
                shown.push(row);
            }
        }
        self.collections.push((name.to_owned(), count));
        if let Some((title, _)) = totals {
            // Rows come in no order: sort the few that are shown.
            shown.sort_by_cached_key(|row| row.iter().map(cell::text).collect::<Vec<_>>());
            self.totals.push(Totals { title, collection: name, columns, rows: shown });
        }
        Ok(())
    }

    fn needs_order(&self) -> bool {
        false
    }

    fn commit(&mut self) -> JobResult<()> {
        Ok(())
    }
}

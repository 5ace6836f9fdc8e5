//! The console as a sink: it counts the rows of every collection and keeps the totals for the tables at the end.

use std::sync::{Mutex, PoisonError};

use dataflows::views::collection::Collection;
use dataflows::views::{ALL_TENANTS, COLLECTIONS};

use super::text_row::TextRow;
use super::{Sink, Writer};
use crate::console::Totals;
use crate::error::JobResult;

/// Which rows are shown, by the text of their cells.
type IsShown = fn(&[String]) -> bool;

/// What the console keeps.
#[derive(Debug, Default)]
pub struct Console {
    written: Mutex<Vec<Written>>,
}

/// What it keeps of a collection.
#[derive(Debug)]
struct Written {
    collection: Collection,
    rows: u64,
    shown: Vec<Vec<String>>,
}

/// A collection that is being written.
struct Unfinished<'c> {
    console: &'c Console,
    is_shown: Option<IsShown>,
    written: Written,
}

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

fn is_total(row: &[String]) -> bool {
    row.first().is_some_and(|window| window == "total")
}

fn is_all(cell: Option<&String>) -> bool {
    cell.is_some_and(|tenant| tenant == ALL_TENANTS)
}

impl Console {
    /// Rows of every collection, in the order of outputs, and those that sum collections up.
    pub fn into_totals(self) -> (Vec<(String, u64)>, Vec<Totals>) {
        let mut written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner);
        let place = |name: &str| COLLECTIONS.iter().position(|collection| collection.name == name);
        written.sort_by_key(|written| place(written.collection.name));
        let counts = written.iter().map(|written| (written.collection.name.to_owned(), written.rows)).collect();
        let shown = written.into_iter().filter_map(|Written { collection, shown, .. }| {
            let (title, _) = totals(collection.name)?;
            Some(Totals { title, collection: collection.name, columns: collection.columns, rows: shown })
        });
        (counts, shown.collect())
    }
}

impl Sink for Console {
    fn begin(&self, collection: Collection) -> JobResult<Box<dyn Writer + '_>> {
        let is_shown = totals(collection.name).map(|(_, is_shown)| is_shown);
        let written = Written { collection, rows: 0, shown: Vec::new() };
        Ok(Box::new(Unfinished { console: self, is_shown, written }))
    }

    fn commit(&self) -> JobResult<()> {
        Ok(())
    }
}

impl Writer for Unfinished<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        self.written.rows += 1;
        if let Some(is_shown) = self.is_shown {
            let first: Vec<String> = row.cells().take(3).map(String::from).collect();
            if is_shown(&first) {
                self.written.shown.push(row.cells().map(String::from).collect());
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> JobResult<()> {
        self.console.written.lock().unwrap_or_else(PoisonError::into_inner).push(self.written);
        Ok(())
    }
}

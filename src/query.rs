//! `orderwatch query`: rows of the results of a replay, filtered, newest first.
//!
//! The answer is the same whichever sink wrote the results. Nothing is computed that the collections do not hold.

mod parquet;
mod store;

use std::io::{self, Write};

use dataflows::views::collection::{Collection, Column};
use dataflows::views::{funnel, gmv, order_events, orders, payments, sla_breaches};

use crate::cli::{OutputFormat, Query, Question};
use crate::console::{Style, SummaryTable, print, print_table};
use crate::error::{JobError, JobResult};
use crate::sink::cell;

/// Which rows of a collection are wanted.
struct Wanted {
    collection: Collection,
    /// The column whose largest values come first.
    newest_by: &'static str,
    /// Columns and what stands in them; empty for no value.
    filters: Vec<(&'static str, String)>,
    limit: usize,
}

/// Answers `query` on standard output.
pub fn run(query: &Query, style: Style) -> JobResult<()> {
    let wanted = Wanted::of(query)?;
    let rows = store::read(&query.results, &wanted)?;
    print("rows", |out| match query.output {
        OutputFormat::Text => print_table(out, &table(&wanted, rows), style),
        OutputFormat::Json => print_json(out, wanted.collection.columns, &rows),
    })
}

impl Wanted {
    fn of(query: &Query) -> JobResult<Wanted> {
        let (collection, newest_by) = match query.question {
            Question::Latest => (Collection::of::<order_events::OrderEventRow>(), "at"),
            Question::Breaches => (Collection::of::<sla_breaches::SlaBreachRow>(), "deadline_at"),
            Question::Funnel => (Collection::of::<funnel::FunnelRow>(), "window_start"),
            Question::Gmv => (Collection::of::<gmv::GmvRow>(), "window_start"),
            Question::Payments => (Collection::of::<payments::PaymentRow>(), "window_start"),
            Question::Orders => (Collection::of::<orders::OrderRow>(), "placed_at"),
        };
        let has = |name: &str| collection.columns.iter().any(|column| column.name == name);
        let mut filters = Vec::new();
        for (flag, column, value) in [
            ("--tenant", "tenant", query.tenant.clone()),
            ("--order", "order_id", query.order.clone()),
            ("--status", "status", query.status.as_ref().map(|status| status.to_uppercase())),
            ("--open", "resolution", query.open.then(String::new)),
            ("--window", "window", query.window.clone()),
        ] {
            match value {
                Some(value) if has(column) => filters.push((column, value)),
                Some(_) => {
                    let what = format!("{flag} chooses nothing here: {} has no {column}", collection.name);
                    return Err(JobError::configuration(what).at(format!("flag {flag}")).remedy("leave it out"));
                }
                None if column == "window" && has(column) => filters.push((column, "total".to_owned())),
                None => {}
            }
        }
        Ok(Wanted { collection, newest_by, filters, limit: query.limit as usize })
    }
}

/// Rows as a table, without the columns that none of them fills.
fn table(wanted: &Wanted, rows: Vec<Vec<String>>) -> SummaryTable {
    let columns = wanted.collection.columns;
    let filled = |place: &usize| rows.is_empty() || rows.iter().any(|row| !row[*place].is_empty());
    let kept: Vec<usize> = (0..columns.len()).filter(filled).collect();
    SummaryTable {
        title: wanted.collection.name.to_owned(),
        header: kept.iter().map(|place| columns[*place].name.to_owned()).collect(),
        rows: rows.iter().map(|row| kept.iter().map(|place| row[*place].clone()).collect()).collect(),
    }
}

/// Rows as an array of objects, one a line.
fn print_json(out: &mut impl Write, columns: &[Column], rows: &[Vec<String>]) -> io::Result<()> {
    let mut json = b"[".to_vec();
    for (number, row) in rows.iter().enumerate() {
        json.extend_from_slice(if number == 0 { b"\n" } else { b",\n" });
        cell::write_object(columns, row.iter(), &mut json)?;
    }
    json.extend_from_slice(b"\n]\n");
    out.write_all(&json)
}

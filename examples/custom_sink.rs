//! A sink of your own: results as Markdown tables, for a wiki or a chat.
//!
//! Run it: `cargo run --example custom_sink`. A sink gets each collection by its name, its columns and its rows, knows no
//! collection by heart, and shows nothing before the commit. Rows come from wherever: here from a few that are made by
//! hand, in a job from the graph.

use std::fmt::Write;

use dataflows::model::{Sla, Status, Text};
use dataflows::time::{DAY_MS, HOUR_MS};
use dataflows::views::collection::{At, Cell, Column, Row};
use dataflows::views::sla_breaches::{Resolution, SlaBreachRow};
use orderwatch::error::JobResult;
use orderwatch::sink::{Sink, cell};

/// Markdown tables, one a collection.
#[derive(Default)]
struct Markdown {
    written: String,
    /// What readers see.
    visible: String,
}

impl Sink for Markdown {
    fn write(
        &mut self,
        name: &'static str,
        columns: &'static [Column],
        rows: &mut dyn Iterator<Item = Vec<Cell>>,
    ) -> JobResult<()> {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let text = &mut self.written;
        // Writing to a string does not fail.
        let _ = writeln!(text, "## {name}\n\n| {} |\n|{}", names.join(" | "), "---|".repeat(names.len()));
        for row in rows {
            text.push('|');
            for value in &row {
                text.push(' ');
                cell::write_text(value, text);
                text.push_str(" |");
            }
            text.push('\n');
        }
        Ok(())
    }

    fn needs_order(&self) -> bool {
        // People read tables from the top.
        true
    }

    fn commit(&mut self) -> JobResult<()> {
        self.visible.push_str(&std::mem::take(&mut self.written));
        Ok(())
    }
}

/// Gives the rows of any collection to a sink: columns and cells come from the row's type.
fn write_rows<R: Row>(sink: &mut dyn Sink, mut rows: Vec<R>) -> JobResult<()> {
    if sink.needs_order() {
        rows.sort_by(R::key_order);
    }
    sink.write(R::NAME, R::COLUMNS, &mut rows.iter().map(R::cells))
}

/// A broken promise, resolved so many hours after its deadline.
fn breach(order_id: &str, overdue_hours: u64) -> SlaBreachRow {
    let started_at = 1_709_251_200_000; // 2024-03-01
    let deadline_at = started_at + DAY_MS;
    SlaBreachRow {
        order_id: Text::new(order_id),
        tenant: Text::new("default"),
        sla: Sla::Processing,
        status: Status::Order,
        started_at: At(started_at),
        deadline_at: At(deadline_at),
        resolved_at: Some(At(deadline_at + overdue_hours * HOUR_MS)),
        resolution: Some(Resolution::MetLate),
        overdue_seconds: None,
        message: format!("{overdue_hours} h late"),
    }
}

/// What the sink shows after a commit.
pub fn table() -> JobResult<String> {
    let mut sink = Markdown::default();
    write_rows(&mut sink, vec![breach("A-2", 5), breach("A-1", 3)])?;
    assert!(sink.visible.is_empty(), "nothing is seen before the commit");
    sink.commit()?;
    Ok(sink.visible)
}

/// Shows the table.
pub fn main() -> JobResult<()> {
    let table = table()?;
    println!("{table}");
    let rows: Vec<&str> = table.lines().filter(|line| line.contains("h late")).collect();
    assert!(
        rows.len() == 2 && rows[0].starts_with("| A-1 | default | processing | ORDER | 2024-03-01T00:00:00.000Z |")
    );
    Ok(())
}

//! A sink of your own: results as Markdown tables, for a wiki or a chat.
//!
//! Run it: `cargo run --example custom_sink`. A sink gets each collection by its name and columns, and its rows as text, knows no
//! collection by heart, and shows nothing before the commit. Rows come from wherever: here from a few that are made by
//! hand, in a job from the graph.

use std::sync::{Mutex, MutexGuard, PoisonError};

use dataflows::model::{Sla, Status, Text};
use dataflows::time::{DAY_MS, HOUR_MS};
use dataflows::views::collection::{At, Collection, Row};
use dataflows::views::sla_breaches::{Resolution, SlaBreachRow};
use orderwatch::error::JobResult;
use orderwatch::sink::text_row::{self, TextRow};
use orderwatch::sink::{Sink, Writer};

/// Markdown tables, one a collection. Several collections may be written at a time, each by a thread.
#[derive(Default)]
struct Markdown {
    written: Mutex<String>,
    /// What readers see.
    visible: Mutex<String>,
}

/// A table that is being written.
struct Table<'m> {
    markdown: &'m Markdown,
    text: String,
}

impl Sink for Markdown {
    fn begin(&self, Collection { name, columns, .. }: Collection) -> JobResult<Box<dyn Writer + '_>> {
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let text = format!("## {name}\n\n| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len()));
        Ok(Box::new(Table { markdown: self, text }))
    }

    fn commit(&self) -> JobResult<()> {
        *unlocked(&self.visible) += &std::mem::take(&mut *unlocked(&self.written));
        Ok(())
    }
}

impl Writer for Table<'_> {
    fn write(&mut self, row: TextRow<'_>) -> JobResult<()> {
        let cells: Vec<_> = row.cells().collect();
        self.text += &format!("| {} |\n", cells.join(" | "));
        Ok(())
    }

    fn finish(self: Box<Self>) -> JobResult<()> {
        *unlocked(&self.markdown.written) += &self.text;
        Ok(())
    }
}

/// What a thread that panicked may have left is still text.
fn unlocked(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives rows of any collection, in the order of their keys, to a sink: columns and text come from the row's type.
fn write_rows<R: Row>(sink: &dyn Sink, rows: &[R]) -> JobResult<()> {
    let mut texts: Vec<String> = rows
        .iter()
        .map(|row| {
            let mut text = String::new();
            text_row::write(row, &mut text);
            text
        })
        .collect();
    texts.sort();
    let mut writer = sink.begin(Collection::of::<R>())?;
    texts.iter().try_for_each(|text| writer.write(TextRow::new(text)))?;
    writer.finish()
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
    let sink = Markdown::default();
    write_rows(&sink, &[breach("A-2", 5), breach("A-1", 3)])?;
    assert!(unlocked(&sink.visible).is_empty(), "nothing is seen before the commit");
    sink.commit()?;
    let visible = unlocked(&sink.visible).clone();
    Ok(visible)
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

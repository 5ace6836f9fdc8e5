//! The teller: breaches on the console as they happen, a line each.
//!
//! Invariant: a breach is told when it opens, and not again while it is open. At least once: a job that comes back may
//! tell again what it had told before it was killed.

use std::io::{self, Write};

use dataflows::time::Time;
use dataflows::views::collection::Row;
use dataflows::views::sla_breaches::SlaBreachRow;
use hashbrown::HashSet;
use serde_json::{Map, Value};

use super::rows::change;
use crate::cli::OutputFormat;
use crate::instant::format_instant;
use crate::sink::change::Change;
use crate::sink::text_row::TextRow;

/// How a replay that takes its time tells a breach: as a live job does.
pub fn told(breach: &SlaBreachRow, at: &str, output: OutputFormat) -> String {
    line(named(&change(breach, true)), at, output)
}

/// The cells of a breach by the names of their columns.
fn named(change: &Change) -> Map<String, Value> {
    let names = SlaBreachRow::COLUMNS.iter().map(|column| column.name.to_owned());
    let cells = [&*change.key, change.row.as_deref().unwrap_or_default()].map(|text| TextRow::new(text).cells());
    let values = cells.into_iter().flatten().map(|cell| Value::String(cell.into_owned()));
    names.zip(values).collect()
}

fn line(row: Map<String, Value>, at: &str, output: OutputFormat) -> String {
    match output {
        OutputFormat::Text => format!("{at} {}", row.get("message").and_then(Value::as_str).unwrap_or_default()),
        OutputFormat::Json => Value::Object(row).to_string(),
    }
}

/// Tells breaches to standard output.
pub struct Teller {
    output: OutputFormat,
    open: HashSet<Box<str>>,
}

impl Teller {
    /// Nothing told yet.
    pub fn new(output: OutputFormat) -> Teller {
        Teller { output, open: HashSet::new() }
    }

    /// Tells the breaches that are new among `changes`.
    pub fn tell(&mut self, changes: &[(Change, Time)]) {
        let mut lines = String::new();
        for (change, time) in changes.iter().filter(|(change, _)| change.collection.name == SlaBreachRow::NAME) {
            let row = named(change);
            let is_open = change.row.is_some() && row.get("resolved_at").is_some_and(|at| at == "");
            if !is_open {
                self.open.remove(&change.key);
            } else if self.open.insert(change.key.clone()) {
                lines += &line(row, &format_instant(*time), self.output);
                lines.push('\n');
            }
        }
        if !lines.is_empty() {
            // Whoever closed standard output does not want to know.
            let mut out = io::stdout().lock();
            let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        }
    }
}

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

use crate::cli::OutputFormat;
use crate::instant::format_instant;
use crate::sink::change::Change;
use crate::sink::text_row::TextRow;

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
            let names = SlaBreachRow::COLUMNS.iter().map(|column| column.name);
            let rest = change.row.as_deref().unwrap_or_default();
            let cells =
                TextRow::new(&change.key).cells().chain(TextRow::new(rest).cells()).map(|cell| cell.into_owned());
            let row: Map<String, Value> =
                names.zip(cells).map(|(name, cell)| (name.to_owned(), Value::String(cell))).collect();
            let is_open = change.row.is_some() && row.get("resolved_at").is_some_and(|at| at == "");
            if !is_open {
                self.open.remove(&change.key);
            } else if self.open.insert(change.key.clone()) {
                lines += &match self.output {
                    OutputFormat::Text => {
                        let message = row.get("message").and_then(Value::as_str).unwrap_or_default();
                        format!("{} {message}\n", format_instant(*time))
                    }
                    OutputFormat::Json => format!("{}\n", Value::Object(row)),
                };
            }
        }
        if !lines.is_empty() {
            // Whoever closed standard output does not want to know.
            let mut out = io::stdout().lock();
            let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        }
    }
}

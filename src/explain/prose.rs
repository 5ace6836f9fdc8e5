//! The report as text: the answer first, then the evidence for it.

use std::fmt::Write;

use serde_json::Value;

use super::promise::SlaReport;
use super::report::{LifeReport, Object, RefusedReport, Report, text};
use crate::console::{Style, visible};

/// The report for a person; without control characters but for line ends and, where `style` allows, weight.
pub fn of(report: &Report, style: Style) -> String {
    let mut prose = Prose { text: String::new(), style };
    prose.line(&report.answer);
    let as_of = report.as_of.as_deref().map_or_else(|| "no fact was accepted".into(), instant);
    prose.line(&format!("(order {}, tenant {}, as of {as_of}; all times are UTC)", report.order_id, report.tenant));
    if let Some(life) = &report.life {
        prose.life(life);
    }
    prose.refused(&report.refused);
    prose.facts("Overruled", "another record says something else of the same fact, and counts", &report.conflicts);
    prose.facts("Repeated", "they say again what is known, and change nothing", &report.duplicates);
    if !report.corrections.is_empty() {
        prose.heading("Late, and what it changed");
    }
    for correction in &report.corrections {
        for fact in &correction.facts {
            let position = text(fact, "position");
            prose.line(&format!("  {}  came at {} ({position})", text(fact, "what"), instant(&correction.arrived_at)));
        }
        for change in &correction.changes {
            let row = [text(change, "collection"), text(change, "key")].join(" ");
            let cells = change.get("cells").and_then(Value::as_object).into_iter().flatten();
            let sides = cells.filter_map(|(column, sides)| match sides.as_array()?.as_slice() {
                [before, after] => Some(format!("{column}: {} -> {}", shown(before), shown(after))),
                _ => None,
            });
            let sides: Vec<String> = sides.collect();
            let what = if sides.is_empty() { text(change, "change").to_owned() } else { sides.join(", ") };
            prose.line(&format!("    {}: {what}", row.trim()));
        }
    }
    for life in &report.earlier_lives {
        prose.heading("An earlier order under the same id, which had ended");
        prose.life(life);
    }
    prose.text
}

/// Text that grows line by line.
struct Prose {
    text: String,
    style: Style,
}

impl Prose {
    fn line(&mut self, line: &str) {
        self.text += visible(line).trim_end();
        self.text.push('\n');
    }

    fn heading(&mut self, title: &str) {
        let weight = anstyle::Style::new().bold();
        // Writing to a string does not fail.
        let _ = match self.style.color {
            true => writeln!(self.text, "\n{weight}{title}{weight:#}"),
            false => writeln!(self.text, "\n{title}"),
        };
    }

    fn life(&mut self, life: &LifeReport) {
        let order = |name| life.order.get(name).map(shown).unwrap_or_default();
        self.heading(&format!("Status: {}", order("status")));
        self.line(&format!("  customer {}, last heard of {}", order("customer_id"), instant(order("last_event_at"))));
        if let Some(drop_off) = life.drop_off {
            self.line(&format!("  in the report of lost sales (drop_off_analysis): {}", drop_off.replace('_', " ")));
        }
        if let Some(stalled) = &life.stalled {
            self.line(&format!("  stalled since {}", instant(text(stalled, "stalled_at"))));
        }
        let bound = instant(&life.retires_after);
        self.line(&match life.retired {
            true => format!("  closed since {bound}: whatever came in about it later was refused"),
            false => format!("  open for more records until {bound}"),
        });

        self.heading("What happened");
        for event in &life.events {
            let verdict = match text(event, "verdict") {
                "" => broken_promise(text(event, "message"), &order("order_id")),
                "ok" => "as it should".into(),
                verdict => format!("{verdict}: {}", verdict_in_words(verdict)),
            };
            let (kind, position) = (text(event, "event_type"), text(event, "position"));
            let note = [verdict.as_str(), text(event, "note")].join("; ");
            self.line(&format!("  {:23}  {kind:18}  {}", instant(text(event, "at")), note.trim_end_matches("; ")));
            if !position.is_empty() {
                self.line(&format!("{:27}status {}, {position}", "", text(event, "status")));
            }
        }
        let value = |amount, freight: &str| format!("{}{freight}", order(amount));
        let freight = format!(", freight {}", order("freight_value"));
        self.facts("Items", &value("item_value", &freight), &life.items);
        self.facts("Payments", &value("paid_value", ""), &life.payments);
        self.heading(
            "Promises: processed and delivered within a time from placement, shipped within a time from processing",
        );
        life.slas.iter().for_each(|sla| self.sla(sla));
    }

    fn sla(&mut self, sla: &SlaReport) {
        let spare = sla.spare_seconds.unwrap_or_default();
        let span = super::answer::span((spare.abs() * 1e3) as u64);
        let outcome = match sla.outcome {
            "met" => format!("kept, {span} before it was due"),
            "met_late" => format!("broken, done {span} late"),
            "breached_open" => format!("broken, {span} overdue and not done yet"),
            "breached_cancelled" => format!("broken, cancelled {span} after it was due"),
            "cancelled_in_time" => "cancelled before it was due".into(),
            "open" if sla.deadline_at.is_some() && spare >= 0.0 => format!("open, due in {span}"),
            "open" if sla.deadline_at.is_some() => format!("open: {span} overdue, but within the grace"),
            "open" => "open".into(),
            "off" => "switched off by a rule".into(),
            _ => "not started".into(),
        };
        self.line(&format!("  {}: {outcome}", sla.sla));
        self.line(&format!("    {}", sla.arithmetic));
        for (done, time) in [("done", &sla.met_at), ("cancelled", &sla.cancelled_at)] {
            if let (Some(time), true) = (time, sla.started_at.is_some()) {
                self.line(&format!("    {done} at {}", instant(time)));
            }
        }
        for rule in &sla.rules {
            self.line(&format!("    rule: {}: {}", text(rule, "rule"), text(rule, "standing")));
        }
    }

    fn facts(&mut self, title: &str, about: &str, facts: &[Object]) {
        if facts.is_empty() {
            return;
        }
        self.heading(&format!("{title} ({}): {about}", facts.len()));
        for fact in facts {
            let (what, position, same_as) = (text(fact, "what"), text(fact, "position"), text(fact, "same_as"));
            let same_as = if same_as.is_empty() { String::new() } else { format!(": the same as {same_as}") };
            self.line(&format!("  {what}  ({position}){same_as}"));
            if fact.contains_key("counts_instead") {
                let (instead, position) = (text(fact, "counts_instead"), text(fact, "counts_instead_position"));
                self.line(&format!("    counts instead: {instead}  ({position}): {}", text(fact, "why")));
            }
        }
    }

    fn refused(&mut self, refused: &[RefusedReport]) {
        for (perhaps, title, about) in [
            (false, "Refused", "they count nowhere"),
            (true, "Refused, perhaps of this order", "they cannot be read, but its id stands in them as a word"),
        ] {
            let is_here = |record: &&RefusedReport| record.perhaps == perhaps && !record.is_conflict();
            let refused: Vec<&RefusedReport> = refused.iter().filter(is_here).collect();
            if !refused.is_empty() {
                self.heading(&format!("{title} ({}): {about}", refused.len()));
            }
            for record in refused {
                let what = if record.what.is_empty() { record.raw.clone() } else { record.what.join("; ") };
                self.line(&format!("  {what}  ({})", record.place));
                for (reason, meaning) in record.reasons.iter().zip(&record.meanings) {
                    self.line(&format!("    {reason}: {meaning}"));
                }
            }
        }
    }
}

/// An instant as people read it: without the T, and without milliseconds where there are none.
fn instant(time: impl AsRef<str>) -> String {
    time.as_ref().replacen('T', " ", 1).trim_end_matches('Z').trim_end_matches(".000").to_owned()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What the message of a breach says beyond the time and the order, which stand beside it.
fn broken_promise(message: &str, order_id: &str) -> String {
    let what = message.strip_prefix(&format!("SLA BREACH: order {order_id} ")).unwrap_or(message);
    format!("a promise is broken: {}", what.split_once(", due ").map_or(what, |(what, _)| what))
}

fn verdict_in_words(verdict: &str) -> &'static str {
    match verdict {
        "repeated" => "this had happened already; ignored",
        "after_cancellation" => "the order had been cancelled",
        "cancel_after_delivery" => "it had been delivered; ignored",
        "not_placed" => "it was not known to be placed",
        "skipped_stage" => "a stage before it is missing",
        "backward" => "a later stage had been reached already",
        _ => "",
    }
}

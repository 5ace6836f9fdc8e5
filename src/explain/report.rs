//! The report: all that is to be said of an order, as data. Both outputs, text and JSON, are made of it.
//!
//! Invariant: statuses, times, breaches, verdicts and violations are the cells of the graph's own rows, so they are those
//! of a replay's files. Field names are stable; amounts are text, for they are exact; times are RFC 3339 in UTC.

use std::rc::Rc;

use dataflows::model::digits::instant_in_words;
use dataflows::model::fact::Origin;
use dataflows::model::{Body, EventKind, Fact, OrderId, Position, Sla, Symbol};
use dataflows::orders::outlook::{DropOff, Law};
use dataflows::time::Time;
use dataflows::views::dead_letters::Refusal;
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer;
use super::gather::Story;
use super::ledger::{Correction, Fate, Ledger, Life, Rows, follow, json, rows};
use super::promise::SlaReport;
use crate::instant::format_instant;
use crate::source::inputs::{Inputs, SourceFile};
use crate::validate::meaning::meaning;

/// A JSON object.
pub type Object = Map<String, Value>;

/// All that is to be said of an order.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // named as in the output, which docs/operations.md explains
pub struct Report {
    pub order_id: String,
    pub tenant: String,
    /// One or two sentences.
    pub answer: String,
    /// The time that the results are as of.
    pub as_of: Option<String>,
    /// The order as it lives now, or lived last; without one no fact of it was accepted.
    #[serde(flatten)]
    pub life: Option<LifeReport>,
    /// Lives under the same id that had ended before.
    pub earlier_lives: Vec<LifeReport>,
    /// Facts that only repeat others.
    pub duplicates: Vec<Object>,
    /// Facts that lost to others of the same identity.
    pub conflicts: Vec<Object>,
    /// Dead letters, with every reason.
    pub refused: Vec<RefusedReport>,
    /// What late facts changed.
    pub corrections: Vec<CorrectionReport>,
}

/// One life of an order.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // named as in the output
pub struct LifeReport {
    /// Its row of `orders`.
    pub order: Object,
    /// Its rows of `order_events`, with their source position, breaches included.
    pub events: Vec<Object>,
    pub violations: Vec<Object>,
    pub breaches: Vec<Object>,
    pub stalled: Option<Object>,
    pub items: Vec<Object>,
    pub payments: Vec<Object>,
    pub slas: Vec<SlaReport>,
    /// Why it counts as dropped off: cancelled, no_items, no_payment.
    pub drop_off: Option<&'static str>,
    /// The last time at which a fact of it is accepted.
    pub retires_after: String,
    /// True where that time has passed.
    pub retired: bool,
    /// True where a hold lasts.
    pub held: bool,
}

/// A dead letter.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // named as in the output
pub struct RefusedReport {
    pub source: String,
    pub position: String,
    /// The position for people, who have no column of sources beside it.
    #[serde(skip)]
    pub place: String,
    pub reasons: Vec<String>,
    /// What each reason means.
    pub meanings: Vec<&'static str>,
    /// What was refused, in words; empty where the record could not be read.
    pub what: Vec<String>,
    pub raw: String,
    /// True where it cannot be read and the order's id only stands in it as a word: it may be another's.
    pub perhaps: bool,
}

impl RefusedReport {
    /// True where it stands among the conflicts as well.
    pub fn is_conflict(&self) -> bool {
        self.reasons == [Refusal::ConflictingDuplicate.code()]
    }
}

/// What late facts that came at one instant changed.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // named as in the output
pub struct CorrectionReport {
    pub facts: Vec<Object>,
    pub arrived_at: String,
    /// Rows that changed: collection, key, change (appeared, withdrawn, changed), and the row, or of a changed one the
    /// cells that differ, each as before and after.
    pub changes: Vec<Object>,
}

/// What reports are made with.
pub struct Reporter<'j> {
    /// Settings and rules.
    pub law: &'j Rc<Law>,
    /// Where records stood.
    pub inputs: &'j Inputs,
    /// Where results end.
    pub end: Option<Time>,
}

impl Reporter<'_> {
    /// The report on an order with this story.
    pub fn report(&self, order: &OrderId, mut story: Story) -> Report {
        let end = self.end.unwrap_or(0);
        let ledger = follow(order, &mut story, self.law, end);
        let mut lives: Vec<LifeReport> = ledger.lives.iter().map(|life| self.life(order, life, end)).collect();
        let named = story.refused.iter().chain(&ledger.refused).map(|record| (record, false));
        let perhaps_named = story.perhaps_refused.iter().map(|record| (record, true));
        let refused = named.chain(perhaps_named).map(|(record, perhaps)| {
            let (source, position) = self.inputs.place(record.position);
            RefusedReport {
                source: source.to_string(),
                position: position.to_string(),
                place: self.place(record.position),
                meanings: record.reasons.iter().map(|reason| meaning(reason)).collect(),
                reasons: record.reasons.clone(),
                what: self.refused_facts(&story, &ledger, record.position),
                raw: record.raw.clone(),
                perhaps,
            }
        });
        let mut report = Report {
            order_id: order.order_id.to_string(),
            tenant: order.tenant.to_string(),
            answer: String::new(),
            as_of: self.end.map(format_instant),
            life: lives.pop(),
            earlier_lives: lives,
            duplicates: self.overruled(order, &story, &ledger, Fate::Copy),
            conflicts: self.overruled(order, &story, &ledger, Fate::Lost),
            refused: refused.collect(),
            corrections: ledger.corrections.iter().map(|correction| self.correction(&story, correction)).collect(),
        };
        report.answer = answer::of(&report, ledger.lives.last().map(|life| life.view(order, self.law, end)), end);
        report
    }

    /// The facts of a record that did not count, in words.
    fn refused_facts(&self, story: &Story, ledger: &Ledger, position: Position) -> Vec<String> {
        let facts = story.facts.iter().zip(&ledger.fates).filter(|(told, _)| told.arrival.position == position);
        let refused = facts.filter(|(_, (_, fate))| matches!(fate, Fate::Refused | Fate::Lost));
        refused.map(|(told, _)| in_words(&told.fact)).collect()
    }

    fn life(&self, order: &OrderId, life: &Life, end: Time) -> LifeReport {
        let rows = rows(order, &life.facts, self.law, end);
        let view = life.view(order, self.law, end);
        let reasons = view.reasons(Symbol::new(&order.tenant), &life.facts, self.law, end);
        let facts: Vec<_> = life.all_facts(order).into_iter().filter(|(_, _, lost)| !lost).collect();
        let lines = |is_wanted: fn(&Body) -> bool| {
            let wanted = facts.iter().filter(|(fact, _, _)| is_wanted(&fact.body));
            let mut lines: Vec<&(Fact, Position, bool)> = wanted.collect();
            lines.sort_by_key(|(fact, _, _)| number(&fact.body));
            lines.into_iter().map(|(fact, position, _)| self.told(fact, *position)).collect::<Vec<_>>()
        };
        // Rows of events come in the order of the view's; those of breaches, which have no fact, follow them.
        let positions =
            view.events.iter().map(|event| life.facts.at(event.offset)).map(Some).chain(std::iter::repeat(None));
        let events = rows.order_events.iter().zip(positions).map(|((row, _, _), fact)| {
            let mut event = json(row);
            if let Some(fact) = fact {
                event.insert("position".into(), self.place(fact.position).into());
                let is_derived = matches!(
                    fact.fact(order).body,
                    Body::Lifecycle { kind: EventKind::Cancelled, origin: Origin::Row, .. }
                );
                if is_derived {
                    event.insert("note".into(), "the file has no time of cancellation: this is its latest time".into());
                }
            }
            event
        });
        let mut events: Vec<Object> = events.collect();
        events.sort_by(|left, right| text(left, "at").cmp(text(right, "at")));
        LifeReport {
            order: rows.orders.first().map(|(row, _, _)| json(row)).unwrap_or_default(),
            events,
            violations: rows.violations.iter().map(|(row, _, _)| json(row)).collect(),
            breaches: rows.sla_breaches.iter().map(|(row, _, _)| json(row)).collect(),
            stalled: rows.stalled_orders.first().map(|(row, _, _)| json(row)),
            items: lines(|body| matches!(body, Body::Item { .. })),
            payments: lines(|body| matches!(body, Body::Payment { .. })),
            slas: [Sla::Processing, Sla::Shipping, Sla::Delivery]
                .into_iter()
                .map(|sla| SlaReport::of(sla.name(), reasons[sla as usize].as_ref(), &view.state.fold, end))
                .collect(),
            drop_off: view.outlook.drop_off.map(DropOff::name),
            retires_after: format_instant(life.bound),
            retired: life.bound < end,
            held: view.state.fold.holds().last().is_some_and(|hold| hold.released_at.is_none()),
        }
    }

    /// `FILE:LINE` or `PARTITION/OFFSET`; with the input where files or partitions of several have that name.
    fn place(&self, position: Position) -> String {
        let (files, (_, place)) = (&self.inputs.files, self.inputs.place(position));
        let has_namesake =
            |file: &&SourceFile| files.iter().any(|other| other.place == file.place && other.source != file.source);
        let Some(file) = files.get(position.file() as usize).filter(has_namesake) else { return place.to_string() };
        match file.place.strip_suffix(':').and_then(|name| file.source.strip_suffix(name)) {
            Some(directory) => format!("{directory}{place}"),
            None => format!("{}/{place}", file.source.trim_end_matches('/')),
        }
    }

    /// A fact as it stood in its record.
    fn told(&self, fact: &Fact, position: Position) -> Object {
        let mut told: Object = serde_json::from_str(&fact.content()).unwrap_or_default();
        told.insert("at".into(), format_instant(fact.at).into());
        told.insert("what".into(), in_words(fact).into());
        told.insert("position".into(), self.place(position).into());
        match &fact.body {
            Body::Lifecycle { .. } => told.insert("event_id".into(), fact.identity().to_string().into()),
            Body::Item { item_no, category, .. } => {
                told.insert("category".into(), category.as_ref().map(ToString::to_string).into());
                told.insert("item_no".into(), (*item_no).into())
            }
            Body::Payment { seq, .. } => told.insert("seq".into(), (*seq).into()),
        };
        told
    }

    /// The facts that came to this fate because of others, each with the one that counts.
    fn overruled(&self, order: &OrderId, story: &Story, ledger: &Ledger, fate: Fate) -> Vec<Object> {
        let overruled = story.facts.iter().zip(&ledger.fates).filter(|(_, (_, became))| *became == fate);
        let one = overruled.map(|(told, (life, _))| {
            let (fact, mut object) = (&told.fact, self.told(&told.fact, told.arrival.position));
            let rivals = ledger.lives.get(*life).map(|life| life.all_facts(order)).unwrap_or_default();
            let counts = rivals.into_iter().find(|(rival, _, lost)| {
                std::mem::discriminant(&rival.body) == std::mem::discriminant(&fact.body)
                    && rival.identity() == fact.identity()
                    && if fate == Fate::Copy { rival.content() == fact.content() } else { !lost }
            });
            if let Some((rival, position, _)) = counts {
                let (what, place) = (in_words(&rival).into(), self.place(position).into());
                match fate {
                    Fate::Copy => object.insert("same_as".into(), place),
                    _ => {
                        let why = match rival.at < fact.at {
                            true => "that one happened earlier",
                            false => "both happened at one time; of such the one whose content sorts first counts",
                        };
                        object.insert("why".into(), why.into());
                        object.insert("counts_instead".into(), what);
                        object.insert("counts_instead_position".into(), place)
                    }
                };
            }
            object
        });
        one.collect()
    }

    fn correction(&self, story: &Story, correction: &Correction) -> CorrectionReport {
        let told = correction.facts.iter().filter_map(|number| story.facts.get(*number));
        let facts = told.map(|told| {
            let mut fact = self.told(&told.fact, told.arrival.position);
            let late_seconds = correction.arrived_at.saturating_sub(told.fact.at) as f64 / 1e3;
            fact.insert("late_seconds".into(), late_seconds.into());
            fact
        });
        let [before, after] = &correction.rows;
        let mut changes = Vec::new();
        for (collection, key) in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
            let of = |rows: &Rows| rows.get(&(*collection, key.clone())).cloned().unwrap_or_default();
            let (before, after) = (of(before), of(after));
            let columns = before.keys().filter(|column| before.get(*column) != after.get(*column));
            let cell = |row: &Object, column: &String| row.get(column).cloned().unwrap_or_default();
            let (change, rows) = match (before.is_empty(), after.is_empty()) {
                (true, _) => ("appeared", after.clone()),
                (_, true) => ("withdrawn", before.clone()),
                _ => {
                    let sides = |column| [cell(&before, column), cell(&after, column)];
                    ("changed", columns.map(|column| (column.clone(), sides(column).to_vec().into())).collect())
                }
            };
            if !rows.is_empty() {
                let named = [("collection", *collection), ("key", key), ("change", change)];
                let mut told: Object = named.map(|(name, text)| (name.to_owned(), text.into())).into_iter().collect();
                told.insert("cells".into(), rows.into());
                changes.push(told);
            }
        }
        CorrectionReport { facts: facts.collect(), arrived_at: format_instant(correction.arrived_at), changes }
    }
}

/// A text of an object; empty where there is none.
pub fn text<'o>(object: &'o Object, name: &str) -> &'o str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(body: &Body) -> u16 {
    match body {
        Body::Lifecycle { .. } => 0,
        Body::Item { item_no: number, .. } | Body::Payment { seq: number, .. } => *number,
    }
}

fn in_words(fact: &Fact) -> String {
    match &fact.body {
        Body::Lifecycle { kind, .. } => format!("{} at {}", kind.name(), instant_in_words(fact.at)),
        Body::Item { item_no, product_name, product_id, quantity, price, freight, .. } => {
            let name = product_name.as_ref().or(product_id.as_ref());
            let name = name.map_or_else(|| "something without a name".to_owned(), ToString::to_string);
            format!("item {item_no}: {quantity} × {name} at {price}, freight {freight}")
        }
        Body::Payment { seq, payment_type, installments, value } => {
            let instalments = if *installments > 1 { format!(" in {installments} instalments") } else { String::new() };
            format!("payment {seq}: {value} by {}{instalments}", payment_type.name())
        }
    }
}

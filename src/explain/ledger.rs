//! The ledger of one order: what became of each of its facts, life by life, and what late ones changed.
//!
//! It drives the graph's own keeper with the facts of this order alone and looks at it after every instant. Invariant:
//! nothing is judged here; orders do not depend on each other, so the keeper decides as it did in the replay.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use dataflows::model::packed::PackedFacts;
use dataflows::model::{Fact, OrderId, Position, Symbol};
use dataflows::operators::limit::Until;
use dataflows::orders::driver::{Emitted, Machine};
use dataflows::orders::keeper::{Keeper, Purpose};
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::Parcels;
use dataflows::orders::standing::Standing;
use dataflows::orders::view::View;
use dataflows::time::Time;
use dataflows::views::collection::{Cell, Column, Row};
use dataflows::views::dead_letters::{Refusal, RefusedFacts, RefusedRecord};
use serde_json::{Map, Value};

use super::gather::{Story, Told};
use crate::sink::cell::write_text;

/// One life of an order: from its first fact to its retirement. A second one starts where a fact comes long after that.
#[derive(Clone, Debug)]
pub struct Life {
    /// Its facts, winners and losers.
    pub facts: PackedFacts,
    /// The last logical time at which a fact of it is accepted.
    pub bound: Time,
}

/// What became of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Accepted,
    /// Another fact of its identity won.
    Lost,
    /// It says again what another one said.
    Copy,
    /// It was refused.
    Refused,
}

/// What a late fact, or several that arrived at one instant, changed.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The numbers of the facts in the story.
    pub facts: Vec<usize>,
    /// When they arrived, in logical time.
    pub arrived_at: Time,
    /// The order's rows without them and with them, as of then.
    pub rows: [Rows; 2],
}

/// Rows by collection and key.
pub type Rows = BTreeMap<(&'static str, String), Map<String, Value>>;

/// What became of an order's facts.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The lives, the last one last; none where no fact was accepted.
    pub lives: Vec<Life>,
    /// What became of each fact of the story, and in which life.
    pub fates: Vec<(usize, Fate)>,
    /// Its dead letters of facts that were decoded.
    pub refused: Vec<RefusedRecord>,
    /// What late facts changed.
    pub corrections: Vec<Correction>,
}

/// Follows an order's facts to the end of results; brings them into the order of logical time.
pub fn follow(order: &OrderId, story: &mut Story, law: &Rc<Law>, end: Time) -> Ledger {
    let mut ledger = Ledger::default();
    let mut refused = RefusedFacts::default();
    story.of_unknown_order.iter().for_each(|fact| refused.add(fact.clone(), 1));
    story.facts.sort_by_key(|told| (told.arrival.time, told.arrival.position, told.rank));
    let mut keeper = Keeper::new(Rc::clone(law), Until::Given(end), Purpose::Admit);
    let (mut in_life, mut turned_away) = (Vec::new(), BTreeSet::new());
    for at_once in story.facts.chunk_by(|left, right| left.arrival.time == right.arrival.time) {
        let time = at_once[0].arrival.time;
        let mut parcels = Parcels::new(1);
        at_once.iter().for_each(|told| parcels.push(&told.fact, told.arrival));
        parcels.close(false).for_each(|parcel| keeper.receive(parcel));
        keeper.advance(time.saturating_add(1));
        for (fact, _, _) in std::mem::take(keeper.emitted()).refused {
            // What lost a conflict is kept with its order.
            if fact.reason != Refusal::ConflictingDuplicate {
                turned_away.insert((fact.position, fact.rank));
            }
            refused.add(fact, 1);
        }

        let mut before = PackedFacts::default();
        if let Some(alive) = keeper.orders().next() {
            let life = Life { facts: alive.facts.clone(), bound: alive.bound(&law.settings) };
            match ledger.lives.last_mut().filter(|last| has_same_start(last, &life)) {
                Some(last) => before = std::mem::replace(last, life).facts,
                None => ledger.lives.push(life),
            }
        }
        let numbers = in_life.len()..in_life.len() + at_once.len();
        in_life.extend(at_once.iter().map(|_| ledger.lives.len().saturating_sub(1)));
        if at_once.iter().any(|told| told.fact.at < time)
            && let Some(Life { facts: after, .. }) = ledger.lives.last()
        {
            let rows = [&before, after].map(|facts| rows_of(&rows(order, facts, law, time.min(end))));
            ledger.corrections.push(Correction { facts: numbers.collect(), arrived_at: time, rows });
        }
    }
    ledger.refused = refused.records().collect();
    let fate = |life: usize, told: &Told| {
        let place = (told.arrival.position, told.rank);
        let facts = ledger.lives.get(life).map(|life| &life.facts);
        let mut kept = facts.into_iter().flat_map(PackedFacts::iter);
        match kept.find(|(_, kept)| (kept.position, kept.rank) == place) {
            Some((_, kept)) if kept.loser => Fate::Lost,
            Some(_) => Fate::Accepted,
            None if turned_away.contains(&place) => Fate::Refused,
            None => Fate::Copy,
        }
    };
    ledger.fates = story.facts.iter().zip(in_life).map(|(told, life)| (life, fate(life, told))).collect();
    ledger
}

impl Life {
    /// Every fact, winners and losers: where it stood and whether it lost.
    pub fn all_facts(&self, order: &OrderId) -> Vec<(Fact, Position, bool)> {
        let offsets = self.facts.iter().map(|(offset, _)| offset as u32);
        let views = offsets.map(|offset| self.facts.at(offset));
        views.map(|view| (view.fact(order), view.position, view.loser)).collect()
    }

    /// The life as it stands at `now`.
    pub fn view(&self, order: &OrderId, law: &Law, now: Time) -> View {
        let mut view = View::default();
        view.evaluate(Symbol::new(&order.tenant), &self.facts, law, now);
        view
    }
}

/// Facts are only ever added to a life.
fn has_same_start(one: &Life, other: &Life) -> bool {
    let start = |life: &Life| life.facts.iter().next().map(|(_, fact)| (fact.position, fact.rank));
    start(one) == start(other)
}

/// The rows of an order with these facts as of `now`.
pub fn rows(order: &OrderId, facts: &PackedFacts, law: &Law, now: Time) -> Emitted {
    let mut emitted = Emitted::default();
    let standing = (order.clone(), Standing { facts: facts.clone(), as_of: now });
    emitted.give_rows_of(&standing, law, &mut View::default(), now, 1);
    emitted
}

/// Rows by collection and key; events are left out, for each says no more than the fact it comes of.
fn rows_of(emitted: &Emitted) -> Rows {
    let mut rows = Rows::new();
    emitted.orders.iter().for_each(|(row, _, _)| keep(row, &mut rows));
    emitted.violations.iter().for_each(|(row, _, _)| keep(row, &mut rows));
    emitted.sla_breaches.iter().for_each(|(row, _, _)| keep(row, &mut rows));
    emitted.stalled_orders.iter().for_each(|(row, _, _)| keep(row, &mut rows));
    rows
}

fn keep<R: Row>(row: &R, rows: &mut Rows) {
    let row_json = json(row);
    // All rows are of one order: what it is called tells none from another.
    let is_told = |column: &&Column| column.is_key && !matches!(column.name, "order_id" | "tenant");
    let key = R::COLUMNS.iter().filter(is_told).filter_map(|column| row_json.get(column.name)?.as_str());
    let key = key.collect::<Vec<_>>().join(" ");
    rows.insert((R::NAME, key), row_json);
}

/// A row by the names of its columns. Amounts are text: they are exact.
pub fn json<R: Row>(row: &R) -> Map<String, Value> {
    let value = |cell: &Cell<'_>| {
        let mut text = String::new();
        write_text(cell, &mut text);
        match cell {
            Cell::Null => Value::Null,
            Cell::Boolean(value) => Value::from(*value),
            Cell::Integer(_) | Cell::Milliseconds(_) => text.parse().map_or(Value::Null, Value::Number),
            _ => Value::from(text),
        }
    };
    let mut object = Map::new();
    row.each_cell(&mut |column: &'static Column, cell: Cell<'_>| {
        drop(object.insert(column.name.to_owned(), value(&cell)))
    });
    object
}

//! Sections 2 and 8: which facts an order accepts, and when it is retired and may come back.
//!
//! The facts of one key fall into lives: a retired order is one life, the order that starts under its key after the
//! tombstone is the next.

use std::collections::BTreeMap;

use dataflows::model::{Body, Fact, OrderId, Position, Text};
use dataflows::settings::Settings;
use dataflows::time::Time;

use super::Arrival;
use super::lifecycle::{Event, fold, rank};

/// A content that a life has seen, by its first copy: the winner of its identity or a loser.
pub struct Seen<'a> {
    pub t: Time,
    pub fact: &'a Fact,
    identity: (FactKind, Text),
    content: String,
    position: Position,
}

/// Items and payments have their number as identity, lifecycle facts their id; they never meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum FactKind {
    Lifecycle,
    Item,
    Payment,
}

/// One order from its first fact to its retirement.
pub struct Life<'a> {
    pub order: &'a OrderId,
    pub seen: Vec<Seen<'a>>,
    /// Logical time of the last fact accepted; duplicates and conflict losers do not count.
    last_accepted: Time,
}

/// A fact refused after decoding.
pub struct Refusal {
    pub position: Position,
    pub reasons: Vec<&'static str>,
    pub content: String,
}

/// What became of the facts of one key.
pub struct Admitted<'a> {
    pub lives: Vec<Life<'a>>,
    pub refusals: Vec<Refusal>,
    pub duplicates: u64,
}

impl<'a> Life<'a> {
    /// Per identity the smallest (at, content) of those that arrived by `by`.
    pub fn winners(&self, by: Time) -> Vec<&Seen<'a>> {
        let mut winners: BTreeMap<&(FactKind, Text), &Seen> = BTreeMap::new();
        for seen in self.seen.iter().filter(|seen| seen.t <= by) {
            let winner = winners.entry(&seen.identity).or_insert(seen);
            if seen.value() < winner.value() {
                *winner = seen;
            }
        }
        winners.into_values().collect()
    }

    /// The last logical time at which a fact is still accepted.
    fn bound(&self, settings: &Settings) -> Time {
        let lifecycle = fold(lifecycle_events(&self.winners(Time::MAX)), settings.transitions);
        self.last_accepted + if lifecycle.is_terminal() { settings.retention_ms } else { settings.max_age_ms }
    }
}

impl Seen<'_> {
    fn value(&self) -> (Time, &str) {
        (self.fact.at, &self.content)
    }
}

/// The lifecycle facts among `facts`.
pub fn lifecycle_events(facts: &[&Seen]) -> Vec<Event> {
    let event = |seen: &&Seen| match &seen.fact.body {
        Body::Lifecycle { kind, customer_id, .. } => {
            Some(Event { at: seen.fact.at, kind: *kind, id: seen.fact.identity(), customer_id: customer_id.clone() })
        }
        _ => None,
    };
    facts.iter().filter_map(event).collect()
}

/// Walks the arrivals of one key in logical time.
pub fn admit<'a>(order: &'a OrderId, arrivals: Vec<&'a Arrival>, settings: &Settings) -> Admitted<'a> {
    let mut admitted = Admitted { lives: Vec::new(), refusals: Vec::new(), duplicates: 0 };
    let mut arrivals: Vec<(&Arrival, Seen)> = arrivals.into_iter().map(|arrival| (arrival, seen(arrival))).collect();
    arrivals.sort_by_cached_key(|(arrival, seen)| {
        let rank = match &arrival.fact.body {
            Body::Lifecycle { kind, .. } => rank(*kind),
            Body::Item { .. } => 8,
            Body::Payment { .. } => 9,
        };
        (arrival.t, arrival.fact.at, rank, seen.identity.1.clone(), seen.content.clone(), arrival.position)
    });

    for (arrival, new) in arrivals {
        let t = arrival.t;
        let bound = admitted.lives.last().map(|life| life.bound(settings));
        let is_retired = bound.is_some_and(|bound| t > bound);
        let has_tombstone = bound.is_some_and(|bound| t <= bound + settings.horizon_ms);
        let mut reasons = Vec::new();
        if is_retired && has_tombstone {
            reasons.push("order_retired");
        }
        if arrival.too_late {
            reasons.push("too_late");
        }
        if !reasons.is_empty() {
            admitted.refusals.push(Refusal { position: new.position, reasons, content: new.content });
            continue;
        }
        if bound.is_none() || is_retired {
            admitted.lives.push(Life { order, seen: Vec::new(), last_accepted: t });
        }
        let Some(life) = admitted.lives.last_mut() else { continue };

        let mut alike = life.seen.iter().filter(|seen| seen.identity == new.identity);
        if alike.clone().any(|seen| seen.content == new.content) {
            admitted.duplicates += 1;
            continue;
        }
        let loser = match alike.clone().min_by_key(|seen| seen.value()) {
            None => None,
            Some(winner) if new.value() < winner.value() => Some((winner.position, winner.content.clone())),
            Some(_) => Some((new.position, new.content.clone())),
        };
        if alike.all(|seen| new.value() < seen.value()) {
            life.last_accepted = t;
        }
        if let Some((position, content)) = loser {
            admitted.refusals.push(Refusal { position, reasons: vec!["conflicting_duplicate"], content });
        }
        life.seen.push(new);
    }
    admitted
}

fn seen(arrival: &Arrival) -> Seen<'_> {
    let fact = &arrival.fact;
    let kind = match &fact.body {
        Body::Lifecycle { .. } => FactKind::Lifecycle,
        Body::Item { .. } => FactKind::Item,
        Body::Payment { .. } => FactKind::Payment,
    };
    Seen { t: arrival.t, fact, identity: (kind, fact.identity()), content: fact.content(), position: arrival.position }
}

//! Intake: what becomes of decoded and refused records on their way into the graph.
//!
//! Gives every fact its logical time, counts every record, and packs facts for the workers that own their orders.
//! Invariant: a record that was read is counted, as decoded or as refused; nothing is dropped here but facts outside
//! `--from`, `--until` and `--limit`, which are as if absent.

use std::sync::Arc;

use dataflows::model::{Fact, OrderId, Position, Symbol, Text};
use dataflows::orders::parcel::{Arrival, OrderKey, Parcel, Parcels};
use dataflows::time::{Time, tick_at_or_after};
use dataflows::views::dead_letters::{Refusal, RefusedFact, RefusedRecord, shown};
use dataflows::views::measures::{MeasureKey, Measures};
use dataflows::views::quality::{self, QualityCounts, QualityKey};
use dataflows::views::record_law;
use hashbrown::{HashMap, HashSet};

use crate::clock::Lateness;
use crate::validate::{Broken, Limits};

/// Where the record law's sums count records read, apart from what became of them.
pub const RECORDS_READ: usize = 5;
/// Where they count facts that decoding yielded, apart from what became of them.
pub const FACTS_GIVEN: usize = 6;

/// Which facts take part.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Facts before it are as if absent.
    pub from: Time,
    /// Facts after it are as if absent.
    pub until: Time,
    /// The orders that take part; none: all.
    pub orders: Option<Arc<HashSet<OrderKey>>>,
}

/// What a worker has read and not yet handed to the graph.
pub struct Intake {
    /// What validation needs to know.
    pub limits: Limits,
    selection: Selection,
    lateness: Lateness,
    /// The source of every file, by its number.
    sources: Arc<Vec<Symbol>>,
    parcels: Parcels,
    is_last_word: bool,
    quality: HashMap<(QualityKey, Time), QualityCounts>,
    tick_ms: u64,
    law: Measures,
    /// Facts packed and not yet counted in `law`.
    given: i64,
    refused_records: Vec<(RefusedRecord, Time)>,
    refused_facts: Vec<(RefusedFact, Time)>,
    /// Facts of orders that are not in the orders file, where someone asks for them by their order.
    pub of_unknown_orders: Option<Vec<(OrderId, RefusedFact)>>,
    records_read: u64,
    event_time_read: Time,
    now: Time,
}

/// A record that was decoded: what its facts share.
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    /// The key of its order.
    pub key: OrderKey,
    /// Where it stood.
    pub position: Position,
    /// The event time of its first fact.
    pub record_at: Time,
    /// Its partition's watermark when it was read; 0 where the input is brought into order.
    pub watermark: Time,
}

impl Intake {
    /// Nothing read yet.
    pub fn new(
        limits: Limits,
        selection: Selection,
        lateness: Lateness,
        sources: Arc<Vec<Symbol>>,
        workers: usize,
        tick_ms: u64,
    ) -> Intake {
        Intake {
            limits,
            selection,
            lateness,
            sources,
            parcels: Parcels::new(workers),
            is_last_word: false,
            quality: HashMap::new(),
            tick_ms,
            law: Measures::default(),
            given: 0,
            refused_records: Vec::new(),
            refused_facts: Vec::new(),
            of_unknown_orders: None,
            records_read: 0,
            event_time_read: 0,
            now: 0,
        }
    }

    /// The graph has been promised that nothing before `now` comes any more.
    pub fn advance(&mut self, now: Time) {
        self.now = now;
    }

    /// Counts a record that was decoded.
    pub fn count_decoded(&mut self, record: Decoded) {
        self.count_read();
        self.law.add(&record_law::DECODED);
        self.count(record.position, Some(record.record_at), record.record_at, quality::VALID);
    }

    /// Takes in a fact of a decoded record.
    pub fn fact(&mut self, fact: &Fact, record: Decoded) {
        if fact.at < self.selection.from || fact.at > self.selection.until {
            return;
        }
        if let Some(orders) = &self.selection.orders
            && !orders.contains(&record.key)
        {
            return;
        }
        if self.lateness.is_late(fact.at, record.watermark) {
            self.count(record.position, Some(record.record_at), fact.at, quality::LATE);
        }
        self.event_time_read = self.event_time_read.max(fact.at);
        self.given += 1;
        let arrival = Arrival {
            position: record.position,
            time: fact.at.max(record.watermark),
            record_at: record.record_at,
            too_late: self.lateness.is_too_late(fact.at, record.watermark),
        };
        self.parcels.push_of(record.key, fact, arrival);
    }

    /// Takes back the facts taken in since the last parcel was handed over, for whoever holds them for a while.
    pub fn withdraw(&mut self) -> Vec<Parcel> {
        self.given = 0;
        self.parcels().collect()
    }

    /// Takes in a fact that was withdrawn before, for the worker that owns its order.
    pub fn release(&mut self, to: u64, packed: &[u8]) {
        self.given += 1;
        self.parcels.push_packed(to, packed);
    }

    /// Takes in a record that decoding refused; `raw` is its bytes without line end.
    pub fn refuse(&mut self, position: Position, broken: &Broken, raw: &[u8]) {
        self.count_read();
        self.law.add(&record_law::REFUSED_RECORD);
        self.count(position, broken.at, broken.at.unwrap_or(0), quality::INVALID);
        let record = RefusedRecord {
            position,
            reasons: broken.reasons.iter().map(ToString::to_string).collect(),
            event_id: broken.event_id.clone(),
            raw: shown(raw),
        };
        self.refused_records.push((record, self.now));
    }

    /// Takes in a decoded record whose order is not in the orders file: it has no time of its own.
    pub fn refuse_unknown_order(&mut self, position: Position, fact: &Fact, rank: u8) {
        self.count_read();
        self.law.add(&record_law::DECODED);
        self.law.add(&record_law::REFUSED);
        self.law.counts[FACTS_GIVEN] += 1;
        self.count(position, None, 0, quality::VALID);
        let refused = RefusedFact {
            position,
            rank,
            content: fact.content().replacen(&format!("\"at\":{},", fact.at), "", 1),
            reason: Refusal::UnknownOrder,
            event_id: None::<Text>,
        };
        if let Some(of_unknown_orders) = &mut self.of_unknown_orders {
            of_unknown_orders.push((fact.order.clone(), refused.clone()));
        }
        self.refused_facts.push((refused, self.now));
    }

    fn count_read(&mut self) {
        self.records_read += 1;
        self.law.counts[RECORDS_READ] += 1;
    }

    fn count(&mut self, position: Position, minute_of: Option<Time>, time: Time, counted: QualityCounts) {
        let source = self.sources.get(position.file() as usize).copied().unwrap_or_default();
        let time = time.max(self.now).min(self.selection.until.max(self.now));
        let tick = tick_at_or_after(time, self.tick_ms);
        self.quality.entry((QualityKey::new(source, minute_of), tick)).or_default().add(&counted);
    }

    /// Promises that of the orders read since parcels were handed over nothing more will come, from any input.
    pub fn have_last_word(&mut self) {
        self.is_last_word = true;
    }

    /// Hands over the facts, in a parcel for each worker.
    pub fn parcels(&mut self) -> impl Iterator<Item = Parcel> + '_ {
        let is_last_word = std::mem::take(&mut self.is_last_word);
        self.parcels.close(is_last_word)
    }

    /// Hands over the counts of all records.
    pub fn law(&mut self) -> Option<(MeasureKey, Time, Measures)> {
        self.law.counts[FACTS_GIVEN] += std::mem::take(&mut self.given);
        let law = std::mem::take(&mut self.law);
        (law != Measures::default()).then(|| (record_law::key(), self.now, law))
    }

    /// Hands over the counts of records by source and minute.
    pub fn quality(&mut self) -> impl Iterator<Item = (QualityKey, Time, QualityCounts)> + '_ {
        self.quality.drain().map(|((key, tick), counts)| (key, tick, counts))
    }

    /// Hands over refused records.
    pub fn refused_records(&mut self) -> Vec<(RefusedRecord, Time)> {
        std::mem::take(&mut self.refused_records)
    }

    /// Hands over facts that were refused before they reached the graph.
    pub fn refused_facts(&mut self) -> Vec<(RefusedFact, Time)> {
        std::mem::take(&mut self.refused_facts)
    }

    /// The largest event time read so far; 0 before there is one.
    pub fn event_time_read(&self) -> Time {
        self.event_time_read
    }

    /// How many records were read since this was asked last.
    pub fn take_records_read(&mut self) -> u64 {
        std::mem::take(&mut self.records_read)
    }
}

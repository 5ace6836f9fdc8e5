//! Reading for an explanation: all inputs once, as a replay reads them, keeping only what speaks of the orders asked for.
//!
//! All facts are judged, because the results of a replay end at the largest accepted event time, whosever it is; with
//! `--until` it is given. Limits: memory and time are those of a replay on one thread that keeps no rows.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Fact, OrderId, Text};
use dataflows::operators::limit::Until;
use dataflows::orders::Detail;
use dataflows::orders::driver::Machine;
use dataflows::orders::keeper::{Keeper, Purpose};
use dataflows::orders::parcel::{Arrival, Delivery, OrderKey, Parcel};
use dataflows::time::Time;
use dataflows::views::dead_letters::{RefusedFact, RefusedRecord};
use serde_json::Value;

use crate::error::JobResult;
use crate::source::intake::Intake;
use crate::source::supply::{Supplied, Supply};
use crate::worker::Job;

/// Ids that are proposed where there is no order of the id asked for, and how alike (0 to 1) they must be.
const NEAREST_MAX: usize = 3;
const LIKENESS_MIN: f64 = 0.8;
/// Of the letters of an id that is mistyped so many, a part, still stand at its beginning or end.
const SAME_PART: usize = 3;

/// A fact as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// What it says.
    pub fact: Fact,
    /// Its place among the facts of its record.
    pub rank: u8,
    /// How it came.
    pub arrival: Arrival,
}

/// All that the inputs say of one order.
#[derive(Clone, Debug, Default)]
pub struct Story {
    /// Its facts, in the order in which they were read.
    pub facts: Vec<Told>,
    /// Refused records that name it.
    pub refused: Vec<RefusedRecord>,
    /// Its items and payments, where it is not in the orders file.
    pub of_unknown_order: Vec<RefusedFact>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The orders asked for, by their identity.
    pub orders: BTreeMap<OrderId, Story>,
    /// Where results end; none where no fact was accepted.
    pub end: Option<Time>,
    /// The ids most like the one asked for, where no order has it: best first.
    pub nearest: Vec<Text>,
}

/// Reads all inputs of `job` for the orders with these ids, of any tenant. `progress` hears the number of records read.
pub fn gather(job: &Job, order_ids: &[Text], mut progress: impl FnMut(u64)) -> JobResult<Gathered> {
    let tick_ms = job.law.settings.tick_ms;
    let sources = Arc::new(job.law.sources.clone());
    let mut intake = Intake::new(job.limits, job.selection.clone(), job.lateness, sources, 1, tick_ms);
    intake.of_unknown_orders = Some(Vec::new());
    let mut picker = Picker { order_ids, last: None, ranked: Vec::new(), orders: BTreeMap::new() };
    let until = Some(job.selection.until).filter(|until| *until < Time::MAX);
    // Whatever it shows is thrown away: this is what shows least.
    let judge = || Keeper::new(Rc::new(job.law.clone()), Until::LargestAccepted, Purpose::Show(Detail::Counts));
    let mut judged = until.is_none().then(judge);
    let (mut records, mut end) = (0, None);
    let mut supply = Supply::new(job.inputs.readers(0, 1, 1), intake, &job.selection, None);
    let mut supplied = Supplied::Read;
    while supplied != Supplied::Ended {
        supplied = supply.poll(None)?;
        let (promise, intake) = (supply.promise(), &mut supply.intake);
        for parcel in intake.parcels() {
            picker.pick(&parcel);
            if let Some(judged) = &mut judged {
                judged.receive(parcel);
            }
        }
        picker.pick_refused(intake);
        intake.advance(promise);
        if let Some(judged) = &mut judged {
            judged.advance(promise);
            end = judged.news().max(end);
            *judged.emitted() = Default::default();
        }
        records += intake.take_records_read();
        progress(records);
    }
    end = until.or(end);
    let Picker { orders, ranked, .. } = picker;
    Ok(Gathered { orders, end, nearest: ranked.into_iter().map(|(_, order_id)| order_id).collect() })
}

/// Picks what speaks of the orders asked for.
struct Picker<'a> {
    order_ids: &'a [Text],
    /// The order that was seen last: a record has several facts of one.
    last: Option<(OrderKey, Option<OrderId>)>,
    ranked: Vec<(f64, Text)>,
    orders: BTreeMap<OrderId, Story>,
}

impl Picker<'_> {
    fn pick(&mut self, parcel: &Parcel) {
        for (key, time, record) in parcel.records() {
            if self.last.as_ref().is_none_or(|(last, _)| *last != key) {
                let delivery = Delivery::read(time, record);
                let order_id = delivery.order_id();
                let wanted = self.order_ids.contains(&order_id);
                if !wanted && self.orders.is_empty() {
                    self.rank(&order_id);
                }
                self.last = Some((key, wanted.then(|| OrderId { tenant: delivery.tenant(), order_id })));
            }
            if let Some((_, Some(order))) = &self.last {
                let delivery = Delivery::read(time, record);
                let Delivery { record_at, too_late, .. } = delivery;
                let view = delivery.fact();
                let arrival = Arrival { position: view.position, time, record_at, too_late };
                let told = Told { fact: view.fact(order), rank: view.rank, arrival };
                self.orders.entry(order.clone()).or_default().facts.push(told);
            }
        }
    }

    fn pick_refused(&mut self, intake: &mut Intake) {
        // What is only counted is of no interest here.
        intake.quality().for_each(drop);
        intake.law();
        intake.refused_facts();
        for (order, refused) in intake.of_unknown_orders.iter_mut().flat_map(std::mem::take) {
            if self.order_ids.contains(&order.order_id) {
                self.orders.entry(order).or_default().of_unknown_order.push(refused);
            }
        }
        for (record, _) in intake.refused_records() {
            for order in named(&record, self.order_ids) {
                self.orders.entry(order).or_default().refused.push(record.clone());
            }
        }
    }

    /// Keeps an id that is like the one asked for.
    fn rank(&mut self, order_id: &Text) {
        let [wanted] = self.order_ids else { return };
        let (mut wanted_text, mut other_text) = ([0; 32], [0; 32]);
        let (wanted, other) = (wanted.as_str_in(&mut wanted_text), order_id.as_str_in(&mut other_text));
        // Comparing closely takes longer than all else that is done with an order.
        let same_start = wanted.bytes().zip(other.bytes()).take_while(|(this, that)| this == that).count();
        let same_end = wanted.bytes().rev().zip(other.bytes().rev()).take_while(|(this, that)| this == that).count();
        if (same_start + same_end) * SAME_PART < wanted.len() {
            return;
        }
        let likeness = strsim::jaro_winkler(wanted, other);
        let worst = self.ranked.get(NEAREST_MAX - 1).map_or(LIKENESS_MIN, |(worst, _)| *worst);
        if likeness > worst && !self.ranked.iter().any(|(_, known)| known == order_id) {
            let place = self.ranked.partition_point(|(known, _)| *known >= likeness);
            self.ranked.insert(place, (likeness, order_id.clone()));
            self.ranked.truncate(NEAREST_MAX);
        }
    }
}

/// The orders of these ids that a refused record names: in JSON by its `order_id`; elsewhere, and in JSON that is
/// broken, where the id stands in it as a word.
fn named(record: &RefusedRecord, order_ids: &[Text]) -> Vec<OrderId> {
    let text = written(&record.raw);
    let order = |tenant: &str, order_id: &Text| OrderId { tenant: Text::new(tenant), order_id: order_id.clone() };
    if let Ok(Value::Object(members)) = serde_json::from_str(&text) {
        let member = |name| match members.get(name) {
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let order_id = Text::new(&member("order_id"));
        let tenant = Some(member("tenant")).filter(|tenant| !tenant.is_empty());
        let named = order_ids.contains(&order_id);
        return named.then(|| order(tenant.as_deref().unwrap_or(DEFAULT_TENANT), &order_id)).into_iter().collect();
    }
    let is_word = |order_id: &Text| {
        let order_id = order_id.to_string();
        let is_part = |character: Option<char>| character.is_some_and(|it| it.is_alphanumeric() || "-_".contains(it));
        text.match_indices(&order_id).any(|(start, _)| {
            let after = text[start + order_id.len()..].chars().next();
            !is_part(text[..start].chars().next_back()) && !is_part(after)
        })
    };
    order_ids.iter().filter(|order_id| is_word(order_id)).map(|order_id| order(DEFAULT_TENANT, order_id)).collect()
}

/// The text that [`dataflows::views::dead_letters::shown`] shows; bytes that are no UTF-8 are replaced.
fn written(raw: &str) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut parts = raw.split("\\x");
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or(("", part));
        bytes.extend(u8::from_str_radix(digits, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::model::Position;
    use dataflows::views::dead_letters::shown;

    #[test]
    fn refused_records_name_an_order_by_member_or_as_a_word() {
        let named = |raw: &[u8]| {
            let record = RefusedRecord { raw: shown(raw), position: Position(0), reasons: Vec::new(), event_id: None };
            let ids = [Text::new("A-1"), Text::new("7"), Text::new("b\\c")];
            let named = named(&record, &ids).into_iter();
            named.map(|order| format!("{}/{}", order.tenant, order.order_id)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(br#"{"order_id":" A-1 ","timestamp":"?"}"#), "default/A-1");
        assert_eq!(named(br#"{"order_id":7,"tenant":"acme"}"#), "acme/7");
        assert_eq!(named(br#"{"order_id":"b\\c"}"#), "default/b\\c");
        assert_eq!(named(br#"{"order_id":"A-11","note":"A-1"}"#), "", "another order's record");
        assert_eq!(named(br#"{"order_id":"A-1","#), "default/A-1", "broken JSON");
        assert_eq!(named(b"A-1,\"x\ny\",5"), "default/A-1");
        assert_eq!(named(b"A-12,BA-1,A-1-1,\xFF"), "");
    }
}

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

use super::naming::{Tables, has_word};
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
    /// Refused records that cannot be split, in which its id stands as a word.
    pub perhaps_refused: Vec<RefusedRecord>,
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
    let mut picker = Picker {
        order_ids,
        tables: Tables::read(&job.inputs.files),
        last: None,
        ranked: Vec::new(),
        orders: BTreeMap::new(),
        perhaps_refused: BTreeMap::new(),
    };
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
    let nearest = picker.ranked.iter().map(|(_, order_id)| order_id.clone()).collect();
    Ok(Gathered { orders: picker.into_orders(), end, nearest })
}

/// Picks what speaks of the orders asked for.
struct Picker<'a> {
    order_ids: &'a [Text],
    tables: Tables,
    /// The order that was seen last: a record has several facts of one.
    last: Option<(OrderKey, Option<OrderId>)>,
    ranked: Vec<(f64, Text)>,
    orders: BTreeMap<OrderId, Story>,
    /// What cannot be split names no tenant.
    perhaps_refused: BTreeMap<Text, Vec<RefusedRecord>>,
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
            match self.tables.order_of(&record) {
                Some(order) if self.order_ids.contains(&order.order_id) => {
                    self.orders.entry(order).or_default().refused.push(record);
                }
                Some(_) => {}
                None => {
                    for order_id in self.order_ids.iter().filter(|order_id| has_word(&record, order_id)) {
                        self.perhaps_refused.entry(order_id.clone()).or_default().push(record.clone());
                    }
                }
            }
        }
    }

    /// The orders; what perhaps speaks of an id is with every order of it, or with one that nothing else speaks of.
    fn into_orders(self) -> BTreeMap<OrderId, Story> {
        let mut orders = self.orders;
        for (order_id, records) in self.perhaps_refused {
            if !orders.keys().any(|order| order.order_id == order_id) {
                let order = OrderId { tenant: Text::new(DEFAULT_TENANT), order_id: order_id.clone() };
                orders.insert(order, Story::default());
            }
            for (_, story) in orders.iter_mut().filter(|(order, _)| order.order_id == order_id) {
                story.perhaps_refused = records.clone();
            }
        }
        orders
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

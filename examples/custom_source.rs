//! A source of your own: an input in a format that orderwatch does not know, here a courier's log.
//!
//! Run it: `cargo run --example custom_source`. A source reads a stretch into the intake when it is polled, and promises a
//! time before which nothing more comes. The intake gives facts their logical times, counts every record and packs facts
//! for the graph (how that is built: `examples/embed_graph.rs`). What cannot be read is refused, never dropped.

use std::sync::Arc;

use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, EventKind, Fact, OrderId, Origin, Position, Symbol, Text};
use dataflows::orders::parcel::{Delivery, order_key};
use dataflows::time::{MINUTE_MS, Time};
use orderwatch::clock::Lateness;
use orderwatch::error::JobResult;
use orderwatch::instant::format_instant;
use orderwatch::source::intake::{Decoded, Intake, Selection};
use orderwatch::source::{Polled, Source};
use orderwatch::validate::{Broken, Limits, Reason, timestamp};

/// Lines such as `2024-03-01 09:00:00|A-1|picked up`, in the order of time.
struct CourierLog {
    lines: Vec<&'static str>,
    next: usize,
    /// The time of the last line that was read: the log is sorted, so nothing earlier comes.
    reached: Time,
}

impl CourierLog {
    /// The fact of a line; none where it is broken.
    fn decode(line: &str) -> Option<Fact> {
        let mut fields = line.split('|');
        let (at, order_id, what) = (fields.next()?, fields.next()?, fields.next()?);
        let kind = match what {
            "picked up" => EventKind::Shipped,
            "handed over" => EventKind::Delivered,
            _ => return None,
        };
        Some(Fact {
            order: OrderId { tenant: Text::new(DEFAULT_TENANT), order_id: Text::new(order_id) },
            at: timestamp::parse(at.as_bytes())?,
            event_id: None,
            body: Body::Lifecycle { kind, origin: Origin::Event, customer_id: None },
        })
    }
}

impl Source for CourierLog {
    fn poll(&mut self, intake: &mut Intake) -> JobResult<Polled> {
        let Some(line) = self.lines.get(self.next) else { return Ok(Polled::Done) };
        self.next += 1;
        // The number of the file among all, and of the line in it.
        let position = Position::new(0, self.next as u64);
        match CourierLog::decode(line) {
            Some(fact) => {
                let key = order_key(&fact.order);
                // A sorted input has no watermark: its facts are on time.
                let record = Decoded { key, position, record_at: fact.at, watermark: 0 };
                intake.count_decoded(record);
                intake.fact(&fact, record);
                self.reached = self.reached.max(fact.at);
            }
            None => intake.refuse(position, &Broken::only(Reason::Malformed), line.as_bytes()),
        }
        Ok(Polled::Read)
    }

    fn promise(&self) -> Time {
        if self.next == self.lines.len() { Time::MAX } else { self.reached }
    }
}

/// Reads the log to its end: the facts for the graph, and the refused lines.
pub fn read() -> JobResult<(Vec<String>, Vec<String>)> {
    let lines = vec![
        "2024-03-01 09:00:00|A-1|picked up",
        "2024-03-01 09:30:00|A-2|picked up",
        "2024-03-01 what?",
        "2024-03-02 17:45:00|A-1|handed over",
    ];
    let mut source = CourierLog { lines, next: 0, reached: 0 };
    let lateness = Lateness { late_arrival_ms: 0, horizon_ms: Time::MAX };
    let everything = Selection { from: 0, until: Time::MAX, orders: None };
    let sources = Arc::new(vec![Symbol::new(&Text::new("courier"))]);
    let limits = Limits::at(orderwatch::clock::wall_clock_ms());
    let mut intake = Intake::new(limits, everything, lateness, sources, 1, MINUTE_MS);

    let (mut facts, mut refused) = (Vec::new(), Vec::new());
    while source.poll(&mut intake)? == Polled::Read {
        // A job would send the parcels into the graph and then advance its input to the promise.
        for parcel in intake.parcels() {
            for (_, time, record) in parcel.records() {
                facts.push(format!("{} at {}", Delivery::read(time, record).order_id(), format_instant(time)));
            }
        }
        refused.extend(intake.refused_records().into_iter().map(|(record, _)| record.raw));
        intake.advance(source.promise());
    }
    Ok((facts, refused))
}

/// Shows what was read.
pub fn main() -> JobResult<()> {
    let (facts, refused) = read()?;
    println!("facts: {facts:#?}\nrefused: {refused:#?}");
    assert_eq!((facts.len(), refused), (3, vec!["2024-03-01 what?".to_owned()]));
    Ok(())
}

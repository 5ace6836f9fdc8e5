//! Embedding: the graph of orders within a program of your own, without orderwatch's sources, sinks or command line.
//!
//! Run it: `cargo run --example embed_graph`. An order is placed and nothing happens for two days. The promise to start
//! processing within 24 hours is broken at the very instant at which it is, although no event comes at that time; when
//! processing starts at last, the breach is retracted and restated as resolved.

use std::cell::RefCell;
use std::rc::Rc;

use dataflows::graph::{self, Inputs, Plan};
use dataflows::model::fact::DEFAULT_TENANT;
use dataflows::model::{Body, EventKind, Fact, OrderId, Origin, Position, Rules, Text};
use dataflows::operators::limit::Until;
use dataflows::orders::Detail;
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::{Arrival, Parcels};
use dataflows::orders::sla::RuleBook;
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, Time, Window};
use timely::dataflow::ProbeHandle;
use timely::dataflow::operators::{Input, Inspect, Probe};

/// What the graph needs to know. Every duration is in milliseconds.
fn settings() -> Settings {
    Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: MINUTE_MS,
        abandon_after_ms: DAY_MS,
        expect_payments: true,
        retention_ms: 30 * DAY_MS,
        max_age_ms: 365 * DAY_MS,
        horizon_ms: 365 * DAY_MS,
        windows: vec![Window::Total],
    }
}

/// Something that happened to order A-1, in milliseconds since 1970.
fn happened(kind: EventKind, at: Time) -> Fact {
    Fact {
        order: OrderId { tenant: Text::new(DEFAULT_TENANT), order_id: Text::new("A-1") },
        at,
        event_id: None,
        body: Body::Lifecycle { kind, origin: Origin::Event, customer_id: None },
    }
}

/// Runs the example; what the graph said: breaches, each with the time and +1 where it appears, -1 where it goes.
pub fn watch() -> Vec<(Time, isize, String)> {
    timely::execute_directly(|worker| {
        let said = Rc::new(RefCell::new(Vec::new()));
        let listener = Rc::clone(&said);
        let probe = ProbeHandle::new();

        // 1. Build: streams in, collections out. Inputs that you do not need are closed by dropping their handles.
        let mut input = worker.dataflow::<Time, _, _>(|scope| {
            let (input, parcels) = scope.new_input();
            let (_, record_counts) = scope.new_input();
            let (_, quality) = scope.new_input();
            let (_, refused_records) = scope.new_input();
            let inputs = Inputs { parcels, record_counts, quality, refused_records };
            let law = Law { settings: settings(), rules: RuleBook::new(&Rules::default()), sources: Vec::new() };
            // Every change at its exact time, for ever: what a live program wants.
            let outputs = graph::build(inputs, Rc::new(law), Plan::Fused, Until::Given(Time::MAX), Detail::Changes);
            let breaches = outputs.orders.sla_breaches;
            breaches
                .inspect(move |(breach, time, diff)| {
                    listener.borrow_mut().push((*time, *diff, breach.message.clone()));
                })
                .probe_with(&probe);
            input
        });

        // 2. Feed: facts, packed for the workers that own their orders, then the promise that nothing earlier comes.
        let day: Time = 1_709_251_200_000; // 2024-03-01
        let steps = [
            (Some(EventKind::Placed), day),
            (None, day + 40 * HOUR_MS),
            (Some(EventKind::ProcessingStarted), day + 2 * DAY_MS),
        ];
        let mut parcels = Parcels::new(worker.peers());
        for (line, (kind, time)) in (1..).zip(steps) {
            if let Some(kind) = kind {
                let position = Position::new(0, line);
                let arrival = Arrival { position, time, record_at: time, too_late: false };
                parcels.push(&happened(kind, time), arrival);
                parcels.close(false).for_each(|parcel| input.send(parcel));
            }
            input.advance_to(time + 1);
            // 3. Let the graph work until it has said all that it can say before that time.
            while probe.less_than(&(time + 1)) {
                worker.step();
            }
        }
        input.close();
        said.take()
    })
}

/// Shows what the graph said.
pub fn main() {
    let said = watch();
    for (time, diff, message) in &said {
        println!("{} {diff:+} {message}", orderwatch::instant::format_instant(*time));
    }
    // It appears 24 h after the placement, and is replaced when processing starts after two days.
    let deadline = 1_709_251_200_000 + 24 * HOUR_MS;
    assert_eq!(said.first().map(|(time, diff, _)| (*time, *diff)), Some((deadline, 1)));
    assert_eq!(said.iter().map(|(_, diff, _)| diff).sum::<isize>(), 1);
}

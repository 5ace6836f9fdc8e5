//! What a reading holds back, and where it says that what it has read stood.

use super::*;
use crate::clock::partitions::Mark;
use crate::decode::avro::Form;

const HOUR_MS: u64 = 3_600_000;
const AT: Time = 1_700_000_000_000;

/// Two partitions without end, of which one says nothing and the other an hour more with each portion.
#[derive(Default)]
struct Unequal {
    next_offset: u64,
    is_held: bool,
}

impl Log for Unequal {
    fn read(&mut self, _: Partition, _: u64) {}

    fn hold(&mut self, partition: &Partition, holds: bool) {
        assert_eq!(partition.number, 1, "whoever is behind is not held");
        self.is_held = holds;
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        if self.is_held {
            return Ok(None);
        }
        let record = |offset| {
            let value = format!(
                r#"{{"event_type":"ITEM_SHIPPED","order_id":"o","timestamp":{}}}"#,
                AT + offset / 1_000 * HOUR_MS
            );
            Record { offset, value: Some(value.into_bytes().into()), form: Form::Json, ..Record::default() }
        };
        let records = (self.next_offset..).take(1_000).map(record).collect();
        self.next_offset += 1_000;
        Ok(Some(Fetched { partition: Partition { topic: "orders".into(), number: 1 }, records }))
    }

    fn backlog(&self, _: &Partition, _: u64) -> Backlog {
        Backlog::Some
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        None
    }
}

fn terms(max_read_ahead_ms: u64) -> Terms {
    Terms {
        limits: Limits::at(AT + 1_000 * HOUR_MS),
        lateness: Lateness { late_arrival_ms: 0, horizon_ms: HOUR_MS },
        mode: TimeMode::Event,
        out_of_orderness_ms: 0,
        max_read_ahead_ms,
        tick_ms: HOUR_MS,
        topics: Topics(vec!["orders".into()]),
    }
}

/// Records read, once nothing more comes, where all partitions have reached this.
fn read_until_held(reading: &mut Reading, reached: Time) -> usize {
    while reading.records_read < 1_000_000 && reading.read(reached).unwrap() {
        reading.parcels().for_each(drop);
    }
    reading.records_read as usize
}

#[test]
fn a_partition_is_held_that_is_too_many_records_and_too_much_time_ahead() {
    let reading = |max_read_ahead_ms| {
        let log = Box::new(Unequal::default());
        let mut reading = Reading::new(log, terms(max_read_ahead_ms), &Beginning::default(), 1);
        (0..2).for_each(|number| reading.begin(&Partition { topic: "orders".into(), number }, 0));
        reading.tick(wall_clock_ms(), Standing::default());
        reading
    };
    let mut short = reading(HOUR_MS);
    assert_eq!(read_until_held(&mut short, AT - 1), RECORDS_AHEAD / 2, "an hour is fewer records than may always wait");
    let hours = 7;
    let reached = AT + hours * HOUR_MS;
    assert_eq!(read_until_held(&mut short, reached), RECORDS_AHEAD / 2 + (hours as usize + 1) * 1_000);
    // Time alone does not hold it, nor do records alone.
    let mut long = reading(100 * HOUR_MS);
    assert_eq!(read_until_held(&mut long, AT), 102_000, "it is not more than a hundred hours ahead");
}

/// One partition with four records, in one portion.
#[derive(Default)]
struct Portion(bool);

impl Log for Portion {
    fn read(&mut self, _: Partition, _: u64) {}

    fn hold(&mut self, _: &Partition, _: bool) {}

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        let record = |offset| {
            let value = format!(r#"{{"event_type":"ITEM_SHIPPED","order_id":"o","timestamp":{}}}"#, AT + offset);
            Record { offset, value: Some(value.into_bytes().into()), form: Form::Json, ..Record::default() }
        };
        let records = (0..4).map(record).collect();
        let fetched = Fetched { partition: Partition { topic: "orders".into(), number: 0 }, records };
        Ok((!std::mem::replace(&mut self.0, true)).then_some(fetched))
    }

    fn backlog(&self, _: &Partition, _: u64) -> Backlog {
        Backlog::Some
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        None
    }
}

#[test]
fn what_was_read_stands_on_its_side_of_every_mark() {
    let partition = Partition { topic: "orders".into(), number: 0 };
    let mark = |next_offset| Mark { next_offset, largest_at: AT, watermark: AT + next_offset, ceiling: Time::MAX };
    let trail = [(partition.clone(), vec![mark(0), mark(2)])].into();
    let beginning = Beginning { trail, ..Beginning::default() };
    let mut reading = Reading::new(Box::new(Portion::default()), terms(HOUR_MS), &beginning, 1);
    reading.begin(&partition, 0);
    assert!(reading.read(AT).unwrap());
    let stood = |update| match update {
        Update::Read(said) => said.iter().map(|(position, ..)| position.line()).collect(),
        _ => Vec::new(),
    };
    let stood: Vec<u64> = reading.updates().flat_map(stood).collect();
    assert_eq!(stood, [0, 1, 2], "a cut at the second mark has the records from there on read again");
}

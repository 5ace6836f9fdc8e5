//! What a reading holds back, and where it says that what it has read stood.

use super::*;
use crate::clock::partitions::Mark;
use crate::decode::form::Form;

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
        (0..2).for_each(|number| reading.begin(&Partition { topic: "orders".into(), number }, Start::default()));
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

/// A partition without end of which the first record alone moves time: of the others each second one is none, and the rest
/// is late.
struct Unmoving {
    number: i32,
    next_offset: u64,
    is_held: bool,
}

impl Log for Unmoving {
    fn read(&mut self, _: Partition, _: u64) {}

    fn hold(&mut self, _: &Partition, holds: bool) {
        self.is_held = holds;
    }

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        let record = |offset: u64| {
            let at = AT - offset.min(1);
            let event = format!(r#"{{"event_type":"ITEM_SHIPPED","order_id":"o","timestamp":{at}}}"#);
            let value = if offset.is_multiple_of(2) { event } else { "no event".to_owned() };
            Record { offset, value: Some(value.into_bytes().into()), form: Form::Json, ..Record::default() }
        };
        let records = (self.next_offset..).take(500).map(record).collect();
        self.next_offset += 500;
        let fetched = Fetched { partition: Partition { topic: "orders".into(), number: self.number }, records };
        Ok((!self.is_held).then_some(fetched))
    }

    fn backlog(&self, _: &Partition, _: u64) -> Backlog {
        Backlog::Some
    }

    fn end_position(&self, _: &Partition) -> Option<u64> {
        None
    }
}

#[test]
fn records_that_do_not_move_time_wait_for_a_tick_and_not_for_the_end_of_them() {
    let log = Box::new(Unmoving { number: 0, next_offset: 0, is_held: false });
    let terms = Terms { tick_ms: 1, ..terms(HOUR_MS) };
    let mut reading = Reading::new(log, terms, &Beginning::default(), 1);
    reading.begin(&Partition { topic: "orders".into(), number: 0 }, Start::default());
    let (mut waiting, mut most) = (Vec::<Time>::new(), 0);
    for _ in 0..30 {
        reading.tick(wall_clock_ms(), Standing::default());
        let promise = reading.promise();
        waiting.retain(|time| *time >= promise);
        for _ in 0..3 {
            assert!(reading.read(promise).unwrap(), "whatever time waits for is not held");
        }
        for parcel in reading.parcels() {
            waiting.extend(parcel.records().map(|(_, time, _)| time));
        }
        for update in reading.updates() {
            if let Update::Read(said) = update {
                waiting.extend(said.into_iter().map(|(_, time, _)| time));
            }
        }
        most = most.max(waiting.len());
    }
    // The first tick finds nothing, and the second one that time has moved.
    assert_eq!((reading.records_read, reading.promise()), (45_000, AT + 28));
    assert!(most < 3_100, "{most} waited: what two ticks read, and counts of it");
}

#[test]
fn a_partition_ahead_is_held_that_has_ten_shares_of_records_in_no_time() {
    let log = Box::new(Unmoving { number: 1, next_offset: 0, is_held: false });
    let mut reading = Reading::new(log, terms(u64::MAX), &Beginning::default(), 1);
    (0..100).for_each(|number| reading.begin(&Partition { topic: "orders".into(), number }, Start::default()));
    reading.tick(wall_clock_ms(), Standing::default());
    assert_eq!(read_until_held(&mut reading, 0), SHARES_MAX * RECORDS_AHEAD_MIN);
}

/// One partition with four records, in one portion, each of its own time.
struct Portion {
    is_given: bool,
    at: fn(u64) -> Time,
}

impl Log for Portion {
    fn read(&mut self, _: Partition, _: u64) {}

    fn hold(&mut self, _: &Partition, _: bool) {}

    fn poll(&mut self) -> JobResult<Option<Fetched>> {
        let record = |offset| {
            let value = format!(r#"{{"event_type":"ITEM_SHIPPED","order_id":"o","timestamp":{}}}"#, (self.at)(offset));
            Record { offset, value: Some(value.into_bytes().into()), form: Form::Json, ..Record::default() }
        };
        let records = (0..4).map(record).collect();
        let fetched = Fetched { partition: Partition { topic: "orders".into(), number: 0 }, records };
        Ok((!std::mem::replace(&mut self.is_given, true)).then_some(fetched))
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
    let mut reading =
        Reading::new(Box::new(Portion { is_given: false, at: |offset| AT + offset }), terms(HOUR_MS), &beginning, 1);
    reading.begin(&partition, Start::default());
    assert!(reading.read(AT).unwrap());
    let stood = |update| match update {
        Update::Read(said) => said.iter().map(|(position, ..)| position.line()).collect(),
        _ => Vec::new(),
    };
    let stood: Vec<u64> = reading.updates().flat_map(stood).collect();
    assert_eq!(stood, [0, 1, 2], "a cut at the second mark has the records from there on read again");
}

#[test]
fn a_job_that_was_killed_hours_ago_takes_what_has_come_since_in_the_same_portion() {
    let partition = Partition { topic: "orders".into(), number: 0 };
    let left_at = AT - 5 * HOUR_MS;
    let mark = |next_offset, ceiling| Mark { next_offset, largest_at: 0, watermark: ceiling, ceiling };
    let trail = [(partition.clone(), vec![mark(0, left_at), mark(2, left_at + 20)])].into();
    let beginning = Beginning { trail, frontier: left_at, followed_until: left_at + 20, ..Beginning::default() };
    let at = |offset| if offset < 2 { AT - 5 * HOUR_MS + offset } else { AT - 60_000 + offset };
    let terms = Terms { mode: TimeMode::Wall, ..terms(HOUR_MS) };
    let mut reading = Reading::new(Box::new(Portion { is_given: false, at }), terms, &beginning, 1);
    reading.begin(&partition, Start::default());
    reading.tick(AT, Standing::default());
    assert!(reading.read(left_at).unwrap());
    let said: Vec<Said> = reading
        .updates()
        .flat_map(|update| match update {
            Update::Read(said) => said.into_iter().map(|(_, _, said)| said).collect(),
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(reading.records_read, 4);
    assert!(!said.iter().any(|said| matches!(said, Said::Refused(_))), "{said:?}");
}

#[test]
fn a_partition_that_was_made_while_the_job_was_down_is_read_from_its_beginning() {
    let [known, new] = [0, 1].map(|number| Partition { topic: "orders".into(), number });
    let start = Start { chosen: 90, earliest: 10 };
    let positions = |beginning: &Beginning| {
        let mut reading = Reading::new(Box::new(Unequal::default()), terms(HOUR_MS), beginning, 1);
        [&known, &new].into_iter().for_each(|partition| reading.begin(partition, start));
        reading.positions().into_values().collect::<Vec<u64>>()
    };
    assert_eq!(positions(&Beginning::default()), [90, 90], "--start holds for a job that has read nothing yet");
    let mark = Mark { next_offset: 40, largest_at: AT, watermark: AT, ceiling: Time::MAX };
    let cut = [(known.clone(), mark)].into();
    assert_eq!(positions(&Beginning { cut, frontier: AT, ..Beginning::default() }), [40, 10]);
}

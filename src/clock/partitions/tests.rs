//! When records count, and what marks say of that.

use super::*;

fn partition(number: i32) -> Partition {
    Partition { topic: "orders".to_owned(), number }
}

fn clock(mode: TimeMode, partitions: i32) -> PartitionClock {
    let mut clock = PartitionClock::new(mode, 10, 0, 0);
    (0..partitions).for_each(|number| clock.enter(partition(number), 0));
    clock
}

/// A tick; what is promised then.
fn promised(clock: &mut PartitionClock, now: Time, backlog: impl Fn(&Partition) -> Backlog) -> Time {
    clock.tick(now, Standing::default(), backlog);
    clock.promise()
}

/// Reads a record; its logical time.
fn read(clock: &mut PartitionClock, number: i32, offset: u64, at: Time) -> Time {
    let watermark = clock.begin(&partition(number), offset).unwrap();
    clock.observe(&partition(number), at);
    at.max(watermark)
}

#[test]
fn a_partition_with_backlog_holds_time_where_its_records_are() {
    let mut clock = clock(TimeMode::Wall, 2);
    assert_eq!(promised(&mut clock, 1_000, |_| Backlog::Some), 0);
    read(&mut clock, 0, 0, 500);
    read(&mut clock, 1, 0, 300);
    // One that cannot be reached is one with backlog: no deadline passes because of silence.
    assert_eq!(promised(&mut clock, 5_000, |_| Backlog::Some), 290);
    assert_eq!(promised(&mut clock, 5_000, |name| if name.number == 1 { Backlog::None } else { Backlog::Some }), 490);
    // Late by then.
    assert_eq!(read(&mut clock, 1, 1, 400), 4_990);
}

#[test]
fn what_is_caught_up_goes_with_the_wall_clock_and_nothing_runs_ahead_of_it() {
    let mut clock = clock(TimeMode::Wall, 1);
    assert_eq!(promised(&mut clock, 1_000, |_| Backlog::None), 990);
    assert_eq!(promised(&mut clock, 2_000, |_| Backlog::None), 1_990);
    // A producer's clock that is ahead moves time no further than ours.
    assert_eq!(read(&mut clock, 0, 0, 9_000), 9_000);
    assert_eq!(promised(&mut clock, 2_100, |_| Backlog::Some), 2_090);
    assert_eq!(promised(&mut clock, 2_000, |_| Backlog::None), 2_090, "a clock that was put back moves nothing back");
}

#[test]
fn where_data_alone_moves_time_what_is_caught_up_is_left_out() {
    let mut clock = clock(TimeMode::Event, 2);
    clock.tick(0, Standing::default(), |_| Backlog::Some);
    read(&mut clock, 0, 0, 500);
    read(&mut clock, 1, 0, 300);
    let first_is_caught_up = |name: &Partition| if name.number == 0 { Backlog::None } else { Backlog::Some };
    assert_eq!(promised(&mut clock, 9_000, first_is_caught_up), 290);
    let second_is_caught_up = |name: &Partition| if name.number == 1 { Backlog::None } else { Backlog::Some };
    assert_eq!(promised(&mut clock, 9_000, second_is_caught_up), 490);
    assert_eq!(read(&mut clock, 1, 1, 310), 490, "it comes back where the others are");
    assert_eq!(promised(&mut clock, 9_000, |_| Backlog::None), 490, "all are caught up: time is where the furthest is");
    read(&mut clock, 1, 2, 700);
    assert_eq!(promised(&mut clock, 9_000, |_| Backlog::None), 690);
}

#[test]
fn a_record_that_comes_again_is_not_read_and_missing_offsets_are_passed() {
    let mut clock = clock(TimeMode::Event, 1);
    clock.tick(0, Standing::default(), |_| Backlog::Some);
    read(&mut clock, 0, 3, 100);
    assert_eq!(clock.next_offset(&partition(0)), Some(4));
    assert!(clock.begin(&partition(0), 3).is_none() && clock.begin(&partition(9), 0).is_none());
}

#[test]
fn a_partition_far_ahead_waits_for_the_others() {
    let mut clock = clock(TimeMode::Event, 2);
    clock.tick(0, Standing::default(), |_| Backlog::Some);
    read(&mut clock, 0, 0, 50_000);
    clock.tick(0, Standing::default(), |_| Backlog::Some);
    assert!(
        !clock.may_read(&partition(0), clock.promise(), 20_000)
            && clock.may_read(&partition(1), clock.promise(), 20_000)
    );
}

#[test]
fn whoever_follows_marks_gives_the_same_times() {
    let records = [100, 500, 90, 400, 700, 650, 100, 900];
    let mut first = clock(TimeMode::Wall, 1);
    let (mut trail, mut times) = (Vec::new(), Vec::new());
    for (offset, at) in records.into_iter().enumerate() {
        let now = 200 + 150 * offset as u64;
        let backlog = if offset % 3 == 0 { Backlog::None } else { Backlog::Some };
        trail.extend(first.tick(now, Standing::default(), |_| backlog).0.into_values().flatten());
        times.push(read(&mut first, 0, offset as u64, at));
    }
    let mut second = PartitionClock::new(TimeMode::Wall, 10, 0, 0);
    assert!(second.resume(partition(0), None, &trail));
    for (offset, at) in records.into_iter().enumerate() {
        if offset % 2 == 0 {
            second.tick(1_000_000, Standing::default(), |_| Backlog::None);
        }
        assert_eq!(read(&mut second, 0, offset as u64, at), times[offset], "record {offset}");
    }
}

#[test]
fn whoever_follows_marks_of_hours_ago_judges_what_comes_after_them_by_the_clock_of_today() {
    let (first_day, hour) = (1_000, 3_600_000);
    let mut first = clock(TimeMode::Wall, 1);
    let marks = |clock: &mut PartitionClock, now| -> Vec<Mark> {
        clock.tick(now, Standing::default(), |_| Backlog::Some).0.into_values().flatten().collect()
    };
    let mut trail = marks(&mut first, first_day);
    let before = [read(&mut first, 0, 0, 900), read(&mut first, 0, 1, 950)];
    trail.extend(marks(&mut first, first_day + 20));

    // What comes next is read in one go with what is followed, without a tick between.
    let follow = |trail: &[Mark], now: Time| {
        let mut clock = PartitionClock::new(TimeMode::Wall, 10, 0, 0);
        assert!(clock.resume(partition(0), None, trail));
        let mut told: Vec<Mark> =
            clock.tick(now, Standing::default(), |_| Backlog::Some).0.into_values().flatten().collect();
        let mut seen = Vec::new();
        for (offset, at) in [900, 950, hour - 100, hour - 50].into_iter().enumerate() {
            let time = read(&mut clock, 0, offset as u64, at);
            seen.push((time, clock.wall_clock_of(&partition(0)).unwrap()));
        }
        told.extend(clock.tick(now, Standing::default(), |_| Backlog::Some).0.into_values().flatten());
        (seen, told)
    };
    let (seen, told) = follow(&trail, hour);
    assert_eq!([seen[0].0, seen[1].0], before);
    assert!(seen[1].1 < 2 * first_day, "what was read before is judged as it was");
    assert_eq!([seen[2].1, seen[3].1], [hour; 2]);
    // And it was put down, for the next one to judge alike.
    assert_eq!(follow(&told, 5 * hour).0, seen);
}

#[test]
fn an_idle_partition_leaves_one_mark() {
    let (mut clock, mut trail) = (clock(TimeMode::Wall, 2), Vec::new());
    for now in (1_000..2_000).step_by(20) {
        let (marks, _) = clock.tick(now, Standing::default(), |_| Backlog::None);
        marks[&partition(0)].iter().for_each(|mark| put_down(&mut trail, *mark));
    }
    assert_eq!(trail, [Mark { next_offset: 0, largest_at: 0, watermark: 1_970, ceiling: 1_970 }]);
}

/// Reads as many records of long ago, from `offset` on; the logical time of the last one.
fn read_late(clock: &mut PartitionClock, offset: u64, count: u64) -> Time {
    (offset..offset + count).map(|offset| read(clock, 0, offset, 100)).last().unwrap()
}

#[test]
fn a_watermark_that_many_records_leave_where_it_is_goes_on_by_a_millisecond_at_a_tick() {
    for mode in [TimeMode::Wall, TimeMode::Event] {
        let (mut clock, mut marks, mut times) = (clock(mode, 1), Vec::new(), Vec::new());
        let mut tick = |clock: &mut PartitionClock| {
            marks.extend(clock.tick(9_000, Standing::default(), |_| Backlog::Some).0.into_values().flatten());
            clock.promise()
        };
        tick(&mut clock);
        times.push(read(&mut clock, 0, 0, 500));
        assert_eq!(tick(&mut clock), 490);
        times.push(read_late(&mut clock, 1, UNMOVING_RECORDS - 1));
        assert_eq!(tick(&mut clock), 490, "some may always count at one time");
        times.push(read_late(&mut clock, UNMOVING_RECORDS, 1));
        assert_eq!([tick(&mut clock), tick(&mut clock)], [491; 2], "once, for those that were read");
        times.push(read_late(&mut clock, UNMOVING_RECORDS + 1, UNMOVING_RECORDS));
        assert_eq!(tick(&mut clock), 492);
        // Broken ones say no time at all.
        let broken = 2 * UNMOVING_RECORDS + 1;
        for offset in broken..broken + UNMOVING_RECORDS {
            clock.begin(&partition(0), offset);
        }
        assert_eq!(tick(&mut clock), 493);
        times.push(read_late(&mut clock, broken + UNMOVING_RECORDS, 1));
        assert_eq!(times, [500, 490, 490, 491, 493]);
        // What moves it by itself is not behind for that.
        read(&mut clock, 0, broken + UNMOVING_RECORDS + 1, 700);
        assert_eq!(tick(&mut clock), 690);

        let mut second = PartitionClock::new(mode, 10, 0, 0);
        assert!(second.resume(partition(0), None, &marks));
        let mut again = vec![read(&mut second, 0, 0, 500), read_late(&mut second, 1, UNMOVING_RECORDS - 1)];
        second.tick(20_000, Standing::default(), |_| Backlog::Some);
        again.push(read_late(&mut second, UNMOVING_RECORDS, 1));
        again.push(read_late(&mut second, UNMOVING_RECORDS + 1, UNMOVING_RECORDS));
        again.push(read_late(&mut second, broken + UNMOVING_RECORDS, 1));
        assert_eq!(again, times, "whoever follows its marks gives the same times");
    }
}

#[test]
fn a_watermark_goes_on_by_itself_only_where_time_waits_for_it_and_not_beyond_the_wall_clock() {
    let mut ahead = clock(TimeMode::Event, 2);
    read(&mut ahead, 0, 0, 500);
    read_late(&mut ahead, 1, 5 * UNMOVING_RECORDS);
    for _ in 0..3 {
        assert_eq!(promised(&mut ahead, 9_000, |_| Backlog::Some), 0);
    }
    assert_eq!(ahead.watermark(&partition(0)), Some(490));

    let mut at_end = clock(TimeMode::Wall, 1);
    assert_eq!(promised(&mut at_end, 1_000, |_| Backlog::None), 990);
    read_late(&mut at_end, 0, UNMOVING_RECORDS);
    assert_eq!(promised(&mut at_end, 1_000, |_| Backlog::Some), 990);
    assert_eq!(promised(&mut at_end, 1_001, |_| Backlog::Some), 991);
}

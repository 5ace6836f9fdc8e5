//! Lives, faults and broken lines, each against what the decoder makes of them.

#![allow(clippy::panic)] // here a panic is the report

use std::collections::BTreeSet;

use super::catalogue::Basket;
use super::life::Step;
use super::*;
use crate::cli::DECIMAL_UNIT;
use crate::decode::decode_line;
use crate::generate::random::CERTAIN;
use crate::validate::Limits;

const NOW: Time = 1_735_689_600_000;

fn options(count: u64) -> GenerateStream {
    GenerateStream {
        count,
        rate: None,
        duration: None,
        seed: 7,
        time_scale: 10_000,
        late: 0,
        duplicates: 0,
        invalid: 0,
        disorder: 0,
        to: Vec::new(),
        no_console: true,
    }
}

/// Every line of a stream without faults, with its step.
fn lines(kind: StreamKind, count: u64) -> Vec<(Step, Vec<u8>)> {
    let schedule = Schedule::of(kind, &options(count), 0);
    let line = |moment: life::Moment| {
        let (life, mut line) = (schedule.life(moment.order), Vec::new());
        push_line(kind, 7, moment, &life, &mut line);
        (life.steps()[usize::from(moment.step)].1, line)
    };
    Lives::new(schedule).map(line).collect()
}

#[test]
fn every_line_is_decoded_to_as_many_facts_as_are_counted() {
    for kind in [StreamKind::Orders, StreamKind::Sales] {
        let mut seen = 0;
        for (step, line) in lines(kind, 500) {
            let facts = decode_line(&line, &Limits::at(NOW)).unwrap_or_else(|broken| {
                panic!("{}: {}", broken.joined(), String::from_utf8_lossy(&line));
            });
            assert_eq!(facts.iter().count() as u64, record::facts(kind, step), "{step:?}");
            assert!(serde_json::from_slice::<serde_json::Value>(&line).is_ok());
            seen += 1;
        }
        assert!(seen > 2_000, "{seen}");
    }
}

#[test]
fn every_kind_of_broken_line_is_refused_for_its_reason() {
    for (kind, kinds) in [(StreamKind::Orders, 35), (StreamKind::Sales, 28)] {
        let mut breaker = Breaker::new(kind);
        let mut seen = BTreeSet::new();
        for (_, line) in lines(kind, 100) {
            let mut row = Vec::new();
            let reason = breaker.push_broken(&line, &mut row);
            let shown = String::from_utf8_lossy(&row[..row.len().min(400)]).into_owned();
            match decode_line(&row, &Limits::at(NOW)) {
                Ok(_) => panic!("{reason} is decoded: {shown}"),
                Err(broken) => assert_eq!(broken.joined(), reason, "{shown}"),
            }
            assert!(!row.contains(&b'\n'), "a broken line is a line");
            seen.insert((reason, row.len() > 1 << 20, shown.contains("\"parts\""), shown.contains("NaN")));
        }
        // Four kinds of malformed line, two of bad timestamp and so on are told apart here by no more than this.
        assert!(seen.len() >= kinds - 6, "{} kinds seen: {seen:?}", seen.len());
    }
}

#[test]
fn stages_take_as_long_as_they_are_said_to() {
    let schedule = Schedule::of(StreamKind::Orders, &options(5_000), 0);
    let mut held = 0;
    for order in 0..5_000 {
        let life = schedule.life(order);
        assert!(life.steps().is_sorted_by_key(|(at, _)| *at), "{life:?}");
        let at = |wanted: Step| life.steps().iter().find(|(_, step)| *step == wanted).map(|(at, _)| *at);
        let hold_ms = at(Step::Released).zip(at(Step::Held)).map_or(0, |(released, held)| released - held);
        held += u64::from(hold_ms > 0);
        let stages = [
            (Step::Placed, Step::Confirmed, 10_000..=30_000),
            (Step::Confirmed, Step::Processing, 15_000..=45_000),
            (Step::Processing, Step::Shipped, 20_000..=60_000),
            (Step::Shipped, Step::Delivered, 60_000..=300_000),
        ];
        for (from, to, range) in stages {
            if let (Some(from), Some(to)) = (at(from), at(to)) {
                let takes_ms = to - from;
                assert!(range.contains(&takes_ms) || range.contains(&(takes_ms - hold_ms)), "{life:?}");
            }
        }
    }
    assert!((150..400).contains(&held), "{held} of 5,000 orders were held");
}

#[test]
fn a_rate_and_a_scale_change_what_they_say() {
    let rate = GenerateStream { rate: Some(20_000), duration: Some(60_000), ..options(1) };
    let placed = |options: &GenerateStream, start| {
        let schedule = Schedule::of(StreamKind::Sales, options, start);
        Lives::new(schedule).filter(|moment| moment.step == 0).map(|moment| moment.at).collect::<Vec<_>>()
    };
    let times = placed(&rate, 1_000_000);
    assert!((119..=120).contains(&times.len()), "{}", times.len());
    assert!(times.iter().all(|at| (1_000_000..=1_060_000).contains(at)));
    let (one, scaled) = (options(100), GenerateStream { time_scale: 14_400_000, ..options(100) });
    let span = |options| placed(options, 0).last().copied().unwrap_or(0) - placed(options, 0)[0];
    assert!(span(&scaled) > 1_400 * span(&one) && span(&scaled) < 1_480 * span(&one));
    // However many there are, all are placed within five years.
    let last = Schedule::of(StreamKind::Orders, &options(1_000_000_000), 0).life(999_999_999).steps()[0].0;
    assert!(last < NOW, "{last}");
}

#[test]
fn a_rate_is_kept_to_whatever_part_of_a_microsecond_an_order_has() {
    for rate in [7_000, 3 * DECIMAL_UNIT, 600_000 * DECIMAL_UNIT, 1_000_000 * DECIMAL_UNIT] {
        let schedule = Schedule::endless(1, DECIMAL_UNIT, rate, 0);
        let placed_at = |order| schedule.life(order).steps()[0].0;
        // Rates are in ten-thousandths: so many are placed in ten thousand seconds.
        let at = placed_at(rate);
        assert_eq!(at / 10_000, 1_000, "{rate}: {at}");
        assert!((0..1_000).map(placed_at).is_sorted());
        let ended = schedule.life(schedule.first_alive_at(at) - 1);
        assert!(ended.steps().iter().all(|(time, _)| *time < at), "{rate}");
    }
}

#[test]
fn where_all_lines_are_late_they_are_written_all_the_same() {
    let options = GenerateStream { late: CERTAIN, ..options(2_000) };
    let (mut lives, mut queue) = (Lives::new(Schedule::of(StreamKind::Orders, &options, 0)), Queue::new(&options));
    let (mut newest, mut happened, mut written) = (0, 0, 0);
    while let Some(next) = lives.next_time() {
        while let Some(line) = queue.pop_before(Some(next), newest) {
            newest = newest.max(line.moment.at);
            written += 1;
        }
        lives.next().into_iter().for_each(|moment| queue.take_in(moment));
        happened += 1;
    }
    assert!(written > happened / 3, "{written} of {happened} are written while others happen");
}

#[test]
fn baskets_have_the_variety_that_is_promised() {
    let baskets: Vec<Basket> = (0..2_000).map(|order| Basket::of(1, order)).collect();
    let count = |of: fn(&Basket) -> &'static str| baskets.iter().map(of).collect::<BTreeSet<_>>().len();
    assert_eq!([count(|b| b.tenant), count(|b| b.method), count(|b| b.lines[0].0.category)], [3, 6, 8]);
    assert!(count(|b| b.lines[0].0.name) >= 50);
}

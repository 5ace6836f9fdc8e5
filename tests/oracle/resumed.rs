//! Live keepers against one that tells every change: whatever ends of epochs they are told, and although they are put down
//! and taken up by others, however many, in each epoch they tell what its changes come to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dataflows::model::{Position, Symbol, Text};
use dataflows::operators::limit::Until;
use dataflows::operators::pieces::Piece;
use dataflows::orders::driver::Machine;
use dataflows::orders::keeper::{Keeper, Purpose};
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::{self, Parcel, Parcels};
use dataflows::orders::sla::RuleBook;
use dataflows::orders::{Detail, Rows};
use dataflows::time::Time;

use super::harness::{Dice, check, inside, seeds};
use super::law::Arrival;
use super::law::histories::{Case, history};

/// Updates and sums as text, so that all collections are compared alike: how often each, what each comes to.
type Emitted = BTreeMap<String, i128>;

fn law(case: &Case) -> Rc<Law> {
    let sources = ["first", "second"].map(|name| Symbol::new(&Text::new(name))).to_vec();
    Rc::new(Law { settings: case.settings.clone(), rules: RuleBook::new(&case.rules), sources })
}

fn feed(keepers: &mut [Keeper], arrivals: &[&Arrival]) {
    let mut parcels = Parcels::new(keepers.len());
    for Arrival { fact, t, too_late, position } in arrivals {
        parcels.push(fact, parcel::Arrival { position: *position, time: *t, record_at: fact.at, too_late: *too_late });
    }
    for parcel in parcels.close(false) {
        keepers[parcel.to as usize].receive(parcel);
    }
}

/// What was emitted since it was asked last, by the epoch that it is of.
fn take(keepers: &mut [Keeper], ends: &[Time], all: &mut Emitted) {
    let epoch = |time: Time| ends.partition_point(|end| *end <= time);
    let rows = |all: &mut Emitted, updates: &mut dyn Iterator<Item = (String, Time, isize)>| {
        for (row, time, diff) in updates {
            *all.entry(format!("{} {row}", epoch(time))).or_default() += diff as i128;
        }
    };
    fn text<D: std::fmt::Debug>((row, time, diff): (D, Time, isize)) -> (String, Time, isize) {
        (format!("{row:?}"), time, diff)
    }
    for keeper in keepers {
        let emitted = keeper.emitted();
        rows(all, &mut emitted.orders.drain(..).map(text));
        rows(all, &mut emitted.order_events.drain(..).map(text));
        rows(all, &mut emitted.violations.drain(..).map(text));
        rows(all, &mut emitted.sla_breaches.drain(..).map(text));
        rows(all, &mut emitted.stalled_orders.drain(..).map(text));
        rows(all, &mut emitted.refused.drain(..).map(text));
        for (key, time, sums) in emitted.measures.drain(..) {
            let sums = sums.counts.iter().map(|count| i128::from(*count)).chain(sums.amounts.iter().map(|sum| sum.0));
            sums.enumerate()
                .for_each(|(place, sum)| *all.entry(format!("{} {key:?} {place}", epoch(time))).or_default() += sum);
        }
        for (key, time, sums) in emitted.lines.drain(..) {
            let sums = [i128::from(sums.lines), i128::from(sums.installments), sums.value.0];
            let sums = sums.into_iter().enumerate();
            sums.for_each(|(place, sum)| *all.entry(format!("{} {key:?} {place}", epoch(time))).or_default() += sum);
        }
        for (key, time, counts) in emitted.quality.drain(..) {
            let counts = [counts.valid, counts.invalid, counts.duplicates, counts.late].into_iter().enumerate();
            counts.for_each(|(place, count)| {
                *all.entry(format!("{} {key:?} {place}", epoch(time))).or_default() += i128::from(count)
            });
        }
    }
}

/// Snapshots that were put down, each with its time: they are small, and come in one piece.
type PutDown = Rc<RefCell<Vec<(Time, Piece)>>>;

fn keepers(law: &Rc<Law>, rows: Rows, count: usize) -> (Vec<Keeper>, PutDown) {
    let put_down = PutDown::default();
    let keeper = |_| {
        let put_down = Rc::clone(&put_down);
        let snapshots = move |time| {
            let put_down = Rc::clone(&put_down);
            Box::new(move |piece| put_down.borrow_mut().push((time, piece))) as _
        };
        Keeper::live(Rc::clone(law), Box::new(snapshots), rows)
    };
    ((0..count).map(keeper).collect(), put_down)
}

/// Ends an epoch of all keepers, each of which may have been further, or not as far, without knowing of it.
fn end_epoch(keepers: &mut [Keeper], end: Time, asks_snapshot: bool, dice: &mut Dice) {
    for (to, keeper) in keepers.iter_mut().enumerate() {
        keeper.advance(end - dice.below(3).min(end) * dice.below(20_000).min(end / 2));
        keeper.receive(Parcel::end_epoch(to as u64, end, asks_snapshot));
        keeper.advance(end);
    }
}

/// What changes in every epoch, told change by change, and told by keepers that end epochs and stop on the way.
fn holds(case: &Case, seed: u64) -> Result<(), String> {
    let (law, mut dice) = (law(case), Dice(seed));
    let mut arrivals: Vec<&Arrival> = inside(case).collect();
    dice.shuffle(&mut arrivals);
    let times = || arrivals.iter().map(|arrival| arrival.t);
    let (earliest, latest) = (times().min().unwrap_or(0), times().max().unwrap_or(0));
    let last = latest + case.settings.max_age_ms + case.settings.horizon_ms + 1;
    let mut ends = vec![last];
    let mut now = earliest;
    for _ in 0..3 {
        now += dice.below(last.saturating_sub(now) / 3 + 1);
        ends.push(now);
        // Soon after a fact, so that there is something that waits for its tick.
        ends.push(times().nth(dice.below(arrivals.len().max(1) as u64) as usize).unwrap_or(0) + 1 + dice.below(50));
    }
    ends.sort_unstable();

    let mut every = Keeper::new(Rc::clone(&law), Until::Given(Time::MAX), Purpose::Show(Detail::Changes));
    feed(std::slice::from_mut(&mut every), &arrivals);
    every.advance(last);
    let mut expected = Emitted::new();
    // Where nobody wants other rows than those of open breaches, or none, no others are told.
    let rows = [Rows::All, Rows::All, Rows::OpenBreaches, Rows::None][dice.below(4) as usize];
    if rows != Rows::All {
        let emitted = every.emitted();
        emitted.sla_breaches.retain(|(breach, ..)| rows != Rows::None && breach.resolved_at.is_none());
        emitted.orders.clear();
        emitted.order_events.clear();
        emitted.violations.clear();
        emitted.stalled_orders.clear();
    }
    take(&mut [every], &ends, &mut expected);

    let mut found = Emitted::new();
    let (mut current, mut snapshots) = keepers(&law, rows, 1 + dice.below(3) as usize);
    let mut rest = arrivals;
    for (number, end) in ends.iter().enumerate() {
        // What is before the cut has been read, and is not read again; some of it waits for its time.
        let (read, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|arrival| arrival.t < *end || dice.below(3) == 0);
        feed(&mut current, &read);
        rest = later;
        if dice.below(2) == 0 {
            end_epoch(&mut current, *end, false, &mut dice);
            take(&mut current, &ends, &mut found);
            continue;
        }
        // Of what was read after the cut nothing is to be taken up: it comes once more.
        let after_cut: Vec<&Arrival> = rest.iter().copied().filter(|_| dice.below(3) == 0).collect();
        feed(&mut current, &after_cut);
        let is_before_cut = |position: Position| !after_cut.iter().any(|arrival| arrival.position == position);
        end_epoch(&mut current, *end, true, &mut dice);
        take(&mut current, &ends, &mut found);
        // A sink may have come further than the snapshot: what is told of the time between is told again, and no more.
        let count = 1 + dice.below(3) as usize;
        let (mut next, next_snapshots) = keepers(&law, rows, count);
        for (time, piece) in snapshots.borrow().iter() {
            let Piece { bytes: Ok(bytes), is_last: true } = piece else { return Err(format!("not whole: {piece:?}")) };
            for (index, keeper) in next.iter_mut().enumerate() {
                let is_mine = |key: u128| key as u64 % count as u64 == index as u64;
                keeper.take_up(*time, bytes, is_mine, index == 0, is_before_cut).map_err(|damaged| damaged.0)?;
                keeper.end_epochs_at(&ends[number..]);
            }
        }
        // An operator is run before it hears how far its input is, and then as far as it was before.
        next.iter_mut().for_each(|keeper| [0, *end].into_iter().for_each(|frontier| keeper.advance(frontier)));
        (current, snapshots) = (next, next_snapshots);
    }
    [&mut expected, &mut found].into_iter().for_each(|all| all.retain(|_, sum| *sum != 0));
    let differs = |left: &Emitted, right: &Emitted| {
        left.iter()
            .find(|(update, sum)| right.get(*update) != Some(*sum))
            .map(|(update, sum)| format!("{sum} × {update}"))
    };
    match (differs(&expected, &found), differs(&found, &expected)) {
        (None, None) => Ok(()),
        (missing, surplus) => Err(format!("expected {missing:?}, found {surplus:?}")),
    }
}

#[test]
fn what_is_taken_up_goes_on_as_it_would_have() {
    for seed in seeds(400) {
        check(seed, &history(seed), |case| holds(case, seed));
    }
}

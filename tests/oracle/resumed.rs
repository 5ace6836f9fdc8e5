//! Keepers that are put down as of a time and taken up by others, however many: what they emit from then on is what the
//! first ones would have emitted, update by update.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dataflows::model::{Position, Symbol, Text};
use dataflows::orders::driver::Machine;
use dataflows::orders::keeper::{Keeper, Snapshots};
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::{self, Parcel, Parcels};
use dataflows::orders::sla::RuleBook;
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

/// What was emitted since it was asked last.
fn take(keepers: &mut [Keeper], all: &mut Emitted) {
    fn rows<D: std::fmt::Debug>(all: &mut Emitted, updates: &mut Vec<(D, Time, isize)>) {
        for (row, time, diff) in updates.drain(..) {
            *all.entry(format!("{time} {row:?}")).or_default() += diff as i128;
        }
    }
    for keeper in keepers {
        let emitted = keeper.emitted();
        rows(all, &mut emitted.orders);
        rows(all, &mut emitted.order_events);
        rows(all, &mut emitted.violations);
        rows(all, &mut emitted.sla_breaches);
        rows(all, &mut emitted.stalled_orders);
        rows(all, &mut emitted.refused);
        for (key, time, sums) in emitted.measures.drain(..) {
            let sums = sums.counts.iter().map(|count| i128::from(*count)).chain(sums.amounts.iter().map(|sum| sum.0));
            sums.enumerate().for_each(|(place, sum)| *all.entry(format!("{time} {key:?} {place}")).or_default() += sum);
        }
        for (key, time, sums) in emitted.lines.drain(..) {
            let sums = [i128::from(sums.lines), i128::from(sums.installments), sums.value.0];
            let sums = sums.into_iter().enumerate();
            sums.for_each(|(place, sum)| *all.entry(format!("{time} {key:?} {place}")).or_default() += sum);
        }
        for (key, time, counts) in emitted.quality.drain(..) {
            let counts = [counts.valid, counts.invalid, counts.duplicates, counts.late].into_iter().enumerate();
            counts.for_each(|(place, count)| {
                *all.entry(format!("{time} {key:?} {place}")).or_default() += i128::from(count)
            });
        }
    }
}

fn keepers(law: &Rc<Law>, count: usize) -> (Vec<Keeper>, Snapshots) {
    let snapshots: Snapshots = Rc::new(RefCell::default());
    ((0..count).map(|_| Keeper::live(Rc::clone(law), Rc::clone(&snapshots))).collect(), snapshots)
}

fn advance(keepers: &mut [Keeper], time: Time, all: &mut Emitted) {
    keepers.iter_mut().for_each(|keeper| keeper.advance(time));
    take(keepers, all);
}

/// The same with and without a stop on the way.
fn holds(case: &Case, seed: u64) -> Result<(), String> {
    let (law, mut dice) = (law(case), Dice(seed));
    let mut arrivals: Vec<&Arrival> = inside(case).collect();
    dice.shuffle(&mut arrivals);
    let latest = arrivals.iter().map(|arrival| arrival.t).max().unwrap_or(0);
    let end = latest + case.settings.max_age_ms + case.settings.horizon_ms + 1;
    let (mut undisturbed, _) = keepers(&law, 1);
    let mut expected = Emitted::new();
    feed(&mut undisturbed, &arrivals);
    advance(&mut undisturbed, end, &mut expected);

    let earliest = arrivals.iter().map(|arrival| arrival.t).min().unwrap_or(0);
    let mut found = Emitted::new();
    let (mut current, mut snapshots) = keepers(&law, 1 + dice.below(3) as usize);
    let mut now = earliest;
    let mut rest = arrivals;
    for _ in 0..3 {
        now += dice.below(end.saturating_sub(now) / 2 + 1);
        // What is before the cut has been read, and is not read again; some of it waits for its time.
        let (read, later): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|arrival| arrival.t < now || dice.below(3) == 0);
        feed(&mut current, &read);
        // Of what was read after the cut nothing is to be taken up: it comes once more.
        let after_cut: Vec<&Arrival> = later.iter().copied().filter(|_| dice.below(3) == 0).collect();
        feed(&mut current, &after_cut);
        let is_before_cut = |position: Position| !after_cut.iter().any(|arrival| arrival.position == position);
        for (to, keeper) in current.iter_mut().enumerate() {
            keeper.receive(Parcel::ask_snapshot(to as u64, now));
        }
        // Keepers may go on beyond; what they say then is said by nobody else.
        current.iter_mut().for_each(|keeper| keeper.advance(now));
        take(&mut current, &mut found);
        let count = 1 + dice.below(3) as usize;
        let (mut next, next_snapshots) = keepers(&law, count);
        for (time, written) in snapshots.borrow().iter() {
            let bytes = written.as_ref().map_err(|damaged| damaged.0.clone())?;
            for (index, keeper) in next.iter_mut().enumerate() {
                let is_mine = |key: u128| key as u64 % count as u64 == index as u64;
                keeper.take_up(*time, bytes, is_mine, index == 0, is_before_cut).map_err(|damaged| damaged.0)?;
            }
        }
        (current, snapshots, rest) = (next, next_snapshots, later);
    }
    feed(&mut current, &rest);
    advance(&mut current, end, &mut found);
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

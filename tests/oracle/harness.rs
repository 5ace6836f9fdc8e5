//! Runs the graph in this process: facts dealt to workers in any chunks and any order that the frontiers allow, results
//! gathered at worker 0.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::graph::{self, Plan};
use dataflows::model::{OrderId, Symbol, Text};
use dataflows::operators::limit::Until;
use dataflows::orders::driver::Emitted;
use dataflows::orders::outlook::Law;
use dataflows::orders::parcel::{self, Parcel, Parcels};
use dataflows::orders::sla::RuleBook;
use dataflows::orders::standing::Standing;
use dataflows::orders::view::View;
use dataflows::orders::{Detail, Updates};
use dataflows::time::{Diff, Time};
use dataflows::views::dead_letters::{RefusedFact, RefusedRecord};
use dataflows::views::measures::{LineMeasures, MeasureKey, Measures};
use dataflows::views::order_events::OrderEventRow;
use dataflows::views::orders::OrderRow;
use dataflows::views::quality::{QualityCounts, QualityKey};
use dataflows::views::sla_breaches::SlaBreachRow;
use dataflows::views::stalled_orders::StalledOrderRow;
use dataflows::views::violations::ViolationRow;
use timely::ExchangeData;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Input, Operator, Probe};
use timely::dataflow::{ProbeHandle, Stream};
use timely::worker::Worker;

use super::law::histories::Case;
use super::law::{Answer, Arrival, answer};

/// How to run a case.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub plan: Plan,
    pub detail: Detail,
    pub workers: usize,
    /// Decides who gets which fact when.
    pub deal: u64,
}

/// The accumulated results of the fused plan.
pub const FINAL: Way = Way { plan: Plan::Fused, detail: Detail::Final, workers: 1, deal: 0 };
/// Every change of the fused plan.
pub const CHANGES: Way = Way { detail: Detail::Changes, ..FINAL };

/// A run that does not end within this has hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that came out, update by update.
#[derive(Debug, Default)]
pub struct Gathered {
    pub orders: Vec<(OrderRow, Time, Diff)>,
    pub order_events: Vec<(OrderEventRow, Time, Diff)>,
    pub violations: Vec<(ViolationRow, Time, Diff)>,
    pub sla_breaches: Vec<(SlaBreachRow, Time, Diff)>,
    pub stalled_orders: Vec<(StalledOrderRow, Time, Diff)>,
    pub standing: Vec<((OrderId, Standing), Time, Diff)>,
    pub measures: Vec<(MeasureKey, Time, Measures)>,
    pub lines: Vec<(MeasureKey, Time, LineMeasures)>,
    pub quality: Vec<(QualityKey, Time, QualityCounts)>,
    pub refused_facts: Vec<(RefusedFact, Time, Diff)>,
    pub largest_accepted: Option<Time>,
}

/// What a worker does next.
enum Step {
    Send(Vec<Parcel>),
    Advance(Time),
    Work(u64),
}

/// SplitMix64: the same deal for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// How many histories a test takes: `ORDERWATCH_SEEDS`, or `by_default`.
pub fn seeds(by_default: u64) -> std::ops::Range<u64> {
    let asked = std::env::var("ORDERWATCH_SEEDS").ok();
    0..asked.map_or(by_default, |seeds| seeds.parse().expect("ORDERWATCH_SEEDS is a number"))
}

/// What the law says of a case.
pub fn expected(case: &Case) -> Answer {
    answer(&case.arrivals, &case.rules, &case.settings, case.until)
}

/// What the law says of a case as of `time`: nothing that arrives later is known.
pub fn expected_as_of(case: &Case, time: Time) -> Answer {
    let known: Vec<Arrival> = inside(case).filter(|arrival| arrival.t <= time).cloned().collect();
    answer(&known, &case.rules, &case.settings, Some(time))
}

/// The facts that take part: those up to `until`, where one is given.
pub fn inside(case: &Case) -> impl Iterator<Item = &Arrival> {
    case.arrivals.iter().filter(|arrival| case.until.is_none_or(|until| arrival.fact.at <= until))
}

/// Tells whether `holds`; if not, names the seed and the fewest arrivals for which it does not.
pub fn check(seed: u64, case: &Case, holds: impl Fn(&Case) -> Result<(), String>) {
    let Err(mut complaint) = holds(case) else { return };
    let mut least = case.clone();
    let mut place = 0;
    while place < least.arrivals.len() {
        let mut less = least.clone();
        less.arrivals.remove(place);
        match holds(&less) {
            Err(of_less) => (least, complaint) = (less, of_less),
            Ok(()) => place += 1,
        }
    }
    let mut story = String::new();
    for Arrival { fact, t, too_late, position } in &least.arrivals {
        let (order, at) = (format!("{}/{}", fact.order.tenant, fact.order.order_id), fact.at);
        story += &format!(
            "\n  {order} at={at} t={t} too_late={too_late} {position:?} {:?} {}",
            fact.event_id,
            fact.content()
        );
    }
    let Case { rules, settings, until, .. } = &least;
    panic!("seed {seed}: {complaint}\nfacts:{story}\nuntil: {until:?}\n{settings:?}\n{rules:?}");
}

/// The law of a case, as the graph is given it.
pub fn law(case: &Case) -> Law {
    Law {
        settings: case.settings.clone(),
        rules: RuleBook::new(&case.rules),
        sources: ["first", "second"].map(|name| Symbol::new(&Text::new(name))).to_vec(),
    }
}

/// Runs the graph on a case.
pub fn run(case: &Case, way: Way) -> Gathered {
    let mut dice = Dice(way.deal);
    let mut hands: Vec<Vec<Bunch<'_>>> = vec![Vec::new(); way.workers];
    for bunch in bunches(case, &mut dice) {
        hands[dice.below(way.workers as u64) as usize].push(bunch);
    }
    let steps: Arc<Vec<Vec<Step>>> =
        Arc::new(hands.into_iter().map(|hand| deal(hand, &mut dice, way.workers)).collect());
    let law = law(case);
    // The end that is asked for is known beforehand, or told when the inputs have been read to theirs.
    let told = case.until.filter(|_| way.deal.is_multiple_of(2));
    let until = case.until.filter(|_| told.is_none()).map_or(Until::LargestAccepted, Until::Given);
    let config = if way.workers == 1 { timely::Config::thread() } else { timely::Config::process(way.workers) };
    let work = move |worker: &mut Worker| play(worker, &steps, &law, way, (until, told));
    let guards = timely::execute(config, work).expect("workers start");
    let mut results: Vec<Option<Gathered>> =
        guards.join().into_iter().map(|result| result.expect("no panic")).collect();
    let mut gathered = results.swap_remove(0).expect("the run ends");
    gathered.make_rows(&self::law(case));
    gathered
}

impl Gathered {
    /// Adds the rows of orders as they stand: whoever looks at rows sees those of every detail alike.
    fn make_rows(&mut self, law: &Law) {
        let (mut emitted, mut view) = (Emitted::default(), View::default());
        for (standing, time, diff) in &self.standing {
            emitted.give_rows_of(standing, law, &mut view, *time, *diff);
        }
        self.orders.append(&mut emitted.orders);
        self.order_events.append(&mut emitted.order_events);
        self.violations.append(&mut emitted.violations);
        self.sla_breaches.append(&mut emitted.sla_breaches);
        self.stalled_orders.append(&mut emitted.stalled_orders);
    }
}

/// Arrivals that are sent together.
#[derive(Clone)]
struct Bunch<'a> {
    arrivals: Vec<&'a Arrival>,
    /// True where they are all there are of their order.
    is_whole: bool,
}

impl Bunch<'_> {
    fn earliest(&self) -> Time {
        self.arrivals.iter().map(|arrival| arrival.t).min().unwrap_or(Time::MAX)
    }
}

/// The arrivals that take part, one by one; in half of all deals some orders, or all, whole.
fn bunches<'a>(case: &'a Case, dice: &mut Dice) -> Vec<Bunch<'a>> {
    let one_in = [0, 0, 1, 2][dice.below(4) as usize];
    let mut by_order: BTreeMap<(&Text, &Text), Vec<&Arrival>> = BTreeMap::new();
    for arrival in inside(case) {
        by_order.entry((&arrival.fact.order.tenant, &arrival.fact.order.order_id)).or_default().push(arrival);
    }
    let mut bunches = Vec::new();
    for mut arrivals in by_order.into_values() {
        if one_in > 0 && dice.below(one_in) == 0 {
            dice.shuffle(&mut arrivals);
            bunches.push(Bunch { arrivals, is_whole: true });
        } else {
            bunches.extend(arrivals.into_iter().map(|arrival| Bunch { arrivals: vec![arrival], is_whole: false }));
        }
    }
    bunches
}

/// Makes a worker's arrivals into steps: any chunks, any order, any promises that are kept.
fn deal(mut hand: Vec<Bunch<'_>>, dice: &mut Dice, workers: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let style = dice.below(4);
    match style {
        0 => {}
        1 => hand.sort_by_key(Bunch::earliest),
        _ => dice.shuffle(&mut hand),
    }
    let mut promised = 0;
    while !hand.is_empty() {
        let chunk = hand.len().min(1 + dice.below([64, 1, 4, 16][style as usize]) as usize);
        let [mut parcels, mut last_words] = [Parcels::new(workers), Parcels::new(workers)];
        for Bunch { arrivals, is_whole } in hand.drain(..chunk) {
            for Arrival { fact, t, too_late, position } in arrivals {
                let (position, record_at, too_late) = (*position, fact.at, *too_late);
                let to = if is_whole { &mut last_words } else { &mut parcels };
                to.push(fact, parcel::Arrival { position, time: *t, record_at, too_late });
            }
        }
        steps.push(Step::Send(parcels.close(false).chain(last_words.close(true)).collect()));
        // Style 0 is a replay that reads all before it promises anything.
        if style > 0 {
            let least = hand.iter().map(Bunch::earliest).min().unwrap_or(promised);
            promised += if dice.below(2) == 0 { least - promised } else { dice.below(least - promised + 1) };
            steps.push(Step::Advance(promised));
            steps.push(Step::Work(dice.below(4)));
        }
    }
    if dice.below(3) == 0 {
        steps.push(Step::Advance(promised + dice.below(20 * 3_600_000)));
        steps.push(Step::Work(2));
    }
    steps
}

/// Takes a worker's steps; none where the graph does not come to an end.
fn play(
    worker: &mut Worker,
    steps: &[Vec<Step>],
    law: &Law,
    way: Way,
    (until, told): (Until, Option<Time>),
) -> Option<Gathered> {
    let probe = ProbeHandle::new();
    let gathered = Rc::new(RefCell::new(Gathered::default()));
    let mut input = worker.dataflow::<Time, _, _>(|scope| {
        let (handle, parcels) = scope.new_input();
        let (_, record_counts) = scope.new_input::<Vec<(MeasureKey, Time, Measures)>>();
        let (_, quality) = scope.new_input::<Vec<(QualityKey, Time, QualityCounts)>>();
        let (_, refused_records) = scope.new_input::<Vec<(RefusedRecord, Time, isize)>>();
        let inputs = graph::Inputs { parcels, record_counts, quality, refused_records };
        let orders = graph::build(inputs, Rc::new(law.clone()), way.plan, until, way.detail).orders;
        gather(orders.orders, &probe, &gathered, |all| &mut all.orders);
        gather(orders.order_events, &probe, &gathered, |all| &mut all.order_events);
        gather(orders.violations, &probe, &gathered, |all| &mut all.violations);
        gather(orders.sla_breaches, &probe, &gathered, |all| &mut all.sla_breaches);
        gather(orders.stalled_orders, &probe, &gathered, |all| &mut all.stalled_orders);
        gather(orders.standing, &probe, &gathered, |all| &mut all.standing);
        gather(orders.refused, &probe, &gathered, |all| &mut all.refused_facts);
        gather(orders.measures, &probe, &gathered, |all| &mut all.measures);
        gather(orders.lines, &probe, &gathered, |all| &mut all.lines);
        gather(orders.quality, &probe, &gathered, |all| &mut all.quality);
        gather_accepted(orders.accepted, &probe, &gathered);
        handle
    });
    for step in &steps[worker.index()] {
        match step {
            Step::Send(parcels) => parcels.iter().for_each(|parcel| input.send(parcel.clone())),
            Step::Advance(time) => input.advance_to(*time),
            Step::Work(times) => {
                for _ in 0..*times {
                    worker.step();
                }
            }
        }
    }
    if let Some(end) = told {
        input.send(Parcel::input_end(end, worker.peers() as u64));
    }
    input.close();
    let started = Instant::now();
    while !probe.done() {
        worker.step_or_park(Some(Duration::from_millis(20)));
        if started.elapsed() > PATIENCE {
            for dataflow in worker.installed_dataflows() {
                worker.drop_dataflow(dataflow);
            }
            return None;
        }
    }
    Some(gathered.take())
}

fn gather<'scope, D: ExchangeData, R: ExchangeData>(
    updates: Updates<'scope, D, R>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
    of: impl Fn(&mut Gathered) -> &mut Vec<(D, Time, R)> + 'static,
) {
    let gathered = Rc::clone(gathered);
    let sent = updates.unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(|_| 0),
        "Gather",
        move |_, _| {
            move |input, _| {
                input.for_each(|time, batch| {
                    let in_time = batch.iter().all(|(_, at, _)| time.stamp().less_equal(at));
                    assert!(in_time, "an update before its capability");
                    of(&mut gathered.borrow_mut()).append(batch);
                });
            }
        },
    );
    sent.probe_with(probe);
}

fn gather_accepted<'scope>(
    accepted: Stream<'scope, Time, Vec<Time>>,
    probe: &ProbeHandle<Time>,
    gathered: &Rc<RefCell<Gathered>>,
) {
    let gathered = Rc::clone(gathered);
    let sent = accepted.unary::<timely::container::CapacityContainerBuilder<Vec<()>>, _, _, _>(
        Exchange::new(|_| 0),
        "Gather: accepted",
        move |_, _| {
            move |input, _| {
                input.for_each(|_, times| {
                    let largest = &mut gathered.borrow_mut().largest_accepted;
                    *largest = times.drain(..).max().max(*largest);
                });
            }
        },
    );
    sent.probe_with(probe);
}

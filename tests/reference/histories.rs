//! Random nasty histories from a seed: few orders, tenants that share ids, ties, copies, conflicts, late facts, holds,
//! cancellations, rules in the middle; times on a grid of hours and one millisecond beside it, so that deadlines, window
//! edges and bounds of retirement are hit exactly. The days cross 2024-02-29.

use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Position, Rules, Sla, SlaRule};
use dataflows::model::{Text, Within};
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{Time, Window};

use super::Arrival;

const HOUR: u64 = 3_600_000;
/// 2024-02-27T00:00:00Z.
const START: Time = 1_708_992_000_000;
/// Hours a history spans.
const SPAN: u64 = 240;

/// One history and how to look at it.
#[derive(Clone, Debug)]
pub struct Case {
    pub arrivals: Vec<Arrival>,
    pub rules: Rules,
    pub settings: Settings,
    pub until: Option<Time>,
}

/// SplitMix64: the same history for the same seed, on every machine and for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// A time near `hour` of the history: on the hour, or a millisecond beside it.
    fn near(&mut self, hour: u64) -> Time {
        START + hour * HOUR + self.pick(&[0, 0, 0, 1]) - self.pick(&[0, 0, 0, 1])
    }

    fn name(&mut self, percent: u64, names: &[&str]) -> Option<Text> {
        self.chance(percent).then(|| Text::new(self.pick(names)))
    }
}

/// The history of a seed. By its last two bits: orders never retire or do, facts are on time or late.
pub fn history(seed: u64) -> Case {
    let (retires, is_late) = (seed & 1 == 1, seed & 2 == 2);
    let mut dice = Dice(seed);
    let settings = settings(&mut dice, retires);
    let rules = rules(&mut dice);
    let until = dice.chance(25).then(|| START + (SPAN / 2 + dice.below(SPAN / 2)) * HOUR + dice.pick(&[0, 0, 1]));

    let (mut facts, has_rows) = (Vec::new(), dice.chance(20));
    for _ in 0..1 + dice.below(9) {
        story(&mut dice, &mut facts, has_rows);
    }
    for _ in 0..facts.len() / 5 {
        facts.push(dice.pick(&facts));
    }
    shuffle(&mut dice, &mut facts);
    // A last fact of its own order, later than all: so T is not before any logical time.
    let order = OrderId { tenant: "z".into(), order_id: "last".into() };
    let body = Body::Lifecycle { kind: EventKind::Held, origin: Origin::Event, customer_id: None };
    facts.push(Fact { order, at: START + (SPAN + 60) * HOUR, event_id: None, body });

    let arrivals = if is_late { arrive(&mut dice, facts, &settings, until) } else { on_time(facts) };
    Case { arrivals, rules, settings, until }
}

fn settings(dice: &mut Dice, retires: bool) -> Settings {
    let hours = |dice: &mut Dice, short: &[u64], long: u64| if retires { dice.pick(short) } else { long } * HOUR;
    Settings {
        transitions: dice.pick(&[Transitions::Lenient, Transitions::Lenient, Transitions::Strict]),
        grace_ms: dice.pick(&[0, 0, HOUR, 6 * HOUR, 40 * HOUR]),
        tick_ms: dice.pick(&[1, 1000, 60_000]),
        abandon_after_ms: dice.pick(&[6, 24]) * HOUR,
        expect_payments: dice.chance(80),
        retention_ms: hours(dice, &[1, 6, 12], 1000),
        // Never below the longest SLA or abandon_after: that is a configuration error.
        max_age_ms: hours(dice, &[24, 30, 36], 2000),
        horizon_ms: hours(dice, &[0, 6, 12, 24], 2000),
        windows: dice.pick(&[Window::ALL.to_vec(), Window::ALL.to_vec(), vec![Window::Hour, Window::Total]]),
    }
}

/// Short promises instead of the defaults, and up to seven rules that compete.
fn rules(dice: &mut Dice) -> Rules {
    let always = |sla, hours| SlaRule {
        sla,
        within: Within::Allowed(hours * HOUR),
        tenant: None,
        category: None,
        valid_from: None,
        applies_to_open: false,
    };
    let mut rules = vec![always(Sla::Processing, 6), always(Sla::Shipping, 12), always(Sla::Delivery, 24)];
    for _ in 0..dice.below(8) {
        let hours = dice.pick(&[1, 2, 3, 6, 12, 18, 24]);
        let from = START + dice.below(SPAN) * HOUR;
        rules.push(SlaRule {
            within: if dice.chance(20) { Within::Off } else { Within::Allowed(hours * HOUR) },
            tenant: dice.name(35, &["default", "a"]),
            category: dice.name(40, &["Hats", "Pants"]),
            valid_from: dice.chance(80).then_some(from),
            applies_to_open: dice.chance(60),
            ..always(dice.pick(&[Sla::Processing, Sla::Shipping, Sla::Delivery]), hours)
        });
    }
    Rules::with(rules)
}

/// What happens to one order over some days: the usual way, and whatever else may happen at any time.
fn story(dice: &mut Dice, facts: &mut Vec<Fact>, has_rows: bool) {
    let order = OrderId {
        tenant: dice.pick(&["default", "a", "b"]).into(),
        order_id: dice.pick(&["o1", "o2", "é,\"3\"", "0123456789abcdef0123456789abcdef"]).into(),
    };
    let mut hour = dice.below(SPAN);
    let kinds = EventKind::ALL;
    let usual = [EventKind::Placed, EventKind::ProcessingStarted, EventKind::Shipped, EventKind::Delivered];
    let mut bodies: Vec<Body> = Vec::new();
    if dice.chance(70) {
        let length = 1 + dice.below(4) as usize;
        bodies.extend(usual[..length].iter().map(|kind| lifecycle(dice, *kind, has_rows)));
    }
    for _ in 0..dice.below(9) {
        let place = dice.below(bodies.len() as u64 + 1) as usize;
        let body = match dice.below(10) {
            0..4 => {
                let kind = dice.pick(&kinds);
                lifecycle(dice, kind, has_rows)
            }
            4 => lifecycle(dice, EventKind::Held, has_rows),
            5..8 => item(dice, has_rows),
            _ => payment(dice),
        };
        bodies.insert(place, body);
    }
    for body in bodies {
        let event_id = dice.name(40, &["e1", "e2", "e3", "e4", "É"]).filter(|_| !has_rows);
        facts.push(Fact { order: order.clone(), at: dice.near(hour.min(SPAN)), event_id, body });
        // Mostly on; the steps are the durations of promises, so deadlines are hit. Sometimes the clock goes back.
        hour += dice.pick(&[0, 0, 1, 2, 3, 6, 6, 12, 24, 30]);
        hour = hour.saturating_sub(dice.pick(&[0, 0, 0, 0, 6]));
    }
}

fn lifecycle(dice: &mut Dice, kind: EventKind, has_rows: bool) -> Body {
    let origin = if has_rows { Origin::Row } else { Origin::Event };
    Body::Lifecycle { kind, origin, customer_id: dice.name(60, &["c1", "c2"]) }
}

fn item(dice: &mut Dice, has_rows: bool) -> Body {
    let product = dice.pick(&[0, 1, 2]);
    // A category that is joined depends on the product alone.
    let joined = [Some("Hats"), Some("Pants"), None][product].map(Text::new);
    Body::Item {
        item_no: dice.pick(&[1, 1, 2, 3]),
        product_id: Some(Text::new(["p0", "p1", "p2"][product])),
        product_name: dice.name(30, &["Blue Jeans", "Cap"]),
        category: if has_rows { joined } else { dice.name(80, &["Hats", "Pants", "unknown", "é"]) },
        category_joined: has_rows,
        seller_id: None,
        quantity: dice.pick(&[1, 1, 2, 10]),
        price: Money(dice.pick(&[0, 1, 25_000, 99_999_900])),
        freight: Money(dice.pick(&[0, 0, 12_345])),
    }
}

fn payment(dice: &mut Dice) -> Body {
    Body::Payment {
        seq: dice.pick(&[1, 1, 2]),
        payment_type: dice.pick(&[PaymentType::Boleto, PaymentType::CreditCard]),
        installments: dice.pick(&[1, 10]),
        value: Money(dice.pick(&[0, 1, 25_000, 49_999, 999_999_000])),
    }
}

fn shuffle(dice: &mut Dice, facts: &mut [Fact]) {
    for last in (1..facts.len()).rev() {
        facts.swap(last, dice.below(last as u64 + 1) as usize);
    }
}

/// A replay in order of `at`: t = at.
fn on_time(facts: Vec<Fact>) -> Vec<Arrival> {
    let arrival =
        |(line, fact): (u64, Fact)| Arrival { t: fact.at, too_late: false, position: Position::new(0, line), fact };
    (1..).zip(facts).map(arrival).collect()
}

/// Two partitions, each with a watermark at the largest `at` seen in it; some facts come much later than they happened.
fn arrive(dice: &mut Dice, facts: Vec<Fact>, settings: &Settings, until: Option<Time>) -> Vec<Arrival> {
    let mut queue: Vec<(Time, u64, Fact)> = Vec::new();
    for fact in facts {
        let delay = if dice.chance(60) { 0 } else { dice.pick(&[1, 6, 20, 60]) * HOUR };
        queue.push((fact.at + delay, queue.len() as u64, fact));
    }
    // The last fact closes the history, whatever its delay.
    if let Some(last) = queue.last_mut() {
        last.0 = Time::MAX;
    }
    queue.sort_by_key(|(arrived, number, _)| (*arrived, *number));
    let mut watermarks = [0; 2];
    let mut arrivals = Vec::new();
    for (line, (_, _, fact)) in (1..).zip(queue) {
        let partition = dice.below(2) as u32;
        let watermark = &mut watermarks[partition as usize];
        arrivals.push(Arrival {
            t: fact.at.max(*watermark),
            too_late: fact.at + settings.horizon_ms < *watermark,
            position: Position::new(partition, line),
            fact: fact.clone(),
        });
        // Facts after `until` are as if absent: they move no watermark.
        if until.is_none_or(|until| fact.at <= until) {
            *watermark = fact.at.max(*watermark);
        }
    }
    arrivals
}

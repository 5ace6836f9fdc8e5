//! Small cases told in a line: tokens `EVENT@HOUR`, hours counted from 2024-02-27T00:00Z.
//!
//! `+1` or `-1` stands for a millisecond beside the hour, `>HOUR` for a later logical time, `#id` for an event_id, a
//! prefix `b.` for the order `b` (`a` without one) and `x/b.` for its tenant (`t` without one). Events: P placed, F
//! confirmed, R processing, S shipped, D delivered, H held, U released, C cancelled; `I1:Hats` an item of 10.00,
//! `$1:11.00` a payment.

use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Position, Rules, Sla, SlaRule};
use dataflows::model::{Text, Within};
use dataflows::settings::{Settings, Transitions};
use dataflows::time::{Time, Window};

use super::law::Arrival;
use super::law::histories::Case;

pub const HOUR: u64 = 3_600_000;
const START: Time = 1_708_992_000_000;

/// Nothing retires within a story; SLAs of 6, 12 and 24 hours come from [`promises`].
pub fn settings() -> Settings {
    Settings {
        transitions: Transitions::Lenient,
        grace_ms: 0,
        tick_ms: 60_000,
        abandon_after_ms: 24 * HOUR,
        expect_payments: true,
        retention_ms: 1_000 * HOUR,
        max_age_ms: 2_000 * HOUR,
        horizon_ms: 2_000 * HOUR,
        windows: Window::ALL.to_vec(),
    }
}

/// Orders live 24 hours, finished ones 6, tombstones 12.
pub fn short_lives() -> Settings {
    Settings { retention_ms: 6 * HOUR, max_age_ms: 24 * HOUR, horizon_ms: 12 * HOUR, ..settings() }
}

/// A rule for everyone; 0 hours is off.
pub fn rule(sla: Sla, hours: u64, from: Option<u64>, applies_to_open: bool) -> SlaRule {
    let within = if hours == 0 { Within::Off } else { Within::Allowed(hours * HOUR) };
    let valid_from = from.map(|from| START + from * HOUR);
    SlaRule { sla, within, tenant: None, category: None, valid_from, applies_to_open }
}

/// Processing in 6 hours, shipping in 12, delivery in 24, and the rules given.
pub fn promises(others: impl IntoIterator<Item = SlaRule>) -> Rules {
    let always = [(Sla::Processing, 6), (Sla::Shipping, 12), (Sla::Delivery, 24)];
    Rules::with(always.map(|(sla, hours)| rule(sla, hours, None, false)).into_iter().chain(others))
}

/// A time as stories write it.
pub fn hour(text: &str) -> Time {
    let place = text.find(['+', '-']).unwrap_or(text.len());
    let beside: i64 = if place < text.len() { text[place..].parse().unwrap() } else { 0 };
    (START + text[..place].parse::<u64>().unwrap() * HOUR).strict_add_signed(beside)
}

/// A story as a case without an end that is given.
pub fn told(story: &str, settings: &Settings, rules: &Rules) -> Case {
    let tokens = (1..).zip(story.split_whitespace());
    let arrivals = tokens.map(|(line, token)| arrival(token, line, settings)).collect();
    Case { arrivals, rules: rules.clone(), settings: settings.clone(), until: None }
}

fn arrival(token: &str, line: u64, settings: &Settings) -> Arrival {
    let (of, token) = token.split_once('.').filter(|(of, _)| !of.contains('@')).unwrap_or(("a", token));
    let (tenant, order_id) = of.split_once('/').unwrap_or(("t", of));
    let (what, when) = token.split_once('@').unwrap();
    let (when, event_id) = when.split_once('#').map_or((when, None), |(when, id)| (when, Some(Text::new(id))));
    let (when, later) = when.split_once('>').map_or((when, None), |(when, later)| (when, Some(hour(later))));
    let (number, detail) = what[1..].split_once(':').unwrap_or((&what[1..], ""));
    let body = match &what[..1] {
        "I" => Body::Item {
            item_no: number.parse().unwrap(),
            product_id: None,
            product_name: None,
            category: (!detail.is_empty()).then(|| Text::new(detail)),
            category_joined: false,
            seller_id: None,
            quantity: 1,
            price: Money(100_000),
            freight: Money::ZERO,
        },
        "$" => Body::Payment {
            seq: number.parse().unwrap(),
            payment_type: PaymentType::Boleto,
            installments: 1,
            value: Money((detail.parse::<f64>().unwrap() * 10_000.0).round() as i128),
        },
        letter => Body::Lifecycle {
            kind: EventKind::ALL["PFRSDHUC".find(letter).unwrap()],
            origin: Origin::Event,
            customer_id: None,
        },
    };
    let order = OrderId { tenant: tenant.into(), order_id: order_id.into() };
    let fact = Fact { order, at: hour(when), event_id, body };
    let t = later.unwrap_or(fact.at).max(fact.at);
    Arrival { t, too_late: fact.at + settings.horizon_ms < t, position: Position::new(0, line), fact }
}

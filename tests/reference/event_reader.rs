//! Reads the valid lines of a file of order events and sales into facts (inputs.md, sections 2 and 3). Lenient: broken
//! lines are for the caller to leave out; shares nothing with the decoder.

use dataflows::model::{Body, EventKind, Fact, Money, OrderId, Origin, PaymentType, Text};
use dataflows::time::Time;
use serde_json::{Map, Value};

/// UTC milliseconds of a timestamp in any of the forms of inputs.md.
pub fn time(value: &Value) -> Option<Time> {
    if let Value::Number(number) = value {
        return number.as_u64();
    }
    let text = value.as_str()?.trim();
    let (date, clock) = (text.get(..10)?, text.get(11..)?);
    let parts = |text: &str, by: char| text.split(by).map(str::parse).collect::<Result<Vec<i64>, _>>().ok();
    let [year, month, day] = parts(date, '-')?[..] else { return None };
    let zone = clock.find(['Z', 'z', '+', '-']).unwrap_or(clock.len());
    let (clock, zone) = (clock[..zone].trim(), clock[zone..].to_uppercase());
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let [hour, minute, second] = parts(clock, ':')?[..] else { return None };
    let offset = match zone.trim_start_matches(['Z', '+', '-']) {
        "" => 0,
        offset => {
            let [hours, minutes] = parts(offset, ':')?[..] else { return None };
            if zone.starts_with('-') { -(hours * 60 + minutes) } else { hours * 60 + minutes }
        }
    };
    // Digits beyond milliseconds are cut.
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    // Days of the Gregorian calendar, with years that begin in March.
    let (years, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = years * 365 + years.div_euclid(4) - years.div_euclid(100) + years.div_euclid(400) - 719_468
        + (months * 153 + 2) / 5
        + day
        - 1;
    let minutes = days * 24 * 60 + hour * 60 + minute - offset;
    u64::try_from((minutes * 60 + second) * 1000 + ms).ok()
}

/// Decimal text in ten-thousandths.
pub fn money(value: &Value) -> Option<Money> {
    let text = text(value)?.to_lowercase();
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let shift = exponent.parse::<i32>().ok()? + 4 - i32::try_from(fraction.len()).ok()?;
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let power = 10_i128.pow(shift.unsigned_abs());
    Some(Money(if shift < 0 { number / power } else { number * power }))
}

/// Trimmed text of a string or number; none where empty.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

struct Record(Map<String, Value>);

impl Record {
    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).and_then(text)
    }

    fn id(&self, name: &str) -> Option<Text> {
        self.text(name).map(|text| Text::new(&text))
    }

    /// Product names and categories: only JSON strings count.
    fn words(&self, name: &str) -> Option<Text> {
        self.0.get(name).filter(|value| value.is_string()).and_then(text).map(|text| Text::new(&text))
    }

    fn integer<T: TryFrom<i128>>(&self, name: &str, default: i128) -> T {
        let number = self.0.get(name).and_then(money).map_or(default, |money| money.0 / 10_000);
        T::try_from(number).ok().expect("a valid line")
    }

    fn money(&self, name: &str) -> Money {
        self.0.get(name).and_then(money).unwrap_or(Money::ZERO)
    }

    fn lifecycle(&self, kind: EventKind) -> Body {
        Body::Lifecycle { kind, origin: Origin::Event, customer_id: self.id("customer_id") }
    }

    fn item(&self, item_no: u16, name: &str) -> Body {
        Body::Item {
            item_no,
            product_id: self.id("product_id"),
            product_name: self.words(name),
            category: self.words("item_category").filter(|_| name == "item_name"),
            category_joined: false,
            seller_id: None,
            quantity: self.integer("quantity", 1),
            price: self.money("price"),
            freight: self.money("freight"),
        }
    }

    fn payment(&self, seq: u16, payment_type: &str, value: &str) -> Body {
        let name = self.text(payment_type).unwrap().to_lowercase();
        Body::Payment {
            seq,
            payment_type: PaymentType::ALL.into_iter().find(|known| known.name() == name).unwrap(),
            installments: self.integer("installments", 1),
            value: self.money(value),
        }
    }

    fn bodies(&self) -> Vec<Body> {
        let kind = match self.text("event_type").map(|name| name.to_uppercase()).as_deref() {
            Some("ITEM_ADDED") => return vec![self.item(self.integer("item_no", 0), "item_name")],
            Some("PAYMENT_RECEIVED") => {
                return vec![self.payment(self.integer("payment_seq", 0), "payment_type", "value")];
            }
            Some(name) => EventKind::ALL.into_iter().find(|known| known.name() == name).unwrap(),
            None => return self.sale(),
        };
        let mut bodies = vec![self.lifecycle(kind)];
        if kind == EventKind::Placed && self.words("item_name").is_some() && self.text("price").is_some() {
            let mut item = self.item(1, "item_name");
            // The format has no freight.
            if let Body::Item { freight, .. } = &mut item {
                *freight = Money::ZERO;
            }
            bodies.push(item);
        }
        bodies
    }

    fn sale(&self) -> Vec<Body> {
        let kind = match self.text("status").unwrap().to_lowercase().as_str() {
            "pending" => EventKind::Placed,
            "confirmed" => EventKind::Confirmed,
            "processing" => EventKind::ProcessingStarted,
            "shipped" => EventKind::Shipped,
            "delivered" => EventKind::Delivered,
            "cancelled" => EventKind::Cancelled,
            other => panic!("no valid status: {other}"),
        };
        let mut bodies = vec![self.lifecycle(kind)];
        if kind == EventKind::Placed {
            let mut item = self.item(1, "product_name");
            if let Body::Item { freight, .. } = &mut item {
                *freight = Money::ZERO;
            }
            let mut payment = self.payment(1, "payment_method", "total");
            if let Body::Payment { installments, .. } = &mut payment {
                *installments = 1;
            }
            bodies.extend([item, payment]);
        }
        bodies
    }
}

/// The facts of one valid line.
pub fn facts(line: &str) -> Vec<Fact> {
    let record = Record(serde_json::from_str(line).unwrap());
    let order = OrderId {
        tenant: record.id("tenant").unwrap_or_else(|| "default".into()),
        order_id: record.id("order_id").unwrap(),
    };
    let at = time(&record.0["timestamp"]).unwrap();
    let fact = |body| Fact { order: order.clone(), at, event_id: record.id("event_id"), body };
    record.bodies().into_iter().map(fact).collect()
}

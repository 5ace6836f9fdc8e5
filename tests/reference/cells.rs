//! How values are written in tables (outputs.md): times, durations, money, averages and rates.

use dataflows::model::{EventKind, Money, PaymentType, Sla, Status, Verdict};
use dataflows::time::Time;

/// RFC 3339 UTC with milliseconds.
pub fn time(at: Time) -> String {
    let (days, ms) = (at / 86_400_000, at % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Empty is null.
pub fn time_or_empty(at: Option<Time>) -> String {
    at.map(time).unwrap_or_default()
}

/// The date that many days after 1970-01-01, found by walking the years and months.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    (year, month as u64 + 1, days + 1)
}

/// Seconds, decimal, at most 3 places, no trailing zeros.
pub fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Money: 2 to 4 decimals as needed. The amount is in ten-thousandths.
pub fn money(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let mut text = format!("{sign}{}.{:04}", amount.abs() / 10_000, amount.abs() % 10_000);
    while text.ends_with('0') && text.len() - text.find('.').unwrap_or(0) > 3 {
        text.pop();
    }
    text
}

/// The amount inside the type.
pub fn amount(money: Money) -> i128 {
    money.0
}

/// An average of money: 2 places, half up; denominator 0 is empty.
pub fn average(total: i128, count: i128) -> String {
    if count == 0 { String::new() } else { hundredths(half_up(total, count * 100)) }
}

/// A rate is a percentage: 2 places, half up; denominator 0 is empty.
pub fn rate(part: i128, whole: i128) -> String {
    if whole == 0 { String::new() } else { hundredths(half_up(part * 10_000, whole)) }
}

fn half_up(numerator: i128, denominator: i128) -> i128 {
    (2 * numerator + denominator).div_euclid(2 * denominator)
}

fn hundredths(value: i128) -> String {
    format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100)
}

/// Names of events as inputs.md spells them.
pub fn event(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Placed => "ORDER_PLACED",
        EventKind::Confirmed => "ORDER_CONFIRMED",
        EventKind::ProcessingStarted => "PROCESSING_STARTED",
        EventKind::Shipped => "ITEM_SHIPPED",
        EventKind::Delivered => "ITEM_DELIVERED",
        EventKind::Held => "ORDER_HELD",
        EventKind::Released => "ORDER_RELEASED",
        EventKind::Cancelled => "ORDER_CANCELLED",
    }
}

/// Names of statuses: the stage names, `CANCELLED`, `UNPLACED`.
pub fn status(status: Status) -> &'static str {
    match status {
        Status::Unplaced => "UNPLACED",
        Status::Order => "ORDER",
        Status::Processing => "PROCESSING",
        Status::Shipped => "SHIPPED",
        Status::Delivered => "DELIVERED",
        Status::Cancelled => "CANCELLED",
    }
}

/// Names of verdicts as section 3 spells them.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Repeated => "repeated",
        Verdict::AfterCancellation => "after_cancellation",
        Verdict::CancelAfterDelivery => "cancel_after_delivery",
        Verdict::NotPlaced => "not_placed",
        Verdict::SkippedStage => "skipped_stage",
        Verdict::Backward => "backward",
    }
}

/// Names of SLAs as section 4 spells them.
pub fn sla(sla: Sla) -> &'static str {
    match sla {
        Sla::Processing => "processing",
        Sla::Shipping => "shipping",
        Sla::Delivery => "delivery",
    }
}

/// Names of payment types as inputs.md spells them.
pub fn payment_type(payment_type: PaymentType) -> &'static str {
    match payment_type {
        PaymentType::CreditCard => "credit_card",
        PaymentType::Boleto => "boleto",
        PaymentType::Voucher => "voucher",
        PaymentType::DebitCard => "debit_card",
        PaymentType::NotDefined => "not_defined",
        PaymentType::Paypal => "paypal",
        PaymentType::ApplePay => "apple_pay",
        PaymentType::GooglePay => "google_pay",
        PaymentType::BankTransfer => "bank_transfer",
    }
}

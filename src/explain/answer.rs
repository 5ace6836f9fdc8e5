//! The answer: one or two sentences for someone who is asked where an order is.

use dataflows::model::digits::instant_in_words;
use dataflows::model::{Sla, Stage, Status};
use dataflows::orders::sla::{Assessment, Outcome};
use dataflows::orders::view::View;
use dataflows::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Time};

use super::report::Report;

/// What is promised and, done, how it is called.
const PROMISES: [(Sla, &str, &str); 3] = [
    (Sla::Delivery, "Delivery", "delivered"),
    (Sla::Shipping, "Shipping", "shipped"),
    (Sla::Processing, "Processing", "processed"),
];

/// The answer that the evidence of `report` comes to; `view` is the order as it stands at `end`.
pub fn of(report: &Report, view: Option<View>, end: Time) -> String {
    let order = format!("Order {}", report.order_id);
    let refused = |perhaps: bool| {
        let records = report.refused.iter().filter(|record| record.perhaps == perhaps && !record.is_conflict());
        records.count()
    };
    let (refused, perhaps_refused) = (refused(false), refused(true));
    let perhaps = match perhaps_refused {
        0 => String::new(),
        1 => " One refused record that cannot be read is perhaps of it.".into(),
        _ => format!(" {perhaps_refused} refused records that cannot be read are perhaps of it."),
    };
    let Some(view) = view else {
        return match refused {
            0 => format!("{order} is named in no record that can be read.{perhaps}"),
            _ => format!("{order} is named in records, but none of them was accepted: {refused} refused.{perhaps}"),
        };
    };
    let (first, told) = stands(&view, end);
    let mut sentences = vec![format!("{order} {first}.")];
    for (sla, promise, _) in PROMISES.into_iter().filter(|(sla, _, _)| Some(*sla) != told) {
        let Some((breach, deadline_at)) = due(&view, sla).filter(|(breach, _)| breach.outcome.is_breach()) else {
            continue;
        };
        let overdue = span(breach.resolved_at().unwrap_or(end).saturating_sub(deadline_at));
        sentences.push(match breach.outcome {
            Outcome::MetLate => format!("{promise} was {overdue} late."),
            Outcome::BreachedCancelled => format!("{promise} was {overdue} overdue when it was cancelled."),
            _ => format!("{promise} is {overdue} overdue, too."),
        });
    }
    if view.outlook.stalled_at.is_some() {
        let heard_at = instant_in_words(view.state.last_event_at);
        sentences.push(format!("Nothing has been heard of it since {heard_at}: it is no longer followed."));
    }
    for (count, what) in [(refused, "refused"), (report.conflicts.len(), "overruled by another one")] {
        match count {
            0 => {}
            1 => sentences.push(format!("One record of it was {what}.")),
            _ => sentences.push(format!("{count} records of it were {what}.")),
        }
    }
    sentences.join(" ") + &perhaps
}

/// How an order stands, and the promise that was told with it.
fn stands(view: &View, end: Time) -> (String, Option<Sla>) {
    let fold = &view.state.fold;
    let at = |time: Option<Time>| instant_in_words(time.unwrap_or_default());
    match view.state.status() {
        Status::Unplaced => {
            let heard_at = instant_in_words(view.state.last_event_at);
            (
                format!(
                    "is not known to be placed: there are records of it, the last of {heard_at}, but no ORDER_PLACED"
                ),
                None,
            )
        }
        Status::Cancelled => {
            let (placed_at, cancelled_at) = (fold.placed_at().unwrap_or(0), fold.cancelled_at());
            let after = cancelled_at.and_then(|cancelled_at| cancelled_at.checked_sub(placed_at));
            let after = after.map_or_else(String::new, |after| format!(", {} after it was placed", span(after)));
            (format!("was cancelled at {}{after}", at(cancelled_at)), None)
        }
        Status::Delivered => {
            let delivered_at = fold.reached_at(Stage::Delivered).unwrap_or_default();
            let delivered = instant_in_words(delivered_at);
            let words = match due(view, Sla::Delivery) {
                None => format!("was delivered at {delivered}"),
                Some((_, due_at)) if delivered_at <= due_at => {
                    let (due, spare) = (instant_in_words(due_at), span(due_at - delivered_at));
                    format!(
                        "was delivered in time: delivery was promised by {due}; it was delivered at {delivered}, {spare} earlier"
                    )
                }
                Some((_, due_at)) => {
                    let (due, overdue) = (instant_in_words(due_at), span(delivered_at - due_at));
                    format!(
                        "was delivered late: delivery was promised by {due}; it was delivered at {delivered}, {overdue} later"
                    )
                }
            };
            (words, Some(Sla::Delivery))
        }
        status => underway(view, status, end),
    }
}

fn underway(view: &View, status: Status, end: Time) -> (String, Option<Sla>) {
    let where_it_is = match status {
        Status::Shipped => "is with the carrier",
        Status::Processing => "is being processed",
        _ => "is placed and waits to be processed",
    };
    let now = instant_in_words(end);
    let open =
        |(sla, _, _): &(Sla, &str, &str)| due(view, *sla).filter(|(breach, _)| breach.outcome == Outcome::BreachedOpen);
    if let Some((promise, (_, due_at))) = PROMISES.iter().find_map(|promise| Some((promise, open(promise)?))) {
        let (sla, _, done) = *promise;
        let (due, overdue) = (instant_in_words(due_at), span(end.saturating_sub(due_at)));
        let words =
            format!("is late: {} was promised by {due}; at {now}, {overdue} later, it has not been {done}", sla.name());
        return (format!("{words}, and {where_it_is}"), Some(sla));
    }
    let held_at = view.state.fold.holds().last().filter(|hold| hold.released_at.is_none()).map(|hold| hold.held_at);
    let words = match (held_at, due(view, Sla::Delivery)) {
        (Some(held_at), _) => {
            format!("{where_it_is}, on hold since {}: its deadlines stand still", instant_in_words(held_at))
        }
        (None, Some((_, due_at))) if due_at >= end => {
            let (due, left) = (instant_in_words(due_at), span(due_at - end));
            format!("{where_it_is}: delivery is promised by {due}, {left} after the end of what is known, {now}")
        }
        _ => format!("{where_it_is}, as of {now}"),
    };
    (words, None)
}

/// An SLA that exists and has a deadline.
fn due(view: &View, sla: Sla) -> Option<(&Assessment, Time)> {
    let assessment = view.outlook.slas[sla as usize].as_ref()?;
    Some((assessment, assessment.deadline_at()?))
}

/// A length of time in its two largest units: `2 d 3 h`, `45 min 10 s`.
pub fn span(milliseconds: u64) -> String {
    let units = [(DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s"), (1, "ms")];
    let first = units.iter().position(|(length, _)| milliseconds >= *length).unwrap_or(units.len() - 1);
    let (length, name) = units[first];
    let mut text = format!("{} {name}", milliseconds / length);
    if let Some((smaller, name)) = units.get(first + 1)
        && milliseconds % length >= *smaller
    {
        text += &format!(" {} {name}", milliseconds % length / smaller);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_two_units() {
        let shown = [0, 1_500, 60_000, 3_600_000 * 51 + 59_000, 3_600_000 * 51].map(span);
        assert_eq!(shown, ["0 ms", "1 s 500 ms", "1 min", "2 d 3 h", "2 d 3 h"]);
    }
}

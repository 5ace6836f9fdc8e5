//! Rows on their way from the graph to the publisher: as text, a key and the rest.
//!
//! Invariant: of one key and time there is one update, what it comes to; none where that is what stood before.

use dataflows::orders::driver::Emitted;
use dataflows::time::{Diff, Time};
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::{Collection, Row};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::publisher::Update;
use crate::sink::change::Change;
use crate::sink::text_row;

/// The text of most rows takes no more, in bytes.
const ROW_BYTES: usize = 512;

/// The row is there from now on, or no longer.
pub fn change<R: Row>(row: &R, stands: bool) -> Change {
    let (key, rest) = split(row, &mut String::with_capacity(ROW_BYTES));
    Change { collection: &const { Collection::of::<R>() }, key, row: stands.then_some(rest) }
}

/// A row as text: its key, and the rest. The text is written to `scratch` first, so that what is kept fits.
fn split<R: Row>(row: &R, scratch: &mut String) -> (Box<str>, Box<str>) {
    scratch.clear();
    let key_bytes = text_row::write(row, scratch);
    let (key, rest) = scratch.split_at(key_bytes);
    (key.into(), rest.into())
}

/// Rows of orders that stand, as updates.
pub fn rows_that_stood(shown: Emitted) -> Vec<Update> {
    let mut rows = Vec::new();
    rows.extend(rows_of(shown.orders));
    rows.extend(rows_of(shown.order_events));
    rows.extend(rows_of(shown.violations));
    rows.extend(rows_of(shown.sla_breaches));
    rows.extend(rows_of(shown.stalled_orders));
    rows
}

/// The rest of a row that stood before, or stands after; none where none does.
type Rest = Option<Box<str>>;

/// Rows of orders that come and go, as updates: of one key and time what it comes to.
pub fn rows_of<R: Row>(updates: Vec<(R, Time, Diff)>) -> impl Iterator<Item = Update> {
    let number = COLLECTIONS.iter().position(|collection| collection.name == R::NAME).unwrap_or_default() as u8;
    let mut last: HashMap<(Time, Box<str>), [Rest; 2]> = HashMap::with_capacity(updates.len());
    let mut scratch = String::with_capacity(ROW_BYTES);
    for (row, time, diff) in updates {
        let (key, rest) = split(&row, &mut scratch);
        match last.entry((time, key)) {
            Entry::Vacant(place) => _ = place.insert(if diff > 0 { [None, Some(rest)] } else { [Some(rest), None] }),
            Entry::Occupied(mut place) => {
                let [_, after] = place.get_mut();
                if diff > 0 {
                    *after = Some(rest);
                } else {
                    after.take_if(|after| *after == rest);
                }
            }
        }
    }
    last.into_iter()
        .filter(|(_, [before, after])| before != after)
        .map(move |((time, key), [_, after])| Update::Row(number, time, key, after))
}

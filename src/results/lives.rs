//! Lives: orders as they stand, key by key, and the rows that these make.
//!
//! An order has one life, and another one each time that its key is used again after it has retired. Invariant: rows of an
//! order come in their order; where two lives make rows of one key, the later life's is the one.

use std::cmp::Reverse;
use std::ops::Range;

use dataflows::model::{OrderId, Text};
use dataflows::orders::outlook::Law;
use dataflows::orders::standing::Standing;
use dataflows::orders::view::View;
use dataflows::time::Time;
use dataflows::views::collection::Row;

use super::standing::{Groups, Latest, Standing as _};
use super::{Results, Table};
use crate::error::JobResult;
use crate::gathered::{STANDING, cannot, text_of, unpacked};
use crate::sink::text_row;

/// How many columns name an order.
const KEY_COLUMNS: usize = 2;

/// An order as it stands in the end, or stood at the end of an earlier life.
pub struct Life {
    /// When it came to stand so.
    since: Time,
    /// Its facts, and as of when.
    pub standing: Standing,
    /// What they come to.
    pub view: View,
}

/// The lives of all orders, order by order.
pub struct Lives<'r> {
    groups: Groups<'r>,
    law: &'r Law,
    gathered: Latest,
    order: OrderId,
    lives: Vec<Life>,
}

impl<'r> Lives<'r> {
    /// Those in these results.
    pub fn of(results: &'r Results) -> JobResult<Lives<'r>> {
        let runs = results.gathered.iter().filter_map(|gathered| gathered.rows.get(STANDING));
        let groups = Groups::of(runs, KEY_COLUMNS).map_err(|error| cannot("read", &error))?;
        let order = OrderId { tenant: Text::default(), order_id: Text::default() };
        Ok(Lives { groups, law: &results.law, gathered: Latest::default(), order, lives: Vec::new() })
    }

    /// Goes on to the next order; none where there is none.
    pub fn next(&mut self) -> JobResult<Option<(&OrderId, &[Life])>> {
        let Lives { groups, law, gathered, order, lives } = self;
        if !groups.begin() {
            return Ok(None);
        }
        gathered.clear();
        groups.updates(|time, rest, diff| gathered.add(time, rest, diff))?;
        *order = text_row::read_order(text_of(groups.key())?);
        let mut views: Vec<View> = lives.drain(..).map(|life| life.view).collect();
        for (rest, since) in gathered.standing() {
            let standing: Standing = unpacked(rest)?;
            let mut view = views.pop().unwrap_or_default();
            standing.look(order, law, &mut view);
            lives.push(Life { since, standing, view });
        }
        Ok(Some((order, lives)))
    }
}

/// The rows of one order's lives in one collection; kept for their allocations.
#[derive(Default)]
pub struct RowsOfLives {
    text: String,
    rows: Vec<RowOfLife>,
}

/// Where the text of a row and that of its key lie, and since when its life stands.
struct RowOfLife {
    row: Range<usize>,
    key: Range<usize>,
    since: Time,
}

impl RowsOfLives {
    /// Writes the rows that `make` makes of each of these lives.
    pub fn write<R: Row>(
        &mut self,
        lives: &[Life],
        table: &mut Table<'_>,
        make: impl Fn(&Life, &mut dyn FnMut(R)),
    ) -> JobResult<()> {
        let RowsOfLives { text, rows } = self;
        text.clear();
        rows.clear();
        for life in lives {
            make(life, &mut |row| {
                let start = text.len();
                let key_bytes = text_row::write(&row, text);
                rows.push(RowOfLife { row: start..text.len(), key: start..start + key_bytes, since: life.since });
            });
        }
        if rows.len() > 1 {
            let key = |row: &RowOfLife| &text[row.key.clone()];
            rows.sort_unstable_by(|left, right| {
                let by_life = || Reverse(left.since).cmp(&Reverse(right.since));
                let by_rest = || text[left.row.clone()].cmp(&text[right.row.clone()]);
                key(left).cmp(key(right)).then_with(by_life).then_with(by_rest)
            });
            rows.dedup_by(|row, kept| key(row) == key(kept));
        }
        rows.iter().try_for_each(|row| table.write(&text[row.row.clone()]))
    }
}

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
use dataflows::views::sla_breaches::{self, SlaBreachRow};

use super::Results;
use super::standing::{Groups, Latest, Standing as _};
use crate::error::JobResult;
use crate::gathered::{STANDING, cannot, text_of, unpacked};
use crate::sink::text_row;

/// How much of orders is read at a time: less, and threads wait for their turns too often.
const PORTION_BYTES: usize = 1 << 17;

/// An order as it stands in the end, or stood at the end of an earlier life.
pub struct Life {
    /// When it came to stand so.
    since: Time,
    /// Its facts, and as of when.
    pub standing: Standing,
    /// What they come to.
    pub view: View,
    /// Its breaches, which are rows of two collections.
    pub breaches: Vec<SlaBreachRow>,
}

impl Life {
    /// Grows from life to life of an order. One may come to stand for good when the next begins: it is seen as of earlier.
    fn succession(&self) -> [Time; 2] {
        [self.since, self.standing.as_of]
    }
}

/// The lives of one order.
#[derive(Clone, Copy)]
pub struct OrderLives<'l> {
    /// Which order.
    pub order: &'l OrderId,
    /// The text with which its rows begin.
    key: &'l str,
    lives: &'l [Life],
}

/// What was gathered of orders that nobody has looked at yet.
pub struct Unread<'r> {
    groups: Groups<'r>,
    gathered: Latest,
    portions: u64,
}

/// How some orders stand, one after the other.
#[derive(Default)]
struct Portion {
    bytes: Vec<u8>,
    standing: Vec<(Range<usize>, Time)>,
    orders: Vec<OrderOfPortion>,
}

/// Where its key lies, and which of those that stand are its own.
struct OrderOfPortion {
    key: Range<usize>,
    standing: Range<usize>,
}

/// The lives of the orders of a portion, order by order; kept for its allocations.
pub struct Lives<'r> {
    law: &'r Law,
    portion: Portion,
    next: usize,
    order: OrderId,
    lives: Vec<Life>,
}

impl<'r> Unread<'r> {
    /// All orders in these results.
    pub fn of(results: &'r Results) -> JobResult<Unread<'r>> {
        let runs = results.gathered.iter().filter_map(|gathered| gathered.rows.get(STANDING));
        let groups = Groups::of(runs, text_row::COLUMNS_OF_ORDER).map_err(|error| cannot("read", &error))?;
        Ok(Unread { groups, gathered: Latest::default(), portions: 0 })
    }
}

impl<'r> Lives<'r> {
    /// None yet.
    pub fn new(law: &'r Law) -> Lives<'r> {
        let order = OrderId { tenant: Text::default(), order_id: Text::default() };
        Lives { law, portion: Portion::default(), next: 0, order, lives: Vec::new() }
    }

    /// Takes the next portion of what is unread, and gives its number; none where nothing is left.
    pub fn read(&mut self, unread: &mut Unread<'_>) -> JobResult<Option<u64>> {
        let (Portion { bytes, standing, orders }, Unread { groups, gathered, portions }) = (&mut self.portion, unread);
        bytes.clear();
        standing.clear();
        orders.clear();
        self.next = 0;
        while bytes.len() < PORTION_BYTES && groups.begin() {
            let (key, first) = (bytes.len()..bytes.len() + groups.key().len(), standing.len());
            bytes.extend_from_slice(groups.key());
            gathered.clear();
            groups.updates(|time, rest, diff| gathered.add(time, rest, diff))?;
            for (rest, since) in gathered.standing() {
                standing.push((bytes.len()..bytes.len() + rest.len(), since));
                bytes.extend_from_slice(rest);
            }
            orders.push(OrderOfPortion { key, standing: first..standing.len() });
        }
        *portions += 1;
        Ok((!orders.is_empty()).then_some(*portions - 1))
    }

    /// Goes on to the next order of the portion; none where there is none.
    pub fn next(&mut self) -> JobResult<Option<OrderLives<'_>>> {
        let Lives { law, portion: Portion { bytes, standing, orders }, next, order, lives } = self;
        let Some(OrderOfPortion { key, standing: own }) = orders.get(*next) else { return Ok(None) };
        *next += 1;
        let key = text_of(&bytes[key.clone()])?;
        *order = text_row::read_order(key);
        let mut views: Vec<View> = lives.drain(..).map(|life| life.view).collect();
        for (rest, since) in &standing[own.clone()] {
            let (standing, since): (Standing, Time) = (unpacked(&bytes[rest.clone()])?, *since);
            let mut view = views.pop().unwrap_or_default();
            standing.look(order, law, &mut view);
            let breaches = sla_breaches::rows(order, &view, &standing.facts).collect();
            lives.push(Life { since, standing, view, breaches });
        }
        Ok(Some(OrderLives { order, key, lives }))
    }
}

/// The rows of one collection that the lives of some orders make; kept for their allocations.
#[derive(Default)]
pub struct Sheet {
    text: String,
    rows: Vec<RowOfLife>,
}

/// Where the text of a row and that of its key lie, and where its life comes among those of its order.
struct RowOfLife {
    row: Range<usize>,
    key: Range<usize>,
    succession: [Time; 2],
}

impl Sheet {
    /// Nothing is on it.
    pub fn clear(&mut self) {
        self.text.clear();
        self.rows.clear();
    }

    /// Adds the rows that `make` makes of each life of an order, which comes after those before.
    pub fn add<R: Row>(&mut self, of: OrderLives<'_>, make: impl Fn(&Life, &mut dyn FnMut(&R))) {
        let Sheet { text, rows } = self;
        let first = rows.len();
        for life in of.lives {
            make(life, &mut |row| {
                let start = text.len();
                let key_bytes = text_row::write_of_order(row, of.key, text);
                rows.push(RowOfLife {
                    row: start..text.len(),
                    key: start..start + key_bytes,
                    succession: life.succession(),
                });
            });
        }
        if rows.len() > first + 1 {
            rows[first..].sort_unstable_by(|left, right| {
                let by_life = || Reverse(left.succession).cmp(&Reverse(right.succession));
                let by_rest = || text[left.row.clone()].cmp(&text[right.row.clone()]);
                text[left.key.clone()].cmp(&text[right.key.clone()]).then_with(by_life).then_with(by_rest)
            });
        }
    }

    /// The texts of its rows, in order; of one key the first, which is the later life's.
    pub fn rows(&self) -> impl Iterator<Item = &str> {
        let mut before = None;
        self.rows.iter().filter_map(move |row| {
            let key = &self.text[row.key.clone()];
            (before.replace(key) != Some(key)).then(|| &self.text[row.row.clone()])
        })
    }
}

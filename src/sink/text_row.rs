//! A row as text: the text of its cells in the order of columns (outputs.md), each ended by a NUL.
//!
//! It is what every sink gets: quick to make, to keep on disk and to write on. Invariant: two rows of a collection are
//! ordered bytewise as their cells are, column by column, and columns of the key come first. A text may hold any
//! character: NUL stands in it as two, and so does what announces that.

use std::borrow::Cow;

use dataflows::model::{OrderId, Text};
use dataflows::views::collection::{Cell, Column, Row, TakeCells};
use memchr::{memchr, memchr_iter, memchr2, memchr3, memrchr};

use super::cell;

/// Ends a cell.
const END: char = '\0';
/// In a text it stands before another character that says what is meant.
const ESCAPE: char = '\u{1}';
/// After [`ESCAPE`]: the two characters that a text cannot hold as they are, in their order.
const ESCAPED: [(char, char); 2] = [(END, '\u{1}'), (ESCAPE, '\u{2}')];

/// A row as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextRow<'t>(&'t str);

impl<'t> TextRow<'t> {
    /// The row that [`write()`] wrote.
    pub fn new(text: &'t str) -> TextRow<'t> {
        TextRow(text)
    }

    /// All of it, as it was written.
    pub fn text(self) -> &'t str {
        self.0
    }

    /// Its cells' text, one a column.
    pub fn cells(self) -> impl Iterator<Item = Cow<'t, str>> {
        let mut start = 0;
        let has_escapes = memchr(ESCAPE as u8, self.0.as_bytes()).is_some();
        memchr_iter(END as u8, self.0.as_bytes()).map(move |end| {
            // What ends a cell is one byte, so a cell is whole characters.
            let cell = self.0.get(start..end).unwrap_or_default();
            start = end + 1;
            if has_escapes { unescaped(cell) } else { Cow::Borrowed(cell) }
        })
    }

    /// Its first cells, as many as hold neither one of the `special` characters nor anything that had to be escaped, as they
    /// are, each ended by NUL; and the row of the others.
    pub fn plain(self, special: [u8; 4]) -> (&'t str, TextRow<'t>) {
        let [first, second, third, fourth] = special;
        let bytes = self.0.as_bytes();
        let plain = memchr3(first, second, third, bytes).unwrap_or(bytes.len());
        let plain = memchr2(fourth, ESCAPE as u8, &bytes[..plain]).unwrap_or(plain);
        // What ends a cell is one byte, so a cell is whole characters.
        let cells = memrchr(END as u8, &bytes[..plain]).map_or(0, |end| end + 1);
        let (cells, others) = self.0.split_at_checked(cells).unwrap_or(("", self.0));
        (cells, TextRow(others))
    }
}

/// How many columns name an order, in front of all others.
pub const COLUMNS_OF_ORDER: usize = 2;

/// How many bytes the first columns of a row take, which are its key.
pub fn key_bytes(row: &[u8], key_columns: usize) -> usize {
    memchr_iter(END as u8, row).take(key_columns).last().map_or(0, |end| end + 1)
}

/// Appends a row; how many bytes of that are its key.
pub fn write<R: Row>(row: &R, text: &mut String) -> usize {
    write_after(0, "", row, text)
}

/// The same of a row of an order whose rows begin with what [`write_order`] wrote.
pub fn write_of_order<R: Row>(row: &R, order: &str, text: &mut String) -> usize {
    write_after(COLUMNS_OF_ORDER, order, row, text)
}

/// The same of a row whose first cells have been written.
fn write_after<R: Row>(cells: usize, written: &str, row: &R, text: &mut String) -> usize {
    let start = text.len();
    text.push_str(written);
    let mut taker = CellWriter { text, written: cells, key_end: start + written.len() };
    row.each_cell(&mut taker);
    taker.key_end - start
}

/// Appends cells, but for some that have been written.
struct CellWriter<'t> {
    text: &'t mut String,
    written: usize,
    key_end: usize,
}

impl TakeCells for CellWriter<'_> {
    // Of each column the compiler knows what its cell is: nothing is left to be told apart where that is here.
    #[inline(always)]
    fn take(&mut self, column: &'static Column, cell: Cell<'_>) {
        if self.written > 0 {
            self.written -= 1;
            return;
        }
        write_cell(&cell, self.text);
        if column.is_key {
            self.key_end = self.text.len();
        }
    }
}

/// Appends the cells with which the rows of an order begin.
pub fn write_order(order: &OrderId, text: &mut String) {
    [&order.order_id, &order.tenant].into_iter().for_each(|part| write_cell(&Cell::Text(part), text));
}

/// The order whose rows begin with these cells.
pub fn read_order(text: &str) -> OrderId {
    let mut cells = TextRow::new(text).cells().map(|cell| Text::new(&cell));
    let (order_id, tenant) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
    OrderId { tenant, order_id }
}

/// Appends a cell.
#[inline(always)] // see [`CellWriter`]
pub fn write_cell(cell: &Cell<'_>, text: &mut String) {
    match cell {
        Cell::Text(value) => write_text(value.as_str_in(&mut [0; 32]), text),
        Cell::Sentence(sentence) => write_text(sentence, text),
        _ => {
            cell::write_text(cell, text);
            text.push(END);
        }
    }
}

/// Appends a cell of this text.
pub fn write_text(cell: &str, text: &mut String) {
    if memchr2(END as u8, ESCAPE as u8, cell.as_bytes()).is_none() {
        text.push_str(cell);
    } else {
        for character in cell.chars() {
            match ESCAPED.iter().find(|(meant, _)| *meant == character) {
                Some((_, code)) => text.extend([ESCAPE, *code]),
                None => text.push(character),
            }
        }
    }
    text.push(END);
}

fn unescaped(text: &str) -> Cow<'_, str> {
    let mut meant = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let code = if character == ESCAPE { characters.next() } else { None };
        let found = ESCAPED.iter().find(|(_, known)| Some(*known) == code);
        meant.push(found.map_or(character, |(meant, _)| *meant));
    }
    Cow::Owned(meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(cells: &[String]) -> String {
        let mut text = String::new();
        cells.iter().for_each(|cell| write_text(cell, &mut text));
        text
    }

    proptest! {
        #[test]
        fn cells_come_back_and_rows_are_ordered_as_their_cells(
            left in prop::collection::vec("[\u{0}-\u{3}ab]{0,4}|.{0,5}", 3),
            right in prop::collection::vec("[\u{0}-\u{3}ab]{0,4}|.{0,5}", 3),
        ) {
            let (one, other) = (written(&left), written(&right));
            prop_assert_eq!(TextRow::new(&one).cells().collect::<Vec<_>>(), left.clone());
            let bytes = |cells: &[String]| cells.iter().map(|cell| cell.clone().into_bytes()).collect::<Vec<_>>();
            prop_assert_eq!(one.as_bytes().cmp(other.as_bytes()), bytes(&left).cmp(&bytes(&right)));
        }
    }
}

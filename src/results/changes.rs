//! Changes: what was inserted and deleted when, in the order of time.
//!
//! Gathered updates are looked at key by key: at each time the rows that stand then are held against those that stood
//! before, and the difference is sorted once more, by time, within bounded memory. Invariant: added up to a time, changes
//! are the rows that stand then; of one row no more than one change is at a time, and deletions stand before insertions.

use dataflows::time::{Diff, Time};
use dataflows::views::collection::Cell;

use super::standing::{Groups, Standing};
use crate::error::JobResult;
use crate::gathered::cannot;
use crate::runs::{Merge, Runs};
use crate::sink::text_row;

/// Changes as byte strings: time, key, whether it is an insertion, the rest of the row.
pub struct Changes(Runs);

/// The changes that these updates make, all of them at `end` at the latest.
pub fn changes_of(
    mut groups: Groups<'_>,
    mut standing: impl Standing,
    end: Time,
    memory_bytes: usize,
) -> JobResult<Changes> {
    let mut changes = Runs::default();
    let (mut before, mut key) = (Vec::new(), Vec::new());
    while groups.begin() {
        key.clear();
        key.extend_from_slice(groups.key());
        before.clear();
        standing.clear();
        let mut last = None;
        groups.updates(|time, rest, diff| {
            let counts_at = time.min(end);
            if let Some(last) = last.replace(counts_at).filter(|last| *last < counts_at) {
                settle(last, &key, &standing, &mut before, &mut changes, memory_bytes)?;
            }
            standing.add(time, rest, diff)
        })?;
        if let Some(last) = last {
            settle(last, &key, &standing, &mut before, &mut changes, memory_bytes)?;
        }
    }
    changes.sort();
    Ok(Changes(changes))
}

/// Notes the difference between the rows of a key that stood before and those that stand at `time`.
fn settle(
    time: Time,
    key: &[u8],
    standing: &impl Standing,
    before: &mut Vec<Vec<u8>>,
    changes: &mut Runs,
    memory_bytes: usize,
) -> JobResult<()> {
    let mut after: Vec<Vec<u8>> = Vec::new();
    standing.rows(key, &mut |rest| {
        after.push(rest.to_vec());
        Ok(())
    })?;
    let mut note = |rows: &[Vec<u8>], others: &[Vec<u8>], is_insertion: bool| {
        for (place, row) in rows.iter().enumerate().filter(|(place, row)| !rows[..*place].contains(row)) {
            let count = |rows: &[Vec<u8>]| rows.iter().filter(|other| *other == row).count() as Diff;
            let more = count(&rows[place..]) - count(others);
            if more > 0 {
                changes.push(&[&time.to_be_bytes(), key, &[u8::from(is_insertion)], row], more);
            }
        }
    };
    note(before, &after, false);
    note(&after, before, true);
    *before = after;
    if changes.bytes() > memory_bytes {
        changes.spill().map_err(|error| cannot("write", &error))?;
    }
    Ok(())
}

impl Changes {
    /// Gives each change as the text of a row with its time and diff in front; keys have so many columns.
    pub fn each(&self, key_columns: usize, mut give: impl FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
        let mut merge = Merge::of([&self.0]).map_err(|error| cannot("read", &error))?;
        let (mut front, mut text) = (String::new(), Vec::new());
        while let Some((bytes, count)) = merge.first() {
            if let Some((time, row)) = bytes.split_first_chunk() {
                let (key, rest) = row.split_at(text_row::key_bytes(row, key_columns));
                let (is_insertion, rest) = rest.split_first().map_or((false, rest), |(sign, rest)| (*sign == 1, rest));
                front.clear();
                text_row::write_cell(&Cell::Time(Time::from_be_bytes(*time)), &mut front);
                let diff = if is_insertion { count } else { -count };
                text_row::write_cell(&Cell::Integer(diff as i64), &mut front);
                text.clear();
                [front.as_bytes(), key, rest].into_iter().for_each(|part| text.extend_from_slice(part));
                give(&text)?;
            }
            merge.advance().map_err(|error| cannot("read", &error))?;
        }
        Ok(())
    }
}

//! What stands: updates of gathered rows by key, and what they come to.

use std::cmp::Reverse;
use std::io;

use dataflows::model::Text;
use dataflows::time::{Diff, Time};
use dataflows::views::collection::Row;
use dataflows::views::dead_letters::{DeadLetterRow, RefusedFacts, RefusedRecord};
use dataflows::views::quality::{self, QualityCounts, QualityKey};
use dataflows::views::roll_up::{AggregateRow, RolledKey, RowSums};
use serde::de::DeserializeOwned;

use crate::error::JobResult;
use crate::gathered::{Refused, cannot, unpacked};
use crate::runs::{Merge, Runs};
use crate::sink::text_row::{self, TextRow};

/// Gathered rows, key by key.
pub struct Groups<'r> {
    merge: Merge<'r>,
    key_columns: usize,
    key: Vec<u8>,
}

impl<'r> Groups<'r> {
    /// All rows in these runs; their keys have so many columns.
    pub fn of(runs: impl IntoIterator<Item = &'r Runs>, key_columns: usize) -> io::Result<Groups<'r>> {
        Ok(Groups { merge: Merge::of(runs)?, key_columns, key: Vec::new() })
    }

    /// Begins with the next key; false where there is none.
    pub fn begin(&mut self) -> bool {
        let Some((bytes, _)) = self.merge.first() else { return false };
        self.key.clear();
        self.key.extend_from_slice(&bytes[..text_row::key_bytes(bytes, self.key_columns)]);
        true
    }

    /// The key, as text.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Gives the updates of this key, in the order of time: when, the rest of the row, how often.
    pub fn updates(&mut self, mut give: impl FnMut(Time, &[u8], Diff) -> JobResult<()>) -> JobResult<()> {
        while let Some((bytes, diff)) = self.merge.first()
            && let Some((time, rest)) = bytes.strip_prefix(self.key.as_slice()).and_then(<[u8]>::split_first_chunk)
        {
            give(Time::from_be_bytes(*time), rest, diff)?;
            self.merge.advance().map_err(|error| cannot("read", &error))?;
        }
        Ok(())
    }
}

/// What the updates of one key come to.
pub trait Standing: Default {
    /// Nothing stands.
    fn clear(&mut self);

    /// Adds an update; times never fall.
    fn add(&mut self, time: Time, rest: &[u8], diff: Diff) -> JobResult<()>;

    /// Gives the rows that stand, without their key.
    fn rows(&self, key: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()>;
}

/// The row that came last of those that were not taken back: there is one for each life of an order.
#[derive(Debug, Default)]
pub struct Latest {
    rows: Vec<(Vec<u8>, Time, Diff)>,
    /// Memory of rows that do not stand any more.
    spare: Vec<Vec<u8>>,
}

impl Latest {
    /// What was not taken back, and since when.
    pub fn standing(&self) -> impl Iterator<Item = (&[u8], Time)> {
        let standing = self.rows.iter().filter(|(_, _, sum)| *sum > 0);
        standing.map(|(rest, since, _)| (rest.as_slice(), *since))
    }
}

impl Standing for Latest {
    fn clear(&mut self) {
        self.spare.extend(self.rows.drain(..).map(|(rest, _, _)| rest));
    }

    fn add(&mut self, time: Time, rest: &[u8], diff: Diff) -> JobResult<()> {
        let Latest { rows, spare } = self;
        if let Some(place) = rows.iter().position(|(known, _, _)| known == rest) {
            let (_, since, sum) = &mut rows[place];
            (*since, *sum) = (time, *sum + diff);
            if *sum == 0 {
                // An order that changes often would otherwise be here as often.
                spare.push(rows.swap_remove(place).0);
            }
        } else {
            let mut kept = spare.pop().unwrap_or_default();
            kept.clear();
            kept.extend_from_slice(rest);
            rows.push((kept, time, diff));
        }
        Ok(())
    }

    fn rows(&self, _: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
        let latest = self.standing().max_by_key(|(rest, since)| (*since, Reverse(*rest)));
        latest.map_or(Ok(()), |(rest, _)| give(rest))
    }
}

/// A row that is made of sums.
pub struct Sum<R: AggregateRow>(Option<(RolledKey, R::Sums)>);

impl<R: AggregateRow> Default for Sum<R> {
    fn default() -> Sum<R> {
        Sum(None)
    }
}

impl<R: AggregateRow<Sums: DeserializeOwned>> Standing for Sum<R> {
    fn clear(&mut self) {
        self.0 = None;
    }

    fn add(&mut self, _: Time, rest: &[u8], diff: Diff) -> JobResult<()> {
        let (key, difference) = unpacked(rest)?;
        let (_, sums) = self.0.get_or_insert((key, R::Sums::default()));
        (0..diff).for_each(|_| sums.accumulate(&difference));
        Ok(())
    }

    fn rows(&self, key: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
        match self.0 {
            Some((of, sums)) if sums.makes_row(R::AGGREGATE) => give_row(&R::of(of, sums), key, give),
            _ => Ok(()),
        }
    }
}

/// A row of counts of records and facts.
#[derive(Default)]
pub struct Counts(Option<(QualityKey, QualityCounts)>);

impl Standing for Counts {
    fn clear(&mut self) {
        self.0 = None;
    }

    fn add(&mut self, _: Time, rest: &[u8], diff: Diff) -> JobResult<()> {
        let (key, difference) = unpacked(rest)?;
        let (_, counts) = self.0.get_or_insert((key, QualityCounts::default()));
        (0..diff).for_each(|_| counts.add(&difference));
        Ok(())
    }

    fn rows(&self, key: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
        match self.0 {
            Some((of, counts)) if counts != QualityCounts::default() => {
                give_row(&quality::row(&of, &counts), key, give)
            }
            _ => Ok(()),
        }
    }
}

/// What was refused of one record.
#[derive(Default)]
pub struct Refusals {
    records: Vec<RefusedRecord>,
    facts: RefusedFacts,
}

impl Standing for Refusals {
    fn clear(&mut self) {
        *self = Refusals::default();
    }

    fn add(&mut self, _: Time, rest: &[u8], diff: Diff) -> JobResult<()> {
        match unpacked(rest)? {
            Refused::Record(record) => self.records.push(record),
            Refused::Fact(fact) => self.facts.add(fact, diff),
        }
        Ok(())
    }

    fn rows(&self, key: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
        let of_facts: Vec<RefusedRecord> = self.facts.records().collect();
        self.records.iter().chain(&of_facts).try_for_each(|record| give_row(&dead_letter(key, record), key, give))
    }
}

fn dead_letter(key: &[u8], record: &RefusedRecord) -> DeadLetterRow {
    let key = String::from_utf8_lossy(key);
    let mut cells = TextRow::new(&key).cells().map(|cell| Text::new(&cell));
    let (source, position) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
    DeadLetterRow::of(source, position, record)
}

/// Gives a row without its key.
fn give_row<R: Row>(row: &R, key: &[u8], give: &mut dyn FnMut(&[u8]) -> JobResult<()>) -> JobResult<()> {
    let mut text = String::new();
    text_row::write(row, &mut text);
    give(&text.as_bytes()[key.len()..])
}

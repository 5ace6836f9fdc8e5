//! What stands: updates of gathered rows by key, and what they come to.

use std::cmp::Reverse;
use std::io;
use std::ops::Range;

use dataflows::time::{Diff, Time};

use crate::error::JobResult;
use crate::gathered::cannot;
use crate::runs::{Merge, Runs};

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
        let ends = memchr::memchr_iter(0, bytes).take(self.key_columns);
        let key_bytes = ends.last().map_or(0, |end| end + 1);
        self.key.clear();
        self.key.extend_from_slice(&bytes[..key_bytes]);
        true
    }

    /// The key, as text.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// Gives the updates of this key, in the order of time: when, the rest of the row, how often.
    pub fn updates(&mut self, mut give: impl FnMut(Time, &[u8], Diff)) -> JobResult<()> {
        while let Some((bytes, diff)) = self.merge.first()
            && let Some((time, rest)) = bytes.strip_prefix(self.key.as_slice()).and_then(<[u8]>::split_first_chunk)
        {
            give(Time::from_be_bytes(*time), rest, diff);
            self.merge.advance().map_err(|error| cannot("read", &error))?;
        }
        Ok(())
    }
}

/// The rows of one key that stand, and since when. There is one, or one for each life of an order.
#[derive(Debug, Default)]
pub struct Standing {
    bytes: Vec<u8>,
    rows: Vec<(Range<usize>, Time, Diff)>,
}

impl Standing {
    /// Nothing stands.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.rows.clear();
    }

    /// Adds an update.
    pub fn add(&mut self, time: Time, rest: &[u8], diff: Diff) {
        let Standing { bytes, rows } = self;
        if let Some((_, since, sum)) = rows.iter_mut().find(|(place, _, _)| &bytes[place.clone()] == rest) {
            (*since, *sum) = (time, *sum + diff);
        } else {
            let start = bytes.len();
            bytes.extend_from_slice(rest);
            rows.push((start..bytes.len(), time, diff));
        }
    }

    /// The row that came last of those that stand.
    pub fn latest(&self) -> Option<&[u8]> {
        let standing = self.rows.iter().filter(|(_, _, sum)| *sum > 0);
        let latest = standing.max_by_key(|(place, since, _)| (*since, Reverse(&self.bytes[place.clone()])));
        latest.map(|(place, _, _)| &self.bytes[place.clone()])
    }
}

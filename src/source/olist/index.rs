//! The index of a co-ordered directory: where to cut the three files so that an order's rows stand together.
//!
//! One quick pass over the files, before the replay: it compares order ids and reads the times of the orders file,
//! nothing else. A directory is co-ordered where the items and payments files list their orders in the order of the
//! orders file, none of which is listed twice. Whatever the pass does not understand at a glance (a quote, an odd time,
//! an item without order) makes the directory one that is not, which costs memory and never correctness.
//!
//! All threads scan stripes of the files (`index/scan.rs`), taking turns (`index/turns.rs`); whoever has scanned one
//! merges what has come so far (`index/merge.rs`). Order ids are compared by their 64-bit hashes. That two ids of one
//! hash are taken for one does no harm: two such orders count as one listed twice, and an item whose id has the hash of
//! another's order is then of no order at all, which reading it finds out.

mod earliest;
mod merge;
mod scan;
mod turns;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dataflows::time::Time;

use super::table_file::TableFile;
use super::{Header, unreadable};
use crate::error::JobResult;
use crate::source::on_threads;
use merge::Merge;
use scan::RowFile;
use turns::Turns;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilePlace {
    /// Bytes before it.
    pub offset: u64,
    /// Its line, counted from 1.
    pub line: u64,
}

/// A place between two orders, in all three files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where it is in the orders, items and payments files.
    pub places: [FilePlace; 3],
    /// The earliest time in any order row from here to the end.
    earliest: Time,
}

/// Where to cut a co-ordered directory.
#[derive(Debug)]
pub struct Index {
    cuts: Vec<Cut>,
    /// Of its orders; none once it is known that they stand in no other directory.
    shards: Vec<Shards>,
}

/// Bytes of a stripe, and of a block's orders: so many that a block is worth a parcel for each of several workers, so few
/// that they stay in a core's cache while they are looked at.
const STRIPE_BYTES: u64 = 256 << 10;
/// So many stripes may be scanned before the first one that is not: their runs wait for its, and the merge holds few.
const STRIPES_AHEAD: usize = 64;
const TIMES: [&str; 4] =
    ["order_purchase_timestamp", "order_approved_at", "order_delivered_carrier_date", "order_delivered_customer_date"];

impl Index {
    /// Looks a directory over with this many threads; none where it is not co-ordered.
    pub fn find(tables: &[TableFile; 3], headers: &[Header; 3], threads: usize) -> JobResult<Option<Index>> {
        Index::find_in_stripes(tables, headers, threads, STRIPE_BYTES)
    }

    fn find_in_stripes(
        tables: &[TableFile; 3],
        headers: &[Header; 3],
        threads: usize,
        stripe_bytes: u64,
    ) -> JobResult<Option<Index>> {
        let mut files = Vec::with_capacity(tables.len());
        for ((table, header), times) in tables.iter().zip(headers).zip([&TIMES[..], &[], &[]]) {
            let file = RowFile::new(table, header, times).map_err(|error| unreadable(&table.path, &error))?;
            let Some(file) = file else { return Ok(None) };
            files.push(file);
        }
        let (stripes, counts) = stripes(&files, stripe_bytes);
        if stripes.is_empty() {
            // No rows, and so no order.
            return Ok(Some(Index { cuts: Vec::new(), shards: Vec::new() }));
        }
        let [orders, items, payments] =
            [0, 1, 2].map(|file: usize| (files[file].start, files[file].end_offset, counts[file]));
        let merge = Mutex::new(Merge::new([orders, items, payments]));
        let turns = Turns::new(stripes.len(), STRIPES_AHEAD);
        let scan = || -> JobResult<Shards> {
            let (mut buffer, mut shards) = (Vec::new(), Shards::default());
            while let Some(turn) = turns.take() {
                let Some(stripe) = stripes.get(turn.number) else { break };
                let segment = files[stripe.file].scan(&stripe.bytes, &mut buffer);
                if !matches!(segment, Ok(Some(_))) {
                    turns.stop();
                }
                let Some(segment) = segment.map_err(|error| unreadable(&tables[stripe.file].path, &error))? else {
                    break;
                };
                if stripe.file == 0 {
                    segment.runs.iter().for_each(|run| shards.push(run.fingerprint));
                }
                let mut merge = merge.lock().unwrap_or_else(PoisonError::into_inner);
                if !merge.take(stripe.file, stripe.number, segment) {
                    turns.stop();
                }
            }
            Ok(shards)
        };
        let shards = on_threads(threads, scan)?.into_iter().collect::<JobResult<Vec<Shards>>>()?;
        let merge = merge.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cuts = if turns.is_stopped() { None } else { merge.finish() };
        match cuts {
            Some(cuts) if are_distinct(&shards, threads)? => Ok(Some(Index { cuts, shards })),
            _ => Ok(None),
        }
    }

    /// True where no order stands in two of these directories, each of which has none twice. What tells that is let go of.
    pub fn are_apart(indexes: &mut [Index], threads: usize) -> JobResult<bool> {
        let shards: Vec<Shards> = indexes.iter_mut().flat_map(|index| std::mem::take(&mut index.shards)).collect();
        Ok(indexes.len() < 2 || are_distinct(&shards, threads)?)
    }

    /// Block `number`: where it starts and ends.
    pub fn block(&self, number: u64) -> Option<(&Cut, &Cut)> {
        let number = number as usize;
        Some((self.cuts.get(number)?, self.cuts.get(number + 1)?))
    }

    /// The earliest time in block `number` or any later one; `Time::MAX` after the last.
    pub fn earliest_from(&self, number: u64) -> Time {
        self.cuts.get(number as usize).map_or(Time::MAX, |cut| cut.earliest)
    }
}

/// A part of a file to be scanned.
struct Stripe {
    file: usize,
    number: usize,
    bytes: Range<u64>,
}

/// Every stripe, so that the files are gone through side by side, and how many each file has.
fn stripes(files: &[RowFile], stripe_bytes: u64) -> (Vec<Stripe>, [usize; 3]) {
    let mut stripes = Vec::new();
    let mut counts = [0; 3];
    for (file, (rows, count)) in files.iter().zip(&mut counts).enumerate() {
        let mut start = rows.start.offset;
        while start < rows.end_offset {
            let end = rows.end_offset.min(start + stripe_bytes);
            stripes.push(Stripe { file, number: *count, bytes: start..end });
            *count += 1;
            start = end;
        }
    }
    let share_before = |stripe: &Stripe| (stripe.number << 32) / counts[stripe.file].max(1);
    stripes.sort_by_key(share_before);
    (stripes, counts)
}

/// Hashes, dealt out by their first byte: of two equal ones both are in the same shard.
#[derive(Debug)]
struct Shards(Vec<Vec<u64>>);

impl Default for Shards {
    fn default() -> Shards {
        Shards(vec![Vec::new(); 256])
    }
}

impl Shards {
    fn push(&mut self, fingerprint: u64) {
        self.0[(fingerprint >> 56) as usize].push(fingerprint);
    }
}

/// True where no hash is there twice.
fn are_distinct(shards: &[Shards], threads: usize) -> JobResult<bool> {
    let next = AtomicUsize::new(0);
    let distinct = on_threads(threads, || {
        let mut hashes = Vec::new();
        loop {
            let shard = next.fetch_add(1, Ordering::Relaxed);
            hashes.clear();
            for Shards(shards) in shards {
                let Some(part) = shards.get(shard) else { return true };
                hashes.extend_from_slice(part);
            }
            hashes.sort_unstable();
            if hashes.windows(2).any(|pair| pair[0] == pair[1]) {
                return false;
            }
        }
    })?;
    Ok(distinct.into_iter().all(|distinct| distinct))
}

#[cfg(test)]
mod tests;

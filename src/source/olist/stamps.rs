//! Stamps: the times that items and payments take from their order.
//!
//! An item gets its order's purchase time, a payment its order's approval time, or the purchase time where there is no
//! approval; of an order in several rows, be it in several directories, those of the facts that win, which are the earliest.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use dataflows::model::Text;
use dataflows::time::Time;
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::table_file::TableFile;
use super::{FILES, body, read_header, rows, unreadable, wrong_header};
use crate::decode::cells::CsvRows;
use crate::decode::olist::{OrderColumns, OrderRow};
use crate::error::JobResult;
use crate::source::on_threads;
use crate::validate::Limits;

/// The times of one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The earliest purchase time of its rows.
    pub purchased_at: Time,
    /// The earliest approval time of its rows.
    pub approved_at: Option<Time>,
}

impl Stamp {
    /// The times in a row.
    pub fn of(row: &OrderRow) -> Stamp {
        Stamp { purchased_at: row.purchased_at, approved_at: row.approved_at }
    }

    fn merge(&mut self, other: Stamp) {
        self.purchased_at = self.purchased_at.min(other.purchased_at);
        self.approved_at = [self.approved_at, other.approved_at].into_iter().flatten().min();
    }

    /// When a payment of the order counts.
    pub fn paid_at(&self) -> Time {
        self.approved_at.unwrap_or(self.purchased_at)
    }
}

/// The times of every order of directories that are read together.
pub struct Stamps {
    shards: Vec<HashMap<Text, Stamp>>,
}

const SHARDS: usize = 64;

impl Default for Stamps {
    fn default() -> Stamps {
        Stamps { shards: (0..SHARDS).map(|_| HashMap::new()).collect() }
    }
}

fn shard(order_id: &Text) -> usize {
    let mut scratch = [0; 32];
    xxh3_64(order_id.as_str_in(&mut scratch).as_bytes()) as usize % SHARDS
}

impl Stamps {
    /// Reads another orders file, with this many threads. Rows that are refused have no stamp.
    pub fn add(&mut self, file: &TableFile, columns: &OrderColumns, limits: &Limits, threads: usize) -> JobResult<()> {
        let blocks = Mutex::new(body(file)?);
        let shards: Vec<Mutex<_>> = self.shards.drain(..).map(Mutex::new).collect();
        let read = || -> JobResult<()> {
            loop {
                let block = blocks.lock().unwrap_or_else(PoisonError::into_inner).next_block();
                let Some(block) = block.map_err(|error| unreadable(&file.path, &error))? else { return Ok(()) };
                if block.is_too_large {
                    continue;
                }
                let mut split = CsvRows::of(&block.bytes);
                while let Some(row) = split.next_row().filter(|row| !rows::is_open(row)) {
                    if let Ok(row) = columns.decode(row.cells, limits) {
                        let mut shard = shards[shard(&row.order_id)].lock().unwrap_or_else(PoisonError::into_inner);
                        let stamp = Stamp::of(&row);
                        shard.entry(row.order_id).or_insert(stamp).merge(stamp);
                    }
                }
            }
        };
        let read = on_threads(threads, read)?.into_iter().collect::<JobResult<()>>();
        let shards = shards.into_iter().map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        self.shards.extend(shards);
        read
    }

    /// Of the orders files in these directories, one after the other.
    pub fn of_directories(directories: &[&Path], limits: &Limits, threads: usize) -> JobResult<Stamps> {
        let mut stamps = Stamps::default();
        for directory in directories {
            let file = TableFile::open(directory, FILES[0])?;
            let columns = OrderColumns::from_header(&read_header(&file)?.record).map_err(wrong_header(&file.path))?;
            stamps.add(&file, &columns, limits, threads)?;
        }
        Ok(stamps)
    }

    /// The times of an order; none where it is in no orders file, or refused there.
    pub fn get(&self, order_id: &Text) -> Option<Stamp> {
        self.shards[shard(order_id)].get(order_id).copied()
    }
}

/// The times of the orders of one block, in the order of its rows.
#[derive(Default)]
pub struct BlockStamps {
    orders: Vec<(Text, Stamp)>,
    at: usize,
}

impl BlockStamps {
    /// Forgets the block.
    pub fn clear(&mut self) {
        self.orders.clear();
        self.at = 0;
    }

    /// Goes back to the first order, for the next file.
    pub fn rewind(&mut self) {
        self.at = 0;
    }

    /// Adds the block's next order.
    pub fn push(&mut self, row: &OrderRow) {
        self.orders.push((row.order_id.clone(), Stamp::of(row)));
    }

    /// The times of an order that stands at or after the one asked for last.
    pub fn get(&mut self, order_id: &Text) -> Option<Stamp> {
        let ahead = self.orders[self.at..].iter().position(|(known, _)| known == order_id)?;
        self.at += ahead;
        Some(self.orders[self.at].1)
    }
}

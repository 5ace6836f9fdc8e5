//! Parcels: facts on their way to the worker that owns their orders.
//!
//! A parcel is all that a stretch of input says to one worker, packed. Facts are packed once, where they are decoded, and
//! copied from there into the owner's stash and the order's state. Timely exchanges whole parcels, so an edge costs a
//! parcel and not a fact; between processes a parcel is its bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::fact::DEFAULT_TENANT;
use crate::model::packed::{self, FactView, Outline, PackedText, Reader, write_number, write_text};
use crate::model::{Fact, OrderId, Position, Text};
use crate::time::Time;

/// 128-bit hash of (tenant, order id): the key of an order everywhere but in rows.
pub type OrderKey = u128;

/// The key of an order.
pub fn order_key(order: &OrderId) -> OrderKey {
    let (mut tenant, mut order_id) = ([0; 32], [0; 32]);
    let (tenant, order_id) = (order.tenant.as_bytes_in(&mut tenant), order.order_id.as_bytes_in(&mut order_id));
    let mut bytes = [0; 96];
    let length = tenant.len() + 1 + order_id.len();
    if length > bytes.len() {
        return xxh3_128(&[tenant, &[0], order_id].concat());
    }
    // Ids hold no control character, so the zero byte cannot be part of either.
    bytes[..tenant.len()].copy_from_slice(tenant);
    bytes[tenant.len() + 1..length].copy_from_slice(order_id);
    xxh3_128(&bytes[..length])
}

/// A block of packed facts for one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parcel {
    /// The worker it is for.
    pub to: u64,
    /// A promise: of the orders in it nothing more will come, from anywhere.
    pub is_last_word: bool,
    /// Ends an epoch of the worker's at this time, at which nobody is beyond it; true: and asks for a snapshot as of it.
    pub epoch_end: Option<(Time, bool)>,
    /// One worker, of so many, has read its input to the end: once all have, results reach to this time.
    pub input_end: Option<(Time, u64)>,
    /// Facts, one after another.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

/// How a fact arrived: all that is known beside what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Where its record stood.
    pub position: Position,
    /// Its logical time.
    pub time: Time,
    /// The event time of its record's first fact: the minute of data quality.
    pub record_at: Time,
    /// True where it is more than `horizon` behind its partition's watermark.
    pub too_late: bool,
}

// A record of a parcel: its length, then its time, the order's key and names, arrival, the fact. Of the names the tenant
// is empty where it is the default one. Arrival is a number: how long after the record's time, twice, and 1 more where it
// is too late.
const LENGTH_BYTES: usize = 4;
const TIME_BYTES: usize = 8;
const KEY_BYTES: usize = 16;

/// Facts being packed, by the worker that owns their orders.
#[derive(Debug)]
pub struct Parcels {
    open: Vec<Open>,
    default_tenant: Text,
}

/// A parcel that is being packed.
#[derive(Clone, Debug, Default)]
struct Open {
    bytes: Vec<u8>,
    /// The order that was packed last, and where in `bytes` its key and names are.
    last: Option<(OrderKey, Range<usize>)>,
    /// Bytes of the parcel before: this one will be about as large.
    expected: usize,
}

impl Parcels {
    /// Nothing packed, for this many workers.
    pub fn new(workers: usize) -> Parcels {
        Parcels { open: vec![Open::default(); workers.max(1)], default_tenant: Text::new(DEFAULT_TENANT) }
    }

    /// Packs a fact.
    pub fn push(&mut self, fact: &Fact, arrival: Arrival) {
        self.push_of(order_key(&fact.order), fact, arrival);
    }

    /// Packs a fact of the order whose key is known.
    pub fn push_of(&mut self, key: OrderKey, fact: &Fact, arrival: Arrival) {
        let to = (key as u64 % self.open.len() as u64) as usize;
        let Open { bytes, last, expected } = &mut self.open[to];
        if bytes.capacity() == 0 {
            bytes.reserve_exact(*expected + *expected / 8);
        }
        let start = bytes.len();
        bytes.extend_from_slice(&[0; LENGTH_BYTES]);
        bytes.extend_from_slice(&arrival.time.to_le_bytes());
        match last {
            // A record has several facts of one order: what names it is copied.
            Some((known, names)) if *known == key => bytes.extend_from_within(names.clone()),
            _ => {
                let names = bytes.len();
                bytes.extend_from_slice(&key.to_le_bytes());
                match self.default_tenant == fact.order.tenant {
                    true => bytes.push(0),
                    false => write_text(&fact.order.tenant, bytes),
                }
                write_text(&fact.order.order_id, bytes);
                *last = Some((key, names..bytes.len()));
            }
        }
        // A fact's logical time is not before its event time, nor that before its record's.
        let since_record_ms = arrival.time.saturating_sub(arrival.record_at);
        write_number(since_record_ms << 1 | u64::from(arrival.too_late), bytes);
        packed::write(fact, arrival.position, bytes);
        let length = (bytes.len() - start - LENGTH_BYTES) as u32;
        bytes[start..start + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    }

    /// Adds a fact that was packed before, as [`Parcel::first_of`] gives it.
    pub fn push_packed(&mut self, to: u64, packed: &[u8]) {
        let to = (to % self.open.len() as u64) as usize;
        self.open[to].bytes.extend_from_slice(packed);
    }

    /// Closes every parcel that holds anything; see [`Parcel::is_last_word`].
    pub fn close(&mut self, is_last_word: bool) -> impl Iterator<Item = Parcel> + '_ {
        let open = self.open.iter_mut().enumerate().filter(|(_, open)| !open.bytes.is_empty());
        open.map(move |(to, open)| {
            open.last = None;
            open.expected = open.bytes.len();
            Parcel { to: to as u64, is_last_word, bytes: std::mem::take(&mut open.bytes), ..Parcel::default() }
        })
    }
}

impl Parcel {
    /// Ends an epoch of a worker's at `time`, which nobody may have passed when it is sent.
    pub fn end_epoch(to: u64, time: Time, asks_snapshot: bool) -> Parcel {
        Parcel { to, epoch_end: Some((time, asks_snapshot)), ..Parcel::default() }
    }

    /// Tells the first worker that one of so many has read its input to the end, with results to reach to `time`.
    pub fn input_end(time: Time, workers: u64) -> Parcel {
        Parcel { input_end: Some((time, workers)), ..Parcel::default() }
    }

    /// Of packed facts that stand one after another the first: its logical time, and its bytes as they stand there.
    pub fn first_of(bytes: &[u8]) -> Option<(Time, &[u8])> {
        let length = bytes.first_chunk::<LENGTH_BYTES>()?;
        let packed = bytes.get(..LENGTH_BYTES + u32::from_le_bytes(*length) as usize)?;
        let time = packed.get(LENGTH_BYTES..)?.first_chunk::<TIME_BYTES>()?;
        Some((Time::from_le_bytes(*time), packed))
    }

    /// The packed facts: of each its key, its logical time and the rest of its bytes for [`Delivery::read`].
    pub fn records(&self) -> impl Iterator<Item = (OrderKey, Time, &[u8])> {
        Parcel::records_of(&self.bytes)
    }

    /// The packed facts in a run, likewise.
    pub fn records_of(mut rest: &[u8]) -> impl Iterator<Item = (OrderKey, Time, &[u8])> {
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<LENGTH_BYTES>()?;
            let (record, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            let (time, record) = record.split_first_chunk::<TIME_BYTES>()?;
            Some((Delivery::key_of(record), Time::from_le_bytes(*time), record))
        })
    }

    /// Runs of facts that stand together and are of one order: its key, and their bytes for [`Parcel::records_of`].
    pub fn runs(&self) -> impl Iterator<Item = (OrderKey, &[u8])> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (key, _, _) = Parcel::records_of(rest).next()?;
            let mut length = 0;
            while let Some((of, _, record)) = Parcel::records_of(&rest[length..]).next()
                && of == key
            {
                length += LENGTH_BYTES + TIME_BYTES + record.len();
            }
            let (run, after) = rest.split_at_checked(length)?;
            rest = after;
            Some((key, run))
        })
    }
}

/// A fact that has reached the worker that owns its order.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// Its order's key.
    pub key: OrderKey,
    /// Its logical time.
    pub time: Time,
    /// See [`Arrival::record_at`].
    pub record_at: Time,
    /// See [`Arrival::too_late`].
    pub too_late: bool,
    /// Empty for the default one.
    tenant: PackedText<'a>,
    order_id: PackedText<'a>,
    /// The fact's bytes.
    pub packed: &'a [u8],
    /// The fact's numbers.
    pub outline: Outline,
}

impl<'a> Delivery<'a> {
    /// Reads a record of a parcel, whose logical time is `time`.
    pub fn read(time: Time, record: &'a [u8]) -> Delivery<'a> {
        let mut reader = Reader::new(record);
        let key = u128::from_le_bytes(reader.take(KEY_BYTES).try_into().unwrap_or_default());
        let (tenant, order_id) = (reader.text(), reader.text());
        let arrival = reader.number();
        let (record_at, too_late) = (time.saturating_sub(arrival >> 1), arrival & 1 != 0);
        let packed = reader.rest();
        let outline = Reader::new(packed).outline();
        Delivery { key, time, record_at, too_late, tenant, order_id, packed, outline }
    }

    /// The key of the order that a record of a parcel speaks of.
    pub fn key_of(record: &[u8]) -> OrderKey {
        let key = record.first_chunk::<KEY_BYTES>();
        key.map_or(0, |key| u128::from_le_bytes(*key))
    }

    /// The fact.
    pub fn fact(&self) -> FactView<'a> {
        Reader::new(self.packed).fact()
    }

    /// The order's tenant.
    pub fn tenant(&self) -> Text {
        let tenant = self.tenant.text();
        if tenant.is_empty() { Text::new(DEFAULT_TENANT) } else { tenant }
    }

    /// The shop's id of the order.
    pub fn order_id(&self) -> Text {
        self.order_id.text()
    }
}

//! Parcels: facts on their way to the worker that owns their orders.
//!
//! A parcel is a block of packed facts for one worker. Facts are packed once, where they are decoded, and copied from
//! there into the owner's stash and the order's state. Timely exchanges whole parcels, so an edge costs a parcel and not
//! a fact; between processes a parcel is its bytes.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::model::packed::{self, FactView, Outline, PackedText, Reader, write_number, write_text};
use crate::model::{Fact, OrderId, Position, Text};
use crate::time::Time;

/// 128-bit hash of (tenant, order id): the key of an order everywhere but in rows.
pub type OrderKey = u128;

/// The key of an order.
pub fn order_key(order: &OrderId) -> OrderKey {
    let (mut tenant, mut order_id) = ([0; 32], [0; 32]);
    let (tenant, order_id) = (order.tenant.as_str_in(&mut tenant), order.order_id.as_str_in(&mut order_id));
    let mut bytes = [0; 96];
    let length = tenant.len() + 1 + order_id.len();
    if length > bytes.len() {
        return xxh3_128(&[tenant.as_bytes(), &[0], order_id.as_bytes()].concat());
    }
    // Ids hold no control character, so the zero byte cannot be part of either.
    bytes[..tenant.len()].copy_from_slice(tenant.as_bytes());
    bytes[tenant.len() + 1..length].copy_from_slice(order_id.as_bytes());
    xxh3_128(&bytes[..length])
}

/// A block of packed facts for one worker.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parcel {
    /// The worker it is for.
    pub to: u64,
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

const FLAG_TOO_LATE: u8 = 1;

/// Facts being packed, by the worker that owns their orders.
#[derive(Debug)]
pub struct Parcels {
    open: Vec<Vec<u8>>,
}

/// A parcel is closed once it holds this many bytes.
const PARCEL_BYTES: usize = 48 << 10;

impl Parcels {
    /// Nothing packed, for this many workers.
    pub fn new(workers: usize) -> Parcels {
        Parcels { open: vec![Vec::new(); workers.max(1)] }
    }

    /// Packs a fact; the parcel that is full with it, if one is.
    pub fn push(&mut self, fact: &Fact, arrival: Arrival) -> Option<Parcel> {
        self.push_of(order_key(&fact.order), fact, arrival)
    }

    /// Packs a fact of the order whose key is known.
    pub fn push_of(&mut self, key: OrderKey, fact: &Fact, arrival: Arrival) -> Option<Parcel> {
        let to = (key as u64 % self.open.len() as u64) as usize;
        let bytes = &mut self.open[to];
        let start = bytes.len();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&key.to_le_bytes());
        write_number(arrival.time, bytes);
        bytes.push(if arrival.too_late { FLAG_TOO_LATE } else { 0 });
        write_number(arrival.record_at, bytes);
        write_text(&fact.order.tenant, bytes);
        write_text(&fact.order.order_id, bytes);
        packed::write(fact, arrival.position, bytes);
        let length = (bytes.len() - start - 4) as u32;
        bytes[start..start + 4].copy_from_slice(&length.to_le_bytes());
        (bytes.len() >= PARCEL_BYTES).then(|| Parcel { to: to as u64, bytes: std::mem::take(bytes) })
    }

    /// Closes every parcel that holds anything.
    pub fn close(&mut self) -> impl Iterator<Item = Parcel> + '_ {
        let open = self.open.iter_mut().enumerate().filter(|(_, bytes)| !bytes.is_empty());
        open.map(|(to, bytes)| Parcel { to: to as u64, bytes: std::mem::take(bytes) })
    }
}

impl Parcel {
    /// The packed facts: of each its key, its logical time and its record's bytes for [`Delivery::read`].
    pub fn records(&self) -> impl Iterator<Item = (OrderKey, Time, &[u8])> {
        let mut rest = &*self.bytes;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first_chunk::<4>()?;
            let (record, after) = after.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            rest = after;
            let (key, content) = record.split_first_chunk::<16>()?;
            Some((u128::from_le_bytes(*key), Reader::new(content).number(), record))
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
    tenant: PackedText<'a>,
    order_id: PackedText<'a>,
    /// The fact's bytes.
    pub packed: &'a [u8],
    /// The fact's numbers.
    pub outline: Outline,
}

impl<'a> Delivery<'a> {
    /// Reads a record of a parcel.
    pub fn read(record: &'a [u8]) -> Delivery<'a> {
        let mut reader = Reader::new(record);
        let key = u128::from_le_bytes(reader.take(16).try_into().unwrap_or_default());
        let time = reader.number();
        let too_late = reader.take(1)[0] & FLAG_TOO_LATE != 0;
        let record_at = reader.number();
        let (tenant, order_id) = (reader.text(), reader.text());
        let packed = reader.rest();
        let outline = Reader::new(packed).outline();
        Delivery { key, time, record_at, too_late, tenant, order_id, packed, outline }
    }

    /// The key of the order that a record of a parcel speaks of.
    pub fn key_of(record: &[u8]) -> OrderKey {
        record.first_chunk::<16>().map_or(0, |key| u128::from_le_bytes(*key))
    }

    /// The order the fact speaks of.
    pub fn order(&self) -> OrderId {
        OrderId { tenant: self.tenant(), order_id: self.order_id() }
    }

    /// The fact.
    pub fn fact(&self) -> FactView<'a> {
        Reader::new(self.packed).fact()
    }

    /// The fact's event time.
    pub fn at(&self) -> Time {
        self.outline.at
    }

    /// The order's tenant.
    pub fn tenant(&self) -> Text {
        self.tenant.text()
    }

    /// The shop's id of the order.
    pub fn order_id(&self) -> Text {
        self.order_id.text()
    }
}

//! Changes: what becomes of a key of a collection, for sinks that are kept up to date.
//!
//! Invariant: of changes of one key the last is what stands; so those of a stretch of time come down to one a key.

use std::collections::BTreeMap;

use dataflows::time::Time;
use dataflows::views::COLLECTIONS;
use dataflows::views::collection::Collection;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What becomes of one key of a collection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Change {
    /// The collection; as bytes its place among [`COLLECTIONS`].
    #[serde(serialize_with = "to_place", deserialize_with = "at_place")]
    pub collection: &'static Collection,
    /// The cells of the key, as text ([`super::text_row`]).
    pub key: Box<str>,
    /// The other cells of the row that stands from now on; none where the row is deleted.
    pub row: Option<Box<str>>,
}

fn to_place<S: Serializer>(collection: &&'static Collection, serializer: S) -> Result<S::Ok, S::Error> {
    let place = COLLECTIONS.iter().position(|known| known.name == collection.name);
    place.unwrap_or(COLLECTIONS.len()).serialize(serializer)
}

fn at_place<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Collection, D::Error> {
    let place = usize::deserialize(deserializer)?;
    COLLECTIONS.get(place).ok_or_else(|| D::Error::custom("there is no such collection"))
}

/// What changes come to, by the name of the collection: of each key the last one, in the order of keys.
pub fn netted(updates: &[(Change, Time)]) -> BTreeMap<&'static str, (Collection, BTreeMap<&str, Option<&str>>)> {
    let mut netted: BTreeMap<&str, (Collection, BTreeMap<&str, Option<&str>>)> = BTreeMap::new();
    for (Change { collection, key, row }, _) in updates {
        let (_, keys) = netted.entry(collection.name).or_insert_with(|| (**collection, BTreeMap::new()));
        keys.insert(key, row.as_deref());
    }
    netted
}

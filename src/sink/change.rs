//! Changes: what becomes of a key of a collection, for sinks that are kept up to date.
//!
//! Invariant: of changes of one key the last is what stands; so those of a stretch of time come down to one a key.

use std::collections::BTreeMap;

use dataflows::time::Time;
use dataflows::views::collection::Collection;

/// What becomes of one key of a collection.
#[derive(Clone, Debug)]
pub struct Change {
    /// The collection.
    pub collection: &'static Collection,
    /// The cells of the key, as text ([`super::text_row`]).
    pub key: Box<str>,
    /// The other cells of the row that stands from now on; none where the row is deleted.
    pub row: Option<Box<str>>,
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

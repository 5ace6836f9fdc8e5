//! Changes: what becomes of a key of a collection, for sinks that are kept up to date.
//!
//! Invariant: of changes of one key the last is what stands; so those of a stretch of time come down to one a key.

use dataflows::views::collection::Collection;

/// What becomes of one key of a collection.
#[derive(Clone, Debug)]
pub struct Change {
    /// The collection.
    pub collection: Collection,
    /// The cells of the key, as text ([`super::text_row`]).
    pub key: Box<str>,
    /// The other cells of the row that stands from now on; none where the row is deleted.
    pub row: Option<Box<str>>,
}

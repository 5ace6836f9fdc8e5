//! The golden sets of `../shared/golden`, each with the replay that makes it, as the README there gives it.
//!
//! Invariant: they stand here alone, and what a set lacks is said by name.

use std::path::Path;

use crate::inputs::{dirty, shared};

/// A golden set.
pub struct GoldenSet {
    /// Its folder.
    pub name: &'static str,
    inputs: &'static [&'static str],
    options: &'static [&'static [&'static str]],
}

const SHOP: &str = "data/olist";
/// Stands for the same with dirt in it, which has to be made.
const DIRTY: &str = "data/make_dirty.py 1";
const STORY: &str = "data/events/events.jsonl.gz";
const TROUBLE: &str = "data/nasty/nasty.jsonl";

const STRICT: &[&str] = &["--transitions", "strict"];
const RULES: &[&str] = &["--sla-rules", "data/events/sla-rules.toml", "--grace", "6h"];
/// What the nasty sets are replayed with.
pub const NASTY: &[&str] =
    &["--sla-rules", "data/nasty/sla-rules.toml", "--grace", "6h", "--retention", "60h", "--max-age", "22d"];

/// Those of Olist.
pub const OLIST: &[GoldenSet] = &[
    set("olist", &[SHOP], &[]),
    set("olist-strict", &[SHOP], &[STRICT]),
    set("olist-until-2018-01-01", &[SHOP], &[&["--until", "2018-01-01T00:00:00Z"]]),
];

/// Those of Olist and more.
pub const MIXED: &[GoldenSet] = &[set("olist-and-events", &[SHOP, STORY], &[]), set("olist-dirty-1", &[DIRTY], &[])];

/// Those of order events.
pub const EVENTS: &[GoldenSet] = &[
    set("events", &[STORY], &[]),
    set("events-strict", &[STORY], &[STRICT]),
    set("events-rules", &[STORY], &[RULES, &["--until", "2024-03-21T00:00:00Z"]]),
    set("events-retention-2d", &[STORY], &[&["--retention", "2d"]]),
    set("nasty", &[TROUBLE], &[NASTY]),
    set("nasty-strict", &[TROUBLE], &[NASTY, STRICT]),
];

const fn set(
    name: &'static str,
    inputs: &'static [&'static str],
    options: &'static [&'static [&'static str]],
) -> GoldenSet {
    GoldenSet { name, inputs, options }
}

impl GoldenSet {
    /// The arguments of its replay from within the shared folder; none where something is missing. What has to be made
    /// is made in `scratch`.
    pub fn arguments(&self, scratch: &Path) -> Option<Vec<String>> {
        let input = |input: &&str| match *input {
            DIRTY => Some(dirty(1, scratch)?.display().to_string()),
            input => shared(input).map(|_| input.to_owned()),
        };
        let inputs: Option<Vec<String>> = self.inputs.iter().map(input).collect();
        let options = self.options.concat().into_iter().map(str::to_owned).collect();
        Some([inputs?, options].concat())
    }
}

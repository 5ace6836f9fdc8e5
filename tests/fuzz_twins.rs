//! The properties of the fuzz targets on stable Rust: seeds with a few bytes changed, and bytes of any kind.
//!
//! What a fuzzer found goes to `tests/fuzz/seeds/TARGET`, where every run of this file tries it again.

#![allow(clippy::unwrap_used, clippy::panic)] // here a panic is the report

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

#[path = "support/properties.rs"]
mod properties;

/// A change of a seed.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A stretch of the seed once more, elsewhere.
    Copy(Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let telling = prop::sample::select(b"\"\\{}[],:\n\r\t -+.eE0159TZ\xEF\xFF\0".to_vec());
    prop_oneof![
        (any::<Index>(), prop_oneof![any::<u8>(), telling.clone()]).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (any::<Index>(), prop::collection::vec(telling, 1..5)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (any::<Index>(), 1..20_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        (any::<Index>(), any::<Index>(), 1..200_usize).prop_map(|(from, to, length)| Edit::Copy(from, to, length)),
    ]
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(target);
    let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no seed of {target}");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits {
        let place = |index: &Index, length: usize| index.index(length.max(1)).min(length);
        let length = bytes.len();
        match edit {
            Edit::Set(at, byte) if length > 0 => bytes[place(at, length)] = *byte,
            Edit::Insert(at, inserted) => drop(bytes.splice(place(at, length)..place(at, length), inserted.clone())),
            Edit::Remove(at, removed) => {
                let start = place(at, length);
                drop(bytes.drain(start..(start + removed).min(length)));
            }
            Edit::Copy(from, to, copied) => {
                let start = place(from, length);
                let stretch = bytes[start..(start + copied).min(length)].to_vec();
                drop(bytes.splice(place(to, length)..place(to, length), stretch));
            }
            Edit::Set(..) => {}
        }
    }
    bytes
}

/// Tries every seed as it is, then changed ones, then any bytes.
fn try_all(target: &str, cases: u32, property: fn(&[u8])) {
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| property(seed));
    let changed = (prop::sample::select(seeds), prop::collection::vec(edit(), 1..8));
    let changed = changed.prop_map(|(seed, edits)| edited(&seed, &edits));
    let bytes = prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..300)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let tried = runner.run(&bytes, |bytes| {
        property(&bytes);
        Ok(())
    });
    if let Err(error) = tried {
        panic!("{target}: {error}");
    }
}

macro_rules! twins {
    ($($target:ident: $cases:literal,)*) => {$(
        #[test]
        fn $target() {
            try_all(stringify!($target), $cases, properties::$target);
        }
    )*};
}

twins! {
    json: 4_000,
    topic_record: 4_000,
    avro: 4_000,
    olist: 2_000,
    rows: 2_000,
    blocks: 60,
    scalars: 10_000,
    config: 500,
    rules: 2_000,
    whole: 150,
}

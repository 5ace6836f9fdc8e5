//! Trails as bytes: of each mark what differs from the one before it, so that a mark takes some six bytes.
//!
//! A sink holds its trail, and gets it anew with every commit. Invariant: what is read is what was written. Used by serde
//! as `#[serde(with = …)]`.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Deserializer, Serializer};

use super::partitions::{Mark, Partition, Trail};

/// Differences of numbers, most of them small.
type Differences = [i64; 4];

const NOTHING: Mark = Mark { next_offset: 0, largest_at: 0, watermark: 0, ceiling: 0 };

fn numbers(mark: Mark) -> [u64; 4] {
    [mark.next_offset, mark.largest_at, mark.watermark, mark.ceiling]
}

/// Writes a trail.
pub fn serialize<S: Serializer>(trail: &Trail, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(trail.iter().map(|(partition, marks)| {
        let mut before = NOTHING;
        let differences = marks.iter().map(|mark| {
            let (new, old) = (numbers(*mark), numbers(std::mem::replace(&mut before, *mark)));
            std::array::from_fn(|place| new[place].wrapping_sub(old[place]).cast_signed())
        });
        (partition, differences.collect::<Vec<Differences>>())
    }))
}

/// Reads one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Trail, D::Error> {
    let partitions = Vec::<(Partition, Vec<Differences>)>::deserialize(deserializer)?;
    let marks = |differences: Vec<Differences>| {
        let mut before = NOTHING;
        let next = |difference: Differences| {
            let old = numbers(before);
            let [next_offset, largest_at, watermark, ceiling] =
                std::array::from_fn(|place| old[place].wrapping_add(difference[place].cast_unsigned()));
            before = Mark { next_offset, largest_at, watermark, ceiling };
            before
        };
        differences.into_iter().map(next).collect()
    };
    Ok(partitions.into_iter().map(|(partition, differences)| (partition, marks(differences))).collect())
}

/// A trail as bytes, for a sink that keeps it beside its rows; there is nothing in it that could not be written.
pub fn packed(trail: &Trail) -> Vec<u8> {
    let mut bytes = postcard::Serializer { output: postcard::ser_flavors::StdVec::new() };
    serialize(trail, &mut bytes).ok().and_then(|()| bytes.output.finalize().ok()).unwrap_or_default()
}

/// The trail in bytes. What cannot be read is no trail: the job begins where its checkpoint says.
pub fn unpacked(bytes: &[u8]) -> Trail {
    deserialize(&mut postcard::Deserializer::from_bytes(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Written(#[serde(with = "super")] Trail);

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            marks in prop::collection::vec(prop::array::uniform4(prop_oneof![0..1_000_u64, any::<u64>()]), 0..30),
        ) {
            let mark = |[next_offset, largest_at, watermark, ceiling]: [u64; 4]| Mark { next_offset, largest_at, watermark, ceiling };
            let partition = |number| Partition { topic: "orders".to_owned(), number };
            let trail = Written([(partition(0), marks.into_iter().map(mark).collect()), (partition(7), Vec::new())].into());
            let bytes = postcard::to_stdvec(&trail).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Written>(&bytes).unwrap(), trail);
        }
    }

    #[test]
    fn a_mark_takes_few_bytes() {
        let mark = |tick: u64| Mark {
            next_offset: 1_000_000 + 90 * tick,
            largest_at: 1_800_000_000_007 + 40 * tick,
            watermark: 1_800_000_000_000 + 40 * tick,
            ceiling: 1_800_000_000_000 + 40 * tick,
        };
        let partition = Partition { topic: "orders".to_owned(), number: 0 };
        let trail = Written([(partition, (0..1_000).map(mark).collect())].into());
        assert!(postcard::to_stdvec(&trail).unwrap().len() < 6_000);
    }
}

//! A stash: byte records that wait for their logical time.
//!
//! Records are appended to the pages of their bucket of time and come out in batches, by group and within a group by
//! time: records of one group depend on each other, those of different groups do not, so whoever works on a batch has
//! each group in hand once. Records of one (group, time) come out in the order of their arrival. Nothing is copied while
//! it waits: pages do not grow, and those of a batch are used again. A record costs its bytes and 16 more.

use super::buckets::Buckets;
use crate::time::Time;

/// A batch is as many buckets as it takes to have this many records.
const BATCH_RECORDS: usize = 1 << 11;
/// Most pages are of this size; a larger record has one of its own.
const PAGE_BYTES: usize = 4 << 10;
/// Time, group and length of a record, in front of it.
const HEAD_BYTES: usize = 16;
/// Pages kept for use again.
const SPARE_PAGES: usize = 1 << 10;

/// Records, one after another, each with its head.
type Page = Vec<u8>;

/// Byte records by time.
#[derive(Debug)]
pub struct Stash {
    bucket_ms: u64,
    /// The pages of each bucket; the last one is written to.
    buckets: Buckets<Vec<Page>>,
    spare: Vec<Page>,
}

/// Records whose time has come.
#[derive(Debug, Default)]
pub struct Batch {
    pages: Vec<Page>,
    entries: Vec<Entry>,
    /// Where each record is, in the order of arrival.
    places: Vec<Place>,
    end: Time,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    page: u32,
    offset: u32,
    length: u32,
}

/// A record of a batch: its group, time and arrival in one number, by which entries are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry(u128);

impl Entry {
    fn new(group: u32, time: Time, arrival: u32) -> Entry {
        Entry(u128::from(group) << 96 | u128::from(time) << 32 | u128::from(arrival))
    }

    /// What it belongs to.
    pub fn group(&self) -> u32 {
        (self.0 >> 96) as u32
    }

    /// When it is due.
    pub fn time(&self) -> Time {
        (self.0 >> 32) as Time
    }
}

impl Batch {
    /// The entries in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Every record that is due before this time is in this batch or an earlier one.
    pub fn end(&self) -> Time {
        self.end
    }

    /// The bytes of an entry.
    pub fn record(&self, entry: &Entry) -> &[u8] {
        let Place { page, offset, length } = self.places[entry.0 as u32 as usize];
        &self.pages[page as usize][offset as usize..][..length as usize]
    }
}

impl Stash {
    /// An empty stash with buckets of `bucket_ms` milliseconds (at least 1).
    pub fn new(bucket_ms: u64) -> Stash {
        Stash { bucket_ms: bucket_ms.max(1), buckets: Buckets::default(), spare: Vec::new() }
    }

    /// Adds a record that is due at `time`.
    pub fn push(&mut self, time: Time, group: u32, record: &[u8]) {
        let pages = self.buckets.at(time / self.bucket_ms);
        let needed = HEAD_BYTES + record.len();
        let page = match pages.last_mut() {
            Some(page) if page.capacity() - page.len() >= needed => page,
            _ => {
                let spare = self.spare.pop_if(|_| needed <= PAGE_BYTES);
                pages.push(spare.unwrap_or_else(|| Vec::with_capacity(needed.max(PAGE_BYTES))));
                let last = pages.len() - 1;
                &mut pages[last]
            }
        };
        page.extend_from_slice(&time.to_le_bytes());
        page.extend_from_slice(&group.to_le_bytes());
        page.extend_from_slice(&(record.len() as u32).to_le_bytes());
        page.extend_from_slice(record);
    }

    /// Takes the earliest records that are due before `time`: about as many as a batch has.
    pub fn take_before(&mut self, time: Time) -> Option<Batch> {
        let mut batch = Batch::default();
        while let Some(first) = self.buckets.first() {
            let start = first.saturating_mul(self.bucket_ms);
            if start >= time || batch.entries.len() >= BATCH_RECORDS {
                break;
            }
            let Some((_, pages)) = self.buckets.pop_first() else { break };
            let end = start.saturating_add(self.bucket_ms);
            batch.end = end.min(time);
            for page in pages {
                let number = batch.pages.len() as u32;
                let due = batch.entries.len();
                for (at, group, offset, length) in records(&page) {
                    if at < time {
                        batch.entries.push(Entry::new(group, at, batch.places.len() as u32));
                        batch.places.push(Place { page: number, offset, length });
                    } else {
                        self.push(at, group, &page[offset as usize..][..length as usize]);
                    }
                }
                if batch.entries.len() > due {
                    batch.pages.push(page);
                } else {
                    self.reuse(page);
                }
            }
            if end > time {
                break;
            }
        }
        batch.entries.sort_unstable();
        (!batch.entries.is_empty()).then_some(batch)
    }

    /// True where no record waits.
    pub fn is_empty(&self) -> bool {
        self.buckets.values().next().is_none()
    }

    /// Every record that waits, in no order: its time, group and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (Time, u32, &[u8])> {
        self.buckets.values().flatten().flat_map(|page| {
            records(page).map(|(at, group, offset, length)| (at, group, &page[offset as usize..][..length as usize]))
        })
    }

    /// Takes back the pages of a batch that has been worked on.
    pub fn recycle(&mut self, batch: Batch) {
        batch.pages.into_iter().for_each(|page| self.reuse(page));
    }

    fn reuse(&mut self, mut page: Page) {
        if page.capacity() == PAGE_BYTES && self.spare.len() < SPARE_PAGES {
            page.clear();
            self.spare.push(page);
        }
    }
}

/// The records of a page: time, group, offset and length.
fn records(page: &[u8]) -> impl Iterator<Item = (Time, u32, u32, u32)> + '_ {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let (head, _) = page.get(offset..)?.split_first_chunk::<HEAD_BYTES>()?;
        let number = |from: usize| u32::from_le_bytes(std::array::from_fn(|byte| head[from + byte]));
        let time = u64::from_le_bytes(std::array::from_fn(|byte| head[byte]));
        let (group, length) = (number(8), number(12));
        let start = offset + HEAD_BYTES;
        offset = start + length as usize;
        Some((time, group, start as u32, length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn records_come_out_by_group_and_time() {
        let mut stash = Stash::new(10);
        for (time, group, record) in [(25, 1, "f"), (3, 2, "c"), (3, 1, "a"), (12, 9, "e"), (3, 2, "d"), (8, 1, "b")] {
            stash.push(time, group, record.as_bytes());
        }
        let mut taken = String::new();
        for before in [3, 13, 14, 26] {
            while let Some(batch) = stash.take_before(before) {
                for entry in batch.entries() {
                    taken += &String::from_utf8_lossy(batch.record(entry));
                }
                taken += &format!("<{}", batch.end());
                stash.recycle(batch);
            }
            taken.push('|');
        }
        assert_eq!(taken, "|abcde<13||f<26|");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_whatever_its_size(
            pushed in prop::collection::vec((0..100u64, 0..3u32, 0..2 * PAGE_BYTES), 0..60),
            mut steps in prop::collection::vec(0..120u64, 0..8),
        ) {
            let mut stash = Stash::new(16);
            let mut expected: Vec<(u64, u32, usize, usize)> = Vec::new();
            for (number, (time, group, length)) in pushed.into_iter().enumerate() {
                stash.push(time, group, &vec![number as u8; length]);
                expected.push((time, group, number, length));
            }
            steps.sort_unstable();
            steps.push(200);
            for before in steps {
                let mut taken = Vec::new();
                while let Some(batch) = stash.take_before(before) {
                    let entry = |entry: &Entry| {
                        let record = batch.record(entry);
                        (entry.time(), entry.group(), record.first().map(|number| usize::from(*number)), record.len())
                    };
                    prop_assert!(batch.entries().is_sorted());
                    taken.extend(batch.entries().iter().map(entry));
                    stash.recycle(batch);
                }
                taken.sort_by_key(|(time, group, ..)| (*group, *time));
                let (mut due, later): (Vec<_>, Vec<_>) = expected.into_iter().partition(|record| record.0 < before);
                expected = later;
                due.sort_by_key(|(time, group, ..)| (*group, *time));
                let due: Vec<_> =
                    due.into_iter().map(|(time, group, number, length)| (time, group, (length > 0).then_some(number), length)).collect();
                prop_assert_eq!(taken, due);
            }
        }
    }
}

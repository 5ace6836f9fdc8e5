//! What a simulated job lives in: partitions, a wall clock, a store of checkpoints and two sinks, all of which may fail.

use std::collections::BTreeMap;
use std::ops::Range;

use dataflows::time::Time;
use orderwatch::checkpoint::{Store, StoreError};
use orderwatch::clock::partitions::{Partition, TimeMode};
use orderwatch::sink::commits::{Outcome, Progress, Transactions};

/// A record by partition and offset.
pub type Record = (Partition, u64);

/// Numbers by seed (splitmix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn up_to(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.up_to(count) == 0
    }
}

/// What goes wrong, one in so many times; never where it is 0.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    one_in: u64,
}

impl Faults {
    fn strike(self, random: &mut Random) -> bool {
        self.one_in > 0 && random.one_in(self.one_in)
    }
}

pub struct World {
    pub partitions: BTreeMap<Partition, Vec<Time>>,
    pub now: Time,
    /// How far what is committed may be behind what was told.
    pub furthest_behind: Time,
    pub mode: TimeMode,
    pub out_of_orderness_ms: u64,
    pub max_read_ahead_ms: u64,
    pub store: MemoryStore,
    pub sinks: Vec<MemorySink>,
    /// Those that the job has; the others may be added to it.
    pub named: Range<usize>,
    /// True where sinks that the job has had may be left out for a while.
    pub leaves_out: bool,
    /// Records before this are looked at in the end.
    pub end: Time,
    late: usize,
}

impl World {
    pub fn new(random: &mut Random) -> World {
        let partitions = (0..1 + random.up_to(3)).map(|number| (named(number), Vec::new())).collect();
        let faults = Faults { one_in: [0, 10, 30][random.up_to(3) as usize] };
        let [store, first, second] = std::array::from_fn(|_| Random::new(random.next()));
        let sink = |random| MemorySink { progress: Progress::default(), rows: Vec::new(), faults, random };
        World {
            partitions,
            now: 1_000,
            furthest_behind: 0,
            mode: if random.one_in(2) { TimeMode::Wall } else { TimeMode::Event },
            out_of_orderness_ms: [0, 0, 15][random.up_to(3) as usize],
            max_read_ahead_ms: [20, 1_000_000][random.up_to(2) as usize],
            store: MemoryStore { objects: BTreeMap::new(), is_damaged: false, faults, random: store },
            sinks: vec![sink(first), sink(second)],
            named: 0..1 + random.up_to(2) as usize,
            leaves_out: false,
            end: Time::MAX,
            late: 0,
        }
    }

    /// Time passes, records come.
    pub fn pass(&mut self, random: &mut Random) {
        self.now += random.up_to(12);
        if random.one_in(60) && self.partitions.len() < 6 {
            self.partitions.insert(named(self.partitions.len() as u64), Vec::new());
        }
        for records in self.partitions.values_mut() {
            for _ in 0..random.up_to(4) {
                // Now and then one is from long ago, or from a clock that is ahead.
                let at = match random.up_to(10) {
                    0 => self.now.saturating_sub(random.up_to(400)),
                    1 => self.now + random.up_to(30),
                    _ => self.now.saturating_sub(random.up_to(20)),
                };
                records.push(at);
            }
        }
    }

    /// Nothing fails any more, nothing comes any more, and time goes far ahead.
    pub fn calm_down(&mut self) {
        self.store.faults = Faults::default();
        self.sinks.iter_mut().for_each(|sink| sink.faults = Faults::default());
        self.end = self.now + 1_000;
        self.move_on();
    }

    /// Time goes on, and where data alone moves it, something has to come.
    pub fn move_on(&mut self) {
        self.now += 1_000_000;
        self.partitions.values_mut().for_each(|ats| ats.push(self.now));
    }

    /// The job is configured anew: which sinks it has.
    pub fn configure(&mut self, random: &mut Random) {
        if self.leaves_out && random.one_in(3) {
            self.named = [0..1, 1..2, 0..2][random.up_to(3) as usize].clone();
        } else if self.named.end < self.sinks.len() && random.one_in(4) {
            self.named.end += 1;
        }
    }

    /// Empties sinks, by their numbers among those that the job has.
    pub fn empty(&mut self, numbers: &[usize]) {
        for number in numbers {
            let sink = &mut self.sinks[self.named.start + number];
            sink.progress = Progress::default();
            sink.rows.clear();
        }
    }

    /// Every record is in every sink once, at one time; how many there are. No trail has two marks of one offset: those of
    /// idle partitions would become ever more.
    pub fn check(&mut self, seed: u64) -> usize {
        for marks in self.sinks.iter().flat_map(|sink| sink.progress.trail.values()) {
            let one_twice = marks.windows(2).find(|pair| pair[0].next_offset == pair[1].next_offset);
            assert_eq!(one_twice, None, "seed {seed}: marks of one offset");
        }
        let tables: Vec<BTreeMap<Record, Time>> = self.sinks[self.named.clone()]
            .iter()
            .map(|sink| {
                let rows: BTreeMap<Record, Time> = sink.rows.iter().cloned().collect();
                assert_eq!(rows.len(), sink.rows.len(), "seed {seed}: a record is there twice");
                rows
            })
            .collect();
        for table in &tables[1..] {
            if let Some((first, second)) = tables[0].iter().zip(table).find(|(first, second)| first != second) {
                panic!("seed {seed}: the sinks differ: {first:?} and {second:?}");
            }
            assert_eq!(tables[0].len(), table.len(), "seed {seed}: a sink lacks something");
        }
        let mut records = 0;
        for (partition, ats) in &self.partitions {
            for (offset, at) in ats.iter().enumerate().filter(|(_, at)| **at < self.end) {
                let time = tables[0].get(&(partition.clone(), offset as u64));
                let time = *time.unwrap_or_else(|| panic!("seed {seed}: {partition:?}/{offset} is missing"));
                assert!(time >= *at, "seed {seed}: {partition:?}/{offset} of {at} counts at {time}");
                records += 1;
                self.late += usize::from(time > *at);
            }
        }
        let is_of_before = |(partition, offset): &Record| self.partitions[partition][*offset as usize] < self.end;
        let before_end = tables[0].keys().filter(|record| is_of_before(record)).count();
        assert_eq!(before_end, records, "seed {seed}: there is what nobody sent");
        records
    }

    pub fn late(&self) -> usize {
        self.late
    }
}

fn named(number: u64) -> Partition {
    Partition { topic: format!("topic-{}", number % 2), number: number as i32 }
}

/// A store that forgets nothing, and now and then fails: before or after it did what it was asked for.
pub struct MemoryStore {
    objects: BTreeMap<String, Vec<u8>>,
    is_damaged: bool,
    faults: Faults,
    random: Random,
}

impl MemoryStore {
    fn failing<T>(&mut self, act: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> Result<T, StoreError> {
        let [before, after] = [(), ()].map(|()| self.faults.strike(&mut self.random) && self.random.one_in(2));
        if before {
            return Err(StoreError("it failed".into()));
        }
        let done = act(&mut self.objects);
        if after { Err(StoreError("its answer was lost".into())) } else { Ok(done) }
    }

    /// Damages the newest part that was written, or the newest manifest, once in a life: several checkpoints are kept for
    /// that, not any number.
    pub fn damage_newest(&mut self) {
        if std::mem::replace(&mut self.is_damaged, true) {
            return;
        }
        let kind = if self.random.one_in(2) { "/parts/" } else { "/manifests/" };
        let newest = self.objects.iter_mut().rfind(|(name, _)| name.contains(kind));
        // One bit makes a digit another digit.
        if let Some((_, bytes)) = newest {
            let place = self.random.up_to(bytes.len() as u64) as usize;
            bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1);
        }
    }
}

impl Store for MemoryStore {
    fn put(&mut self, name: &str, pieces: impl Iterator<Item = Result<Vec<u8>, StoreError>>) -> Result<(), StoreError> {
        let bytes = pieces.collect::<Result<Vec<_>, _>>()?.concat();
        self.failing(|objects| drop(objects.insert(name.to_owned(), bytes)))
    }

    fn create(&mut self, name: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        self.failing(|objects| {
            let is_new = !objects.contains_key(name);
            objects.entry(name.to_owned()).or_insert_with(|| bytes.to_vec());
            is_new
        })
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.objects.get(name).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.objects.keys().filter(|name| name.starts_with(prefix)).cloned().collect())
    }

    fn delete(&mut self, name: &str) -> Result<(), StoreError> {
        self.failing(|objects| drop(objects.remove(name)))
    }

    fn sweep(&mut self, _: &str, _: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A sink with transactions, whose answers may get lost.
pub struct MemorySink {
    progress: Progress,
    pub rows: Vec<(Record, Time)>,
    faults: Faults,
    random: Random,
}

impl Transactions<Record> for MemorySink {
    fn fence(&mut self, incarnation: u64) -> Option<Progress> {
        if self.faults.strike(&mut self.random) {
            return None;
        }
        self.progress.incarnation = self.progress.incarnation.max(incarnation);
        Some(self.progress.clone())
    }

    fn commit(&mut self, from: Time, to: &Progress, updates: &[(Record, Time)]) -> Outcome {
        if self.faults.strike(&mut self.random) {
            return if self.random.one_in(2) { Outcome::Failed } else { Outcome::Unknown };
        }
        if to.incarnation != self.progress.incarnation {
            return Outcome::Fenced;
        }
        assert_eq!(from, self.progress.frontier, "it is asked first whether the last transaction was done");
        assert!(updates.iter().all(|(_, time)| (from..to.frontier).contains(time)), "between the frontiers");
        self.rows.extend_from_slice(updates);
        self.progress = to.clone();
        if self.faults.strike(&mut self.random) { Outcome::Unknown } else { Outcome::Done }
    }
}
